//! Tablespaces that the log makes after the base: a server that goes through the log makes them again where they were, which
//! stands in the log. A map reaches only those of the base.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::super::{OpsError, Result};
use crate::model::{Finding, Severity};

const NEXT: &str = "recover where that directory is empty and nobody else's (another machine, a container), or to a point before it was made; or take \
                    a new base, which has it and can be mapped";

/// Tells what must be there before the server is started.
///
/// # Errors
/// If one of them is to be mapped, or its place holds what may be a working server's.
pub(super) fn look(later: &[(u32, String)], map: &[(PathBuf, PathBuf)]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (oid, path) in later {
        let place = Path::new(path);
        if map.iter().any(|(old, _)| old == place) {
            let what = format!(
                "--tablespace-map: the log behind the base makes the tablespace at {path}, where that is can't be mapped"
            );
            return Err(OpsError::Request { what, next: NEXT.to_owned() });
        }
        if !is_vacant(place) {
            let what = format!(
                "the log behind the base makes tablespace {oid} at {path}, and there are files: a server that recovers would write into \
                 those of whoever works there"
            );
            return Err(OpsError::Request { what, next: NEXT.to_owned() });
        }
        let what = format!(
            "the log makes tablespace {oid} here: make this directory, empty and owned by the server's user, before the server is started"
        );
        findings.push(Finding::new(Severity::Warning, "restore.tablespace", what).on(path));
    }
    Ok(findings)
}

/// Whether nothing is there, or an empty directory.
fn is_vacant(place: &Path) -> bool {
    match fs::read_dir(place) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => fs::symlink_metadata(place).is_err(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_in_use_is_refused_and_one_that_must_be_made_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &Path| vec![(16_390, path.to_str().unwrap().to_owned())];
        let told = look(&at(&dir.path().join("new")), &[]).unwrap();
        assert_eq!((told.len(), told[0].code.as_str()), (1, "restore.tablespace"));
        assert_eq!(look(&at(dir.path()), &[]).unwrap().len(), 1, "an empty directory");
        let mapped = look(&at(dir.path()), &[(dir.path().to_owned(), "/elsewhere".into())]).unwrap_err();
        assert!(mapped.to_string().contains("can't be mapped"), "{mapped}");
        fs::write(dir.path().join("PG_15_202209061"), "").unwrap();
        for place in [dir.path().to_owned(), dir.path().join("PG_15_202209061")] {
            assert!(look(&at(&place), &[]).unwrap_err().to_string().contains("there are files"));
        }
    }
}

//! Whether parity is whole, and what it covers.

use std::collections::HashSet;

use serde::Serialize;

use super::{checks, files, open, parity_blocks, told};
use crate::{
    format::parity::{self, Rate},
    model::{Cancel, Finding, Findings, Severity, size},
    store::ObjectStore,
    vault::{Result, VaultError},
};

/// What there is of parity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParitySeen {
    /// How much it is, where one of its files can be read.
    pub rate: Option<Rate>,
    /// Its files: one for each group of objects.
    pub groups: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that it covers.
    pub objects: u64,
    /// Objects that it does not cover, and should.
    pub uncovered: u64,
}

/// Looks at the parity beside a vault, if there is any: of all files the tables, and if it is `deep` every byte of the given
/// part of them.
///
/// # Errors
/// If the store does not answer. What is wrong with it is a finding.
pub async fn check(
    store: &dyn ObjectStore,
    deep: bool,
    sample: Option<(u32, u32)>,
    cancel: &Cancel,
) -> Result<Option<(ParitySeen, Findings)>> {
    let Some(sidecars) = store.sidecars() else { return Ok(None) };
    let files = files(sidecars).await?;
    if files.all.is_empty() && files.odd.is_empty() {
        return Ok(None);
    }
    let mut findings = Findings::default();
    findings.extend(files.odd);
    let mut seen = ParitySeen { rate: None, groups: 0, bytes: 0, objects: 0, uncovered: 0 };
    let (mut covered, mut stale) = (HashSet::new(), 0_u64);
    for (no, (name, bytes)) in files.all.iter().enumerate() {
        if cancel.is_cancelled() {
            return Err(VaultError::cancelled());
        }
        seen.groups += 1;
        seen.bytes += bytes;
        let deep = deep && sample.is_none_or(|(part, of)| no % of.max(1) as usize == part.saturating_sub(1) as usize);
        let damaged = |what: &str| {
            let what =
                format!("{what}. `strongroom repair` without --from makes it again, once what it covers is intact");
            Finding::new(Severity::Weak, "parity.damaged", what).on(told(name))
        };
        let Some(opened) = open(sidecars, (name, *bytes), deep).await? else {
            findings.push(damaged("neither of its tables can be read, so nothing heals from this file of parity"));
            continue;
        };
        seen.rate = seen.rate.max(Some(opened.table.rate));
        if !opened.whole {
            findings.push(damaged("one of its two tables can't be read, or its size is wrong"));
        } else if deep {
            let (found, both) = checks(sidecars, name, &opened).await?;
            let mut bad = 0_u64;
            if let Some(found) = &found {
                let of_parity = found.0.get(opened.table.data()..).unwrap_or_default();
                let mut each = |_: usize, block: Option<&[u8]>| {
                    bad += u64::from(block.is_none());
                    Ok(())
                };
                parity_blocks(sidecars, (name, &opened), of_parity, &mut each).await?;
            }
            if !both || bad > 0 {
                let of = opened.table.parity();
                findings
                    .push(damaged(&format!("{bad} of its {of} blocks of parity, or the checks of them, are damaged")));
            }
        }
        covered.extend(opened.table.covered.into_iter().map(|one| one.key));
    }
    let (mut there, mut missing) = (0_u64, 0_u64);
    let mut each = |entry: crate::store::Entry| {
        if covered.contains(&entry.key) {
            there += 1;
        } else if parity::covers(&entry.key, entry.bytes) {
            seen.uncovered += 1;
            missing += entry.bytes;
        }
    };
    store.list("", &mut each).await?;
    seen.objects = there;
    stale += covered.len() as u64 - there.min(covered.len() as u64);
    if seen.uncovered > 0 || stale > 0 {
        let what = format!(
            "{} objects ({}) have no parity yet, and {stale} that it was made of are gone: the next `replicate` into this \
             directory, `prune` or `repair` brings it in step",
            seen.uncovered,
            size::human(missing),
        );
        findings.push(Finding::new(Severity::Warning, "parity.behind", what).on(".parity"));
    }
    Ok(Some((seen, findings)))
}

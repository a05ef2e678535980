//! `init`, for people.

use std::path::PathBuf;

use super::Lines;
use crate::{cli::outdir, ops::init::InitReport};

/// For people.
pub(super) fn text(report: &InitReport, files: &[PathBuf]) -> Lines {
    let InitReport { keep, window, .. } = report;
    let mut text = Lines::default();
    text.add(format!("made vault {}", report.vault_id));
    text.add(format!("  at      {}", report.url));
    text.add(format!("  keep    {keep} promised to each snapshot; new objects are locked for {window} more"));
    if report.extends {
        text.add("  copies  one of data that does not change: the writer extends its lock");
    } else {
        let copies = report.implied_copies;
        text.add(format!(
            "  copies  about {copies:.1} of data that does not change: it is stored again every {window}"
        ));
    }
    let mode = report.mode.as_str();
    text.add(format!("  locks   {mode}, proved: a locked canary survived its deletion, a control did not"));
    text.add(format!("  nothing that init wrote into the vault can be deleted before {}", report.locked_until));
    if report.url.starts_with("file://") {
        text.add("  a directory does not protect from root, or from the user that writes it");
    }
    text.add("wrote");
    for file in files {
        let what = match file.file_name().and_then(|name| name.to_str()) {
            Some(outdir::CONFIG) => "the writer's configuration",
            Some(outdir::WRITER_KEY) => "the writer's key: adds backups, reads none",
            Some(outdir::RECOVERY_KIT) => "what to do when everything is lost: print it",
            Some(outdir::RECOVERY_KEY) => "opens every backup: move it off this machine now, backup refuses until then",
            _ => "",
        };
        text.add(format!("  {}  ({what})", file.display()));
    }
    text
}

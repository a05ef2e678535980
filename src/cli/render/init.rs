//! `init`, for people.

use std::{fmt::Write as _, path::PathBuf};

use crate::{cli::outdir, ops::init::InitReport};

/// For people.
pub(super) fn text(report: &InitReport, files: &[PathBuf]) -> String {
    let mut text = format!(
        "made vault {}\n  at      {}\n  keep    {} promised to each snapshot; new objects are locked for {} more\n",
        report.vault_id, report.url, report.keep, report.window
    );
    let _ = if report.extends {
        writeln!(text, "  copies  one of data that does not change: the writer extends its lock")
    } else {
        let copies = report.implied_copies;
        writeln!(
            text,
            "  copies  about {copies:.1} of data that does not change: it is stored again every {}",
            report.window
        )
    };
    let _ = writeln!(
        text,
        "  locks   {}, proved: a locked canary survived its deletion, a control did not",
        report.mode.as_str()
    );
    let _ = writeln!(text, "  nothing that init wrote into the vault can be deleted before {}", report.locked_until);
    if report.url.starts_with("file://") {
        text.push_str("  a directory is no protection from root, nor from the user that writes it\n");
    }
    text.push_str("wrote\n");
    for file in files {
        let what = match file.file_name().and_then(|name| name.to_str()) {
            Some(outdir::CONFIG) => "the writer's configuration",
            Some(outdir::WRITER_KEY) => "the writer's key: adds backups, reads none",
            Some(outdir::RECOVERY_KIT) => "what to do when everything is lost: print it",
            Some(outdir::RECOVERY_KEY) => "opens every backup: move it off this machine now, backup refuses until then",
            _ => "",
        };
        let _ = writeln!(text, "  {}  ({what})", file.display());
    }
    text
}

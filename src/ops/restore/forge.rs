//! `restore --into` a forge: what a snapshot holds of issues, pull requests and releases is made anew there.
//!
//! The streams go into a scratch directory first, since the forge is given them in the order of its numbers. Nothing is made
//! before the forge was looked at and, where the root puts this under several people, before they approved it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde::Serialize;

use super::{
    super::{
        OpsError, Result,
        snapshots::{Wanted, choose, listed_for},
    },
    Part, Target, carry_out, into, named, noted, planned,
};
use crate::{
    codec::seal::Opener,
    forge::{
        Provider,
        back::{Back, BackError, BackResult, Report},
    },
    guard::approvals::{self, Papers, Passed},
    model::{Cancel, Finding, Name, Progress, SnapshotId, SourceKind, Time},
    vault::{Vault, reader::Snapshot},
};

/// What was made.
#[derive(Debug, Serialize)]
pub struct ForgeReport {
    /// The snapshot.
    pub id: SnapshotId,
    /// Its source.
    pub source: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// Who wrote it.
    pub writer: Name,
    /// When its run started, by the store's clock.
    pub created_at: Time,
    /// The owner on the forge whose the repositories are now.
    pub into: String,
    /// What became of each repository.
    #[serde(flatten)]
    pub made: Report,
    /// Who approved it, where that was needed.
    pub approved_by: Vec<Name>,
    /// What its source warned of when it was made.
    pub warnings: Vec<String>,
}

/// Makes what a snapshot of `vault` holds at the place that `back` names. The streams go to `target`, which is `dir`.
///
/// # Errors
/// If the forge refuses it or is in use, something is damaged, or it was not approved.
pub async fn back(
    vault: &Vault,
    opener: &Opener,
    (wanted, mut back): (&Wanted, Back),
    (dir, target): (&Path, &mut dyn Target),
    papers: Option<Papers<'_>>,
    (progress, cancel): (&Arc<dyn Progress>, &Cancel),
) -> Result<(ForgeReport, Vec<Finding>)> {
    let listing = listed_for(vault, wanted).await?;
    let chosen = choose(listing.snapshots, wanted)?;
    noted(vault, &chosen, wanted, progress).await?;
    let header = vault.whole(&chosen.snapshot).await?;
    let named = |error| named(error, chosen.snapshot.id, &chosen.snapshot.header.writer);
    let mut snapshot = Snapshot::open(vault, header, opener).await.map_err(|error| named(error.into()))?;
    let kind = snapshot.header.header.kind;
    let code = kind == SourceKind::Git;
    let from = of(kind, back.provider)?;
    if !code {
        back.settle(from);
    }
    let looked = (back.clone(), cancel.clone());
    let look = move || if code { looked.0.look_for_code(looked.1) } else { looked.0.look(from, looked.1) };
    blocking(cancel, look).await?;
    let mut words = BTreeMap::from([("into", back.place())]);
    if !back.only.is_empty() {
        words.insert("repo", back.only.join(","));
    }
    let deed = into::deed(snapshot.header.id, &words);
    let approved_by = match approvals::spend(vault, &deed, papers).await? {
        Passed::Spent { people, .. } => people,
        Passed::NotNeeded => Vec::new(),
    };
    let warnings = std::mem::take(&mut snapshot.body.warnings);
    let plan = planned(&mut snapshot, Part::default()).await.map_err(named)?;
    carry_out(&snapshot, &plan, target, (progress, cancel), None).await.map_err(named)?;
    let header = &snapshot.header.header;
    let (place, source) = (back.place(), header.source.to_string());
    let (streams, on) = (dir.to_owned(), (Arc::clone(progress), cancel.clone()));
    let work = move || {
        if code {
            back.code(&streams.join(format!("{source}.git")), &source, on.1)
        } else {
            back.run(&streams.join(source), (&on.0, on.1))
        }
    };
    let made = blocking(cancel, work).await?;
    let report = ForgeReport {
        id: snapshot.header.id,
        source: header.source.clone(),
        kind,
        writer: header.writer.clone(),
        created_at: header.started_at,
        into: place,
        made,
        approved_by,
        warnings,
    };
    Ok((report, listing.findings))
}

/// The forge that a snapshot is of; that which it goes to, for code.
fn of(kind: SourceKind, into: Option<Provider>) -> Result<Provider> {
    match (Provider::of(kind), into) {
        (Some(from), _) => Ok(from),
        (None, Some(into)) if kind == SourceKind::Git => Ok(into),
        (None, None) if kind == SourceKind::Git => Err(OpsError::Request {
            what: "--into a forge: the snapshot is of code, and nothing says which forge's API is spoken there"
                .to_owned(),
            next: "say gitea:https://HOST/OWNER/NAME, or github: or gitlab: likewise".to_owned(),
        }),
        _ => Err(OpsError::Request {
            what: format!(
                "--into a forge: the snapshot is of a source of kind {}, which is not a forge",
                kind.as_str()
            ),
            next: "give --into the DSN of a server, or name the source of a forge".to_owned(),
        }),
    }
}

/// Has the client of the forge, which blocks, work on a thread of its own.
async fn blocking<T: Send + 'static>(
    cancel: &Cancel,
    work: impl FnOnce() -> BackResult<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| OpsError::Defect("restoring into a forge"))?;
    match done {
        Err(_) if cancel.is_cancelled() => Err(OpsError::Interrupted),
        done => Ok(done?),
    }
}

impl From<BackError> for OpsError {
    fn from(error: BackError) -> Self {
        match error {
            BackError::Occupied { what, next } => Self::Occupied { what, next },
            BackError::Wrong { what, next } => Self::Request { what, next },
            BackError::Source(error) => Self::Source(error),
        }
    }
}

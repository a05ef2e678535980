//! What commands give back.

use std::path::PathBuf;

#[cfg(feature = "full")]
use crate::cli::airgap::window::WindowReport;
#[cfg(feature = "full")]
use crate::cli::copies::Replicated;
use crate::cli::version::Build;
#[cfg(feature = "full")]
use crate::ops::{
    airgap::{OpenReport, StatusReport as WaysReport, TripReport},
    incident::IncidentReport,
};
use crate::{
    model::Finding,
    ops::{
        approve::{ApproversReport, CheckReport, RequestReport},
        backup::BackupReport,
        catalog::RebuildReport,
        diff::DiffReport,
        doctor::DoctorReport,
        drill::{DrillReport, HistoryLine},
        freeze::{FreezeReport, HoldLine, ReleaseReport},
        init::InitReport,
        journal::{Fetched, JournalLine, PushReport, RunReport},
        look::Looked,
        member::MemberReport,
        member::RevokeReport,
        people::{AddedReport, KeysReport, RotateReport},
        policy::Document,
        prune::PruneReport,
        readiness::ReadyReport,
        renew::RenewReport,
        repair::RepairReport,
        request::RequestedReport,
        restore::{
            RestoreReport,
            forge::ForgeReport,
            into::IntoReport,
            look::{ListReport, RehearsalReport},
        },
        shares::{CombineReport, SplitReport},
        show::ShowReport,
        snapshots::SnapshotLine,
        status::StatusReport,
        verify::VerifyReport,
        watch::WatchReport,
    },
};

/// What a command gives back.
pub enum Output {
    /// Nothing, since it failed before.
    Nothing,
    /// Nothing, since the command line says nothing that can be done. Why takes several lines.
    Unparsed,
    /// `init`, and the files that it left.
    Init(Box<InitReport>, Vec<PathBuf>),
    /// `renew`.
    Renew(RenewReport),
    /// `prune`.
    Prune(PruneReport),
    /// `replicate`, each copy.
    #[cfg(feature = "full")]
    Replicate(Vec<Replicated>),
    /// `repair`.
    #[cfg(feature = "full")]
    Repair(RepairReport),
    /// `freeze`.
    Freeze(FreezeReport),
    /// `snapshots --holds`.
    Holds(Vec<HoldLine>),
    /// `release`.
    Release(ReleaseReport),
    /// `approvers`; nothing if there is no list.
    Approvers(Option<ApproversReport>),
    /// `approve new`.
    Request(RequestReport),
    /// `approve check`.
    Check(CheckReport),
    /// `key split`, and the files that it left.
    Split(SplitReport, Vec<PathBuf>),
    /// `key combine`, and the file that it left.
    Combined(CombineReport, Vec<PathBuf>),
    /// `key list` and `key check`.
    Keys(KeysReport),
    /// `key add-recipient`.
    Recipients(AddedReport),
    /// `key rotate`.
    Rotated(RotateReport),
    /// `member add`, and the files that it left.
    Member(MemberReport, Vec<PathBuf>),
    /// `member revoke`.
    Revoke(RevokeReport),
    /// `backup`.
    Backup(BackupReport),
    /// `backup --dry-run`.
    Rehearsal(Looked),
    /// `snapshots`.
    Snapshots(Vec<SnapshotLine>),
    /// `show`.
    Show(Box<ShowReport>),
    /// `diff`.
    Diff(Box<DiffReport>),
    /// `restore`, and where to; nowhere if to standard output.
    Restore(Box<RestoreReport>, Option<PathBuf>),
    /// `restore --list`.
    Listing(Box<ListReport>),
    /// `restore --dry-run`.
    RestoreRehearsal(Box<RehearsalReport>),
    /// `restore --into`.
    Into(Box<IntoReport>),
    /// `restore --into` a forge.
    #[cfg(feature = "full")]
    IntoForge(Box<ForgeReport>),
    /// `verify`, and what it found.
    Verify(Box<VerifyReport>, Vec<Finding>),
    /// `watch`, and what it found.
    Watch(Box<WatchReport>, Vec<Finding>),
    /// `ready`.
    Ready(Box<ReadyReport>),
    /// `request`.
    #[cfg(feature = "full")]
    Requested(RequestedReport),
    /// `status`.
    Status(Box<StatusReport>),
    /// `incident`, whether as Markdown, and what it found.
    #[cfg(feature = "full")]
    Incident(Box<IncidentReport>, bool, Vec<Finding>),
    /// `airgap trip`, and what it found.
    #[cfg(feature = "full")]
    Trip(TripReport, Vec<Finding>),
    /// `airgap status`.
    #[cfg(feature = "full")]
    Airgap(WaysReport),
    /// `airgap open`.
    #[cfg(feature = "full")]
    Opened(OpenReport),
    /// `airgap run`.
    #[cfg(feature = "full")]
    Window(WindowReport),
    /// `policy`.
    Policy(Document),
    /// `doctor`, and what is worth saying besides.
    Doctor(Box<DoctorReport>, Vec<Finding>),
    /// `drill`.
    Drill(DrillReport),
    /// `drill --history`.
    Drills(Vec<HistoryLine>),
    /// `catalog rebuild`.
    Rebuild(RebuildReport),
    /// `journal run`.
    JournalRun(RunReport),
    /// `journal push`.
    JournalPush(PushReport),
    /// `journal fetch`.
    JournalFetch(Fetched),
    /// `journal list`.
    Journals(Vec<JournalLine>),
    /// `schedule`: the files that it left.
    Schedule(Vec<PathBuf>),
    /// `--version --json`.
    Version(Build),
    /// A text as it is.
    Text(String),
}

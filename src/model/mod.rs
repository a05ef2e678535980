//! Values without IO: ids, names, times, locks, and what commands report.

pub mod clock;
pub mod codes;
pub mod fingerprint;
pub mod id;
pub mod journal;
pub mod lock;
pub mod name;
pub mod pattern;
pub mod progress;
pub mod report;
pub mod sample;
pub mod size;
pub mod snapshot;
pub mod spoken;
pub mod time;
pub mod visible;

pub use clock::Clock;
pub use fingerprint::{Comparison, Fingerprint, TableFingerprint};
pub use id::{ChunkId, Hash, PackId, SnapshotId, VaultId};
pub use lock::{Lock, LockBy, LockMode, LockPolicy, Tier, Tiers};
pub use name::{Key, Name, NameError};
pub use pattern::{NamePattern, nearest, nearest_texts};
pub use progress::{Cancel, Progress, Silent};
pub use report::{Finding, Findings, Severity, only_unread};
pub use sample::Sample;
pub use snapshot::{ChunkerParams, FileMeta, SourceKind};
pub use time::{Span, Time, lasting};
pub use visible::{visible, visible_lines};

//! The rules of documents and encodings at their edges: the largest that is taken and the first that is not. Trust is
//! `tests/format_trust.rs`, hostile bytes are `tests/format_props.rs`.

mod approvals;
mod bodies;
mod bounds;
mod indexes;

use super::{FormatError, Result};

/// It must be refused as too large.
#[track_caller]
fn too_large<T>(result: Result<T>) {
    match result.err() {
        Some(FormatError::TooLarge { .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// It must be refused as damaged, for a reason that says `why`.
#[track_caller]
fn damaged<T>(result: Result<T>, why: &str) {
    match result.err() {
        Some(FormatError::Damaged { why: because, .. }) => assert!(because.contains(why), "{because:?}, not {why:?}"),
        other => panic!("{why}: {other:?}"),
    }
}

//! How hard a block is compressed: the usual way, or three ways that take longer and store less.

use std::sync::{Mutex, PoisonError};

use zstd::zstd_safe::{CCtx, CParameter, Strategy};

use super::{context, refused};
use crate::codec::Result;

/// How hard a block is compressed. Each stores less than the one before, and takes longer; to open they take the same.
/// Level 6 is none: where the quick setting wins a trial, it stores more than that.
///
/// zstd's own levels between 9 and 16 take four times the time for 1% less in rows with hashes. What saves more is its optimal
/// parsing, the strategy of level 16, whose tables of 32 MiB are not needed for blocks of 4 MiB.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effort {
    /// The level of the compressor, and what trials make of it.
    #[default]
    Usual,
    /// About level 9.
    Much,
    /// Optimal parsing, with tables as small as serve.
    Parsed,
    /// Optimal parsing that looks at more places.
    Most,
}

impl Effort {
    /// All, from the usual one on.
    pub const ALL: [Self; 4] = [Self::Usual, Self::Much, Self::Parsed, Self::Most];

    /// Its place among all.
    #[must_use]
    pub const fn rank(self) -> usize {
        self as usize
    }

    /// The level of zstd that stores about as much.
    #[must_use]
    pub const fn level(self) -> i32 {
        match self {
            Self::Usual => super::USUAL_LEVEL,
            Self::Much => 9,
            Self::Parsed => 13,
            Self::Most => 16,
        }
    }

    /// The level, and the sizes of chains and hashes (2 to the power of them), searches, and the match that is long enough.
    /// The usual way has a context of its own.
    fn settings(self) -> [CParameter; 8] {
        let (level, strategy, [chain, hash, search, enough]) = match self {
            Self::Usual | Self::Much => (9, Strategy::ZSTD_lazy2, [20, 20, 5, 16]),
            Self::Parsed => (16, Strategy::ZSTD_btopt, [19, 19, 2, 48]),
            Self::Most => (16, Strategy::ZSTD_btopt, [19, 19, 4, 48]),
        };
        [
            CParameter::CompressionLevel(level),
            CParameter::Strategy(strategy),
            // A block is seen as a whole: 4 MiB.
            CParameter::WindowLog(22),
            CParameter::ChainLog(chain),
            CParameter::HashLog(hash),
            CParameter::SearchLog(search),
            CParameter::TargetLength(enough),
            CParameter::MinMatch(super::SHORT_MATCH),
        ]
    }
}

/// What compressing harder needs: 5 or 6 MiB for each block that is being compressed so, kept from block to block and
/// shared by the compressors of a run, of which there may be more than blocks at a time.
#[derive(Default)]
pub struct Contexts(Mutex<Vec<CCtx<'static>>>);

impl Contexts {
    /// Lends a context with the settings of `effort` to `work`.
    pub(super) fn lend<T>(&self, effort: Effort, work: impl FnOnce(&mut CCtx<'static>) -> Result<T>) -> Result<T> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut one = free.map_or_else(|| context(effort.level()), Ok)?;
        for setting in effort.settings() {
            one.set_parameter(setting).map_err(|e| refused("compress", e))?;
        }
        let done = work(&mut one)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        Ok(done)
    }

    /// Whether there is one, and no more.
    #[cfg(test)]
    pub(super) fn is_one(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() == 1
    }
}

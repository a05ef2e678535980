//! The number of a pack within this catalog.

/// The catalog's number of a pack. Ascends in the order of acknowledgement; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackNo(pub(super) i64);

impl PackNo {
    /// The number itself.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

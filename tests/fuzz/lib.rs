//! The checks, for the fuzz targets.

mod checks;
mod outside;

pub use checks::*;
pub use outside::*;

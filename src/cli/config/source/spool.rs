//! `spool`: how much of a dump may wait on the disk for the backup to store it.

use toml::Spanned;

use super::{super::Fault, Input};
use crate::{model::size::ByteSize, source::spool};

/// How many bytes wait at most; none for what dumps nothing. A command is asked for its own, since it may be anything.
pub(super) fn parse(raw: Option<&Spanned<String>>, input: &Input) -> Result<u64, Fault> {
    let physical = matches!(input, Input::Postgres(options) if options.physical);
    let Some(text) = raw else {
        return Ok(match input {
            Input::Postgres(_) if !physical => spool::SPOOL,
            Input::Mariadb(_) => spool::SPOOL,
            _ => 0,
        });
    };
    if physical {
        let message = "\"spool\" says nothing of a physical backup, which holds no locks";
        return Err(Fault::new(text, message));
    }
    let ByteSize(bytes) = text.get_ref().parse().map_err(|e| Fault::new(text, e))?;
    if bytes > 0 && bytes < spool::LEAST {
        return Err(Fault::new(text, "spool is 64MiB or more, or 0 for none on the disk"));
    }
    Ok(bytes)
}

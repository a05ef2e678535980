//! A reading whose snapshot keeps who wanted it, and why.

use crate::{
    model::Name,
    ops::request::Requested,
    source::{Facts, Incoming, Reading, Result},
};

/// What of the details says it.
const FIELD: &str = "requested";

/// A reading that tells one fact more.
struct Wanted {
    inner: Box<dyn Reading>,
    requested: Requested,
}

/// Has what `inner` becomes keep who wanted it.
pub(super) fn over(inner: Box<dyn Reading>, requested: Option<Requested>) -> Box<dyn Reading> {
    match requested {
        Some(requested) => Box::new(Wanted { inner, requested }),
        None => inner,
    }
}

impl Reading for Wanted {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        self.inner.next_stream()
    }

    fn carried(&mut self) -> Option<Vec<Name>> {
        self.inner.carried()
    }

    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        self.inner.stopper()
    }

    fn finish(self: Box<Self>) -> Result<Facts> {
        let mut facts = self.inner.finish()?;
        if facts.details.is_null() {
            facts.details = serde_json::json!({});
        }
        if let Some(details) = facts.details.as_object_mut() {
            details.insert(FIELD.to_owned(), serde_json::json!(self.requested));
        }
        Ok(facts)
    }
}

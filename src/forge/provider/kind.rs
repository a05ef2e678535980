//! The kinds of things that an API has, and how each is read.

use super::Query;

/// How a list tells what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::forge) enum Since {
    /// It does not: all of it is read each time.
    Never,
    /// By a parameter of this name.
    Parameter(&'static str),
    /// It comes with what changed last first.
    NewestFirst,
    /// It comes with what was made last first, and nothing of it changes.
    LastMadeFirst,
}

/// A kind of thing that an API has, and how it is read. In paths, `{repo}` is the repository, `{n}` the parent.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "any of them may go with any other")]
pub(in crate::forge) struct Kind {
    /// What its stream is called.
    pub(in crate::forge) name: &'static str,
    /// Where it is, with what of the query never changes.
    pub(in crate::forge) path: &'static str,
    /// Whether it is one value and no list.
    pub(in crate::forge) one: bool,
    /// Whether it comes in pages, whose size is asked for. Nested lists never do.
    pub(in crate::forge) paged: bool,
    pub(in crate::forge) since: Since,
    /// The kind that each list of it belongs to an entry of.
    pub(in crate::forge) of: Option<&'static str>,
    /// A kind of lists that belong to entries of this one, where that has any: its name, path (`{id}`), and the count.
    pub(in crate::forge) nested: Option<(&'static str, &'static str, &'static str)>,
    /// What of the repository says that it is switched off.
    pub(in crate::forge) switch: Option<&'static str>,
    /// Whether entries may carry files.
    pub(in crate::forge) files: bool,
    /// The kind that has each entry of this too, changed whenever it changes: where nothing of that changed, this did not.
    pub(in crate::forge) shown_in: Option<&'static str>,
    /// What of a survey tells that nothing of it changed.
    pub(in crate::forge) seen_by: Option<Sight>,
    /// What asks for it, where REST has it not.
    pub(in crate::forge) query: Option<&'static Query>,
    /// Whether it may change without a change of what it belongs to.
    pub(in crate::forge) unseen: bool,
    /// For lists that are not told how long they are: the kind whose entries count among theirs and are left out.
    pub(in crate::forge) hides: Option<&'static str>,
}

/// What of a survey shows whether a list has to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::forge) enum Sight {
    /// Issues that changed.
    Issues,
    /// Pull requests that changed.
    Pulls,
    /// What was said in these.
    Comments,
    /// Comments on lines.
    OnLines,
    /// Events.
    Events,
    /// The list of all that changed in an owner's repositories.
    Owner,
}

impl Kind {
    pub(super) const fn list(name: &'static str, path: &'static str) -> Self {
        let (since, of, nested, switch, shown_in, seen_by) = (Since::Never, None, None, None, None, None);
        let (one, paged, files, query, unseen, hides) = (false, true, false, None, false, None);
        Self { name, path, one, paged, since, of, nested, switch, files, shown_in, seen_by, query, unseen, hides }
    }

    pub(super) const fn since(self, since: Since) -> Self {
        Self { since, ..self }
    }

    pub(super) const fn of(self, parent: &'static str) -> Self {
        Self { of: Some(parent), ..self }
    }

    pub(super) const fn switched(self, switch: &'static str) -> Self {
        Self { switch: Some(switch), ..self }
    }

    pub(super) const fn with_files(self) -> Self {
        Self { files: true, ..self }
    }

    pub(super) const fn shown_in(self, other: &'static str) -> Self {
        Self { shown_in: Some(other), ..self }
    }

    /// A kind that a query asks for.
    pub(super) const fn asked(name: &'static str, query: &'static Query) -> Self {
        Self { query: Some(query), ..Self::list(name, "") }
    }

    pub(super) const fn unseen(self) -> Self {
        Self { unseen: true, ..self }
    }

    pub(super) const fn hides(self, kind: &'static str) -> Self {
        Self { hides: Some(kind), ..self }
    }

    pub(super) const fn seen_by(self, sight: Sight) -> Self {
        Self { seen_by: Some(sight), ..self }
    }

    /// Whether it is how a repository or an owner is set up: a list that can only be read whole.
    pub(in crate::forge) const fn is_setting(&self) -> bool {
        matches!(self.since, Since::Never) && self.of.is_none()
    }

    pub(super) const fn unpaged(self) -> Self {
        Self { paged: false, ..self }
    }

    pub(super) const fn single(self) -> Self {
        Self { one: true, ..self }
    }
}

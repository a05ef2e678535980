//! One check, and how it went.

use std::borrow::Cow;

use serde::Serialize;

use crate::store::{StoreError, StoreErrorKind as Kind, Through};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is as it should be.
    Ok,
    /// What was tried was refused, as it should be.
    Refused,
    /// What was tried was let through: whoever has these credentials can do it.
    Allowed,
    /// It is not as it should be.
    Failed,
    /// It could not be found out. Never counts as good.
    CouldNotRun,
}

impl Status {
    /// The status as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Allowed => "allowed",
            Self::Failed => "failed",
            Self::CouldNotRun => "could-not-run",
        }
    }
}

/// A check. Its name is stable, its detail is for people.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Its name.
    pub name: Cow<'static, str>,
    /// How it went.
    pub status: Status,
    /// What happened, and what to do about it.
    pub detail: String,
    /// Whether this role must be able to run it.
    #[serde(skip)]
    pub must: bool,
}

impl Check {
    fn new(name: impl Into<Cow<'static, str>>, status: Status, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status, detail: detail.into(), must: false }
    }

    /// A check that found what should be.
    pub fn ok(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail)
    }

    /// An attempt that was refused.
    pub fn refused(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Refused, detail)
    }

    /// An attempt that was let through.
    pub fn allowed(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Allowed, detail)
    }

    /// A check that found what should not be.
    pub fn failed(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Failed, detail)
    }

    /// A check that could not run.
    pub fn could_not_run(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::CouldNotRun, detail)
    }

    /// The same check, which this role must be able to run.
    #[must_use]
    pub fn must(self) -> Self {
        Self { must: true, ..self }
    }

    /// How an attempt of an intruder went, which takes `permission`.
    pub fn attempt<T>(name: impl Into<Cow<'static, str>>, permission: &str, result: Result<T, StoreError>) -> Self {
        match result {
            Ok(_) => Self::allowed(name, format!("it was let through; take {permission} away from this role")),
            Err(error) => match error.kind {
                Kind::Denied | Kind::Locked => Self::refused(name, error.what),
                // Who may not do it is not told that there is nothing.
                Kind::NotFound => Self::allowed(
                    name,
                    format!(
                        "the role was let through, and only the object was missing; take {permission} away from it \
                         ({error})"
                    ),
                ),
                _ => Self::could_not_run(name, error.to_string()),
            },
        }
    }

    /// How an attempt went that nothing could come of.
    pub fn through(name: impl Into<Cow<'static, str>>, permission: &str, result: Result<Through, StoreError>) -> Self {
        match result {
            Ok(Through::Taken) => Self::allowed(
                name,
                format!(
                    "the store took what no store should take, so look at what it is now; take {permission} away from \
                     this role"
                ),
            ),
            Ok(Through::Stopped(error)) => Self::allowed(
                name,
                format!(
                    "the role was let through, and only what was wrong with the request was refused; take {permission} \
                     away from it ({error})"
                ),
            ),
            // What the server does not have, nobody can set.
            Err(error) if error.kind == Kind::Unsupported => Self::refused(name, error.what),
            Err(error) => Self::attempt::<()>(name, permission, Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_is_one() {
        let told = |kind| {
            let error: Result<(), _> = Err(StoreError::new(kind, "x"));
            Check::attempt("a", "s3:X", error).status
        };
        assert_eq!((told(Kind::Denied), told(Kind::Locked)), (Status::Refused, Status::Refused));
        assert_eq!(told(Kind::NotFound), Status::Allowed);
        for kind in [Kind::Unreachable, Kind::Unsupported, Kind::Invalid, Kind::Corrupt, Kind::Other, Kind::NoVault] {
            assert_eq!(told(kind), Status::CouldNotRun, "{kind:?}");
        }
        let through = Check::attempt("a", "s3:X", Ok(()));
        assert!(through.status == Status::Allowed && through.detail.contains("s3:X"));
    }

    #[test]
    fn the_status_is_spelled_as_scripts_expect() {
        for status in [Status::Ok, Status::Refused, Status::Allowed, Status::Failed, Status::CouldNotRun] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}

//! Whose a snapshot is, and whether its time can be: what the root certified, and the clock of whoever looks.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    format::header::Claim,
    model::{Finding, Findings, Name, NamePattern, Severity, SnapshotId, Span, Time, nearest},
};

use super::{
    Result, VaultError, VaultErrorKind,
    members::{self, Members},
    snapshots::Summary,
};

/// How far a header's time may be ahead of the clock that it is held against.
pub const AHEAD: Span = Span::seconds(300);

/// Finds out what each header's writer has to do with its source, and which are of a time that is not yet. The newest
/// certificate counts; where none can be read, the one that the header embeds does.
pub(super) fn settle(members: Option<&Members>, snapshots: &mut [Summary], now: Time, told: &mut Findings) {
    let mut outside: BTreeMap<(Name, Name), u64> = BTreeMap::new();
    let mut future: BTreeMap<(Name, Name), (u64, Time, SnapshotId)> = BTreeMap::new();
    for snapshot in snapshots {
        let Summary { id, header, standing, .. } = snapshot;
        if let Some(certificate) = members.and_then(|members| members.get(&header.writer)) {
            *standing = members::certified(certificate, &header.source, *standing);
            if certificate.revoked_from.is_some_and(|from| from <= now) {
                standing.claim = Claim::Revoked;
            }
        }
        standing.suspect |= standing.outside;
        // What the store has since then was there, whatever its clock or ours says now.
        let since = standing.stored_at.map_or(now, |stored| now.max(stored));
        standing.future = header.started_at > since + AHEAD;
        let whose = || (header.writer.clone(), header.source.clone());
        if standing.outside {
            *outside.entry(whose()).or_default() += 1;
        } else if standing.future && !standing.suspect {
            let count = future.entry(whose()).or_insert((0, header.started_at, *id));
            count.0 += 1;
            if header.started_at > count.1 {
                (count.1, count.2) = (header.started_at, *id);
            }
        }
    }
    for ((writer, source), count) in outside {
        let allowed = members.and_then(|members| members.get(&writer)).map(|found| names(&found.sources));
        let allowed = allowed.unwrap_or_else(|| "others".to_owned());
        let what = format!(
            "writer {writer} signed {count} of source {source}, and its certificate allows it {allowed}: they are \
             suspect, and none of them is ever taken as the latest"
        );
        told.push(Finding::new(Severity::Warning, "writer.outside", what).on(format!("{writer}/{source}")));
    }
    for ((writer, source), (count, at, id)) in future {
        let what = format!(
            "{count} of source {source} by writer {writer} claim to be of a time that is not yet (up to {at}, and it is \
             {now} here): none of them is taken as the latest or as fresh. A clock was wrong, there or here"
        );
        told.push(Finding::new(Severity::Warning, "header.future", what).on(format!("{writer}/{source}")).of(id));
    }
}

/// The sources that a certificate names, for people.
#[must_use]
pub fn names(sources: &[NamePattern]) -> String {
    let patterns: Vec<String> = sources.iter().map(ToString::to_string).collect();
    if patterns.is_empty() { "any source".to_owned() } else { patterns.join(", ") }
}

/// The writers to whom a source belongs, out of all that made snapshots of it: those with the greatest claim. Where there
/// is more than one, nothing says which is meant.
#[must_use]
pub fn owners<'a>(all: impl Iterator<Item = (&'a Name, Claim)>) -> Vec<&'a Name> {
    let claims: BTreeMap<&Name, Claim> = all.collect();
    let greatest = claims.values().max().copied();
    claims.into_iter().filter(|(_, claim)| Some(*claim) == greatest).map(|(writer, _)| writer).collect()
}

/// Fails if `name` is none of those that there are, and names the nearest. Where there are none, nothing is mistyped.
///
/// # Errors
/// `Unknown`, with what to ask for instead.
pub fn must_be_known<'a>(kind: &str, name: &Name, known: impl Iterator<Item = &'a Name>) -> Result<()> {
    let known: BTreeSet<&Name> = known.collect();
    if known.is_empty() || known.contains(name) {
        return Ok(());
    }
    let near: Vec<&str> = nearest(name, known.iter().copied()).into_iter().map(Name::as_str).collect();
    let more = known.len().saturating_sub(near.len());
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let what = format!("there is no snapshot of a {kind} called {name}; there is {}{more}", near.join(", "));
    Err(VaultError::new(VaultErrorKind::Unknown, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_belongs_to_whom_the_root_gave_it() {
        let [a, b, c]: [Name; 3] = ["a", "b", "c"].map(|name| name.parse().unwrap());
        let of = |all: &[(&Name, Claim)]| -> Vec<String> {
            owners(all.iter().copied()).into_iter().map(ToString::to_string).collect()
        };
        assert_eq!(of(&[]), [""; 0]);
        assert_eq!(of(&[(&a, Claim::Revoked)]), ["a"]);
        assert_eq!(of(&[(&a, Claim::Open), (&b, Claim::Open), (&a, Claim::Open)]), ["a", "b"]);
        assert_eq!(of(&[(&a, Claim::Revoked), (&b, Claim::Open)]), ["b"]);
        assert_eq!(of(&[(&a, Claim::Open), (&b, Claim::Named), (&c, Claim::Revoked)]), ["b"]);
        assert_eq!(of(&[(&a, Claim::Named), (&b, Claim::Named), (&c, Claim::Open)]), ["a", "b"]);
    }
}

//! What the lines of a journal add up to: how far each base reaches, and which gaps are worth an alarm. Pure.

use std::collections::BTreeMap;

use super::{Bad, Base, Found, Further, LINES, Recovery, STRETCHES};
use crate::model::{
    Finding, Findings, Severity, Time,
    journal::{Line, Position, Span},
};

type Lines = BTreeMap<Line, Found>;

/// Up to where `base` can be recovered.
pub(super) fn recovery(base: &Base<'_>, lines: &Lines, now: Time) -> Recovery {
    let found = lines.get(base.line);
    let to = found.and_then(|found| found.reach.until(base.from));
    let goes_on = further(base, lines);
    let own = std::iter::once(base.line).chain(goes_on.iter().map(|one| &one.line));
    let newest_at = own.filter_map(|line| lines.get(line)?.newest_at).max();
    let gap = found.and_then(|found| gap_after(found, base.from));
    let say = |at: Position| base.line.say(at);
    Recovery {
        snapshot: base.snapshot.id,
        source: base.snapshot.header.source.clone(),
        writer: base.snapshot.header.writer.clone(),
        line: base.line.clone(),
        from: base.from,
        to,
        from_text: say(base.from),
        to_text: to.map(say),
        goes_on,
        gap,
        gap_text: gap.map(|gap| (say(gap.from), say(gap.to))),
        newest: found.and_then(|found| found.reach.newest()),
        newest_at,
        age_s: newest_at.map(|at| now.since(at).as_seconds()),
    }
}

/// The lines on which the log goes on. Which one a timeline grew out of stands in its history, which is sealed; but its
/// first segment begins before the switch and holds what the old one had up to there. So a line goes on from another if
/// it has a stretch that begins within what is there of that.
fn further(base: &Base<'_>, lines: &Lines) -> Vec<Further> {
    let mut reached: Vec<(&Line, Position)> = Vec::new();
    reached.extend(lines.get(base.line).and_then(|found| found.reach.until(base.from)).map(|to| (base.line, to)));
    for (line, found) in lines.iter().filter(|(line, _)| base.line.may_become(line)) {
        let from = |to: Position| found.reach.stretches.iter().find(|s| base.from < s.to && s.from <= to);
        let on = reached.iter().filter(|(before, _)| *before == base.line || before.may_become(line));
        if let Some(stretch) = on.filter_map(|(_, to)| from(*to)).max_by_key(|stretch| stretch.to) {
            reached.push((line, stretch.to));
        }
    }
    let later = reached.into_iter().filter(|(line, _)| *line != base.line);
    later.map(|(line, to)| Further { line: line.clone(), to, to_text: line.say(to) }).collect()
}

/// The first gap that whoever recovers from `from` meets.
fn gap_after(found: &Found, from: Position) -> Option<Span> {
    let mut after = found.reach.stretches.iter().skip_while(|stretch| stretch.to < from);
    let first = *after.next()?;
    if from < first.from {
        return Some(Span { from, to: first.from });
    }
    after.next().map(|next| Span { from: first.to, to: next.from })
}

/// Tells of the gaps that some base meets, of bases that nothing goes on from, and of pieces that hold nothing good.
pub(super) fn told(bases: &[Base<'_>], lines: &Lines, findings: &mut Findings) {
    for (line, found) in lines {
        if found.flooded {
            let what = format!(
                "line {line} of this journal has more than {STRETCHES} stretches with gaps between: no server makes such \
                 ones, so somebody puts them there; those after the first are not judged"
            );
            findings.push(Finding::new(Severity::Weak, "journal.flood", what).on(line));
        }
        gaps(line, found, bases, findings);
        for bad in &found.bad {
            bad.tell(line, found, findings);
        }
        // What a line that the base was not taken in grew out of is to be known.
        let grown = bases.iter().any(|base| base.line.may_become(line)) && !bases.iter().any(|base| base.line == line);
        if grown && !found.history && !found.reach.stretches.is_empty() {
            let what = format!(
                "the history of timeline {line} is not there, without which no server goes on to it: `journal run` puts \
                 it when it follows a switch"
            );
            findings.push(Finding::new(Severity::Weak, "journal.missing", what).on(line));
        }
    }
    if lines.len() >= LINES {
        let what = format!("more than {LINES} lines are named in this journal; only these are judged");
        findings.push(Finding::new(Severity::Weak, "journal.flood", what));
    }
    for base in bases {
        let found = lines.get(base.line);
        let there = found.is_some_and(|found| found.reach.until(base.from).is_some());
        // Where pieces come after its beginning, that is a gap, and told as one.
        if !there && found.is_none_or(|found| gap_after(found, base.from).is_none()) {
            let what = format!(
                "nothing is in the vault of the log after this base, {} on: it can be recovered as it is, and to no later \
                 instant",
                base.line.say(base.from)
            );
            findings.push(Finding::new(Severity::Warning, "journal.missing", what).of(base.snapshot.id));
        }
    }
}

/// A gap is a weakness while nothing newer stands behind it, since then all that comes after it can't be recovered. With a
/// base behind it, what lies between is lost for good, and nobody can mend that.
fn gaps(line: &Line, found: &Found, bases: &[Base<'_>], findings: &mut Findings) {
    let own: Vec<&Base<'_>> = bases.iter().filter(|base| base.line == line).collect();
    let Some(first) = own.iter().map(|base| base.from).min() else { return };
    let before = gap_after(found, first).filter(|gap| gap.from == first);
    let after = found.reach.gaps().into_iter().filter(|gap| gap.to > first && gap.from >= first);
    for gap in before.into_iter().chain(after) {
        let (from, to) = (line.say(gap.from), line.say(gap.to));
        let behind = own.iter().any(|base| base.from >= gap.to);
        let damaged = found.bad.iter().any(|bad| !bad.forged && overlap(bad.span, gap));
        let about = own.iter().rfind(|base| base.from <= gap.from).map(|base| base.snapshot.id);
        let what = format!(
            "the log of line {line} has a gap from {from} to {to} ({} bytes): {}",
            gap.distance(),
            if behind {
                "instants in it can't be recovered; a later base stands behind it"
            } else {
                "nothing after it can be recovered until there is a new base; take one now"
            }
        );
        let severity = match (behind, damaged) {
            (_, true) => Severity::Error,
            (false, false) => Severity::Weak,
            (true, false) => Severity::Warning,
        };
        let finding = Finding::new(severity, "journal.gap", what).on(line);
        findings.push(about.map_or(finding.clone(), |id| finding.of(id)));
    }
}

fn overlap(a: Span, b: Span) -> bool {
    a.from < b.to && b.from < a.to
}

impl Bad {
    /// Whoever can only add may put any number of false pieces, and rot may have made any of them: it is damage where
    /// nothing else holds what it held, and something comes after it.
    fn tell(&self, line: &Line, found: &Found, findings: &mut Findings) {
        let (from, to) = (line.say(self.span.from), line.say(self.span.to));
        let covered = found.reach.until(self.span.from).is_some_and(|until| until >= self.span.to);
        let last = found.reach.newest().is_none_or(|newest| newest <= self.span.from);
        let what = |end: &str| format!("this piece, {from} to {to}, holds no such log: {}{end}", self.why);
        let finding = if self.forged {
            Finding::new(Severity::Warning, "journal.forged", what("; it is passed over"))
        } else if covered {
            Finding::new(Severity::Warning, "journal.damaged", what("; others hold the same"))
        } else if last {
            let end = "; nothing comes after it, so either the newest of the log is damaged, or somebody put it there";
            Finding::new(Severity::Warning, "journal.damaged", what(end))
        } else {
            Finding::new(Severity::Error, "journal.damaged", what(", and nothing else does"))
        };
        findings.push(finding.on(&self.key));
    }
}

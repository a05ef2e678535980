//! The pictures of the page, as SVG that stretches to whatever width there is. Labels are text beside them, so that they
//! stay readable on a phone.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{DrillLine, Page, Suite, day, lasting, markup::escape, when};
use crate::{
    model::{Time, size},
    vault::audit::Seen,
};

/// The width of every picture, in units of its own.
const WIDTH: f64 = 1000.0;
/// How many marks the axis has.
const TICKS: i64 = 5;
/// The most lines of one source; older snapshots are left out of the picture, and are in the table.
const LINES: usize = 120;

/// Maps times to places between the left and the right edge.
#[derive(Clone, Copy)]
struct Axis {
    from: i64,
    to: i64,
}

impl Axis {
    fn of(times: impl Iterator<Item = Time> + Clone) -> Option<Self> {
        let (from, to) = (times.clone().min()?.unix(), times.max()?.unix());
        let room = ((to - from) / 50).max(3600);
        Some(Self { from: from - room, to: to + room })
    }

    #[allow(clippy::cast_precision_loss, reason = "a place in a picture")]
    fn x(self, at: Time) -> f64 {
        let share = (at.unix() - self.from) as f64 / (self.to - self.from).max(1) as f64;
        (share * WIDTH).clamp(0.0, WIDTH)
    }

    fn labels(self, out: &mut String) {
        out.push_str("<div class=\"axis\">");
        for n in 0..TICKS {
            let at = self.from + (self.to - self.from) * n / (TICKS - 1);
            let _ = write!(out, "<span>{}</span>", day(Time::from_unix(at)));
        }
        out.push_str("</div>");
    }
}

/// Every snapshot as a line from its start to the end of its lock, by source.
pub(super) fn timeline(page: &Page, out: &mut String) {
    if page.snapshots.is_empty() {
        return;
    }
    let ends = |s: &Seen| s.locked_until.unwrap_or(s.floor_until).max(s.expires_at);
    // What a forged one says of its times would leave no room for the others.
    let snapshots = || page.snapshots.iter().filter(|s| !s.suspect);
    let times = snapshots().flat_map(|s| [s.started_at, ends(s)]).chain([page.at]);
    let Some(axis) = Axis::of(times) else { return };
    let mut sources: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for seen in snapshots() {
        sources.entry(seen.source.as_str()).or_default().push(seen);
    }
    out.push_str("<section><h2>Snapshots and their locks</h2><p class=\"legend\"><span class=\"key locked\"></span>locked \
        <span class=\"key owed\"></span>to be kept, not locked yet <span class=\"key over\"></span>lock over <span class=\"key \
        short\"></span>locked shorter than promised <span class=\"key now\"></span>now</p>");
    for (source, all) in sources {
        let shown = all.get(all.len().saturating_sub(LINES)..).unwrap_or(&all);
        let freshness = page.sources.iter().find(|f| f.source.as_str() == source);
        let late = if freshness.is_some_and(|f| f.stale) { " <b class=\"bad\">late</b>" } else { "" };
        let newest = all.last().map(|s| when(s.started_at)).unwrap_or_default();
        let _ = write!(
            out,
            "<figure><figcaption><b>{}</b> · {} snapshots · newest {newest}{late}</figcaption>",
            escape(source),
            all.len()
        );
        lines(shown, axis, page.at, out);
        out.push_str("</figure>");
    }
    axis.labels(out);
    out.push_str("</section>");
}

#[allow(clippy::cast_precision_loss, reason = "places in a picture")]
fn lines(shown: &[&Seen], axis: Axis, now: Time, out: &mut String) {
    let row = (420.0 / shown.len().max(1) as f64).clamp(3.0, 14.0);
    let height = row * shown.len() as f64 + 8.0;
    open(height, "snapshots over time with the ends of their locks", out);
    let x = axis.x(now);
    let _ = write!(out, "<line class=\"now\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{height:.0}\"/>");
    for (n, seen) in shown.iter().enumerate() {
        let y = (n as f64).mul_add(row, row / 2.0 + 4.0);
        let locked = seen.locked_until.unwrap_or(seen.started_at);
        let class = match () {
            () if seen.floor_until > now && locked < seen.floor_until => "short",
            () if locked <= now => "over",
            () => "locked",
        };
        let told =
            seen.locked_until.map_or_else(|| "not locked".to_owned(), |until| format!("locked until {}", when(until)));
        let _ = write!(
            out,
            "<g><title>{} {}: {told}, to be kept until {}</title>",
            seen.id.short(),
            when(seen.started_at),
            when(seen.expires_at)
        );
        let (from, to) = (axis.x(seen.started_at), axis.x(locked.max(seen.started_at)));
        if seen.expires_at > locked {
            let end = axis.x(seen.expires_at);
            let _ = write!(out, "<line class=\"owed\" x1=\"{to:.1}\" x2=\"{end:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
        }
        let _ = write!(
            out,
            "<line class=\"{class}\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><line class=\"dot\" \
             x1=\"{from:.1}\" x2=\"{from:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/></g>"
        );
    }
    out.push_str("</svg>");
}

/// What the snapshots stored, added up over time.
#[allow(clippy::cast_precision_loss, reason = "places in a picture")]
pub(super) fn growth(page: &Page, out: &mut String) {
    let mut snapshots: Vec<&Seen> = page.snapshots.iter().filter(|s| !s.suspect).collect();
    let stored: u64 = snapshots.iter().map(|s| s.stored).fold(0, u64::saturating_add);
    let Some(axis) = Axis::of(snapshots.iter().map(|s| s.started_at).chain([page.at])) else { return };
    if stored == 0 || snapshots.len() < 2 {
        return;
    }
    let told: u64 = snapshots.iter().map(|s| s.bytes).fold(0, u64::saturating_add);
    let (height, mut sum) = (140.0, 0_u64);
    let mut path = String::new();
    let y = |sum: u64| (height - 6.0) - (sum as f64 / stored as f64) * (height - 12.0);
    snapshots.sort_by_key(|seen| seen.started_at);
    let first = snapshots.first().map_or(0.0, |seen| axis.x(seen.started_at));
    let mut before = y(0);
    let _ = write!(path, "M{first:.1},{before:.1}");
    for seen in snapshots {
        sum = sum.saturating_add(seen.stored);
        let (x, now) = (axis.x(seen.started_at), y(sum));
        let _ = write!(path, " L{x:.1},{before:.1} L{x:.1},{now:.1}");
        before = now;
    }
    let last = axis.x(page.at).max(first);
    let _ = write!(path, " L{last:.1},{before:.1}");
    let _ = write!(
        out,
        "<section><h2>Storage</h2><figure><figcaption><b>{}</b> stored for <b>{}</b> of backups, in packs, since {}</figcaption>",
        size::human(stored),
        size::human(told),
        day(Time::from_unix(axis.from))
    );
    open(height, "bytes stored, added up over time", out);
    let base = y(0);
    let _ = write!(
        out,
        "<path class=\"area\" d=\"{path} L{last:.1},{base:.1} L{first:.1},{base:.1} Z\"/><path class=\"edge\" d=\"{path}\"/></svg>"
    );
    out.push_str("</figure>");
    axis.labels(out);
    out.push_str("</section>");
}

/// What a suite's time went into, as one bar.
pub(super) fn parts(suite: &Suite, out: &mut String) {
    let all: f64 = suite.parts.iter().map(|(_, seconds)| *seconds).sum();
    if all <= 0.0 {
        return;
    }
    out.push_str("<figure class=\"parts\">");
    open(14.0, "what the time went into", out);
    let mut x = 0.0;
    for (n, (name, seconds)) in suite.parts.iter().enumerate() {
        let width = seconds / all * WIDTH;
        let told = format!("{}: {}", escape(name), lasting(*seconds));
        let _ = write!(
            out,
            "<rect class=\"part{n}\" x=\"{x:.1}\" y=\"0\" width=\"{width:.1}\" height=\"14\"><title>{told}</title></rect>"
        );
        x += width;
    }
    out.push_str("</svg><p class=\"legend\">");
    for (n, (name, seconds)) in suite.parts.iter().enumerate() {
        let _ = write!(out, "<span class=\"key part{n}\"></span>{} {} ", escape(name), lasting(*seconds));
    }
    out.push_str("</p></figure>");
}

/// How long recoveries took, and what came of them.
#[allow(clippy::cast_precision_loss, reason = "places in a picture")]
pub(super) fn drills(drills: &[DrillLine], out: &mut String) {
    if drills.is_empty() {
        return;
    }
    let passed = drills.iter().filter(|d| d.passed && !d.suspect).count();
    let _ =
        write!(out, "<section><h2>Recovery drills</h2><figure><figcaption><b>{passed} of {}</b> passed", drills.len());
    let last = drills.iter().rev().find(|d| d.passed && !d.suspect);
    if let Some((rto, at)) = last.and_then(|d| Some((d.rto_s?, d.at))) {
        let _ = write!(out, " · the last recovery took <b>{}</b>, on {}", lasting(rto), day(at));
    }
    out.push_str("</figcaption>");
    out.push_str("</figure>");
    // By time to the second, and each source by itself: their recoveries are not to be compared.
    let mut sorted: Vec<&DrillLine> = drills.iter().collect();
    sorted.sort_by(|a, b| (a.at, &a.source).cmp(&(b.at, &b.source)));
    let mut sources: BTreeMap<&str, Vec<&DrillLine>> = BTreeMap::new();
    for drill in &sorted {
        sources.entry(drill.source.as_str()).or_default().push(drill);
    }
    for (source, all) in sources {
        of_source(source, all.get(all.len().saturating_sub(LINES)..).unwrap_or(&all), out);
    }
    table(sorted.get(sorted.len().saturating_sub(LINES)..).unwrap_or(&sorted), out);
    out.push_str("</section>");
}

/// The drills of one source, a bar each.
#[allow(clippy::cast_precision_loss, reason = "places in a picture")]
fn of_source(source: &str, shown: &[&DrillLine], out: &mut String) {
    let _ = write!(out, "<figure><figcaption><b>{}</b></figcaption>", escape(source));
    let most = shown.iter().filter_map(|d| d.rto_s).fold(0.001, f64::max);
    let (height, step) = (120.0, WIDTH / shown.len().max(6) as f64);
    open(height, "how long each recovery took", out);
    for (n, drill) in shown.iter().enumerate() {
        let tall = (drill.rto_s.unwrap_or(most) / most * (height - 8.0)).max(3.0);
        let class = if drill.passed && !drill.suspect { "good" } else { "fail" };
        let took = drill.rto_s.map(|s| format!(" in {}", lasting(s))).unwrap_or_default();
        let result = if drill.passed { "restored" } else { "failed" };
        let (x, y, width) = (n as f64 * step + step * 0.14, height - tall, step * 0.72);
        let (source, at) = (escape(&drill.source), when(drill.at));
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{tall:.1}\"><title>{at} {source}: \
             {result}{took}</title></rect>"
        );
    }
    out.push_str("</svg>");
    if let (Some(first), Some(last)) = (shown.first(), shown.last()) {
        let _ = write!(
            out,
            "<div class=\"axis\"><span>{}</span><span>tallest: {}</span><span>{}</span></div>",
            day(first.at),
            lasting(most),
            day(last.at)
        );
    }
    out.push_str("</figure>");
}

fn table(shown: &[&DrillLine], out: &mut String) {
    out.push_str(
        "<div class=\"wide\"><table><thead><tr><th>drill</th><th>source</th><th>result</th><th>recovery \
        took</th><th>data was old</th><th>signed by</th></tr></thead><tbody>",
    );
    let told = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), lasting);
    for drill in shown.iter().rev() {
        let result = match (drill.passed, drill.suspect) {
            (_, true) => "<b class=\"bad\">signer revoked</b>",
            (true, false) => "<b class=\"ok\">passed</b>",
            (false, false) => "<b class=\"bad\">failed</b>",
        };
        let member = escape(drill.member.as_deref().unwrap_or("not signed"));
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{result}</td><td>{}</td><td>{}</td><td>{member}</td></tr>",
            when(drill.at),
            escape(&drill.source),
            told(drill.rto_s),
            told(drill.rpo_s)
        );
    }
    out.push_str("</tbody></table></div>");
}

fn open(height: f64, label: &str, out: &mut String) {
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" style=\"height:{height:.0}px\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{label}\">"
    );
}

//! Where the point lies among the transactions of a log.

use super::super::point::{Point, Target, within};
use crate::{model::journal::Position, source::mariadb::binlog::Group};

/// What becomes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes back, and there may be more.
    Comes,
    /// It comes back, and nothing behind it.
    Last,
    /// It does not come back, nor anything behind it.
    Behind,
}

/// Judges a transaction that ends at `end`, by anything but a time.
pub(super) fn judge(target: &Target, group: &Group, end: Position) -> Verdict {
    let behind = |is| if is { Verdict::Behind } else { Verdict::Comes };
    match &target.point {
        Point::File { number, offset, .. } => {
            let at = within(*number, *offset);
            behind(end > at || (!target.inclusive && end == at))
        }
        Point::Gtid(gtid) if group.gtid == Some(*gtid) => {
            if target.inclusive {
                Verdict::Last
            } else {
                Verdict::Behind
            }
        }
        _ => Verdict::Comes,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Verdict::{Behind, Comes, Last},
        *,
    };

    #[test]
    fn a_transaction_comes_back_if_it_was_over_before_the_point() {
        let group =
            |number, at| Group { gtid: format!("0-1-{number}").parse().ok(), begin: 300, end: 400, at, length: 0 };
        let end = within(3, 400);
        let verdict = |point: &str, inclusive, group: &Group| {
            judge(&Target { point: point.parse().unwrap(), inclusive }, group, end)
        };
        let five = group(5, 1000);
        assert_eq!(verdict("gtid:0-1-5", true, &five), Last);
        assert_eq!(verdict("gtid:0-1-5", false, &five), Behind);
        assert_eq!((verdict("gtid:0-1-6", true, &five), verdict("latest", true, &five)), (Comes, Comes));
        for (point, inclusive, is) in [
            ("pos:3:400", true, Comes),
            ("pos:mariadb-bin.000003:400", false, Behind),
            ("pos:3:399", true, Behind),
            ("pos:2:9000", true, Behind),
            ("pos:4:4", false, Comes),
        ] {
            assert_eq!(verdict(point, inclusive, &five), is, "{point}");
        }
    }
}

//! Whether a receiver still hears its server. A connection that somebody's firewall forgot looks like one on which nothing is
//! said.

use std::time::{Duration, Instant, SystemTime};

/// A server that takes so long to say nothing is not there, whatever its connections look like.
const MUTE: Duration = Duration::from_secs(8);
/// So long a receiver may hear nothing of what the server wrote.
const DEAF: Duration = Duration::from_secs(40);

/// What was seen of a receiver and of the server that it receives from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// When the receiver's newest file was changed last.
    pub(super) touched: Option<SystemTime>,
    /// Where the server's log ends, if it said so over a new connection.
    pub(super) flushed: Option<u64>,
    /// How long it took to ask.
    pub(super) took: Duration,
}

/// Why a receiver is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deaf {
    /// The server writes, and the receiver hears nothing of it.
    Unheard,
    /// The server says nothing to anybody.
    Mute,
}

/// What was heard of one receiver.
#[derive(Debug, Default)]
pub(super) struct Ear {
    quiet: Option<Quiet>,
}

/// A receiver that wrote nothing, as it was seen first.
#[derive(Debug)]
struct Quiet {
    touched: Option<SystemTime>,
    flushed: Option<u64>,
    /// Since when the server is beyond that, or says nothing either.
    behind: Option<Instant>,
}

impl Ear {
    /// Forgets what was heard: there is no receiver, or a new one.
    pub(super) fn forget(&mut self) {
        self.quiet = None;
    }

    /// Takes what is seen `now`. Says if the receiver is to be ended.
    pub(super) fn hear(&mut self, seen: &Seen, now: Instant) -> Option<Deaf> {
        let Some(quiet) = self.quiet.as_mut().filter(|quiet| quiet.touched == seen.touched) else {
            self.quiet = Some(Quiet { touched: seen.touched, flushed: seen.flushed, behind: None });
            return None;
        };
        let written = matches!((seen.flushed, quiet.flushed), (Some(now), Some(before)) if now > before);
        let mute = seen.flushed.is_none() && seen.took >= MUTE;
        quiet.flushed = quiet.flushed.or(seen.flushed);
        if !written && !mute {
            quiet.behind = None;
            return None;
        }
        if now.duration_since(*quiet.behind.get_or_insert(now)) < DEAF {
            return None;
        }
        self.quiet = None;
        Some(if mute { Deaf::Mute } else { Deaf::Unheard })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look each twenty seconds; what is said at the last.
    fn told(looks: &[(u64, Option<u64>, u64)]) -> Vec<Option<Deaf>> {
        let (start, mut ear) = (Instant::now(), Ear::default());
        let looks = looks.iter().enumerate().map(|(n, (touched, flushed, took))| {
            let touched = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(*touched));
            let seen = Seen { touched, flushed: *flushed, took: Duration::from_secs(*took) };
            ear.hear(&seen, start + Duration::from_secs(20) * u32::try_from(n).unwrap())
        });
        looks.collect()
    }

    #[test]
    fn a_receiver_that_hears_nothing_of_a_server_that_writes_is_deaf() {
        let deaf = told(&[(1, Some(5), 0), (1, Some(6), 0), (1, Some(7), 0), (1, Some(8), 0)]);
        assert_eq!(deaf, [None, None, None, Some(Deaf::Unheard)], "after forty seconds, and not before");
        // Afterwards it begins anew.
        let again = told(&[(1, Some(5), 0), (1, Some(6), 0), (1, Some(7), 0), (1, Some(8), 0), (1, Some(9), 0)]);
        assert_eq!(again.last(), Some(&None));
    }

    #[test]
    fn one_that_writes_or_whose_server_does_not_is_not() {
        let fine = |looks: &[(u64, Option<u64>, u64)]| told(looks).iter().all(Option::is_none);
        let idle: Vec<_> = (0..50).map(|_| (1, Some(5), 0)).collect();
        assert!(fine(&idle), "a server that writes nothing");
        let busy: Vec<_> = (0..50).map(|n| (n, Some(n), 0)).collect();
        assert!(fine(&busy));
        // It comes late, and comes.
        assert!(fine(&[(1, Some(5), 0), (1, Some(6), 0), (1, Some(7), 0), (2, Some(8), 0), (2, Some(9), 0)]));
        // A connection that is refused at once says that somebody is there.
        let refused: Vec<_> = (0..50).map(|_| (1, None, 0)).collect();
        assert!(fine(&refused));
    }

    #[test]
    fn a_server_that_says_nothing_to_anybody_is_mute() {
        let mute = told(&[(1, Some(5), 0), (1, None, 10), (1, None, 10), (1, None, 10)]);
        assert_eq!(mute, [None, None, None, Some(Deaf::Mute)]);
        // It was asked for the first time when nothing was said any more, and has written since.
        let back = told(&[(1, None, 10), (1, Some(5), 0), (1, Some(6), 0), (1, Some(7), 0), (1, Some(8), 0)]);
        assert_eq!(back.last(), Some(&Some(Deaf::Unheard)));
    }
}

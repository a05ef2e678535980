//! What is looked at of a base's tars on their way by.

use super::{super::super::read::push_tail, zeros::Zeros};
use crate::codec::tar::{Step, Walk};

/// So much of the beginning of a file is kept, where it is wanted.
const HEAD: usize = 64 << 10;
/// So much of its end.
const TAIL: usize = 8 << 10;

/// What is kept of a file on its way by.
#[derive(Debug, Default, Clone)]
pub(super) struct Kept {
    /// Its beginning.
    pub(super) head: Vec<u8>,
    /// Its end.
    pub(super) tail: Vec<u8>,
}

impl Kept {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..room).unwrap_or_default());
        push_tail(&mut self.tail, bytes, TAIL);
    }
}

/// A tar on its way by: what is kept of files that are wanted, and whether it has its end.
pub(super) struct Seeing {
    walk: Walk,
    wanted: &'static [&'static str],
    kept: Vec<Option<Kept>>,
    at: Option<usize>,
    broken: Option<&'static str>,
    zeros: Zeros,
}

impl Seeing {
    pub(super) fn new(wanted: &'static [&'static str]) -> Self {
        Self {
            walk: Walk::default(),
            wanted,
            kept: vec![None; wanted.len()],
            at: None,
            broken: None,
            zeros: Zeros::default(),
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        let Self { walk, wanted, kept, at, broken, zeros } = self;
        *broken = walk
            .feed(bytes, |step| {
                match step {
                    Step::Begin(entry) => {
                        zeros.begin(&entry.path);
                        *at = wanted.iter().position(|wanted| *wanted == entry.path);
                        if let Some(kept) = at.and_then(|at| kept.get_mut(at)) {
                            *kept = Some(Kept::default());
                        }
                    }
                    Step::Bytes(bytes) => {
                        zeros.feed(bytes);
                        if let Some(Some(kept)) = at.and_then(|at| kept.get_mut(at)) {
                            kept.push(bytes);
                        }
                    }
                    Step::End => *at = None,
                }
                Ok::<_, &'static str>(())
            })
            .err();
    }

    /// What was kept of the wanted file `name`.
    pub(super) fn kept(&self, name: &str) -> Option<&Kept> {
        let at = self.wanted.iter().position(|wanted| *wanted == name)?;
        self.kept.get(at)?.as_ref()
    }

    /// What there is to say of pages of zeros.
    pub(super) fn zeros(&self) -> Option<String> {
        self.zeros.told()
    }

    /// Fails unless it is whole and has every file that is wanted.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        if let Some(why) = self.broken {
            return Err(format!("its tar {why}"));
        }
        if !self.walk.has_ended() {
            return Err("its tar has no end: it is cut short or damaged".to_owned());
        }
        match self.wanted.iter().zip(&self.kept).find(|(_, kept)| kept.is_none()) {
            Some((wanted, _)) => Err(format!("its tar has no {wanted}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tar::tests::tar;

    const WANTED: &[&str] = &["a", "b/c"];

    fn judge(bytes: &[u8]) -> std::result::Result<(), String> {
        let mut seeing = Seeing::new(WANTED);
        bytes.chunks(100).for_each(|some| seeing.feed(some));
        seeing.check()
    }

    #[test]
    fn a_tar_needs_its_end_and_the_files_that_are_wanted() {
        let long = [7; 1000];
        let both: [(&str, u8, &str, &[u8]); 2] = [("./a", b'0', "", &long), ("b/c", 0, "", &[])];
        let whole = tar(&both, 2);
        judge(&whole).unwrap();
        for len in 0..whole.len() {
            assert!(judge(&whole[..len]).is_err(), "{len}");
        }
        assert!(judge(&tar(&both[1..], 2)).unwrap_err().contains("no a"));
        assert!(judge(&[tar(&both, 2), tar(&both, 0)].concat()).unwrap_err().contains("behind its end"));
        let mut bad = whole.clone();
        bad[3] ^= 1;
        assert!(judge(&bad).unwrap_err().contains("damaged"));
        assert!(judge(&tar(&[("a", b'3', "", &[])], 2)).unwrap_err().contains("neither"));
        let mut seeing = Seeing::new(WANTED);
        seeing.feed(&whole);
        assert_eq!(seeing.kept("a").unwrap().head, long);
    }
}

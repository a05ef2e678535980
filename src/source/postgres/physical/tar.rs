//! Tar archives as `PostgreSQL` writes them, block by block: what a base backup holds is read while it passes by, and what
//! is restored of one is judged before anything is made.

use super::super::super::read::push_tail;

/// The size of a tar's blocks.
pub(crate) const BLOCK: usize = 512;
/// So much of the beginning of a file is kept, where it is wanted.
const HEAD: usize = 64 << 10;
/// So much of its end.
const TAIL: usize = 8 << 10;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to there.
    Link(String),
}

/// What stands before the bytes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path as it stands there, without `./` before it and a slash behind.
    pub(crate) path: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// The length of its bytes.
    pub(crate) bytes: u64,
}

impl Entry {
    /// Reads a block that is not empty.
    ///
    /// # Errors
    /// If it is no header, or of what no base backup holds.
    pub(crate) fn read(block: &[u8]) -> Result<Self, &'static str> {
        let field = |from: usize, len: usize| block.get(from..from + len).unwrap_or_default();
        let sum: u64 =
            block.iter().enumerate().map(|(at, b)| u64::from(if (148..156).contains(&at) { 32 } else { *b })).sum();
        if block.len() != BLOCK || number(field(148, 8)) != Some(sum) {
            return Err("has a header that is damaged");
        }
        let bytes = number(field(124, 12)).ok_or("has a header without a size")?;
        let name = text(field(0, 100))?;
        let path = match text(field(345, 155))? {
            before if before.is_empty() => name,
            before => format!("{before}/{name}"),
        };
        let path = path.strip_prefix("./").unwrap_or(&path).trim_end_matches('/').to_owned();
        let kind = match field(156, 1) {
            [b'0' | 0] => Kind::File,
            [b'5'] => Kind::Directory,
            [b'2'] => Kind::Link(text(field(157, 100))?),
            _ => return Err("holds what is neither a file nor a directory nor a link"),
        };
        if kind != Kind::File && bytes > 0 {
            return Err("has bytes where there are none");
        }
        Ok(Self { path, kind, bytes })
    }

    /// How many bytes follow its own to the next block.
    pub(crate) const fn padding(&self) -> u64 {
        self.bytes.wrapping_neg() % BLOCK as u64
    }
}

fn text(field: &[u8]) -> Result<String, &'static str> {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| "has a name that is no text")
}

/// A number in octal digits, or in binary where they don't suffice.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, rest)) = field.split_first() {
        return Some(rest.iter().rev().take(8).rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}

/// A step through a tar.
pub(crate) enum Step<'a> {
    /// An entry begins.
    Begin(&'a Entry),
    /// More of its bytes.
    Bytes(&'a [u8]),
    /// It has all of them.
    End,
}

/// Goes through a tar that comes in pieces of any size.
#[derive(Default)]
pub(crate) struct Walk {
    header: Vec<u8>,
    entry: Option<Entry>,
    left: u64,
    padding: u64,
    zeros: u32,
}

impl Walk {
    /// Takes the next bytes, and gives its steps to `each`.
    ///
    /// # Errors
    /// If it is no such tar, or `each` fails.
    pub(crate) fn feed<E: From<&'static str>>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Step<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            if let Some(entry) = self.entry.take_if(|_| self.left == 0) {
                self.padding = entry.padding();
                each(Step::End)?;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            let due = if self.left > 0 { self.left } else { self.padding };
            if due > 0 {
                let n = usize::try_from(due).unwrap_or(usize::MAX).min(bytes.len());
                let (now, rest) = bytes.split_at(n);
                if self.left > 0 {
                    self.left -= n as u64;
                    each(Step::Bytes(now))?;
                } else {
                    self.padding -= n as u64;
                }
                bytes = rest;
                continue;
            }
            let (now, rest) = bytes.split_at((BLOCK - self.header.len()).min(bytes.len()));
            self.header.extend_from_slice(now);
            bytes = rest;
            if self.header.len() == BLOCK {
                let header = std::mem::take(&mut self.header);
                self.block(&header, &mut each)?;
            }
        }
    }

    fn block<E: From<&'static str>>(
        &mut self,
        header: &[u8],
        each: &mut impl FnMut(Step<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if header.iter().all(|byte| *byte == 0) {
            self.zeros = self.zeros.saturating_add(1);
            return Ok(());
        }
        if self.zeros > 0 {
            return Err("goes on behind its end".into());
        }
        let entry = Entry::read(header)?;
        each(Step::Begin(&entry))?;
        self.left = entry.bytes;
        self.entry = Some(entry);
        Ok(())
    }

    /// Whether it has its end, and nothing is missing before it.
    pub(crate) const fn has_ended(&self) -> bool {
        self.zeros >= 2 && self.left == 0 && self.padding == 0 && self.header.is_empty()
    }
}

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
}

impl Seeing {
    pub(super) fn new(wanted: &'static [&'static str]) -> Self {
        Self { walk: Walk::default(), wanted, kept: vec![None; wanted.len()], at: None, broken: None }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        let Self { walk, wanted, kept, at, broken } = self;
        *broken = walk
            .feed(bytes, |step| {
                match step {
                    Step::Begin(entry) => {
                        *at = wanted.iter().position(|wanted| *wanted == entry.path);
                        if let Some(kept) = at.and_then(|at| kept.get_mut(at)) {
                            *kept = Some(Kept::default());
                        }
                    }
                    Step::Bytes(bytes) => {
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
pub(crate) mod tests {
    use super::*;

    /// A tar of entries: path, type, link, bytes.
    pub(crate) fn tar(entries: &[(&str, u8, &str, &[u8])], ends: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, kind, link, data) in entries {
            let mut header = [0; BLOCK];
            header[..path.len()].copy_from_slice(path.as_bytes());
            header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
            header[148..156].copy_from_slice(b"        ");
            header[156] = *kind;
            header[157..157 + link.len()].copy_from_slice(link.as_bytes());
            let sum: u64 = header.iter().map(|b| u64::from(*b)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            bytes.extend(header);
            bytes.extend(*data);
            bytes.extend(vec![0; data.len().wrapping_neg() % BLOCK]);
        }
        bytes.extend(vec![0; BLOCK * ends]);
        bytes
    }

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

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"00000001000\0"), Some(512));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(8 << 30));
        assert_eq!(number(b"x"), None);
    }
}

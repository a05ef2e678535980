//! Tar archives as `PostgreSQL` writes them, block by block: files, directories and links, and nothing else. The one reader of
//! their headers, for what is backed up and for what is restored.

/// The size of a tar's blocks.
pub const BLOCK: usize = 512;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to there.
    Link(String),
}

/// What stands before the bytes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path as it stands there, without `./` before it and a slash behind.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// The length of its bytes.
    pub bytes: u64,
}

impl Entry {
    /// Reads a block that is not empty.
    ///
    /// # Errors
    /// If it is no header, or of what no base backup holds: says what the tar has.
    pub fn read(block: &[u8]) -> Result<Self, &'static str> {
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
    pub const fn padding(&self) -> u64 {
        self.bytes.wrapping_neg() % BLOCK as u64
    }
}

fn text(field: &[u8]) -> Result<String, &'static str> {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| "has a name that is not text")
}

/// A number in octal digits, or in binary where they don't suffice.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, rest)) = field.split_first() {
        let fits = |value: u64, byte: &u8| Some(value.checked_mul(256)? | u64::from(*byte));
        return rest.iter().try_fold(0, fits);
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.starts_with('+') { None } else { u64::from_str_radix(text, 8).ok() }
}

/// A step through a tar.
pub enum Step<'a> {
    /// An entry begins.
    Begin(&'a Entry),
    /// More of its bytes.
    Bytes(&'a [u8]),
    /// It has all of them.
    End,
}

/// Goes through a tar that comes in pieces of any size.
#[derive(Default)]
pub struct Walk {
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
    pub fn feed<E: From<&'static str>>(
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
    pub const fn has_ended(&self) -> bool {
        self.zeros >= 2 && self.left == 0 && self.padding == 0 && self.header.is_empty()
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

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"00000001000\0"), Some(512));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(8 << 30));
        for none in [b"x".as_slice(), b"+7", b"-7", b"8", &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(number(none), None, "{none:?}");
        }
    }
}

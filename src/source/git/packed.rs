//! What a `packed-refs` says, and which of its lines can't be believed. Git refuses a file that was cut short, and passes over
//! names that are damaged; what such lines name may be the only copy of a commit all the same.

use super::{Oid, RefName};

/// What the first line begins with where there is one that is no ref.
const HEADER: &[u8] = b"# pack-refs with:";

/// The lines of a `packed-refs`.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Refs, in the order of the file.
    pub(super) refs: Vec<(RefName, Oid)>,
    /// What names an object by a line whose name can't be believed.
    pub(super) doubtful: Vec<Doubtful>,
    /// Lines that name nothing: what they are called, and what is wrong with them.
    pub(super) broken: Vec<(String, &'static str)>,
}

/// A line that names an object, but not certainly under the right name.
#[derive(Debug)]
pub(super) struct Doubtful {
    /// Its number, from 1 on.
    pub(super) line: usize,
    /// The name, if it is one.
    pub(super) name: Option<RefName>,
    /// What the line is called in messages.
    pub(super) shown: String,
    /// The object.
    pub(super) oid: Oid,
    /// Why its name is not believed.
    pub(super) why: &'static str,
}

const CUT: &str = "has no end, so the file was cut short: the refs that stood behind it are not known";
const NO_NAME: &str =
    "has no valid name of a ref, as after damage or an edit by a program that changes the ends of lines";
const NO_REF: &str = "is not a valid ref";
const NO_PEELED: &str = "does not say what the tag before it stands for";
const ORDER: &str = "stands out of order in a `packed-refs` that says it is sorted: its name or that of the line beside it is \
                     damaged, and git may not find it";

/// Takes a `packed-refs` apart.
pub(super) fn parse(text: &[u8]) -> Packed {
    let mut packed = Packed::default();
    let (mut sorted, mut after_ref) = (false, false);
    // Where each ref stands, for those that turn out to be out of order.
    let (mut lines, mut suspects): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for (at, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let (no, whole) = (at + 1, line.ends_with(b"\n"));
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if at == 0
            && whole
            && let Some(traits) = line.strip_prefix(HEADER).filter(|traits| are_traits(traits))
        {
            sorted = traits.split(|byte| *byte == b' ').any(|word| word == b"sorted");
            continue;
        }
        let was_after_ref = std::mem::replace(&mut after_ref, false);
        if let Some(peeled) = line.strip_prefix(b"^") {
            let known = oid(peeled).is_some_and(|_| whole && was_after_ref);
            if !known {
                packed.broken.push((shown(line), if whole { NO_PEELED } else { CUT }));
            }
            continue;
        }
        let mut words = line.splitn(2, |byte| *byte == b' ');
        let (Some(oid), Some(name)) = (words.next().and_then(oid), words.next()) else {
            packed.broken.push((shown(line), if whole { NO_REF } else { CUT }));
            continue;
        };
        after_ref = true;
        let doubt = |name, why| Doubtful { line: no, name, shown: shown(line), oid: oid.clone(), why };
        match RefName::parse(name) {
            _ if !whole => packed.doubtful.push(doubt(None, CUT)),
            None => packed.doubtful.push(doubt(None, NO_NAME)),
            Some(name) => {
                if sorted && packed.refs.last().is_some_and(|(before, _)| *before >= name) {
                    suspects.extend([packed.refs.len() - 1, packed.refs.len()]);
                }
                packed.refs.push((name, oid));
                lines.push(no);
            }
        }
    }
    packed.doubt(&suspects, &lines);
    packed
}

impl Packed {
    /// Takes the refs at `suspects`, which are in order, out of those that are believed.
    fn doubt(&mut self, suspects: &[usize], lines: &[usize]) {
        if suspects.is_empty() {
            return;
        }
        let mut suspects = suspects.iter().peekable();
        for (at, (name, oid)) in std::mem::take(&mut self.refs).into_iter().enumerate() {
            let mut doubted = false;
            while suspects.next_if(|suspect| **suspect <= at).is_some() {
                doubted = true;
            }
            if doubted {
                let line = lines.get(at).copied().unwrap_or_default();
                self.doubtful.push(Doubtful { line, shown: name.to_string(), name: Some(name), oid, why: ORDER });
            } else {
                self.refs.push((name, oid));
            }
        }
    }
}

/// Whether these are words, and not the next line behind an end that is damaged.
fn are_traits(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_lowercase() || b" -".contains(byte))
}

fn oid(word: &[u8]) -> Option<Oid> {
    std::str::from_utf8(word).ok().and_then(Oid::parse)
}

fn shown(line: &[u8]) -> String {
    format!("packed-refs: {:?}", String::from_utf8_lossy(line).chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(packed: &Packed) -> Vec<String> {
        packed.refs.iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn a_cut_at_any_byte_is_told_or_takes_whole_lines() {
        let (a, b, c) = ("a1".repeat(20), "b2".repeat(20), "c3".repeat(20));
        let text = format!(
            "# pack-refs with: peeled fully-peeled sorted \n{a} refs/heads/main\n{b} refs/tags/v1\n^{c}\n{c} refs/tags/v2\n"
        );
        let whole = parse(text.as_bytes());
        assert_eq!(names(&whole), ["refs/heads/main", "refs/tags/v1", "refs/tags/v2"]);
        assert!(whole.doubtful.is_empty() && whole.broken.is_empty());
        for end in 1..text.len() {
            let cut = &text[..end];
            let packed = parse(cut.as_bytes());
            let told = packed.doubtful.len() + packed.broken.len();
            assert_eq!(told, usize::from(!cut.ends_with('\n')), "{cut:?}: {packed:?}");
            assert!(names(&packed).iter().all(|name| names(&whole).contains(name)), "{cut:?}: {packed:?}");
        }
        // What the last line names is known once its name has begun.
        let packed = parse(&text.as_bytes()[..text.len() - 2]);
        assert!(packed.doubtful[0].oid.as_str() == c && packed.doubtful[0].name.is_none());
        // So is every flip of a line's end.
        for (at, _) in text.match_indices('\n') {
            let mut flipped = text.clone().into_bytes();
            flipped[at] ^= 0x40;
            let packed = parse(&flipped);
            assert!(!packed.doubtful.is_empty() || !packed.broken.is_empty(), "{at}: {packed:?}");
        }
    }

    #[test]
    fn lines_that_git_would_not_write_are_told() {
        let (a, b) = ("a1".repeat(20), "b2".repeat(20));
        let broken = |text: &str| {
            let packed = parse(text.as_bytes());
            (names(&packed).join(" "), packed.doubtful.len(), packed.broken.len())
        };
        let main = "refs/heads/main".to_owned();
        assert_eq!(broken(&format!("{a} refs/heads/main\n^{b}\n^{b}\n")), (main.clone(), 0, 1));
        assert_eq!(broken(&format!("^{b}\n{a} refs/heads/main\n")), (main.clone(), 0, 1));
        assert_eq!(broken(&format!("{a} refs/heads/main\n^{}\n", &b[..39])), (main.clone(), 0, 1));
        assert_eq!(broken(&format!("{a} refs/heads/main\n\n# not the first line\n")), (main.clone(), 0, 2));
        assert_eq!(broken(&format!("! pack-refs with: sorted\n{a} refs/heads/main\n")), (main.clone(), 0, 1));
        assert_eq!(broken(&format!("{a} refs/heads/main\r\n{b} refs/heads/\x01x\n")), (String::new(), 2, 0));
        assert_eq!(broken("\0\0\0"), (String::new(), 0, 1));
        assert_eq!(broken(""), (String::new(), 0, 0));
    }

    #[test]
    fn neither_of_two_names_out_of_order_is_believed() {
        let oid = |n: usize| format!("{n:040x}");
        let lines = |names: &[&str]| -> String {
            let lines = names.iter().enumerate().map(|(n, name)| format!("{} refs/heads/{name}\n", oid(n)));
            lines.collect::<Vec<_>>().concat()
        };
        let header = "# pack-refs with: peeled fully-peeled sorted \n";
        let packed = parse(format!("{header}{}", lines(&["a", "z", "c", "d"])).as_bytes());
        assert_eq!(names(&packed), ["refs/heads/a", "refs/heads/d"]);
        let doubted: Vec<_> = packed.doubtful.iter().map(|d| (d.shown.as_str(), d.line, d.oid.as_str())).collect();
        let (one, two) = (oid(1), oid(2));
        assert_eq!(doubted, [("refs/heads/z", 3, one.as_str()), ("refs/heads/c", 4, two.as_str())]);
        assert_eq!(parse(format!("{header}{}", lines(&["a", "a", "d"])).as_bytes()).doubtful.len(), 2);
        // A file that promises nothing may have any order.
        assert_eq!(names(&parse(lines(&["a", "z", "c"]).as_bytes())).len(), 3);
    }
}

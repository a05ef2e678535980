//! Whether an answer in XML came whole: the SDK takes one whose end is missing for a shorter one, so that a listing that
//! a proxy cut after an entry would hide all that follows.

use std::{error::Error, fmt};

/// How much of an answer that can't be understood is shown, in characters.
const SHOWN: usize = 80;

/// An answer that broke off.
#[derive(Debug)]
pub(super) struct Cut {
    /// What the answer is, by its outermost tag.
    root: String,
    bytes: usize,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer breaks off after {} bytes: </{}> is missing at its end", self.bytes, self.root)
    }
}

impl Error for Cut {}

/// The fault of an answer that begins as XML and does not end as it.
///
/// # Errors
/// If the end is missing.
pub(super) fn whole(body: &[u8]) -> Result<(), Cut> {
    let mut rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    // The declaration and comments come before the outermost tag.
    while rest.starts_with(b"<?") || rest.starts_with(b"<!") {
        let end: &[u8] = if rest.starts_with(b"<!--") { b"-->" } else { b">" };
        let Some(at) = rest.windows(end.len()).position(|window| window == end) else { break };
        rest = rest.get(at + end.len()..).unwrap_or_default().trim_ascii_start();
    }
    // No XML at all, or nothing but its declaration: where something was to be told, reading it fails.
    let Some(tag) = rest.strip_prefix(b"<") else { return Ok(()) };
    let name: Vec<u8> =
        tag.iter().copied().take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b'>' | b'/')).collect();
    let opening = tag.iter().position(|byte| *byte == b'>');
    let alone = opening.is_some_and(|at| at + 1 == tag.len() && tag.get(..at).is_some_and(|tag| tag.ends_with(b"/")));
    let closed = rest.strip_suffix(b">").map(<[u8]>::trim_ascii_end).and_then(|rest| rest.strip_suffix(&name[..]));
    if alone || closed.is_some_and(|rest| rest.ends_with(b"</")) {
        return Ok(());
    }
    let root = String::from_utf8_lossy(&name).chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    Err(Cut { root, bytes: body.len() })
}

/// How an answer begins that could not be understood, on one line.
pub(super) fn beginning(body: &[u8]) -> String {
    let head = String::from_utf8_lossy(body.get(..body.len().min(4 * SHOWN)).unwrap_or_default()).into_owned();
    let line: String = head.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    let more = if head.chars().count() > SHOWN || body.len() > head.len() { "…" } else { "" };
    format!("{:?}{more}", line.trim())
}

/// Whether an answer that says no is an error of S3.
pub(super) fn is_error(body: &[u8]) -> bool {
    body.windows(6).any(|part| part == b"<Error") && body.windows(5).any(|part| part == b"<Code")
}

/// The words of a page, without its tags, on one bounded line.
pub(super) fn words(page: &[u8]) -> String {
    let head = String::from_utf8_lossy(page.get(..page.len().min(64 * SHOWN)).unwrap_or_default()).into_owned();
    let (mut text, mut depth) = (String::new(), 0_u32);
    for c in head.chars() {
        match c {
            '<' => depth += 1,
            '>' if depth > 0 => {
                depth -= 1;
                text.push(' ');
            }
            c if depth == 0 => text.push(if c.is_control() { ' ' } else { c }),
            _ => {}
        }
    }
    let mut words: Vec<&str> = text.split_whitespace().collect();
    // A page says in its title what it says in its text.
    for half in (1..=words.len() / 2).rev() {
        if words.get(..half) == words.get(half..2 * half) {
            words.drain(..half);
            break;
        }
    }
    let line: String = words.join(" ").chars().take(2 * SHOWN).collect();
    format!("{line:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that Ceph says of a bucket that is not encrypted.
    const DECLARED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    const LISTING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- a > b -->\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <Name>vault</Name><Contents><Key>a&lt;/ListBucketResult</Key></Contents></ListBucketResult>";

    #[test]
    fn what_is_whole_is_told_from_what_is_cut_anywhere() {
        for body in
            [LISTING, &format!("{LISTING}\n\r\n"), "<A/>", "<A x='1' />", "<a></a>", "<a> </a >", "", "{}", "OK"]
        {
            assert!(whole(body.as_bytes()).is_ok(), "{body}");
        }
        // Where it ends before the outermost tag, there is nothing that could be believed.
        let begun = LISTING.find("<ListBucketResult").unwrap();
        for len in (1..DECLARED.len()).chain(begun + 1..LISTING.len()) {
            assert!(whole(&LISTING.as_bytes()[..len]).is_err(), "cut after {len} bytes");
        }
        let told = whole(&LISTING.as_bytes()[..LISTING.len() - 19]).unwrap_err().to_string();
        assert!(told.contains("</ListBucketResult> is missing"), "{told}");
    }

    #[test]
    fn a_page_is_its_words() {
        let page = b"<html>\r\n<head><title>413 Too Large</title></head>\r\n<body>\r\n<center><h1>413 Too Large</h1></center>\r\n\
            <hr><center>nginx/1.22</center>";
        assert_eq!(words(page), "\"413 Too Large nginx/1.22\"");
        assert!(!is_error(page) && is_error(b"<?xml?><Error><Code>NoSuchKey</Code></Error>"));
        assert!(words(&[b'x'; 9000]).len() < 200);
    }

    #[test]
    fn the_beginning_of_an_answer_is_one_bounded_line() {
        assert_eq!(beginning(b"<html>\n<body>"), "\"<html> <body>\"");
        assert!(beginning(&[b'x'; 1000]).len() < 100 && beginning(&[0xff; 1000]).chars().count() < 100);
    }
}

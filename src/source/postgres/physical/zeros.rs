//! Pages of zeros in the files of tables. A server takes such a page for one that nothing was put into yet, and no checksum
//! covers it: rows that a disk lost so are missing from every answer, and nothing says so. Tables that grew while many wrote, or
//! before a crash, may have a few that never held anything.

/// The length of a page, unless a server was built otherwise.
pub(super) const PAGE: usize = 8 << 10;
/// Where a page says where its special part begins, and how much of it is kept for that.
const SPECIAL: usize = 16;
const HEAD: usize = 18;
/// So many runs are named.
const NAMED: usize = 10;

/// Looks for them in what passes.
#[derive(Debug, Default)]
pub(super) struct Zeros {
    at: Option<File>,
    named: Vec<String>,
    runs: usize,
    pages: u64,
}

/// A file on its way by.
#[derive(Debug)]
struct File {
    path: String,
    page: u64,
    /// How much of the page was seen, whether all of that is zeros, and its beginning.
    seen: usize,
    zeros: bool,
    head: [u8; HEAD],
    /// Pages of zeros before it.
    run: u64,
}

impl Zeros {
    /// A file begins.
    pub(super) fn begin(&mut self, path: &str) {
        let file = || File { path: path.to_owned(), page: 0, seen: 0, zeros: true, head: [0; HEAD], run: 0 };
        self.at = is_of_relation(path).then(file);
    }

    /// Some of its bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        let Some(file) = &mut self.at else { return };
        while let Some((part, rest)) =
            bytes.split_at_checked(bytes.len().min(PAGE - file.seen)).filter(|(p, _)| !p.is_empty())
        {
            for (at, byte) in part.iter().enumerate().take(HEAD.saturating_sub(file.seen)) {
                if let Some(kept) = file.head.get_mut(file.seen + at) {
                    *kept = *byte;
                }
            }
            file.zeros = file.zeros && part.iter().all(|byte| *byte == 0);
            file.seen += part.len();
            bytes = rest;
            if file.seen == PAGE
                && let Some(found) = file.turn()
            {
                self.runs += 1;
                self.pages += found.0;
                if self.named.len() < NAMED {
                    self.named.push(found.1);
                }
            }
        }
    }

    /// What there is to say of a tar.
    pub(super) fn told(&self) -> Option<String> {
        let more = self.runs.saturating_sub(self.named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (self.runs > 0).then(|| {
            format!(
                "{} pages of zeros lie between pages with rows: {}{more}. A server that crashed, or many that write at once, leave \
                 a few that never held anything; a disk that lost pages leaves them so, too, and no checksum tells. Compare with an \
                 earlier snapshot: which table a file is tells pg_filenode_relation()",
                self.pages,
                self.named.join(", ")
            )
        })
    }
}

impl File {
    /// A page ends: how many pages of zeros there are before it, and where, if it is one of a table.
    fn turn(&mut self) -> Option<(u64, String)> {
        let (page, run) = (self.page, self.run);
        let special =
            self.head.get(SPECIAL..).and_then(|at| at.first_chunk()).map(|at| usize::from(u16::from_le_bytes(*at)));
        let (zeros, first) = (self.zeros, page - run.min(page));
        (self.page, self.seen, self.zeros) = (page + 1, 0, true);
        self.run = if zeros { run + 1 } else { 0 };
        // Those of indexes have a special part, and some indexes have room between their pages.
        let of_table = special == Some(PAGE);
        (!zeros && of_table && run > 0).then(|| {
            let last = first + run - 1;
            let blocks = if run == 1 { format!("block {first}") } else { format!("blocks {first} to {last}") };
            (run, format!("{} {blocks}", self.path))
        })
    }
}

/// Whether it is the main file of a table or an index, or a further part of it: `base/5/16384.1`.
fn is_of_relation(path: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((dir, name)) = path.rsplit_once('/') else { return false };
    let dir = dir.rsplit('/').next().unwrap_or(dir);
    let (number, part) = name.split_once('.').unwrap_or((name, "0"));
    digits(number) && digits(part) && (dir == "global" || digits(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(special: u16) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        page[SPECIAL..SPECIAL + 2].copy_from_slice(&special.to_le_bytes());
        page
    }

    fn told(path: &str, pages: &[Vec<u8>], step: usize) -> Option<String> {
        let mut zeros = Zeros::default();
        zeros.begin(path);
        pages.concat().chunks(step).for_each(|some| zeros.feed(some));
        zeros.told()
    }

    #[test]
    fn pages_of_zeros_between_those_of_a_table_are_told() {
        let (row, zero, index) = (page(8192), vec![0; PAGE], page(8176));
        let damaged = [row.clone(), zero.clone(), zero.clone(), row.clone(), zero.clone(), row.clone(), zero.clone()];
        for step in [7, 512, PAGE, 100_000] {
            let found = told("base/5/16384.1", &damaged, step).unwrap();
            assert!(
                found.starts_with("3 pages") && found.contains("16384.1 blocks 1 to 2, base/5/16384.1 block 4."),
                "{found}"
            );
        }
        assert_eq!(told("base/5/16384", &[row.clone(), zero.clone()], PAGE), None);
        assert_eq!(told("base/5/16384", &[index.clone(), zero, index], PAGE), None);
        for other in ["base/5/16384_vm", "pg_wal/000000010000000000000001", "pg_xact/0000", "backup_label"] {
            assert_eq!(told(other, &damaged, PAGE), None, "{other}");
        }
        assert!(is_of_relation("PG_15_202209061/5/7") && is_of_relation("global/1262"));
    }
}

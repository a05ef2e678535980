//! The table of the rules. `docs/signals.md` holds the same rows, and a test holds them against each other.

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its stable name.
    pub name: &'static str,
    /// What it looks at.
    pub looks_at: &'static str,
    /// When it speaks, and how loud.
    pub speaks: &'static str,
    /// Why that is worth it.
    pub why: &'static str,
    /// What it can't see.
    pub blind: &'static str,
}

macro_rules! rules {
    ($($id:ident $name:literal: $looks:literal, $speaks:literal, $why:literal, $blind:literal;)*) => {
        $(pub(super) const $id: Rule = Rule { name: $name, looks_at: $looks, speaks: $speaks, why: $why, blind: $blind };)*
        /// All rules, in the order of their names.
        pub const ALL: &[&Rule] = &[$(&$id),*];
    };
}

rules! {
    COLUMNS_SEALED "columns.sealed":
        "the types of a table's columns",
        "alarm where a column that held something else holds raw bytes now, or was replaced by one that does, in a table of 10 rows or more",
        "values that were encrypted in place are bytes, and hardly any migration makes text into bytes",
        "values that were encrypted and stored as text again: see `rows.rewritten`";
    DATA_COLLAPSED "data.collapsed":
        "bytes of each stream, where nothing is known of what is in it, of 4 KiB or more; numbers in names do not count",
        "alarm where 95% are gone since the run before, at once; alarm from half on and notice from a fifth on if that is unusual, after 5 runs",
        "a dump that ended early or was emptied may end with success all the same",
        "a loss that is made up for with other bytes";
    DATA_GROWN "data.grown":
        "bytes of all streams",
        "notice from three times the median on, and from 10 MiB on, after 5 runs",
        "imports are wanted mostly, and cost storage",
        "growth of a few percent a day";
    DATA_OPAQUE "data.opaque":
        "how far new data shrinks when it is compressed",
        "1 MiB or more of new data, a fifth of all, which shrinks less than usual by 6 spreads and by a quarter of its size: alarm if the whole did not grow by a quarter and half of it is new, else notice; after 5 runs",
        "what was encrypted does not shrink, and stands in the place of what was there",
        "data that never shrank, and encryption that is written in hex or base64 to a small part";
    FILES_CHANGING "files.changing":
        "a sample of the contents of files, over 5 runs and over 5 days, of 10 files or more",
        "of the contents that were there a week before, or a few runs: alarm where at least 4 of 5 steps lost more than usual, together 3% or more beyond what 5 runs usually lose and beyond what chance does; notice if that happened before",
        "files that are encrypted a few at a time never make a day that stands out",
        "less than 3% in 5 days; a tree where that is usual";
    FILES_LOST "files.lost":
        "a sample of the contents of files, wherever they lie, and of their names, of 10 files or more",
        "alarm where half of the contents are nowhere any more, notice from a fifth on, if that is unusual; after 5 runs, and at once from 95% on",
        "files that were encrypted, renamed with it, emptied or overwritten have contents that nobody has seen; moved and rotated ones have not",
        "a tree whose files are all rewritten each time";
    REFS_DEFAULT "refs.default":
        "the branch that `HEAD` stands on",
        "alarm where it is gone, or its history was replaced and never was in the runs that are remembered; notice where it was, where another branch takes its place, and where the writer does not know what became of the branches",
        "a force-push to the main branch drops what others built upon",
        "a history that the writer says went forward and did not";
    REFS_GONE "refs.gone":
        "branches that were there in 5 runs, those with a common first part counted as one; tags",
        "alarm where no branch is left, or none but the default of four or more, or half of the branches (two or more) or half of the tags (three or more) are gone and that is unusual; notice where four fifths of a group of ten are",
        "robots delete branches by the hundred, but people do not delete those of others at once",
        "branches deleted one a week";
    REFS_REWRITTEN "refs.rewritten":
        "how many branches had their history replaced, and tags that name something else",
        "alarm where it is half of the branches and five or more, or half of the tags and three or more, and that is unusual, after 5 runs; notice for any tag",
        "rebases are everyday life on a few branches, and not on all of them in one day",
        "a repository where all branches are rebased each day";
    ROLES_GREW "roles.grew":
        "what roles of the server may do and which roles they are members of",
        "alarm where a role got, or a new one has, superuser, createrole, replication, bypassrls or a role that has them or reads and runs files; notice for other roles and rights",
        "rights are taken first and used later",
        "rights on tables, and what a role did between two runs and gave back";
    ROWS_CHANGED "rows.changed":
        "the hashes of tables that never changed, where no sample of their rows is known",
        "notice where one changed, alarm where half of them and three or more did in one run; after 5 runs",
        "what never changes changes for a reason",
        "tables that change each day: see `rows.rewritten`";
    ROWS_CHANGING "rows.changing":
        "a sample of each table's rows, over 5 runs and over 5 days, of 50 rows or more",
        "of the rows that were there a week before, or a few runs: alarm where at least 4 of 5 steps lost or altered more than usual, together 3% or more beyond what 5 runs usually do and beyond what chance does; notice if that happened before",
        "a column that is encrypted two in a hundred a day, or rows that are deleted while others come, never make a day that stands out",
        "less than 3% in 5 days; tables of which more is altered each day; what grows no faster than new rows do";
    ROWS_EMPTIED "rows.emptied":
        "rows of tables that had 10 or more",
        "alarm where a hundredth or less is left and that never happened to the table, after 5 runs; notice before. At once where it is all tables",
        "DELETE without WHERE, and TRUNCATE",
        "tables that are emptied now and then anyway";
    ROWS_LOST "rows.lost":
        "rows of each table",
        "alarm where half are gone and 50 or more, notice from a fifth on and in a table whose rows are all others at each run, if that is unusual for the table and its weekday and nothing of the kind happened before, after 5 runs",
        "a purge takes what is old, a mistake takes most",
        "a fifth or less at once";
    ROWS_REWRITTEN "rows.rewritten":
        "a sample of each table's rows, of 50 rows or more",
        "alarm where half of the rows that are not deleted are altered and that is unusual, after 5 runs; notice from a fifth on, and where the table's columns changed as well",
        "UPDATE without WHERE, and columns that are encrypted at once",
        "an alteration that comes with a change of the table's columns, which is reported as a notice; a table that is rewritten each day";
    ROWS_SHRINKING "rows.shrinking":
        "rows of each table, over 5 runs and over 5 days, of 50 rows or more",
        "alarm where at least 4 of 5 steps lost more than usual, together 3% or more and more than 5 runs usually lose; notice if that happened before",
        "one row in a hundred a day is not an event, and a third of the table after five weeks",
        "less than 3% in 5 days";
    RUNS_FLOOD "runs.flood":
        "snapshots of a day",
        "alarm from ten on and from five times as many as on any day of the last 60, after 5 days",
        "whoever has a writer's key can push what is usual out of sight by many false runs",
        "a flood that begins in the first days";
    RUNS_QUIET "runs.quiet":
        "the time since the last snapshot",
        "alarm after one and a half of the configured `every`; where there is none, after two and a quarter of the usual interval, a quarter more than the longest of the last 30 that was no outage of three usual ones, and two hours; after 5 runs",
        "backups that stopped are the first half of an attack and the commonest accident",
        "a writer that goes on making snapshots of nothing new: see `state.frozen`";
    SEQUENCES_BACK "sequences.back":
        "where sequences stand",
        "alarm where one went back that never did, after 2 runs",
        "numbers that were given out are given out again: an older copy was restored over what was there",
        "databases without sequences";
    STATE_BACK "state.back":
        "the contents as a whole",
        "alarm where they are those of a run 4 or more before, with others between; notice if that happened before",
        "a restored older copy looks healthy in every other way; a replayed one as well",
        "an old copy to which anything was added";
    STATE_FROZEN "state.frozen":
        "the contents as a whole",
        "notice after 3 days without any change and alarm after 4, each at least one more than twice the longest spell before, where 8 of 10 days changed something",
        "a writer that was taken over may go on putting what it put before",
        "sources that seldom change";
    TABLES_GONE "tables.gone":
        "tables by name; numbers in names do not count where the number of such tables stays",
        "alarm where one of 10 rows or more is gone whose rows are in no new table of like columns, unless as large a share of all rows went in this way before; at once where none is left. Else notice",
        "DROP TABLE and DROP SCHEMA; a table that was renamed or copied has its rows elsewhere",
        "a table that is replaced by one of as many rows and like columns with false contents";
}

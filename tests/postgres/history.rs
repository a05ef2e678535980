//! Which log a base goes on with: that of its own server, in the timeline that was asked for, and never two of them mixed.

use std::fs;

use strongroom::model::journal::Position;

use crate::recover::{Lab, SEGMENT, started_with};

#[test]
fn a_server_that_recovered_takes_no_timeline_that_another_had() {
    let mut lab = Lab::new();
    lab.base();
    lab.row(1);
    lab.ship();
    let dir = lab.out.path().join("second");
    lab.recover("latest", "second", &[]).ok();
    let data = dir.join("cluster");
    let walfile = "select left(pg_walfile_name(pg_current_wal_lsn()), 8)";
    started_with(&dir, &data, |ask| {
        assert_eq!(ask(walfile), "00000002");
        ask("insert into t values (2); insert into f values (2)");
        let to = Position::from_lsn(&ask("select pg_current_wal_flush_lsn()")).unwrap();
        let history = fs::read(data.join("pg_wal/00000002.history")).unwrap();
        lab.put(&data, (2, Some(&history)), (Position(to.0 / SEGMENT * SEGMENT), to), None);
    });
    lab.row(3);
    lab.ship();
    // The other way is told, and the server that is left out keeps its number.
    let told = lab.recover("latest", "third", &["--timeline", "1"]).ok().json();
    assert!(told["findings"].to_string().contains("journal.elsewhere"), "{told:#}");
    let dir = lab.out.path().join("third");
    let took = started_with(&dir, &dir.join("cluster"), |ask| ask(walfile));
    assert_eq!(took, "00000003", "2 is another server's");
    // A newer base that does not lead there is passed over for one that does.
    lab.base();
    let (told, rows) = lab.rows("latest", "older", &["--timeline", "2"]);
    assert_eq!(rows, "1,2", "{told:#}");
    let (told, rows) = lab.rows("latest", "newest", &[]);
    assert_eq!(rows, "1,3", "{told:#}");
}

#[test]
fn the_log_of_another_history_is_not_laid_over_a_base() {
    let lab = Lab::new();
    let from = lab.shipped;
    lab.row(1);
    lab.base();
    lab.row(2);
    // As a server writes it that was set back and went another way: the same positions, other bytes.
    let (fake, to) = (lab.out.path().join("fake"), lab.lsn());
    fs::create_dir_all(fake.join("pg_wal")).unwrap();
    for entry in fs::read_dir(lab.server.data().join("pg_wal")).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), fake.join("pg_wal").join(entry.file_name())).unwrap();
        }
    }
    // A base begins a segment. In the checksum of its first record, which a search for a point does not look at.
    let number = (from.0 & 0xffff_ffff) / SEGMENT + 1;
    let segment = fake.join(format!("pg_wal/00000001{:08X}{number:08X}", from.0 >> 32));
    let mut bytes = fs::read(&segment).unwrap();
    bytes[40 + 20] ^= 1;
    fs::write(&segment, bytes).unwrap();
    lab.put(&fake, (1, None), (from, to), None);
    let told = lab.recover("latest", "joined", &[]).code(1).json();
    let said = told["error"]["message"].as_str().unwrap();
    assert!(said.contains("not the one that the base was taken in"), "{told:#}");
    assert!(!lab.out.path().join("joined/cluster").exists());
    let drill = lab.sandbox.reader(&["drill", "cluster", "--json"]);
    assert_ne!(drill.code, 0, "{}", drill.stderr);
}

#[test]
fn a_prepared_transaction_is_a_point() {
    let mut lab = Lab::new();
    lab.base();
    lab.row(1);
    let prepare = |id: u32, name: &str| -> u64 {
        // What each of them invalidates stands in the record before the transaction.
        let many = (0..40).map(|n| format!("create table made_{id}_{n} ();")).collect::<Vec<_>>().concat();
        let sql = format!(
            "begin; insert into t values ({id}); insert into f values ({id}); {many} select txid_current(); \
             prepare transaction '{name}'"
        );
        lab.server.sql("postgres", &sql).parse().unwrap()
    };
    let (kept, dropped) = (prepare(7, "kept"), prepare(8, "dropped"));
    lab.row(2);
    lab.server.sql("postgres", "commit prepared 'kept'");
    lab.row(3);
    lab.server.sql("postgres", "rollback prepared 'dropped'");
    lab.row(4);
    lab.ship();
    for (point, more, rows) in [(kept, &[][..], "1,2,7"), (kept, &["--exclusive"], "1,2"), (dropped, &[], "1,2,3,7")] {
        let (told, came) = lab.rows(&format!("xid:{point}"), "back", more);
        assert_eq!(came, rows, "{point} {more:?}: {told:#}");
    }
    // The same number of another epoch is another transaction.
    let told = lab.recover(&format!("xid:{}", kept + (1 << 32)), "none", &[]).code(1).json();
    assert!(told["error"]["message"].as_str().unwrap().contains("is not in the log"), "{told:#}");
}

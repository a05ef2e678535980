//! Whoever waits for the locks of a dump is seen, so that the rest of the backup can give way.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use strongroom::source::{
    MariadbSource, Source,
    mariadb::{Databases, Depth, Flavour, Login},
};

use crate::server::Server;

#[test]
fn a_change_of_a_table_that_waits_for_its_dump_is_seen() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE t (i INT PRIMARY KEY, t TEXT) ENGINE=InnoDB \
         AS SELECT seq AS i, REPEAT(MD5(seq), 28) AS t FROM seq_1_to_60000",
    );
    let login = Login { socket: Some(server.socket()), user: Some("root".to_owned()), ..Login::default() };
    // Without a place on a disk the dump waits for its reader, with more than fits into memory on its way.
    let databases = Databases::Named(vec!["shop".to_owned()]);
    let mut reading = MariadbSource::new(Flavour::Mariadb, login, databases, Depth::Hash).open().unwrap();
    let mut stream = reading.next_stream().unwrap().unwrap();
    let haste = reading.haste().unwrap();
    assert!(!haste.waited_for());
    // It has the table once its rows come.
    let (mut dump, mut some) = (Vec::new(), vec![0; 1 << 20]);
    while !dump.windows(6).any(|part| part == b"INSERT") {
        let n = stream.reader.read(&mut some).unwrap();
        dump.extend_from_slice(&some[..n]);
    }
    let mut change = server.client().args(["-e", "ALTER TABLE shop.t ADD COLUMN more INT"]).spawn().unwrap();
    let began = Instant::now();
    while !haste.waited_for() {
        assert!(began.elapsed() < Duration::from_mins(1), "nobody saw it");
        std::thread::sleep(Duration::from_millis(20)); // nothing tells that it was looked
    }
    stream.reader.read_to_end(&mut dump).unwrap();
    drop(stream);
    assert!(change.wait().unwrap().success() && !haste.waited_for());
    while reading.next_stream().unwrap().is_some_and(|mut stream| stream.reader.read_to_end(&mut dump).is_ok()) {}
    assert!(reading.finish().unwrap().held.is_some());
}

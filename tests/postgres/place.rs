//! What the tests share: a database with everything in it, somebody who writes to it, and a backup in a directory.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::{Child, Command, Stdio},
};

use strongroom::{
    model::Fingerprint,
    source::{
        Facts, PostgresSource, Result, Source,
        postgres::{Depth, PostgresOptions, fingerprint_of},
    },
};

use crate::server::{Postgres, run};

pub const EVERYTHING: &str = include_str!("../../fixtures/postgres/everything.sql");

/// What the writers do, over and over.
const WRITES: &str = r#"
update shop.kinds set long = long || 'x', big = big + 1 where id = 1 + floor(random() * 400);
insert into shop.kinds (small, fixed) values (7, 'new');
delete from shop.computed where a = floor(random() * 100);
insert into shop.computed (a) values (floor(random() * 100));
insert into shop.orders (day, total) values ('2024-06-01', 1), ('2031-01-01', 2);
update "Odd ""Schéma"", 100%"."Tab.le;-- 'x' \ ☃" set "order" = 'o' where "Col ""umn"":x" = 7;
select nextval('"Odd ""Schéma"", 100%"."Seq''uence"') where false;
select lo_put(4242, floor(random() * 2000000)::bigint, 'written');
"#;

/// A server whose database `name` has everything in it, and pgbench's tables.
pub fn everything(name: &str) -> Postgres {
    let server = Postgres::start();
    server.create(name);
    server.sql(name, EVERYTHING);
    server.sql(name, "create role app login; create role \"Odd Röle\" password 'hunter2-of-a-role'; alter role app set work_mem = '7MB'");
    run(server.tool("pgbench", name).args(["-i", "-q", "-s", "1"]));
    server
}

/// Processes that write to a database until this is dropped.
pub struct Writers(Vec<Child>);

impl Writers {
    pub fn start(server: &Postgres, database: &str, dir: &Path) -> Self {
        let script = dir.join("writes.sql");
        fs::write(&script, WRITES).unwrap();
        let mut custom = server.tool("pgbench", database);
        custom.args(["-n", "-c", "2", "-T", "3600", "-f"]).arg(script);
        let mut plain = server.tool("pgbench", database);
        plain.args(["-n", "-c", "1", "-T", "3600"]);
        let start = |mut command: Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        Self(vec![start(custom), start(plain)])
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Options for a database of a server.
pub fn options(server: &Postgres, database: &str) -> PostgresOptions {
    PostgresOptions::new(server.dsn(database).parse().unwrap())
}

/// Reads a source into files below `dir`, by their real paths, and returns its facts.
pub fn read_into(options: PostgresOptions, dir: &Path) -> Result<Facts> {
    let mut reading = PostgresSource::new(options).open()?;
    while let Some(mut stream) = reading.next_stream()? {
        let path = dir.join(stream.path.as_deref().unwrap_or(stream.name.as_str()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        io::copy(&mut stream.reader, &mut File::create(path).unwrap()).unwrap();
    }
    reading.finish()
}

/// The names of what differs between a backup's fingerprint and that of a database.
pub fn differences(was: &Fingerprint, server: &Postgres, database: &str) -> Vec<String> {
    let is = fingerprint_of(&server.dsn(database).parse().unwrap(), database, Depth::Hash, None).unwrap();
    let different = was.compare(&is).into_iter().filter(|c| !c.equal());
    different.map(|c| format!("{}: {:?} became {:?}", c.name, c.expected, c.actual)).collect()
}

//! A look at a server before a backup: the tools, the connection, and a dump of everything but rows, held against what the
//! server has.

use std::{collections::BTreeSet, io, path::Path};

use super::{
    super::{
        Look, Result, SourceError,
        look::{program, some_of},
        scratch::Scratch,
    },
    Client, MariadbSource, account, complete, dump, print,
    scope::Scope,
    session::Session,
    told,
    written::Scanned,
};

/// Looks at the server.
pub(super) fn look(source: &MariadbSource) -> Look {
    let mut look = Look::default();
    let Some(scratch) = look.step("scratch", Scratch::new()) else { return look };
    let client = look.step("reach", Client::new(source.flavour, &source.login, &scratch));
    let Some(client) = client else { return look };
    for name in [source.flavour.client(), source.flavour.dump()] {
        if let Some(path) = look.step("programs", program(Path::new(name))) {
            look.good("programs", path.display().to_string());
        }
    }
    if look.points.iter().any(|point| point.state != super::super::look::State::Good) {
        return look;
    }
    let Some(mut session) = look.step("reach", client.connect()) else { return look };
    if let Some(version) = look.step("reach", session.value("SELECT VERSION()")) {
        look.good("reach", format!("the server answers; it is version {version}"));
        let looked = contents(source, &client, session, &mut look);
        look.step("contents", looked);
    }
    look
}

fn contents(source: &MariadbSource, client: &Client, mut session: Session, look: &mut Look) -> Result<()> {
    let mut scope = Scope::find(&mut session, &source.databases, &source.exclude)?;
    look.warnings.append(&mut scope.warnings);
    match client.connect().and_then(|mut own| account::warnings(&mut own, &source.databases, &scope.databases)) {
        Ok(more) => look.warnings.extend(more),
        Err(why) => look.warnings.push(format!("what the account may not see is unknown: {why}")),
    }
    let mut contents = print::contents(&mut session, &scope.databases)?;
    scope.narrow(&mut session, &mut contents)?;
    look.warnings.extend(told::beforehand(&contents));
    let left_out = scope.left_out();
    if !left_out.is_empty() {
        look.warnings.push(format!("left out, as `exclude` asks: {}", some_of(&left_out)));
    }
    look.members = scope.members();
    let tables = contents.tables.len();
    let structure = || {
        let (running, (head, rest)) = dump::structure(client, &scope)?;
        let nothing = |_: &print::Table| Err(io::Error::other("no rows were asked for"));
        let (mut scanned, scan) = Scanned::new(io::Read::chain(head, rest), BTreeSet::new(), Box::new(nothing));
        let failed = |e| SourceError::new("can't be read", client.dump_program()).because(e);
        io::copy(&mut scanned, &mut io::sink()).map_err(failed)?;
        running.finish()?;
        complete::objects(&scan.written(), &contents, &contents, client.dump_program())
    };
    if look.step("rights", structure()).is_some() {
        let databases = scope.databases.len();
        let told =
            format!("{tables} tables in {databases} databases, and all else that the account sees, can be dumped");
        look.good("rights", told);
    }
    Ok(())
}

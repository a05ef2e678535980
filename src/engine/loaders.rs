//! Which loader loads into which server.

use super::{
    into::{LoadResult, Loader, Options, Server},
    mariadb, postgres, sqlite,
};

/// The loader for a server.
///
/// # Errors
/// If there is none that can be used here.
pub fn loader(server: Server, options: Options) -> LoadResult<Box<dyn Loader>> {
    Ok(match server {
        Server::Postgres(info) => Box::new(postgres::into::Into::new(info, options)),
        Server::Mariadb(login) => Box::new(mariadb::into::Into::new(login, options)?),
        Server::Sqlite(path) => Box::new(sqlite::into::Into::new(path, options)),
    })
}

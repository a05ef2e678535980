//! Connection strings, read as libpq reads them. What it might read in another way is refused without being repeated: a
//! part of a password that is taken for a host would be shown as one.

use super::ConninfoError;

/// What libpq knows, up to version 18.
const KEYS: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_issuer",
    "oauth_scope",
    "options",
    "passfile",
    "password",
    "port",
    "require_auth",
    "requirepeer",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];
/// What libpq knows too, and would have to be passed on in plain sight.
const SHOWN: &[&str] = &["sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key", "sslkeylogfile"];
/// What would make it another kind of connection.
const OTHER: &[&str] = &["replication"];

const ENCODE: ConninfoError = ConninfoError::Malformed(
    "within a user or a password, the signs @ : / ? # & = and a space are written as %40 %3A %2F %3F %23 %26 %3D and %20 in \
     a URL; a password is better kept in a password file or a service file",
);
const WORDS: ConninfoError = ConninfoError::Malformed(
    "it names something that libpq does not know; a password with a space or a quote stands in single quotes, with a \
     backslash before each quote and backslash within",
);

type Pairs = Vec<(String, String)>;

/// The pairs that `text` means.
pub(super) fn pairs(text: &str) -> Result<Pairs, ConninfoError> {
    if text.contains('\0') {
        return Err(ConninfoError::Malformed("it holds a zero byte"));
    }
    let url = ["postgresql://", "postgres://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let all = match url {
        Some(rest) => from_url(rest)?,
        None if text.contains('=') => from_pairs(text)?,
        None if text.trim().is_empty() => Vec::new(),
        None if text.contains([':', '@', '/']) => {
            return Err(ConninfoError::Malformed(
                "it is not a postgresql:// URL, no `name = value`, and no name of a database",
            ));
        }
        None => vec![("dbname".to_owned(), text.trim().to_owned())],
    };
    all.iter().try_for_each(|(key, value)| judge(key, value))?;
    Ok(all)
}

/// Whether libpq knows it, and it can be shown.
fn judge(key: &str, value: &str) -> Result<(), ConninfoError> {
    if SHOWN.contains(&key) {
        return Err(ConninfoError::Refused(
            "sslpassword and other secrets besides the password can't be passed on without showing them; use a key without \
             a password that only this user may read",
        ));
    }
    if OTHER.contains(&key) {
        return Err(ConninfoError::Refused("replication makes a connection that nothing can be dumped through"));
    }
    if !KEYS.contains(&key) {
        return Err(WORDS);
    }
    if key == "password" {
        return Ok(());
    }
    // The beginning of a URL, or of other assignments, in what will be an argument of the tools.
    let login = value.split_once(':').is_some_and(|(_, rest)| rest.contains('@'));
    let lower = value.to_ascii_lowercase();
    let assigned = ["passw", "pwd", "secret", "token"]
        .iter()
        .any(|name| lower.match_indices(name).any(|(at, _)| lower.get(at..).is_some_and(|rest| rest.contains('='))));
    if login || assigned || (key == "user" && value.contains(':')) {
        return Err(ConninfoError::Malformed("a value holds another connection string, or a part of one"));
    }
    let host = |one: &str| {
        let path = one.starts_with('/') || one.strip_prefix('@').is_some_and(|rest| !rest.contains('@'));
        path || one.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%'))
    };
    let fits = match key {
        "host" | "hostaddr" => value.split(',').all(|one| host(one.trim())),
        "port" => value.split(',').all(|one| one.trim().bytes().all(|b| b.is_ascii_digit())),
        _ => true,
    };
    if fits { Ok(()) } else { Err(ENCODE) }
}

/// `key = value` pairs; values may stand in single quotes, and a backslash takes the next character as it is.
fn from_pairs(text: &str) -> Result<Pairs, ConninfoError> {
    let mut pairs = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_ascii_whitespace()) {
            key.push(c);
        }
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        if chars.next() != Some('=') || key.is_empty() {
            return Err(ConninfoError::Malformed("a name has no \"=\" after it"));
        }
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next() {
                Some('\\') => value.extend(chars.next()),
                Some('\'') if quoted => break,
                None if quoted => return Err(ConninfoError::Malformed("a quote is not closed")),
                None => break,
                Some(c) if !quoted && c.is_ascii_whitespace() => break,
                Some(c) => value.push(c),
            }
        }
        pairs.push((key, value));
    }
}

/// What follows the scheme: `user:password@host:port,host/dbname?key=value`.
fn from_url(rest: &str) -> Result<Pairs, ConninfoError> {
    // An `@` that does not end the user and the password, or that has a `/` or a `?` before it, is read in one way by
    // libpq and in others by others.
    let (user, place) = match rest.split_once('@') {
        Some((user, place)) if !user.contains(['/', '?', '[']) && !place.contains('@') => (Some(user), place),
        Some(_) => return Err(ENCODE),
        None => (None, rest),
    };
    if rest.contains(char::is_whitespace) {
        return Err(ENCODE);
    }
    let (place, query) = place.split_once('?').map_or((place, None), |(place, query)| (place, Some(query)));
    let (hosts, database) = place.split_once('/').map_or((place, None), |(hosts, d)| (hosts, Some(d)));
    let mut pairs = Vec::new();
    let mut add = |key: &str, value: &str| -> Result<(), ConninfoError> {
        if !value.is_empty() {
            pairs.push((key.to_owned(), decoded(value)?));
        }
        Ok(())
    };
    if let Some(user) = user {
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        add("user", user)?;
        add("password", password)?;
    }
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, after) = match host.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or(ConninfoError::Malformed("a \"[\" is not closed"))?,
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        let port = if after.is_empty() { "" } else { after.strip_prefix(':').ok_or(ENCODE)? };
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ENCODE);
        }
        names.push(name);
        ports.push(port);
    }
    add("host", &names.join(","))?;
    if ports.iter().any(|port| !port.is_empty()) {
        add("port", &ports.join(","))?;
    }
    add("dbname", database.unwrap_or_default())?;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(ConninfoError::Malformed("a parameter has no \"=\""))?;
        if value.contains('=') {
            return Err(ENCODE);
        }
        match (decoded(key)?.as_str(), value) {
            // What other drivers write.
            ("ssl", "true") => add("sslmode", "require")?,
            (key, value) => add(key, value)?,
        }
    }
    Ok(pairs)
}

fn decoded(text: &str) -> Result<String, ConninfoError> {
    let wrong = ConninfoError::Malformed("a \"%\" is not followed by two hex digits of a character");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(wrong) };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Conninfo;

    /// Spellings of a password that libpq takes for something else, or only half of it for the password: each is refused.
    #[test]
    fn what_others_may_read_in_another_way_is_refused() {
        for text in [
            "postgres://app:hun/ter2@db/orders",
            "postgres://app:12/ter2@db/orders",
            "postgres://app:12/a?user=hunter2@db/orders",
            "postgres://app:hun?ter2@db/orders",
            "postgres://app:hun@ter2@db/orders",
            "postgres://app:hunter2/@db",
            "postgres://app:hun ter2@db/orders",
            "postgres://db/orders?user=app:hunter2@db",
            "postgres://db/orders?password=hun=ter2",
            "postgres://db/orders?pwd=hunter2",
            "postgres://app:[hunter2@db",
            "postgres://[::1]hunter2/orders",
            "postgres://db:hunter2/orders",
            "Postgres://app:hunter2@db/orders",
            "postgresql+psycopg2://app:hunter2@db/orders",
            "jdbc:postgresql://db/orders?user=app&password=hunter2",
            "app:hunter2@db/orders",
            "//app:hunter2@db/orders",
            "postgres:/app:hunter2@db/orders",
            "Host=db;Username=app;Password=hunter2",
            "host=db;password=hunter2",
            "host=db password=hun ter2",
            "host=db password=a b=hunter2",
            "host=db password='it's hunter2' user=app",
            "host=db password='it's=hunter2'",
            "host=db PASSWORD=hunter2",
            "host=db passwd=hunter2",
            "host='app:hunter2@db'",
            "dbname='app:hunter2@db/orders'",
            "dbname='host=db password=hunter2'",
            "dbname=postgres://app:hunter2@db/orders",
            "user=app:hunter2 host=db",
            "host=db port=hunter2",
            "host=db options='-c x.password=hunter2'",
            "host=db oauth_client_secret=hunter2",
            "host=db replication=database",
        ] {
            let told = text.parse::<Conninfo>().expect_err(text).to_string();
            assert!(!told.contains("hunter2") && !told.contains("ter2"), "{text}: {told}");
        }
    }

    /// Signs that programs take for the end of something, and letters between them.
    fn secret() -> impl Strategy<Value = String> {
        "[A-Z]{2,5}[@:/?#&=%' \"\\\\+;,\\[\\]$][A-Z]{4,6}[@:/?#&=%' \"\\\\+;,\\[\\]$a-f0-9]{0,3}[A-Z]{0,5}"
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_piece_of_a_secret_is_shown_however_it_is_spelled(secret in secret(), form in 0..14_usize) {
            let encoded = secret.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
            let quoted = secret.replace('\\', "\\\\").replace('\'', "\\'");
            let text = match form {
                0 => format!("postgres://app:{secret}@db/orders"),
                1 => format!("postgresql://app:{encoded}@db:5433,[::1]:5432/orders?sslmode=require"),
                2 => format!("postgres://db/orders?user=app&password={secret}"),
                3 => format!("postgres://db/orders?password={encoded}"),
                4 => format!("host=db user=app password={secret} dbname=orders"),
                5 => format!("host=db user=app password='{quoted}' dbname=orders"),
                6 => format!("host=db user=app password='{secret}' dbname=orders"),
                7 => format!("host=db password = {secret}"),
                8 => format!("postgres://{secret}@db/orders"),
                9 => format!("app:{secret}@db/orders"),
                10 => format!("postgresql+x://app:{secret}@db/orders"),
                11 => format!("host=db sslpassword='{quoted}'"),
                12 => format!("host=db;password={secret}"),
                _ => format!("dbname='postgres://app:{quoted}@db/orders'"),
            };
            let shown = match text.parse::<Conninfo>() {
                Ok(info) => {
                    let mut command = std::process::Command::new("true");
                    command.arg(info.argument(Some("other"))).arg(info.argument(None));
                    format!("{info:?} {} {command:?}", info.place())
                }
                Err(error) => error.to_string(),
            };
            // A user alone is no secret where passwords have a place of their own.
            if form != 8 || text.parse::<Conninfo>().is_err() {
                let signs: Vec<char> = secret.chars().collect();
                for piece in signs.windows(4) {
                    let piece: String = piece.iter().collect();
                    prop_assert!(!shown.contains(&piece), "{text}: {shown}");
                }
            }
            // What a tool would say of any part of it is masked too.
            let said = format!("invalid port \"{secret}\" of {text}");
            let masked = crate::source::redact::redact(&said);
            let whole = masked.contains(&secret) || masked.contains(&encoded);
            prop_assert!(form == 8 || !whole, "{text}: {masked}");
        }
    }
}

//! URLs of a forge: the next page, a redirect, an attachment. A token goes to the forge's own place and nowhere else.

/// Scheme, host and port of a URL of http, in small letters; `None` if it is none, or holds what may fool a reader of it.
pub(super) fn origin(url: &str) -> Option<(String, &str)> {
    if url.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(at)?;
    if host.is_empty() || host.contains('@') {
        return None;
    }
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(default).unwrap_or(&host);
    Some((format!("{scheme}://{host}"), path))
}

/// Whether both lie on one server.
pub(super) fn same_place(one: &str, other: &str) -> bool {
    matches!((origin(one), origin(other)), (Some((a, _)), Some((b, _))) if a == b)
}

/// What `target`, found in an answer to a request for `from`, names: a whole URL or a path of the same server.
pub(super) fn join(from: &str, target: &str) -> Option<String> {
    if target.contains("://") {
        return origin(target).map(|_| target.to_owned());
    }
    let (place, _) = origin(from)?;
    (target.starts_with('/') && !target.starts_with("//")).then(|| format!("{place}{target}"))
}

/// The URL of the relation `wanted` in a `Link` header.
pub(super) fn relation(header: &str, wanted: &str) -> Option<String> {
    // URLs may hold commas, so it is taken apart at the signs around them.
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (url, after) = after.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let named = parameters.split([';', ',']).filter_map(|part| part.trim().strip_prefix("rel="));
        if named.map(|name| name.trim_matches('"')).any(|name| name.split_whitespace().any(|word| word == wanted)) {
            return Some(url.to_owned());
        }
        rest = after;
    }
    None
}

/// `text` as a part of a path: what a URL does not take as it is, in percent signs.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(u32::from(digit), 16).map(|c| c.to_ascii_uppercase()));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_relations() {
        let header =
            "<https://h/api?page=1,2>; rel=\"prev\", <https://h/api?page=3>; rel=\"next\",<https://h/x>;rel=last";
        assert_eq!(relation(header, "next").as_deref(), Some("https://h/api?page=3"));
        assert_eq!(relation(header, "last").as_deref(), Some("https://h/x"));
        assert_eq!(relation(header, "first"), None);
        assert_eq!(relation("<https://h", "next"), None);
    }

    #[test]
    fn only_the_same_server_is_the_same_place() {
        let forge = "https://git.example/api/v1/x";
        for same in ["https://git.example/y", "HTTPS://GIT.example:443/y", "https://git.example"] {
            assert!(same_place(forge, same), "{same}");
        }
        for other in [
            "http://git.example/y",
            "https://git.example:8443/y",
            "https://git.example.evil/y",
            "https://git.example@evil/y",
            "https://evil/git.example",
            "https://git.example\\@evil/",
            "//git.example/y",
            "ftp://git.example/",
        ] {
            assert!(!same_place(forge, other), "{other}");
        }
        assert_eq!(join(forge, "/p?q").as_deref(), Some("https://git.example/p?q"));
        assert_eq!(join(forge, "//evil/p"), None);
        assert_eq!(join(forge, "https://evil/p").as_deref(), Some("https://evil/p"));
    }

    #[test]
    fn segments_leave_their_place_never() {
        assert_eq!(segment("a/../b c?ü"), "a%2F..%2Fb%20c%3F%C3%BC");
    }
}

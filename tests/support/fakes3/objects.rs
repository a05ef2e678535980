//! What the fake answers.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use md5::{Digest, Md5};
use strongroom::model::{Lock, Time};

use super::{state::State, xml};
use crate::http::{Request, Response};

/// A page of a listing: small, so that paging is tried.
const PAGE: usize = 3;

type Query = BTreeMap<String, String>;

/// Answers a request to the bucket `vault`, path style.
pub fn answer(state: &mut State, request: &Request) -> Response {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let query: Query = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.replace("%2F", "/")))
        .collect();
    let path = path.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    if let Some(region) = state.lies.region.filter(|region| !is_signed_for(request, region)) {
        let response = Response::error(400, "AuthorizationHeaderMalformed").with("x-amz-bucket-region", region);
        return if request.method == "HEAD" { Response { body: Vec::new(), ..response } } else { response };
    }
    if bucket != "vault" {
        return Response::error(404, "NoSuchBucket");
    }
    if key.is_empty() { self::bucket(state, request, &query) } else { object(state, request, key, &query) }
}

/// A signature names the region that it is for.
fn is_signed_for(request: &Request, region: &str) -> bool {
    request.header("authorization").is_some_and(|value| value.contains(&format!("/{region}/s3/aws4_request")))
}

fn bucket(state: &State, request: &Request, query: &Query) -> Response {
    let has = |name: &str| query.contains_key(name);
    let prefix = query.get("prefix").map_or("", String::as_str);
    match request.method.as_str() {
        "HEAD" => match request.header("x-amz-expected-bucket-owner") {
            Some(owner) if state.lies.account.is_some_and(|account| account != owner) => Response::new(403, ""),
            _ => Response::new(200, ""),
        },
        "GET" if has("lifecycle") => match state.lies.rule {
            Some(rule) => {
                Response::new(200, format!("<LifecycleConfiguration><Rule>{rule}</Rule></LifecycleConfiguration>"))
            }
            None => Response::error(404, "NoSuchLifecycleConfiguration"),
        },
        "GET" if has("encryption") => match state.lies.key {
            Some(key) => Response::new(200, xml::encryption(key)),
            None => Response::error(404, "ServerSideEncryptionConfigurationNotFoundError"),
        },
        "GET" if has("versioning") && state.lies.no_versions => {
            Response::new(200, "<VersioningConfiguration></VersioningConfiguration>")
        }
        "GET" if has("versioning") => {
            Response::new(200, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        }
        "GET" if has("object-lock") && state.lies.no_lock_api => Response::error(501, "NotImplemented"),
        "GET"
            if has("object-lock")
                && let Some((status, code)) = state.lies.bucket_lock =>
        {
            Response::error(status, code)
        }
        "GET" if has("object-lock") => Response::new(
            200,
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>",
        ),
        "GET" if has("versions") => Response::new(200, xml::versions(state, prefix)),
        "GET" if has("list-type") => {
            let after = query.get("continuation-token").map_or("", String::as_str);
            let after = if state.lies.pages_repeated { "" } else { after };
            Response::new(200, xml::objects(state, prefix, after, PAGE))
        }
        _ => Response::error(501, "NotImplemented"),
    }
}

fn object(state: &mut State, request: &Request, key: &str, query: &Query) -> Response {
    let version = query.get("versionId").map(String::as_str);
    let retention = query.contains_key("retention");
    if retention && state.lies.no_lock_api {
        return Response::error(501, "NotImplemented");
    }
    if query.contains_key("legal-hold") {
        return Response::error(501, "NotImplemented");
    }
    match request.method.as_str() {
        "PUT" if query.contains_key("uploadId") => Response::error(404, "NoSuchUpload"),
        "PUT" if query.contains_key("acl") => Response::error(501, "NotImplemented"),
        "PUT" if retention => set_lock(state, request, key, version),
        "PUT" => put(state, request, key),
        "GET" if retention => match state.find(key, version) {
            None => Response::error(404, "NoSuchKey"),
            Some(stored) => match stored.lock {
                Some(lock) => Response::new(200, xml::lock(lock)),
                None => Response::error(404, "NoSuchObjectLockConfiguration"),
            },
        },
        "GET" | "HEAD" => get(state, request, key, version),
        "DELETE" => delete(state, key, version),
        _ => Response::error(501, "NotImplemented"),
    }
}

fn put(state: &mut State, request: &Request, key: &str) -> Response {
    let lies = state.lies;
    // AWS wants one of a locked put; here every put must have one.
    if !request.headers.iter().any(|(name, _)| name.starts_with("x-amz-checksum-")) {
        return Response::error(400, "InvalidRequest");
    }
    if request.header("if-none-match").is_some() {
        if lies.condition_refused {
            return Response::error(501, "NotImplemented");
        }
        let last = state.keys.get(key).and_then(|versions| versions.last());
        if lies.taken || (!lies.condition_ignored && last.is_some_and(|last| last.bytes.is_some())) {
            return Response::error(412, "PreconditionFailed");
        }
    }
    // Zero is the checksum of nothing.
    let wrong = request.header("x-amz-checksum-crc32c") == Some("AAAAAA==") && !request.body.is_empty();
    if wrong && !lies.checksums_ignored {
        return Response::error(400, "BadDigest");
    }
    let md5 =
        request.header("content-md5").is_some_and(|md5| BASE64_STANDARD.encode(Md5::digest(&request.body)) != md5);
    if md5 && !lies.md5_ignored {
        return Response::error(400, "BadDigest");
    }
    let signed = request.header("x-amz-content-sha256").filter(|hash| hash.len() == 64);
    let digest = ring::digest::digest(&ring::digest::SHA256, &request.body);
    if signed.is_some_and(|hash| hash != hex::encode(digest)) && !lies.signed_ignored {
        return Response::error(400, "XAmzContentSHA256Mismatch");
    }
    let lock = request.header("x-amz-object-lock-mode").and_then(xml::read_mode).map(|mode| {
        let until: Time = request.header("x-amz-object-lock-retain-until-date").unwrap().parse().unwrap();
        Lock { mode, until }
    });
    if lock.is_some_and(|lock| too_long(state, lock)) {
        return Response::error(403, "AccessDenied");
    }
    let lock = lock.filter(|_| !lies.locks_forgotten);
    let version = state.push(key, Some(request.body.clone()), lock);
    if lies.no_versions { Response::new(200, "") } else { Response::new(200, "").with("x-amz-version-id", version) }
}

fn too_long(state: &State, lock: Lock) -> bool {
    let now = Time::from_unix(jiff::Timestamp::now().as_second());
    state.lies.lock_cap.is_some_and(|cap| lock.until > now + cap)
}

fn set_lock(state: &mut State, request: &Request, key: &str, version: Option<&str>) -> Response {
    let Some(asked) = xml::read_lock(&String::from_utf8_lossy(&request.body)) else {
        return Response::error(400, "MalformedXML");
    };
    if too_long(state, asked) {
        return Response::error(403, "AccessDenied");
    }
    let lies = state.lies;
    let Some(stored) = state.find(key, version) else { return Response::error(404, "NoSuchKey") };
    let shorter = stored.lock.is_some_and(|lock| lock.until > asked.until || !asked.mode.covers(lock.mode));
    if shorter && !lies.locks_not_enforced {
        return Response::error(403, "AccessDenied");
    }
    if !lies.locks_forgotten {
        stored.lock = Some(asked);
    }
    Response::new(200, "")
}

fn get(state: &mut State, request: &Request, key: &str, version: Option<&str>) -> Response {
    let lies = state.lies;
    let Some(stored) = state.find(key, version) else {
        return Response::error(404, if version.is_some() { "NoSuchVersion" } else { "NoSuchKey" });
    };
    let Some(mut bytes) = stored.bytes.clone() else {
        return Response::error(if version.is_some() { 405 } else { 404 }, "");
    };
    if lies.foreign_bytes {
        for byte in &mut bytes {
            *byte ^= 1;
        }
    }
    let modified = stored.modified.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let id = stored.version.clone();
    let tell = |response: Response| response.with("x-amz-version-id", id).with("Last-Modified", modified);
    let range = request.header("range").filter(|_| !lies.ranges_ignored);
    let Some((start, end)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return tell(Response::new(200, bytes));
    };
    let start: usize = start.parse().unwrap_or(usize::MAX);
    let end = end.parse().map_or(bytes.len(), |end: usize| (end + 1).min(bytes.len()));
    if start >= end {
        return Response::error(416, "InvalidRange");
    }
    let told = if lies.ranges_shifted { start + 1 } else { start };
    let header = format!("bytes {told}-{}/{}", end - 1, bytes.len());
    tell(Response::new(206, &bytes[start..end])).with("Content-Range", header)
}

fn delete(state: &mut State, key: &str, version: Option<&str>) -> Response {
    let lies = state.lies;
    let Some(version) = version else {
        let marker = state.push(key, None, None);
        return Response::new(204, "").with("x-amz-version-id", marker).with("x-amz-delete-marker", "true");
    };
    let now = Time::from_unix(jiff::Timestamp::now().as_second());
    let locked = state.find(key, Some(version)).and_then(|stored| stored.lock).is_some_and(|lock| lock.until > now);
    if locked && !lies.locks_not_enforced {
        return Response::error(403, "AccessDenied");
    }
    if let Some(versions) = state.keys.get_mut(key) {
        versions.retain(|stored| stored.version != version);
    }
    state.keys.retain(|_, versions| !versions.is_empty());
    Response::new(204, "")
}

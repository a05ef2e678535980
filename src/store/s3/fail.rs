//! From the SDK's errors to the store's: what happened, which permission is missing, what to do.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use super::answer;
use crate::store::{StoreError, StoreErrorKind as Kind};

/// A call, as far as its failure needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// What is done, in words.
    pub(super) what: &'static str,
    /// The permission that it takes.
    pub(super) needs: &'static str,
    /// The key, the prefix or the bucket concerned.
    pub(super) object: &'a str,
}

/// Where it was done, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) server: &'a str,
    pub(super) bucket: &'a str,
    pub(super) region: &'a str,
    /// Whether the bucket's name is a part of the host's.
    pub(super) virtual_host: bool,
}

/// What is known of a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The HTTP status, if there was an answer.
    pub(super) status: Option<u16>,
    /// The code that the server gave, such as `AccessDenied`; may be empty.
    pub(super) code: String,
    /// The server's words, or the innermost reason why there was no answer.
    pub(super) reason: String,
    /// The bucket's region, if the server said that it is another.
    pub(super) region: Option<String>,
    /// The time ran out.
    pub(super) timed_out: bool,
    /// The request could not even be made.
    pub(super) unmade: bool,
    /// There were no credentials to sign it with.
    pub(super) unsigned: bool,
    /// What is wrong with an answer that says that all is well.
    pub(super) odd: Option<Odd>,
    /// What an answer that says no says, if that is no error of S3.
    pub(super) page: Option<String>,
}

/// An answer that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Odd {
    /// Only a part of it came.
    Cut,
    /// It is none of S3, and begins like this.
    Foreign(String),
}

impl Facts {
    /// What an error of the SDK tells.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let mut facts = Self { reason: innermost(error), unsigned: lacks_credentials(error), ..Self::default() };
        match error {
            SdkError::ConstructionFailure(_) => facts.unmade = true,
            SdkError::TimeoutError(_) => facts.timed_out = true,
            SdkError::DispatchFailure(failure) => facts.timed_out = failure.is_timeout(),
            _ => {}
        }
        if let Some(response) = error.raw_response() {
            facts.status = Some(response.status().as_u16());
            facts.region = response.headers().get("x-amz-bucket-region").map(str::to_owned);
            let odd = response.status().is_success() && error.as_service_error().is_none_or(|e| e.code().is_none());
            let body = response.body().bytes().filter(|_| odd);
            facts.odd = body.map(|body| match answer::whole(body) {
                Ok(()) => Odd::Foreign(answer::beginning(body)),
                Err(cut) => {
                    facts.reason = cut.to_string();
                    Odd::Cut
                }
            });
            // A web server, or a proxy on the way, says no in its own words.
            let own = response.body().bytes().filter(|_| !response.status().is_success()).unwrap_or_default();
            if !own.trim_ascii().is_empty() && !answer::is_error(own) {
                facts.page = Some(answer::words(own));
            }
        }
        if let Some(service) = error.as_service_error() {
            service.code().unwrap_or_default().clone_into(&mut facts.code);
            facts.reason = clean(service.message().unwrap_or_default());
        }
        if let Some(page) = facts.page.as_ref().filter(|_| facts.reason.is_empty()) {
            facts.reason.clone_from(page);
        }
        facts
    }

    /// Whether the server said that the condition of a put does not hold.
    pub(super) fn is_taken(&self) -> bool {
        self.status == Some(412)
    }

    /// Whether the server said that the version has no lock; servers spell it differently.
    pub(super) fn is_unlocked(&self) -> bool {
        matches!(self.code.as_str(), "NoSuchObjectLockConfiguration" | "ObjectLockConfigurationNotFoundError")
    }

    /// The failure in the store's terms.
    pub(super) fn told(&self, call: &Call<'_>, place: &Place<'_>) -> StoreError {
        let (kind, words) = self.judge(call, place);
        let words = match (self.status, self.code.as_str()) {
            (Some(status), "") => format!("{}: {words} (HTTP {status})", call.what),
            (Some(status), code) => format!("{}: {words} (HTTP {status} {})", call.what, clean(code)),
            (None, _) => format!("{}: {words}", call.what),
        };
        let error = StoreError::new(kind, words);
        if call.object.is_empty() { error } else { error.on(call.object) }
    }

    fn judge(&self, call: &Call<'_>, place: &Place<'_>) -> (Kind, String) {
        if self.unsigned {
            return (Kind::Denied, format!("there are no credentials any more: {}", self.reason));
        }
        if self.unmade {
            return (Kind::Invalid, format!("the settings make no request: {}", self.reason));
        }
        let Some(status) = self.status else { return self.unanswered(place) };
        if let Some(known) = self.by_code(call, place) {
            return known;
        }
        if let Some(odd) = &self.odd {
            return self.misunderstood(place, odd);
        }
        // Where a request is signed for another region, the answer to HEAD has no words.
        if status == 400 && self.region.as_deref().is_some_and(|region| region != place.region) {
            return (Kind::Invalid, self.wrong_region(place));
        }
        let puts = call.needs.starts_with("s3:PutObject");
        let server = place.server;
        match (status, &self.page) {
            (404 | 405, Some(page)) => {
                let words = "gave an answer that is none of S3; is this the URL of an S3 server? It says";
                return (Kind::Invalid, format!("{server} {words}: {page}"));
            }
            // A put misses nothing but the place where it would go.
            (404, None) if puts => {
                let words = "has no place for it: is this the URL of an S3 server, and is the bucket there?";
                return (Kind::Invalid, format!("{server} {words}"));
            }
            (405, None) if puts => {
                return (Kind::Invalid, format!("{server} takes no puts; is this the URL of an S3 server?"));
            }
            (413, _) => {
                let words = "takes no body of this size; raise the limit of the server, or of what stands before it \
                             (nginx: client_max_body_size 64m)";
                return (Kind::Unsupported, format!("{server} {words}: {}", self.reason));
            }
            _ => {}
        }
        match status {
            301 | 302 | 307 | 308 => (Kind::Invalid, self.wrong_region(place)),
            401 | 403 => (Kind::Denied, self.lacking(call)),
            404 => (Kind::NotFound, "there is no such object or version".to_owned()),
            // A delete marker, asked for as if it were an object.
            405 => (Kind::NotFound, "there is no object here, or only a delete marker".to_owned()),
            416 => (Kind::BadRange, "the range is empty or lies beyond the object".to_owned()),
            501 => (Kind::Unsupported, format!("{} can't do this: {}", place.server, self.reason)),
            507 => (Kind::Full, "the store has no room left".to_owned()),
            408 | 409 | 429 | 500.. => (Kind::Unreachable, format!("{} can't now: {}", place.server, self.reason)),
            400 => (Kind::Invalid, format!("{} refused the request: {}", place.server, self.reason)),
            _ => (Kind::Other, format!("{} answered: {}", place.server, self.reason)),
        }
    }

    fn by_code(&self, call: &Call<'_>, place: &Place<'_>) -> Option<(Kind, String)> {
        let server = place.server;
        let known = match self.code.as_str() {
            "NoSuchBucket" => (Kind::NoVault, format!("there is no bucket {:?} at {server}", place.bucket)),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
                (Kind::Denied, "the session of these credentials has expired; get new ones".to_owned())
            }
            "InvalidAccessKeyId" | "InvalidToken" | "InvalidClientTokenId" => {
                let words =
                    "does not know these credentials: a wrong or removed access key, or a session that has ended";
                (Kind::Denied, format!("{server} {words}"))
            }
            "SignatureDoesNotMatch" => {
                (Kind::Denied, "the secret access key does not belong to the access key".to_owned())
            }
            "RequestTimeTooSkewed" | "RequestExpired" => {
                (Kind::Clock, "this host's clock and the server's are too far apart".to_owned())
            }
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "TemporaryRedirect"
            | "Redirect"
            | "IllegalLocationConstraintException" => (Kind::Invalid, self.wrong_region(place)),
            "AccessDenied" | "AllAccessDisabled" | "AccessDeniedException" => (Kind::Denied, self.lacking(call)),
            "NoSuchKey" | "NoSuchVersion" => (Kind::NotFound, "there is no such object or version".to_owned()),
            "InvalidArgument" if self.reason.to_ascii_lowercase().contains("version") => {
                (Kind::NotFound, "there is no such version".to_owned())
            }
            "InvalidRange" => (Kind::BadRange, "the range is empty or lies beyond the object".to_owned()),
            "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "InvalidDigest" => {
                (Kind::Corrupt, "the server received other bytes than were sent".to_owned())
            }
            // It speaks of locks, too: of what a put with one needs.
            "InvalidRequest" | "MissingContentMD5" if self.reason.to_ascii_lowercase().contains("content-md5") => {
                let words = "wants Content-MD5 with what is put; say --checksum md5, or checksum = \"md5\" in [vault]";
                (Kind::Unsupported, format!("{server} {words}: {}", self.reason))
            }
            "InvalidRequest" if self.reason.to_ascii_lowercase().contains("lock") => {
                (Kind::Unsupported, format!("the bucket {:?} has no object lock: {}", place.bucket, self.reason))
            }
            "NotImplemented" => (Kind::Unsupported, format!("{server} can't do this: {}", self.reason)),
            "QuotaExceeded" | "XMinioStorageFull" | "StorageFull" | "InsufficientCapacity" => {
                (Kind::Full, "the store has no room left".to_owned())
            }
            "RequestTimeout" | "SlowDown" | "OperationAborted" | "ConditionalRequestConflict" => {
                (Kind::Unreachable, format!("{server} can't now: {}", self.reason))
            }
            _ => return None,
        };
        Some(known)
    }

    fn lacking(&self, call: &Call<'_>) -> String {
        let said = if self.reason.is_empty() { String::new() } else { format!("; the server says: {}", self.reason) };
        format!("the credentials lack {}{said}", call.needs)
    }

    /// What breaks off may come whole another time; what is no answer of S3 at all will not.
    fn misunderstood(&self, place: &Place<'_>, odd: &Odd) -> (Kind, String) {
        let server = place.server;
        match odd {
            Odd::Cut => (Kind::Unreachable, format!("{server} gives a part of its answer alone: {}", self.reason)),
            Odd::Foreign(beginning) => {
                let words =
                    "gave an answer that is not the XML of S3; is this the URL of an S3 server? The answer begins with";
                (Kind::Invalid, format!("{server} {words} {beginning}"))
            }
        }
    }

    fn wrong_region(&self, place: &Place<'_>) -> String {
        let asked = format!("the bucket {:?} is not in region {}", place.bucket, place.region);
        match &self.region {
            Some(region) => format!("{asked}; set --region {}", clean(region)),
            None => format!("{asked}; set --region: {}", self.reason),
        }
    }

    fn unanswered(&self, place: &Place<'_>) -> (Kind, String) {
        let server = place.server;
        if is_untrusted(&self.reason) {
            let words = "offers no certificate that this host trusts; check the URL, or name the CA's file in \
                         SSL_CERT_FILE";
            return (Kind::Invalid, format!("{server} {words}: {}", self.reason));
        }
        if is_not_tls(&self.reason) {
            return (Kind::Invalid, format!("{server} does not speak TLS; is it http://? {}", self.reason));
        }
        if self.timed_out {
            return (Kind::Unreachable, format!("{server} did not answer in time: {}", self.reason));
        }
        let hint = if place.virtual_host && is_nobody(&self.reason) {
            "; the bucket is a part of the host's name here: most servers other than AWS want --path-style"
        } else {
            ""
        };
        (Kind::Unreachable, format!("{server} can't be reached: {}{hint}", self.reason))
    }
}

/// Whether the source of the credentials failed, somewhere beneath.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<CredentialsError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Whether the reason is a certificate that is not trusted. No repetition mends it, and it may be an attack.
pub(super) fn is_untrusted(reason: &str) -> bool {
    reason.contains("invalid peer certificate")
}

/// Whether nobody listens there, or there is no such host.
pub(super) fn is_nobody(reason: &str) -> bool {
    ["Connection refused", "failed to lookup address", "No route to host"].iter().any(|known| reason.contains(known))
}

/// Whether the other side speaks no TLS.
pub(super) fn is_not_tls(reason: &str) -> bool {
    reason.contains("received corrupt message of type")
}

/// The innermost reason of an error, which names what went wrong without the layers that passed it on.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    clean(&last.to_string())
}

/// What a server says, fit for a line of a log: bounded, without control characters.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'static> = Call { what: "get", needs: "s3:GetObject", object: "packs/w1/ab" };
    const PLACE: Place<'static> =
        Place { server: "http://s3.example", bucket: "vault", region: "us-east-1", virtual_host: false };

    fn answered(status: u16, code: &str, reason: &str) -> StoreError {
        let facts =
            Facts { status: Some(status), code: code.to_owned(), reason: reason.to_owned(), ..Facts::default() };
        facts.told(&CALL, &PLACE)
    }

    #[test]
    fn each_refusal_has_its_kind_and_says_what_to_do() {
        let cases = [
            (403, "AccessDenied", "", Kind::Denied, "lack s3:GetObject"),
            (403, "", "", Kind::Denied, "lack s3:GetObject"),
            (403, "InvalidAccessKeyId", "", Kind::Denied, "does not know these credentials"),
            (403, "SignatureDoesNotMatch", "", Kind::Denied, "secret access key"),
            (400, "ExpiredToken", "", Kind::Denied, "expired"),
            (403, "RequestTimeTooSkewed", "", Kind::Clock, "clock"),
            (404, "NoSuchBucket", "", Kind::NoVault, "no bucket \"vault\" at http://s3.example"),
            (404, "NoSuchKey", "", Kind::NotFound, "no such object"),
            (404, "", "", Kind::NotFound, "no such object"),
            (405, "MethodNotAllowed", "", Kind::NotFound, "delete marker"),
            (400, "InvalidArgument", "Invalid version id specified", Kind::NotFound, "no such version"),
            (400, "InvalidArgument", "The retain until date must be in the future!", Kind::Invalid, "in the future"),
            (400, "InvalidRequest", "Bucket is missing Object Lock Configuration", Kind::Unsupported, "no object lock"),
            (416, "InvalidRange", "", Kind::BadRange, "range"),
            (400, "BadDigest", "", Kind::Corrupt, "other bytes"),
            (400, "AuthorizationHeaderMalformed", "expecting 'eu-west-1'", Kind::Invalid, "--region: expecting"),
            (501, "NotImplemented", "", Kind::Unsupported, "can't do this"),
            (507, "", "", Kind::Full, "no room"),
            (503, "SlowDown", "", Kind::Unreachable, "can't now"),
            (409, "ConditionalRequestConflict", "", Kind::Unreachable, "can't now"),
            (429, "", "", Kind::Unreachable, "can't now"),
            (418, "", "", Kind::Other, "answered"),
            (
                413,
                "",
                "413 Request Entity Too Large nginx",
                Kind::Unsupported,
                "client_max_body_size 64m): 413 Request",
            ),
            (
                400,
                "InvalidRequest",
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
                Kind::Unsupported,
                "--checksum md5",
            ),
        ];
        for (status, code, reason, kind, words) in cases {
            let error = answered(status, code, reason);
            let text = error.to_string();
            assert_eq!(error.kind, kind, "{text}");
            assert!(text.contains(words) && text.contains(&format!("HTTP {status}")), "{text}");
            assert!(text.starts_with("get: ") && text.ends_with("(packs/w1/ab)"), "{text}");
        }
    }

    #[test]
    fn the_right_region_is_named_where_the_server_tells_it() {
        let facts = Facts { status: Some(301), region: Some("eu-central-1".to_owned()), ..Facts::default() };
        let text = facts.told(&CALL, &PLACE).to_string();
        assert!(text.contains("not in region us-east-1") && text.contains("set --region eu-central-1"), "{text}");
    }

    #[test]
    fn a_web_server_is_told_from_a_store_that_lacks_something() {
        let told = |needs, status, page: Option<&str>| {
            let facts = Facts { status: Some(status), page: page.map(str::to_owned), ..Facts::default() };
            facts.told(&Call { needs, ..CALL }, &PLACE)
        };
        for (error, words) in [
            (told("s3:GetObject", 404, Some("404 Not Found nginx")), "none of S3"),
            (told("s3:PutObject", 405, Some("405 Not Allowed")), "none of S3"),
            (told("s3:PutObject", 404, None), "no place for it"),
            (told("s3:PutObject or s3:PutObjectRetention", 405, None), "takes no puts"),
        ] {
            assert_eq!(error.kind, Kind::Invalid, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        assert_eq!(told("s3:GetObject", 404, None).kind, Kind::NotFound);
        let nobody = Facts { reason: "Connection refused".to_owned(), ..Facts::default() };
        let there = Place { virtual_host: true, ..PLACE };
        assert!(nobody.told(&CALL, &there).to_string().contains("--path-style"));
    }

    #[test]
    fn no_answer_is_worth_another_try_unless_the_other_side_is_the_wrong_one() {
        let silent = |reason: &str, timed_out| {
            let facts = Facts { reason: reason.to_owned(), timed_out, ..Facts::default() };
            facts.told(&CALL, &PLACE)
        };
        assert_eq!(silent("Connection refused (os error 111)", false).kind, Kind::Unreachable);
        assert!(silent("10 s", true).to_string().contains("did not answer in time"));
        let untrusted = silent("invalid peer certificate: UnknownIssuer", false);
        assert_eq!(untrusted.kind, Kind::Invalid);
        assert!(untrusted.to_string().contains("SSL_CERT_FILE"), "{untrusted}");
        assert_eq!(silent("received corrupt message of type InvalidContentType", false).kind, Kind::Invalid);
    }

    #[test]
    fn what_a_server_says_is_shown_on_one_bounded_line() {
        let text = answered(400, "Bad\nCode", &clean(&format!("a\u{1b}[31m\n{}", "x".repeat(1000)))).to_string();
        assert!(text.len() < 500 && !text.contains(char::is_control), "{text}");
    }
}

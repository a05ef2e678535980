//! Putting, getting, looking at and deleting objects.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    operation::get_object::GetObjectOutput,
    primitives::{ByteStream, DateTime},
    types::ObjectLockMode,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};

use super::{Call, Checksum, Facts, S3Store, connect, put_time, stamp, time, version_of, watch::ServerClock};
use crate::{
    model::{Key, Lock, LockMode, Time},
    store::{
        Head, Put, Result, StoreError, StoreErrorKind as Kind, Version,
        rules::{MAX_OBJECT, clip},
    },
};

/// So often a put may arrive with other bytes than were sent.
const GARBLED: u32 = 3;

/// The pause before a body that broke off is fetched again, and its growth with each time.
const PAUSE: Duration = Duration::from_millis(200);

impl S3Store {
    pub(super) async fn put(&self, key: &Key, bytes: Bytes, lock: Option<Lock>) -> Result<Put> {
        self.put_as(key, bytes, lock, true).await
    }

    /// Puts an object: only under a free name, or on top of whatever has it.
    pub(super) async fn put_as(&self, key: &Key, bytes: Bytes, lock: Option<Lock>, only_new: bool) -> Result<Put> {
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_OBJECT {
            return Err(StoreError::new(Kind::Invalid, "put: larger than an object may be").on(key));
        }
        let settings = self.settings();
        // Without the server's help a put can only look first.
        if only_new && !settings.conditional_put && self.is_listed(key).await? {
            return Ok(Put::AlreadyThere);
        }
        let needs = if lock.is_some() { "s3:PutObject or s3:PutObjectRetention" } else { "s3:PutObject" };
        let call = Call { what: "put", needs, object: key.as_str() };
        let md5 = (settings.checksum == Checksum::Md5).then(|| STANDARD.encode(Md5::digest(&bytes)));
        let request = || {
            self.client()
                .put_object()
                .bucket(self.bucket())
                .key(self.full(key))
                .checksum_algorithm(settings.checksum.algorithm())
                .set_if_none_match((only_new && settings.conditional_put).then(|| "*".to_owned()))
                .set_object_lock_mode(lock.map(|lock| match lock.mode {
                    LockMode::Compliance => ObjectLockMode::Compliance,
                    LockMode::Governance => ObjectLockMode::Governance,
                }))
                .set_object_lock_retain_until_date(lock.map(|lock| stamp(lock.until)))
                .set_content_md5(md5.clone())
                .body(ByteStream::from(bytes.clone()))
        };
        let mut garbled = 0;
        let version = loop {
            let mut request = request().customize().config_override(connect::for_transfer(settings));
            if settings.is_private() && settings.checksum != Checksum::Signed {
                request = request.disable_payload_signing();
            }
            let error = match request.send().await {
                Ok(answer) => break version_of(answer.version_id()),
                Err(error) => error,
            };
            let facts = self.facts(&error);
            // It may be our own earlier try that landed unanswered; nobody can tell from here.
            if facts.is_taken() {
                return Ok(Put::AlreadyThere);
            }
            let error = self.unput(&call, &facts);
            garbled += 1;
            if error.kind != Kind::Corrupt || garbled == GARBLED {
                return Err(error);
            }
            // A bit that flips on the way is no reason to give up; a way on which one flips each time is.
            tracing::debug!(%error, "putting again");
            tokio::time::sleep(PAUSE).await;
        };
        if let Some(asked) = lock {
            self.must_have(key, version.as_ref(), asked).await?;
        }
        Ok(Put::Created { version })
    }

    /// Why a put failed. A server that knows no conditions says no more than that it can't do this.
    fn unput(&self, call: &Call<'_>, facts: &Facts) -> StoreError {
        let mut error = self.told(call, facts);
        if error.kind == Kind::Unsupported && facts.status == Some(501) && self.settings().conditional_put {
            error.what += "; if it has no conditional puts, say so with --no-conditional-put, or `conditional_put = \
                           false` in [vault]";
        }
        error
    }

    /// Servers exist that take a lock's headers and forget them.
    async fn must_have(&self, key: &Key, version: Option<&Version>, asked: Lock) -> Result<()> {
        let lock = self.lock_of_new(key, version).await?;
        if lock.is_some_and(|lock| lock.mode.covers(asked.mode) && lock.until >= asked.until) {
            return Ok(());
        }
        let has = lock.map_or_else(|| "none".to_owned(), |l| format!("{} until {}", l.mode.as_str(), l.until));
        let what = format!(
            "put: the store took the object but not its lock: asked for {} until {}, it has {has}",
            asked.mode.as_str(),
            asked.until
        );
        Err(StoreError::new(Kind::Unsupported, what).on(key))
    }

    pub(super) async fn fetch(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return Err(beyond(key));
        }
        let end = Instant::now() + self.settings().patience.budget;
        let mut pause = PAUSE;
        loop {
            let answer = self.ask(key, version, range.as_ref()).await?;
            match self.collect(key, range.as_ref(), answer).await {
                // The SDK tries calls again, but not bodies that break off.
                Err(error) if error.kind == Kind::Unreachable && Instant::now() + pause < end => {
                    tracing::debug!(%error, "fetching again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(20));
                }
                done => return done,
            }
        }
    }

    async fn ask(&self, key: &Key, version: Option<&Version>, range: Option<&Range<u64>>) -> Result<GetObjectOutput> {
        let request = self
            .client()
            .get_object()
            .bucket(self.bucket())
            .key(self.full(key))
            .set_version_id(version.map(ToString::to_string))
            .set_range(range.map(range_header));
        request.send().await.map_err(|error| self.failed(&reading("get", key, version), &error))
    }

    /// The body of an answer, complete and no larger than an object of ours can be.
    async fn collect(&self, key: &Key, range: Option<&Range<u64>>, answer: GetObjectOutput) -> Result<Bytes> {
        let corrupt = |reason: String| StoreError::new(Kind::Corrupt, format!("get: {reason}")).on(key);
        let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
        let length = length.ok_or_else(|| corrupt("the answer does not say how long it is".to_owned()))?;
        if length > MAX_OBJECT {
            return Err(corrupt(format!("{length} bytes are more than any object of a vault has")));
        }
        // A server that ignores ranges answers with the whole object.
        let whole = match (range, answer.content_range()) {
            (None, _) | (Some(_), None) => true,
            (Some(range), Some(header)) if starts_at(header, range.start) => false,
            (Some(_), Some(_)) => return Err(corrupt("the answer is of another range".to_owned())),
        };
        let transfer = self.settings().patience.transfer;
        let broken = |reason: String| {
            let what = format!("get: the object broke off on its way: {reason}");
            StoreError::new(Kind::Unreachable, what).on(key)
        };
        let bytes = match tokio::time::timeout(transfer, receive(answer.body, length)).await {
            Ok(received) => received.map_err(broken)?,
            Err(_) => return Err(broken(format!("not complete after {} s", transfer.as_secs()))),
        };
        let part = clip(range.filter(|_| whole).cloned(), length).ok_or_else(|| beyond(key))?;
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        Ok(bytes.slice(index(part.start)..index(part.end)))
    }

    pub(super) async fn look(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        let request = self
            .client()
            .head_object()
            .bucket(self.bucket())
            .key(self.full(key))
            .set_version_id(version.map(ToString::to_string));
        let call = reading("head", key, version);
        let answer = request.send().await.map_err(|error| self.failed(&call, &error))?;
        let corrupt = |reason: &str| StoreError::new(Kind::Corrupt, format!("head: {reason}")).on(key);
        Ok(Head {
            bytes: answer
                .content_length()
                .and_then(|length| u64::try_from(length).ok())
                .ok_or_else(|| corrupt("the answer has no size"))?,
            version: version_of(answer.version_id()),
            modified: self
                .put_at(answer.last_modified(), answer.version_id())
                .ok_or_else(|| corrupt("the answer has no time"))?,
        })
    }

    fn put_at(&self, modified: Option<&DateTime>, version: Option<&str>) -> Option<Time> {
        let version = version.filter(|_| self.inner.clients.witness.is_seaweed());
        let modified = time(modified?);
        Some(version.map_or(modified, |version| put_time::earlier(modified, version)))
    }

    pub(super) async fn time(&self) -> Result<Time> {
        let clock = ServerClock::default();
        let request = self.client().head_bucket().bucket(self.bucket()).customize().interceptor(clock.clone());
        let answer = request.send().await;
        // Even a refusal carries the date.
        match (clock.read(), answer) {
            (Some(time), _) => Ok(time),
            (None, Ok(_)) => {
                let what = "server time: the store's answers carry no Date, or an old one, and locks are counted by its \
                            clock; look whether something between takes it away";
                Err(StoreError::new(Kind::Unsupported, what))
            }
            (None, Err(error)) => {
                let call = Call { what: "server time", needs: "s3:ListBucket", object: "" };
                Err(self.failed(&call, &error))
            }
        }
    }

    pub(super) async fn delete(&self, key: &Key, version: Option<&Version>) -> Result<()> {
        // Without a version S3 would add a delete marker instead.
        let version = match version {
            Some(version) => Some(version.clone()),
            None => self.current(key).await?,
        };
        let gone = || StoreError::new(Kind::NotFound, "delete: there is no such object").on(key);
        let version = version.ok_or_else(gone)?;
        let call = Call { what: "delete", needs: "s3:DeleteObjectVersion", object: key.as_str() };
        let request =
            self.client().delete_object().bucket(self.bucket()).key(self.full(key)).version_id(version.as_str());
        let Err(error) = request.send().await else { return Ok(()) };
        let denied = self.failed(&call, &error);
        if denied.kind != Kind::Denied {
            return Err(denied);
        }
        // A lock and a missing permission get the same answer.
        match self.read_lock(key, Some(&version)).await {
            Ok(Some(lock)) if lock.until > self.time().await? => {
                let what = format!("delete: locked until {} ({})", lock.until, lock.mode.as_str());
                Err(StoreError::new(Kind::Locked, what).on(key))
            }
            _ => Err(denied),
        }
    }
}

fn reading<'a>(what: &'static str, key: &'a Key, version: Option<&Version>) -> Call<'a> {
    let needs = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
    Call { what, needs, object: key.as_str() }
}

fn beyond(key: &Key) -> StoreError {
    StoreError::new(Kind::BadRange, "get: the range is empty or lies beyond the object").on(key)
}

/// A range as HTTP has it, its last byte included. One that ends beyond all objects is left open, as some servers
/// compute with signed numbers.
fn range_header(range: &Range<u64>) -> String {
    if range.end > u64::from(u32::MAX) {
        format!("bytes={}-", range.start.min(i64::MAX.unsigned_abs()))
    } else {
        format!("bytes={}-{}", range.start, range.end.saturating_sub(1))
    }
}

/// Whether a `Content-Range` such as `bytes 5-9/100` begins where it was asked to.
fn starts_at(header: &str, start: u64) -> bool {
    let first = header.trim_start_matches("bytes").trim_start().split('-').next();
    first.and_then(|first| first.parse().ok()) == Some(start)
}

async fn receive(mut body: ByteStream, length: u64) -> std::result::Result<Bytes, String> {
    let length = usize::try_from(length).map_err(|_| "too large".to_owned())?;
    let mut bytes = BytesMut::with_capacity(length);
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| super::fail::innermost(&error))?;
        if part.len() > length.saturating_sub(bytes.len()) {
            return Err(format!("more came than the {length} bytes announced"));
        }
        bytes.extend_from_slice(&part);
    }
    if bytes.len() < length {
        return Err(format!("{} of {length} bytes came", bytes.len()));
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_spelled_as_http_wants() {
        assert_eq!(range_header(&(0..1)), "bytes=0-0");
        assert_eq!(range_header(&(5..10)), "bytes=5-9");
        assert_eq!(range_header(&(5..u64::MAX)), "bytes=5-");
        assert_eq!(range_header(&(u64::MAX - 1..u64::MAX)), "bytes=9223372036854775807-");
    }

    #[test]
    fn the_range_of_an_answer_is_checked() {
        assert!(starts_at("bytes 5-9/100", 5));
        for wrong in ["bytes 4-9/100", "bytes */100", "", "bytes", "bytes x-9/100"] {
            assert!(!starts_at(wrong, 5), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_body_must_be_as_long_as_announced() {
        let body = || ByteStream::from_static(b"12345");
        assert_eq!(receive(body(), 5).await.unwrap(), "12345");
        assert!(receive(body(), 6).await.unwrap_err().contains("5 of 6"));
        assert!(receive(body(), 4).await.unwrap_err().contains("more"));
    }
}

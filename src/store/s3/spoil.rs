//! Requests that nothing can come of, whoever sends them: documents that are none, parts of uploads that are not there,
//! bodies that are not what was announced. How a server refuses them tells what the sender may do.
//!
//! A server that looks at the request before it asks who sends it would make every such answer look like a permission.
//! So whatever is not a plain refusal is asked once more by nobody: only where nobody is refused, the answer told
//! something of whoever asked first.

use std::time::Duration;

use aws_sdk_s3::{
    config::{
        Builder, Config, ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut,
        retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::BoxError,
    primitives::{ByteStream, SdkBody},
    types::ObjectLockMode,
};

use super::{Call, Checksum, Facts, S3Store, stamp};
use crate::{
    model::{Key, Lock, LockMode},
    store::{Result, Setting, StoreError, StoreErrorKind as Kind, Target, Through, Version},
};

/// What is put where nothing is to be stored.
const BROKEN: &[u8] = b"strongroom doctor: nothing of this is ever stored\n";
/// The same length, and other bytes.
const OTHER: &[u8] = b"strongroom doctor: something that was never sent.\n";
/// A document that no parser reads to its end.
const NO_XML: &str = "<strongroom-doctor";
/// A policy that is none.
const NO_POLICY: &str = "{";
/// An upload that nobody began.
const NO_UPLOAD: &str = "strongroom-doctor";
/// The checksum of other bytes, in base64.
const WRONG_MD5: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
/// What such a call may take: it is not worth more, and an answer that says no more than that something broke is one.
const PATIENCE: Duration = Duration::from_secs(20);

/// Calls that are made once, and not again.
pub(super) fn once() -> Builder {
    let timeouts = TimeoutConfig::builder().connect_timeout(PATIENCE).operation_timeout(PATIENCE).build();
    Config::builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts)
}

/// Sends another document, to another part of the bucket's settings, before it is signed.
#[derive(Debug, Clone, Copy)]
struct Instead {
    query: Option<&'static str>,
    body: &'static str,
}

impl Intercept for Instead {
    fn name(&self) -> &'static str {
        "strongroom spoilt document"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let request = context.request_mut();
        if let Some(query) = self.query {
            let path = request.uri().split('?').next().unwrap_or("/").to_owned();
            request.set_uri(format!("{path}?{query}"))?;
        }
        request.headers_mut().insert("content-length", self.body.len().to_string());
        *request.body_mut() = SdkBody::from(self.body);
        Ok(())
    }
}

/// Sends other bytes than were signed, as a network would that damages them.
#[derive(Debug, Clone, Copy)]
struct Damaged;

impl Intercept for Damaged {
    fn name(&self) -> &'static str {
        "strongroom damaged body"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        *context.request_mut().body_mut() = SdkBody::from(OTHER);
        Ok(())
    }
}

/// The settings of a bucket that a document sets, as queries name them.
fn query(setting: Setting) -> &'static str {
    match setting {
        Setting::Versioning => "versioning",
        Setting::ObjectLock => "object-lock",
        Setting::Policy => "policy",
        Setting::Lifecycle => "lifecycle",
        Setting::Acl => "acl",
        Setting::Ownership => "ownershipControls",
        Setting::PublicAccess => "publicAccessBlock",
        Setting::Replication => "replication",
        Setting::Encryption => "encryption",
    }
}

impl S3Store {
    /// Sends a document that is none. `Err` with its facts is the usual end.
    async fn send_spoilt(&self, target: Target<'_>) -> std::result::Result<(), Facts> {
        let version = |version: Option<&Version>| version.map(ToString::to_string);
        match target {
            Target::Bucket(Setting::Policy) => self.send_setting(query(Setting::Policy), NO_POLICY).await,
            Target::Bucket(setting) => self.send_setting(query(setting), NO_XML).await,
            Target::Lock(key, of) => {
                let request = self.client().put_object_retention().bucket(self.bucket()).key(self.full(key));
                let request = request.set_version_id(version(of)).customize().config_override(once());
                let answer = request.interceptor(Instead { query: None, body: NO_XML }).send().await;
                answer.map(drop).map_err(|error| self.facts(&error))
            }
            Target::Hold(key, of) => {
                let request = self.client().put_object_legal_hold().bucket(self.bucket()).key(self.full(key));
                let request = request.set_version_id(version(of)).customize().config_override(once());
                let answer = request.interceptor(Instead { query: None, body: NO_XML }).send().await;
                answer.map(drop).map_err(|error| self.facts(&error))
            }
            Target::Acl(key) => {
                let request = self.client().put_object_acl().bucket(self.bucket()).key(self.full(key));
                let request = request.customize().config_override(once());
                let answer = request.interceptor(Instead { query: None, body: NO_XML }).send().await;
                answer.map(drop).map_err(|error| self.facts(&error))
            }
            Target::Part(key) => {
                let request = self.client().upload_part().bucket(self.bucket()).key(self.full(key));
                let request = request.upload_id(NO_UPLOAD).part_number(1).content_md5(WRONG_MD5);
                let request = request.body(ByteStream::from_static(BROKEN)).customize().config_override(once());
                let answer = request.interceptor(Damaged).send().await;
                answer.map(drop).map_err(|error| self.facts(&error))
            }
        }
    }

    async fn send_setting(&self, query: &'static str, body: &'static str) -> std::result::Result<(), Facts> {
        let request = self.client().put_bucket_policy().bucket(self.bucket()).policy(body);
        let instead = Instead { query: Some(query), body };
        let answer = request.customize().config_override(once()).interceptor(instead).send().await;
        answer.map(drop).map_err(|error| self.facts(&error))
    }

    /// Whether the server answers a setting that nobody ever heard of in the same way.
    async fn knows_not(&self, target: Target<'_>, answered: &Facts) -> bool {
        let Target::Bucket(setting) = target else { return false };
        if setting.is_common() {
            return false;
        }
        let other = self.send_setting("strongroom-doctor", NO_XML).await;
        other.is_err_and(|facts| (facts.status, &facts.code) == (answered.status, &answered.code))
    }

    /// Sends what can't be done; `nobody` is the same bucket without credentials.
    pub(super) async fn spoil(&self, target: Target<'_>, nobody: Option<&Self>) -> Result<Through> {
        let call = Call { what: "a document that is none", needs: target.permission(), object: self.named(target) };
        let Err(facts) = self.send_spoilt(target).await else { return Ok(Through::Taken) };
        let told = self.told(&call, &facts);
        match told.kind {
            Kind::Denied | Kind::Locked | Kind::Clock | Kind::NoVault => return Err(told),
            _ if unknown(&facts) => {
                let what = format!("{}: the server has nothing of the kind: {}", call.what, told.what);
                return Err(StoreError::new(Kind::Unsupported, what));
            }
            Kind::Unreachable if facts.status != Some(500) => return Err(told),
            _ if self.knows_not(target, &facts).await => {
                let what = format!("the server answers a setting that is none in the same way: {}", told.what);
                return Err(StoreError::new(Kind::Invalid, what));
            }
            _ => {}
        }
        let refused = match nobody {
            Some(nobody) => match nobody.send_spoilt(target).await {
                Ok(()) => false,
                Err(facts) => nobody.told(&call, &facts).kind == Kind::Denied,
            },
            None => false,
        };
        if refused {
            return Ok(Through::Stopped(told));
        }
        let what =
            format!("the server gives this answer to everyone, so it says nothing about this role: {}", told.what);
        Err(StoreError::new(Kind::Invalid, what))
    }

    fn named<'a>(&'a self, target: Target<'a>) -> &'a str {
        match target {
            Target::Bucket(_) => self.bucket(),
            Target::Lock(key, _) | Target::Hold(key, _) | Target::Acl(key) | Target::Part(key) => key.as_str(),
        }
    }

    /// Puts what is damaged, so that a server that verifies it by `way` refuses it.
    pub(super) async fn put_damaged(&self, key: &Key, lock: Option<Lock>, way: Checksum) -> Result<Through> {
        let needs = if lock.is_some() { "s3:PutObjectRetention" } else { "s3:PutObject" };
        let call = Call { what: "put", needs, object: key.as_str() };
        let request = self
            .client()
            .put_object()
            .bucket(self.bucket())
            .key(self.full(key))
            .set_if_none_match(self.settings().conditional_put.then(|| "*".to_owned()))
            .set_object_lock_mode(lock.map(|lock| match lock.mode {
                LockMode::Compliance => ObjectLockMode::Compliance,
                LockMode::Governance => ObjectLockMode::Governance,
            }))
            .set_object_lock_retain_until_date(lock.map(|lock| stamp(lock.until)))
            .body(ByteStream::from_static(BROKEN));
        // All of zero bits, which the checksum of these bytes is not.
        let request = match way {
            Checksum::Crc32c => request.checksum_crc32_c("AAAAAA=="),
            Checksum::Crc64Nvme => request.checksum_crc64_nvme("AAAAAAAAAAA="),
            Checksum::Sha256 => request.checksum_sha256("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            Checksum::Md5 => request.content_md5(WRONG_MD5),
            Checksum::Signed => request.checksum_algorithm(way.algorithm()),
        };
        let request = request.customize();
        let request = if way == Checksum::Signed { request.interceptor(Damaged) } else { request };
        let Err(error) = request.send().await else { return Ok(Through::Taken) };
        let facts = self.facts(&error);
        let told = self.told(&call, &facts);
        if facts.is_taken() || told.kind == Kind::Corrupt { Ok(Through::Stopped(told)) } else { Err(told) }
    }

    /// By which of `ways` the server notices that what it was sent is damaged: the first that works. `scratch` is a free
    /// key that the role may put to; a server that notices nothing keeps a few bytes there for each way that was tried.
    ///
    /// # Errors
    /// If the role may not put there, or the server can't be asked.
    pub async fn verifies(&self, scratch: &Key, ways: &[Checksum]) -> Result<Option<Checksum>> {
        for way in ways {
            match self.put_damaged(scratch, None, *way).await {
                Ok(Through::Stopped(error)) if error.kind == Kind::Corrupt && !self.is_listed(scratch).await? => {
                    return Ok(Some(*way));
                }
                Ok(_) => {}
                // What does not know such a header does not verify it.
                Err(error) if matches!(error.kind, Kind::Invalid | Kind::Unsupported | Kind::Other) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Whether the answer says that the server does not have what was to be set. Some take a setting that they don't know
/// for the making of the bucket, which is there.
fn unknown(facts: &Facts) -> bool {
    let taken = matches!(facts.code.as_str(), "BucketAlreadyExists" | "BucketAlreadyOwnedByYou");
    matches!(facts.status, Some(405 | 501)) || (facts.status == Some(409) && taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_keeps_the_length() {
        assert!(BROKEN.len() == OTHER.len() && BROKEN != OTHER);
    }

    #[test]
    fn a_server_that_lacks_a_setting_is_told_from_one_that_refuses() {
        let facts = |status, code: &str| Facts { status: Some(status), code: code.to_owned(), ..Facts::default() };
        for (status, code) in [(501, "NotImplemented"), (405, "MethodNotAllowed"), (409, "BucketAlreadyExists")] {
            assert!(unknown(&facts(status, code)), "{code}");
        }
        for (status, code) in [(400, "MalformedXML"), (409, "OperationAborted"), (500, ""), (403, "AccessDenied")] {
            assert!(!unknown(&facts(status, code)), "{code}");
        }
    }
}

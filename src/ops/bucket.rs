//! A bucket before a vault goes into it: made as it should be, or looked at. What it lacks is told with the commands
//! that mend it, since nobody can give a vault better protection than its bucket has.

use super::{OpsError, Result};
use crate::{
    format::layout,
    model::{LockBy, LockMode, LockPolicy, Span},
    store::{
        Checksum, ObjectStore,
        s3::{S3Store, Versioning},
    },
};

/// What the vault needs of the bucket.
#[derive(Debug, Clone, Copy)]
pub struct BucketRequest {
    /// Whether the bucket is to be made.
    pub create: bool,
    /// How long each snapshot is promised to live.
    pub keep: Span,
    /// How strongly locks must be held.
    pub mode: LockMode,
    /// Who sets the locks of new objects.
    pub by: LockBy,
}

/// Makes or checks the bucket of `store`; returns how much longer than `keep` new objects in it are locked.
///
/// # Errors
/// `Bucket` if it falls short, with the commands that mend it; the store's if it can't be made or asked.
pub async fn prepare(store: &S3Store, request: &BucketRequest) -> Result<Span> {
    let admin = store.admin();
    if request.create {
        // Some servers make a bucket that is there once more, and say that it went well.
        if admin.is_there().await? {
            return Err(admin.taken().into());
        }
        admin.create_bucket().await?;
        // Somebody may have been faster, who meant something by it.
        if admin.lock().await?.is_some_and(|lock| lock.default.is_some()) {
            return Err(admin.taken().into());
        }
        if admin.versioning().await? != Versioning::Enabled {
            admin.enable_versioning().await?;
        }
        admin.set_default_lock(request.mode, request.keep + LockPolicy::DEFAULT_WINDOW).await?;
    }
    let Some(lock) = admin.lock().await? else {
        let what = "its bucket has no object lock, so nothing in it is protected";
        return Err(request.refused(store, what.to_owned(), Mend::Everything));
    };
    if admin.versioning().await? != Versioning::Enabled {
        let what = "its bucket keeps no versions, so whoever may write can replace what is there";
        return Err(request.refused(store, what.to_owned(), Mend::Everything));
    }
    match (request.by, lock.default) {
        (LockBy::Explicit, _) => Ok(LockPolicy::DEFAULT_WINDOW),
        (LockBy::BucketDefault, None) => {
            let what = "its bucket locks nothing by default, and this vault's writer may not set locks itself";
            Err(request.refused(store, what.to_owned(), Mend::Default(Span::ZERO)))
        }
        (LockBy::BucketDefault, Some((mode, span))) => {
            if !mode.covers(request.mode) {
                let what = format!(
                    "its bucket locks new objects in {} mode by default, and the vault promises {}",
                    mode.as_str(),
                    request.mode.as_str()
                );
                return Err(request.refused(store, what, Mend::Default(span)));
            }
            let least = request.keep + LockPolicy::MIN_WINDOW;
            if span < least {
                let what = format!(
                    "its bucket locks new objects for {span} by default; to promise {} to each snapshot it takes \
                     {least} at least, and with so little everything is stored again every {}",
                    request.keep,
                    LockPolicy::MIN_WINDOW
                );
                return Err(request.refused(store, what, Mend::Default(span)));
            }
            Ok(Span::seconds(span.as_seconds().saturating_sub(request.keep.as_seconds())))
        }
    }
}

/// By which of the ways that the server knows it notices damage to what it is sent: the one of `store`'s settings, or
/// unless that was `chosen` the first that works. `None` if it notices none.
///
/// # Errors
/// The store's.
pub async fn verified_by(store: &S3Store, chosen: bool) -> Result<Option<Checksum>> {
    let member = super::evidence::owner()?;
    let now = store.server_time().await?;
    let own = store.settings().checksum;
    // Where there is a vault already, there will be none to make.
    if store.get(&layout::descriptor(), None, Some(0..1)).await.is_ok() {
        return Ok(Some(own));
    }
    let others = Checksum::ALL.into_iter().filter(|way| *way != own && !chosen);
    for way in std::iter::once(own).chain(others) {
        let scratch = layout::canary(&member, now, &format!("damaged-{way}"));
        if let Some(way) = store.verifies(&scratch, &[way]).await? {
            return Ok(Some(way));
        }
    }
    Ok(None)
}

/// What has to be mended.
#[derive(Clone, Copy)]
enum Mend {
    /// Versions, lock and default.
    Everything,
    /// The default retention, which is this long now.
    Default(Span),
}

impl BucketRequest {
    fn refused(&self, store: &S3Store, what: String, mend: Mend) -> OpsError {
        let settings = store.settings();
        let mut place = format!("--bucket {}", settings.bucket);
        if let Some(endpoint) = &settings.endpoint {
            place = format!("{place} --endpoint-url '{}'", endpoint.replace('\'', ""));
        }
        if let Some(region) = &settings.region {
            place = format!("{place} --region '{}'", region.replace('\'', ""));
        }
        let wanted = self.keep + LockPolicy::DEFAULT_WINDOW;
        let now = if let Mend::Default(now) = mend { now } else { Span::ZERO };
        let days = wanted.max(now).as_seconds().div_ceil(86_400);
        let mode = match self.mode {
            LockMode::Compliance => "COMPLIANCE",
            LockMode::Governance => "GOVERNANCE",
        };
        let lock = format!(
            "aws s3api put-object-lock-configuration {place} --object-lock-configuration \
             '{{\"ObjectLockEnabled\":\"Enabled\",\"Rule\":{{\"DefaultRetention\":{{\"Mode\":\"{mode}\",\"Days\":{days}}}}}}}'"
        );
        let mend = match mend {
            Mend::Default(_) => format!("as the bucket's admin, run this and then init again:\n  {lock}"),
            Mend::Everything => format!(
                "as the bucket's admin, run this and then init again:\n  \
                 aws s3api put-bucket-versioning {place} --versioning-configuration Status=Enabled\n  {lock}\n\
                 or let `strongroom init --create-bucket` make another bucket: some servers lock only buckets that \
                 were made for it"
            ),
        };
        OpsError::Bucket { url: store.url(), what, mend }
    }
}

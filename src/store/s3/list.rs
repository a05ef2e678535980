//! Listing objects and versions, page by page, in byte order.
//!
//! `SeaweedFS` keeps objects in directories and lists them in their order: `w1/…` before `w1-b/…`, though `-` sorts
//! before `/`. Across pages its listing of versions even leaves such neighbours out. So there a listing that does not
//! fit on one page is taken directory by directory, which it gets right.

use aws_sdk_s3::types::EncodingType;

use super::{
    Call, S3Store,
    page::{self, Listed, Page},
    put_time,
    watch::PageOrder,
};
use crate::{
    model::Key,
    store::{Entry, Result, StoreError, StoreErrorKind as Kind, Version, VersionEntry},
};

/// What is asked of one page.
struct Ask<'a> {
    call: Call<'a>,
    /// What the keys begin with, the vault's prefix included.
    full: String,
    /// Whether what lies below the next slash is summed up.
    by_directory: bool,
}

/// One of the two listings.
trait Pager: Sync {
    type Item: Listed;
    type Marker: PartialEq + Send;

    fn page(
        &self,
        ask: &Ask<'_>,
        after: Option<&Self::Marker>,
    ) -> impl Future<Output = Result<Page<Self::Item, Self::Marker>>> + Send;
}

struct Current<'a>(&'a S3Store);
struct Versions<'a>(&'a S3Store);

impl Pager for Current<'_> {
    type Item = Entry;
    type Marker = String;

    async fn page(&self, ask: &Ask<'_>, after: Option<&String>) -> Result<Page<Entry, String>> {
        let Self(store) = self;
        let request = store
            .client()
            .list_objects_v2()
            .bucket(store.bucket())
            .prefix(&ask.full)
            .set_delimiter(ask.by_directory.then(|| "/".to_owned()))
            // A key may hold what XML can't.
            .encoding_type(EncodingType::Url)
            .set_continuation_token(after.cloned());
        let answer = request.send().await.map_err(|error| store.failed(&ask.call, &error))?;
        page::current(&answer).ok_or_else(|| unreadable(&ask.call))
    }
}

impl Pager for Versions<'_> {
    type Item = VersionEntry;
    type Marker = (String, Option<String>);

    async fn page(&self, ask: &Ask<'_>, after: Option<&Self::Marker>) -> Result<Page<VersionEntry, Self::Marker>> {
        let Self(store) = self;
        let order = PageOrder::default();
        let request = store
            .client()
            .list_object_versions()
            .bucket(store.bucket())
            .prefix(&ask.full)
            .set_delimiter(ask.by_directory.then(|| "/".to_owned()))
            .encoding_type(EncodingType::Url)
            .set_key_marker(after.map(|(key, _)| key.clone()))
            .set_version_id_marker(after.and_then(|(_, version)| version.clone()));
        let answer = request.customize().interceptor(order.clone()).send().await;
        let answer = answer.map_err(|error| store.failed(&ask.call, &error))?;
        let mut page = page::versions(&answer, &order.markers()).ok_or_else(|| unreadable(&ask.call))?;
        if store.inner.clients.witness.is_seaweed() {
            for entry in &mut page.items {
                entry.modified = put_time::earlier(entry.modified, entry.version.as_str());
            }
        }
        Ok(page)
    }
}

/// Something still to be listed, in a listing by directory.
enum Pending<T> {
    Item(T),
    Directory(String),
}

impl<T: Listed> Pending<T> {
    fn key(&self) -> &str {
        match self {
            Self::Item(item) => item.key(),
            Self::Directory(prefix) => prefix,
        }
    }
}

impl S3Store {
    pub(super) async fn list_current(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        let call = Call { what: "list", needs: "s3:ListBucket", object: prefix };
        self.walk(&Current(self), call, &mut |mut entry: Entry| {
            if let Some(key) = self.inside(&entry.key) {
                entry.key = key;
                each(entry);
            }
        })
        .await
    }

    pub(super) async fn list_all(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        let call = Call { what: "list versions", needs: "s3:ListBucketVersions", object: prefix };
        // The versions of one key, newest first as S3 gives them.
        let mut group: Vec<VersionEntry> = Vec::new();
        let walked = self
            .walk(&Versions(self), call, &mut |mut entry: VersionEntry| {
                let Some(key) = self.inside(&entry.key) else { return };
                entry.key = key;
                if group.last().is_some_and(|last| last.key != entry.key) {
                    group.drain(..).rev().for_each(&mut *each);
                }
                group.push(entry);
            })
            .await;
        group.drain(..).rev().for_each(&mut *each);
        walked
    }

    /// Whether a plain get would find an object.
    pub(super) async fn is_listed(&self, key: &Key) -> Result<bool> {
        let call = Call { what: "list", needs: "s3:ListBucket", object: key.as_str() };
        let ask = Ask { call, full: self.full(key), by_directory: false };
        // Nothing that begins with the key sorts before the key itself.
        let page = Current(self).page(&ask, None).await?;
        Ok(page.items.iter().any(|entry| entry.key == ask.full))
    }

    /// The version that a plain get would give, if any.
    pub(super) async fn current(&self, key: &Key) -> Result<Option<Version>> {
        let call = Call { what: "list versions", needs: "s3:ListBucketVersions", object: key.as_str() };
        let ask = Ask { call, full: self.full(key), by_directory: false };
        let page = Versions(self).page(&ask, None).await?;
        let current = page.items.into_iter().find(|entry| entry.key == ask.full && entry.latest);
        Ok(current.filter(|entry| !entry.delete_marker).map(|entry| entry.version))
    }

    /// The vault's key of a listed one. Objects outside the prefix, such as the directory marker of the prefix itself,
    /// are none of the vault's.
    fn inside(&self, full: &str) -> Option<String> {
        self.settings().relative(full).filter(|key| !key.is_empty()).map(str::to_owned)
    }

    async fn walk<P: Pager>(&self, pager: &P, call: Call<'_>, each: &mut (dyn FnMut(P::Item) + Send)) -> Result<()> {
        let full = self.settings().full(call.object);
        let mut ask = Ask { call, full, by_directory: false };
        let mut page = pager.page(&ask, None).await?;
        if self.inner.clients.witness.is_seaweed() {
            // A path has no empty step, so nothing is there; asked for `/a`, it lists `a` under that name.
            if ask.full.starts_with('/') {
                return Ok(());
            }
            if page.next.is_some() {
                return self.walk_directories(pager, ask, each).await;
            }
        }
        let mut last = String::new();
        loop {
            sort(&mut page.items, &ask.full);
            if page.items.first().is_some_and(|first| first.key() < last.as_str()) {
                let what = format!("{}: the store lists out of order, so it may leave objects out", ask.call.what);
                return Err(StoreError::new(Kind::Unsupported, what).on(ask.call.object));
            }
            if let Some(item) = page.items.last() {
                item.key().clone_into(&mut last);
            }
            page.items.into_iter().for_each(&mut *each);
            let Some(next) = page.next else { return Ok(()) };
            ask.by_directory = false;
            page = pager.page(&ask, Some(&next)).await?;
            if page.next.as_ref() == Some(&next) {
                return Err(stuck(&ask.call));
            }
        }
    }

    /// Lists one directory after the other. What fits on one page is taken whole; else what lies directly in the
    /// directory is listed, and each directory in it on its own.
    async fn walk_directories<P: Pager>(
        &self,
        pager: &P,
        ask: Ask<'_>,
        each: &mut (dyn FnMut(P::Item) + Send),
    ) -> Result<()> {
        let mut pending = vec![Pending::Directory(ask.full)];
        while let Some(next) = pending.pop() {
            let full = match next {
                Pending::Item(item) => {
                    each(item);
                    continue;
                }
                Pending::Directory(full) => full,
            };
            let mut ask = Ask { call: ask.call, full, by_directory: false };
            let mut page = pager.page(&ask, None).await?;
            if page.next.is_none() {
                sort(&mut page.items, &ask.full);
                page.items.into_iter().for_each(&mut *each);
                continue;
            }
            ask.by_directory = true;
            let mut level = level(pager, &ask).await?;
            // Stable, so the versions of a key keep their order; reversed, as the last is taken first.
            level.sort_by(|a, b| a.key().cmp(b.key()));
            level.dedup_by(|a, b| matches!((a, b), (Pending::Directory(a), Pending::Directory(b)) if a == b));
            pending.extend(level.into_iter().rev());
        }
        Ok(())
    }
}

/// Everything directly in a directory.
async fn level<P: Pager>(pager: &P, ask: &Ask<'_>) -> Result<Vec<Pending<P::Item>>> {
    let mut level = Vec::new();
    let mut after = None;
    loop {
        let mut page = pager.page(ask, after.as_ref()).await?;
        sort(&mut page.items, &ask.full);
        level.extend(page.items.into_iter().map(Pending::Item));
        for directory in page.directories {
            // Anything else would be listed forever.
            if directory.len() <= ask.full.len() || !directory.starts_with(&ask.full) {
                return Err(stuck(&ask.call));
            }
            level.push(Pending::Directory(directory));
        }
        let Some(next) = page.next else { return Ok(level) };
        if after.as_ref() == Some(&next) {
            return Err(stuck(&ask.call));
        }
        after = Some(next);
    }
}

/// Brings a page into byte order, and leaves out what was not asked for: `SeaweedFS` orders by the encoded key, and
/// takes a prefix such as `a/b.` for a directory's.
fn sort<T: Listed>(items: &mut Vec<T>, full: &str) {
    items.retain(|item| item.key().starts_with(full));
    items.sort_by(|a, b| a.key().cmp(b.key()));
}

/// A server that answers with the same page again would be listed forever.
fn stuck(call: &Call<'_>) -> StoreError {
    let what = format!("{}: the store's pages lead nowhere; its listing can't be used", call.what);
    StoreError::new(Kind::Corrupt, what).on(call.object)
}

fn unreadable(call: &Call<'_>) -> StoreError {
    let what =
        format!("{}: the listing lacks where it goes on, or an entry lacks its key, size, version or time", call.what);
    StoreError::new(Kind::Corrupt, what).on(call.object)
}

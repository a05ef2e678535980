//! The pages of a snapshot: unchanged ones are reused, others are written.

use super::{Run, commit::Closure};
use crate::{
    catalog::{Catalog, ObjectRow, PackRow},
    codec::hash,
    format::{
        header::ObjectRef,
        layout,
        page::{PACKS_PER_PAGE, PackRef, Page},
    },
    store::Payload,
    vault::VaultError,
};

impl Run<'_> {
    /// Writes the pages that name `packs`, or finds them written; returns what the header says of them.
    pub(super) fn pages(
        &self,
        catalog: &mut Catalog,
        packs: &[PackRow],
        closure: &mut Closure,
    ) -> Result<Vec<ObjectRef>, VaultError> {
        let mut pages = Vec::new();
        // Pages are cut by the catalog's numbers, so that new packs change only the last of them.
        for packs in packs.chunk_by(|a, b| page_of(a) == page_of(b)) {
            let page = Page::new(self.place.writer.descriptor.vault, self.place.writer.name.clone(), refs(packs));
            pages.push(self.page(catalog, page, closure)?);
        }
        Ok(pages)
    }

    fn page(&self, catalog: &mut Catalog, mut page: Page, closure: &mut Closure) -> Result<ObjectRef, VaultError> {
        if let Some(found) = self.written(catalog, &page)? {
            closure.existing(&found);
            return reference(&page, found.version);
        }
        let public = page.encode()?;
        let hash = hash::hash(public.bytes());
        let key = layout::page(&self.place.writer.name, &hash);
        let bytes = public.bytes().len() as u64;
        let put = self.put_named(&key, &Payload::Public(public), closure)?;
        if !self.locking.suffices(put.lock) {
            // The same page lies there under a lock that ends too soon and can't be extended: another spelling of it
            // gets a lock of its own.
            if page.renewed_at.is_some() {
                return Err(self.unprotected(&key, put.lock));
            }
            page.renewed_at = Some(self.started_at);
            return self.page(catalog, page, closure);
        }
        let row = ObjectRow { key: key.to_string(), bytes, version: put.version.clone(), lock: put.lock };
        catalog.remember_object(&row)?;
        closure.existing(&row);
        Ok(ObjectRef { hash, bytes, version: put.version })
    }

    /// The page as the catalog remembers it, if its lock reaches the floor.
    fn written(&self, catalog: &mut Catalog, page: &Page) -> Result<Option<ObjectRow>, VaultError> {
        let hash = hash::hash(page.encode()?.bytes());
        let row = catalog.object(layout::page(&self.place.writer.name, &hash).as_str())?;
        Ok(row.filter(|row| self.locking.suffices(row.lock)))
    }
}

fn reference(page: &Page, version: Option<String>) -> Result<ObjectRef, VaultError> {
    let public = page.encode()?;
    Ok(ObjectRef { hash: hash::hash(public.bytes()), bytes: public.bytes().len() as u64, version })
}

fn page_of(row: &PackRow) -> i64 {
    row.no.get() / i64::try_from(PACKS_PER_PAGE).unwrap_or(i64::MAX)
}

fn refs(packs: &[PackRow]) -> Vec<PackRef> {
    packs.iter().map(|p| PackRef { id: p.id, bytes: p.bytes, version: p.version.clone() }).collect()
}

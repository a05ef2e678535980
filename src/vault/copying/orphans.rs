//! Objects that a repair puts back by their names alone. What would name them is gone from both places, or does not belong here
//! any more; but the record of a lock proves that they were here, or nobody can tell which of them are needed.

use std::collections::{BTreeSet, HashSet};

use futures::{StreamExt, stream};

use super::{
    CopyDone, Pass,
    lost::is_locked,
    object::{Object, Trouble, Where},
};
use crate::{
    format::{
        index::SEALED_LIMIT,
        layout::{self, ObjectName},
        pack::PACK_LIMIT,
        page::PAGE_LIMIT,
    },
    model::Key,
    vault::{Result, Vault, fetch},
};

/// Puts back what the other place has: what is `lost`, and with `read` the packs of writers whose pages or headers are gone from
/// both.
pub(super) async fn bring(pass: &Pass<'_>, (read, lost): (bool, &HashSet<String>), done: &mut CopyDone) -> Result<()> {
    let place = pass.mover.place;
    let mut wanted: BTreeSet<Key> = lost.iter().filter_map(|key| key.parse().ok()).collect();
    wanted.retain(|key| !place.there(key));
    if read {
        for writer in done.unnamed.clone() {
            let prefix = layout::own(layout::PACKS, &writer);
            for vault in [pass.source, pass.target] {
                wanted.extend(packs(vault, &prefix).await?.into_iter().filter(|key| !place.proven(key)));
            }
        }
    }
    let objects: Vec<Object> = wanted.into_iter().filter_map(object).collect();
    let mut moves = stream::iter(objects)
        .map(|object| async move { (pass.mover.bring(&object, false, place.usual()).await, object) })
        .buffered(pass.mover.jobs);
    while let Some((moved, object)) = moves.next().await {
        let key = object.key();
        let Err(trouble) = moved? else { continue };
        // What is gone from both is named by who looks for that; and without the record of a lock it may be anybody's.
        let is_lost = matches!(trouble, Trouble::Damaged(_));
        if is_lost && (!place.there(&key) || !is_locked(pass.target, &key).await?) {
            continue;
        }
        done.unhealed |= place.there(&key);
        done.findings.note(trouble.finding(&key, true));
    }
    Ok(())
}

/// The packs below a prefix.
async fn packs(vault: &Vault, prefix: &str) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    let mut each = |one: Option<(String, fetch::Stored)>| match one {
        Some((key, _)) => keys.extend(key.parse::<Key>().ok()),
        None => keys.clear(),
    };
    fetch::each(&*vault.store, prefix, &mut each).await?;
    keys.dedup();
    Ok(keys)
}

/// What has this name, if nothing but its hash vouches for it.
fn object(key: Key) -> Option<Object> {
    let limit = match layout::parse(key.as_str())? {
        ObjectName::Pack(..) => PACK_LIMIT,
        ObjectName::Index(..) => SEALED_LIMIT,
        ObjectName::Page(..) => PAGE_LIMIT,
        ObjectName::Piece(_) | ObjectName::History(..) => crate::format::journal::SEALED_LIMIT,
        _ => return None,
    };
    let hash = layout::named_hash(key.as_str())?;
    Some(Object { at: Where::Other(key), hash, bytes: None, limit, hint: None })
}

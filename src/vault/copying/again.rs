//! A place that was copied to with less locks than the source promises, as was allowed then. Its record says so, and each later
//! pass does; one that is not allowed to leave it at that looks at the locks of what is there, as if it had put it.

use super::{CopyDone, Pass, documents::other, windows};
use crate::{
    codec::hash::hash,
    format::layout,
    model::{Finding, Severity},
    vault::{Result, snapshots::Summary},
};

/// Looks at the locks of what is there already, `again`, and says what they lack. Returns whether the place is to be known for
/// one whose locks may be less than promised.
pub(super) async fn look(pass: &Pass<'_>, again: &[Summary], done: &mut CopyDone) -> Result<bool> {
    let (request, place) = (pass.request, pass.mover.place);
    let was = request.last.as_ref().is_some_and(|last| last.less_locked);
    if request.as_possible {
        if was && place.less().objects() == 0 {
            let what = "an earlier pass left locks here that are less than what the source promises, as --locks as-possible \
                        allows. `verify` of the copy lists them";
            done.findings.push(Finding::new(Severity::Warning, "copy.as-possible", what).on(place.store.url()));
        }
        return Ok(was || place.less().objects() > 0);
    }
    if !was {
        return Ok(false);
    }
    if request.dry_run {
        tell(pass, "were not looked at, since nothing is put", done);
        return Ok(true);
    }
    // Where this fails, nothing else has to be tried.
    let key = layout::descriptor();
    let floors = again.iter().map(|snapshot| snapshot.header.floor_until);
    if let Some(first) = floors.filter(|until| *until > place.now).min()
        && place.there(&key)
        && let Err(trouble) = place.lock(&other(&key, hash(b"")), first, place.usual()).await?
    {
        tell(pass, &format!("are not those that are promised: the lock of {key} {}", trouble.why()), done);
        return Ok(true);
    }
    let mut looked = CopyDone::default();
    windows::copy(pass, again, &mut looked).await?;
    let short = looked.left_out.len();
    let found = looked.findings.into_vec();
    // Of what is there nothing was left out.
    done.findings.extend(found.into_iter().filter(|finding| finding.code != "copy.left-out"));
    let less = short > 0 || done.findings.iter().any(|finding| finding.code == "copy.unlocked");
    if less {
        tell(pass, &format!("do not reach what {short} of the snapshots in it promise"), done);
    }
    Ok(less)
}

fn tell(pass: &Pass<'_>, how: &str, done: &mut CopyDone) {
    let what = format!(
        "this place was copied to with --locks as-possible, and the locks of what is in it {how}. Give it locks, copy to a place \
         that has them, or say --locks as-possible"
    );
    done.findings.push(Finding::new(Severity::Weak, "copy.as-possible", what).on(pass.mover.place.store.url()));
}

//! The little XML that the fake reads and writes.

use std::fmt::Write as _;

use strongroom::model::{Lock, LockMode};

use super::state::State;

/// The text of the first element of this name.
pub fn text<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(text, _)| text)
}

/// A lock as a request's body has it.
pub fn read_lock(xml: &str) -> Option<Lock> {
    Some(Lock { mode: read_mode(text(xml, "Mode")?)?, until: text(xml, "RetainUntilDate")?.parse().ok()? })
}

/// A lock's mode as S3 spells it.
pub fn read_mode(text: &str) -> Option<LockMode> {
    match text {
        "COMPLIANCE" => Some(LockMode::Compliance),
        "GOVERNANCE" => Some(LockMode::Governance),
        _ => None,
    }
}

/// A lock as an answer's body has it.
pub fn lock(lock: Lock) -> String {
    let mode = lock.mode.as_str().to_uppercase();
    format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>", lock.until)
}

/// A page of current objects.
pub fn objects(state: &State, prefix: &str, after: &str, limit: usize) -> String {
    let current = state.keys.iter().filter_map(|(key, versions)| {
        let last = versions.last()?;
        let bytes = last.bytes.as_ref()?.len();
        (key.starts_with(prefix) && key.as_str() > after).then(|| {
            let entry = format!(
                "<Contents><Key>{key}</Key><Size>{bytes}</Size><LastModified>{}</LastModified></Contents>",
                last.modified
            );
            (key, entry)
        })
    });
    let all: Vec<_> = current.collect();
    let page = &all[..all.len().min(limit)];
    let text: String = page.iter().map(|(_, entry)| entry.as_str()).collect();
    let more = match page.last() {
        Some((key, _)) if page.len() < all.len() || state.lies.pages_repeated => {
            let next = if state.lies.pages_repeated { "again" } else { key.as_str() };
            format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>")
        }
        _ => "<IsTruncated>false</IsTruncated>".to_owned(),
    };
    format!("<ListBucketResult>{text}{more}</ListBucketResult>")
}

/// All versions, newest first, on one page.
pub fn versions(state: &State, prefix: &str) -> String {
    let mut text = String::new();
    for (key, versions) in state.keys.iter().filter(|(key, _)| key.starts_with(prefix)) {
        for (age, stored) in versions.iter().rev().enumerate() {
            if age > 0 && state.lies.versions_dropped {
                break;
            }
            let name = if stored.bytes.is_some() { "Version" } else { "DeleteMarker" };
            let size = stored.bytes.as_ref().map(|bytes| format!("<Size>{}</Size>", bytes.len())).unwrap_or_default();
            write!(
                text,
                "<{name}><Key>{key}</Key><VersionId>{}</VersionId><IsLatest>{}</IsLatest>{size}\
                 <LastModified>{}</LastModified></{name}>",
                stored.version,
                age == 0,
                stored.modified
            )
            .unwrap();
        }
    }
    format!("<ListVersionsResult><IsTruncated>false</IsTruncated>{text}</ListVersionsResult>")
}

/// A bucket's encryption by a key of the key service.
pub fn encryption(key: &str) -> String {
    format!(
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>\
         <KMSMasterKeyID>{key}</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule>\
         </ServerSideEncryptionConfiguration>"
    )
}

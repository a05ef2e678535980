//! `doctor --as agent`: whether any credentials that lie about where an agent works reach the vault.

use super::{Check, DoctorReport, Result};
use crate::{
    format::layout,
    model::{Hash, Key, PackId, Time},
    store::{
        Attempts, StoreError, StoreErrorKind as Kind, Target, Through,
        credentials::CredentialsSpec,
        s3::{AmbientCredentials, Found, S3Settings, ambient_credentials},
    },
};

/// Tries every stray credential against the bucket of `settings`, and adds to `report` what each of them may.
///
/// # Errors
/// If the settings can't work.
pub async fn check(settings: &S3Settings, named: Option<&CredentialsSpec>, report: &mut DoctorReport) -> Result<()> {
    let mut looked = Vec::new();
    let mut found = 0_usize;
    for AmbientCredentials { place, found: what } in ambient_credentials(settings, named).await? {
        match what {
            Found::Nothing(why) => looked.push(format!("{place} ({why})")),
            Found::Credentials(store) => {
                found += usize::from(place != "anonymous");
                try_all(&place, &store.hostile(), report).await;
            }
            // What gives nothing now may give something to whoever waits.
            Found::Unusable(error) => {
                let check = Check::could_not_run(format!("{place}-usable"), error.to_string());
                report.checks.push(if error.kind == Kind::Unsupported { check } else { check.must() });
            }
        }
    }
    let nothing = if looked.is_empty() { String::new() } else { format!("; nothing in {}", looked.join(", ")) };
    report.checks.push(Check::ok("looked", format!("{found} credentials were found and tried{nothing}")));
    Ok(())
}

/// What must all be refused to whoever is not of this vault.
async fn try_all(place: &str, hostile: &dyn Attempts, report: &mut DoctorReport) {
    let nothing = Hash::from_bytes([0; 32]);
    let Ok(nobody) = "agent".parse() else { return };
    let pack: Key = layout::pack(&nobody, &PackId::from_bytes([0; 32]));
    let key = layout::root_record(&nothing);
    let version = crate::store::Version::new("null");
    let mut told = |verb: &str, permission: &str, result: std::result::Result<(), StoreError>| {
        let mut check = Check::attempt(format!("{place}-{verb}"), permission, result).must();
        if check.status == super::Status::Allowed {
            check.detail = reaches(place, permission);
        }
        report.checks.push(check);
    };
    told("list", "s3:ListBucket", hostile.peek_list("").await.map(drop));
    told("list-versions", "s3:ListBucketVersions", hostile.peek_versions("").await);
    told("get", "s3:GetObject", hostile.peek(&layout::descriptor(), None).await);
    told("get-pack", "s3:GetObject", hostile.peek(&pack, None).await);
    told("get-key", "s3:GetObject", hostile.peek(&key, None).await);
    told("delete", "s3:DeleteObjectVersion", hostile.destroy(&pack, &version, false).await);
    // A part of an upload that nobody began is stored nowhere, on servers that know uploads: that is seen first where
    // nothing could be harmed.
    let scratch = layout::canary(&nobody, Time::from_unix(0), "never");
    let control = hostile.spoil(Target::Part(&scratch)).await;
    for (verb, key) in [("put", layout::descriptor()), ("put-pack", pack)] {
        let mut check = match &control {
            Ok(Through::Taken) => Check::could_not_run(
                format!("{place}-{verb}"),
                "the server stores parts of uploads that are not there, so nothing was tried where it could do harm",
            ),
            _ => Check::through(format!("{place}-{verb}"), "s3:PutObject", hostile.spoil(Target::Part(&key)).await),
        };
        if check.status == super::Status::Allowed {
            check.detail = reaches(place, "s3:PutObject");
        }
        report.checks.push(check.must());
    }
}

fn reaches(place: &str, permission: &str) -> String {
    format!(
        "the credentials of {place} reach the vault: {permission} is let through. Whatever runs here can use them: take the \
         permission away, or the credentials"
    )
}

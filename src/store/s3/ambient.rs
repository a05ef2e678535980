//! Credentials that lie about on this host, where whoever breaks into it finds them, and a store opened with each.
//!
//! Looks where AWS tools look, and nowhere else: the environment, the profiles of `~/.aws`, a web identity token, the
//! container's and the instance's metadata (where these answer within moments).

use std::{collections::BTreeSet, env, ffi::OsString, fs, io::Read, path::PathBuf, time::Duration};

use aws_config::{
    ecs::EcsCredentialsProvider,
    environment::EnvironmentVariableCredentialsProvider,
    imds::{self, credentials::ImdsCredentialsProvider},
    profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig,
    web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError as SdkCredentialsError,
};

use super::{Patience, S3Settings, S3Store, connect, fail};
use crate::store::{Result, StoreError, StoreErrorKind as Kind, credentials::CredentialsSpec};

/// How long a metadata service may take to answer, once.
const METADATA: Duration = Duration::from_secs(1);
/// How long a source may take as a whole, a helper command included.
const SOURCE: Duration = Duration::from_secs(20);
/// How much of an AWS configuration file is read, in bytes.
const CONFIG: u64 = 1 << 20;
/// How many profiles are tried.
const PROFILES: usize = 100;

/// A place where credentials were looked for, and what came of it.
pub struct AmbientCredentials {
    /// The place, in words that fit into the name of a check.
    pub place: String,
    /// What is there.
    pub found: Found,
}

/// What is at a place.
pub enum Found {
    /// Nothing; and how that is known.
    Nothing(String),
    /// Credentials, and a store opened with them.
    Credentials(Box<S3Store>),
    /// Something that gave no credentials now.
    Unusable(StoreError),
}

/// Looks at every place, and opens the bucket of `settings` with what is found there; also with no credentials at all,
/// and with those that `named` say.
///
/// # Errors
/// `Invalid` for settings that can't work, such as no region.
pub async fn ambient_credentials(
    settings: &S3Settings,
    named: Option<&CredentialsSpec>,
) -> Result<Vec<AmbientCredentials>> {
    let second = Duration::from_secs(1);
    let patience = Patience {
        connect: 5 * second,
        answer: 10 * second,
        transfer: 10 * second,
        budget: 20 * second,
        first: 10 * second,
    };
    let settings = S3Settings { patience, credentials: None, ..settings.clone() };
    let region = connect::region(&settings)?;
    let http = connect::http_client(true, settings.proxy()?.as_ref())?;
    let config = ProviderConfig::without_region().with_http_client(http).with_region(Some(region));
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let mut ambient_credentials = vec![open("anonymous", &settings, None).await];

    let place = "environment";
    ambient_credentials.push(if set("AWS_ACCESS_KEY_ID") || set("AWS_SECRET_ACCESS_KEY") {
        let provider = SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new());
        open(place, &settings, Some(provider)).await
    } else {
        nothing(place, "AWS_ACCESS_KEY_ID is not set")
    });
    let profiles = profiles();
    if profiles.is_empty() {
        ambient_credentials.push(nothing(
            "profiles",
            "no profile in ~/.aws, nor where AWS_CONFIG_FILE and \
                                         AWS_SHARED_CREDENTIALS_FILE point",
        ));
    }
    for name in profiles.into_iter().take(PROFILES) {
        let provider = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(&name).build();
        let place = format!("profile-{name}");
        ambient_credentials.push(open(&place, &settings, Some(SharedCredentialsProvider::new(provider))).await);
    }
    let place = "web-identity";
    ambient_credentials.push(if set("AWS_WEB_IDENTITY_TOKEN_FILE") {
        let provider = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
        open(place, &settings, Some(SharedCredentialsProvider::new(provider))).await
    } else {
        nothing(place, "AWS_WEB_IDENTITY_TOKEN_FILE is not set")
    });
    let place = "container";
    ambient_credentials.push(
        if set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || set("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            let provider = EcsCredentialsProvider::builder().configure(&config);
            let provider = provider.connect_timeout(METADATA).read_timeout(METADATA).build();
            open(place, &settings, Some(SharedCredentialsProvider::new(provider))).await
        } else {
            nothing(place, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are not set")
        },
    );
    ambient_credentials.push(instance(&settings, &config).await);
    if let Some(spec) = named {
        let settings = S3Settings { credentials: Some(spec.clone()), ..settings };
        let found = match S3Store::connect(settings).await {
            Ok(store) => Found::Credentials(Box::new(store)),
            Err(error) => Found::Unusable(error),
        };
        ambient_credentials.push(AmbientCredentials { place: "strongroom".to_owned(), found });
    }
    Ok(ambient_credentials)
}

fn nothing(place: &str, why: &str) -> AmbientCredentials {
    AmbientCredentials { place: place.to_owned(), found: Found::Nothing(why.to_owned()) }
}

/// The store with what `provider` gives; without one, unsigned.
async fn open(place: &str, settings: &S3Settings, provider: Option<SharedCredentialsProvider>) -> AmbientCredentials {
    let found = match usable(provider.as_ref()).await {
        Ok(()) => match S3Store::connect_as(settings.clone(), provider) {
            Ok(store) => Found::Credentials(Box::new(store)),
            Err(error) => Found::Unusable(error),
        },
        Err(error) => Found::Unusable(error),
    };
    AmbientCredentials { place: place.to_owned(), found }
}

async fn usable(provider: Option<&SharedCredentialsProvider>) -> Result<()> {
    let Some(provider) = provider else { return Ok(()) };
    match tokio::time::timeout(SOURCE, provider.provide_credentials()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            Err(StoreError::new(Kind::Denied, format!("it gave no credentials: {}", fail::innermost(&error))))
        }
        Err(_) => {
            let what = format!("it gave no credentials within {} s", SOURCE.as_secs());
            Err(StoreError::new(Kind::Unreachable, what))
        }
    }
}

/// The instance's metadata. Where nothing answers, there is none.
async fn instance(settings: &S3Settings, config: &ProviderConfig) -> AmbientCredentials {
    let place = "instance-metadata";
    if env::var_os("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        // What is only switched off for us is there for whoever does not mind the switch.
        let what = "AWS_EC2_METADATA_DISABLED is set, so it was not asked; unset it to try";
        return AmbientCredentials {
            place: place.to_owned(),
            found: Found::Unusable(StoreError::new(Kind::Unsupported, what)),
        };
    }
    let client = imds::Client::builder()
        .configure(config)
        .connect_timeout(METADATA)
        .read_timeout(METADATA)
        .operation_timeout(4 * METADATA)
        .max_attempts(1)
        .build();
    let provider = ImdsCredentialsProvider::builder().configure(config).imds_client(client).build();
    let answer = tokio::time::timeout(SOURCE, provider.provide_credentials()).await;
    match answer {
        Ok(Ok(_)) => open(place, settings, Some(SharedCredentialsProvider::new(provider))).await,
        Ok(Err(SdkCredentialsError::CredentialsNotLoaded(_))) => nothing(place, "it has no role, or nothing answers"),
        Ok(Err(error)) => nothing(place, &format!("nothing usable answers: {}", fail::innermost(&error))),
        Err(_) => nothing(place, "nothing answers"),
    }
}

/// The names of the profiles of this user, as the files of AWS tools have them.
fn profiles() -> Vec<String> {
    let home = |name: &str| env::var_os("HOME").map(|home| PathBuf::from(home).join(".aws").join(name));
    let file = |variable: &str, name: &str| {
        env::var_os(variable).filter(|path: &OsString| !path.is_empty()).map(PathBuf::from).or_else(|| home(name))
    };
    let mut names = BTreeSet::new();
    let files = [file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config")];
    for path in files.into_iter().flatten() {
        let mut text = Vec::new();
        let read = fs::File::open(&path).and_then(|file| file.take(CONFIG).read_to_end(&mut text));
        if read.is_ok() {
            names.extend(sections(&String::from_utf8_lossy(&text)));
        }
    }
    names.into_iter().collect()
}

/// The profiles that a file of AWS tools has, in either spelling.
fn sections(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| {
        let name = line.trim().strip_prefix('[')?.split(']').next()?.trim();
        match name.split_once(char::is_whitespace) {
            Some(("profile", name)) => Some(name.trim().to_owned()),
            // Sessions and services hold no credentials.
            Some(_) => None,
            None => Some(name.to_owned()),
        }
    });
    names.filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_in_both_spellings() {
        let text =
            "[default]\nx = 1\n[profile ops]\n [ci] # a comment\n[sso-session s]\n[services local]\n[]\nname = [x]\n";
        assert_eq!(sections(text), ["default", "ops", "ci"]);
    }
}

//! What was meant: options beat environment variables, these beat the configuration, and that the defaults.

use std::{ffi::OsString, path::Path};

use super::{
    args::Global,
    config::{Config, S3Config, WriterConfig},
    error::CliError,
};
use crate::{
    model::{Name, VaultId},
    ops::Pin,
    store::{
        VaultUrl,
        credentials::{CredentialsError, CredentialsSpec},
        s3::S3Settings,
    },
};

/// The configuration that is used if none is named and this one is there.
pub const DEFAULT_CONFIG: &str = "strongroom.toml";

/// The environment, as a function so that tests need not change their own.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads the real environment; empty variables count as unset.
#[must_use]
pub fn real_env(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// What a command works with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration, if there is one.
    pub config: Option<Config>,
    /// The vault.
    vault: Option<VaultUrl>,
    /// How a bucket is reached.
    s3: S3Config,
    /// What pins the vault's id, identities aside.
    pub pins: Vec<Pin>,
}

impl Settings {
    /// Works out what `global` and `env` mean, and reads the configuration.
    ///
    /// # Errors
    /// If one of them can't be understood.
    pub fn new(global: &Global, env: Env<'_>) -> Result<Self, CliError> {
        let settings = Self::to_examine(global, env)?;
        settings.config.as_ref().map(Config::must_be_ours).transpose()?;
        Ok(settings)
    }

    /// The same, also where others may write the configuration: for who looks at that, and runs nothing of it.
    ///
    /// # Errors
    /// If something can't be understood.
    pub fn to_examine(global: &Global, env: Env<'_>) -> Result<Self, CliError> {
        let named = global.config.clone().or_else(|| env("STRONGROOM_CONFIG").map(Into::into));
        let default = Path::new(DEFAULT_CONFIG);
        let path = named.or_else(|| default.exists().then(|| default.to_owned()));
        let config = path.map(|path| Config::read(&path)).transpose()?;
        Self::with(global, env, config)
    }

    /// As [`Settings::new`], for commands that read no configuration.
    ///
    /// # Errors
    /// If an option or a variable can't be understood.
    pub fn without_config(global: &Global, env: Env<'_>) -> Result<Self, CliError> {
        Self::with(global, env, None)
    }

    fn with(global: &Global, env: Env<'_>, config: Option<Config>) -> Result<Self, CliError> {
        let typed = match &global.vault {
            Some(text) => Some(url("--vault", text)?),
            None => None,
        };
        let vault = match (typed, env("STRONGROOM_VAULT")) {
            (Some(url), _) => Some(url),
            (None, Some(text)) => Some(url("STRONGROOM_VAULT", &text.to_string_lossy())?),
            (None, None) => config.as_ref().and_then(|config| config.url.clone()),
        };
        let pin = match (global.vault_id, env("STRONGROOM_VAULT_ID"), &config) {
            (Some(id), ..) => Some(Pin::one(id, "--vault-id")),
            (None, Some(text), _) => {
                let parsed: Result<VaultId, _> = text.to_string_lossy().parse();
                let id = parsed.map_err(|e| {
                    CliError::usage(
                        format!("STRONGROOM_VAULT_ID is {e}"),
                        "it is in the recovery kit and the configuration",
                    )
                })?;
                Some(Pin::one(id, "STRONGROOM_VAULT_ID"))
            }
            (None, None, Some(config)) => config.id.map(|id| Pin::one(id, config.path.display().to_string())),
            (None, None, None) => None,
        };
        let s3 = s3(global, env, config.as_ref())?;
        Ok(Self { config, vault, s3, pins: pin.into_iter().collect() })
    }

    /// Another place, which no configuration and no variable says anything of.
    #[must_use]
    pub fn of_other(vault: VaultUrl, s3: S3Config) -> Self {
        Self { config: None, vault: Some(vault), s3, pins: Vec::new() }
    }

    /// How to reach the vault's bucket.
    ///
    /// # Errors
    /// If no source of credentials was named: none is ever discovered.
    pub fn bucket(&self, bucket: &str, prefix: &str) -> Result<S3Settings, CliError> {
        let credentials = self.s3.credentials.clone().ok_or(CredentialsError::Missing)?;
        Ok(S3Settings { credentials: Some(credentials), ..self.reach(bucket, prefix) })
    }

    /// The same without credentials, for whoever tries others.
    #[must_use]
    pub fn reach(&self, bucket: &str, prefix: &str) -> S3Settings {
        let S3Config { endpoint, region, path_style, credentials: _, checksum, conditional_put } = self.s3.clone();
        let usual = S3Settings::new(bucket, prefix);
        S3Settings {
            endpoint,
            region,
            path_style: path_style.unwrap_or(usual.path_style),
            checksum: checksum.unwrap_or(usual.checksum),
            conditional_put: conditional_put.unwrap_or(usual.conditional_put),
            ..usual
        }
    }

    /// The server's URL, if one was named.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.s3.endpoint.as_deref()
    }

    /// Whether the server has conditional puts.
    #[must_use]
    pub fn conditional_put(&self) -> bool {
        self.s3.conditional_put.unwrap_or(true)
    }

    /// Whether it was said what the server is to verify.
    #[must_use]
    pub fn chose_checksum(&self) -> bool {
        self.s3.checksum.is_some()
    }

    /// The bucket's region, if one was named.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.s3.region.as_deref()
    }

    /// The vault.
    ///
    /// # Errors
    /// If nothing says where it is.
    pub fn vault(&self) -> Result<&VaultUrl, CliError> {
        self.vault.as_ref().ok_or_else(|| {
            let hint = "give --vault s3://bucket/prefix or --vault file:///path, set STRONGROOM_VAULT, or name a configuration with --config";
            CliError::usage("no vault was given: neither an option, a variable nor a configuration names one", hint)
        })
    }

    /// Where the store's credentials come from, if anything says so.
    #[must_use]
    pub fn credentials(&self) -> Option<&CredentialsSpec> {
        self.s3.credentials.as_ref()
    }

    /// The names of the configured sources.
    #[must_use]
    pub fn sources(&self) -> Vec<Name> {
        self.config.iter().flat_map(|config| &config.sources).map(|source| source.name.clone()).collect()
    }

    /// The configuration and its writer.
    ///
    /// # Errors
    /// If there is none.
    pub fn writer(&self) -> Result<(&Config, &WriterConfig), CliError> {
        let config = self.config.as_ref().ok_or_else(|| {
            let hint = "name it with --config or STRONGROOM_CONFIG, or run in the directory where strongroom.toml is";
            CliError::usage("a writer's configuration is needed, and there is none", hint)
        })?;
        let writer = config.writer.as_ref().ok_or_else(|| {
            let what = format!("{} has no [writer]", config.path.display());
            CliError::usage(what, "`strongroom init` writes one: name, key and state")
        })?;
        Ok((config, writer))
    }
}

/// How a bucket is reached, as options, variables and the configuration say.
fn s3(global: &Global, env: Env<'_>, config: Option<&Config>) -> Result<S3Config, CliError> {
    let configured = config.map(|config| config.s3.clone()).unwrap_or_default();
    let text = |typed: &Option<String>, name: &str| {
        typed.clone().or_else(|| env(name).map(|value| value.to_string_lossy().into_owned()))
    };
    let path_style = match (global.path_style, env("STRONGROOM_PATH_STYLE")) {
        (true, _) => Some(true),
        (false, Some(value)) => Some(switch("STRONGROOM_PATH_STYLE", &value.to_string_lossy())?),
        (false, None) => configured.path_style,
    };
    let spec: Option<CredentialsSpec> =
        text(&global.credentials, "STRONGROOM_CREDENTIALS").map(|text| text.parse()).transpose()?;
    let checksum = match (global.checksum, env("STRONGROOM_CHECKSUM")) {
        (Some(checksum), _) => Some(checksum),
        (None, Some(text)) => Some(text.to_string_lossy().parse().map_err(|choices| {
            CliError::usage("STRONGROOM_CHECKSUM is not a checksum that strongroom knows", choices)
        })?),
        (None, None) => configured.checksum,
    };
    let conditional_put = match (global.no_conditional_put, env("STRONGROOM_CONDITIONAL_PUT")) {
        (true, _) => Some(false),
        (false, Some(value)) => Some(switch("STRONGROOM_CONDITIONAL_PUT", &value.to_string_lossy())?),
        (false, None) => configured.conditional_put,
    };
    Ok(S3Config {
        endpoint: text(&global.endpoint, "STRONGROOM_ENDPOINT").or(configured.endpoint),
        region: text(&global.region, "STRONGROOM_REGION").or(configured.region),
        path_style,
        credentials: spec.or(configured.credentials),
        checksum,
        conditional_put,
    })
}

fn switch(name: &str, text: &str) -> Result<bool, CliError> {
    match text {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(CliError::usage(format!("{name} is neither true nor false"), "set it to true or false")),
    }
}

fn url(origin: &'static str, text: &str) -> Result<VaultUrl, CliError> {
    text.parse().map_err(|source| CliError::Url { origin, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::s3::Checksum;

    const NOTHING: Global = Global {
        config: None,
        vault: None,
        vault_id: None,
        endpoint: None,
        region: None,
        path_style: false,
        credentials: None,
        checksum: None,
        no_conditional_put: false,
        json: false,
        quiet: false,
        verbose: 0,
        no_progress: false,
        log_format: None,
    };

    fn config(dir: &Path) -> Config {
        let path = dir.join("strongroom.toml");
        let id = "11".repeat(32);
        std::fs::write(&path, format!("[vault]\nurl = \"file:///config\"\nid = \"{id}\"\n")).unwrap();
        Config::read(&path).unwrap()
    }

    fn env(name: &str) -> Option<OsString> {
        match name {
            "STRONGROOM_VAULT" => Some("file:///env".into()),
            "STRONGROOM_VAULT_ID" => Some("22".repeat(32).into()),
            _ => None,
        }
    }

    fn found(settings: &Settings) -> (String, String) {
        (settings.vault().unwrap().to_string(), settings.pins[0].ids[0].to_string())
    }

    #[test]
    fn options_beat_variables_and_these_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let config = Some(config(dir.path()));
        let typed =
            Global { vault: Some("file:///typed".into()), vault_id: Some("33".repeat(32).parse().unwrap()), ..NOTHING };
        let all = Settings::with(&typed, &env, config.clone()).unwrap();
        assert_eq!(found(&all), ("file:///typed".into(), "33".repeat(32)));
        let two = Settings::with(&NOTHING, &env, config.clone()).unwrap();
        assert_eq!(found(&two), ("file:///env".into(), "22".repeat(32)));
        let one = Settings::with(&NOTHING, &|_| None, config).unwrap();
        assert_eq!(found(&one), ("file:///config".into(), "11".repeat(32)));
        let none = Settings::with(&NOTHING, &|_| None, None).unwrap();
        assert!(none.vault().is_err() && none.pins.is_empty() && none.writer().is_err());
    }

    #[test]
    fn a_bucket_is_reached_as_the_nearest_word_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("strongroom.toml");
        let text = "[vault]\nendpoint = \"http://config\"\nregion = \"r1\"\npath_style = true\n\
                    credentials = \"file:w.toml\"\nchecksum = \"sha256\"\nconditional_put = false\n";
        std::fs::write(&path, text).unwrap();
        let config = Some(Config::read(&path).unwrap());
        let env = |name: &str| match name {
            "STRONGROOM_ENDPOINT" => Some("http://env".into()),
            "STRONGROOM_PATH_STYLE" => Some("false".into()),
            _ => None,
        };
        let puts = |global: &Global, env: Env<'_>| {
            let made = Settings::with(global, env, config.clone()).unwrap().bucket("b", "p").unwrap();
            (made.checksum.to_string(), made.conditional_put)
        };
        let other = |name: &str| match name {
            "STRONGROOM_CHECKSUM" => Some("crc64nvme".into()),
            "STRONGROOM_CONDITIONAL_PUT" => Some("true".into()),
            _ => None,
        };
        let both = Global { checksum: Some(Checksum::Crc32c), no_conditional_put: true, ..NOTHING };
        assert_eq!(puts(&NOTHING, &|_| None), ("sha256".into(), false));
        assert_eq!(puts(&NOTHING, &other), ("crc64nvme".into(), true));
        assert_eq!(puts(&both, &other), ("crc32c".into(), false));
        assert!(
            Settings::with(&NOTHING, &|name| (name == "STRONGROOM_CHECKSUM").then(|| "sha1".into()), None).is_err()
        );
        let told = |global: &Global, env: Env<'_>, config: &Option<Config>| {
            let made = Settings::with(global, env, config.clone()).unwrap().bucket("b", "p").unwrap();
            let spec = made.credentials.unwrap().to_string();
            (made.endpoint.unwrap(), made.region, made.path_style, spec, made.conditional_put)
        };
        let file = format!("file:{}", dir.path().join("w.toml").display());
        let region = Some("r1".to_owned());
        let one = told(&NOTHING, &|_| None, &config);
        assert_eq!(one, ("http://config".into(), region.clone(), true, file.clone(), false));
        let two = told(&NOTHING, &env, &config);
        assert_eq!(two, ("http://env".into(), region.clone(), false, file, false));
        let typed = Global {
            endpoint: Some("http://typed".into()),
            credentials: Some("file:x".into()),
            path_style: true,
            ..NOTHING
        };
        assert_eq!(told(&typed, &env, &config), ("http://typed".into(), region, true, "file:x".into(), false));
    }

    #[test]
    fn credentials_are_named_or_there_are_none() {
        let none = Settings::with(&NOTHING, &|_| None, None).unwrap().bucket("b", "").unwrap_err();
        assert!(none.to_string().contains("profile:NAME"), "{none}");
        let wrong = Global { credentials: Some("AKIAEXAMPLE".into()), ..NOTHING };
        assert!(Settings::with(&wrong, &|_| None, None).is_err());
        let env = |name: &str| (name == "STRONGROOM_PATH_STYLE").then(|| "maybe".into());
        assert!(Settings::with(&NOTHING, &env, None).is_err());
    }
}

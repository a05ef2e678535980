//! Where credentials come from, against a server that checks them.

use std::fs;

use strongroom::store::{
    ObjectStore, StoreErrorKind as Kind,
    credentials::CredentialsSpec,
    s3::{S3Settings, S3Store},
};

use crate::{Bucket, seaweed::write_private, support::keys};

#[tokio::test]
async fn without_a_source_the_choices_are_listed() {
    let bucket = Bucket::fresh().await;
    let settings = S3Settings { credentials: None, ..bucket.settings("reader") };
    let error = S3Store::connect(settings).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    for choice in ["file:PATH", "profile:NAME", "process:CMD", "systemd:NAME", "web-identity", "ambient"] {
        assert!(error.to_string().contains(choice), "{error}");
    }
}

#[tokio::test]
async fn a_command_is_asked_again_when_its_session_ends() {
    let bucket = Bucket::fresh().await;
    let dir = tempfile::tempdir().unwrap();
    let (script, count) = (dir.path().join("give"), dir.path().join("count"));
    // A session that is over by the time it is used.
    let answer = format!(
        r#"{{"Version":1,"AccessKeyId":"reader","SecretAccessKey":"{}","Expiration":"2020-01-01T00:00:00Z"}}"#,
        bucket.server.secret("reader")
    );
    write_private(&script, &format!("echo x >>{}\nprintf '%s' '{answer}'\n", count.display()));
    let process = CredentialsSpec::Process(format!("sh {}", script.display()));
    let store = S3Store::connect(S3Settings { credentials: Some(process), ..bucket.settings("reader") }).await.unwrap();
    for _ in 0..3 {
        assert!(keys(&store, "").await.is_empty());
    }
    let asked = fs::read_to_string(&count).unwrap().lines().count();
    assert!(asked >= 3, "asked {asked} times");
}

#[tokio::test]
async fn a_command_that_fails_is_told_without_its_arguments() {
    let bucket = Bucket::fresh().await;
    for command in ["exit 3 # s3cr3t", "echo nonsense # s3cr3t", "no-such-command-at-all s3cr3t"] {
        let spec = CredentialsSpec::Process(command.to_owned());
        let settings = S3Settings { credentials: Some(spec), ..bucket.settings("reader") };
        let error = S3Store::connect(settings).await.unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{error}");
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_others_may_read_stops_before_any_call() {
    use std::os::unix::fs::PermissionsExt;
    let bucket = Bucket::fresh().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reader.toml");
    fs::copy(bucket.server.credentials("reader"), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let spec = CredentialsSpec::File(path);
    let error =
        S3Store::connect(S3Settings { credentials: Some(spec), ..bucket.settings("reader") }).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[tokio::test]
async fn a_profile_that_does_not_exist_is_told_by_name() {
    let bucket = Bucket::fresh().await;
    let spec = CredentialsSpec::Profile("strongroom-no-such-profile".to_owned());
    let error =
        S3Store::connect(S3Settings { credentials: Some(spec), ..bucket.settings("reader") }).await.unwrap_err();
    assert!(matches!(error.kind, Kind::Denied | Kind::Invalid), "{error}");
    assert!(error.to_string().contains("strongroom-no-such-profile"), "{error}");
}

#[tokio::test]
async fn a_corrected_file_serves_a_store_that_is_made_anew() {
    let bucket = Bucket::fresh().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reader.ini");
    let settings =
        || S3Settings { credentials: Some(CredentialsSpec::File(path.clone())), ..bucket.settings("reader") };
    write_private(&path, "[default]\naws_access_key_id = reader\naws_secret_access_key = wrong\n");
    let store = S3Store::connect(settings()).await.unwrap();
    assert_eq!(store.list("", &mut |_| {}).await.unwrap_err().kind, Kind::Denied);
    let secret = bucket.server.secret("reader");
    write_private(&path, &format!("[default]\naws_access_key_id = reader\naws_secret_access_key = {secret}\n"));
    assert!(keys(&S3Store::connect(settings()).await.unwrap(), "").await.is_empty());
}

//! G17 where a clock is wrong: a directory has none of its own, so a copy there is of the time that its host believes in.

use std::sync::Arc;

use strongroom::{
    model::Span,
    ops::{OpsError, replicate::ReplicateRequest},
    store::{ObjectStore, local::LocalStore},
    vault::VaultErrorKind,
};

use crate::{
    g17_elsewhere::{copied, explicit, run, three, wanted},
    store_support::HandClock,
};

fn directory(dir: &tempfile::TempDir, clock: &Arc<HandClock>) -> Arc<dyn ObjectStore> {
    Arc::new(LocalStore::create(dir.path(), clock.clone()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_a_copy_in_a_directory_is_refused_while_its_hosts_clock_is_wrong() {
    let (made, clock, _state) = three(explicit()).await;
    for (ahead, back) in [(Span::seconds(3600), Span::ZERO), (Span::days(400), Span::ZERO), (Span::ZERO, Span::days(3))]
    {
        let (dir, host) = (tempfile::tempdir().unwrap(), HandClock::at(strongroom::model::Clock::now(&*clock)));
        host.pass(ahead);
        host.step_back(back);
        let error = run(&made, directory(&dir, &host), &wanted("the first")).await.unwrap_err();
        let OpsError::Vault(error) = error else { panic!("{error}") };
        assert!(error.kind == VaultErrorKind::Clock && error.what.contains("this host's clock"), "{error}");
        assert!(!dir.path().join("vault.json").exists());
        // A few minutes are nothing.
        let host = HandClock::at(strongroom::model::Clock::now(&*clock));
        host.pass(Span::seconds(240));
        assert_eq!(copied(&made, &directory(&dir, &host)).await.copied.len(), 3);
        assert_eq!(copied(&made, &directory(&dir, &clock)).await.there, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_between_directories_a_copy_of_a_time_that_is_not_yet_is_told_as_that() {
    let (made, clock, _state) = three(explicit()).await;
    let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [first, second] = [0, 1].map(|no| directory(&places[no], &clock));
    copied(&made, &first).await;
    let from = made.through(first);
    clock.pass(Span::days(1));
    copied(&from, &second).await;
    clock.step_back(Span::days(1));
    let error = run(&from, Arc::clone(&second), &wanted("the first")).await.unwrap_err();
    let OpsError::Request { what, next } = error else { panic!("{error}") };
    assert!(what.contains("a clock was wrong") && next.contains("--adopt"), "{what}; {next}");
    let mut adopted = ReplicateRequest { adopt: true, ..wanted("the first") };
    adopted.copy.mark = true;
    run(&from, Arc::clone(&second), &adopted).await.unwrap();
    copied(&from, &second).await;
}

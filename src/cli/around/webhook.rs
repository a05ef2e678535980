//! Servers that are told of runs: signed, redacted, tried three times. What a run read or said is not in it: only stable words,
//! ids and names of sources.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::{Context, Ended, warn};
use crate::{
    cli::{
        config::webhook::{Phase, RunWebhook},
        post::deliver_signed,
        render::Output,
        settings::Settings,
        wiring,
    },
    model::{Clock as _, Name},
};

/// What is told.
type Body = Map<String, Value>;
/// What is being told: the webhook, and why it could not be.
type Told = JoinSet<(Name, Result<(), String>)>;

/// Tells that a run begins. Nobody waits for that yet.
pub(super) fn start(settings: &Settings, all: &[RunWebhook], command: &str) -> Told {
    send(all, command, Phase::Start, &about(settings, command, Phase::Start))
}

/// Tells how it ended, when all have been told that it began.
pub(super) async fn end(
    context: &Context,
    (settings, all): (&Settings, &[RunWebhook]),
    (command, duration_s): (&str, f64),
    started: Told,
    ended: &Ended,
) {
    let mut failed: BTreeMap<Name, String> = BTreeMap::new();
    wait(started, &mut failed).await;
    let phase = if ended.code() == 0 { Phase::Success } else { Phase::Failure };
    let mut body = about(settings, command, phase);
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put("exit_code", ended.code().into());
    put("duration_s", duration_s.into());
    put("error", ended.failure.as_ref().map_or(Value::Null, |failure| failure.kind.into()));
    if let Output::Backup(report) = &ended.output {
        let made = report.snapshots.iter().map(|one| json!({ "id": one.id, "source": one.source }));
        put("snapshots", made.collect());
        put("failed", report.failed.iter().map(|one| json!(one.source)).collect());
    }
    wait(send(all, command, phase, &body), &mut failed).await;
    for (name, why) in failed {
        warn(context, "webhook.failed", &format!("the webhook {name} was not delivered: {why}"));
    }
}

/// What every letter has.
fn about(settings: &Settings, command: &str, phase: Phase) -> Body {
    let id = settings.config.as_ref().and_then(|config| config.id);
    Body::from_iter([
        ("event".to_owned(), json!("strongroom.run")),
        ("phase".to_owned(), json!(phase.as_str())),
        ("command".to_owned(), json!(command)),
        ("at".to_owned(), json!(wiring::SystemClock.now())),
        ("vault_id".to_owned(), json!(id)),
        ("writer".to_owned(), json!(wiring::writer_name(settings))),
    ])
}

fn send(all: &[RunWebhook], command: &str, phase: Phase, body: &Body) -> Told {
    let mut told = Told::new();
    let body = Value::Object(body.clone());
    let now = wiring::SystemClock.now();
    for one in all.iter().filter(|one| one.on.contains(&phase) && one.commands.contains(command)) {
        let (one, body) = (one.clone(), body.clone());
        told.spawn(async move {
            let sent = deliver_signed(&one.webhook, &body, now, one.timeout).await;
            (one.name, sent)
        });
    }
    told
}

async fn wait(mut told: Told, failed: &mut BTreeMap<Name, String>) {
    while let Some(sent) = told.join_next().await {
        if let Ok((name, Err(why))) = sent {
            failed.insert(name, why);
        }
    }
}

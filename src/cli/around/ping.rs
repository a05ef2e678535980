//! A dead-man's switch: somebody who raises an alarm when nobody calls. Its URL is called with `/start` when a run begins and
//! with its exit code when it ends, which is how healthchecks.io wants it. Whoever knows the URL can silence it, so it stands in
//! no text.

use tokio::task::JoinHandle;

use super::{Context, warn};
use crate::{
    cli::{config::around::AroundConfig, post::deliver},
    store::s3::Letter,
};

type Told = JoinHandle<Result<(), String>>;

/// Says that a run begins. Nobody waits for that.
pub(super) fn start(around: &AroundConfig, name: &str) -> Option<Told> {
    let url = below(around.pings.get(name)?, "start");
    let limit = around.ping_timeout().as_duration();
    Some(tokio::spawn(async move { deliver(&url, &Letter::text(String::new()), limit).await }))
}

/// Says how it ended.
pub(super) async fn end(
    context: &Context,
    around: &AroundConfig,
    name: &str,
    start: Option<Told>,
    code: u8,
    kind: Option<&'static str>,
) {
    let Some(url) = around.pings.get(name) else { return };
    let mut failed = None;
    // In their order: a start that comes last would say that it still runs.
    if let Some(start) = start {
        failed = start.await.ok().and_then(Result::err).map(|why| format!("that {name} began: {why}"));
    }
    let body = kind.map_or_else(|| format!("{name}: done"), |kind| format!("{name}: {kind}, exit code {code}"));
    let limit = around.ping_timeout().as_duration();
    if let Err(why) = deliver(&below(url, &code.to_string()), &Letter::text(body), limit).await {
        failed = Some(format!("how {name} ended: {why}"));
    }
    if let Some(why) = failed {
        warn(context, "ping.failed", &format!("the dead-man's switch of `[ping] {name}` was not notified: {why}"));
    }
}

/// A URL one level below another, before its query.
fn below(url: &str, what: &str) -> String {
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let path = path.trim_end_matches('/');
    query.map_or_else(|| format!("{path}/{what}"), |query| format!("{path}/{what}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn a_level_goes_before_the_query() {
        assert_eq!(below("https://hc-ping.com/a-b", "start"), "https://hc-ping.com/a-b/start");
        assert_eq!(below("https://hc-ping.com/a-b/", "0"), "https://hc-ping.com/a-b/0");
        assert_eq!(below("https://x.invalid/p?key=1", "75"), "https://x.invalid/p/75?key=1");
    }
}

//! What an answer tells besides what was asked: that a limit was met, and why something was refused.

use std::time::Duration;

use crate::store::s3::WebAnswer;

/// The longest wait for a rate limit to end: GitHub's hour and a little.
pub(super) const LIMITED: Duration = Duration::from_mins(65);
/// How much of a refusal is read.
pub(super) const SAID: usize = 16 << 10;

/// How long to wait, if the answer says that a limit was met. Ends of limits are told by the server's clock.
pub(super) fn limit_of(answer: &WebAnswer<'_>) -> Option<Duration> {
    if !matches!(answer.status, 403 | 429) {
        return None;
    }
    let number = |name: &str| answer.header(name).and_then(|text| text.trim().parse::<u64>().ok());
    if let Some(wait) = retry_after(answer) {
        return Some(wait);
    }
    let spent = ["x-ratelimit-remaining", "ratelimit-remaining"].into_iter().find_map(number) == Some(0);
    if spent {
        return Some(until_reset(answer));
    }
    (answer.status == 429).then(|| patience(30))
}

/// How long a server asks to be left alone.
pub(super) fn retry_after(answer: &WebAnswer<'_>) -> Option<Duration> {
    let told = answer.header("retry-after")?.trim().parse::<u64>().ok()?;
    Some(patience(told))
}

fn patience(seconds: u64) -> Duration {
    Duration::from_secs(seconds.clamp(1, LIMITED.as_secs()))
}

/// How long it is until the limit that an answer tells of is lifted.
pub(super) fn until_reset(answer: &WebAnswer<'_>) -> Duration {
    let number = |name: &str| answer.header(name).and_then(|text| text.trim().parse::<u64>().ok());
    let reset = ["x-ratelimit-reset", "ratelimit-reset"].into_iter().find_map(number);
    let now = answer.date().and_then(|date| u64::try_from(date.unix()).ok());
    patience(reset.zip(now).map_or(60, |(reset, now)| reset.saturating_sub(now) + 1))
}

/// What the server said, for people: the message of its JSON, and no more than fits a line.
pub(super) fn message(body: &[u8]) -> String {
    let told = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|value| {
        ["message", "error", "error_description"].into_iter().find_map(|key| match value.get(key) {
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            // GitLab says by field what is wrong with each.
            Some(told @ (serde_json::Value::Object(_) | serde_json::Value::Array(_))) => Some(told.to_string()),
            _ => None,
        })
    });
    let text = told.unwrap_or_default();
    let text: String = crate::model::visible::visible(&text).chars().take(200).collect();
    crate::source::redact::redact(&text)
}

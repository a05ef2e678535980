//! What the SDK is taught beyond its defaults: what to try again, and what to remember of answers.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{
            AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextRef,
            BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef, InterceptorContext,
        },
        retry::{ClassifyRetry, RetryAction},
    },
    error::BoxError,
    primitives::{DateTime, DateTimeFormat},
};

use super::{answer, fail};
use crate::model::Time;

/// How often a server that nothing was ever heard of may refuse to be connected: nobody listens there.
const NOBODY: u32 = 4;

/// Tries again what the SDK does not, and leaves what no repetition mends.
#[derive(Debug)]
pub(super) struct Again {
    witness: Witness,
    refused: AtomicU32,
}

impl Again {
    /// For clients whose answers `witness` sees.
    pub(super) fn new(witness: Witness) -> Self {
        Self { witness, refused: AtomicU32::new(0) }
    }
}

impl ClassifyRetry for Again {
    fn classify_retry(&self, ctx: &InterceptorContext) -> RetryAction {
        if let Some(Err(error)) = ctx.output_or_error()
            && let Some(connector) = error.as_connector_error()
        {
            let reason = fail::innermost(connector);
            if fail::is_untrusted(&reason) || fail::is_not_tls(&reason) {
                return RetryAction::RetryForbidden;
            }
            let nobody = !self.witness.answered() && fail::is_nobody(&reason);
            if nobody && self.refused.fetch_add(1, Ordering::Relaxed) + 1 >= NOBODY {
                return RetryAction::RetryForbidden;
            }
        }
        let Some(response) = ctx.response() else { return RetryAction::NoActionIndicated };
        let body = response.body().bytes();
        if response.status().is_success() && body.is_some_and(|body| answer::whole(body).is_err()) {
            return RetryAction::transient_error();
        }
        match response.status().as_u16() {
            429 => RetryAction::throttling_error(),
            408 => RetryAction::transient_error(),
            409 if body.is_some_and(is_passing_conflict) => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "strongroom"
    }
}

/// Whether a conflict comes from two calls at once; others say that something already exists.
fn is_passing_conflict(body: &[u8]) -> bool {
    let names = |code: &str| body.windows(code.len()).any(|window| window == code.as_bytes());
    body.is_empty() || names("ConditionalRequestConflict") || names("OperationAborted")
}

/// Remembers whether the server ever answered, whether it has ways of its own, and what last went wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    answered: AtomicBool,
    seaweed: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Witness {
    /// Whether there was any answer yet.
    pub(super) fn answered(&self) -> bool {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// Whether the server is `SeaweedFS`, which lists and tells times in its own way: see `list` and `put_time`.
    pub(super) fn is_seaweed(&self) -> bool {
        self.0.seaweed.load(Ordering::Relaxed)
    }

    /// Why attempts failed lately; the SDK forgets it when the budget ends.
    pub(super) fn trouble(&self) -> Option<String> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Intercept for Witness {
    fn name(&self) -> &'static str {
        "strongroom witness"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let server = context.response().headers().get("server");
        if server.is_some_and(|server| server.starts_with("SeaweedFS")) {
            self.0.seaweed.store(true, Ordering::Relaxed);
        }
        self.0.answered.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Fails what came in part, so that it is asked for again. The body of a get is read elsewhere, by its length.
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let body = response.body().bytes().filter(|_| response.status().is_success());
        body.map_or(Ok(()), |body| answer::whole(body).map_err(Into::into))
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let trouble = match context.output_or_error() {
            Some(Err(error)) => match context.response() {
                Some(response) => Some(match response.body().bytes().map(answer::whole) {
                    Some(Err(cut)) => cut.to_string(),
                    _ => format!("HTTP {}", response.status().as_u16()),
                }),
                None => error.as_connector_error().map(|error| fail::innermost(error)),
            },
            _ => None,
        };
        if let Some(trouble) = &trouble {
            let asked = context.request().map(|request| (request.method(), request.uri()));
            let (method, url) = asked.unwrap_or_default();
            let url = url.split('?').next().unwrap_or_default();
            tracing::debug!(%trouble, method, url, "an attempt failed");
        }
        if trouble.is_some() {
            *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        }
        Ok(())
    }
}

/// Takes the server's clock from the answer to one call, whatever the answer says.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerClock(Arc<Mutex<Option<Time>>>);

impl ServerClock {
    /// The time of the last answer, if it carried one.
    pub(super) fn read(&self) -> Option<Time> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "strongroom server clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        // An answer with an age comes from a cache, and so does its date.
        let date = headers.get("date").filter(|_| headers.get("age").is_none());
        let time = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time.map(|time| Time::from_unix(time.secs()));
        Ok(())
    }
}

/// Counts how often one call was sent. What was sent twice may have been done by the first, whose answer was lost.
#[derive(Debug, Clone, Default)]
pub(super) struct Tries(Arc<AtomicU32>);

impl Tries {
    /// Whether it was sent more than once.
    pub(super) fn repeated(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

impl Intercept for Tries {
    fn name(&self) -> &'static str {
        "strongroom attempts"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Takes from a page of versions in which order versions and delete markers come: the SDK sorts them into two lists,
/// and times in whole seconds can't tell which came first.
#[derive(Debug, Clone, Default)]
pub(super) struct PageOrder(Arc<Mutex<Vec<bool>>>);

impl PageOrder {
    /// For each entry of the last page whether it is a delete marker.
    pub(super) fn markers(&self) -> Vec<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Intercept for PageOrder {
    fn name(&self) -> &'static str {
        "strongroom page order"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let order = context.response().body().bytes().map(order_of).unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = order;
        Ok(())
    }
}

/// Text in XML holds no `<`, so the tags are found without parsing.
fn order_of(page: &[u8]) -> Vec<bool> {
    let opened = page.split(|byte| *byte == b'<').skip(1);
    opened
        .filter_map(|rest| {
            let name = rest.split(|byte| matches!(byte, b'>' | b' ' | b'/')).next()?;
            match name {
                b"Version" => Some(false),
                b"DeleteMarker" => Some(true),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_a_page_is_that_of_its_tags() {
        let page = b"<?xml version='1.0'?><ListVersionsResult xmlns=\"x\"><Name>Version</Name><VersionIdMarker/>\
            <DeleteMarker><Key>a&lt;Version></Key><VersionId>3</VersionId></DeleteMarker>\
            <Version><Key>a</Key></Version><Version ><Key>b</Key></Version></ListVersionsResult>";
        assert_eq!(order_of(page), [true, false, false]);
        assert_eq!(order_of(b""), Vec::<bool>::new());
    }

    #[test]
    fn only_passing_conflicts_are_tried_again() {
        assert!(is_passing_conflict(b""));
        assert!(is_passing_conflict(b"<Error><Code>ConditionalRequestConflict</Code></Error>"));
        assert!(is_passing_conflict(b"<Error><Code>OperationAborted</Code></Error>"));
        assert!(!is_passing_conflict(b"<Error><Code>BucketAlreadyExists</Code></Error>"));
    }
}

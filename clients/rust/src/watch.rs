//! A watch of revocations that opens its stream again after a loss, where it was.

use std::time::Duration;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{sleep, timeout};
use tonic::{Code, Streaming};

use crate::{
    Error, Event, OnLost, Transport,
    retries::exponential,
    v1::{WatchRevocationsRequest, WatchRevocationsResponse, token_service_client::TokenServiceClient},
};

/// Time without a message after which a stream counts as lost: heartbeats come every minute or more often.
const SILENCE: Duration = Duration::from_secs(90);

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// One event of a watch.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchEvent {
    /// What happened.
    pub event: Event,
    /// Where a later watch goes on after this event. Empty until `SnapshotEnd`.
    pub resume_token: String,
}

/// The events of a watch, without end. They may repeat, and none is missed. After an error there is no more event.
pub type Watch = BoxStream<'static, Result<WatchEvent, Error>>;

pub(crate) fn watch(
    tokens: TokenServiceClient<Transport>,
    request: WatchRevocationsRequest,
    on_lost: Option<OnLost>,
) -> Watch {
    let watcher = Watcher { tokens, request, on_lost, stream: None, caught_up: false, failures: 0 };
    stream::try_unfold(watcher, |mut watcher| async move { Ok(Some((watcher.next().await?, watcher))) }).boxed()
}

struct Watcher {
    tokens: TokenServiceClient<Transport>,
    request: WatchRevocationsRequest,
    on_lost: Option<OnLost>,
    stream: Option<Streaming<WatchRevocationsResponse>>,
    caught_up: bool,
    failures: u32,
}

impl Watcher {
    async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            let received = timeout(SILENCE, self.receive()).await;
            match received.unwrap_or_else(|_| Err(lost("no message for 90 seconds"))) {
                Ok(message) => return self.accept(message),
                Err(error) if is_temporary(&error) => {
                    self.stream = None;
                    // On top of what the authority asks for: it asks all whom it sends away for the same.
                    let asked = error.retry_after().unwrap_or_default().min(LONGEST_ASKED);
                    let pause = asked + exponential(FIRST_PAUSE, LONGEST_PAUSE, self.failures);
                    if let Some(on_lost) = &self.on_lost {
                        on_lost(&error, pause);
                    }
                    sleep(pause).await;
                    self.failures += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn receive(&mut self) -> Result<WatchRevocationsResponse, Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                self.caught_up = false;
                none.insert(self.tokens.watch_revocations(self.request.clone()).await?.into_inner())
            }
        };
        stream.message().await?.ok_or_else(|| lost("the stream was closed"))
    }

    fn accept(&mut self, message: WatchRevocationsResponse) -> Result<WatchEvent, Error> {
        let event = message.event.filter(|event| !matches!(event, Event::Revocation(found) if found.target.is_none()));
        // To skip it would miss what it revokes.
        let unknown = || {
            Error::new(Code::Unimplemented, "the authority sent an event that this version does not know: update it")
        };
        let event = event.ok_or_else(unknown)?;
        self.caught_up |= matches!(event, Event::SnapshotEnd(_));
        // An authority that breaks off right after what is in force must not be asked for it without a pause.
        if self.caught_up && matches!(event, Event::Heartbeat(_)) {
            self.failures = 0;
        }
        self.request.resume_token.clone_from(&message.resume_token);
        Ok(WatchEvent { event, resume_token: message.resume_token })
    }
}

/// Whether another stream may work. An error without a reason comes from a proxy or the network, not from an authority.
fn is_temporary(error: &Error) -> bool {
    match error.code() {
        Code::Unavailable | Code::Cancelled | Code::ResourceExhausted => true,
        Code::Internal | Code::Unknown => error.reason().is_empty(),
        _ => false,
    }
}

fn lost(problem: &str) -> Error {
    Error::new(Code::Unavailable, problem)
}

//! The connection under the stubs: gives each call its credential, its deadline and its retries.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    iter,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tonic::{Code, Status, TimeoutExpired, body::Body, transport::Channel};
use tower_service::Service;

use crate::{
    connection::Connection,
    credentials::Credentials,
    errors::ConfigError,
    retries::{Method, Throttle, method, pause},
};

/// Bytes of the largest legal answer, a full batch; tonic's default of 4 MiB would lose it.
pub(crate) const MAX_RECEIVE: usize = 48 << 20;

const GRPC_TIMEOUT: &str = "grpc-timeout";

type BoxError = Box<dyn Error + Send + Sync>;
type Answer = Result<Response<Body>, Status>;

/// A connection to the authority, which the stubs of [`v1`](crate::v1) take. A clone shares the connection.
#[derive(Clone)]
pub struct Transport {
    channel: Channel,
    credentials: Credentials,
    pub(crate) timeout: Duration,
    throttle: Arc<Throttle>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transport").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let transport = self.clone();
        Box::pin(async move {
            match method(request.uri().path()) {
                Method { streams: true, .. } => transport.open_stream(request).await,
                Method { retried, .. } => transport.call_in_time(request, retried).await,
            }
        })
    }
}

impl Transport {
    pub(crate) fn new(connection: &Connection) -> Result<Self, ConfigError> {
        Ok(Self {
            channel: connection.open()?,
            credentials: connection.credentials.clone(),
            timeout: connection.timeout,
            throttle: Arc::default(),
        })
    }

    async fn open_stream(&self, mut request: Request<Body>) -> Answer {
        self.authenticate(request.headers_mut()).await?;
        Ok(self.send(request).await?.map(|body| Body::new(body.map_err(transport_status))))
    }

    /// Make a call within one deadline for all attempts: that of the call, or that of the client.
    async fn call_in_time(&self, request: Request<Body>, retried: &[Code]) -> Answer {
        let timeout = read_timeout(request.headers()).unwrap_or(self.timeout);
        let answer = tokio::time::timeout(timeout, self.call_until_answered(request, retried, timeout)).await;
        answer.unwrap_or_else(|_| Err(too_late()))
    }

    async fn call_until_answered(&self, request: Request<Body>, retried: &[Code], timeout: Duration) -> Answer {
        let start = Instant::now();
        let (mut head, body) = request.into_parts();
        self.authenticate(&mut head.headers).await?;
        let body = body.collect().await?.to_bytes();
        let mut attempt = 1;
        loop {
            // The authority drops what nobody waits for any more.
            head.headers.insert(GRPC_TIMEOUT, write_timeout(timeout.saturating_sub(start.elapsed())));
            let answer = self.attempt(Request::from_parts(head.clone(), Body::new(Full::new(body.clone())))).await;
            let code = answer.as_ref().map_or_else(Status::code, |(code, _)| *code);
            if !self.throttle.allows_retry(attempt, code, retried) {
                return answer.map(|(_, answer)| answer);
            }
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    /// Make one attempt, read the whole answer, and return it with its status, which may stand in the trailers.
    async fn attempt(&self, request: Request<Body>) -> Result<(Code, Response<Body>), Status> {
        let (head, body) = self.send(request).await?.into_parts();
        let body = Limited::new(body, MAX_RECEIVE).collect().await.map_err(transport_status)?;
        let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(body.trailers()?));
        let code = match (status, head.status.as_u16()) {
            (Some(status), _) => status.code(),
            // Of a proxy.
            (None, 429 | 502..=504) => Code::Unavailable,
            (None, _) => Code::Unknown,
        };
        Ok((code, Response::from_parts(head, Body::new(body))))
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let mut channel = self.channel.clone();
        poll_fn(|context| channel.poll_ready(context)).await.map_err(transport_status)?;
        channel.call(request).await.map_err(transport_status)
    }

    async fn authenticate(&self, headers: &mut HeaderMap) -> Result<(), Status> {
        if let Some(credential) = self.credentials.header().await? {
            headers.insert(AUTHORIZATION, credential);
        }
        Ok(())
    }
}

/// Return the status of a call that the connection failed; tonic has UNKNOWN for most of them, and CANCELLED for a deadline.
fn transport_status(error: impl Into<BoxError>) -> Status {
    let error = error.into();
    let causes = || iter::successors(Some(&*error as &(dyn Error + 'static)), |&error| error.source());
    if causes().any(|cause| cause.downcast_ref::<TimeoutExpired>().is_some()) {
        return too_late();
    }
    if causes().any(|cause| cause.downcast_ref::<LengthLimitError>().is_some()) {
        return Status::resource_exhausted(format!("the answer has more than {MAX_RECEIVE} bytes"));
    }
    let reset = causes().filter_map(|cause| cause.downcast_ref::<h2::Error>()).find(|error| error.is_reset());
    let code = match reset.and_then(h2::Error::reason) {
        Some(h2::Reason::CANCEL) => Code::Cancelled,
        None | Some(h2::Reason::REFUSED_STREAM) => Code::Unavailable,
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(_) => Code::Internal,
    };
    let cause = causes().last().map(ToString::to_string).unwrap_or_default();
    Status::new(code, format!("the connection failed: {cause}"))
}

fn too_late() -> Status {
    Status::deadline_exceeded("no answer in time; the call may have taken effect")
}

/// Read the header in which a stub's `set_timeout` leaves its deadline: up to eight digits and a unit.
fn read_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u32 = digits.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    Some(unit.saturating_mul(number))
}

fn write_timeout(timeout: Duration) -> HeaderValue {
    // Eight digits at most: 27 hours.
    let millis = timeout.as_millis().clamp(1, 99_999_999);
    HeaderValue::from_str(&format!("{millis}m")).expect("digits are a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(timeout: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(GRPC_TIMEOUT), HeaderValue::from_str(timeout).unwrap())])
    }

    #[test]
    fn reads_the_deadline_that_a_stub_sets() {
        let read = |text| read_timeout(&headers(text));

        assert_eq!(Some(Duration::from_secs(5)), read("5000000u"));
        assert_eq!(Some(Duration::from_secs(7200)), read("2H"));
        assert_eq!([None, None, None], ["", "u", "5x"].map(read));
        assert_eq!(None, read_timeout(&HeaderMap::new()));
    }

    #[test]
    fn writes_a_deadline_of_eight_digits_at_most() {
        let written = |timeout| write_timeout(timeout).to_str().unwrap().to_owned();

        assert_eq!("1500m", written(Duration::from_millis(1500)));
        assert_eq!("1m", written(Duration::ZERO));
        assert_eq!("99999999m", written(Duration::MAX));
    }
}

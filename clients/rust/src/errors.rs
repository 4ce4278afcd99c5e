//! Errors: why a call failed, for programs and for people, and why no client could be made.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// One invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, such as `requests[17].role`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A failed call. The text is for a person; programs decide by [`code`](Error::code) and [`reason`](Error::reason).
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Error(Box<Failure>);

#[derive(Debug, Clone)]
struct Failure {
    code: Code,
    reason: String,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    request_id: String,
    metadata: HashMap<String, String>,
    message: String,
}

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Status::new(code, message).into()
    }

    /// The gRPC status.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The contract's `ErrorReason` without its prefix, such as `ROLE_NOT_GRANTED`; empty if no authority answered.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The invalid fields of the request.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// How long to wait before a retry; `None` if the authority did not say.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The id of the call in the authority's logs; name it in a report to its operators.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// Facts beside the reason, such as the limit that the call is beyond.
    #[must_use]
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.0.metadata
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) =
            details.error_info().cloned().map(|info| (info.reason, info.metadata)).unwrap_or_default();
        let header = status.metadata().get("x-request-id").and_then(|id| id.to_str().ok());
        let request_id = header.or(metadata.get("request_id").map(String::as_str)).unwrap_or_default().to_owned();
        let violations = details.bad_request().map(|found| found.field_violations.clone()).unwrap_or_default();
        Self(Box::new(Failure {
            code: status.code(),
            reason,
            violations: violations
                .into_iter()
                .map(|found| Violation { field: found.field, problem: found.description })
                .collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            request_id,
            metadata,
            message: status.message().to_owned(),
        }))
    }
}

/// Why no client can be made. It names the option or variable, and never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, FieldViolation};

    use super::*;

    #[test]
    fn says_what_the_authority_says() {
        let mut details =
            ErrorDetails::with_error_info("RATE_LIMIT", "tokenauthority", [("limit".into(), "1/m".into())]);
        details.set_bad_request(vec![FieldViolation::new("requests[17].ttl", "is too long")]);
        details.set_retry_info(Some(Duration::from_millis(1500)));
        let mut status = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
        status.metadata_mut().insert("x-request-id", "req_1".parse().unwrap());

        let error = Error::from(status);

        assert_eq!((Code::ResourceExhausted, "RATE_LIMIT"), (error.code(), error.reason()));
        assert_eq!("requests[17].ttl", error.violations()[0].field);
        assert_eq!("is too long", error.violations()[0].problem);
        assert_eq!(Some(Duration::from_millis(1500)), error.retry_after());
        assert_eq!(("req_1", "1/m"), (error.request_id(), error.metadata()["limit"].as_str()));
        assert_eq!("slow down", error.to_string());
    }

    #[test]
    fn says_little_where_no_authority_answered() {
        for status in [
            Status::unavailable("a proxy"),
            Status::with_details(Code::Unavailable, "a proxy", b"no message".as_slice().into()),
        ] {
            let error = Error::from(status);

            assert_eq!((Code::Unavailable, ""), (error.code(), error.reason()));
            assert_eq!((None, ""), (error.retry_after(), error.request_id()));
            assert!(error.violations().is_empty());
        }
    }
}

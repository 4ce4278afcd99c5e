//! When a call is made again: the rules of `service-config.json`, which tonic does not read.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

use tonic::Code;

include!(concat!(env!("OUT_DIR"), "/contract.rs"));

const MAX_ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const MAX_TOKENS: i64 = 1000;

/// What the contract says about an RPC.
pub(crate) struct Method {
    /// Whether it answers with a stream, which stays open.
    pub(crate) streams: bool,
    /// The codes on which a client may repeat it.
    pub(crate) retried: &'static [Code],
}

/// Ends retries once failures outnumber successes by half of its tokens, for all calls of one connection.
#[derive(Debug)]
pub(crate) struct Throttle(AtomicI64);

impl Default for Throttle {
    fn default() -> Self {
        Self(AtomicI64::new(MAX_TOKENS))
    }
}

impl Throttle {
    /// Count the result of an attempt, and return whether there may be another one.
    pub(crate) fn allows_retry(&self, attempt: u32, code: Code, retried: &[Code]) -> bool {
        let failed = retried.contains(&code);
        let step = |tokens: i64| Some((tokens + if failed { -1 } else { 1 }).clamp(0, MAX_TOKENS));
        let before = self.0.fetch_update(Relaxed, Relaxed, step).unwrap_or_default();
        failed && attempt < MAX_ATTEMPTS && before - 1 > MAX_TOKENS / 2
    }
}

/// Return how long to wait after so many attempts: a random time, so that many clients do not come back in one moment.
pub(crate) fn pause(attempt: u32) -> Duration {
    exponential(FIRST_PAUSE, LONGEST_PAUSE, attempt - 1)
}

/// Return a random time up to `first`, doubled so many times, and up to `longest`.
pub(crate) fn exponential(first: Duration, longest: Duration, doublings: u32) -> Duration {
    first.saturating_mul(1 << doublings.min(16)).min(longest).mul_f64(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_from_the_contract_what_may_be_repeated() {
        let retried = |path| method(path).retried;

        assert_eq!([Code::Unavailable, Code::Cancelled], retried("/tokenauthority.v1.TokenService/GenerateToken"));
        assert_eq!([Code::Unavailable], retried("/tokenauthority.v1.RoleService/CreateRole"));
        assert!(retried("/tokenauthority.v1.ProjectService/CreateProject").is_empty());
        assert!(retried("/another.Service/Method").is_empty());
        assert!(method("/tokenauthority.v1.TokenService/WatchRevocations").streams);
    }

    #[test]
    fn ends_retries_while_most_calls_fail() {
        let throttle = Throttle::default();
        let count = |code| throttle.allows_retry(1, code, &[Code::Unavailable]);

        assert_eq!(499, (0..1000).filter(|_| count(Code::Unavailable)).count());
        for _ in 0..600 {
            assert!(!count(Code::Ok));
        }
        assert!(count(Code::Unavailable));
    }

    #[test]
    fn waits_no_longer_than_two_seconds() {
        assert!((1..40).all(|attempt| pause(attempt) <= LONGEST_PAUSE));
        assert!((0..40).all(|_| pause(1) <= FIRST_PAUSE));
    }
}

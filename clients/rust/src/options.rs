//! The options of calls, and the messages of the contract that follow from them. A default is the authority's.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tonic::Code;
use uuid::Uuid;

use crate::{
    errors::Error,
    v1::{self, ArchiveMode, MediaMode, Permission, SessionState, TokenFormat, token_request},
};

/// The options of a session.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Relayed by default.
    pub media_mode: MediaMode,
    /// Manual by default. Always needs a routed session.
    pub archive_mode: ArchiveMode,
    /// An IPv4 address: a hint where the first person connects from.
    pub location: String,
    /// Whether media is encrypted end to end. It needs a routed session and manual archiving.
    pub e2ee: bool,
    /// The name of the archive, 1 to 80 characters. It needs `ArchiveMode::Always`.
    pub archive_name: String,
    /// Such as `1280x720`, by default `640x480`. It needs `ArchiveMode::Always`.
    pub archive_resolution: String,
    /// The room on real-time servers: 1 to 64 of a-z, 0-9, `-` and `_`. The session id by default.
    pub name: String,
    /// A UUID that makes the call safe to repeat for 24 hours. By default a fresh one.
    pub request_id: Option<String>,
}

impl SessionOptions {
    pub(crate) fn into_request(self, project_id: &str) -> v1::CreateSessionRequest {
        v1::CreateSessionRequest {
            project_id: project_id.to_owned(),
            media_mode: self.media_mode.into(),
            archive_mode: self.archive_mode.into(),
            location: self.location,
            e2ee: self.e2ee,
            archive_name: self.archive_name,
            archive_resolution: self.archive_resolution,
            name: self.name,
            request_id: self.request_id.unwrap_or_else(|| Uuid::new_v4().to_string()),
            ..Default::default()
        }
    }
}

/// When a token expires, at most 30 days ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// After so long.
    Ttl(Duration),
    /// At this moment.
    ExpireTime(SystemTime),
}

/// The options of a token. Its `Debug` does not show `data`.
#[derive(Clone, Default)]
pub struct TokenOptions {
    /// `publisher` (default), `subscriber`, `publisheronly`, `moderator`, or a role of the project.
    pub role: String,
    /// Connection data, at most 1000 characters. Everyone in the session can read it: no personal data.
    pub data: String,
    /// In 24 hours by default, unless the project or the caller has another lifetime.
    pub lifetime: Option<Lifetime>,
    /// By default that of the project.
    pub format: TokenFormat,
    /// The end user's id, at most 255 characters, by which tokens can be revoked; not for OpenTok and Vonage.
    pub subject: String,
    /// The layout classes that the person's streams start with.
    pub initial_layout_class_list: Vec<String>,
}

impl fmt::Debug for TokenOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenOptions")
            .field("role", &self.role)
            .field("lifetime", &self.lifetime)
            .field("format", &self.format)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl TokenOptions {
    pub(crate) fn into_request(self, session_id: &str) -> Result<v1::TokenRequest, Error> {
        Ok(v1::TokenRequest {
            session_id: session_id.to_owned(),
            role: self.role,
            data: self.data,
            lifetime: self.lifetime.map(lifetime).transpose()?,
            format: self.format.into(),
            initial_layout_class_list: self.initial_layout_class_list,
            subject: self.subject,
            ..Default::default()
        })
    }
}

/// The options of TURN credentials.
#[derive(Debug, Clone, Default)]
pub struct TurnOptions {
    /// The end user's id, at most 255 characters. TURN servers see a pseudonym in its place.
    pub subject: String,
    /// How long the credentials are valid, at most 1 hour. That by default, unless the project or the caller has less.
    pub ttl: Option<Duration>,
}

impl TurnOptions {
    pub(crate) fn into_request(self, session_id: &str) -> Result<v1::CreateTurnCredentialsRequest, Error> {
        Ok(v1::CreateTurnCredentialsRequest {
            session_id: session_id.to_owned(),
            subject: self.subject,
            ttl: self.ttl.map(duration).transpose()?,
            ..Default::default()
        })
    }
}

/// What a token must be valid for.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// The session that the token must be for; empty for any.
    pub session_id: String,
    /// What the token must allow.
    pub required_permissions: Vec<Permission>,
}

/// Which sessions to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// `Active` or `Ended`; both by default.
    pub state: SessionState,
    /// How many sessions one call fetches, at most 1000; 0 for 50.
    pub page_size: i32,
}

/// What goes with a revocation.
#[derive(Debug, Clone, Default)]
pub struct RevokeOptions {
    /// The project of a token id or a subject; by default that of the client.
    pub project_id: String,
    /// Only tokens issued in this second or earlier, not in the future. By default now.
    pub issued_before: Option<SystemTime>,
    /// A text for the audit log and for watchers, at most 256 characters.
    pub comment: String,
}

/// What is called when the stream of a watch breaks off, with the error and the time until the next attempt.
pub type OnLost = Arc<dyn Fn(&Error, Duration) + Send + Sync>;

/// Where a watch begins, and what it sees.
#[derive(Clone, Default)]
pub struct WatchOptions {
    /// The projects to watch; an empty list for all of the caller. By default that of the client, or all.
    pub project_ids: Option<Vec<String>>,
    /// That of the last event of an earlier watch; empty: from the start, with everything in force.
    pub resume_token: String,
    /// Called at each loss of the stream. It must not block.
    pub on_lost: Option<OnLost>,
}

impl fmt::Debug for WatchOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WatchOptions").field("project_ids", &self.project_ids).finish_non_exhaustive()
    }
}

fn lifetime(lifetime: Lifetime) -> Result<token_request::Lifetime, Error> {
    match lifetime {
        Lifetime::ExpireTime(moment) => Ok(token_request::Lifetime::ExpireTime(moment.into())),
        Lifetime::Ttl(ttl) => duration(ttl).map(token_request::Lifetime::Ttl),
    }
}

fn duration(ttl: Duration) -> Result<prost_types::Duration, Error> {
    let too_long = |_| Error::new(Code::InvalidArgument, "ttl is longer than a message can say");
    prost_types::Duration::try_from(ttl).map_err(too_long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_what_its_options_say() {
        let options = TokenOptions {
            role: "moderator".into(),
            data: "username=bob".into(),
            lifetime: Some(Lifetime::Ttl(Duration::from_millis(1500))),
            format: TokenFormat::OpentokT1,
            ..Default::default()
        };

        let request = options.into_request("S").unwrap();

        let ttl = prost_types::Duration { seconds: 1, nanos: 500_000_000 };
        assert_eq!(("S", "moderator"), (request.session_id.as_str(), request.role.as_str()));
        assert_eq!(Some(token_request::Lifetime::Ttl(ttl)), request.lifetime);
        assert_eq!(TokenFormat::OpentokT1, request.format());
    }

    #[test]
    fn a_lifetime_that_no_message_can_say_is_refused() {
        let options = TokenOptions { lifetime: Some(Lifetime::Ttl(Duration::MAX)), ..Default::default() };

        let turn = TurnOptions { ttl: Some(Duration::MAX), ..Default::default() };

        assert_eq!(Code::InvalidArgument, options.into_request("S").unwrap_err().code());
        assert_eq!(Code::InvalidArgument, turn.into_request("S").unwrap_err().code());
    }

    #[test]
    fn shows_neither_tokens_nor_data() {
        let options = TokenOptions { data: "hidden".into(), ..Default::default() };
        let token = v1::Token { token: "hidden".into(), ..Default::default() };
        let answer = v1::GenerateTokenResponse { token: Some(token.clone()) };
        let secret = v1::ProjectSecret { secret: "hidden".into(), ..Default::default() };
        let turn = v1::TurnCredentials { credential: "hidden".into(), ..Default::default() };
        let relayed = v1::CreateTurnCredentialsResponse { credentials: Some(turn.clone()) };
        let claims = v1::TokenClaims { data: "hidden".into(), ..Default::default() };
        let target = crate::Target::Token("hidden".into());
        let revoke = v1::RevokeTokensRequest { target: Some(target.clone()), ..Default::default() };

        let shown = format!(
            "{options:?} {token:?} {answer:?} {secret:?} {claims:?} {target:?} {revoke:?} {turn:?} {relayed:?}"
        );

        assert!(!shown.contains("hidden"), "{shown}");
    }
}

//! The client: creates sessions, generates, verifies and revokes tokens.

use std::{fmt, time::Duration};

use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tonic::Code;

use crate::{
    ConfigError, Connection, Error, ListOptions, RevokeOptions, Session, SessionOptions, Target, Token, TokenOptions,
    Transport, TurnCredentials, TurnOptions, Verification, VerifyOptions, Watch, WatchOptions,
    transport::MAX_RECEIVE,
    v1::{
        self, key_service_client::KeyServiceClient, project_service_client::ProjectServiceClient,
        role_service_client::RoleServiceClient, session_service_client::SessionServiceClient,
        token_service_client::TokenServiceClient,
    },
    watch,
};

/// A client of one authority as one caller.
///
/// A call that is safe to repeat is made again on `Unavailable` and `Cancelled`, within its deadline. The stubs that
/// [`roles`](Self::roles) and the other methods return have the same credentials, deadline and retries; `?` turns
/// their `tonic::Status` into an [`Error`].
#[derive(Debug, Clone)]
pub struct Authority {
    transport: Transport,
    project_id: String,
}

impl Authority {
    /// Make the client that the `TOKENAUTHORITY_*` variables describe. Its first call connects.
    ///
    /// # Errors
    ///
    /// A variable is missing or invalid; the message names it. Or there is no tokio runtime.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::new(Connection::from_environment()?)
    }

    /// Make a client. Its first call connects.
    ///
    /// # Errors
    ///
    /// A value is invalid; the message names it. Or there is no tokio runtime.
    pub fn new(connection: Connection) -> Result<Self, ConfigError> {
        Ok(Self { transport: Transport::new(&connection)?, project_id: connection.project_id })
    }

    /// Return a client over the same connection whose calls may take so long, their retries included.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let mut changed = self.clone();
        changed.transport.timeout = timeout;
        changed
    }

    /// The project of a call that names none; empty if there is none.
    #[must_use]
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    /// Create a session in the client's project.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: an option is invalid, or two options exclude each other.
    pub async fn create_session(&self, options: SessionOptions) -> Result<Session, Error> {
        let answer = self.sessions().create_session(options.into_request(&self.project_id)).await?;
        self.session(answer.into_inner().session)
    }

    /// Return the session with this id.
    ///
    /// # Errors
    ///
    /// `NotFound`: no session has this id.
    pub async fn get_session(&self, session_id: &str) -> Result<Session, Error> {
        let request = v1::GetSessionRequest { session_id: session_id.into(), ..Default::default() };
        self.session(self.sessions().get_session(request).await?.into_inner().session)
    }

    /// The sessions of the client's project, newest first, fetched page after page. After an error there is no more.
    #[must_use]
    pub fn list_sessions(&self, options: ListOptions) -> BoxStream<'static, Result<Session, Error>> {
        let request = v1::ListSessionsRequest {
            project_id: self.project_id.clone(),
            state: options.state.into(),
            page_size: options.page_size,
            ..Default::default()
        };
        let pages = stream::try_unfold((self.clone(), Some(request)), |(authority, request)| async move {
            let Some(request) = request else { return Ok::<_, Error>(None) };
            let page = authority.sessions().list_sessions(request.clone()).await?.into_inner();
            if !page.next_page_token.is_empty() && page.next_page_token == request.page_token {
                return Err(Error::new(Code::DataLoss, "the authority sent a list without an end"));
            }
            let sessions = page.sessions.into_iter().map(|details| Session { authority: authority.clone(), details });
            let found = stream::iter(sessions.map(Ok).collect::<Vec<_>>());
            let is_last = page.next_page_token.is_empty();
            let next = (!is_last).then_some(v1::ListSessionsRequest { page_token: page.next_page_token, ..request });
            Ok(Some((found, (authority, next))))
        });
        pages.try_flatten().boxed()
    }

    /// End a session for good: it gets no more tokens, and its existing tokens become invalid.
    ///
    /// # Errors
    ///
    /// `NotFound`: no session has this id.
    pub async fn end_session(&self, session_id: &str) -> Result<Session, Error> {
        let request = v1::EndSessionRequest { session_id: session_id.into(), ..Default::default() };
        self.session(self.sessions().end_session(request).await?.into_inner().session)
    }

    /// Generate a token with which one person joins the session.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, `PermissionDenied`, `NotFound`, or `FailedPrecondition`: the session has ended.
    pub async fn generate_token(&self, session_id: &str, options: TokenOptions) -> Result<Token, Error> {
        let request =
            v1::GenerateTokenRequest { request: Some(options.into_request(session_id)?), ..Default::default() };
        self.tokens().generate_token(request).await?.into_inner().token.ok_or_else(|| incomplete("token"))
    }

    /// Generate 1 to 1000 tokens in one call, also for several sessions: all, or none. They come in the same order.
    ///
    /// # Errors
    ///
    /// As [`generate_token`](Self::generate_token); the field of a violation, such as `requests[17].ttl`, names the item.
    pub async fn generate_tokens<S: AsRef<str>>(
        &self,
        wanted: impl IntoIterator<Item = (S, TokenOptions)>,
    ) -> Result<Vec<Token>, Error> {
        let requests = wanted.into_iter().map(|(session_id, options)| options.into_request(session_id.as_ref()));
        let request =
            v1::BatchGenerateTokensRequest { requests: requests.collect::<Result<_, _>>()?, ..Default::default() };
        Ok(self.tokens().batch_generate_tokens(request).await?.into_inner().tokens)
    }

    /// Create a user name and a password with which one person's client uses the authority's TURN servers.
    ///
    /// # Errors
    ///
    /// As [`generate_token`](Self::generate_token); `FailedPrecondition` also if the authority has no TURN servers.
    pub async fn create_turn_credentials(
        &self,
        session_id: &str,
        options: TurnOptions,
    ) -> Result<TurnCredentials, Error> {
        let request = options.into_request(session_id)?;
        let answer = self.tokens().create_turn_credentials(request).await?.into_inner();
        answer.credentials.ok_or_else(|| incomplete("TURN credentials"))
    }

    /// Check whether a token is valid now. An invalid token is an answer with `active: false`, and no error.
    ///
    /// # Errors
    ///
    /// The call failed. Whether the token is valid is then unknown: refuse it.
    pub async fn verify_token(&self, token: &str, options: VerifyOptions) -> Result<Verification, Error> {
        let request = v1::VerifyTokenRequest {
            token: token.into(),
            session_id: options.session_id,
            required_permissions: options.required_permissions.into_iter().map(Into::into).collect(),
            ..Default::default()
        };
        Ok(self.tokens().verify_token(request).await?.into_inner())
    }

    /// Revoke one token, all tokens of a session, or all tokens of an end user. To revoke twice is safe.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, without a call if the target is empty; `PermissionDenied`, or `ResourceExhausted`: too many revocations are in force.
    pub async fn revoke_tokens(&self, target: Target, options: RevokeOptions) -> Result<v1::Revocation, Error> {
        let (Target::Token(text) | Target::TokenId(text) | Target::SessionId(text) | Target::Subject(text)) = &target;
        if text.is_empty() {
            return Err(Error::new(Code::InvalidArgument, "the target of revoke_tokens must not be empty"));
        }
        let needs_project = matches!(target, Target::TokenId(_) | Target::Subject(_)) && options.project_id.is_empty();
        let request = v1::RevokeTokensRequest {
            project_id: if needs_project { self.project_id.clone() } else { options.project_id },
            issued_before: options.issued_before.map(Into::into),
            comment: options.comment,
            target: Some(target),
            ..Default::default()
        };
        self.tokens().revoke_tokens(request).await?.into_inner().revocation.ok_or_else(|| incomplete("revocation"))
    }

    /// Watch revocations and ended sessions: those in force, then each as it happens.
    #[must_use]
    pub fn watch_revocations(&self, options: WatchOptions) -> Watch {
        let own = || [&self.project_id].into_iter().filter(|id| !id.is_empty()).cloned().collect();
        watch::watch(
            self.tokens(),
            v1::WatchRevocationsRequest {
                project_ids: options.project_ids.unwrap_or_else(own),
                resume_token: options.resume_token,
                ..Default::default()
            },
            options.on_lost,
        )
    }

    /// The connection, for stubs of your own.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport.clone()
    }

    fn session(&self, details: Option<v1::Session>) -> Result<Session, Error> {
        let details = details.ok_or_else(|| incomplete("session"))?;
        Ok(Session { authority: self.clone(), details })
    }
}

macro_rules! stubs {
    ($($name:ident: $stub:ident),*) => {
        impl Authority {
            $(
                #[doc = concat!("The generated [`", stringify!($stub), "`].")]
                #[must_use]
                pub fn $name(&self) -> $stub<Transport> {
                    $stub::new(self.transport()).max_decoding_message_size(MAX_RECEIVE)
                }
            )*
        }
    };
}

stubs! {
    sessions: SessionServiceClient,
    tokens: TokenServiceClient,
    roles: RoleServiceClient,
    projects: ProjectServiceClient,
    keys: KeyServiceClient
}

/// The text of the token, with which a person's client connects.
impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.token)
    }
}

fn incomplete(what: &str) -> Error {
    Error::new(Code::DataLoss, format!("the authority sent an answer without a {what}"))
}

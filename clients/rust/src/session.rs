//! A session, with the calls that are about it.

use std::fmt;

use crate::{
    Authority, Error, Revocation, RevokeOptions, Target, Token, TokenOptions, TurnCredentials, TurnOptions, v1,
};

/// A room that people join, with the methods that let them in.
#[derive(Clone)]
pub struct Session {
    pub(crate) authority: Authority,
    pub(crate) details: v1::Session,
}

impl Session {
    /// The id, which is what a client needs beside a token.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.details.session_id
    }

    /// Everything that the authority says about the session.
    #[must_use]
    pub fn details(&self) -> &v1::Session {
        &self.details
    }

    /// Generate a token for this session.
    ///
    /// # Errors
    ///
    /// As [`Authority::generate_token`].
    pub async fn generate_token(&self, options: TokenOptions) -> Result<Token, Error> {
        self.authority.generate_token(self.session_id(), options).await
    }

    /// Create TURN credentials for this session.
    ///
    /// # Errors
    ///
    /// As [`Authority::create_turn_credentials`].
    pub async fn create_turn_credentials(&self, options: TurnOptions) -> Result<TurnCredentials, Error> {
        self.authority.create_turn_credentials(self.session_id(), options).await
    }

    /// Revoke all tokens of this session, which stays open.
    ///
    /// # Errors
    ///
    /// As [`Authority::revoke_tokens`].
    pub async fn revoke_tokens(&self, options: RevokeOptions) -> Result<Revocation, Error> {
        self.authority.revoke_tokens(Target::SessionId(self.session_id().to_owned()), options).await
    }

    /// End this session, and return it as it is then.
    ///
    /// # Errors
    ///
    /// As [`Authority::end_session`].
    pub async fn end(&self) -> Result<Session, Error> {
        self.authority.end_session(self.session_id()).await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.details.fmt(formatter)
    }
}

//! The client of Token Authority: sessions, tokens, verification and revocation over gRPC.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tokenauthority_client::{Authority, MediaMode, SessionOptions, TokenOptions};
//!
//! let authority = Authority::from_environment()?;
//! let session = authority.create_session(SessionOptions { media_mode: MediaMode::Routed, ..Default::default() }).await?;
//! let token = session.generate_token(TokenOptions { role: "moderator".into(), ..Default::default() }).await?;
//! println!("{}", token.token);
//! # Ok(())
//! # }
//! ```
//!
//! Calls need a tokio runtime. A clone of an [`Authority`] is cheap and shares its connection.

mod authority;
mod connection;
mod credentials;
mod environment;
mod errors;
mod options;
mod retries;
mod session;
mod transport;
mod watch;

/// The messages and stubs of the contract. A stub that an [`Authority`] returns has its credentials, deadline and retries.
#[allow(missing_docs, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("tokenauthority.v1");
}

pub use authority::Authority;
pub use connection::{ClientCertificate, Connection};
pub use credentials::Credentials;
pub use errors::{ConfigError, Error, Violation};
pub use options::{
    Lifetime, ListOptions, OnLost, RevokeOptions, SessionOptions, TokenOptions, TurnOptions, VerifyOptions,
    WatchOptions,
};
pub use session::Session;
pub use tonic::Code;
pub use transport::Transport;
pub use v1::TurnCredentials;
pub use v1::revoke_tokens_request::Target;
pub use v1::watch_revocations_response::Event;
pub use v1::{ArchiveMode, InactiveReason, MediaMode, Permission, Revocation, SessionState, Token, TokenFormat};
pub use v1::{TokenClaims, VerifyTokenResponse as Verification};
pub use watch::{Watch, WatchEvent};

//! From nothing to a token. With `make run` in another terminal, and the variables that it prints:
//!
//!     source ../../.tokenauthority/dev.env && cargo run --example quickstart

use std::error::Error;

use tokenauthority_client::{Authority, MediaMode, SessionOptions, TokenOptions, VerifyOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let authority = Authority::from_environment()?;
    let options = SessionOptions { media_mode: MediaMode::Routed, ..Default::default() };
    let session = authority.create_session(options).await?;

    let options = TokenOptions { role: "moderator".into(), data: "username=bob".into(), ..Default::default() };
    let token = session.generate_token(options).await?;
    println!("{token}");

    let options = VerifyOptions { session_id: session.session_id().into(), ..Default::default() };
    let verification = authority.verify_token(&token.token, options).await?;
    println!("active: {}", verification.active);
    Ok(())
}

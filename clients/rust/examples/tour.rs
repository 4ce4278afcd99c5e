//! Every part of the client, as docs/clients/rust.md shows it:
//!
//!     source ../../.tokenauthority/dev.env && cargo run --example tour

use std::{error::Error as StdError, fs, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use tokenauthority_client::{
    Authority, ClientCertificate, Code, Connection, Credentials, Error, Event, Lifetime, ListOptions, Permission,
    RevokeOptions, Session, SessionOptions, SessionState, Target, TokenOptions, VerifyOptions, WatchOptions, v1,
};

/// Three clients: with a token file, with a function, and with a client certificate.
fn connect() -> Result<[Authority; 3], Box<dyn StdError>> {
    // --8<-- [start:connect]
    let with_token_file = Authority::new(Connection {
        address: "tokens.example.com:50051".into(),
        root_certificates: Some(fs::read("ca.pem")?),
        credentials: Credentials::TokenFile("/var/run/secrets/tokens/tokenauthority".into()),
        project_id: "47000000".into(),
        ..Default::default()
    })?;
    let with_function = Authority::new(Connection {
        address: "tokens.example.com:50051".into(),
        credentials: Credentials::function(|| Ok(std::env::var("ROOM_SERVICE_JWT")?)),
        ..Default::default()
    })?;
    let with_certificate = Authority::new(Connection {
        address: "tokens.example.com:50052".into(),
        client_certificate: Some(ClientCertificate { chain: fs::read("svid.pem")?, key: fs::read("svid.key")? }),
        ..Default::default()
    })?;
    // --8<-- [end:connect]
    Ok([with_token_file, with_function, with_certificate])
}

async fn tokens(authority: &Authority, session: &Session) -> Result<(), Error> {
    // --8<-- [start:tokens]
    let moderator = TokenOptions { role: "moderator".into(), subject: "user-1".into(), ..Default::default() };
    let hour = Lifetime::Ttl(Duration::from_secs(3600));
    let subscriber = TokenOptions { role: "subscriber".into(), lifetime: Some(hour), ..Default::default() };
    let wanted = [(session.session_id(), moderator), (session.session_id(), subscriber)];
    let tokens = authority.generate_tokens(wanted).await?;

    let publish =
        VerifyOptions { session_id: session.session_id().into(), required_permissions: vec![Permission::Publish] };
    let verification = authority.verify_token(&tokens[1].token, publish).await?;
    println!("{} {:?}", verification.active, verification.reason()); // false PermissionMissing

    let comment = RevokeOptions { comment: "left the company".into(), ..Default::default() };
    authority.revoke_tokens(Target::Token(tokens[1].token.clone()), comment).await?;
    authority.revoke_tokens(Target::Subject("user-1".into()), RevokeOptions::default()).await?;
    session.end().await?;
    // --8<-- [end:tokens]
    Ok(())
}

async fn list(authority: &Authority) -> Result<(), Error> {
    // --8<-- [start:list]
    let active = ListOptions { state: SessionState::Active, ..Default::default() };
    let mut sessions = authority.list_sessions(active).take(100);
    while let Some(session) = sessions.try_next().await? {
        println!("{}", session.session_id());
    }
    // --8<-- [end:list]
    Ok(())
}

async fn watch(authority: &Authority) -> Result<(), Error> {
    // --8<-- [start:watch]
    let mut watch = authority.watch_revocations(WatchOptions::default());
    while let Some(message) = watch.next().await {
        let message = message?;
        match message.event {
            Event::Revocation(revocation) => println!("disconnect {:?}", revocation.target),
            Event::SessionEnd(end) => println!("disconnect everyone in {}", end.session_id),
            Event::SnapshotEnd(_) => {
                println!("complete, resume with {}", message.resume_token);
                break; // a real program goes on
            }
            Event::Heartbeat(_) => (),
        }
    }
    // --8<-- [end:watch]
    Ok(())
}

async fn errors(session: &Session) -> Result<(), Error> {
    // --8<-- [start:errors]
    let month = Lifetime::Ttl(Duration::from_secs(31 * 24 * 3600));
    let options = TokenOptions { lifetime: Some(month), ..Default::default() };
    match session.generate_token(options).await {
        Ok(token) => println!("{token}"),
        Err(error) if error.code() == Code::InvalidArgument => println!("{} {:?}", error.reason(), error.violations()),
        Err(error) if error.code() == Code::ResourceExhausted => println!("wait {:?}", error.retry_after()),
        Err(error) => return Err(error),
    }
    // --8<-- [end:errors]
    Ok(())
}

async fn stubs(authority: &Authority) -> Result<(), Error> {
    // --8<-- [start:stubs]
    let request = v1::ListRolesRequest { project_id: authority.project_id().into(), ..Default::default() };
    let roles = authority.roles().list_roles(request).await?.into_inner().roles;
    // --8<-- [end:stubs]
    println!("{} roles", roles.len());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    if let Err(error) = connect() {
        println!("without the files of tokens.example.com: {error}");
    }
    let authority = Authority::from_environment()?;
    let session = authority.create_session(SessionOptions::default()).await?;
    errors(&session).await?;
    list(&authority).await?;
    tokens(&authority, &session).await?;
    watch(&authority).await?;
    stubs(&authority).await?;
    Ok(())
}

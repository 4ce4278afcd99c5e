//! Do with the Rust client what `make interop` asks; clients/interop/README.md has the protocol.

mod options;
mod raw;
mod watcher;

use std::error::Error as StdError;

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use tokenauthority_client::{Authority, Code, ConfigError, Error, RevokeOptions, Target, TokenOptions, VerifyOptions};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use crate::{
    options::{list_options, number, permissions, session_options, text, token_options, turn_options},
    watcher::Watcher,
};

/// Why an operation failed: the call did, or the request never became one.
#[derive(Debug)]
enum Failure {
    Call(Error),
    Client(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<String> for Failure {
    fn from(problem: String) -> Self {
        Self::Client(problem)
    }
}

type Done = Result<Value, Failure>;

struct Driver {
    authority: Result<Authority, ConfigError>,
    watcher: Option<Watcher>,
}

impl Driver {
    async fn answer(&mut self, request: &Value) -> Done {
        let authority = self.authority.clone().map_err(|error| error.to_string())?;
        match text(request, "op").as_str() {
            "call" => call(&authority, request).await,
            "create_session" => {
                let session = authority.create_session(session_options(&request["options"])?).await?;
                Ok(json!({"session_id": session.session_id()}))
            }
            "generate_token" => generate_token(&authority, request).await,
            "generate_tokens" => generate_tokens(&authority, request).await,
            "create_turn_credentials" => create_turn_credentials(&authority, request).await,
            "verify_token" => verify_token(&authority, request).await,
            "revoke_tokens" => revoke_tokens(&authority, request).await,
            "end_session" => {
                let session = authority.end_session(&text(request, "session_id")).await?;
                let state = session.details().state().as_str_name();
                Ok(json!({"state": state.trim_start_matches("SESSION_STATE_").to_lowercase()}))
            }
            "watch" => {
                self.watcher = Some(Watcher::start(&authority, text(request, "resume_token")));
                Ok(json!({}))
            }
            "list_sessions" => list_sessions(&authority, request).await,
            "lost" => self.watcher.as_mut().ok_or_else(|| "there is no watch".to_owned())?.wait_for_loss(request).await,
            "watched" => self.watcher.as_mut().ok_or_else(|| "there is no watch".to_owned())?.wait_for(request).await,
            "load" => load(&authority, request).await,
            other => Err(Failure::Client(format!("no such operation: {other}"))),
        }
    }
}

async fn call(authority: &Authority, request: &Value) -> Done {
    let message = BASE64_STANDARD.decode(text(request, "request")).map_err(|error| error.to_string())?;
    let answer = raw::call(authority.transport(), &text(request, "method"), message).await.map_err(Error::from)?;
    Ok(json!({"response": BASE64_STANDARD.encode(answer)}))
}

async fn generate_token(authority: &Authority, request: &Value) -> Done {
    let (session_id, options) = (text(request, "session_id"), token_options(&request["options"])?);
    let token = if request["via"] == "session" {
        authority.get_session(&session_id).await?.generate_token(options).await?
    } else {
        authority.generate_token(&session_id, options).await?
    };
    let expire_time = token.expire_time.unwrap_or_default().seconds;
    Ok(json!({"token": token.token, "token_id": token.token_id, "expire_time": expire_time}))
}

async fn generate_tokens(authority: &Authority, request: &Value) -> Done {
    let wanted = request["requests"].as_array().into_iter().flatten();
    let wanted = wanted.map(|each| Ok((text(each, "session_id"), token_options(each)?)));
    let tokens = authority.generate_tokens(wanted.collect::<Result<Vec<_>, String>>()?).await?;
    Ok(json!({"tokens": tokens.iter().map(|token| &token.token).collect::<Vec<_>>()}))
}

async fn create_turn_credentials(authority: &Authority, request: &Value) -> Done {
    let (session_id, options) = (text(request, "session_id"), turn_options(&request["options"])?);
    let made = if request["via"] == "session" {
        authority.get_session(&session_id).await?.create_turn_credentials(options).await?
    } else {
        authority.create_turn_credentials(&session_id, options).await?
    };
    let (shown, expire_time) = (format!("{made:?}"), made.expire_time.unwrap_or_default().seconds);
    Ok(json!({
        "urls": made.urls, "username": made.username, "credential": made.credential, "expire_time": expire_time,
        "shown": shown,
    }))
}

async fn verify_token(authority: &Authority, request: &Value) -> Done {
    let options = VerifyOptions {
        session_id: text(request, "session_id"),
        required_permissions: permissions(&request["required_permissions"])?,
    };
    let found = authority.verify_token(&text(request, "token"), options).await?;
    let reason = found.reason().as_str_name().trim_start_matches("INACTIVE_REASON_").replace("UNSPECIFIED", "");
    let (role, data) = found.claims.map(|claims| (claims.role, claims.data)).unwrap_or_default();
    Ok(json!({"active": found.active, "reason": reason, "role": role, "data": data}))
}

async fn list_sessions(authority: &Authority, request: &Value) -> Done {
    let sessions = authority.list_sessions(list_options(request)?);
    let ids = sessions.map_ok(|session| session.session_id().to_owned()).try_collect::<Vec<_>>().await?;
    Ok(json!({"session_ids": ids}))
}

async fn revoke_tokens(authority: &Authority, request: &Value) -> Done {
    let options = RevokeOptions { comment: text(request, "comment"), ..Default::default() };
    if request["via"] == "session" {
        authority.get_session(&text(request, "session_id")).await?.revoke_tokens(options).await?;
        return Ok(json!({}));
    }
    let given = |name| request[name].as_str().map(str::to_owned);
    let target = given("token")
        .map(Target::Token)
        .or_else(|| given("token_id").map(Target::TokenId))
        .or_else(|| given("session_id").map(Target::SessionId))
        .or_else(|| given("subject").map(Target::Subject))
        .ok_or_else(|| "no target".to_owned())?;
    authority.revoke_tokens(target, options).await?;
    Ok(json!({}))
}

async fn load(authority: &Authority, request: &Value) -> Done {
    let (session_id, calls) = (text(request, "session_id"), number(request, "calls"));
    let callers = (0..number(request, "callers")).map(|_| {
        let (authority, session_id) = (authority.clone(), session_id.clone());
        tokio::spawn(async move {
            let mut errors = Vec::new();
            for _ in 0..calls {
                if let Err(error) = authority.generate_token(&session_id, TokenOptions::default()).await {
                    errors.push(format!("{}: {error}", code_name(error.code())));
                }
            }
            errors
        })
    });
    let mut errors = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        errors.extend(caller.await.map_err(|error| error.to_string())?);
    }
    Ok(json!({"failed": errors.len(), "errors": errors.iter().take(5).collect::<Vec<_>>()}))
}

fn describe(failure: Failure) -> Value {
    match failure {
        Failure::Client(message) => json!({"code": "CLIENT", "message": message}),
        Failure::Call(error) => json!({
            "code": code_name(error.code()),
            "reason": error.reason(),
            "violations": error
                .violations()
                .iter()
                .map(|found| json!({"field": found.field, "problem": found.problem}))
                .collect::<Vec<_>>(),
            "retry_after": error.retry_after().map(|wait| wait.as_secs_f64()),
            "message": error.to_string(),
        }),
    }
}

/// Return the name of a status as gRPC writes it, such as `NOT_FOUND`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let mut driver = Driver { authority: Authority::from_environment(), watcher: None };
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let request = serde_json::from_str(&line)?;
        // `println!` writes whole lines at once.
        match driver.answer(&request).await {
            Ok(result) => println!("{}", json!({"ok": result})),
            Err(failure) => println!("{}", json!({"error": describe(failure)})),
        }
    }
    Ok(())
}

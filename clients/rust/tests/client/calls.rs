//! Calls against a server that fails as a test says: retries, deadlines, credentials, default project.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::server::{Answer, Received, Server, message, status};
use futures_util::TryStreamExt;
use prost::Message;
use tokenauthority_client::{
    Code, Credentials, ListOptions, RevokeOptions, SessionOptions, Target, Token, TokenOptions, VerifyOptions, v1,
};
use tonic::Request;

fn token() -> Answer {
    message(&v1::GenerateTokenResponse { token: Some(Token { token: "T1==x".into(), ..Default::default() }) })
}

fn bearers(received: &[Received]) -> Vec<&str> {
    received.iter().map(|call| call.headers["authorization"].to_str().unwrap()).collect()
}

#[tokio::test]
async fn repeats_a_call_that_is_safe_to_repeat() {
    let server = Server::start([status(Code::Unavailable), status(Code::Cancelled), token()]).await;

    let token = server.client(|_| ()).generate_token("S", TokenOptions::default()).await.unwrap();

    assert_eq!("T1==x", token.to_string());
    assert_eq!(3, server.received().len());
}

#[tokio::test]
async fn refuses_an_empty_target_before_a_call() {
    let server = Server::start([]).await;
    let empty = String::new;

    for target in
        [Target::Token(empty()), Target::TokenId(empty()), Target::SessionId(empty()), Target::Subject(empty())]
    {
        let error = server.client(|_| ()).revoke_tokens(target, RevokeOptions::default()).await.unwrap_err();

        assert_eq!(Code::InvalidArgument, error.code());
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_list_goes_over_its_pages_and_one_without_an_end_is_an_error() {
    let page = |id: &str, next: &str| {
        let sessions = vec![v1::Session { session_id: id.into(), ..Default::default() }];
        message(&v1::ListSessionsResponse { sessions, next_page_token: next.into(), ..Default::default() })
    };
    let server = Server::start([page("a", "1"), page("b", ""), page("c", "1"), page("d", "1")]).await;
    let client = server.client(|_| ());
    let list = || client.list_sessions(ListOptions::default()).map_ok(|session| session.session_id().to_owned());

    let found: Vec<_> = list().try_collect().await.unwrap();
    let endless = list().try_collect::<Vec<_>>().await.unwrap_err();

    assert_eq!(["a", "b"], found[..]);
    assert_eq!(Code::DataLoss, endless.code());
}

#[tokio::test]
async fn repeats_a_session_under_the_same_request_id() {
    let session = message(&v1::CreateSessionResponse { session: Some(v1::Session::default()) });
    let server = Server::start([status(Code::Unavailable), session]).await;

    server.client(|_| ()).create_session(SessionOptions::default()).await.unwrap();

    let ids: Vec<_> = server
        .received()
        .iter()
        .map(|call| v1::CreateSessionRequest::decode(call.body.clone()).unwrap().request_id)
        .collect();
    assert_eq!(36, ids[0].len());
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn makes_no_more_than_five_attempts() {
    let server = Server::start([status(Code::Unavailable)]).await;

    let error = server.client(|_| ()).generate_token("S", TokenOptions::default()).await.unwrap_err();

    assert_eq!(Code::Unavailable, error.code());
    assert_eq!(5, server.received().len());
}

#[tokio::test]
async fn does_not_repeat_what_the_contract_does_not_allow() {
    let server = Server::start([status(Code::Cancelled)]).await;
    let authority = server.client(|_| ());

    let created = authority.roles().create_role(v1::CreateRoleRequest::default()).await.unwrap_err();
    let made = authority.projects().create_project(v1::CreateProjectRequest::default()).await.unwrap_err();

    assert_eq!([Code::Cancelled; 2], [created.code(), made.code()]);
    assert_eq!(2, server.received().len());
}

#[tokio::test]
async fn does_not_repeat_what_another_attempt_cannot_change() {
    for code in [Code::InvalidArgument, Code::ResourceExhausted, Code::DeadlineExceeded, Code::Unknown] {
        let server = Server::start([status(code)]).await;

        let error = server.client(|_| ()).verify_token("T", VerifyOptions::default()).await.unwrap_err();

        assert_eq!(code, error.code());
        assert_eq!(1, server.received().len());
    }
}

#[tokio::test]
async fn a_deadline_is_no_cancellation_and_not_repeated() {
    let server = Server::start([Answer::Never]).await;
    let authority = server.client(|connection| connection.timeout = Duration::from_millis(200));

    let error = authority.generate_token("S", TokenOptions::default()).await.unwrap_err();

    assert_eq!(Code::DeadlineExceeded, error.code());
    assert_eq!(1, server.received().len());
}

#[tokio::test]
async fn a_stub_can_have_a_deadline_of_its_own() {
    let server = Server::start([Answer::Never]).await;
    let authority = server.client(|connection| connection.timeout = Duration::from_secs(3600));
    let mut request = Request::new(v1::ListRolesRequest::default());
    request.set_timeout(Duration::from_millis(200));

    let status = authority.roles().list_roles(request).await.unwrap_err();

    assert_eq!(Code::DeadlineExceeded, status.code());
    assert_eq!(1, server.received().len());
}

#[tokio::test]
async fn the_authority_knows_how_long_a_call_waits() {
    let server = Server::start([status(Code::Unavailable), token()]).await;

    server.client(|_| ()).generate_token("S", TokenOptions::default()).await.unwrap();

    for call in server.received() {
        let millis: u32 = call.headers["grpc-timeout"].to_str().unwrap().strip_suffix('m').unwrap().parse().unwrap();
        assert!((1..=5000).contains(&millis));
    }
}

#[tokio::test]
async fn nobody_listens_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start([token()]).await;
    let authority = server.client(|connection| connection.address = free.to_string());

    let error = authority.generate_token("S", TokenOptions::default()).await.unwrap_err();

    assert_eq!(Code::Unavailable, error.code());
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn reads_a_token_file_again_for_each_call() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let server = Server::start([token()]).await;
    let authority = server.client(|connection| connection.credentials = Credentials::TokenFile(file.path().into()));

    for text in ["first", " second\n"] {
        fs::write(file.path(), text).unwrap();
        authority.generate_token("S", TokenOptions::default()).await.unwrap();
    }

    assert_eq!(["Bearer first", "Bearer second"], bearers(&server.received())[..]);
}

#[tokio::test]
async fn calls_a_function_for_each_call() {
    let calls = Arc::new(AtomicU32::new(0));
    let server = Server::start([token()]).await;
    let counted = Credentials::function(move || Ok(format!("token-{}", calls.fetch_add(1, Relaxed))));
    let authority = server.client(|connection| connection.credentials = counted);

    for _ in 0..2 {
        authority.generate_token("S", TokenOptions::default()).await.unwrap();
    }

    assert_eq!(["Bearer token-0", "Bearer token-1"], bearers(&server.received())[..]);
}

#[tokio::test]
async fn sends_nothing_without_a_credential() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "x".repeat(8193)).unwrap();
    let server = Server::start([token()]).await;
    let unusable = [
        Credentials::TokenFile("/nowhere".into()),
        Credentials::TokenFile(file.path().into()),
        Credentials::function(|| Err("the vault is closed".into())),
        Credentials::function(|| Ok("two\nlines".into())),
    ];

    for credentials in unusable {
        let authority = server.client(|connection| connection.credentials = credentials);
        let error = authority.generate_token("S", TokenOptions::default()).await.unwrap_err();

        assert_eq!(Code::Unauthenticated, error.code());
        assert!(!error.to_string().contains("lines") && !error.to_string().contains("xxx"), "{error}");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn the_client_s_project_goes_where_a_request_names_none() {
    let revoked = message(&v1::RevokeTokensResponse { revocation: Some(v1::Revocation::default()) });
    let server = Server::start([revoked]).await;
    let authority = server.client(|_| ());
    let other = RevokeOptions { project_id: "1".into(), ..Default::default() };

    authority.revoke_tokens(Target::Subject("u".into()), RevokeOptions::default()).await.unwrap();
    authority.revoke_tokens(Target::TokenId("t".into()), other).await.unwrap();
    authority.revoke_tokens(Target::SessionId("s".into()), RevokeOptions::default()).await.unwrap();

    let projects: Vec<_> = server
        .received()
        .iter()
        .map(|call| v1::RevokeTokensRequest::decode(call.body.clone()).unwrap().project_id)
        .collect();
    assert_eq!(["47000000", "1", ""], projects[..]);
}

#[test]
fn a_client_without_a_runtime_is_an_error() {
    let connection = tokenauthority_client::Connection {
        address: "localhost:50051".into(),
        credentials: Credentials::ApiKey("tak_test".into()),
        ..Default::default()
    };

    assert!(tokenauthority_client::Authority::new(connection).unwrap_err().to_string().contains("runtime"));
}

//! A watch opens its stream again where it was, and ends where another stream would not help.

use std::{sync::Arc, time::Duration};

use crate::server::{Answer, Server, status};
use futures_util::StreamExt;
use prost::Message;
use tokenauthority_client::{
    Code, Event, OnLost, WatchOptions,
    v1::{Heartbeat, Revocation, SessionEnd, SnapshotEnd, WatchRevocationsRequest, WatchRevocationsResponse},
};

fn events(events: impl IntoIterator<Item = (&'static str, Event)>, code: Code) -> Answer {
    let encoded = events.into_iter().map(|(token, event)| {
        WatchRevocationsResponse { resume_token: token.into(), event: Some(event), ..Default::default() }
            .encode_to_vec()
    });
    Answer::Messages(encoded.collect(), code)
}

fn ended(session_id: &str) -> Event {
    Event::SessionEnd(SessionEnd { session_id: session_id.into(), ..Default::default() })
}

fn requests(server: &Server) -> Vec<WatchRevocationsRequest> {
    server.received().iter().map(|call| WatchRevocationsRequest::decode(call.body.clone()).unwrap()).collect()
}

#[tokio::test]
async fn resumes_after_a_loss_and_after_an_end() {
    let server = Server::start([
        events([("", ended("1")), ("a", Event::SnapshotEnd(SnapshotEnd::default()))], Code::Unavailable),
        events([("b", ended("2")), ("c", Event::Heartbeat(Heartbeat::default()))], Code::Ok),
        status(Code::ResourceExhausted),
        status(Code::Cancelled),
        events([("d", ended("3"))], Code::PermissionDenied),
    ])
    .await;

    let (loss, losses) = std::sync::mpsc::channel();
    let on_lost: OnLost = Arc::new(move |error, pause| loss.send((error.code(), pause)).unwrap());
    let options = WatchOptions { on_lost: Some(on_lost), ..Default::default() };
    let mut watch = server.client(|_| ()).watch_revocations(options);
    let mut tokens = Vec::new();
    let error = loop {
        match watch.next().await.unwrap() {
            Ok(event) => tokens.push(event.resume_token),
            Err(error) => break error,
        }
    };

    assert_eq!(["", "a", "b", "c", "d"], tokens[..]);
    assert_eq!(Code::PermissionDenied, error.code());
    assert!(watch.next().await.is_none());
    let lost = losses.try_iter().collect::<Vec<_>>();
    let codes = [Code::Unavailable, Code::Unavailable, Code::ResourceExhausted, Code::Cancelled];
    assert_eq!(codes, lost.iter().map(|(code, _)| *code).collect::<Vec<_>>()[..]);
    assert!(lost.iter().all(|(_, pause)| *pause <= Duration::from_secs(10)));
    let asked = requests(&server);
    assert_eq!(["", "a", "c", "c", "c"], asked.iter().map(|request| &request.resume_token).collect::<Vec<_>>()[..]);
    assert!(asked.iter().all(|request| request.project_ids == ["47000000"]));
}

#[tokio::test]
async fn an_event_that_is_not_known_ends_the_watch() {
    let without_event = Answer::Messages(vec![WatchRevocationsResponse::default().encode_to_vec()], Code::Ok);
    let without_target = events([("a", Event::Revocation(Revocation::default()))], Code::Ok);

    for answer in [without_event, without_target] {
        let server = Server::start([answer]).await;

        let error = server.client(|_| ()).watch_revocations(WatchOptions::default()).next().await.unwrap().unwrap_err();

        assert_eq!(Code::Unimplemented, error.code());
    }
}

#[tokio::test]
async fn goes_on_where_an_earlier_watch_was() {
    let server = Server::start([events([("b", ended("1"))], Code::Ok)]).await;
    let options = WatchOptions { resume_token: "a".into(), project_ids: Some(vec![]), ..Default::default() };

    server.client(|_| ()).watch_revocations(options).next().await.unwrap().unwrap();

    assert_eq!("a", requests(&server)[0].resume_token);
    assert!(requests(&server)[0].project_ids.is_empty());
}

//! A server that answers each call as a test says, and keeps what it received.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use prost::Message;
use tokenauthority_client::{Authority, Code, Connection, Credentials};
use tokio::net::TcpListener;

/// One answer of the server.
#[derive(Clone)]
pub enum Answer {
    /// Messages, and then this status.
    Messages(Vec<Vec<u8>>, Code),
    /// Nothing, for as long as the connection is open.
    Never,
}

/// An answer that is a status alone.
pub fn status(code: Code) -> Answer {
    Answer::Messages(vec![], code)
}

/// An answer with one message, which is fine.
pub fn message(message: &impl Message) -> Answer {
    Answer::Messages(vec![message.encode_to_vec()], Code::Ok)
}

/// What the server received: the headers and the message of a call.
#[derive(Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Clone)]
pub struct Server {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// Start a server that gives these answers in turn, and the last one for ever.
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap().to_string(), received: Arc::default() };
        let received = server.received.clone();
        let answers = Arc::new(Mutex::new(VecDeque::from_iter(answers)));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answers, received) = (answers.clone(), received.clone());
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(socket).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(answer(request, respond, answers.clone(), received.clone()));
                    }
                });
            }
        });
        server
    }

    /// Return a client of this server; `change` changes its connection.
    pub fn client(&self, change: impl FnOnce(&mut Connection)) -> Authority {
        let mut connection = Connection {
            address: self.address.clone(),
            credentials: Credentials::ApiKey("tak_test".into()),
            plaintext: true,
            project_id: "47000000".into(),
            ..Connection::default()
        };
        change(&mut connection);
        Authority::new(connection).unwrap()
    }

    /// Return all that was received so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    received: Arc<Mutex<Vec<Received>>>,
) {
    let (head, mut stream) = request.into_parts();
    let mut body = BytesMut::new();
    while let Some(Ok(chunk)) = stream.data().await {
        body.put(chunk);
    }
    // Without the five bytes before a message.
    let body = body.freeze().slice(5..);
    received.lock().unwrap().push(Received { headers: head.headers, body });
    let next = {
        let mut answers = answers.lock().unwrap();
        let next = answers.front().cloned().unwrap();
        if answers.len() > 1 {
            answers.pop_front();
        }
        next
    };
    let Answer::Messages(messages, code) = next else {
        return std::future::pending().await;
    };
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    for message in messages {
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(message.len().try_into().unwrap());
        framed.put_slice(&message);
        stream.send_data(framed.freeze(), false).unwrap();
    }
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), i32::from(code).into())]);
    stream.send_trailers(trailers).unwrap();
}

//! A watch in the background, which keeps what it has seen.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokenauthority_client::{
    Authority, Event, OnLost, WatchEvent, WatchOptions,
    v1::{SessionEnd, revocation::Target},
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{Done, Failure, code_name, options::text};

pub struct Watcher {
    task: JoinHandle<()>,
    seen: watch::Receiver<Vec<WatchEvent>>,
    lost: watch::Receiver<Value>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watcher {
    pub fn start(authority: &Authority, resume_token: String) -> Self {
        let (loss, lost) = watch::channel(Value::Null);
        let on_lost: OnLost = Arc::new(move |error, pause| {
            loss.send_replace(json!({"code": code_name(error.code()), "pause": pause.as_secs_f64()}));
        });
        let on_lost = Some(on_lost);
        let mut events = authority.watch_revocations(WatchOptions { resume_token, on_lost, ..Default::default() });
        let (sender, seen) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => sender.send_modify(|seen| seen.push(event)),
                    Err(error) => eprintln!("the watch has ended: {error:?}"),
                }
            }
        });
        Self { task, seen, lost }
    }

    pub async fn wait_for_loss(&mut self, wanted: &Value) -> Done {
        let within = Duration::from_secs_f64(wanted["within"].as_f64().unwrap_or_default());
        let lost = timeout(within, self.lost.wait_for(|loss| !loss.is_null())).await;
        let lost = lost.map_err(|_| Failure::Client("the watch was not lost in time".into()))?;
        Ok(lost.map_err(|_| Failure::Client("the watch has ended".into()))?.clone())
    }

    pub async fn wait_for(&mut self, wanted: &Value) -> Done {
        let within = Duration::from_secs_f64(wanted["within"].as_f64().unwrap_or_default());
        let found = |event: &WatchEvent| matches(event, wanted);
        let seen = timeout(within, self.seen.wait_for(|seen| seen.iter().any(found))).await;
        let seen = seen.map_err(|_| Failure::Client("no such event was seen in time".into()))?;
        let seen = seen.map_err(|_| Failure::Client("the watch has ended".into()))?;
        let event = seen.iter().find(|event| found(event)).ok_or_else(|| Failure::Client("no event".into()))?;
        let kind = if matches!(event.event, Event::Revocation(_)) { "revocation" } else { "ended_session" };
        Ok(json!({"kind": kind, "resume_token": event.resume_token}))
    }
}

/// Whether an event has each of the values that a test waits for.
fn matches(event: &WatchEvent, wanted: &Value) -> bool {
    let has = match &event.event {
        Event::Revocation(revocation) => match revocation.target.as_ref() {
            Some(Target::TokenId(id)) => ("token_id", id),
            Some(Target::SessionId(id)) => ("session_id", id),
            Some(Target::Subject(subject)) => ("subject", subject),
            Some(Target::WholeProject(_)) | None => return false,
        },
        Event::SessionEnd(SessionEnd { session_id, .. }) => ("session_id", session_id),
        Event::SnapshotEnd(_) | Event::Heartbeat(_) => return false,
    };
    let is_other = |name: &&str| *name != has.0 && wanted[*name].is_string();
    text(wanted, has.0) == *has.1 && !["token_id", "session_id", "subject"].iter().any(is_other)
}

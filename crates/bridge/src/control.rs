//! The bus side: requests of a focus go to the worker that owns the conference, replies go back.

use crate::channel::Service;
use crate::worker::{Command, owner};
use althing_bus::{Delivery, Reply, Subscription};
use althing_control::{BridgeReply, BridgeRequest, RefusalCode, decode, encode};
use althing_model::ConferenceId;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Serves the requests of `bridge.<node>` until `stop`.
pub(crate) async fn serve(
    mut requests: Subscription,
    service: Arc<Service>,
    stop: CancellationToken,
) {
    loop {
        let delivery = tokio::select! {
            () = stop.cancelled() => return,
            delivery = requests.next() => delivery,
        };
        let Some(delivery) = delivery else { return };
        handle(&service, delivery);
    }
}

/// Hands a request on at once, so that requests reach a worker in the order they came; only the
/// reply is waited for elsewhere.
fn handle(service: &Arc<Service>, Delivery { payload, reply }: Delivery) {
    let request = match decode::<BridgeRequest>(&payload) {
        Ok(request) => request,
        Err(error) => {
            tracing::warn!(%error, "bridge request cannot be read");
            answer(reply, &refused(RefusalCode::Invalid, &error.to_string()));
            return;
        }
    };
    let workers = &service.workers;
    let worker = &workers[owner(conference(&request), workers.len())];
    let (sender, receiver) = oneshot::channel();
    let command = Command::Control {
        request: Box::new(request),
        reply: sender,
    };
    if worker.send(command).is_err() {
        answer(reply, &unavailable());
        return;
    }
    // As many of these as the worker has commands: its queue bounds them.
    service.tasks.spawn(async move {
        let result = receiver.await.unwrap_or_else(|_| unavailable());
        answer(reply, &result);
    });
}

fn answer(reply: Option<Reply>, answer: &BridgeReply) {
    if let Some(reply) = reply {
        reply.send(encode(answer).into());
    }
}

fn refused(code: RefusalCode, reason: &str) -> BridgeReply {
    BridgeReply::Refused {
        code,
        reason: reason.to_owned(),
    }
}

fn unavailable() -> BridgeReply {
    refused(
        RefusalCode::Unavailable,
        "the media worker of this conference is overloaded or gone",
    )
}

const fn conference(request: &BridgeRequest) -> &ConferenceId {
    match request {
        BridgeRequest::Allocate(allocate) => &allocate.conference,
        BridgeRequest::Update(update) => &update.conference,
        BridgeRequest::Expire { conference, .. }
        | BridgeRequest::ExpireConference { conference } => conference,
    }
}

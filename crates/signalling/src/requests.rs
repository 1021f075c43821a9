//! What is asked about rooms, and done to them, from outside: answered on the bus.

use crate::Shared;
use crate::directory::{RoomHandle, RoomKey};
use crate::room_task::RoomInput;
use althing_bus::Subscription;
use althing_control::rooms::{RoomMedium, RoomReply, RoomRequest};
use althing_model::EndpointId;
use althing_room::Medium;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, oneshot};

/// How many requests are worked on at once; further ones are refused.
const MAX_REQUESTS: usize = 64;
/// How many rooms one answer lists.
const MAX_LISTED: usize = 100;
/// How long a room may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one room is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// What it is, without who is in it.
    Summary,
    /// What it is, and who is in it.
    Details,
    End {
        reason: Option<String>,
        by: String,
    },
    Remove {
        id: EndpointId,
        reason: Option<String>,
        by: String,
    },
    Mute {
        id: EndpointId,
        medium: Medium,
        by: String,
    },
}

/// Answers until the rooms end.
pub(crate) async fn serve(shared: Arc<Shared>, mut requests: Subscription) {
    let permits = Arc::new(Semaphore::new(MAX_REQUESTS));
    loop {
        let delivery = tokio::select! {
            delivery = requests.next() => delivery,
            () = shared.stop_rooms.cancelled() => None,
        };
        let Some(delivery) = delivery else { return };
        let Some(reply) = delivery.reply else {
            continue;
        };
        let request = match althing_control::decode::<RoomRequest>(&delivery.payload) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(%error, "a request about rooms cannot be read");
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            reply.send(althing_control::encode(&RoomReply::Busy).into());
            continue;
        };
        let asked = Arc::clone(&shared);
        shared.room_tasks.spawn(async move {
            let answer = answer(&asked, request).await;
            reply.send(althing_control::encode(&answer).into());
            drop(permit);
        });
    }
}

async fn answer(shared: &Arc<Shared>, request: RoomRequest) -> RoomReply {
    let (room, question) = match request {
        RoomRequest::List { after, limit } => {
            let limit = limit.clamp(1, MAX_LISTED);
            let (handles, last) = shared.directory.page(after.as_ref(), limit);
            let asked = handles.iter().map(|handle| ask(handle, Ask::Summary));
            let rooms = join_all(asked).await.into_iter().filter_map(|r| match r {
                RoomReply::Room { room, .. } => Some(room),
                // It has just ended, or is too busy to be counted.
                _ => None,
            });
            let rooms = rooms.collect();
            return RoomReply::Rooms { rooms, last };
        }
        RoomRequest::Show { room } => (room, Ask::Details),
        RoomRequest::End { room, reason, by } => (room, Ask::End { reason, by }),
        RoomRequest::Remove {
            room,
            occupant,
            reason,
            by,
        } => {
            let id = occupant;
            (room, Ask::Remove { id, reason, by })
        }
        RoomRequest::Mute {
            room,
            occupant,
            media,
            by,
        } => {
            let (id, medium) = (occupant, medium(media));
            (room, Ask::Mute { id, medium, by })
        }
    };
    let key = RoomKey::of_name(&room, &shared.settings.domain);
    match key.and_then(|key| shared.directory.find(&key)) {
        Some(handle) => ask(&handle, question).await,
        None => RoomReply::NoRoom,
    }
}

async fn ask(room: &RoomHandle, ask: Ask) -> RoomReply {
    let (answer, answered) = oneshot::channel();
    match room.inputs.try_send(RoomInput::Asked { ask, answer }) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return RoomReply::Busy,
        Err(TrySendError::Closed(_)) => return RoomReply::NoRoom,
    }
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(_)) => RoomReply::NoRoom,
        Err(_) => RoomReply::Busy,
    }
}

const fn medium(media: RoomMedium) -> Medium {
    match media {
        RoomMedium::Audio => Medium::Audio,
        RoomMedium::Video => Medium::Video,
        RoomMedium::Desktop => Medium::Desktop,
    }
}

#[cfg(test)]
mod tests;

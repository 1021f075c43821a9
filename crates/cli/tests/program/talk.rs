//! Two who talk and see each other while something happens beside them.

use super::{Program, until};
use althing_client::{Client, ClientSettings};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// A talk that nothing may disturb.
pub(crate) struct Talk {
    pub(crate) clients: [Client; 2],
}

impl Talk {
    /// Ada and Bo meet in `room`, and have heard and seen each other for a second.
    pub(crate) async fn begin(program: &Program, room: &str, send_video: bool) -> Self {
        let mut clients = Vec::new();
        for name in ["Ada", "Bo"] {
            let settings = ClientSettings {
                send_audio: true,
                send_video,
                ..program.client(room, name)
            };
            clients.push(Client::join(settings).await.unwrap());
        }
        for client in &clients {
            until("they hear each other", LIMIT, || {
                client.stats().audio.received > 50
            })
            .await;
            until("they see each other", LIMIT, || {
                !send_video || client.stats().video.received > 50
            })
            .await;
        }
        Self {
            clients: clients.try_into().unwrap(),
        }
    }

    /// It goes on: a second more is heard, and since the beginning nothing was lost, left out or
    /// not theirs.
    pub(crate) async fn goes_on(&self) {
        for client in &self.clients {
            let before = client.stats();
            until("the talk goes on", LIMIT, || {
                client.stats().audio.received > before.audio.received + 50
            })
            .await;
            let stats = client.stats();
            let audio = stats.audio;
            assert_eq!((audio.lost, audio.withheld), (0, 0), "{stats:?}");
            assert_eq!((audio.wrong, audio.foreign), (0, 0), "{stats:?}");
            let video = stats.video;
            assert_eq!((video.lost, video.wrong), (0, 0), "{stats:?}");
            assert_eq!(video.foreign, 0, "{stats:?}");
        }
    }

    pub(crate) async fn end(self) {
        for client in self.clients {
            client.leave().await;
        }
    }
}

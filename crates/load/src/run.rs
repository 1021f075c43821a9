use crate::Report;
use althing_client::{Client, ClientSettings, ClientStats, Url};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A scenario.
#[derive(Debug, Clone)]
pub struct LoadSettings {
    /// The server as a browser would open it.
    pub url: Url,
    /// The server's XMPP domain.
    pub domain: String,
    /// The room; with several rooms, `-0`, `-1`, … is appended.
    pub room: String,
    /// How many occupants in each room.
    pub occupants: usize,
    /// How many rooms.
    pub rooms: usize,
    /// How long everybody stays once all have joined.
    pub stay: Duration,
    /// How many of each room speak, the first ones.
    pub speakers: usize,
    /// How many of each room send video, the first ones.
    pub cameras: usize,
    /// Height asked of every video source; 0 for none.
    pub receive_height: i32,
    /// Joins per second, all rooms together.
    pub joins_per_second: f64,
    /// Believes any TLS certificate.
    pub accept_any_certificate: bool,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many have joined, so many failed.
    Joining {
        /// In the room.
        joined: usize,
        /// Not.
        failed: usize,
    },
    /// All that will are in; this much longer.
    Staying {
        /// Until they leave.
        left: Duration,
    },
    /// On the way out.
    Leaving,
}

/// Runs a scenario. `stop` ends it early, with a report of what there was.
pub async fn run(
    settings: &LoadSettings,
    stop: &CancellationToken,
    mut progress: impl FnMut(Progress),
) -> Report {
    let all = settings.occupants * settings.rooms;
    let gap = Duration::from_secs_f64(1.0 / settings.joins_per_second.max(0.1));
    let started = Instant::now();
    let mut joining = Vec::with_capacity(all);
    for number in 0..all {
        let occupant = settings_of(settings, number);
        let at = started + gap * u32::try_from(number).unwrap_or(u32::MAX);
        joining.push(async move {
            tokio::time::sleep_until(at).await;
            Client::join(occupant).await
        });
    }
    let mut clients = Vec::with_capacity(all);
    let mut failures = 0;
    let mut first_failure = None;
    let mut joining: futures_util::stream::FuturesUnordered<_> = joining.into_iter().collect();
    loop {
        let joined = tokio::select! {
            () = stop.cancelled() => break,
            joined = futures_util::StreamExt::next(&mut joining) => joined,
        };
        match joined {
            Some(Ok(client)) => clients.push(client),
            Some(Err(error)) => {
                failures += 1;
                first_failure.get_or_insert_with(|| error.to_string());
            }
            None => break,
        }
        progress(Progress::Joining {
            joined: clients.len(),
            failed: failures,
        });
    }

    let until = Instant::now() + settings.stay;
    while !stop.is_cancelled() && Instant::now() < until && !clients.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        progress(Progress::Staying { left });
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(left.min(Duration::from_secs(1))) => {}
        }
    }

    // Read before anybody leaves: a sender that has stopped is not lost.
    let stats: Vec<ClientStats> = clients.iter().map(Client::stats).collect();
    progress(Progress::Leaving);
    join_all(clients.into_iter().map(Client::leave)).await;
    Report::of(all, &stats, first_failure)
}

fn settings_of(settings: &LoadSettings, number: usize) -> ClientSettings {
    let (room, place) = (number / settings.occupants, number % settings.occupants);
    let room = if settings.rooms == 1 {
        settings.room.clone()
    } else {
        format!("{}-{room}", settings.room)
    };
    let mut occupant = ClientSettings::new(settings.url.clone(), room, format!("bot-{place}"));
    occupant.domain.clone_from(&settings.domain);
    occupant.send_audio = place < settings.speakers;
    occupant.send_video = place < settings.cameras;
    occupant.receive_height = settings.receive_height;
    occupant.accept_any_certificate = settings.accept_any_certificate;
    occupant
}

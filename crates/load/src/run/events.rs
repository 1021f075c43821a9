//! What happens while everybody is there: shares, changed wishes, broken connections, new rooms.

use super::{Run, Seat};
use crate::server::Metrics;
use crate::{DelayReport, ShareReport, TimesReport};
use althing_client::{Client, ClientSettings, ClientStats, Delays, Error, Watch};
use futures_util::future::join_all;
use std::collections::HashSet;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Whoever came back is listened for this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a viewer should have to see a share, at the least.
const TIME: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// What a task of ours came back with.
pub(super) enum Moved {
    /// Somebody whose connections broke: his seat, what he had measured, and his return.
    Back {
        seat: usize,
        before: Box<(ClientStats, String)>,
        after: Box<Result<Client, Error>>,
        took: Duration,
        heard: bool,
    },
    /// A room ended and began anew.
    Room {
        room: usize,
        before: Vec<(usize, ClientStats)>,
        after: Vec<(usize, Result<Client, Error>)>,
    },
    /// The server's page.
    Server(Box<Option<Metrics>>),
}

/// Shares under way, one in each room.
pub(super) struct Sharing {
    rooms: Vec<Option<Screen>>,
    /// Who should see one: endpoint and room.
    viewers: Vec<(String, usize)>,
    looked: HashSet<String>,
    shown: Vec<Duration>,
    /// Delays of the sound when everybody was in, and when the share began.
    joining: Delays,
    before: Delays,
}

#[derive(Clone)]
struct Screen {
    endpoint: String,
    number: u8,
    at_micros: u64,
}

impl Sharing {
    /// Whether and when an occupant saw the share of its room.
    pub(super) fn look(&mut self, endpoint: &str, stats: &ClientStats) {
        let Some((_, room)) = self.viewers.iter().find(|(e, _)| e == endpoint) else {
            return;
        };
        let Some(screen) = &self.rooms[*room] else {
            return;
        };
        let seen = stats
            .first_pictures
            .iter()
            .find(|p| p.endpoint == screen.endpoint && p.number == screen.number);
        if let Some(seen) = seen
            && self.looked.insert(endpoint.to_owned())
        {
            let micros = seen.at_micros.saturating_sub(screen.at_micros);
            self.shown.push(Duration::from_micros(micros));
        }
    }

    /// Somebody leaves. Whoever had no time to see the share is no viewer.
    pub(super) fn leave(&mut self, endpoint: &str, stats: &ClientStats) {
        self.look(endpoint, stats);
        let started = |room: usize| self.rooms[room].as_ref().map_or(0, |s| s.at_micros);
        let looked = &self.looked;
        self.viewers.retain(|(viewer, room)| {
            let watched = unix_micros().saturating_sub(started(*room));
            viewer != endpoint || looked.contains(viewer) || u128::from(watched) > TIME.as_micros()
        });
    }

    /// `delays` are those of all sound, from the beginning.
    pub(super) fn report(&self, delays: &Delays) -> ShareReport {
        ShareReport {
            viewers: self.viewers.len(),
            seen: self.looked.len(),
            shown: TimesReport::of(&self.shown),
            audio_before: DelayReport::of(&self.before.since(&self.joining)),
            audio_after: DelayReport::of(&delays.since(&self.before)),
        }
    }
}

fn unix_micros() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

impl Run<'_> {
    /// Sets the clocks of what happens in the stay.
    pub(super) fn plan(&mut self, began: Instant) {
        self.break_at = self.settings.break_every.map(|every| began + every);
        if let Some(lasts) = self.settings.room_lasts {
            let rooms = self.settings.rooms;
            for (room, ends) in self.room_ends.iter_mut().enumerate() {
                *ends = Some(began + lasts.mul_f64((room + 1) as f64 / rooms as f64));
            }
        }
    }

    /// Does what is due.
    pub(super) async fn due(&mut self, now: Instant, began: Instant) {
        if let Some(share) = &self.settings.share
            && self.sharing.is_none()
            && now >= began + self.settings.stay.mul_f64(share.at.clamp(0.0, 1.0))
        {
            self.share().await;
        }
        for seat in 0..self.seats.len() {
            self.wishes(seat, now).await;
        }
        if self.break_at.is_some_and(|at| now >= at) {
            self.break_at = self.settings.break_every.map(|every| now + every);
            self.break_one();
        }
        for room in 0..self.room_ends.len() {
            if self.room_ends[room].is_some_and(|at| now >= at) {
                self.room_ends[room] = None;
                self.end_room(room);
            }
        }
    }

    async fn wishes(&mut self, seat: usize, now: Instant) {
        let settings = self.settings;
        if self.seats[seat].change_at.is_some_and(|at| now >= at) {
            self.seats[seat].change_at = settings.change_every.map(|every| now + every);
            self.seats[seat].height += 1;
            self.wish(seat).await;
        }
        let state = &mut self.seats[seat];
        if state.keyframes_at.is_some_and(|at| now >= at) {
            state.keyframes_at = settings.keyframes_every.map(|every| now + every);
            if let Some(client) = &state.occupant {
                // Whoever is cut off is counted as that.
                let _ = client.ask_keyframes().await;
            }
        }
    }

    /// Tells the server what somebody wants to see.
    async fn wish(&self, seat: usize) {
        let state = &self.seats[seat];
        let Some(client) = &state.occupant else {
            return;
        };
        let on_stage = self.on_stage(state);
        let watch = Watch {
            height: self.height(seat),
            stage_height: self.settings.stage_height.unwrap_or(0),
            on_stage: on_stage.into_iter().collect(),
            last_n: None,
        };
        let _ = client.watch(watch).await;
    }

    /// The share, else the first camera of somebody else.
    fn on_stage(&self, seat: &Seat) -> Option<String> {
        self.settings.stage_height?;
        let screen = self
            .sharing
            .as_ref()
            .and_then(|sharing| sharing.rooms[seat.room].as_ref());
        if let Some(screen) = screen
            && seat.place != 0
        {
            return Some(format!("{}-v{}", screen.endpoint, screen.number));
        }
        let others = self.seats.iter().filter(|other| {
            other.room == seat.room
                && other.place != seat.place
                && other.place < self.settings.cameras
        });
        others
            .filter_map(|other| other.occupant.as_ref())
            .map(|client| format!("{}-v0", client.endpoint()))
            .next()
    }

    /// Everybody in a room puts somebody on stage, where there is a stage.
    pub(super) async fn stage(&self, room: usize) {
        if self.settings.stage_height.is_none() {
            return;
        }
        for (seat, state) in self.seats.iter().enumerate() {
            if state.room == room {
                self.wish(seat).await;
            }
        }
    }

    async fn share(&mut self) {
        let Some(share) = self.settings.share.clone() else {
            return;
        };
        let number = u8::from(self.settings.cameras > 0);
        let mut sharing = Sharing {
            rooms: vec![None; self.settings.rooms],
            viewers: Vec::new(),
            looked: HashSet::new(),
            shown: Vec::new(),
            joining: self.joining_delays.0.clone(),
            before: self.delays().0,
        };
        for seat in &self.seats {
            let Some(client) = &seat.occupant else {
                continue;
            };
            if seat.place > 0 {
                let viewer = (client.endpoint().to_owned(), seat.room);
                sharing.viewers.push(viewer);
                continue;
            }
            let at_micros = unix_micros();
            if client.show(share.video.clone()).await.is_ok() {
                sharing.rooms[seat.room] = Some(Screen {
                    endpoint: client.endpoint().to_owned(),
                    number,
                    at_micros,
                });
            }
        }
        self.sharing = Some(sharing);
        self.samples.changed(self.stay_began.elapsed());
        for room in 0..self.settings.rooms {
            self.stage(room).await;
        }
    }

    /// The connections of one occupant break, the first of a room excepted, who shares.
    fn break_one(&mut self) {
        for _ in 0..self.seats.len() {
            let seat = self.next_break % self.seats.len();
            // A step that shares no divisor with the size of a room goes through all rooms.
            self.next_break += self.settings.occupants + 1;
            if self.seats[seat].place == 0 {
                continue;
            }
            let Some(client) = self.stand(seat) else {
                continue;
            };
            if let Some(sharing) = &mut self.sharing {
                sharing.leave(client.endpoint(), &client.stats());
            }
            let again = self.client_settings(seat);
            let speaks = self.seats[seat].place < self.settings.speakers;
            let hears = self.settings.speakers > usize::from(speaks);
            self.joins += 1;
            self.moves
                .spawn(break_and_return(seat, client, again, hears));
            return;
        }
    }

    fn end_room(&mut self, room: usize) {
        self.rounds[room] += 1;
        let mut leaving = Vec::new();
        let mut coming = Vec::new();
        for seat in 0..self.seats.len() {
            if self.seats[seat].room == room {
                if let Some(client) = self.stand(seat) {
                    leaving.push((seat, client));
                }
                coming.push((seat, self.client_settings(seat)));
            }
        }
        self.joins += coming.len();
        self.moves.spawn(async move {
            let before = leaving.iter().map(|(seat, c)| (*seat, c.stats())).collect();
            join_all(leaving.into_iter().map(|(_, client)| client.leave())).await;
            let joins = coming
                .into_iter()
                .map(|(seat, settings)| async move { (seat, Client::join(settings).await) });
            Moved::Room {
                room,
                before,
                after: join_all(joins).await,
            }
        });
    }

    /// Takes in what a task came back with.
    pub(super) async fn moved(&mut self, moved: Moved) {
        match moved {
            Moved::Server(metrics) => self.server_said(*metrics),
            Moved::Back {
                seat,
                before,
                after,
                took,
                heard,
            } => {
                let (stats, endpoint) = *before;
                let expected = self.expected(seat);
                self.absorb(&stats, expected, &endpoint);
                match *after {
                    Ok(client) => {
                        if heard {
                            self.back.push(took);
                        } else {
                            self.failed += 1;
                            self.first_failure
                                .get_or_insert_with(|| "came back and heard nobody".to_owned());
                        }
                        self.sit(seat, client);
                        self.stage(self.seats[seat].room).await;
                    }
                    Err(error) => self.failed(&error),
                }
            }
            Moved::Room {
                room,
                before,
                after,
            } => {
                for (seat, stats) in before {
                    let expected = self.expected(seat);
                    self.absorb(&stats, expected, "");
                }
                for (seat, joined) in after {
                    match joined {
                        Ok(client) => self.sit(seat, client),
                        Err(error) => self.failed(&error),
                    }
                }
                self.room_ends[room] = self.settings.room_lasts.map(|lasts| Instant::now() + lasts);
                self.stage(room).await;
            }
        }
    }
}

async fn break_and_return(
    seat: usize,
    client: Client,
    again: ClientSettings,
    hears: bool,
) -> Moved {
    let before = Box::new((client.stats(), client.endpoint().to_owned()));
    client.cut().await;
    let began = Instant::now();
    let joined = Client::join(again).await;
    let mut heard = joined.is_ok();
    if let Ok(client) = &joined {
        let there = || {
            let brief = client.brief();
            if hears { brief.heard } else { brief.connected }
        };
        while !there() && began.elapsed() < PATIENCE {
            tokio::time::sleep(LOOK).await;
        }
        heard = there();
    }
    Moved::Back {
        seat,
        before,
        after: Box::new(joined),
        took: began.elapsed(),
        heard,
    }
}

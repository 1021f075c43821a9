//! One run: everybody joins, stays while things happen, and leaves.

mod events;
mod sum;

use crate::server::{self, Metrics, Samples};
use crate::{Live, LoadSettings, Progress, Report, generator, promise, report};
use althing_client::{Client, ClientSettings, ClientStats, Delays, Error, Hub};
use events::{Moved, Sharing};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use sum::{Expected, Sum};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(100);
/// After the last join, media may take this long to connect everywhere.
const SETTLE: Duration = Duration::from_secs(10);
/// Whoever is on the way at the end may take this long.
const LAST_MOVES: Duration = Duration::from_secs(30);
/// Whoever was there for less need not have heard everybody.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

/// Runs a scenario. `stop` ends it early, with a report of what there was.
pub async fn run(
    settings: &LoadSettings,
    stop: &CancellationToken,
    mut progress: impl FnMut(Progress),
) -> Report {
    let hub = match Hub::start(settings.threads) {
        Ok(hub) => hub,
        Err(error) => {
            return Report {
                scenario: settings.scenario.name(),
                occupants: settings.everybody(),
                first_failure: Some(format!("media threads cannot start: {error}")),
                ..Report::default()
            };
        }
    };
    let mut run = Run::new(settings, hub);
    run.sample(|samples, metrics| samples.before = metrics)
        .await;
    let began = (Instant::now(), generator::cpu());
    run.join(stop, &mut progress).await;
    run.join_all = began.0.elapsed();
    run.settle(stop, &mut progress).await;
    let steady = (Instant::now(), generator::cpu());
    run.sample(|samples, metrics| samples.steady = metrics)
        .await;
    let delivered_before = run.delivered();
    run.joining_delays = run.delays();
    run.stay(stop, &mut progress).await;
    run.last_moves().await;
    // Read before anybody leaves: a sender that has stopped is not lost.
    run.sample(|samples, metrics| samples.after = metrics).await;
    let stay = steady.0.elapsed().as_secs_f64();
    let cpu = generator::cpu();
    let delivered = run.delivered() - delivered_before;
    let mut report = run.report(stay);
    report.generator = generator::report(
        (cpu - steady.1, steady.1 - began.1),
        stay,
        run.hub.counts(),
        run.sum.left_out,
    );
    report.server = run
        .samples
        .after
        .is_ours()
        .then(|| run.samples.report(delivered, stay, report.joined));
    report.promises = promise::hold(settings, &report);
    report.kept = report.promises.iter().all(|p| p.kept);
    progress(Progress::Leaving);
    let clients = run.seats.into_iter().filter_map(|seat| seat.occupant);
    join_all(clients.map(Client::leave)).await;
    report
}

/// A place in a room, and who sits there.
struct Seat {
    room: usize,
    place: usize,
    occupant: Option<Client>,
    since: Instant,
    /// Which of the heights it asks for.
    height: usize,
    change_at: Option<Instant>,
    keyframes_at: Option<Instant>,
}

struct Run<'a> {
    settings: &'a LoadSettings,
    hub: Hub,
    seats: Vec<Seat>,
    /// How many times each room was made.
    rounds: Vec<usize>,
    sum: Sum,
    /// Packets and bytes received by those who left.
    gone: (u64, u64),
    joins: usize,
    failed: usize,
    first_failure: Option<String>,
    join_all: Duration,
    stay_began: Instant,
    /// Delays of sound and picture until everybody was in.
    joining_delays: (Delays, Delays),
    moves: JoinSet<Moved>,
    back: Vec<Duration>,
    sharing: Option<Sharing>,
    samples: Samples,
    asking: bool,
    cpu: Option<(Instant, f64)>,
    cores: Option<f64>,
    next_break: usize,
    break_at: Option<Instant>,
    room_ends: Vec<Option<Instant>>,
}

impl<'a> Run<'a> {
    fn new(settings: &'a LoadSettings, hub: Hub) -> Self {
        let now = Instant::now();
        let seats = (0..settings.everybody()).map(|number| {
            let place = number % settings.occupants;
            Seat {
                room: number / settings.occupants,
                place,
                occupant: None,
                since: now,
                height: place,
                change_at: None,
                keyframes_at: None,
            }
        });
        Self {
            seats: seats.collect(),
            rounds: vec![0; settings.rooms],
            sum: Sum::default(),
            gone: (0, 0),
            joins: 0,
            failed: 0,
            first_failure: None,
            join_all: Duration::ZERO,
            stay_began: now,
            joining_delays: (Delays::default(), Delays::default()),
            moves: JoinSet::new(),
            back: Vec::new(),
            sharing: None,
            samples: Samples::default(),
            asking: false,
            cpu: None,
            cores: None,
            next_break: 0,
            break_at: None,
            room_ends: vec![None; settings.rooms],
            settings,
            hub,
        }
    }

    /// Who is to sit on a seat.
    fn client_settings(&self, seat: usize) -> ClientSettings {
        let settings = self.settings;
        let Seat { room, place, .. } = self.seats[seat];
        let mut name = settings.room.clone();
        if settings.rooms > 1 {
            name = format!("{name}-{room}");
        }
        if self.rounds[room] > 0 {
            name = format!("{name}-again-{}", self.rounds[room]);
        }
        let mut occupant = ClientSettings::new(settings.url.clone(), name, format!("bot-{place}"));
        occupant.domain.clone_from(&settings.domain);
        occupant.accept_any_certificate = settings.accept_any_certificate;
        occupant.join_timeout = settings.join_timeout;
        occupant.media = settings.media;
        occupant.send_audio = place < settings.speakers;
        occupant.audio_bitrate = settings.audio_bitrate;
        occupant.send_video = place < settings.cameras;
        occupant.video = settings.video.clone();
        occupant.receive_height = self.height(seat);
        occupant.downlink = settings.downlink.clone();
        occupant.uplink = settings.uplink.clone();
        occupant.hub = Some(self.hub.clone());
        occupant
    }

    fn height(&self, seat: usize) -> i32 {
        let heights = &self.settings.heights;
        let index = self.seats[seat].height % heights.len().max(1);
        heights.get(index).copied().unwrap_or(0)
    }

    fn failed(&mut self, error: &Error) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(|| error.to_string());
    }

    fn sit(&mut self, seat: usize, client: Client) {
        let now = Instant::now();
        let place = self.seats[seat].place;
        let settings = self.settings;
        // Spread, so that not all do the same in the same moment.
        let part = (place as f64 + 0.5) / settings.occupants as f64;
        let spread = |every: Option<Duration>| every.map(|every| now + every.mul_f64(part));
        let seat = &mut self.seats[seat];
        seat.occupant = Some(client);
        seat.since = now;
        seat.change_at = spread(settings.change_every);
        seat.keyframes_at = spread(settings.keyframes_every);
    }

    async fn join(&mut self, stop: &CancellationToken, progress: &mut impl FnMut(Progress)) {
        let gap = Duration::from_secs_f64(1.0 / self.settings.joins_per_second.max(0.1));
        let started = Instant::now();
        let all = self.seats.len();
        let mut joining: FuturesUnordered<_> = (0..all)
            .map(|seat| {
                let occupant = self.client_settings(seat);
                let at = started + gap * u32::try_from(seat).unwrap_or(u32::MAX);
                async move {
                    tokio::time::sleep_until(at).await;
                    (seat, Box::pin(Client::join(occupant)).await)
                }
            })
            .collect();
        loop {
            let joined = tokio::select! {
                () = stop.cancelled() => break,
                joined = joining.next() => joined,
            };
            match joined {
                Some((seat, Ok(client))) => {
                    self.joins += 1;
                    self.sit(seat, client);
                }
                Some((_, Err(error))) => {
                    self.joins += 1;
                    self.failed(&error);
                }
                None => break,
            }
            progress(Progress::Joining {
                joined: self.joins - self.failed,
                failed: self.failed,
                of: all,
            });
        }
    }

    /// Waits until media is where it should be.
    async fn settle(&self, stop: &CancellationToken, progress: &mut impl FnMut(Progress)) {
        let until = Instant::now() + SETTLE;
        let hears = self.settings.speakers > 0;
        while self.settings.media && self.settings.occupants > 1 && Instant::now() < until {
            let waiting = self.seats.iter().any(|seat| {
                let alone = self.settings.speakers == 1 && seat.place == 0;
                seat.occupant.as_ref().is_some_and(|client| {
                    let brief = client.brief();
                    !brief.connected || (hears && !alone && !brief.heard)
                })
            });
            if !waiting {
                break;
            }
            progress(Progress::Joining {
                joined: self.joins - self.failed,
                failed: self.failed,
                of: self.seats.len(),
            });
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(TICK) => {}
            }
        }
        for room in 0..self.settings.rooms {
            self.stage(room).await;
        }
    }

    async fn stay(&mut self, stop: &CancellationToken, progress: &mut impl FnMut(Progress)) {
        let began = Instant::now();
        let until = began + self.settings.stay;
        self.stay_began = began;
        self.plan(began);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut shown = (began, self.delivered(), self.delivered_bytes());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(moved) = self.moves.join_next() => {
                    if let Ok(moved) = moved {
                        self.moved(moved).await;
                    }
                    continue;
                }
                _ = tick.tick() => {}
            }
            let now = Instant::now();
            if now >= until {
                return;
            }
            self.due(now, began).await;
            let since = now.duration_since(shown.0).as_secs_f64();
            if since >= 1.0 {
                self.ask_server();
                let (packets, bytes) = (self.delivered(), self.delivered_bytes());
                let live = self.live(
                    (packets - shown.1) as f64 / since,
                    (bytes - shown.2) as f64 * 8.0 / since,
                );
                shown = (now, packets, bytes);
                let left = until.saturating_duration_since(now);
                progress(Progress::Staying { left, live });
            }
        }
    }

    /// Whoever is on the way arrives.
    async fn last_moves(&mut self) {
        let until = Instant::now() + LAST_MOVES;
        while let Ok(Some(moved)) = tokio::time::timeout_at(until, self.moves.join_next()).await {
            if let Ok(moved) = moved {
                self.moved(moved).await;
            }
        }
        self.moves.shutdown().await;
        // Somebody who came a moment ago is still connecting.
        let until = Instant::now() + SETTLE;
        let mut tick = tokio::time::interval(TICK);
        while self.settings.media && self.settings.occupants > 1 && Instant::now() < until {
            if self.clients().all(|client| client.brief().connected) {
                return;
            }
            tick.tick().await;
        }
    }

    fn live(&self, packets: f64, bits: f64) -> Live {
        let mut live = Live {
            packets,
            bits,
            server_cores: self.cores,
            ..Live::default()
        };
        for brief in self.clients().map(Client::brief) {
            live.occupants += 1;
            live.audio_lost += brief.audio_lost;
            live.video_lost += brief.video_lost;
            live.freezes += brief.freezes;
        }
        let seconds = self.hub.seconds();
        // The last is not over yet.
        if let Some(second) = seconds.iter().rev().nth(1) {
            live.audio_p99 = second.audio.p99;
            live.video_p99 = second.video.p99;
        }
        live
    }

    fn clients(&self) -> impl Iterator<Item = &Client> {
        self.seats.iter().filter_map(|seat| seat.occupant.as_ref())
    }

    /// Takes somebody out of his seat.
    fn stand(&mut self, seat: usize) -> Option<Client> {
        let client = self.seats[seat].occupant.take()?;
        let brief = client.brief();
        self.gone.0 += brief.packets;
        self.gone.1 += brief.bytes;
        Some(client)
    }

    /// Packets received by everybody so far, those who left included.
    fn delivered(&self) -> u64 {
        self.gone.0 + self.clients().map(|c| c.brief().packets).sum::<u64>()
    }

    fn delivered_bytes(&self) -> u64 {
        self.gone.1 + self.clients().map(|c| c.brief().bytes).sum::<u64>()
    }

    /// Delays of all sound and of all pictures so far.
    fn delays(&self) -> (Delays, Delays) {
        let mut audio = self.sum.audio_delay.clone();
        let mut video = self.sum.video_delay.clone();
        for client in self.clients() {
            let stats = client.stats();
            audio.add(&stats.audio_delay);
            video.add(&stats.video_delay);
        }
        (audio, video)
    }

    async fn sample(&mut self, put: impl FnOnce(&mut Samples, Metrics)) {
        let Some(url) = &self.settings.metrics else {
            return;
        };
        match server::fetch(url).await {
            Ok(metrics) => put(&mut self.samples, metrics),
            Err(error) => {
                self.first_failure.get_or_insert(error);
            }
        }
    }

    fn ask_server(&mut self) {
        if let Some(url) = self.settings.metrics.clone()
            && !self.asking
        {
            self.asking = true;
            self.moves.spawn(async move {
                let metrics = server::fetch(&url).await.ok();
                Moved::Server(Box::new(metrics))
            });
        }
    }

    fn server_said(&mut self, metrics: Option<Metrics>) {
        self.asking = false;
        let now = Instant::now();
        let Some(metrics) = metrics else { return };
        if let Some(cpu) = metrics.cpu() {
            if let Some((at, before)) = self.cpu {
                let since = now.duration_since(at).as_secs_f64();
                self.cores = (since > 0.0).then(|| (cpu - before) / since);
            }
            self.cpu = Some((now, cpu));
        }
        let after = now.saturating_duration_since(self.stay_began);
        self.samples
            .note(after, &metrics, self.cores.unwrap_or(0.0));
    }

    /// What somebody in this seat should have heard and seen by now.
    fn expected(&self, seat: usize) -> Expected {
        let Seat { place, since, .. } = self.seats[seat];
        let settings = self.settings;
        let others = |of: usize| (of - usize::from(place < of)) as u64;
        let watches = self.height(seat) != 0 || settings.stage_height.is_some();
        let there = since.elapsed();
        Expected {
            there,
            speakers: match there >= LONG_ENOUGH.min(settings.stay) && settings.media {
                true => others(settings.speakers.min(settings.occupants)),
                false => 0,
            },
            cameras: match there >= LONG_ENOUGH.min(settings.stay) && settings.media && watches {
                true => others(settings.cameras.min(settings.occupants)),
                false => 0,
            },
        }
    }

    fn absorb(&mut self, stats: &ClientStats, expected: Expected, endpoint: &str) {
        self.sum.absorb(stats, expected);
        if let Some(sharing) = &mut self.sharing {
            sharing.look(endpoint, stats);
        }
    }

    fn report(&mut self, stay: f64) -> Report {
        let mut present = Sum::default();
        let (mut joined, mut channels_open) = (0, 0);
        for seat in 0..self.seats.len() {
            let expected = self.expected(seat);
            let Some(client) = &self.seats[seat].occupant else {
                continue;
            };
            let (stats, endpoint) = (client.stats(), client.endpoint().to_owned());
            joined += 1;
            channels_open += usize::from(stats.channel_open);
            present.absorb(&stats, expected);
            self.absorb(&stats, expected, &endpoint);
        }
        let (sum, settings) = (&self.sum, self.settings);
        let share = self
            .sharing
            .as_ref()
            .map(|sharing| sharing.report(&sum.audio_delay));
        Report {
            scenario: settings.scenario.name(),
            stay_seconds: stay,
            rooms: settings.rooms,
            occupants: settings.everybody(),
            joined,
            joins: self.joins,
            failed_joins: self.failed,
            cut_off: sum.cut_off,
            connected: present.connected_after.len(),
            channels_open,
            first_failure: self.first_failure.clone(),
            join_p50_seconds: report::percentile(&sum.joined_after, 0.5),
            join_p99_seconds: report::percentile(&sum.joined_after, 0.99),
            join_all_seconds: self.join_all.as_secs_f64(),
            media_p50_seconds: report::percentile(&sum.connected_after, 0.5),
            media_p99_seconds: report::percentile(&sum.connected_after, 0.99),
            stanzas: sum.stanzas,
            stanza_bytes: sum.stanza_bytes,
            audio: sum.audio(present.fewest_speakers(), &self.joining_delays.0),
            video: sum.video(present.fewest_cameras(), &self.joining_delays.1),
            pictures: report::PictureReport::of(&sum.pictures, sum.watched),
            unheard: sum.unheard,
            unseen: sum.unseen,
            nacked: sum.nacked,
            probes: sum.probes,
            share,
            back: (!self.back.is_empty()).then(|| report::TimesReport::of(&self.back)),
            timeline: report::moments(&self.hub.seconds()),
            ..Report::default()
        }
    }
}

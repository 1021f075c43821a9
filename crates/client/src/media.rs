//! The media half of an occupant: one transport, generated packets out, checked packets in. It
//! owns no socket: a hub carries its datagrams.

mod camera;
mod flood;
mod numbering;
mod playout;
mod receive;
mod send;

pub use flood::{Excess, Flood, Whose};
pub(crate) use send::{Sending, Video};

use crate::packets::{self, Sender, Source};
use crate::stats::Recorder;
use althing_model::{MediaKind, Ssrc};
use althing_rtp::rtcp::{Compound, Rtcp};
use althing_transport::{
    Event, Output, Path, Received, RemoteParameters, SRTP_OVERHEAD, Settings, Transport,
};
use flood::{Flooding, Packet};
use receive::Receiver;
use send::Generator;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

/// Which source an SSRC carries, as signalling or the bridge channel said.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Option<Ssrc>,
    pub(crate) owner: Sender,
    pub(crate) source: Option<Source>,
    pub(crate) name: String,
    pub(crate) kind: MediaKind,
    /// The bridge's own stream: nothing to be heard or seen.
    pub(crate) is_bridge: bool,
}

impl Mapping {
    /// A source called `name`, for instance `ab12cd34-v0`.
    pub(crate) fn new(
        name: &str,
        owner: &str,
        kind: MediaKind,
        ssrc: Ssrc,
        rtx: Option<Ssrc>,
    ) -> Self {
        let number = name.rsplit_once("-v").and_then(|(_, n)| n.parse().ok());
        Self {
            ssrc,
            rtx,
            owner: packets::sender(owner),
            source: match kind {
                MediaKind::Audio => Some(Source::Audio),
                MediaKind::Video => number.map(Source::Video),
            },
            name: name.to_owned(),
            kind,
            is_bridge: owner == "jvb",
        }
    }
}

/// What signalling and the bridge channel tell the media of an occupant.
#[derive(Debug)]
pub(crate) enum Command {
    /// New or changed mappings.
    Map(Vec<Mapping>),
    /// The video sources that are sent to us now.
    Forwarded(Vec<String>),
    /// How much of one of our pictures anybody wants: its number, and pixels (−1 for all, 0 for
    /// nothing).
    Want(u8, i32),
    /// One more picture of ours.
    Show(Video),
    /// Ask for keyframes of everything we see.
    AskKeyframes,
    /// What no honest client does.
    Flood(Flood),
}

/// Microseconds since 1970: the clock that all occupants of a machine share, and that the kernel
/// stamps arrivals with.
pub(crate) fn unix_micros() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

/// Where datagrams go.
pub(crate) trait Wire {
    /// A datagram that cannot be sent is lost, as on any network.
    fn send(&mut self, path: Path, datagram: &[u8]);
}

/// What a media half is made of.
#[derive(Debug)]
pub(crate) struct MediaSettings {
    pub(crate) transport: Settings,
    pub(crate) remote: RemoteParameters,
    pub(crate) sending: Sending,
    pub(crate) recorder: Arc<Mutex<Recorder>>,
    pub(crate) started: Instant,
}

/// The media half of an occupant.
#[derive(Debug)]
pub(crate) struct Media {
    transport: Transport,
    generator: Generator,
    receiver: Receiver,
    floods: Vec<Flooding>,
    own: Ssrc,
    recorder: Arc<Mutex<Recorder>>,
    started: Instant,
}

fn lock(recorder: &Mutex<Recorder>) -> MutexGuard<'_, Recorder> {
    recorder.lock().expect("no holder of the recorder panics")
}

impl Media {
    /// Begins to connect from the addresses `locals`.
    pub(crate) fn new(settings: MediaSettings, locals: &[SocketAddr], now: Instant) -> Self {
        let mut transport = Transport::new(settings.transport, now);
        for local in locals {
            transport.add_local(*local);
        }
        if let Err(error) = transport.set_remote(now, settings.remote) {
            tracing::warn!(%error, "the offered transport cannot be used");
        }
        let own = settings.sending.audio.map_or(Ssrc(1), |(ssrc, _)| ssrc);
        Self {
            transport,
            generator: Generator::new(settings.sending, now),
            receiver: Receiver::new(own),
            floods: Vec::new(),
            own,
            recorder: settings.recorder,
            started: settings.started,
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let floods = self.floods.iter().map(Flooding::next_at).min();
        let media = self
            .transport
            .is_connected()
            .then(|| [self.generator.next_at(), self.receiver.next_at(), floods])
            .into_iter()
            .flatten()
            .flatten();
        media.chain(self.transport.next_timeout()).min()
    }

    pub(crate) fn handle_command(&mut self, now: Instant, command: Command, wire: &mut impl Wire) {
        match command {
            Command::Map(mappings) => {
                self.receiver.map(mappings, now, &mut lock(&self.recorder));
            }
            Command::Forwarded(names) => self.receiver.forwarded(&names),
            Command::Want(number, height) => self.generator.want(number, height, now),
            Command::Show(video) => self.generator.add(video, now),
            Command::Flood(flood) if self.floods.len() < flood::MOST => {
                self.floods.push(Flooding::new(flood, now));
            }
            Command::Flood(_) => tracing::warn!("so many floods at once are not possible"),
            Command::AskKeyframes => {
                let mut packet = Vec::new();
                let mut recorder = lock(&self.recorder);
                self.receiver.ask_keyframes(&mut recorder, &mut packet);
                drop(recorder);
                self.send_rtcp(&mut packet, wire);
            }
        }
    }

    /// Takes in a datagram; for media of ours, how long it was on its way, in microseconds.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        arrived_micros: u64,
        path: Path,
        datagram: &mut [u8],
        wire: &mut impl Wire,
    ) -> Option<(MediaKind, u64)> {
        match self.transport.handle_datagram(now, path, datagram) {
            Received::Rtp(packet) => {
                let mut recorder = lock(&self.recorder);
                let taken = self
                    .receiver
                    .rtp(packet, now, arrived_micros, &mut recorder);
                drop(recorder);
                self.drain(now, wire);
                return taken;
            }
            Received::Rtcp(packet) => {
                let wanted = rtcp(&mut self.receiver, &mut self.generator, now, packet);
                self.resend(&wanted, wire);
            }
            Received::Handled => {}
            Received::Dropped(reason) => {
                tracing::trace!(reason = reason.as_str(), "datagram dropped");
            }
        }
        self.drain(now, wire);
        None
    }

    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        buffer: &mut Vec<u8>,
        wire: &mut impl Wire,
    ) {
        if self.transport.next_timeout().is_some_and(|at| at <= now) {
            self.transport.handle_timeout(now);
        }
        self.drain(now, wire);
        if !self.transport.is_connected() {
            return;
        }
        let (mut audio, mut video) = (0, 0);
        while let Some((kind, header)) = self.generator.next_packet(now, buffer) {
            if self.send_rtp(buffer, header, wire) {
                match kind {
                    MediaKind::Audio => audio += 1,
                    MediaKind::Video => video += 1,
                }
            }
        }
        self.flood(now, buffer, wire);
        buffer.clear();
        if self.generator.report(now, buffer) && !buffer.is_empty() {
            self.send_rtcp(buffer, wire);
        }
        let feedback = self.receiver.next_at().is_some_and(|at| at <= now);
        if audio + video == 0 && !feedback {
            return;
        }
        let mut recorder = lock(&self.recorder);
        recorder.audio.sent += audio;
        recorder.video.sent += video;
        if feedback {
            buffer.clear();
            self.receiver.feedback(now, &mut recorder, buffer);
            (recorder.audio.lost, recorder.video.lost) = self.receiver.lost();
            recorder.keyframes_requested = self.generator.keyframes_asked;
            recorder.left_out = self.generator.left_out;
            drop(recorder);
            self.send_rtcp(buffer, wire);
        }
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, now: Instant, wire: &mut impl Wire) {
        self.transport.close(now);
        self.drain(now, wire);
    }

    /// Puts the counts of what is lost where they are read.
    pub(crate) fn settle(&self) {
        let mut recorder = lock(&self.recorder);
        (recorder.audio.lost, recorder.video.lost) = self.receiver.lost();
    }

    fn resend(&mut self, wanted: &[(Ssrc, u16)], wire: &mut impl Wire) {
        let mut buffer = Vec::new();
        for (ssrc, sequence) in wanted {
            let header = self.generator.retransmission(*ssrc, *sequence, &mut buffer);
            if let Some(header) = header {
                self.send_rtp(&mut buffer, header, wire);
            }
        }
    }

    fn flood(&mut self, now: Instant, buffer: &mut Vec<u8>, wire: &mut impl Wire) {
        let mut floods = std::mem::take(&mut self.floods);
        for flood in &mut floods {
            for _ in 0..flood.due(now) {
                match flood.write(self.own, buffer) {
                    Packet::Rtp(header) => {
                        self.send_rtp(buffer, header, wire);
                    }
                    Packet::Rtcp => self.send_rtcp(buffer, wire),
                    Packet::Plain => {
                        if let Some(path) = self.transport.path() {
                            wire.send(path, buffer);
                        }
                    }
                }
            }
        }
        floods.retain(|flood| !flood.is_over());
        self.floods = floods;
    }

    fn send_rtp(&mut self, packet: &mut Vec<u8>, header: usize, wire: &mut impl Wire) -> bool {
        let plain = packet.len();
        packet.resize(plain + SRTP_OVERHEAD, 0);
        let Some(path) = self.transport.path() else {
            return false;
        };
        match self.transport.seal_rtp(packet, header, plain) {
            Ok(length) => {
                wire.send(path, &packet[..length]);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "packet not sealed");
                false
            }
        }
    }

    fn send_rtcp(&mut self, packet: &mut Vec<u8>, wire: &mut impl Wire) {
        if packet.is_empty() {
            return;
        }
        let plain = packet.len();
        packet.resize(plain + SRTP_OVERHEAD, 0);
        if let (Ok(length), Some(path)) = (
            self.transport.seal_rtcp(packet, plain),
            self.transport.path(),
        ) {
            wire.send(path, &packet[..length]);
        }
    }

    fn drain(&mut self, now: Instant, wire: &mut impl Wire) {
        while let Some(output) = self.transport.poll() {
            match output {
                Output::Transmit { path, payload } => wire.send(path, &payload),
                Output::Event(Event::Connected { profile }) => {
                    tracing::debug!(?profile, "media connected");
                    self.generator.start(now);
                    let after = self.started.elapsed();
                    lock(&self.recorder).connected_after.get_or_insert(after);
                }
                Output::Event(Event::Failed(reason)) => {
                    tracing::warn!(reason = reason.as_str(), "media failed");
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// Takes in RTCP; what is asked for again.
fn rtcp(
    receiver: &mut Receiver,
    generator: &mut Generator,
    now: Instant,
    packet: &[u8],
) -> Vec<(Ssrc, u16)> {
    let mut wanted = Vec::new();
    for item in Compound::new(packet).flatten() {
        match item {
            Rtcp::SenderReport(report) => receiver.sender_report(&report.info, now),
            Rtcp::Pli { media, .. } => generator.keyframe_requested(media),
            Rtcp::Fir(fir) => {
                for (ssrc, _) in fir.entries() {
                    generator.keyframe_requested(ssrc);
                }
            }
            Rtcp::Nack(nack) => wanted.extend(nack.sequences().map(|s| (nack.media, s))),
            _ => {}
        }
    }
    wanted
}

/// How long a media half is left alone at most.
pub(crate) const IDLE: Duration = Duration::from_secs(1);

//! The media half of an occupant: one UDP socket, one transport, generated packets out, checked
//! packets in.

mod receive;
mod send;
mod socket;

use crate::packets::{self, Sender};
use crate::stats::Recorder;
use althing_model::{MediaKind, Ssrc};
use althing_transport::{Event, Output, Received, RemoteParameters, Settings, Transport};
use send::Generator;
use socket::Socket;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What an occupant sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending {
    pub(crate) audio: Option<Ssrc>,
    pub(crate) video: Option<(Ssrc, Ssrc)>,
    pub(crate) sender: Sender,
}

/// Which source an SSRC carries, as signalling or the bridge channel said.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Option<Ssrc>,
    pub(crate) owner: Sender,
    pub(crate) kind: MediaKind,
}

/// What signalling and the bridge channel tell the media task. The channel holds 256; signalling
/// waits when it is full, since a lost mapping would make good media look wrong.
#[derive(Debug)]
pub(crate) enum Command {
    /// The offer's transport.
    Remote(RemoteParameters),
    /// New or changed mappings.
    Map(Vec<Mapping>),
    /// Somebody wants no video of ours (false), or some.
    WantVideo(bool),
}

/// Microseconds since 1970: the clock that all occupants of a machine share.
pub(crate) fn unix_micros() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

/// Everything the media task owns.
pub(crate) struct Media {
    transport: Transport,
    socket: Socket,
    generator: Generator,
    receiver: receive::Receiver,
    recorder: Arc<Mutex<Recorder>>,
    started: Instant,
    sealed: Vec<u8>,
}

impl Media {
    /// Binds a socket from which `candidates` can be reached.
    pub(crate) fn bind(
        settings: Settings,
        candidates: &[SocketAddr],
        sending: Sending,
        recorder: Arc<Mutex<Recorder>>,
        started: Instant,
    ) -> std::io::Result<Self> {
        let socket = Socket::bind(candidates)?;
        let mut transport = Transport::new(settings, Instant::now());
        for local in socket.locals() {
            transport.add_local(local);
        }
        Ok(Self {
            transport,
            socket,
            generator: Generator::new(sending),
            receiver: receive::Receiver::default(),
            recorder,
            started,
            sealed: Vec::with_capacity(2048),
        })
    }

    /// Runs until cancelled or until signalling is gone.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) {
        let mut buffer = vec![0; 2048];
        loop {
            self.drain();
            let wake = self.next_wake();
            tokio::select! {
                () = stop.cancelled() => break,
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                received = self.socket.receive(&mut buffer) => match received {
                    Ok((length, path)) => {
                        self.datagram(path, &mut buffer[..length]);
                        // Whatever else has arrived is taken in the same turn.
                        for _ in 0..63 {
                            let Some((length, path)) = self.socket.try_receive(&mut buffer) else { break };
                            self.datagram(path, &mut buffer[..length]);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "media socket"),
                },
                () = tokio::time::sleep_until(wake.into()) => {
                    let now = Instant::now();
                    if self.transport.next_timeout().is_some_and(|at| at <= now) {
                        self.transport.handle_timeout(now);
                    }
                    self.send_due(now);
                }
            }
        }
        self.transport.close(Instant::now());
        self.drain();
    }

    fn next_wake(&self) -> Instant {
        let idle = Instant::now() + Duration::from_secs(1);
        let transport = self.transport.next_timeout().unwrap_or(idle);
        let send = if self.transport.is_connected() {
            self.generator.next_at()
        } else {
            None
        };
        transport.min(send.unwrap_or(idle)).min(idle)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Remote(remote) => {
                if let Err(error) = self.transport.set_remote(Instant::now(), remote) {
                    tracing::warn!(%error, "the offered transport cannot be used");
                }
            }
            Command::Map(mappings) => self.receiver.map(mappings),
            Command::WantVideo(wanted) => self.generator.want_video(wanted),
        }
    }

    fn datagram(&mut self, path: althing_transport::Path, data: &mut [u8]) {
        let now = Instant::now();
        match self.transport.handle_datagram(now, path, data) {
            Received::Rtp(packet) => {
                let mut recorder = self
                    .recorder
                    .lock()
                    .expect("no holder of the recorder panics");
                self.receiver.rtp(packet, unix_micros(), &mut recorder);
            }
            Received::Rtcp(packet) => {
                let wanted = self.generator.rtcp(packet);
                self.resend(&wanted);
            }
            Received::Handled => {}
            Received::Dropped(reason) => {
                tracing::trace!(reason = reason.as_str(), "datagram dropped")
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.transport.poll() {
            match output {
                Output::Transmit { path, payload } => self.socket.send(&payload, path.remote),
                Output::Event(Event::Connected { profile }) => {
                    tracing::debug!(?profile, "media connected");
                    self.generator.start(Instant::now());
                    let mut recorder = self
                        .recorder
                        .lock()
                        .expect("no holder of the recorder panics");
                    recorder
                        .connected_after
                        .get_or_insert_with(|| self.started.elapsed());
                }
                Output::Event(Event::Failed(reason)) => {
                    tracing::warn!(reason = reason.as_str(), "media failed");
                }
                Output::Event(_) => {}
            }
        }
    }

    fn send_due(&mut self, now: Instant) {
        while let Some((kind, packet, header)) = self.generator.next_packet(now) {
            self.sealed.clear();
            self.sealed.extend_from_slice(packet);
            if Self::seal_and_send(&mut self.transport, &self.socket, &mut self.sealed, header) {
                self.recorder
                    .lock()
                    .expect("no holder of the recorder panics")
                    .kind(kind)
                    .sent += 1;
            }
        }
        if let Some(report) = self.generator.report(now) {
            self.sealed.clear();
            self.sealed.extend_from_slice(report);
            let plain = self.sealed.len();
            self.sealed
                .resize(plain + althing_transport::SRTP_OVERHEAD, 0);
            if let (Ok(length), Some(path)) = (
                self.transport.seal_rtcp(&mut self.sealed, plain),
                self.transport.path(),
            ) {
                self.socket.send(&self.sealed[..length], path.remote);
            }
        }
    }

    fn resend(&mut self, wanted: &[u16]) {
        for sequence in wanted {
            let Some(header) = self.generator.retransmission(*sequence, &mut self.sealed) else {
                continue;
            };
            Self::seal_and_send(&mut self.transport, &self.socket, &mut self.sealed, header);
        }
    }

    fn seal_and_send(
        transport: &mut Transport,
        socket: &Socket,
        packet: &mut Vec<u8>,
        header: usize,
    ) -> bool {
        let plain = packet.len();
        packet.resize(plain + althing_transport::SRTP_OVERHEAD, 0);
        let Some(path) = transport.path() else {
            return false;
        };
        match transport.seal_rtp(packet, header, plain) {
            Ok(length) => {
                socket.send(&packet[..length], path.remote);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "packet not sealed");
                false
            }
        }
    }
}

/// The sender bytes of a source's owner.
pub(crate) fn owner_of(endpoint: &str) -> Sender {
    packets::sender(endpoint)
}

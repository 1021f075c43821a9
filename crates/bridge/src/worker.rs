//! Media threads. Each is the sole owner of its conferences: nothing in here is locked or shared
//! per packet.
//!
//! ```text
//!   own sockets ─┐                                        ┌─► own sockets
//!   other workers┼─► demux ─► transport ─► forwarding ─► seal, queue
//!   commands ────┘   address    opens        decides      └─► bridge channels
//! ```
//!
//! The kernel spreads arrivals over the workers by address pair, conferences are spread by their
//! id; a datagram that lands with the wrong worker goes through a bounded ring to the right one,
//! checks that nobody has vouched for through a ring of their own. A conference too large for one
//! worker has parts on several; what crosses between those goes by the same rings (`part`).
//!
//! **And when full?** A full ring drops the datagram, as a full socket buffer would, and counts it;
//! what parts must not lose waits in an outbox. A full command queue refuses the command, and
//! whoever gave it hears so; what the directory says is never refused, and bounded by what it has
//! taken in from others.

mod address;
mod anew;
pub(crate) mod bench;
mod census;
mod control;
mod debug;
mod endpoint;
pub(crate) mod fuzzing;
mod handover;
mod outbox;
mod part;
mod run;
mod sink;
mod state;
mod survey;
mod timers;

pub(crate) use run::{WorkerParts, start};
pub(crate) use state::{Shared, State};
pub(crate) use survey::{SIZE_STEPS, Survey};

use crate::channel::Ticket;
use crate::counters::SharedCounters;
use crate::directory::PartCommand;
use crate::stress::Measures;
use crate::watch::Pulse;
use althing_colibri::ClientMessage;
use althing_control::{BridgeReply, BridgeRequest};
use althing_forwarding::RelayMessage;
use althing_model::ConferenceId;
use althing_transport::Path;
use crossbeam_channel::{Receiver, Sender};
use serde_json::Value;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Commands waiting for a worker. A join needs a handful; a thousand waiting mean that the worker
/// is stuck, and refusing is kinder than queueing.
pub(crate) const MAX_COMMANDS: usize = 1024;

/// Reports of all workers to the directory. **And when full?** A worker keeps the rest, and tries
/// again.
pub(crate) const MAX_GONE: usize = 1024;

/// Datagrams waiting for their owner: 20 ms of 200,000 a second.
const MAX_HANDOVERS: usize = 4096;

/// Checks waiting likewise that only claim to be their owner's. Those of real clients that join are
/// a few hundred a second.
const MAX_CHECKS: usize = 256;

/// Which endpoint of a worker; the generation tells it from later ones in the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndpointRef {
    pub(crate) slot: usize,
    pub(crate) generation: u64,
}

/// What the asynchronous half asks of a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// From the bus.
    Control {
        request: Box<BridgeRequest>,
        /// Of the endpoint that it is about, if that is in the directory.
        number: u64,
        reply: oneshot::Sender<BridgeReply>,
    },
    /// From the directory.
    Part {
        conference: ConferenceId,
        command: Box<PartCommand>,
    },
    /// From a bridge-channel socket, known by its number.
    Channel {
        endpoint: EndpointRef,
        socket: u64,
        event: ChannelEvent,
    },
    /// For the operator: the list of conferences, or one of them in full.
    Debug {
        conference: Option<ConferenceId>,
        reply: oneshot::Sender<Value>,
    },
    /// Leave off what these say.
    Shed(Measures),
    /// Look at everybody, and leave what was seen with the [`WorkerHandle`].
    Survey,
    /// End everything.
    Stop,
    /// For tests: fail as a bug would, while working for this conference.
    #[cfg(test)]
    Panic(ConferenceId),
    /// For tests: fail as a bug would that is nobody's, or as a system would that gives up the
    /// thread.
    #[cfg(test)]
    Die(Death),
}

/// How a test ends a media thread.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Death {
    OfABug,
    ForGood,
}

/// What happened at a bridge channel.
#[derive(Debug)]
pub(crate) enum ChannelEvent {
    Opened,
    Message {
        message: Box<ClientMessage>,
        // Held until the message was handled.
        ticket: Ticket,
    },
    Closed,
}

/// What workers pass to each other.
#[derive(Debug)]
pub(crate) enum Handover {
    /// Arrived at `from`, belongs to the receiver of this.
    Datagram {
        from: usize,
        path: Path,
        data: Vec<u8>,
    },
    /// This path is proved to belong to `owner`.
    Route { path: Path, owner: usize },
    /// No longer.
    Unroute { path: Path, owner: usize },
    /// A packet of an endpoint of `from`, opened and otherwise as it came.
    Packet {
        from: usize,
        number: u64,
        kind: PacketKind,
        data: Vec<u8>,
    },
    /// About an endpoint, for the part of its conference here.
    Relay {
        from: usize,
        number: u64,
        message: RelayMessage,
    },
    /// The part of `from` has begun to listen.
    Listening {
        from: usize,
        conference: ConferenceId,
    },
}

/// What kind of packet goes to another part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PacketKind {
    Rtp,
    Rtcp,
}

/// One worker as its peers see it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    ring: Sender<Handover>,
    // For checks alone, which anybody can make.
    checks: Sender<Handover>,
    waker: Arc<mio::Waker>,
    // Buffers of datagrams it handed over, going home to be used again.
    spare: Sender<Vec<u8>>,
}

/// One worker as the asynchronous half sees it.
#[derive(Debug, Clone)]
pub(crate) struct WorkerHandle {
    commands: Sender<Command>,
    waker: Arc<mio::Waker>,
    pub(crate) counters: Arc<SharedCounters>,
    pub(crate) pulse: Arc<Pulse>,
    surveyed: Arc<Mutex<Survey>>,
    alive: Arc<AtomicBool>,
}

/// The other ends of a worker's queues.
#[derive(Debug)]
pub(crate) struct Inlets {
    commands: Receiver<Command>,
    ring: Receiver<Handover>,
    checks: Receiver<Handover>,
    spare: Receiver<Vec<u8>>,
}

impl WorkerHandle {
    /// Gives a command; gives it back when the worker is dead or its queue full.
    pub(crate) fn send(&self, command: Command) -> Result<(), Command> {
        if !self.has_room() {
            return Err(command);
        }
        self.commands.send(command).map_err(|refused| refused.0)?;
        self.wake();
        Ok(())
    }

    /// Gives a command that must not be refused, however full the queue: for what there is little
    /// of.
    pub(crate) fn tell(&self, command: Command) {
        // A dead worker needs no command.
        self.commands.send(command).ok();
        self.wake();
    }

    /// Whether it lives and takes further commands.
    pub(crate) fn has_room(&self) -> bool {
        self.is_alive() && self.commands.len() < MAX_COMMANDS
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// What the worker saw when it was last asked to look at everybody.
    pub(crate) fn survey(&self) -> Survey {
        let surveyed = self.surveyed.lock();
        surveyed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wake(&self) {
        // It fails only when the counter of the eventfd is at its end, so a wake-up is due anyway.
        self.waker.wake().ok();
    }
}

/// Which of `workers` owns a conference.
pub(crate) fn owner(conference: &ConferenceId, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    conference.hash(&mut hasher);
    usize::try_from(hasher.finish() % workers as u64).unwrap_or(0)
}

/// The first letter of the ICE user name fragments of a worker's endpoints: tells any worker where
/// a first check belongs.
pub(crate) fn ufrag_prefix(worker: usize) -> char {
    char::from(b'a' + u8::try_from(worker).unwrap_or(0))
}

/// The worker whose endpoint has this fragment, if it is one of `workers`.
pub(crate) fn ufrag_owner(ufrag: &str, workers: usize) -> Option<usize> {
    let first = ufrag.bytes().next()?;
    Some(usize::from(first.checked_sub(b'a')?)).filter(|worker| *worker < workers)
}

#[cfg(test)]
mod tests;

use crate::StartError;
use crate::counters::Count;
use crate::counters::SharedCounters;
use crate::directory::Gone;
use crate::entropy::OsEntropy;
use crate::net::{Arrivals, Inodes, ReceiveBuffers, Socket};
use crate::watch::Pulse;
use crate::worker::control::Next;
use crate::worker::{
    Command, Inlets, MAX_CHECKS, MAX_HANDOVERS, Peer, Shared, State, Survey, WorkerHandle,
};
use althing_model::ConferenceId;
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WAKE: Token = Token(usize::MAX);
/// Receive batches per socket, handed-over datagrams and checks, and commands handled before the
/// results are sent: bounds how long the first of them waits for its way out.
const BATCHES: usize = 4;
const HANDOVERS: usize = 256;
const CHECKS: usize = 32;
const COMMANDS: usize = 64;
/// A thread that bugs have stopped twice within so long pauses before it begins again.
const SHORT_LIFE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// A worker that is ready to start: its queues exist, so that others can be told of them.
#[derive(Debug)]
pub(crate) struct WorkerParts {
    pub(crate) handle: WorkerHandle,
    pub(crate) peer: Peer,
    inlets: Inlets,
    poll: Poll,
    sockets: Vec<Socket>,
}

impl WorkerParts {
    /// # Errors
    /// [`StartError::Worker`] when the system has no descriptors left.
    pub(crate) fn new(mut sockets: Vec<Socket>) -> Result<Self, StartError> {
        let poll = Poll::new().map_err(StartError::Worker)?;
        for (index, socket) in sockets.iter_mut().enumerate() {
            poll.registry()
                .register(&mut socket.io, Token(index), Interest::READABLE)
                .map_err(StartError::Worker)?;
        }
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(StartError::Worker)?);
        let (command_sender, commands) = crossbeam_channel::unbounded();
        let (ring_sender, ring) = crossbeam_channel::bounded(MAX_HANDOVERS);
        let (check_sender, checks) = crossbeam_channel::bounded(MAX_CHECKS);
        let (spare_sender, spare) = crossbeam_channel::bounded(MAX_HANDOVERS);
        Ok(Self {
            handle: WorkerHandle {
                commands: command_sender,
                waker: waker.clone(),
                counters: Arc::new(SharedCounters::new()),
                pulse: Arc::new(Pulse::new(Instant::now())),
                surveyed: Arc::default(),
                alive: Arc::new(AtomicBool::new(true)),
            },
            peer: Peer {
                ring: ring_sender,
                checks: check_sender,
                waker,
                spare: spare_sender,
            },
            inlets: Inlets {
                commands,
                ring,
                checks,
                spare,
            },
            poll,
            sockets,
        })
    }

    /// What it is told.
    #[cfg(test)]
    pub(crate) fn commands(&self) -> crossbeam_channel::Receiver<Command> {
        self.inlets.commands.clone()
    }

    /// How the kernel names its sockets.
    pub(crate) fn inodes(&self) -> Inodes {
        Inodes::of(&self.sockets)
    }
}

/// Starts a worker's thread.
///
/// # Errors
/// [`StartError::Worker`] when the system refuses a thread.
pub(crate) fn start(
    index: usize,
    parts: WorkerParts,
    shared: Arc<Shared>,
) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(format!("media-{index}"))
        .spawn(move || {
            // Dropped last, whatever happens: from then on commands are refused.
            let _alive = Alive(parts.handle.alive.clone());
            Thread::new(index, parts, shared).live();
        })
        .map_err(StartError::Worker)
}

struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
        if std::thread::panicking() {
            tracing::error!("a media thread ended while it was to begin anew: restart the program");
        }
    }
}

/// Why a thread no longer runs.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// It was told to.
    Stopped,
    /// The system does not let it wait for its sockets any more.
    Failed,
}

struct Thread {
    state: State,
    poll: Poll,
    #[expect(clippy::rc_buffer, reason = "the send queue's wire is a sized type")]
    sockets: Arc<Vec<Socket>>,
    // Edge-triggered: true until the socket said that it is empty.
    readable: Vec<bool>,
    buffers: ReceiveBuffers,
    // When what this turn is about has arrived.
    arrivals: Arrivals,
    inlets: Inlets,
    shared_counters: Arc<SharedCounters>,
    pulse: Arc<Pulse>,
    surveyed: Arc<Mutex<Survey>>,
    alive: Arc<AtomicBool>,
    // Whose part the command at hand is about.
    part: Option<ConferenceId>,
}

impl Thread {
    fn new(index: usize, parts: WorkerParts, shared: Arc<Shared>) -> Self {
        let sockets = Arc::new(parts.sockets);
        let spare = parts.inlets.spare.clone();
        Self {
            state: State::new(index, shared, sockets.clone(), Box::new(OsEntropy), spare),
            poll: parts.poll,
            readable: vec![true; sockets.len()],
            sockets,
            buffers: ReceiveBuffers::new(),
            arrivals: Arrivals::default(),
            inlets: parts.inlets,
            shared_counters: parts.handle.counters,
            pulse: parts.handle.pulse,
            surveyed: parts.handle.surveyed,
            alive: parts.handle.alive,
            part: None,
        }
    }

    /// Runs until it is told to stop. A bug that is not one conference's ends all that are here, and
    /// the thread begins anew.
    fn live(&mut self) {
        let mut died: Option<Instant> = None;
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.run())) {
                Ok(Ended::Stopped) => return,
                Ok(Ended::Failed) => return self.give_up(),
                Err(_) => self.begin_anew(),
            }
            let now = Instant::now();
            if died.is_some_and(|before| now.saturating_duration_since(before) < SHORT_LIFE) {
                // What stops it at once would have it do nothing else.
                std::thread::park_timeout(PAUSE);
            }
            died = Some(now);
        }
    }

    /// Everybody is told that they are lost; all that a bug may have left half done is thrown away.
    fn begin_anew(&mut self) {
        tracing::error!(
            worker = self.state.index,
            conferences = self.state.conferences.len(),
            endpoints = self.state.endpoints.len(),
            "a bug ended all conferences of a media thread, which begins anew"
        );
        self.state.report_all_lost();
        if let Some(conference) = self.part.take() {
            // The directory will say again what was being said.
            let worker = self.state.index;
            self.state.gone.push_back(Gone::Part { conference, worker });
        }
        self.replace_state();
        self.state.counters.one(Count::Panics);
        self.state.counters.one(Count::WorkerRestarts);
        self.readable.fill(true);
        self.buffers = ReceiveBuffers::new();
        self.arrivals = Arrivals::default();
        self.shared_counters.publish(&self.state.counters);
        self.pulse.end();
    }

    /// Throws away all that is there, but for what must not be forgotten.
    fn replace_state(&mut self) {
        let state = State::new(
            self.state.index,
            self.state.shared.clone(),
            self.sockets.clone(),
            Box::new(OsEntropy),
            self.inlets.spare.clone(),
        );
        let before = std::mem::replace(&mut self.state, state);
        self.state.succeed(before);
    }

    /// Without its sockets the thread is of no use. Everybody is told, and the directory last.
    fn give_up(&mut self) {
        let worker = self.state.index;
        tracing::error!(worker, "a media thread has ended: restart the program");
        self.alive.store(false, Ordering::Release);
        self.state.report_all_lost();
        let gone = std::mem::take(&mut self.state.gone);
        for gone in gone.into_iter().chain([Gone::Worker { worker }]) {
            // Nobody listens when the program ends as well.
            self.state.shared.gone.blocking_send(gone).ok();
        }
        self.replace_state();
        self.shared_counters.publish(&self.state.counters);
        self.pulse.end();
    }

    fn run(&mut self) -> Ended {
        let mut events = Events::with_capacity(16);
        let mut busy = true;
        loop {
            let timeout = self.timeout(busy);
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "media worker cannot wait for its sockets");
                return Ended::Failed;
            }
            for event in &events {
                if let Some(readable) = self.readable.get_mut(event.token().0) {
                    *readable = true;
                }
            }
            let now = Instant::now();
            self.pulse.begin(now);
            let mut handovers = HANDOVERS;
            self.receive(now, &mut handovers);
            handle_handovers(&mut self.state, &self.inlets, now, &mut handovers);
            handle_checks(&mut self.state, &self.inlets, now);
            let next = self.commands(now);
            self.state.handle_timeouts(now);
            self.state.finish_batch(now);
            self.finish_turn(now);
            match next {
                Next::GoOn => {}
                Next::Stop => return Ended::Stopped,
                #[cfg(test)]
                Next::Fail => return Ended::Failed,
            }
            busy = self.readable.contains(&true)
                || !self.inlets.ring.is_empty()
                || !self.inlets.checks.is_empty()
                || !self.inlets.commands.is_empty();
        }
    }

    fn timeout(&self, busy: bool) -> Option<Duration> {
        if busy {
            return Some(Duration::ZERO);
        }
        let next = self.state.next_timeout()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// What other workers have said by the time datagrams were taken from a socket comes before
    /// them: whose a path is was said before the client could answer on it.
    fn receive(&mut self, now: Instant, handovers: &mut usize) {
        for (socket, readable) in self.sockets.iter().zip(&mut self.readable) {
            let mut errors = 0;
            for _ in 0..BATCHES {
                if !*readable {
                    break;
                }
                let state = &mut self.state;
                match self.buffers.receive(socket) {
                    Ok(full) => {
                        // The kernel stopped for want of more: what comes later is told anew.
                        *readable = full;
                        self.buffers.note_arrivals(&mut self.arrivals);
                        handle_handovers(state, &self.inlets, now, handovers);
                        let mut lost = 0;
                        self.buffers.each(
                            socket.bound,
                            |path, data| state.handle_datagram(now, path, data),
                            || lost += 1,
                        );
                        state.counters.add(Count::DroppedUnroutable, lost);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => *readable = false,
                    // An earlier send's failure may be told here; the socket itself is well. Were
                    // it not, the next arrival is soon enough to try again.
                    Err(_) => {
                        state.counters.one(Count::ReceiveErrors);
                        errors += 1;
                        *readable = errors < BATCHES;
                    }
                }
            }
        }
    }

    fn commands(&mut self, now: Instant) -> Next {
        for _ in 0..COMMANDS {
            let Ok(command) = self.inlets.commands.try_recv() else {
                return Next::GoOn;
            };
            // Whoever asks for a picture may read the counts next: they are as new as it is.
            if matches!(command, Command::Debug { .. }) {
                self.state.finish_batch(now);
                self.shared_counters.publish(&self.state.counters);
            }
            if let Command::Part { conference, .. } = &command {
                self.part = Some(conference.clone());
            }
            let next = self.state.handle_command(now, command);
            self.part = None;
            if next != Next::GoOn {
                return next;
            }
        }
        Next::GoOn
    }

    /// Counts what the turn took, and lets others see what was counted.
    fn finish_turn(&mut self, began: Instant) {
        let took = began.elapsed();
        let counters = &mut self.state.counters;
        // A clock before 1970 measures nothing.
        if let (false, Ok(now)) = (
            self.arrivals.is_empty(),
            SystemTime::now().duration_since(UNIX_EPOCH),
        ) {
            // Where the kernel does not say when something arrived, it was when we began.
            let began = now.saturating_sub(took);
            for (arrived, datagrams) in self.arrivals.drain() {
                let delay = now.saturating_sub(arrived.unwrap_or(began));
                counters.delayed(delay, datagrams);
            }
        }
        self.state.count_work(took);
        self.state.settle_counters();
        self.shared_counters.publish(&self.state.counters);
        if let Some(survey) = self.state.surveyed.take() {
            *self.surveyed.lock().unwrap_or_else(PoisonError::into_inner) = survey;
        }
        self.pulse.end();
    }
}

fn handle_handovers(state: &mut State, inlets: &Inlets, now: Instant, left: &mut usize) {
    while *left > 0
        && let Ok(handover) = inlets.ring.try_recv()
    {
        *left -= 1;
        state.handle_handover(now, handover);
    }
}

fn handle_checks(state: &mut State, inlets: &Inlets, now: Instant) {
    for check in inlets.checks.try_iter().take(CHECKS) {
        state.handle_handover(now, check);
    }
}

impl State {
    /// Microseconds are summed with the nanoseconds that earlier turns left over.
    fn count_work(&mut self, took: Duration) {
        self.worked += took;
        let microseconds = self.worked.as_micros() as u64;
        self.counters.add(Count::BusyMicroseconds, microseconds);
        self.worked -= Duration::from_micros(microseconds);
    }

    /// Brings in what others count for us.
    fn settle_counters(&mut self) {
        let sent = self.queue.counters;
        let addresses = self.addresses.len() as u64;
        let counters = &mut self.counters;
        counters.set(Count::PacketsSent, sent.packets);
        counters.set(Count::BytesSent, sent.bytes);
        counters.set(Count::SendWouldBlock, sent.would_block);
        counters.set(Count::SendNoBuffers, sent.no_buffers);
        counters.set(Count::SendTooLarge, sent.too_large);
        counters.set(Count::SendUnreachable, sent.unreachable);
        counters.set(Count::SendOther, sent.other);
        counters.set(Count::Addresses, addresses);
    }
}

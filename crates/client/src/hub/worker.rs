//! One media thread: takes what arrived, does what is due.

use super::link::Link;
use super::socket::{Buffers, Place, Socket};
use super::{Counts, Goodbye, Joining, Order};
use crate::measure::{SecondDelays, Timeline};
use crate::media::{IDLE, Media, Wire, unix_micros};
use althing_model::MediaKind;
use althing_transport::{Path, Via};
use mio::{Events, Interest, Poll, Token, Waker};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

const WAKE: Token = Token(usize::MAX);
/// A socket that never empties does not keep the others waiting.
const MOST_BATCHES: usize = 16;
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Starts a thread; it ends when its orders do.
pub(super) fn start(
    number: usize,
    orders: mpsc::Receiver<Order>,
    timeline: Timeline,
    counts: Arc<Counts>,
) -> io::Result<Arc<Waker>> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
    let worker = Worker {
        poll,
        orders,
        sockets: Vec::new(),
        members: Vec::new(),
        free: Vec::new(),
        by_id: HashMap::new(),
        by_ip: HashMap::new(),
        timers: BinaryHeap::new(),
        buffers: Some(Buffers::new()),
        packet: Vec::with_capacity(2_048),
        second: (0, SecondDelays::default()),
        told_at: Instant::now(),
        timeline,
        counts,
    };
    std::thread::Builder::new()
        .name(format!("media-{number}"))
        .spawn(move || worker.run())?;
    Ok(waker)
}

/// An occupant on this thread.
struct Member {
    id: u64,
    media: Media,
    place: Place,
    downlink: Option<Link>,
    uplink: Option<Link>,
    /// The only entry of the timer table that counts.
    wake: Option<Instant>,
    gone: Arc<AtomicBool>,
}

struct Worker {
    poll: Poll,
    orders: mpsc::Receiver<Order>,
    /// By token; the second part is the occupant, unless several share the socket.
    sockets: Vec<Option<(Arc<Socket>, Option<usize>)>>,
    members: Vec<Option<Box<Member>>>,
    free: Vec<usize>,
    by_id: HashMap<u64, usize>,
    by_ip: HashMap<IpAddr, usize>,
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    /// Taken while datagrams in them are handled.
    buffers: Option<Buffers>,
    packet: Vec<u8>,
    second: (u64, SecondDelays),
    told_at: Instant,
    timeline: Timeline,
    counts: Arc<Counts>,
}

/// The way out of one occupant.
struct Out<'a> {
    socket: &'a Socket,
    uplink: Option<&'a mut Link>,
    now: Instant,
    unsent: &'a AtomicU64,
}

impl Wire for Out<'_> {
    fn send(&mut self, path: Path, datagram: &[u8]) {
        match &mut self.uplink {
            Some(link) => link.offer(self.now, path, datagram),
            None => send(self.socket, path, datagram, self.unsent),
        }
    }
}

fn send(socket: &Socket, path: Path, datagram: &[u8], unsent: &AtomicU64) {
    if let Err(error) = socket.send(path, datagram) {
        unsent.fetch_add(1, Ordering::Relaxed);
        tracing::trace!(%error, "datagram not sent");
    }
}

impl Worker {
    fn run(mut self) {
        let mut events = Events::with_capacity(1_024);
        loop {
            let wait = self.timers.peek().map_or(IDLE, |Reverse((at, _, _))| {
                at.saturating_duration_since(Instant::now()).min(IDLE)
            });
            match self.poll.poll(&mut events, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, "media thread cannot wait for its sockets");
                    return;
                }
            }
            let mut busy: Vec<usize> = events
                .iter()
                .map(|event| event.token())
                .filter(|token| *token != WAKE)
                .map(|token| token.0)
                .collect();
            if !self.take_orders() {
                return;
            }
            // Sockets that have more than a turn's worth come again after the timers.
            while !busy.is_empty() {
                busy.retain(|token| self.receive(*token));
                self.timeouts();
            }
            self.timeouts();
            self.tell_delays();
        }
    }

    /// Now and then, so that whoever reads them is not far behind.
    fn tell_delays(&mut self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.told_at) >= TELL_EVERY {
            self.told_at = now;
            self.end_second(unix_micros() / 1_000_000);
        }
    }

    /// False when nobody is left to give orders.
    fn take_orders(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Join(joining)) => self.join(*joining),
                Ok(Order::Tell(id, command)) => {
                    let Some(&index) = self.by_id.get(&id) else {
                        continue;
                    };
                    let now = Instant::now();
                    if let Some(member) = &mut self.members[index] {
                        let mut out = out(&member.place, &mut member.uplink, now, &self.counts);
                        member.media.handle_command(now, command, &mut out);
                    }
                    self.schedule(index);
                }
                Ok(Order::Leave(id, goodbye)) => self.leave(id, goodbye),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn join(&mut self, joining: Joining) {
        let now = Instant::now();
        let index = self.free.pop().unwrap_or_else(|| {
            self.members.push(None);
            self.members.len() - 1
        });
        let locals = joining.place.locals();
        if joining.place.shared {
            for local in &locals {
                self.by_ip.insert(local.ip(), index);
            }
        }
        if let Err(error) = self.listen(&joining.place, index) {
            tracing::warn!(%error, "a media socket cannot be listened on");
        }
        self.by_id.insert(joining.id, index);
        self.members[index] = Some(Box::new(Member {
            id: joining.id,
            media: Media::new(joining.settings, &locals, now),
            place: joining.place,
            downlink: Link::new(&joining.downlink, joining.id * 2, now),
            uplink: Link::new(&joining.uplink, joining.id * 2 + 1, now),
            wake: None,
            gone: joining.gone,
        }));
        self.wake(index, now);
    }

    fn listen(&mut self, place: &Place, index: usize) -> io::Result<()> {
        let known = |slot: &Option<(Arc<Socket>, Option<usize>)>| {
            slot.as_ref()
                .is_some_and(|(socket, _)| Arc::ptr_eq(socket, &place.socket))
        };
        if place.shared && self.sockets.iter().any(known) {
            return Ok(());
        }
        let token = self
            .sockets
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.sockets.push(None);
                self.sockets.len() - 1
            });
        by_descriptor(&place.socket, |source| {
            let registry = self.poll.registry();
            registry.register(source, Token(token), Interest::READABLE)
        })?;
        let member = (!place.shared).then_some(index);
        self.sockets[token] = Some((Arc::clone(&place.socket), member));
        Ok(())
    }

    fn leave(&mut self, id: u64, goodbye: Goodbye) {
        let Some(index) = self.by_id.remove(&id) else {
            return;
        };
        let Some(mut member) = self.members[index].take() else {
            return;
        };
        self.free.push(index);
        let now = Instant::now();
        member.media.settle();
        if goodbye == Goodbye::Said {
            let mut out = out(&member.place, &mut member.uplink, now, &self.counts);
            member.media.close(now, &mut out);
        }
        let lost = [&member.downlink, &member.uplink];
        let lost: u64 = lost.into_iter().flatten().map(Link::lost).sum();
        self.counts.lost_by_links.fetch_add(lost, Ordering::Relaxed);
        if member.place.shared {
            for local in member.place.locals() {
                self.by_ip.remove(&local.ip());
            }
            return;
        }
        for slot in &mut self.sockets {
            if slot
                .as_ref()
                .is_some_and(|(socket, _)| Arc::ptr_eq(socket, &member.place.socket))
            {
                let _ = by_descriptor(&member.place.socket, |source| {
                    self.poll.registry().deregister(source)
                });
                *slot = None;
            }
        }
    }

    /// Takes what has arrived on a socket; whether there may be more.
    fn receive(&mut self, token: usize) -> bool {
        let Some((socket, alone)) = self.sockets.get(token).and_then(Clone::clone) else {
            return false;
        };
        let Some(mut buffers) = self.buffers.take() else {
            return false;
        };
        let mut more = false;
        for _ in 0..MOST_BATCHES {
            let now = Instant::now();
            let read = unix_micros();
            let taken = buffers.receive(&socket, |to, remote, at, datagram| {
                let member = alone.or_else(|| self.by_ip.get(&to?).copied());
                if let Some(index) = member {
                    // A clock that was set back must not make delays of centuries.
                    let at = at.filter(|at| *at <= read).unwrap_or(read);
                    self.datagram(index, now, at, remote, datagram);
                }
            });
            more = match taken {
                Ok(more) => more,
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::debug!(%error, "media socket");
                        // Errors about one datagram; the next may be good.
                        continue;
                    }
                    false
                }
            };
            if !more {
                break;
            }
        }
        self.buffers = Some(buffers);
        more
    }

    fn datagram(
        &mut self,
        index: usize,
        now: Instant,
        arrived_micros: u64,
        remote: SocketAddr,
        datagram: &mut [u8],
    ) {
        let Some(member) = self.members.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let Some(path) = path(&member.place, remote) else {
            return;
        };
        if let Some(link) = &mut member.downlink {
            link.offer(now, path, datagram);
            self.schedule(index);
            return;
        }
        self.deliver(index, now, arrived_micros, path, datagram);
        self.schedule(index);
    }

    fn deliver(
        &mut self,
        index: usize,
        now: Instant,
        arrived_micros: u64,
        path: Path,
        datagram: &mut [u8],
    ) {
        let Some(member) = &mut self.members[index] else {
            return;
        };
        let mut out = out(&member.place, &mut member.uplink, now, &self.counts);
        let delay = member
            .media
            .handle_datagram(now, arrived_micros, path, datagram, &mut out);
        if let Some((kind, micros)) = delay {
            self.count(kind, arrived_micros, micros);
        }
    }

    fn count(&mut self, kind: MediaKind, arrived_micros: u64, micros: u64) {
        let second = arrived_micros / 1_000_000;
        if second != self.second.0 {
            self.end_second(second);
        }
        self.second.1.record(kind, micros);
    }

    /// Hands over what was counted; the next are counted for the second `now`.
    fn end_second(&mut self, now: u64) {
        if self.second.0 > 0 {
            self.timeline.add(self.second.0, &self.second.1);
        }
        self.second = (now, SecondDelays::default());
    }

    fn timeouts(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, index, id))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            let current = self.members[index]
                .as_mut()
                .filter(|m| m.id == id && m.wake == Some(at));
            if let Some(member) = current {
                member.wake = None;
                if member.gone.load(Ordering::Relaxed) {
                    self.leave(id, Goodbye::Said);
                } else {
                    self.turn(index, now);
                    self.schedule(index);
                }
            }
        }
    }

    /// Everything of an occupant that is due.
    fn turn(&mut self, index: usize, now: Instant) {
        while let Some(member) = &mut self.members[index]
            && let Some((path, mut datagram)) =
                member.downlink.as_mut().and_then(|link| link.take(now))
        {
            self.deliver(index, now, unix_micros(), path, &mut datagram);
        }
        let Some(member) = &mut self.members[index] else {
            return;
        };
        let mut out = out(&member.place, &mut member.uplink, now, &self.counts);
        member.media.handle_timeout(now, &mut self.packet, &mut out);
        if let Some(link) = &mut member.uplink {
            while let Some((path, datagram)) = link.take(now) {
                send(&member.place.socket, path, &datagram, &self.counts.unsent);
            }
        }
    }

    /// Puts an occupant's next turn into the table, if it is sooner than the one there.
    fn schedule(&mut self, index: usize) {
        let Some(member) = &mut self.members[index] else {
            return;
        };
        let links = [&member.downlink, &member.uplink];
        let links = links.into_iter().flatten().filter_map(Link::next_at);
        let due = links.chain(member.media.next_timeout()).min();
        match (member.wake, due) {
            (Some(wake), Some(due)) if wake <= due => {}
            (Some(_), None) => {}
            (None, None) => self.wake(index, Instant::now() + IDLE),
            (_, Some(due)) => self.wake(index, due.min(Instant::now() + IDLE)),
        }
    }

    fn wake(&mut self, index: usize, at: Instant) {
        if let Some(member) = &mut self.members[index] {
            member.wake = Some(at);
            self.timers.push(Reverse((at, index, member.id)));
        }
    }
}

fn out<'a>(
    place: &'a Place,
    uplink: &'a mut Option<Link>,
    now: Instant,
    counts: &'a Counts,
) -> Out<'a> {
    Out {
        socket: &place.socket,
        uplink: uplink.as_mut(),
        now,
        unsent: &counts.unsent,
    }
}

/// On a shared socket whatever arrives for an occupant's address is for it.
fn path(place: &Place, remote: SocketAddr) -> Option<Path> {
    if !place.shared {
        return place.path(remote);
    }
    let (_, local) = place.routes.first()?;
    Some(Path {
        via: Via::Udp,
        local: *local,
        remote,
    })
}

/// Registers a shared socket by its descriptor.
fn by_descriptor(
    socket: &Socket,
    with: impl FnOnce(&mut mio::unix::SourceFd<'_>) -> io::Result<()>,
) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    with(&mut mio::unix::SourceFd(&socket.io.as_raw_fd()))
}

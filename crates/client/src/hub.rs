//! Where the media of many occupants runs: a few threads, few sockets, one timer table each.
//!
//! ```text
//!   Hub ──► thread ──► sockets (64 KiB batches, kernel timestamps) ──► Media of occupant 0, 1, …
//!             │ timers: whose turn is next
//!             └ links: a bad network, where one is asked for
//! ```
//!
//! A server tells its clients apart by their addresses, so that they cannot simply share a socket.
//! Towards a server on the same machine they can all the same: each occupant has an address of its
//! own in 127.0.0.0/8, and a socket bound to the wildcard sends and receives for hundreds of them.
//! Towards any other server each occupant has a socket of its own.

mod link;
mod socket;
mod worker;

pub use link::Network;

use crate::measure::{Second, Timeline};
use crate::media::{Command, MediaSettings};
use althing_transport::Certificate;
use mio::Waker;
use socket::{Place, Places};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Orders in flight to one thread. When it is full, joining fails and commands wait.
const ORDERS: usize = 8_192;

/// Media threads that occupants share. Cheap to clone; the threads end with the last handle.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    threads: Vec<Thread>,
    places: Places,
    timeline: Timeline,
    next: AtomicU64,
    counts: Arc<Counts>,
    certificate: Mutex<Option<Arc<Certificate>>>,
}

struct Thread {
    // Taken first when it ends: the thread sees that nobody is left.
    orders: Option<mpsc::Sender<Order>>,
    waker: Arc<Waker>,
}

/// What the threads count, beside what occupants do.
#[derive(Debug, Default)]
struct Counts {
    lost_by_links: AtomicU64,
    unsent: AtomicU64,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.waker.wake();
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("threads", &self.0.threads.len())
            .finish_non_exhaustive()
    }
}

/// What happened to datagrams on this side of the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Lost on purpose, see [`Network`].
    pub lost_by_links: u64,
    /// The kernel would not send.
    pub unsent: u64,
    /// Arrived, but the sockets' buffers were full: this program was too slow.
    pub overflowed: u64,
}

/// What one thread is told.
enum Order {
    Join(Box<Joining>),
    Tell(u64, Command),
    Leave(u64, Goodbye),
}

/// An occupant's media on its way to a thread.
struct Joining {
    id: u64,
    settings: MediaSettings,
    place: Place,
    downlink: Network,
    uplink: Network,
    gone: Arc<AtomicBool>,
}

/// Whether the server is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    Said,
    Unsaid,
}

impl Hub {
    /// Starts threads. One is enough for some hundred thousand packets a second.
    ///
    /// # Errors
    /// When the system has no more threads or descriptors.
    pub fn start(threads: usize) -> io::Result<Self> {
        let timeline = Timeline::default();
        let counts = Arc::<Counts>::default();
        let places = Places::new();
        let threads = (0..threads.max(1))
            .map(|number| {
                let (orders, queue) = mpsc::channel(ORDERS);
                let waker = worker::start(number, queue, timeline.clone(), Arc::clone(&counts))?;
                Ok(Thread {
                    orders: Some(orders),
                    waker,
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self(Arc::new(Inner {
            threads,
            places,
            timeline,
            next: AtomicU64::new(0),
            counts,
            certificate: Mutex::new(None),
        })))
    }

    /// Delays of everybody's reception, second by second, the current one included.
    #[must_use]
    pub fn seconds(&self) -> Vec<Second> {
        self.0.timeline.seconds()
    }

    /// What happened to datagrams on this side of the network.
    #[must_use]
    pub fn counts(&self) -> HubCounts {
        HubCounts {
            lost_by_links: self.0.counts.lost_by_links.load(Ordering::Relaxed),
            unsent: self.0.counts.unsent.load(Ordering::Relaxed),
            overflowed: self.0.places.overflowed(),
        }
    }

    /// One for all occupants: making it is most of what a thousand of them would cost.
    pub(crate) fn certificate(&self) -> Result<Arc<Certificate>, althing_transport::Error> {
        let mut kept = self
            .0
            .certificate
            .lock()
            .expect("no holder of the certificate panics");
        if let Some(certificate) = &*kept {
            return Ok(Arc::clone(certificate));
        }
        let certificate = Certificate::generate()?;
        *kept = Some(Arc::clone(&certificate));
        Ok(certificate)
    }

    /// Hands an occupant's media to a thread.
    pub(crate) fn join(
        &self,
        settings: MediaSettings,
        downlink: Network,
        uplink: Network,
    ) -> io::Result<MediaHandle> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let thread = (id % self.0.threads.len() as u64) as usize;
        let candidates: &[SocketAddr] = &settings.remote.candidates;
        let place = self.0.places.find(candidates, thread)?;
        let gone = Arc::new(AtomicBool::new(false));
        let handle = MediaHandle {
            hub: self.clone(),
            thread,
            id,
            gone: Arc::clone(&gone),
        };
        let joining = Joining {
            id,
            settings,
            place,
            downlink,
            uplink,
            gone,
        };
        handle.order(Order::Join(Box::new(joining)))?;
        Ok(handle)
    }

    fn thread(&self, thread: usize) -> (&mpsc::Sender<Order>, &Waker) {
        let thread = &self.0.threads[thread];
        let orders = thread.orders.as_ref();
        (orders.expect("taken only when dropped"), &thread.waker)
    }
}

/// An occupant's media; dropping it says goodbye.
#[derive(Debug)]
pub(crate) struct MediaHandle {
    hub: Hub,
    thread: usize,
    id: u64,
    gone: Arc<AtomicBool>,
}

impl MediaHandle {
    fn order(&self, order: Order) -> io::Result<()> {
        let (orders, waker) = self.hub.thread(self.thread);
        orders
            .try_send(order)
            .map_err(|_| io::Error::other("the media threads are too busy"))?;
        waker.wake()
    }

    /// Tells the media something at once; false when the queue is full.
    pub(crate) fn try_tell(&self, command: Command) -> bool {
        self.order(Order::Tell(self.id, command)).is_ok()
    }

    /// For tasks of their own.
    pub(crate) fn teller(&self) -> Teller {
        let (orders, _) = self.hub.thread(self.thread);
        Teller {
            orders: orders.downgrade(),
            waker: Arc::clone(&self.hub.0.threads[self.thread].waker),
            id: self.id,
        }
    }

    /// Stops without a word, as a network does that breaks.
    pub(crate) fn cut(&self) {
        let _ = self.order(Order::Leave(self.id, Goodbye::Unsaid));
    }
}

impl Drop for MediaHandle {
    fn drop(&mut self) {
        // The thread looks at this each second, should the order not get through.
        self.gone.store(true, Ordering::Relaxed);
        let _ = self.order(Order::Leave(self.id, Goodbye::Said));
    }
}

/// Tells an occupant's media something, as long as there is one.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    orders: mpsc::WeakSender<Order>,
    waker: Arc<Waker>,
    id: u64,
}

impl Teller {
    /// Waits while the queue is full: a lost mapping would make good media look wrong.
    pub(crate) async fn tell(&self, command: Command) {
        if let Some(orders) = self.orders.upgrade()
            && orders.send(Order::Tell(self.id, command)).await.is_ok()
        {
            let _ = self.waker.wake();
        }
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join(joining) => write!(f, "Join({})", joining.id),
            Self::Tell(id, command) => write!(f, "Tell({id}, {command:?})"),
            Self::Leave(id, goodbye) => write!(f, "Leave({id}, {goodbye:?})"),
        }
    }
}

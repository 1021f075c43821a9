use crate::{Network, Weather};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Clients it serves at once; each has a socket and a thread.
const MAX_CLIENTS: usize = 64;
/// Datagrams read and not yet put on their way. When that is full, the newest is lost, as in any router.
const MAX_WAITING: usize = 4096;
/// As much as a datagram can be.
const MAX_BYTES: usize = 65_536;
/// Nothing under way: how long until it looks again.
const IDLE: Duration = Duration::from_secs(3600);

/// What went through a [`Relay`] in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Datagrams delivered.
    pub delivered: u64,
    /// Of those, how many came after one that was sent later.
    pub overtaken: u64,
}

/// What went through a [`Relay`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From clients to the server.
    pub up: Passed,
    /// From the server to clients.
    pub down: Passed,
}

/// Stands between UDP clients and one server, and has the [`Weather`] of a [`Network`] in each
/// direction: what real programs send, late and out of order, in real time. To the server every
/// client has an address of its own, as behind a translating router.
#[derive(Debug)]
pub struct Relay {
    front: Arc<UdpSocket>,
    server: SocketAddr,
    weather: Weather,
    inlet: SyncSender<Arrival>,
    arrivals: Receiver<Arrival>,
    clients: HashMap<SocketAddr, usize>,
    lines: Vec<Line>,
}

/// One client's way to the server.
#[derive(Debug)]
struct Line {
    client: SocketAddr,
    socket: Arc<UdpSocket>,
    last: [u64; 2],
    sent: [u64; 2],
}

#[derive(Debug)]
enum Arrival {
    Up { from: SocketAddr, data: Vec<u8> },
    Down { line: usize, data: Vec<u8> },
    End,
}

#[derive(Debug, Clone, Copy)]
struct Parcel {
    line: usize,
    down: bool,
    number: u64,
}

/// Ends a [`Relay`] that runs.
#[derive(Debug, Clone)]
pub struct End(SyncSender<Arrival>);

impl End {
    /// What is under way is lost.
    pub fn now(&self) {
        // It may have ended by itself.
        self.0.send(Arrival::End).ok();
    }
}

impl Relay {
    /// Clients send to `listen`, which may have port 0.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn new(listen: SocketAddr, server: SocketAddr, weather: Weather) -> io::Result<Self> {
        let (inlet, arrivals) = sync_channel(MAX_WAITING);
        Ok(Self {
            front: Arc::new(UdpSocket::bind(listen)?),
            server,
            weather,
            inlet,
            arrivals,
            clients: HashMap::new(),
            lines: Vec::new(),
        })
    }

    /// Where clients send to.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.front.local_addr()
    }

    /// Ends [`Self::run`] from another thread.
    #[must_use]
    pub fn end(&self) -> End {
        End(self.inlet.clone())
    }

    /// Passes datagrams on until it is ended. Threads that read from sockets go with the process.
    ///
    /// # Errors
    /// When a thread or a socket cannot be had.
    pub fn run(mut self) -> io::Result<Traffic> {
        let front = Arc::clone(&self.front);
        read(front, self.inlet.clone(), |from, data| Arrival::Up {
            from,
            data,
        })?;
        let mut network = Network::new(self.weather, 1);
        let mut traffic = Traffic::default();
        loop {
            let now = Instant::now();
            while let Some((parcel, data)) = network.receive(now) {
                self.deliver(parcel, &data, &mut traffic);
            }
            let wait = network
                .next_arrival()
                .map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
            match self.arrivals.recv_timeout(wait) {
                Ok(Arrival::Up { from, data }) => {
                    if let Some(line) = self.line_of(from)? {
                        self.put(&mut network, line, false, data);
                    }
                }
                Ok(Arrival::Down { line, data }) => self.put(&mut network, line, true, data),
                Ok(Arrival::End) | Err(RecvTimeoutError::Disconnected) => return Ok(traffic),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn line_of(&mut self, client: SocketAddr) -> io::Result<Option<usize>> {
        if let Some(line) = self.clients.get(&client) {
            return Ok(Some(*line));
        }
        if self.lines.len() == MAX_CLIENTS {
            return Ok(None);
        }
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?);
        socket.connect(self.server)?;
        let line = self.lines.len();
        self.clients.insert(client, line);
        self.lines.push(Line {
            client,
            socket: Arc::clone(&socket),
            last: [0; 2],
            sent: [0; 2],
        });
        read(socket, self.inlet.clone(), move |_, data| Arrival::Down {
            line,
            data,
        })?;
        Ok(Some(line))
    }

    fn put(&mut self, network: &mut Network<Parcel>, line: usize, down: bool, data: Vec<u8>) {
        let number = &mut self.lines[line].sent[usize::from(down)];
        *number += 1;
        let parcel = Parcel {
            line,
            down,
            number: *number,
        };
        network.send(Instant::now(), parcel, data);
    }

    fn deliver(&mut self, parcel: Parcel, data: &[u8], traffic: &mut Traffic) {
        let line = &mut self.lines[parcel.line];
        let (sent, passed) = if parcel.down {
            (
                self.front.send_to(data, line.client).is_ok(),
                &mut traffic.down,
            )
        } else {
            (line.socket.send(data).is_ok(), &mut traffic.up)
        };
        // One side is not there yet, or no longer: as if lost.
        if !sent {
            return;
        }
        passed.delivered += 1;
        let last = &mut line.last[usize::from(parcel.down)];
        passed.overtaken += u64::from(parcel.number < *last);
        *last = parcel.number.max(*last);
    }
}

/// Reads a socket on a thread of its own for as long as somebody takes what comes.
fn read(
    socket: Arc<UdpSocket>,
    inlet: SyncSender<Arrival>,
    arrival: impl Fn(SocketAddr, Vec<u8>) -> Arrival + Send + 'static,
) -> io::Result<()> {
    let work = move || {
        let mut buffer = vec![0; MAX_BYTES];
        loop {
            // Errors are answers of the system to what was sent before, and pass.
            let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let data = buffer[..length].to_vec();
            if let Err(TrySendError::Disconnected(_)) = inlet.try_send(arrival(from, data)) {
                return;
            }
        }
    };
    thread::Builder::new().spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_pass_late_and_out_of_order_in_both_directions() {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = UdpSocket::bind(local).unwrap();
        let weather = Weather {
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(20),
            ..Weather::FAIR
        };
        let relay = Relay::new(local, server.local_addr().unwrap(), weather).unwrap();
        let (address, end) = (relay.address().unwrap(), relay.end());
        let running = thread::spawn(|| relay.run().unwrap());

        let client = UdpSocket::bind(local).unwrap();
        client.connect(address).unwrap();
        let began = Instant::now();
        for number in 0..100 {
            client.send(&[number]).unwrap();
        }
        let mut buffer = [0; 16];
        let mut seen = Vec::new();
        for _ in 0..100 {
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            assert!(began.elapsed() >= Duration::from_millis(20));
            seen.push(buffer[0]);
            server.send_to(&buffer[..length], from).unwrap();
        }
        assert!(!seen.is_sorted());
        let mut back: Vec<u8> = (0..100)
            .map(|_| {
                client.recv(&mut buffer).unwrap();
                buffer[0]
            })
            .collect();
        assert!(began.elapsed() >= Duration::from_millis(40));
        back.sort_unstable();
        assert_eq!(back, (0..100).collect::<Vec<u8>>());

        end.now();
        let Traffic { up, down } = running.join().unwrap();
        assert_eq!((up.delivered, down.delivered), (100, 100));
        assert!(up.overtaken > 0 && down.overtaken > 0);
    }
}

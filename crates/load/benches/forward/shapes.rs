//! The shapes of load, and the rounds.

use crate::althing::{Althing, Crowd, Meeting};
use crate::engine::{Generator, PROFILE};
use crate::flow::{Flow, Pattern};
use crate::janus;
use crate::pin;
use crate::support::server::Server;
use althing_model::Ssrc;
use althing_transport::{Certificate, offering};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

pub(crate) const NAMES: &[&str] = &[
    "video", "frames", "audio", "size", "sources", "hall", "joins",
];
/// What is on its way when sending stops has arrived by then.
const DRAIN: Duration = Duration::from_millis(80);
/// How long a side may take until all of what is sent arrives.
const SETTLE: Duration = Duration::from_secs(15);
/// Everybody's path is probed when a meeting begins, and for a moment some are sent less: that is
/// over before anything is measured.
const BEGINNING: Duration = Duration::from_secs(4);
/// A round that loses more than this is void.
const MOST_LOSS: f64 = 0.001;
/// Packets a second of the one who sends pictures.
const RATE: u32 = 1000;
/// Of one whose packets one processor can deliver to five hundred: 2 Mbit/s.
const SLOWER: u32 = 200;
const ROOM: usize = 50;

#[derive(Default)]
pub(crate) struct Bench {
    pub(crate) althing: PathBuf,
    pub(crate) janus: Option<PathBuf>,
    pub(crate) janus_folder: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
}

/// One meeting at one server, ready to be measured.
struct Side {
    name: String,
    server: Server,
    group: usize,
    /// How many copies of one packet of one sender are to arrive.
    fan_out: usize,
    rounds: Vec<Value>,
    /// Goes when the side goes.
    _keep: Box<dyn std::any::Any>,
}

/// What one round came to.
struct Round {
    cpu: Duration,
    ticks: Duration,
    elapsed: Duration,
    expected: u64,
    received: u64,
    repaired: u64,
    doubled: u64,
    unreadable: u64,
    overflow: u64,
    p50: u64,
    p99: u64,
    most: u64,
}

impl Round {
    fn loss(&self) -> f64 {
        1.0 - self.received.min(self.expected) as f64 / self.expected.max(1) as f64
    }

    fn per_packet(&self) -> f64 {
        self.cpu.as_secs_f64() / self.received.max(1) as f64
    }

    fn is_void(&self) -> bool {
        self.loss() > MOST_LOSS || self.unreadable > 0 || self.received == 0
    }

    fn json(&self) -> Value {
        json!({
            "cpu_seconds_per_packet": self.per_packet(),
            "cpu_share": self.cpu.as_secs_f64() / self.elapsed.as_secs_f64(),
            "cpu_share_in_ticks": self.ticks.as_secs_f64() / self.elapsed.as_secs_f64(),
            "packets": self.received,
            "packets_per_second": self.received as f64 / self.elapsed.as_secs_f64(),
            "loss": self.loss(),
            "dropped_by_generator": self.overflow,
            "retransmissions_and_padding": self.repaired,
            "doubled": self.doubled,
            "delay_p50_seconds": self.p50 as f64 / 1e9,
            "delay_p99_seconds": self.p99 as f64 / 1e9,
            "delay_max_seconds": self.most as f64 / 1e9,
        })
    }
}

/// Everything the shapes share.
struct Set {
    generator: Generator,
    certificate: Arc<Certificate>,
}

impl Bench {
    pub(crate) async fn run(&self, wanted: &[String]) -> Value {
        let set = Set {
            generator: Generator::start(),
            certificate: offering::certificate(PROFILE).unwrap(),
        };
        let mut shapes = Map::new();
        for name in wanted {
            let began = Instant::now();
            pin(!matches!(name.as_str(), "hall" | "joins"));
            let found = match name.as_str() {
                "video" => {
                    self.compared(&set, &[Pattern::video(RATE)], false, &["0"])
                        .await
                }
                "frames" => {
                    self.compared(&set, &[Pattern::frames(RATE)], false, &["0", "1"])
                        .await
                }
                "audio" => self.compared(&set, &[Pattern::audio(); 3], true, &[]).await,
                "size" => self.size(&set).await,
                "sources" => self.sources(&set).await,
                "hall" => self.hall(&set).await,
                "joins" => self.joins(&set).await,
                _ => panic!("unknown shape '{name}': {}", NAMES.join(", ")),
            };
            eprintln!("{name} took {:.0} s", began.elapsed().as_secs_f64());
            shapes.insert(name.clone(), found);
        }
        json!({
            "rounds": self.rounds,
            "window_seconds": self.window.as_secs_f64(),
            "shapes": shapes,
        })
    }

    /// Althing, Janus and the floor side by side: with one sender to fifty who only receive, or with
    /// several among fifty. `floors` are the floor's modes, 1 with GSO.
    async fn compared(
        &self,
        set: &Set,
        senders: &[Pattern],
        among: bool,
        floors: &[&str],
    ) -> Value {
        let fan_out = if among { ROOM - 1 } else { ROOM };
        let occupants = if among { ROOM } else { ROOM + 1 };
        let althing = Althing::start(&self.althing, true, &[]);
        let signalling = if among { ROOM } else { 1 };
        let meeting = althing.meet(
            &set.generator,
            &set.certificate,
            Crowd {
                room: "forward",
                occupants,
                senders,
                signalling,
                cameras: true,
                apart: Duration::from_millis(20),
            },
        );
        let meeting = meeting.await;
        let mut sides = vec![Side::althing("althing", althing, meeting, fan_out)];
        if let Some(janus) = &self.janus {
            let meeting = janus::meet(
                janus,
                &self.janus_folder,
                &set.generator,
                &set.certificate,
                senders,
                ROOM,
                among,
            );
            sides.push(Side::janus(meeting.await, fan_out));
        }
        for mode in floors {
            sides.push(Side::floor(set, mode, senders[0]));
        }
        self.rounds(set, &mut sides).await
    }

    /// The same sender to fifty receivers and to five hundred. Then with as many packets delivered a
    /// second, a tenth of them to each: everybody's feedback weighs ten times as much there.
    async fn size(&self, set: &Set) -> Value {
        let mut sides = Vec::new();
        let same = [(ROOM, SLOWER, ""), (ROOM * 10, SLOWER, "")];
        let shared = [(ROOM, RATE, "_share"), (ROOM * 10, RATE / 10, "_share")];
        for (receivers, rate, what) in same.into_iter().chain(shared) {
            let althing = Althing::start(&self.althing, true, &[]);
            let crowd = Crowd {
                room: "size",
                occupants: receivers + 1,
                senders: &[Pattern::video(rate)],
                signalling: 1,
                cameras: true,
                apart: Duration::from_millis(20),
            };
            let meeting = althing.meet(&set.generator, &set.certificate, crowd).await;
            let name = format!("receivers_{receivers}{what}");
            sides.push(Side::althing(&name, althing, meeting, receivers));
        }
        self.rounds(set, &mut sides).await
    }

    /// Fifty receivers who have heard of two sources, and of fifty.
    async fn sources(&self, set: &Set) -> Value {
        let mut sides = Vec::new();
        for sources in [2, ROOM] {
            let althing = Althing::start(&self.althing, true, &[]);
            let crowd = Crowd {
                room: "sources",
                occupants: ROOM + 1,
                senders: &[Pattern::video(RATE)],
                // A microphone and a camera each.
                signalling: sources / 2,
                cameras: true,
                apart: Duration::from_millis(20),
            };
            let meeting = althing.meet(&set.generator, &set.certificate, crowd).await;
            let name = format!("sources_{sources}");
            sides.push(Side::althing(&name, althing, meeting, ROOM));
        }
        self.rounds(set, &mut sides).await
    }

    /// A thousand in one audio hall, three speaking; the machine is shared. Then, for their memory
    /// alone, a thousand in an ordinary room, who have cameras that are off and want to see all.
    async fn hall(&self, set: &Set) -> Value {
        let senders = [Pattern::audio(); 3];
        let occupants = std::env::var("HALL").map_or(1000, |n| n.parse().expect("a number"));
        let crowd = |cameras| Crowd {
            room: "hall",
            occupants,
            senders: &senders,
            signalling: occupants,
            cameras,
            apart: Duration::from_millis(40),
        };
        let althing = Althing::start(&self.althing, false, &["--media-mode", "audio"]);
        let (meeting, idle) = Self::memory(set, &althing, crowd(false)).await;
        eprintln!("  {} kB for each idle occupant", idle / 1000);
        let mut sides = vec![Side::althing("althing", althing, meeting, occupants - 1)];
        let mut found = self.rounds(set, &mut sides).await;
        drop(sides);
        let althing = Althing::start(&self.althing, false, &[]);
        let (meeting, cameras) = Self::memory(set, &althing, crowd(true)).await;
        eprintln!("  {} kB for each with a camera", cameras / 1000);
        set.generator.lock().retire(meeting.group);
        found["althing"]["memory_bytes_per_idle_endpoint"] = idle.into();
        found["althing"]["memory_bytes_per_idle_endpoint_with_camera"] = cameras.into();
        found
    }

    /// Brings everybody in; what that added to the server's resident memory, for each of them.
    async fn memory(set: &Set, althing: &Althing, crowd: Crowd<'_>) -> (Meeting, u64) {
        sleep(Duration::from_secs(1)).await;
        let before = althing.server.memory("VmRSS:");
        let meeting = althing.meet(&set.generator, &set.certificate, crowd).await;
        sleep(Duration::from_secs(2)).await;
        let grown = althing.server.memory("VmRSS:").saturating_sub(before);
        (meeting, grown / crowd.occupants as u64)
    }

    /// What it costs when people come, and what it does to those who are there: a room of ten where
    /// one speaks, while two hundred come into rooms of ten.
    async fn joins(&self, set: &Set) -> Value {
        const COMING: usize = 200;
        let althing = Althing::start(&self.althing, false, &["--media-workers", "1"]);
        let (generator, certificate) = (&set.generator, &set.certificate);
        let pattern = Pattern {
            spacing: Duration::from_millis(5),
            ..Pattern::audio()
        };
        let crowd = Crowd {
            room: "calm",
            occupants: 10,
            senders: &[pattern],
            signalling: 10,
            cameras: true,
            apart: Duration::from_millis(20),
        };
        let meeting = althing.meet(generator, certificate, crowd).await;
        let mut rounds = Vec::new();
        for round in 0..self.rounds {
            generator.lock().run(meeting.group, true);
            sleep(Duration::from_secs(1)).await;
            generator.lock().reset(meeting.group);
            let (began, cpu) = (Instant::now(), althing.server.cpu_of("media-"));
            sleep(self.window).await;
            let calm = (althing.server.cpu_of("media-") - cpu).div_duration_f64(began.elapsed());
            let quiet = generator.lock().groups[meeting.group].delays.max();
            generator.lock().reset(meeting.group);
            let (began, cpu) = (Instant::now(), althing.server.cpu_of("media-"));
            let mut rooms = Vec::new();
            for room in 0..COMING / 10 {
                let room = format!("round{round}room{room}");
                let crowd = Crowd {
                    room: &room,
                    occupants: 10,
                    senders: &[],
                    signalling: 10,
                    cameras: true,
                    apart: Duration::from_millis(20),
                };
                rooms.push(althing.meet(generator, certificate, crowd).await);
            }
            let spent = althing.server.cpu_of("media-") - cpu;
            let joining = spent.as_secs_f64() - calm * began.elapsed().as_secs_f64();
            generator.lock().run(meeting.group, false);
            sleep(DRAIN).await;
            let per_join = joining / COMING as f64;
            rounds.push(Self::joined(generator, meeting.group, per_join, quiet));
            for room in rooms {
                generator.lock().retire(room.group);
            }
            // They have gone when the server has noticed.
            sleep(Duration::from_secs(2)).await;
        }
        generator.lock().retire(meeting.group);
        json!({ "althing": { "rounds": rounds } })
    }

    /// What a round of joins came to.
    fn joined(generator: &Generator, group: usize, per_join: f64, quiet: u64) -> Value {
        let engine = generator.lock();
        let group = &engine.groups[group];
        // Nine hear the one who speaks.
        let expected = group.sent * 9;
        let lost = expected.saturating_sub(group.received);
        let p99 = group.delays.value_at_quantile(0.99);
        eprintln!(
            "  {:.3} ms of the media thread for each who comes; delay p99 {:.2} ms, at most {:.2} ms (calm: {:.2} ms), {lost} of {expected} lost",
            per_join * 1e3,
            p99 as f64 / 1e6,
            group.delays.max() as f64 / 1e6,
            quiet as f64 / 1e6,
        );
        json!({
            "media_cpu_seconds_per_join": per_join,
            "delay_p99_seconds": p99 as f64 / 1e9,
            "delay_max_seconds": group.delays.max() as f64 / 1e9,
            "delay_max_calm_seconds": quiet as f64 / 1e9,
            "loss": lost as f64 / expected.max(1) as f64,
        })
    }

    /// Rounds in turn, each side once in each. One in which any side loses is void, and repeated:
    /// as often again as there are rounds, altogether.
    async fn rounds(&self, set: &Set, sides: &mut [Side]) -> Value {
        let mut void = 0;
        let mut good = 0;
        for side in &*sides {
            set.generator.lock().run(side.group, true);
            sleep(BEGINNING).await;
            set.generator.lock().run(side.group, false);
            sleep(DRAIN).await;
        }
        while good < self.rounds && void <= self.rounds {
            let mut found = Vec::new();
            for side in &*sides {
                let round = self.round(set, side).await;
                eprintln!(
                    "  round {} {:<19} {:>6.3} µs a packet, {:>5.1} % of a core, {:>7.0} packets/s, loss {:.4} %, delay p50 {:.3} ms p99 {:.3} ms",
                    good + 1,
                    side.name,
                    round.per_packet() * 1e6,
                    round.cpu.as_secs_f64() / round.elapsed.as_secs_f64() * 100.0,
                    round.received as f64 / round.elapsed.as_secs_f64(),
                    round.loss() * 100.0,
                    round.p50 as f64 / 1e6,
                    round.p99 as f64 / 1e6,
                );
                found.push(round);
            }
            if found.iter().any(Round::is_void) {
                eprintln!("  void, because something was lost");
                void += 1;
                // More rounds would be void likewise. That is a fault of the set-up, not of a busy machine.
                let cut_off = |side: &&Side| !set.generator.lock().is_whole(side.group);
                if let Some(side) = sides.iter().find(cut_off) {
                    eprintln!("  {} has ended a connection: no more rounds", side.name);
                    break;
                }
                continue;
            }
            good += 1;
            for (side, round) in sides.iter_mut().zip(found) {
                side.rounds.push(round.json());
            }
        }
        let mut all = Map::new();
        for side in sides {
            set.generator.lock().retire(side.group);
            let found = json!({
                "rounds": side.rounds,
                "void_rounds": void,
                "memory_peak_bytes": side.server.memory("VmHWM:"),
            });
            all.insert(side.name.clone(), found);
        }
        Value::Object(all)
    }

    async fn round(&self, set: &Set, side: &Side) -> Round {
        self.settle(set, side).await;
        self.window(set, side).await
    }

    /// Sends until half a second goes through whole.
    async fn settle(&self, set: &Set, side: &Side) {
        let until = Instant::now() + SETTLE;
        set.generator.lock().run(side.group, true);
        sleep(Duration::from_millis(500)).await;
        loop {
            set.generator.lock().reset(side.group);
            sleep(Duration::from_millis(500)).await;
            let (sent, received) = {
                let engine = set.generator.lock();
                let group = &engine.groups[side.group];
                (group.sent * side.fan_out as u64, group.received)
            };
            if received as f64 > sent as f64 * 0.99 && sent > 0 {
                break;
            }
            if Instant::now() > until {
                eprintln!(
                    "  {} delivers {received} of {sent} packets after {SETTLE:?}",
                    side.name
                );
                break;
            }
        }
        set.generator.lock().run(side.group, false);
        sleep(DRAIN).await;
    }

    /// One measured window; nothing is under way when it begins, nor when it ends.
    async fn window(&self, set: &Set, side: &Side) -> Round {
        let dropped = {
            let mut engine = set.generator.lock();
            engine.reset(side.group);
            engine.overflow()
        };
        let (cpu, ticks) = (side.server.cpu(), side.server.ticks());
        let began = Instant::now();
        set.generator.lock().run(side.group, true);
        sleep(self.window).await;
        set.generator.lock().run(side.group, false);
        let elapsed = began.elapsed();
        sleep(DRAIN).await;
        let (cpu, ticks) = (side.server.cpu() - cpu, side.server.ticks() - ticks);
        let engine = set.generator.lock();
        let group = &engine.groups[side.group];
        Round {
            cpu,
            ticks,
            elapsed,
            expected: group.sent * side.fan_out as u64,
            received: group.received,
            repaired: group.repaired,
            doubled: group.doubled,
            unreadable: group.unreadable,
            overflow: engine.overflow() - dropped,
            p50: group.delays.value_at_quantile(0.5),
            p99: group.delays.value_at_quantile(0.99),
            most: group.delays.max(),
        }
    }
}

impl Side {
    fn althing(name: &str, althing: Althing, meeting: Meeting, fan_out: usize) -> Self {
        Self {
            name: name.to_owned(),
            server: althing.server,
            group: meeting.group,
            fan_out,
            rounds: Vec::new(),
            _keep: Box::new(meeting),
        }
    }

    fn janus(meeting: janus::Janus, fan_out: usize) -> Self {
        Self {
            name: "janus".to_owned(),
            server: meeting.server,
            group: meeting.group,
            fan_out,
            rounds: Vec::new(),
            _keep: Box::new(meeting.session),
        }
    }

    fn floor(set: &Set, mode: &str, pattern: Pattern) -> Self {
        let mut engine = set.generator.lock();
        let group = engine.add_group();
        let (sender, local) = engine.add_peer(group, Ssrc(1));
        let peers: Vec<usize> = (0..ROOM)
            .map(|_| engine.add_peer(group, Ssrc(2)).0)
            .collect();
        drop(engine);
        let program = std::env::current_exe().unwrap();
        let (server, port) = Server::start(
            &program,
            true,
            |command, _| {
                let (first, port) = (peers[0], local.port());
                command
                    .arg("floor")
                    .args([ROOM, first, usize::from(port)].map(|n| n.to_string()));
                command.arg(mode);
            },
            |line| line.parse::<u16>().ok(),
        );
        let mut engine = set.generator.lock();
        engine.bare(sender, SocketAddr::from((crate::engine::SERVER, port)));
        engine.add_flow(Flow::new(sender, group, pattern, Ssrc(1)));
        Self {
            name: if mode == "1" { "floor_gso" } else { "floor" }.to_owned(),
            server,
            group,
            fan_out: ROOM,
            rounds: Vec::new(),
            _keep: Box::new(()),
        }
    }
}

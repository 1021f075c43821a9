//! The estimator against a simulated link, on a clock that only the test moves.

use super::*;
use crate::congestion::SentPackets;
use althing_model::{Entropy, SeededEntropy, Ssrc};
use althing_rtp::rtcp::{Compound, Rtcp, TransportCcRecorder};
use std::collections::VecDeque;

const STEP: Duration = Duration::from_micros(500);
const FEEDBACK: Duration = Duration::from_millis(100);
const PACER: Duration = Duration::from_millis(5);

fn secs(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

/// In bit/s, by the seconds since the start.
type Rate = fn(f64) -> f64;

/// What the link does, by the time since the start.
struct Link {
    capacity: Rate,
    /// Others' packets through the same queue, in bit/s.
    cross: Rate,
    /// Of a thousand, how many packets vanish.
    lost: u64,
    one_way: Duration,
    /// How much may wait.
    queue: Duration,
}

impl Link {
    const fn of(capacity: Rate) -> Self {
        Self {
            capacity,
            cross: |_| 0.0,
            lost: 0,
            one_way: Duration::from_millis(25),
            queue: Duration::from_millis(300),
        }
    }
}

#[derive(Clone, Copy)]
struct Packet {
    /// Nothing for others' packets.
    number: Option<u16>,
    size: usize,
    entered: Duration,
}

/// What was seen every 50 ms.
#[derive(Clone, Copy)]
struct Sample {
    at: f64,
    estimate: f64,
    queue: f64,
}

/// A sender that uses what it is told, up to its goal.
struct Simulation {
    link: Link,
    goal: u64,
    now: Duration,
    start: Instant,
    entropy: SeededEntropy,
    sent: SentPackets,
    estimator: Estimator,
    recorder: TransportCcRecorder,
    queue: VecDeque<Packet>,
    queued: usize,
    busy_until: Duration,
    /// Feedback on its way back.
    returning: VecDeque<(Duration, Vec<u8>)>,
    pending: VecDeque<usize>,
    media_debt: f64,
    pacing: f64,
    probe: Option<(Cluster, Duration, u64, u32)>,
    cross_debt: f64,
    dropped: u64,
    samples: Vec<Sample>,
}

impl Simulation {
    fn new(link: Link, goal: u64, seed: u64) -> Self {
        let start = althing_testkit::epoch();
        let mut estimator = Estimator::new(start);
        estimator.set_goal(start, goal);
        Self {
            link,
            goal,
            now: Duration::ZERO,
            start,
            entropy: SeededEntropy::new(seed),
            sent: SentPackets::default(),
            estimator,
            recorder: TransportCcRecorder::new(),
            queue: VecDeque::new(),
            queued: 0,
            busy_until: Duration::ZERO,
            returning: VecDeque::new(),
            pending: VecDeque::new(),
            media_debt: 0.0,
            pacing: 0.0,
            probe: None,
            cross_debt: 0.0,
            dropped: 0,
            samples: Vec::new(),
        }
    }

    fn run(&mut self, until: f64) -> &mut Self {
        while self.now.as_secs_f64() < until {
            self.step();
        }
        self
    }

    fn every(&self, period: Duration) -> bool {
        self.now.as_micros().is_multiple_of(period.as_micros())
    }

    fn step(&mut self) {
        let at = self.now.as_secs_f64();
        if self.every(Duration::from_millis(20)) {
            self.send(100);
        }
        if self.every(Duration::from_micros(33_500)) {
            self.frame();
        }
        if self.every(PACER) {
            self.pace();
        }
        self.cross_debt += (self.link.cross)(at) * STEP.as_secs_f64() / 8.0;
        while self.cross_debt >= 1000.0 {
            self.cross_debt -= 1000.0;
            self.enter(None, 1000);
        }
        self.serve(at);
        if self.every(FEEDBACK) {
            self.report();
        }
        while let Some((due, _)) = self.returning.front()
            && *due <= self.now
        {
            let (_, bytes) = self.returning.pop_front().unwrap();
            self.hear(&bytes);
        }
        if self.every(Duration::from_millis(25)) {
            self.estimator.tick(
                self.start + self.now,
                self.sent.bytes(),
                self.sent.packets(),
            );
        }
        if self.every(Duration::from_millis(50)) {
            self.samples.push(Sample {
                at,
                estimate: self.estimator.rate() as f64,
                queue: self.queued as f64 * 8.0 / (self.link.capacity)(at).max(1.0),
            });
        }
        self.now += STEP;
    }

    /// A frame of what the estimate allows beside 40 kbit/s of audio, give or take a third.
    fn frame(&mut self) {
        let rate = (self.estimator.rate().min(self.goal) as f64 - 40_000.0).max(0.0);
        let noise = 0.67 + 0.66 * (self.entropy.next_u64() % 1000) as f64 / 1000.0;
        self.media_debt += rate * 0.0335 / 8.0 * noise;
        while self.media_debt >= 1100.0 {
            self.media_debt -= 1100.0;
            self.pending.push_back(1100);
        }
    }

    fn pace(&mut self) {
        let rate = 2.5 * self.estimator.rate() as f64;
        let waiting: usize = self.pending.iter().sum();
        let rate = rate.max(waiting as f64 * 8.0 / 0.05);
        self.pacing =
            (self.pacing + rate * PACER.as_secs_f64() / 8.0).min(rate * 0.005 / 8.0 + 1200.0);
        if self.probe.is_none() {
            self.probe = self.estimator.poll_probe().map(|c| (c, self.now, 0, 0));
        }
        self.sent.cluster = self.probe.map_or(0, |(c, ..)| c.id);
        while self.pacing > 0.0
            && let Some(size) = self.pending.pop_front()
        {
            self.pacing -= size as f64;
            self.send(size);
            if let Some((_, _, bytes, packets)) = &mut self.probe {
                *bytes += size as u64;
                *packets += 1;
            }
        }
        if let Some((cluster, since, bytes, packets)) = self.probe {
            let elapsed = (self.now - since + PACER).as_secs_f64();
            let due = (cluster.rate as f64 * elapsed / 8.0) as u64;
            let (mut bytes, mut packets) = (bytes, packets);
            while bytes < due {
                let size = 1000.min(due - bytes).max(250) as usize;
                self.send(size);
                bytes += size as u64;
                packets += 1;
            }
            let done = bytes >= cluster.min_bytes
                && packets >= cluster.min_packets
                && self.now - since >= Duration::from_millis(15);
            self.probe = (!done).then_some((cluster, since, bytes, packets));
        }
        self.sent.cluster = 0;
    }

    fn send(&mut self, size: usize) {
        let number = self.sent.record(self.start + self.now, size);
        self.enter(Some(number), size);
    }

    fn enter(&mut self, number: Option<u16>, size: usize) {
        if number.is_some() && self.entropy.next_u64() % 1000 < self.link.lost {
            return;
        }
        let capacity = (self.link.capacity)(self.now.as_secs_f64());
        let limit = (capacity * self.link.queue.as_secs_f64() / 8.0).max(4000.0);
        if (self.queued + size) as f64 > limit {
            self.dropped += u64::from(number.is_some());
            return;
        }
        self.queued += size;
        self.queue.push_back(Packet {
            number,
            size,
            entered: self.now,
        });
    }

    fn serve(&mut self, at: f64) {
        let capacity = (self.link.capacity)(at);
        if capacity <= 0.0 {
            self.busy_until = self.now;
            return;
        }
        while let Some(packet) = self.queue.front().copied() {
            let begun = self.busy_until.max(packet.entered);
            let end = begun + secs(packet.size as f64 * 8.0 / capacity);
            if end > self.now + STEP {
                break;
            }
            self.queue.pop_front();
            self.queued -= packet.size;
            self.busy_until = end;
            if let Some(number) = packet.number {
                self.recorder.record(number, end + self.link.one_way);
            }
        }
    }

    fn report(&mut self) {
        while self.recorder.is_pending() {
            let mut bytes = Vec::new();
            self.recorder.build(&mut bytes, Ssrc(1), Ssrc(2));
            let due = self.now + self.link.one_way * 2;
            // The way back has an outage too.
            if (self.link.capacity)(self.now.as_secs_f64()) > 0.0 {
                self.returning.push_back((due, bytes));
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let now = self.start + self.now;
        let mut results = Vec::new();
        for item in Compound::new(bytes) {
            let Ok(Rtcp::TransportCc(feedback)) = item else {
                panic!("only feedback is sent");
            };
            self.sent
                .acknowledge(now, feedback.reference, feedback.statuses(), &mut results);
        }
        self.estimator.feedback(now, &results, self.sent.packets());
    }

    fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .filter(move |s| (from..to).contains(&s.at))
    }

    fn mean(&self, from: f64, to: f64) -> f64 {
        let (sum, count) = self
            .between(from, to)
            .fold((0.0, 0.0), |(sum, n), s| (sum + s.estimate, n + 1.0));
        sum / count
    }

    fn greatest(&self, from: f64, to: f64) -> f64 {
        self.between(from, to)
            .map(|s| s.estimate)
            .fold(0.0, f64::max)
    }

    /// Milliseconds of waiting that 95 of 100 samples stay below.
    fn queue95(&self, from: f64, to: f64) -> f64 {
        let mut all: Vec<f64> = self.between(from, to).map(|s| s.queue).collect();
        all.sort_by(f64::total_cmp);
        1e3 * all[all.len() * 95 / 100]
    }

    /// Seconds from `from` until the estimate is below (or above) `rate` for good half a second.
    fn until(&self, from: f64, test: impl Fn(f64) -> bool) -> f64 {
        self.between(from, f64::INFINITY)
            .find(|s| {
                self.between(s.at, s.at + 0.5)
                    .all(|later| test(later.estimate))
            })
            .map_or(f64::INFINITY, |s| s.at - from)
    }
}

/// The longest time that the estimate stays above a rate.
fn longest_above(s: &Simulation, from: f64, rate: f64) -> f64 {
    let (mut longest, mut since) = (0.0f64, None);
    for sample in s.between(from, f64::INFINITY) {
        if sample.estimate > rate {
            let start = *since.get_or_insert(sample.at);
            longest = longest.max(sample.at - start + 0.05);
        } else {
            since = None;
        }
    }
    longest
}

fn row(name: &str, s: &Simulation, from: f64, to: f64, link: f64, note: &str) {
    println!(
        "{name:<34} {:>7.0} {:>7.0} {:>5.0}% {:>8.0} {:>6.0} {:>7} {note}",
        link / 1e3,
        s.mean(from, to) / 1e3,
        100.0 * s.mean(from, to) / link,
        s.greatest(from, to) / 1e3,
        s.queue95(from, to),
        s.dropped,
    );
}

#[test]
fn it_finds_what_a_link_carries() {
    println!("link                               kbit/s    mean  share greatest  q95 ms dropped");
    let links: [(&str, Rate, f64); 4] = [
        ("300 kbit/s", |_| 0.3e6, 0.3e6),
        ("1 Mbit/s", |_| 1e6, 1e6),
        ("3 Mbit/s", |_| 3e6, 3e6),
        ("10 Mbit/s", |_| 10e6, 10e6),
    ];
    for (name, capacity, rate) in links {
        for seed in 1..=3 {
            let mut s = Simulation::new(Link::of(capacity), 20_000_000, seed);
            s.run(60.0);
            row(name, &s, 20.0, 60.0, rate, "");
            let share = s.mean(20.0, 60.0) / rate;
            assert!((0.8..=1.02).contains(&share), "{name}: {share}");
            let above = longest_above(&s, 10.0, 1.1 * rate);
            assert!(above < 1.0, "{name}: above the link for {above} s");
            assert!(s.queue95(20.0, 60.0) < 150.0, "{name}");
        }
    }
}

#[test]
fn a_drop_is_noticed_within_two_seconds() {
    for seed in 1..=3 {
        let mut s = Simulation::new(
            Link::of(|t| if t < 20.0 { 3e6 } else { 0.5e6 }),
            20_000_000,
            seed,
        );
        s.run(50.0);
        let after = s.until(20.0, |e| e < 0.6e6);
        row(
            "3 -> 0.5 Mbit/s",
            &s,
            25.0,
            50.0,
            0.5e6,
            &format!("below in {after:.2} s"),
        );
        assert!(after < 2.0, "{after}");
        assert!(s.mean(30.0, 50.0) > 0.7 * 0.5e6);
        assert!(s.queue95(23.0, 50.0) < 150.0);
    }
}

#[test]
fn random_loss_is_survived() {
    for (lost, least) in [(20, 0.8), (50, 0.8), (100, 0.5)] {
        for seed in 1..=2 {
            let mut link = Link::of(|_| 2e6);
            link.lost = lost;
            let mut s = Simulation::new(link, 20_000_000, seed);
            s.run(60.0);
            let name = format!("2 Mbit/s, {}% lost", lost / 10);
            row(&name, &s, 20.0, 60.0, 2e6, "");
            let share = s.mean(20.0, 60.0) / 2e6;
            assert!(share > least, "{lost}: {share}");
        }
    }
}

#[test]
fn it_comes_back_after_an_outage() {
    for seed in 1..=3 {
        let mut s = Simulation::new(
            Link::of(|t| if (20.0..25.0).contains(&t) { 0.0 } else { 3e6 }),
            20_000_000,
            seed,
        );
        s.run(60.0);
        let low = s
            .between(24.0, 25.0)
            .map(|s| s.estimate)
            .fold(f64::INFINITY, f64::min);
        let back = s.until(25.0, |e| e > 2e6);
        row(
            "3 Mbit/s, gone 20-25 s",
            &s,
            40.0,
            60.0,
            3e6,
            &format!("2 Mbit/s again in {back:.1} s"),
        );
        assert!(low < 1e6, "while nothing is heard it falls: {low}");
        assert!(back < 5.0, "{back}");
    }
}

#[test]
fn others_traffic_is_left_room() {
    let mut link = Link::of(|_| 3e6);
    link.cross = |t| {
        if (20.0..40.0).contains(&t) {
            1.5e6
        } else {
            0.0
        }
    };
    let mut s = Simulation::new(link, 20_000_000, 1);
    s.run(80.0);
    row("3 Mbit/s, half to others", &s, 25.0, 40.0, 1.5e6, "");
    row("  when they have gone", &s, 60.0, 80.0, 3e6, "");
    let share = s.mean(25.0, 40.0) / 1.5e6;
    assert!((0.6..1.1).contains(&share), "{share}");
    assert!(s.mean(60.0, 80.0) > 0.8 * 3e6);
}

#[test]
fn nothing_is_probed_beyond_the_goal() {
    let mut s = Simulation::new(Link::of(|_| 20e6), 3_000_000, 1);
    s.run(60.0);
    row("20 Mbit/s, 3 wanted", &s, 20.0, 60.0, 3e6, "");
    assert!(s.greatest(0.0, 60.0) <= 1.25 * 3e6);
    assert!(s.mean(20.0, 60.0) > 3e6);
}

#[test]
fn a_wider_link_is_found_while_little_is_sent() {
    // Two layers only: 200 kbit/s is sent until there is room for 2 Mbit/s.
    let mut s = Simulation::new(
        Link::of(|t| if t < 20.0 { 0.5e6 } else { 5e6 }),
        2_500_000,
        1,
    );
    s.goal = 200_000;
    s.run(40.0);
    let found = s.until(20.0, |e| e > 2.2e6);
    row(
        "0.5 -> 5 Mbit/s, 0.2 sent",
        &s,
        30.0,
        40.0,
        2.5e6,
        &format!("2.2 Mbit/s in {found:.1} s"),
    );
    assert!(found < 25.0, "{found}");
}

#[test]
fn a_short_queue_loses_instead_of_waiting() {
    let mut link = Link::of(|_| 1e6);
    link.queue = Duration::from_millis(40);
    let mut s = Simulation::new(link, 20_000_000, 1);
    s.run(60.0);
    row("1 Mbit/s, 40 ms of queue", &s, 20.0, 60.0, 1e6, "");
    let share = s.mean(20.0, 60.0) / 1e6;
    assert!((0.6..1.1).contains(&share), "{share}");
}

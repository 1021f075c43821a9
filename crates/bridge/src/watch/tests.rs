use super::*;
use crate::channel::Channels;
use crate::drain::Drain;
use crate::worker::WorkerParts;
use althing_bus::{InProcess, Subscription};
use althing_control::decode;
use althing_model::NodeId;
use futures_util::FutureExt;
use std::sync::Mutex;
use tokio_util::task::TaskTracker;

/// A watcher over workers that only count.
struct House {
    watcher: Watcher,
    workers: Vec<WorkerParts>,
    counted: Vec<Counters>,
    said: Subscription,
    now: Instant,
}

impl House {
    fn new(workers: usize, shedding: Shedding) -> Self {
        let bus = Arc::new(InProcess::new());
        let said = bus.subscribe(BRIDGES);
        let workers: Vec<_> = (0..workers)
            .map(|_| WorkerParts::new(Vec::new()).unwrap())
            .collect();
        let service = Arc::new(Service {
            node: NodeId::new("n1").unwrap(),
            channels: Arc::new(Channels::default()),
            workers: workers.iter().map(|worker| worker.handle.clone()).collect(),
            tasks: TaskTracker::new(),
            messages_per_second: 100,
            drain: Drain::default(),
            figures: Mutex::default(),
        });
        let now = Instant::now();
        Self {
            watcher: Watcher::new(service, bus, shedding, now),
            counted: vec![Counters::default(); workers.len()],
            workers,
            said,
            now,
        }
    }

    /// A second in which the workers were busy for these parts of it.
    fn second(&mut self, busy: &[f64]) {
        self.now += Duration::from_secs(1);
        for (index, busy) in busy.iter().enumerate() {
            let counted = &mut self.counted[index];
            counted.add(Count::BusyMicroseconds, (busy * 1e6) as u64);
            counted.add(Count::PacketsSent, 1_000);
            counted.add(Count::BytesSent, 1_000_000);
            self.workers[index].handle.counters.publish(counted);
        }
        self.watcher.read(self.now, &[]);
        self.watcher.tell();
    }

    fn statuses(&mut self) -> Vec<BridgeStatus> {
        let mut all = Vec::new();
        while let Some(Some(delivery)) = self.said.next().now_or_never() {
            all.push(decode(&delivery.payload).unwrap());
        }
        all
    }

    /// What the worker was told to leave off since it was last asked.
    fn shed(&self, worker: usize) -> Vec<Measures> {
        let commands = self.workers[worker].commands();
        commands
            .try_iter()
            .filter_map(|command| match command {
                Command::Shed(measures) => Some(measures),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn it_is_said_every_five_seconds_and_at_once_when_a_flag_turns() {
    let mut house = House::new(2, Shedding::On);
    house.second(&[0.1, 0.4]);
    let first = house.statuses();
    assert_eq!(first.len(), 1);
    assert!((first[0].stress - 0.25).abs() < 0.01, "{first:?}");
    for _ in 0..4 {
        house.second(&[0.1, 0.4]);
    }
    assert_eq!(house.statuses().len(), 0);
    house.second(&[0.1, 0.4]);
    assert_eq!(house.statuses().len(), 1);
    house.watcher.service.drain.ask(true);
    house.watcher.tell();
    let told = house.statuses();
    assert!(
        told.len() == 1 && told[0].drain && !told[0].overloaded,
        "{told:?}"
    );
    // Five seconds after that, not before.
    for _ in 0..4 {
        house.second(&[0.1, 0.4]);
    }
    assert_eq!(house.statuses().len(), 0);
}

#[test]
fn each_worker_leaves_off_what_it_has_to_and_people_are_refused_when_all_are_full() {
    let mut house = House::new(2, Shedding::On);
    for _ in 0..60 {
        house.second(&[1.0, 0.2]);
    }
    let full = house.shed(0);
    // Nobody has video here, so that little can be left off.
    assert_eq!(full.len(), 2, "{full:?}");
    assert!(!full[1].admits);
    assert_eq!(house.shed(1), []);
    assert!(house.statuses().iter().all(|status| !status.overloaded));
    let figures = house.watcher.service.figures();
    assert!(figures.workers[0].refuses && !figures.workers[1].refuses);
    assert!(figures.stress() > 1.2);

    for _ in 0..60 {
        house.second(&[1.0, 1.0]);
    }
    assert!(house.statuses().last().unwrap().overloaded);
    for _ in 0..120 {
        house.second(&[0.1, 0.1]);
    }
    assert!(!house.statuses().last().unwrap().overloaded);
    assert_eq!(house.shed(0).last(), Some(&Measures::NONE));
    assert_eq!(house.shed(1).last(), Some(&Measures::NONE));
}

#[test]
fn without_shedding_it_only_says_how_it_is() {
    let mut house = House::new(1, Shedding::Off);
    for _ in 0..60 {
        house.second(&[1.0]);
    }
    assert_eq!(house.shed(0), []);
    let last = house.statuses().pop().unwrap();
    assert!(last.stress > 1.2 && !last.overloaded, "{last:?}");
}

#[test]
fn a_worker_that_is_stuck_is_stressed_although_it_counts_nothing() {
    let mut house = House::new(1, Shedding::On);
    house.second(&[0.1]);
    house.workers[0].handle.pulse.begin(house.now);
    for _ in 0..10 {
        house.now += Duration::from_secs(1);
        house.watcher.read(house.now, &[]);
    }
    assert!(house.watcher.figures.stress() > 1.2);
    // What it counts at the end of that turn is not taken twice.
    house.counted[0].add(Count::BusyMicroseconds, 10_000_000);
    house.workers[0].handle.pulse.end();
    house.second(&[0.0]);
    assert!(house.watcher.figures.stress() < 1.0);
}

#[test]
fn rates_are_those_of_the_last_seconds() {
    let mut house = House::new(2, Shedding::On);
    for _ in 0..20 {
        house.second(&[0.1, 0.1]);
    }
    let rates = house.watcher.figures.rates;
    assert!((rates.packets_sent - 2_000.0).abs() < 1.0, "{rates:?}");
    assert!((rates.bits_sent - 16_000_000.0).abs() < 10.0, "{rates:?}");
    assert_eq!(rates.packets_received, 0.0);
}

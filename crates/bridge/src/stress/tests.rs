use super::*;

fn busy(busy: f64) -> Load {
    Load {
        busy,
        ..Load::default()
    }
}

/// A ladder on a clock of its own.
struct Run {
    ladder: Ladder,
    now: Instant,
    pictures: u32,
}

impl Run {
    fn new(pictures: u32) -> Self {
        Self {
            ladder: Ladder::default(),
            now: althing_testkit::epoch(),
            pictures,
        }
    }

    /// The steps after each of so many seconds.
    fn seconds(&mut self, count: usize, load: Load) -> Vec<usize> {
        (0..count)
            .map(|_| {
                self.now += Duration::from_secs(1);
                self.ladder.handle_load(self.now, load, self.pictures);
                self.ladder.step()
            })
            .collect()
    }
}

#[test]
fn what_people_notice_is_what_counts() {
    let load = |busy, late, unsent, unreceived| Load {
        busy,
        late,
        unsent,
        unreceived,
    };
    for (load, stress) in [
        (load(0.0, 0.0, 0.0, 0.0), 0.0),
        (load(0.4, 0.0, 0.0, 0.0), 0.5),
        (load(0.8, 0.0, 0.0, 0.0), 1.0),
        (load(1.0, 0.0, 0.0, 0.0), 1.25),
        (load(0.1, 0.05, 0.0, 0.0), 1.0),
        (load(0.1, 0.0, 0.01, 0.0), 1.0),
        (load(0.1, 0.0, 0.0, 0.015), 1.5),
        (load(0.1, 1.0, 1.0, 1.0), 2.0),
    ] {
        assert!((load.stress() - stress).abs() < 1e-9, "{load:?}: {stress}");
    }
}

#[test]
fn load_is_read_from_the_counters() {
    let mut counters = Counters::default();
    let half = Duration::from_millis(500);
    counters.add(Count::PacketsSent, 9_900);
    counters.add(Count::SendWouldBlock, 60);
    counters.add(Count::SendNoBuffers, 40);
    counters.add(Count::PacketsReceived, 980);
    counters.delayed(Duration::from_millis(1), 750);
    counters.delayed(Duration::from_millis(30), 250);
    let load = Load::of(&counters, half, 20, Duration::from_secs(1));
    assert_eq!(
        load,
        Load {
            busy: 0.5,
            late: 0.25,
            unsent: 0.01,
            unreceived: 0.02
        }
    );
    // A handful of datagrams say nothing, however late: a handshake is slow.
    let mut few = Counters::default();
    few.delayed(Duration::from_millis(90), 100);
    few.add(Count::SendWouldBlock, 100);
    assert_eq!(
        Load::of(&few, Duration::ZERO, 100, Duration::from_secs(1)),
        Load::default()
    );
}

#[test]
fn below_the_limit_nothing_is_left_off() {
    let mut run = Run::new(25);
    assert!(run.seconds(600, busy(0.75)).iter().all(|step| *step == 0));
    assert_eq!(run.ladder.measures(), Measures::NONE);
    assert!((run.ladder.stress() - 0.9375).abs() < 0.01);
}

#[test]
fn a_second_of_trouble_is_passed_over() {
    let mut run = Run::new(25);
    run.seconds(60, busy(0.3));
    let trouble = Load {
        late: 1.0,
        ..busy(0.3)
    };
    assert_eq!(run.seconds(1, trouble), [0]);
    assert!(run.seconds(60, busy(0.3)).iter().all(|step| *step == 0));
}

#[test]
fn it_climbs_in_order_and_refuses_newcomers_last() {
    let mut run = Run::new(25);
    // Full processor: 1.25.
    let steps = run.seconds(30, busy(1.0));
    assert!(steps.is_sorted(), "{steps:?}");
    let mut seen = steps.clone();
    seen.dedup();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    // A step has two seconds to show what it saves.
    for pair in [1, 2, 3, 4, 5, 6, 7] {
        assert_eq!(steps.iter().filter(|step| **step == pair).count(), 2);
    }
    for (step, measures) in STEPS.iter().enumerate() {
        assert_eq!(measures.admits, step != 8, "{step}");
        assert_eq!(measures.probing, step == 0, "{step}");
    }
    assert_eq!(run.ladder.measures().last_n, Some(2));
    assert_eq!(run.ladder.measures().max_height, Some(180));
}

#[test]
fn a_collapse_is_met_faster() {
    let mut run = Run::new(25);
    let collapse = Load {
        unsent: 0.5,
        ..busy(1.0)
    };
    let steps = run.seconds(14, collapse);
    assert_eq!(steps.last(), Some(&8), "{steps:?}");
}

#[test]
fn steps_that_save_nothing_are_passed_over() {
    for (pictures, expected) in [
        (0, vec![0, 1, 8]),
        (1, vec![0, 1, 6, 7, 8]),
        (3, vec![0, 1, 5, 6, 7, 8]),
        (9, vec![0, 1, 3, 4, 5, 6, 7, 8]),
        (100, vec![0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ] {
        let mut run = Run::new(pictures);
        let mut steps = run.seconds(40, busy(1.0));
        steps.dedup();
        assert_eq!(steps, expected, "{pictures} pictures");
    }
}

#[test]
fn it_stays_where_the_load_is_met_and_comes_back_slowly() {
    let mut run = Run::new(25);
    let climbed = run.seconds(8, busy(1.0));
    let step = *climbed.last().unwrap();
    assert!(step >= 2, "{climbed:?}");
    // Between the thresholds: as it is.
    let held = run.seconds(120, busy(0.68));
    assert!(held.iter().all(|now| *now <= step + 1), "{held:?}");
    let settled = *held.last().unwrap();
    assert!(held[20..].iter().all(|now| *now == settled), "{held:?}");
    // Well below: one step every ten seconds.
    let mut freed = run.seconds(15 + 10 * settled, busy(0.3));
    assert!(freed.is_sorted_by(|a, b| a >= b), "{freed:?}");
    assert_eq!(freed.last(), Some(&0));
    freed.dedup();
    assert_eq!(freed.len(), settled + 1);
    assert_eq!(run.ladder.measures(), Measures::NONE);
}

#[test]
fn load_that_only_its_own_measures_keep_down_does_not_swing() {
    // Without measures 0.95 of the time; each step saves a tenth of that.
    let mut run = Run::new(25);
    let mut changes = 0;
    for _ in 0..3_600 {
        let saved = 0.9_f64.powi(run.ladder.step() as i32);
        let before = run.ladder.step();
        run.seconds(1, busy(0.95 * saved));
        changes += usize::from(run.ladder.step() != before);
    }
    assert!(changes < 10, "{changes} changes in an hour");
}

use super::*;

/// Levels of two speakers over time, in seconds; ticks every 15 frames of 20 ms. Returns when who
/// (0 or 1) became dominant.
fn run(seconds: f64, incumbent: usize, levels: impl Fn(f64) -> (u8, u8)) -> Vec<(u64, usize)> {
    let start = althing_testkit::epoch();
    let mut speakers = [Speaker::default(), Speaker::default()];
    let mut dominant = Some(incumbent);
    let mut changes = Vec::new();
    for frame in 0..(seconds * 50.0) as u64 {
        let now = start + Duration::from_millis(20 * frame);
        let (a, b) = levels(frame as f64 * 0.02);
        speakers[0].heard(a, now);
        speakers[1].heard(b, now);
        if (frame + 1).is_multiple_of(15) {
            let winner = decide(dominant, speakers.iter_mut().enumerate(), now);
            if winner != dominant {
                changes.push((20 * frame, winner.unwrap()));
                dominant = winner;
            }
        }
    }
    changes
}

fn a_then_b(loud_b: u8) -> impl Fn(f64) -> (u8, u8) {
    move |t| match t {
        t if t < 0.2 => (20, 20),
        t if t < 3.0 => (100, 20),
        _ => (20, loud_b),
    }
}

#[test]
fn a_new_speaker_takes_over_after_half_a_second() {
    assert_eq!(run(8.0, 0, a_then_b(100)), [(3580, 1)]);
    assert_eq!(run(8.0, 1, a_then_b(100)), [(280, 0), (3580, 1)]);
}

#[test]
fn a_quiet_microphone_never_takes_over() {
    assert_eq!(run(20.0, 0, a_then_b(75)), []);
}

#[test]
fn equal_voices_change_nothing() {
    let both = |t: f64| if t < 0.2 { (20, 20) } else { (100, 100) };
    assert_eq!(run(8.0, 0, both), []);
    assert_eq!(run(8.0, 1, both), []);
}

#[test]
fn a_constant_tone_is_its_own_noise_floor() {
    assert_eq!(run(8.0, 1, |_| (100, 20)), []);
}

#[test]
fn counts_at_the_moment_of_the_change() {
    let start = althing_testkit::epoch();
    let (mut a, mut b) = (Speaker::default(), Speaker::default());
    for frame in 0..180u64 {
        let now = start + Duration::from_millis(20 * frame);
        let (x, y) = a_then_b(100)(frame as f64 * 0.02);
        a.heard(x, now);
        b.heard(y, now);
    }
    assert_eq!(a.counts(), (0, 0, 4));
    assert_eq!(b.counts(), (10, 5, 6));
}

#[test]
fn the_first_to_be_heard_is_dominant_at_once() {
    let now = althing_testkit::epoch();
    let mut one = [Speaker::default(), Speaker::default()];
    assert_eq!(decide(None, one.iter_mut().enumerate(), now), None);
    one[1].heard(20, now);
    assert_eq!(decide(None, one.iter_mut().enumerate(), now), Some(1));
}

#[test]
fn missing_packets_count_as_silence() {
    let start = althing_testkit::epoch();
    let mut s = Speaker::default();
    s.heard(20, start);
    for i in 1..=50 {
        s.heard(100, start + Duration::from_millis(20 * i));
    }
    assert_eq!(s.counts(), (10, 5, 10));
    s.decay(start + Duration::from_millis(20 * 50 + 40 * 5));
    assert_eq!(s.counts(), (0, 0, 9));
    s.decay(start + Duration::from_secs(60));
    assert_eq!(s.counts(), (0, 0, 0));
}

#[test]
fn scores_are_those_of_the_table() {
    let close = |v: f64, expected: f64| assert!((v - expected).abs() < 6e-4, "{v} {expected}");
    for (v, expected) in [
        (3, 1e-10),
        (4, 0.9298),
        (5, 2.2976),
        (6, 3.3653),
        (7, 4.1453),
        (8, 4.6376),
        (9, 4.8298),
        (10, 4.6935),
        (11, 4.1743),
        (12, 3.1625),
    ] {
        close(score(v, 13, 0.78), expected);
    }
    for (v, expected) in [
        (0, 1e-10),
        (1, 18.966),
        (2, 43.659),
        (3, 67.659),
        (4, 90.966),
        (5, 113.356),
    ] {
        close(score(v, 5, 24.0), expected);
    }
    for (v, expected) in [(0, 1e-10), (1, 38.521), (5, 229.748), (10, 459.218)] {
        close(score(v, 10, 47.0), expected);
    }
}

use super::*;

const LOUDEST: Loudest = Loudest {
    above: 10,
    count: 3,
};

/// A conference in steps of 20 ms.
struct Hall {
    ranking: Ranking,
    now: Instant,
    frames: u32,
}

impl Hall {
    /// Thirty microphones that have been open in quiet rooms for some seconds.
    fn new() -> Self {
        let mut hall = Self {
            ranking: Ranking::new(Some(LOUDEST)),
            now: althing_testkit::epoch(),
            frames: 0,
        };
        for _ in 0..250 {
            hall.frame(&[]);
        }
        assert!(hall.ranking.is_active());
        hall
    }

    /// One frame: those named have these levels, the others are quiet. Returns who is heard.
    fn frame(&mut self, levels: &[(usize, u8)]) -> Vec<usize> {
        self.now += Duration::from_millis(20);
        self.frames += 1;
        if self.frames.is_multiple_of(15) {
            self.ranking.sweep(self.now);
        }
        (0..30)
            .filter(|source| {
                let named = levels.iter().find(|(s, _)| s == source);
                let level = named.map_or(40, |(_, level)| *level);
                self.ranking.heard(*source, Some(level), self.now)
            })
            .collect()
    }

    /// Frames of the same levels; how many of them each of `sources` was heard in.
    fn frames<const N: usize>(
        &mut self,
        n: usize,
        levels: &[(usize, u8)],
        sources: [usize; N],
    ) -> [usize; N] {
        let mut heard = [0; N];
        for _ in 0..n {
            let frame = self.frame(levels);
            for (count, source) in heard.iter_mut().zip(sources) {
                *count += usize::from(frame.contains(&source));
            }
        }
        heard
    }
}

#[test]
fn up_to_ten_microphones_are_all_heard() {
    let mut ranking = Ranking::new(Some(LOUDEST));
    let now = althing_testkit::epoch();
    for source in 0..10 {
        assert!(ranking.heard(source, Some(60), now));
        assert!(ranking.heard(source, Some(0), now));
    }
    // Those who send silence are muted.
    for source in 10..20 {
        assert!(ranking.heard(source, Some(0), now));
    }
    assert!(!ranking.is_active());
    ranking.heard(10, Some(60), now);
    assert!(ranking.is_active());
}

#[test]
fn without_rules_everybody_is_heard() {
    let mut ranking = Ranking::new(None);
    let now = althing_testkit::epoch();
    assert!((0..100).all(|source| ranking.heard(source, Some(90), now)));
    assert!(!ranking.is_active());
}

#[test]
fn quiet_microphones_are_not_heard() {
    let mut hall = Hall::new();
    assert_eq!(hall.frame(&[]), [0usize; 0]);
}

#[test]
fn who_begins_to_speak_is_heard_from_the_first_frame() {
    let mut hall = Hall::new();
    assert_eq!(hall.frame(&[(7, 70)]), [7]);
    assert_eq!(hall.frame(&[(7, 95), (8, 60)]), [7, 8]);
}

#[test]
fn pauses_between_words_cost_no_place() {
    let mut hall = Hall::new();
    for _ in 0..10 {
        assert_eq!(hall.frames(20, &[(7, 95)], [7]), [20]);
        assert_eq!(hall.frames(25, &[], [7]), [25]);
    }
    // After two seconds of quiet the place is free.
    hall.frames(100, &[], [7]);
    assert_eq!(hall.frames(50, &[], [7]), [0]);
}

#[test]
fn a_fourth_voice_is_heard_at_once_and_must_then_win_a_place() {
    let mut hall = Hall::new();
    let three = [(1, 95), (2, 95), (3, 95)];
    hall.frames(100, &three, [1, 2, 3]);
    let four = [(1, 95), (2, 95), (3, 95), (9, 90)];
    // The onset: half a second, whatever the others do.
    assert_eq!(hall.frames(25, &four, [1, 2, 3, 9]), [25; 4]);
    assert_eq!(hall.frames(50, &four, [1, 2, 3, 9]), [50, 50, 50, 0]);
    // One of them ends; half a second later the fourth has the place for good.
    let others = [(1, 95), (2, 95), (9, 90)];
    let [.., fourth] = hall.frames(100, &others, [1, 2, 3, 9]);
    assert!(fourth >= 75, "{fourth}");
}

#[test]
fn a_fourth_voice_loses_nothing_when_another_ends_as_it_begins() {
    let mut hall = Hall::new();
    hall.frames(100, &[(1, 95), (2, 95), (3, 95)], [1]);
    let others = [(1, 95), (2, 95), (9, 90)];
    assert_eq!(hall.frames(200, &others, [9]), [200]);
}

#[test]
fn who_is_clearly_louder_takes_the_place_and_the_other_is_heard_a_moment_more() {
    let mut hall = Hall::new();
    hall.frames(100, &[(1, 95), (2, 95), (3, 80)], [3]);
    let four = [(1, 95), (2, 95), (3, 80), (9, 90)];
    // The hang-over: 400 ms.
    assert_eq!(hall.frames(20, &four, [3, 9]), [20, 20]);
    assert_eq!(hall.frames(100, &four, [3, 9]), [0, 100]);
}

#[test]
fn equal_voices_do_not_take_turns() {
    let mut hall = Hall::new();
    let five = [(1, 95), (2, 95), (3, 95), (4, 95), (5, 95)];
    hall.frames(100, &five, [1]);
    let before = hall.frame(&five);
    assert_eq!(before.len(), 3);
    for i in 0..200 {
        // Their levels differ from frame to frame.
        let wobble = five.map(|(s, level)| (s, level + ((i + s) % 5) as u8));
        assert_eq!(hall.frame(&wobble), before);
    }
}

#[test]
fn at_most_twice_as_many_as_places_are_heard_at_once() {
    let mut hall = Hall::new();
    let mut state = 7u64;
    let mut heard = 0;
    for _ in 0..2000 {
        let levels: Vec<(usize, u8)> = (0..30)
            .map(|s| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (s, 30 + (state >> 58) as u8 + 20 * ((state >> 40) as u8 % 3))
            })
            .collect();
        heard += hall.frame(&levels).len();
        assert!(hall.ranking.places.len() <= 3 && hall.ranking.guests.len() <= 3);
    }
    // Some change within a frame.
    assert!(heard <= 2000 * 6, "{heard}");
}

#[test]
fn a_hum_is_heard_where_nobody_else_is_and_gives_way_to_anybody() {
    let mut hall = Hall::new();
    // From its first packet on it is loud and constant: three fans.
    let fans = [(20, 85), (21, 85), (22, 85)];
    for source in 20..23 {
        hall.ranking.forget(source);
    }
    hall.frames(200, &fans, [20]);
    assert_eq!(hall.frame(&fans), [20, 21, 22]);
    let with_voice = [(20, 85), (21, 85), (22, 85), (5, 60)];
    assert_eq!(hall.frames(50, &with_voice, [5]), [50], "a soft voice");
}

#[test]
fn who_sends_nothing_has_no_place() {
    let mut hall = Hall::new();
    hall.frames(50, &[(1, 95), (2, 95), (3, 95)], [1]);
    // The third stops sending altogether; the fourth is softer.
    for i in 0..20 {
        hall.now += Duration::from_millis(20);
        for source in [1, 2] {
            hall.ranking.heard(source, Some(95), hall.now);
        }
        let heard = hall.ranking.heard(4, Some(75), hall.now);
        assert_eq!(heard, i >= 7, "frame {i}");
    }
}

#[test]
fn sources_without_levels_are_heard_while_there_is_room() {
    let mut hall = Hall::new();
    assert!(hall.ranking.heard(40, None, hall.now));
    for _ in 0..50 {
        hall.frame(&[(1, 95), (2, 95)]);
        assert!(hall.ranking.heard(40, None, hall.now));
    }
    hall.frames(50, &[(1, 95), (2, 95), (3, 95)], [1]);
    assert!(!hall.ranking.heard(40, None, hall.now));
}

#[test]
fn when_others_mute_themselves_all_are_heard_again() {
    let mut hall = Hall::new();
    for _ in 0..300 {
        hall.now += Duration::from_millis(20);
        for source in 0..30 {
            let level = if source < 10 { 40 } else { 0 };
            hall.ranking.heard(source, Some(level), hall.now);
        }
    }
    hall.ranking.sweep(hall.now);
    assert!(!hall.ranking.is_active());
    assert!(hall.ranking.heard(0, Some(40), hall.now));
}

#[test]
fn whoever_is_gone_leaves_nothing_to_the_next_by_that_index() {
    let mut hall = Hall::new();
    hall.frames(50, &[(1, 95), (2, 95), (3, 95)], [1]);
    hall.ranking.forget(3);
    let frame = [(1, 95), (2, 95), (3, 0), (4, 60)];
    assert_eq!(hall.frame(&frame), [1, 2, 4]);
    assert!(!hall.ranking.unmuted.contains(&3));
}

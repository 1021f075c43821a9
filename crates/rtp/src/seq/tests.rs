use super::*;
use proptest::prelude::*;

#[test]
fn distance_goes_the_shorter_way() {
    for (from, to, expected) in [
        (0, 0, 0),
        (0, 1, 1),
        (1, 0, -1),
        (65_535, 0, 1),
        (0, 65_535, -1),
        (65_530, 5, 11),
        (5, 65_530, -11),
        (0, 32_767, 32_767),
        (0, 32_768, -32_768),
        (40_000, 7_232, -32_768),
    ] {
        assert_eq!(distance(from, to), expected, "{from} to {to}");
    }
}

#[test]
fn newer_is_strict() {
    assert!(is_newer(1, 0));
    assert!(!is_newer(0, 0));
    assert!(!is_newer(0, 1));
    assert!(is_newer(0, 65_535));
    assert!(!is_newer(65_535, 0));
    assert!(!is_newer(32_768, 0), "exactly half is not after");
}

#[test]
fn timestamps_wrap_too() {
    assert_eq!(timestamp_distance(u32::MAX, 959), 960);
    assert_eq!(timestamp_distance(959, u32::MAX), -960);
}

#[test]
fn extend_stays_near() {
    for (near, sequence, expected) in [
        (0x1_0000, 0, 0x1_0000),
        (0x1_ffff, 0, 0x2_0000),
        (0x2_0000, 0xffff, 0x1_ffff),
        (0x1_0005, 0xfff0, 0x0_fff0),
        (5, 0xfff0, 0xfff0),
        (0, 0, 0),
    ] {
        assert_eq!(extend(near, sequence), expected, "{near:#x} {sequence:#x}");
    }
}

#[test]
fn a_late_packet_of_the_earlier_cycle_keeps_its_number() {
    let mut e = Extender::new();
    assert_eq!(e.extend(65_534), 0x1_fffe);
    assert_eq!(e.extend(1), 0x2_0001);
    assert_eq!(e.extend(65_535), 0x1_ffff);
    assert_eq!(e.extend(0), 0x2_0000);
    assert_eq!(e.highest(), Some(0x2_0001));
}

#[test]
fn a_packet_sent_before_the_first_has_a_smaller_number() {
    let mut e = Extender::new();
    let first = e.extend(3);
    let earlier = e.extend(65_533);
    assert_eq!(first - earlier, 6);
}

#[test]
fn many_wraps() {
    let mut e = Extender::new();
    let start = e.extend(0);
    for i in 1..300_000_u64 {
        assert_eq!(e.extend(truncate(i)), start + i);
    }
}

proptest! {
    #[test]
    fn any_walk_of_small_steps_is_followed(
        start in any::<u16>(),
        steps in prop::collection::vec(-2_000_i64..20_000, 1..200),
    ) {
        let mut e = Extender::new();
        let mut truth = u64::from(start) | 0x1_0000;
        let mut highest = truth;
        prop_assert_eq!(e.extend(start), truth);
        for step in steps {
            let next = highest.saturating_add_signed(step);
            prop_assert_eq!(e.extend(truncate(next)), next);
            truth = next;
            highest = highest.max(truth);
        }
        prop_assert_eq!(e.highest(), Some(highest));
    }

    #[test]
    fn truncation_undoes_extension(near in any::<u64>(), sequence in any::<u16>()) {
        prop_assert_eq!(truncate(extend(near >> 1, sequence)), sequence);
    }

    #[test]
    fn order_is_antisymmetric(a in any::<u16>(), b in any::<u16>()) {
        prop_assume!(a != b && a.wrapping_sub(b) != 0x8000);
        prop_assert_ne!(is_newer(a, b), is_newer(b, a));
    }
}

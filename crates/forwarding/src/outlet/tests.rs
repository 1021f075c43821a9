use super::*;

fn outlet(kind: MediaKind, now: Instant) -> Outlet {
    let name = SourceName::new("ann-v0").unwrap();
    let mut o = Outlet::new(kind, Ssrc(1), Some(Ssrc(2)), name.clone(), 500, now);
    o.map(0, name);
    o
}

const fn packet(number: u64, timestamp: u32, starts: bool) -> Numbers {
    Numbers {
        number,
        timestamp,
        starts,
        epoch: 0,
        ids: FrameIds::NONE,
    }
}

fn sequence(v: Verdict) -> Option<u16> {
    match v {
        Verdict::Send { sequence, .. } => Some(sequence),
        Verdict::NeedsKeyframe | Verdict::Drop => None,
    }
}

fn timestamp(v: Verdict) -> u32 {
    match v {
        Verdict::Send { timestamp, .. } => timestamp,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_passes_before_the_map_and_the_hold() {
    let now = althing_testkit::epoch();
    let hold = Duration::from_millis(400);
    let mut o = outlet(MediaKind::Video, now);
    assert_eq!(o.accept(packet(10, 0, true), now), Verdict::Drop);
    o.announced(hold, now);
    assert_eq!(o.accept(packet(11, 0, true), now), Verdict::Drop);
    let then = now + hold;
    assert_eq!(o.accept(packet(12, 0, false), then), Verdict::NeedsKeyframe);
    assert_eq!(sequence(o.accept(packet(13, 0, true), then)), Some(501));
}

#[test]
fn losses_stay_losses_and_older_packets_stay_out() {
    let now = althing_testkit::epoch();
    let mut o = outlet(MediaKind::Video, now);
    o.gate = Gate::Waiting;
    assert_eq!(sequence(o.accept(packet(100, 0, true), now)), Some(501));
    assert_eq!(sequence(o.accept(packet(103, 0, false), now)), Some(504));
    assert_eq!(sequence(o.accept(packet(102, 0, false), now)), Some(503));
    assert_eq!(sequence(o.accept(packet(99, 0, false), now)), None);
    assert_eq!(o.source_number(503), Some(102));
    assert_eq!(o.source_number(504), Some(103));
    assert_eq!(o.source_number(505), None, "not sent yet");
    assert_eq!(o.source_number(500), None, "from before the mapping");
}

#[test]
fn a_remap_continues_sequence_and_time() {
    let now = althing_testkit::epoch();
    let mut o = outlet(MediaKind::Video, now);
    o.gate = Gate::Waiting;
    let first = o.accept(packet(100, 1_000_000, true), now);
    assert_eq!(
        timestamp(first),
        1_000_000,
        "the first mapping needs no change"
    );
    o.map(1, SourceName::new("bob-v0").unwrap());
    o.known = true;
    o.announced(Duration::from_millis(400), now);
    let later = now + Duration::from_secs(2);
    let second = o.accept(packet(70_000, 5, true), later);
    assert_eq!(sequence(second), Some(502));
    assert_eq!(timestamp(second), 1_000_000 + 180_000);
    // At once: at least one frame.
    o.map(2, SourceName::new("cat-v0").unwrap());
    o.announced(Duration::from_millis(400), later);
    let third = o.accept(packet(9, 77, true), later);
    assert_eq!((sequence(third), timestamp(third)), (Some(503), 1_183_000));
    assert_eq!(o.timestamp(77 + 3000), 1_186_000, "reports follow");
}

#[test]
fn a_new_epoch_starts_again_in_place() {
    let now = althing_testkit::epoch();
    let mut o = outlet(MediaKind::Audio, now);
    o.gate = Gate::Waiting;
    o.accept(packet(100, 0, true), now);
    assert!(o.carries(0));
    let anew = Numbers {
        epoch: 1,
        ..packet(5, 40, true)
    };
    let at = now + Duration::from_millis(20);
    assert_eq!(
        o.accept(anew, at),
        Verdict::Send {
            sequence: 502,
            timestamp: 960
        }
    );
    assert!(!o.carries(0));
}

#[test]
fn round_trips_come_from_the_reports_that_were_forwarded() {
    let now = althing_testkit::epoch();
    let mut o = outlet(MediaKind::Video, now);
    o.report_sent(0x1234_5678, now);
    o.report_sent(0x1234_9999, now + Duration::from_secs(1));
    let at = now + Duration::from_millis(1600);
    let half = 32_768;
    assert_eq!(
        o.round_trip(0x1234_9999, half, at),
        Some(Duration::from_millis(100))
    );
    assert_eq!(
        o.round_trip(0x1234_5678, half, at),
        Some(Duration::from_millis(1100))
    );
    assert_eq!(o.round_trip(0x1111_1111, half, at), None);
    assert_eq!(o.round_trip(0, 0, at), None);
    assert_eq!(o.round_trip(0x1234_9999, u32::MAX, at), None);
}

#[test]
fn resends_are_spaced_and_bounded() {
    let now = althing_testkit::epoch();
    let mut o = outlet(MediaKind::Video, now);
    let rtt = Some(Duration::from_millis(100));
    let ms = Duration::from_millis;
    assert!(o.may_resend(7, rtt, now));
    assert!(!o.may_resend(7, rtt, now + ms(89)));
    assert!(o.may_resend(8, rtt, now + ms(1)));
    assert!(o.may_resend(7, rtt, now + ms(91)));
    let resent = (2..100)
        .filter(|i| o.may_resend(7, rtt, now + ms(100 * i)))
        .count();
    assert_eq!(resent, 8, "ten in all");
}

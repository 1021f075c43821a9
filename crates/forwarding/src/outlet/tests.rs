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
        view: ViewKey::whole(0),
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
    assert_eq!(o.accept(&packet(10, 0, true), now), Verdict::Drop);
    o.announced(hold, now);
    assert_eq!(o.accept(&packet(11, 0, true), now), Verdict::Drop);
    let then = now + hold;
    assert_eq!(
        o.accept(&packet(12, 0, false), then),
        Verdict::NeedsKeyframe
    );
    assert_eq!(sequence(o.accept(&packet(13, 0, true), then)), Some(501));
}

#[test]
fn losses_stay_losses_and_older_packets_stay_out() {
    let now = althing_testkit::epoch();
    let mut o = outlet(MediaKind::Video, now);
    o.gate = Gate::Waiting;
    assert_eq!(sequence(o.accept(&packet(100, 0, true), now)), Some(501));
    assert_eq!(sequence(o.accept(&packet(103, 0, false), now)), Some(504));
    assert_eq!(sequence(o.accept(&packet(102, 0, false), now)), Some(503));
    assert_eq!(sequence(o.accept(&packet(99, 0, false), now)), None);
    let past = |o: &Outlet, sequence| o.past(sequence).map(|p| p.number);
    assert_eq!(past(&o, 503), Some(102));
    assert_eq!(past(&o, 504), Some(103));
    assert_eq!(past(&o, 505), None, "not sent yet");
    assert_eq!(past(&o, 500), None, "from before the mapping");
}

#[test]
fn a_remap_continues_sequence_and_time() {
    let now = althing_testkit::epoch();
    let mut o = outlet(MediaKind::Video, now);
    o.gate = Gate::Waiting;
    let first = o.accept(&packet(100, 1_000_000, true), now);
    assert_eq!(
        timestamp(first),
        1_000_000,
        "the first mapping needs no change"
    );
    o.map(1, SourceName::new("bob-v0").unwrap());
    o.known = true;
    o.announced(Duration::from_millis(400), now);
    let later = now + Duration::from_secs(2);
    let second = o.accept(&packet(70_000, 5, true), later);
    assert_eq!(sequence(second), Some(502));
    assert_eq!(timestamp(second), 1_000_000 + 180_000);
    // At once: at least one frame.
    o.map(2, SourceName::new("cat-v0").unwrap());
    o.announced(Duration::from_millis(400), later);
    let third = o.accept(&packet(9, 77, true), later);
    assert_eq!((sequence(third), timestamp(third)), (Some(503), 1_183_000));
    assert_eq!(o.timestamp(77 + 3000), 1_186_000, "reports follow");
}

#[test]
fn a_new_epoch_starts_again_in_place() {
    let now = althing_testkit::epoch();
    let mut o = outlet(MediaKind::Audio, now);
    o.gate = Gate::Waiting;
    o.accept(&packet(100, 0, true), now);
    assert_eq!(o.view(), Some(ViewKey::whole(0)));
    let anew = Numbers {
        view: ViewKey::whole(1),
        ..packet(5, 40, true)
    };
    let at = now + Duration::from_millis(20);
    assert_eq!(
        o.accept(&anew, at),
        Verdict::Send {
            sequence: 502,
            timestamp: 960
        }
    );
    assert_eq!(o.view(), Some(ViewKey::whole(1)));
}

/// A segment of another view.
const fn in_view(index: u8, number: u64, timestamp: u32) -> Numbers {
    Numbers {
        view: ViewKey {
            encoding: index,
            index,
            generation: 0,
        },
        ..packet(number, timestamp, true)
    }
}

#[test]
fn a_switch_of_encodings_keeps_the_wall_clock_and_never_goes_back() {
    let now = althing_testkit::epoch();
    let ms = |n| now + Duration::from_millis(n);
    let mut o = outlet(MediaKind::Video, now);
    o.gate = Gate::Waiting;
    o.begin(&in_view(0, 100, 50_000), None, now);
    assert_eq!(timestamp(o.accept(&in_view(0, 100, 50_000), now)), 50_000);
    // The other encoding's frame of 30 ms later, which comes 50 ms later.
    o.begin(&in_view(1, 7, 9), Some(52_700), ms(50));
    let second = o.accept(&in_view(1, 7, 9), ms(50));
    assert_eq!((sequence(second), timestamp(second)), (Some(502), 52_700));
    // Back, to a frame of the same time: a millisecond more, which is made good with the next one.
    o.begin(&in_view(0, 130, 52_700), Some(9), ms(60));
    assert_eq!(
        timestamp(o.accept(&in_view(0, 130, 52_700), ms(60))),
        52_790
    );
    o.begin(&in_view(1, 9, 3009), Some(55_700), ms(90));
    assert_eq!(timestamp(o.accept(&in_view(1, 9, 3009), ms(90))), 55_700);
    // A wall clock that is off by hours is none.
    o.begin(&in_view(0, 140, 77), Some(500_000_000), ms(190));
    assert_eq!(timestamp(o.accept(&in_view(0, 140, 77), ms(190))), 64_700);
}

#[test]
fn what_was_lost_before_another_view_keeps_its_place() {
    let now = althing_testkit::epoch();
    let mut o = outlet(MediaKind::Video, now);
    o.gate = Gate::Waiting;
    o.begin(&in_view(0, 100, 0), None, now);
    assert_eq!(sequence(o.accept(&in_view(0, 100, 0), now)), Some(501));
    // 101 and 102 are lost; with 103 another view of the encoding begins, where it is 203.
    let other = Numbers {
        view: ViewKey {
            encoding: 0,
            index: 1,
            generation: 0,
        },
        ..in_view(0, 203, 3000)
    };
    o.go_on(&other, (103, 0));
    assert_eq!(sequence(o.accept(&other, now)), Some(504));
    let late = Numbers {
        number: 202,
        ..other
    };
    assert_eq!(o.accept(&late, now), Verdict::Drop);
    let past = |o: &Outlet, sequence| o.past(sequence).map(|p| (p.segment.view.index, p.number));
    assert_eq!(past(&o, 503), Some((0, 102)));
    assert_eq!(past(&o, 504), Some((1, 203)));
    assert_eq!(past(&o, 500), None);
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
    let mut resend = |number, at| {
        let may = o.may_resend(number, rtt, at);
        if may {
            o.resent(number, at);
        }
        may
    };
    assert!(resend(7, now));
    assert!(!resend(7, now + ms(89)));
    assert!(resend(8, now + ms(1)));
    assert!(resend(7, now + ms(91)));
    let resent = (2..100).filter(|i| resend(7, now + ms(100 * i))).count();
    assert_eq!(resent, 8, "ten in all");
}

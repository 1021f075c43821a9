use super::*;
use crate::audit::Line;
use althing_bus::{Bus as _, InProcess};
use althing_control::rooms::{Departure, Happening, NOTICES, RoomActor, RoomName, RoomPerson};
use althing_model::EndpointId;
use tokio::sync::mpsc::Receiver;

fn person(id: &str) -> RoomPerson {
    RoomPerson {
        occupant: EndpointId::new(id).unwrap(),
        session: Some("n1/1".into()),
        user: None,
        name: Some("Ada".into()),
    }
}

fn tell(bus: &InProcess, number: u64, what: Happening) {
    let notice = RoomNotice {
        node: NodeId::new("n1").unwrap(),
        number,
        at_millis: 1_767_225_600_000,
        meeting: "m".into(),
        room: RoomName {
            tenant: None,
            name: "demo".into(),
        },
        breakout: None,
        what,
    };
    bus.publish(NOTICES, althing_control::encode(&notice).into());
}

/// What the audit log has after these notices.
async fn logged(attendance: bool, notices: Vec<(u64, Happening)>) -> (Vec<String>, Metrics) {
    let bus = InProcess::new();
    let metrics = Metrics::default();
    let (audit, mut lines): (_, Receiver<Line>) = audit::queue(&metrics);
    let feed = Feed {
        audit: Some(audit),
        attendance,
        hooks: Vec::new(),
        metrics: metrics.clone(),
    };
    let subscription = bus.subscribe(NOTICES);
    for (number, what) in notices {
        tell(&bus, number, what);
    }
    let stop = CancellationToken::new();
    stop.cancel();
    feed.run(subscription, stop).await;
    let mut written = Vec::new();
    while let Some(line) = lines.recv().await {
        written.push(line.text);
    }
    (written, metrics)
}

fn kick() -> Happening {
    Happening::Kicked {
        whom: person("ab12"),
        by: RoomActor::Key("ops".into()),
        reason: None,
    }
}

fn left() -> Happening {
    Happening::Left {
        who: person("ab12"),
        reason: Departure::Kicked,
        seconds: 7,
    }
}

#[tokio::test]
async fn moderation_is_logged_and_attendance_only_if_asked_for() {
    let notices = || vec![(1, Happening::RoomStarted), (2, kick()), (3, left())];
    let (lines, metrics) = logged(false, notices()).await;
    assert_eq!(
        lines,
        [concat!(
            r#"{"at":"2026-01-01T00:00:00Z","by":{"key":"ops"},"event":"kicked","meeting":"m","#,
            r#""room":{"name":"demo"},"whom":{"name":"Ada","occupant":"ab12","session":"n1/1"}}"#
        )]
    );
    assert_eq!(metrics.notices_lost.get(), 0);
    let (lines, _) = logged(true, notices()).await;
    assert_eq!(lines.len(), 3);
    assert!(lines[2].contains(r#""seconds":7"#), "{}", lines[2]);
}

#[tokio::test]
async fn a_gap_in_the_numbers_is_counted_and_written_down() {
    let (lines, metrics) = logged(false, vec![(1, kick()), (5, kick())]).await;
    assert_eq!(metrics.notices_lost.get(), 3);
    assert_eq!(
        lines[1],
        r#"{"at":"2026-01-01T00:00:00Z","count":3,"event":"lost"}"#
    );
    assert_eq!(lines.len(), 3);
}

//! What moderators may have the focus do.

use super::*;
use crate::Input;
use althing_model::{EndpointId, MediaKinds};
use althing_room::{Action, Medium, RoomEvent};

/// A moderator, a participant, a visitor, and nothing heard yet.
fn world() -> World {
    let mut world = World::new(settings());
    world.join("m", Role::Moderator);
    world.join("p", Role::Participant);
    world.join("v", Role::Visitor);
    world.inboxes.clear();
    world
}

fn mute(medium: &str, jid: &str, text: &str) -> Element {
    element(&format!(
        r#"<mute xmlns="http://jitsi.org/jitmeet/{medium}" jid="{jid}">{text}</mute>"#
    ))
}

impl World {
    fn forward(&mut self, nick: &str, forwarded: MediaKinds) {
        let id = EndpointId::new(nick).unwrap();
        self.input(Input::Room(RoomEvent::ForwardedChanged { id, forwarded }));
    }

    /// What somebody is answered: `result`, or the condition.
    fn answered(&mut self, nick: &str, payload: Element) -> String {
        self.request(nick, "set", payload);
        let heard = self.inbox(nick);
        assert_eq!(heard.len(), 1, "{heard:?}");
        match heard[0].attr("type").unwrap() {
            "error" => {
                let kind = heard[0].child("error", ns::CLIENT).unwrap();
                format!("{}/{}", kind.attr("type").unwrap(), condition(&heard[0]))
            }
            other => other.to_owned(),
        }
    }
}

#[test]
fn mute_requests_are_answered_by_the_table() {
    let cases: &[(&str, &str, &str, &str, Option<Action>)] = &[
        ("m", "r@muc.meet.jitsi/p", "true", "result", None),
        ("m", "r@muc.meet.jitsi/m", "true", "result", None),
        ("m", "r@muc.meet.jitsi/m", "false", "result", None),
        ("p", "r@muc.meet.jitsi/p", "true", "result", None),
        ("p", "r@muc.meet.jitsi/p", "false", "result", None),
        (
            "m",
            "r@muc.meet.jitsi/p",
            "false",
            "cancel/not-allowed",
            Some(Action::Unmute),
        ),
        (
            "p",
            "r@muc.meet.jitsi/m",
            "false",
            "cancel/not-allowed",
            Some(Action::Unmute),
        ),
        (
            "p",
            "r@muc.meet.jitsi/m",
            "true",
            "cancel/not-allowed",
            Some(Action::Mute),
        ),
        (
            "v",
            "r@muc.meet.jitsi/m",
            "true",
            "cancel/not-allowed",
            Some(Action::Mute),
        ),
        (
            "p",
            "r@muc.meet.jitsi/x",
            "true",
            "cancel/not-allowed",
            Some(Action::Mute),
        ),
        (
            "m",
            "r@muc.meet.jitsi/x",
            "true",
            "cancel/internal-server-error",
            None,
        ),
        (
            "m",
            "r@muc.meet.jitsi/p",
            "maybe",
            "modify/bad-request",
            None,
        ),
        ("m", "r@muc.meet.jitsi/p", "", "modify/bad-request", None),
        ("m", "r@muc.meet.jitsi", "true", "modify/bad-request", None),
        ("m", "", "true", "modify/bad-request", None),
    ];
    for medium in ["audio", "video", "desktop"] {
        for (who, jid, text, expected, denied) in cases {
            let mut world = world();
            let answer = world.answered(who, mute(medium, jid, text));
            assert_eq!(answer, *expected, "{who} {jid} {text}");
            assert_eq!(world.denied, Vec::from_iter(*denied), "{who} {jid} {text}");
            let told = world.inboxes.values().map(Vec::len).sum::<usize>();
            let another = *expected == "result" && !jid.ends_with(who);
            assert_eq!(told, usize::from(another), "{who} {jid} {text}");
        }
    }
}

#[test]
fn who_is_muted_is_told_by_whom_and_nothing_is_remembered() {
    let mut world = world();
    let before = serde_json::to_value(world.focus.snapshot(world.now)).unwrap();
    let order = mute("video", "r@muc.meet.jitsi/p", "true");
    assert_eq!(world.answered("m", order), "result");
    let request = world.inbox("p").remove(0);
    assert_eq!(request.attr("type"), Some("set"));
    let order = request.child("mute", ns::JITMEET_VIDEO).unwrap();
    assert_eq!(order.attr("actor"), Some("r@muc.meet.jitsi/m"));
    assert_eq!(order.attr("jid"), Some("r@muc.meet.jitsi/p"));
    assert_eq!(order.text(), "true");
    let mut after = serde_json::to_value(world.focus.snapshot(world.now)).unwrap();
    after["focus"]["next_iq"] = before["focus"]["next_iq"].clone();
    assert_eq!(after, before);
}

#[test]
fn whoever_runs_the_server_mutes_as_the_focus_does() {
    let mut world = world();
    let mute = |id: &str| Input::Mute {
        by: "ops".into(),
        id: EndpointId::new(id).unwrap(),
        medium: Medium::Audio,
    };
    world.input(mute("nobody"));
    world.input(mute("p"));
    let request = world.inbox("p").remove(0);
    let order = request.child("mute", ns::JITMEET_AUDIO).unwrap();
    assert_eq!(order.attr("actor"), Some("r@muc.meet.jitsi/focus"));
    assert_eq!(order.attr("jid"), Some("r@muc.meet.jitsi/p"));
}

#[test]
fn nobody_unmutes_what_a_moderator_has_to_approve() {
    let mut world = world();
    let silenced = MediaKinds {
        audio: false,
        ..MediaKinds::ALL
    };
    world.forward("p", silenced);
    let own = |medium| mute(medium, "r@muc.meet.jitsi/p", "false");
    assert_eq!(world.answered("p", own("audio")), "cancel/not-allowed");
    assert_eq!(world.denied, [Action::Unmute]);
    assert_eq!(world.answered("p", own("video")), "result");
    assert_eq!(world.answered("p", own("desktop")), "result");
    // To mute oneself is always fine.
    let quiet = mute("audio", "r@muc.meet.jitsi/p", "true");
    assert_eq!(world.answered("p", quiet), "result");
    world.forward("p", MediaKinds::ALL);
    assert_eq!(world.answered("p", own("audio")), "result");
    assert_eq!(world.denied, [Action::Unmute]);
}

#[test]
fn recordings_are_refused_as_clients_know_it() {
    let jibri = |attributes: &str| {
        element(&format!(
            r#"<jibri xmlns="http://jitsi.org/protocol/jibri" {attributes}/>"#
        ))
    };
    let unavailable = "cancel/service-unavailable";
    for (attributes, expected) in [
        (r#"action="start" recording_mode="file""#, unavailable),
        (
            r#"action="start" recording_mode="stream" streamid="k""#,
            unavailable,
        ),
        (r#"action="start" sipaddress="sip:a@b""#, unavailable),
        (
            r#"action="stop" recording_mode="file""#,
            "cancel/item-not-found",
        ),
        (
            r#"action="stop" recording_mode="stream""#,
            "cancel/item-not-found",
        ),
        (r#"action="stop""#, "cancel/item-not-found"),
        (
            r#"action="start" recording_mode="stream""#,
            "modify/bad-request",
        ),
        (
            r#"action="start" recording_mode="undefined""#,
            "modify/bad-request",
        ),
        (r#"action="start""#, "modify/bad-request"),
        (
            r#"action="status" recording_mode="file""#,
            "modify/bad-request",
        ),
        ("", "modify/bad-request"),
    ] {
        let mut world = world();
        assert_eq!(
            world.answered("m", jibri(attributes)),
            expected,
            "{attributes}"
        );
        assert!(world.denied.is_empty());
        for guest in ["p", "v"] {
            let answer = world.answered(guest, jibri(attributes));
            assert_eq!(answer, "cancel/not-allowed", "{attributes}");
        }
        assert_eq!(world.denied, [Action::Record; 2]);
        assert!(world.inboxes.values().all(Vec::is_empty));
    }
    let dial = element(r#"<dial xmlns="urn:xmpp:rayo:1" to="+491" from="fromnumber"/>"#);
    assert_eq!(world().answered("m", dial), unavailable);
}

#[test]
fn the_focus_answers_pings() {
    let mut world = world();
    world.request("p", "get", element(r#"<ping xmlns="urn:xmpp:ping"/>"#));
    assert_eq!(actions(&world.inbox("p")), ["result"]);
}

#[test]
fn clients_that_do_not_read_metadata_are_told_to_start_muted_once() {
    let mut world = World::new(settings());
    world.start_muted = althing_room::StartMuted {
        audio: true,
        video: false,
    };
    world.arrive("old", &[ns::JINGLE_RTP_AUDIO]);
    world.arrive(
        "new",
        &[ns::JINGLE_RTP_AUDIO, ns::FEATURE_START_MUTED_METADATA],
    );
    world.obey();
    let told = |offer: &Offered| {
        let jingle = offer.element.child("jingle", ns::JINGLE).unwrap();
        let muted = jingle.child("startmuted", ns::START_MUTED)?;
        Some((
            muted.attr("audio")?.to_owned(),
            muted.attr("video")?.to_owned(),
        ))
    };
    let old = offer_in(&world.inbox("old"));
    assert_eq!(told(&old), Some(("true".to_owned(), "false".to_owned())));
    assert_eq!(told(&offer_in(&world.inbox("new"))), None);
}

use crate::fuzzing::{World, settings};
use crate::{BridgeFailure, Focus, Settings};
use althing_control::{BridgeReply, BridgeRequest, RefusalCode, SlotMode};
use althing_model::{EndpointId, Entropy as _, MediaKind, MediaMode, Role, SeededEntropy};
use althing_room::{Caps, PresenceFacts};
use althing_xmpp::jingle::{Body, Jingle, RawSources};
use althing_xmpp::{Element, Limits, ns, parse};
use std::time::Duration;

mod moderation;
mod overload;

const XML: &[&str] = &[
    ns::JINGLE_RTP_AUDIO,
    ns::JINGLE_RTP_VIDEO,
    ns::RFC4588,
    ns::FEATURE_TCC,
];
const JSON: &[&str] = &[
    ns::JINGLE_RTP_AUDIO,
    ns::JINGLE_RTP_VIDEO,
    ns::RFC4588,
    ns::FEATURE_TCC,
    ns::FEATURE_JSON_SOURCES,
];
const REWRITING: &[&str] = &[
    ns::JINGLE_RTP_AUDIO,
    ns::JINGLE_RTP_VIDEO,
    ns::RFC4588,
    ns::FEATURE_TCC,
    ns::FEATURE_JSON_SOURCES,
    ns::FEATURE_SSRC_REWRITING,
];

fn element(text: &str) -> Element {
    parse(text, &Limits::default()).unwrap()
}

fn audio(nick: &str, ssrc: u32) -> String {
    format!(
        r#"<content name="audio"><description xmlns="urn:xmpp:jingle:apps:rtp:1" media="audio"><source xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" ssrc="{ssrc}" name="{nick}-a0"><parameter name="msid" value="{nick}-audio-0-1 t{ssrc}"/></source></description>{TRANSPORT}</content>"#
    )
}

const TRANSPORT: &str = r#"<transport xmlns="urn:xmpp:jingle:transports:ice-udp:1" ufrag="Gj36" pwd="mBjHDoDCnIn4vGu"><fingerprint xmlns="urn:xmpp:jingle:apps:dtls:0" hash="sha-256" setup="active">26:D5</fingerprint></transport>"#;

/// A simulcast camera or share: SSRCs `base` to `base + 5`.
fn video(nick: &str, index: u8, base: u32) -> String {
    let source = |ssrc: u32| {
        format!(
            r#"<source xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" ssrc="{ssrc}" name="{nick}-v{index}" videoType="camera"><parameter name="msid" value="{nick}-video-{index}-1 t{base}"/></source>"#
        )
    };
    let group = |semantics: &str, ssrcs: &[u32]| {
        let members: String = ssrcs
            .iter()
            .map(|s| format!(r#"<source ssrc="{s}"/>"#))
            .collect();
        format!(
            r#"<ssrc-group xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" semantics="{semantics}">{members}</ssrc-group>"#
        )
    };
    let sources: String = (base..base + 6).map(source).collect();
    let groups = [
        group("FID", &[base, base + 1]),
        group("SIM", &[base, base + 2, base + 4]),
        group("FID", &[base + 2, base + 3]),
        group("FID", &[base + 4, base + 5]),
    ]
    .concat();
    format!(
        r#"<content name="video"><initial-last-n xmlns="jitsi:colibri2" value="7"/><description xmlns="urn:xmpp:jingle:apps:rtp:1" media="video">{sources}{groups}</description></content>"#
    )
}

fn jingle(action: &str, sid: &str, contents: &str) -> Element {
    element(&format!(
        r#"<jingle xmlns="urn:xmpp:jingle:1" action="{action}" sid="{sid}">{contents}</jingle>"#
    ))
}

fn actions(iqs: &[Element]) -> Vec<String> {
    iqs.iter()
        .map(|iq| {
            iq.child("jingle", ns::JINGLE)
                .and_then(|j| j.attr("action"))
                .or_else(|| iq.attr("type"))
                .unwrap()
                .to_owned()
        })
        .collect()
}

fn condition(iq: &Element) -> &str {
    iq.child("error", ns::CLIENT)
        .unwrap_or_else(|| panic!("no error: {}", iq.to_xml()))
        .children()
        .next()
        .unwrap()
        .name()
}

struct Offered {
    sid: String,
    bridge_session: String,
    element: Element,
    sources: RawSources,
}

fn offer_in(iqs: &[Element]) -> Offered {
    let iq = iqs
        .iter()
        .find(|iq| iq.to_xml().contains("session-initiate"))
        .expect("an offer");
    let jingle = Jingle::parse(iq).unwrap();
    let Body::SessionInitiate(offer) = jingle.body else {
        panic!("no offer");
    };
    Offered {
        sid: jingle.sid,
        bridge_session: jingle.bridge_session.unwrap().id,
        element: iq.clone(),
        sources: offer.sources,
    }
}

fn sources_in(iq: &Element) -> (String, RawSources) {
    let jingle = iq.child("jingle", ns::JINGLE).unwrap();
    let action = jingle.attr("action").unwrap().to_owned();
    match Jingle::parse(iq).unwrap().body {
        Body::SourceAdd(raw) | Body::SourceRemove(raw) => (action, raw),
        other => panic!("{other:?}"),
    }
}

fn ssrcs(raw: &RawSources) -> Vec<u32> {
    let mut list: Vec<u32> = raw.sources.iter().map(|s| s.ssrc.0).collect();
    list.sort_unstable();
    list
}

impl World {
    /// Comes in and says what it can do.
    fn arrive(&mut self, nick: &str, features: &[&str]) {
        self.join(nick, Role::Participant);
        self.disclose(nick, features);
    }

    /// Arrived, offered, accepted with these sources; the offer.
    fn settle(&mut self, nick: &str, contents: &str) -> Offered {
        self.obey();
        let offered = offer_in(&self.inbox(nick));
        self.request(
            nick,
            "set",
            jingle("session-accept", &offered.sid, contents),
        );
        self.obey();
        let replies = self.inbox(nick);
        assert_eq!(actions(&replies)[0], "result", "{}", replies[0].to_xml());
        offered
    }

    /// Two who have accepted: `a` with audio 1 and video 11–16, `b` with audio 2 and 21–26.
    fn pair(features: &[&str]) -> (Self, Offered, Offered) {
        let mut world = Self::new(settings());
        world.arrive("a", features);
        world.arrive("b", features);
        let a = world.settle("a", &(audio("a", 1) + &video("a", 0, 11)));
        let b = world.settle("b", &(audio("b", 2) + &video("b", 0, 21)));
        (world, a, b)
    }
}

#[test]
fn nobody_is_invited_alone_and_everybody_together() {
    let mut world = World::new(settings());
    world.arrive("a", REWRITING);
    assert!(world.bridge.is_empty());
    assert!(world.inbox("a").is_empty());
    world.arrive("b", REWRITING);
    let asked: Vec<_> = world
        .obey()
        .into_iter()
        .map(|r| match r {
            BridgeRequest::Allocate(a) => a,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asked.len(), 2);
    assert!(
        asked
            .iter()
            .all(|a| a.slots == SlotMode::Rewriting && a.receives_audio)
    );
    assert_eq!(asked[0].feedback, asked[1].feedback);
    assert_eq!(asked[0].events_to, "focus.n1");
    let offered = offer_in(&world.inbox("a"));
    let xml = offered.element.to_xml();
    assert!(
        xml.contains(r#"initiator="focus@auth.meet.jitsi/focus""#),
        "{xml}"
    );
    // The client's own origin, not one of ours.
    assert!(
        xml.contains(r#"url="wss://a.example/colibri-ws/n1/c1/a?pwd=cp""#),
        "{xml}"
    );
    // The bridge's own sources are in every offer.
    assert_eq!(offered.sources.sources.len(), 2);
    assert!(
        offered
            .sources
            .sources
            .iter()
            .all(|s| s.owner.as_deref() == Some("jvb"))
    );
}

#[test]
fn a_client_that_does_not_answer_is_taken_for_audio_and_video() {
    let mut world = World::new(settings());
    world.join("a", Role::Participant);
    world.join("b", Role::Participant);
    assert!(world.bridge.is_empty());
    world.pass(Duration::from_secs(5));
    assert_eq!(world.obey().len(), 2);
    let xml = offer_in(&world.inbox("a")).element.to_xml();
    assert!(xml.contains(r#"media="audio""#) && xml.contains(r#"media="video""#));
    assert!(!xml.contains("json-message"));
}

#[test]
fn an_accept_is_answered_when_the_bridge_has_taken_it() {
    let mut world = World::new(settings());
    world.arrive("a", REWRITING);
    world.arrive("b", REWRITING);
    world.obey();
    let offered = offer_in(&world.inbox("a"));
    let contents = audio("a", 1) + &video("a", 0, 11);
    let id = world.request(
        "a",
        "set",
        jingle("session-accept", &offered.sid, &contents),
    );
    assert!(world.inbox("a").is_empty());
    let asked = world.obey();
    let [BridgeRequest::Update(update)] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    let transport = update.transport.as_ref().unwrap();
    assert_eq!(transport.ufrag, "Gj36");
    assert_eq!(transport.fingerprints[0].value, "26:D5");
    assert_eq!(update.initial_last_n, Some(7));
    let sources = update.sources.as_ref().unwrap();
    assert_eq!(sources.len(), 2);
    let camera = sources.iter().find(|s| s.kind == MediaKind::Video).unwrap();
    assert_eq!(camera.encodings.len(), 3);
    assert_eq!(camera.encodings[1].rtx.unwrap().0, 14);
    let answer = world.inbox("a").remove(0);
    assert_eq!(
        (answer.attr("type"), answer.attr("id")),
        (Some("result"), Some(id.as_str()))
    );
}

#[test]
fn rewriting_clients_are_told_nothing_of_each_other() {
    let (mut world, a, b) = World::pair(REWRITING);
    assert_eq!(ssrcs(&a.sources), ssrcs(&b.sources));
    world.arrive("c", REWRITING);
    world.settle("c", &audio("c", 3));
    world.leave("c");
    assert!(world.inbox("a").is_empty());
}

#[test]
fn sources_reach_others_in_their_own_mode_with_simulcast_stripped() {
    for (features, json) in [(JSON, true), (XML, false)] {
        let mut world = World::new(settings());
        world.arrive("a", features);
        world.arrive("b", features);
        world.settle("a", &(audio("a", 1) + &video("a", 0, 11)));
        // `b` was offered before `a` accepted, and is not told before it accepts itself.
        let offered = offer_in(&world.inbox("b"));
        assert_eq!(offered.sources.sources.len(), 2);
        world.request(
            "b",
            "set",
            jingle("session-accept", &offered.sid, &audio("b", 2)),
        );
        world.obey();
        let to_b = world.inbox("b");
        assert_eq!(actions(&to_b), ["result", "source-add"]);
        assert_eq!(to_b[1].to_xml().contains("json-message"), json);
        let (_, told) = sources_in(&to_b[1]);
        assert_eq!(ssrcs(&told), [1, 11, 12]);
        assert_eq!(told.groups.len(), 1);
        assert!(told.sources.iter().all(|s| s.owner.as_deref() == Some("a")));
        let to_a = world.inbox("a");
        assert_eq!(actions(&to_a), ["source-add"]);
        assert_eq!(ssrcs(&sources_in(&to_a[0]).1), [2]);
        // A late joiner learns of everything by its offer.
        world.arrive("c", features);
        world.obey();
        let late = offer_in(&world.inbox("c"));
        let others: Vec<u32> = late
            .sources
            .sources
            .iter()
            .filter(|s| s.owner.as_deref() != Some("jvb"))
            .map(|s| s.ssrc.0)
            .collect();
        assert_eq!(others.len(), 4, "{others:?}");
    }
}

#[test]
fn a_changed_source_goes_before_it_comes() {
    let (mut world, _, b) = World::pair(JSON);
    world.inboxes.clear();
    world.request(
        "b",
        "set",
        jingle("source-remove", &b.sid, &video("b", 0, 21)),
    );
    world.request("b", "set", jingle("source-add", &b.sid, &video("b", 0, 31)));
    world.obey();
    let own = world.inbox("b");
    assert_eq!(actions(&own), ["result", "result"]);
    let told: Vec<_> = world.inbox("a").iter().map(sources_in).collect();
    assert_eq!(told[0].0, "source-remove");
    assert_eq!(ssrcs(&told[0].1), [21, 22]);
    assert_eq!(told[1].0, "source-add");
    assert_eq!(ssrcs(&told[1].1), [31, 32]);
}

#[test]
fn invalid_sources_are_refused_and_change_nothing() {
    let (mut world, a, _) = World::pair(JSON);
    world.inboxes.clear();
    let before = world
        .focus
        .sources
        .of(&EndpointId::new("a").unwrap())
        .to_vec();
    let cases = [
        ("the SSRC of somebody else", video("a", 1, 21)),
        ("its own SSRC", video("a", 1, 11)),
        ("a name of somebody else", video("b", 7, 101)),
        ("a source it has", video("a", 0, 101)),
        (
            "more SSRCs than allowed",
            video("a", 1, 101) + &video("a", 2, 111) + &video("a", 3, 121),
        ),
        ("no SSRC", video("a", 1, 101).replacen("101", "0", 1)),
        (
            "an SSRC out of range",
            video("a", 1, 101).replacen("101", "4294967296", 1),
        ),
        (
            "the msid of somebody else",
            audio("a", 101)
                .replace("a-a0", "a-a1")
                .replace("a-audio-0-1 t101", "b-audio-0-1 t2"),
        ),
        (
            "a group of strangers",
            video("a", 1, 101).replace(r#"<source ssrc="101"/>"#, r#"<source ssrc="999"/>"#),
        ),
        ("no name", audio("a", 101).replace(r#"name="a-a0""#, "")),
        (
            "no msid",
            audio("a", 101)
                .replace("a-a0", "a-a1")
                .replace("msid", "cname"),
        ),
    ];
    for (what, contents) in cases {
        world.request("a", "set", jingle("source-add", &a.sid, &contents));
        assert!(world.bridge.is_empty(), "{what}");
        let replies = world.inbox("a");
        assert_eq!(condition(&replies[0]), "bad-request", "{what}");
        assert_eq!(
            world.focus.sources.of(&EndpointId::new("a").unwrap()),
            before,
            "{what}"
        );
    }
    for (what, contents) in [
        ("somebody else's", video("b", 0, 21)),
        ("never signalled", audio("a", 77)),
    ] {
        world.request("a", "set", jingle("source-remove", &a.sid, &contents));
        assert_eq!(condition(&world.inbox("a")[0]), "bad-request", "{what}");
    }
    world.request("a", "set", jingle("source-add", &a.sid, ""));
    assert_eq!(actions(&world.inbox("a")), ["result"]);
    assert!(world.inbox("b").is_empty());
}

#[test]
fn nobody_takes_the_msids_of_others_before_they_do() {
    // Clients make them of their own ids, which everybody sees as soon as they come in.
    let (mut world, a, _) = World::pair(JSON);
    world.inboxes.clear();
    let claim = |own: &str, msid: &str| {
        let contents = audio("a", 101).replace("a-a0", own);
        let contents = contents.replace("a-audio-0-1 t101", msid);
        jingle("source-add", &a.sid, &contents)
    };
    // Of nobody who is there.
    world.request("a", "set", claim("a-a1", "c-audio-0-1 t3"));
    world.obey();
    assert_eq!(actions(&world.inbox("a")), ["result"]);
    world.arrive("c", JSON);
    world.settle("c", &audio("c", 3));
    world.arrive("d", JSON);
    let other = claim("a-a2", "d-audio-0-1 t4")
        .to_xml()
        .replace("101", "102");
    world.request("a", "set", element(&other));
    let replies = world.inbox("a");
    assert_eq!(condition(replies.last().unwrap()), "bad-request");
    world.settle("d", &audio("d", 4));
}

#[test]
fn an_invalid_accept_ends_the_session() {
    let (mut world, ..) = World::pair(JSON);
    world.arrive("c", JSON);
    world.obey();
    let offered = offer_in(&world.inbox("c"));
    world.request(
        "c",
        "set",
        jingle("session-accept", &offered.sid, &audio("c", 1)),
    );
    assert_eq!(condition(&world.inbox("c")[0]), "bad-request");
    assert!(matches!(world.obey()[..], [BridgeRequest::Expire { .. }]));
    world.request(
        "c",
        "set",
        jingle("session-accept", &offered.sid, &audio("c", 3)),
    );
    assert_eq!(condition(&world.inbox("c")[0]), "gone");
}

#[test]
fn visitors_send_nothing() {
    let (mut world, ..) = World::pair(JSON);
    world.join("c", Role::Visitor);
    world.disclose("c", JSON);
    world.obey();
    let offered = offer_in(&world.inbox("c"));
    world.request(
        "c",
        "set",
        jingle("session-accept", &offered.sid, &audio("c", 3)),
    );
    assert_eq!(condition(&world.inbox("c")[0]), "forbidden");
}

#[test]
fn a_session_belongs_to_who_was_offered_it() {
    let (mut world, a, b) = World::pair(JSON);
    world.request(
        "b",
        "set",
        jingle("source-add", &a.sid, &video("b", 1, 101)),
    );
    assert_eq!(condition(world.inbox("b").last().unwrap()), "bad-request");
    world.request("b", "set", jingle("session-terminate", &a.sid, ""));
    assert_eq!(condition(world.inbox("b").last().unwrap()), "bad-request");
    world.request("b", "set", jingle("content-modify", &b.sid, ""));
    assert_eq!(
        condition(world.inbox("b").last().unwrap()),
        "feature-not-implemented"
    );
    world.request("b", "set", jingle("dance", &b.sid, ""));
    assert_eq!(condition(world.inbox("b").last().unwrap()), "bad-request");
    world.request("b", "set", jingle("transport-info", &b.sid, ""));
    assert_eq!(condition(world.inbox("b").last().unwrap()), "bad-request");
    world.request("b", "set", jingle("session-accept", &b.sid, &audio("b", 2)));
    assert_eq!(condition(world.inbox("b").last().unwrap()), "bad-request");
}

#[test]
fn leavers_take_their_sources_along_silently() {
    let (mut world, ..) = World::pair(JSON);
    world.arrive("c", JSON);
    world.settle("c", &audio("c", 3));
    world.inboxes.clear();
    world.leave("c");
    // The client drops them by the presence alone, and the SSRC is free again.
    assert!(world.inbox("a").is_empty());
    assert!(matches!(world.obey()[..], [BridgeRequest::Expire { .. }]));
    world.arrive("d", JSON);
    world.settle("d", &audio("d", 3).replace("c-", "d-"));
}

#[test]
fn a_client_that_expects_rewriting_but_gets_json_is_told_of_leavers() {
    let mut world = World::new(Settings {
        rewriting: false,
        ..settings()
    });
    world.arrive("a", REWRITING);
    world.arrive("b", REWRITING);
    world.settle("a", &audio("a", 1));
    world.settle("b", &audio("b", 2));
    world.inboxes.clear();
    world.leave("b");
    let told = world.inbox("a");
    assert_eq!(actions(&told), ["source-remove"]);
    assert_eq!(ssrcs(&sources_in(&told[0]).1), [2]);
}

#[test]
fn the_last_one_keeps_its_session_for_twenty_seconds() {
    let (mut world, a, _) = World::pair(JSON);
    world.leave("b");
    world.obey();
    world.inboxes.clear();
    world.pass(Duration::from_secs(19));
    assert!(world.inbox("a").is_empty());
    world.pass(Duration::from_secs(2));
    let told = world.inbox("a");
    let xml = told[0].to_xml();
    assert!(
        xml.contains(&a.sid) && xml.contains("<expired/><text>Idle session timeout</text>"),
        "{xml}"
    );
    assert!(matches!(world.obey()[..], [BridgeRequest::Expire { .. }]));
    // A new offer comes with the next newcomer, under a new id.
    world.arrive("c", JSON);
    world.obey();
    assert_ne!(offer_in(&world.inbox("a")).sid, a.sid);
}

#[test]
fn a_restart_is_answered_before_the_new_offer() {
    let (mut world, a, _) = World::pair(JSON);
    world.inboxes.clear();
    let restart = |a: &Offered, id: &str| {
        element(&format!(
            r#"<jingle xmlns="urn:xmpp:jingle:1" action="session-terminate" sid="{}"><reason><connectivity-error/><text>ICE FAILED</text></reason><bridge-session xmlns="http://jitsi.org/protocol/focus" id="{id}" restart="true"/></jingle>"#,
            a.sid
        ))
    };
    world.request("a", "set", restart(&a, &a.bridge_session));
    world.obey();
    let told = world.inbox("a");
    assert_eq!(actions(&told), ["result", "session-initiate"]);
    let again = offer_in(&told);
    assert_ne!(again.sid, a.sid);
    assert_eq!(actions(&world.inbox("b")), ["source-remove"]);
    // Late requests on the old session.
    world.request("a", "set", jingle("source-add", &a.sid, &audio("a", 1)));
    assert_eq!(condition(&world.inbox("a")[0]), "item-not-found");
    world.request("a", "set", jingle("session-accept", &a.sid, &audio("a", 1)));
    assert_eq!(condition(&world.inbox("a")[0]), "gone");
    // Too soon.
    world.request("a", "set", restart(&again, &again.bridge_session));
    assert_eq!(condition(&world.inbox("a")[0]), "resource-constraint");
    world.obey();
    assert!(world.inbox("a").is_empty());
}

#[test]
fn a_restart_of_another_allocation_is_refused() {
    let (mut world, a, _) = World::pair(JSON);
    world.inboxes.clear();
    world.request(
        "a",
        "set",
        element(&format!(
            r#"<jingle xmlns="urn:xmpp:jingle:1" action="session-terminate" sid="{}"><reason><success/></reason><bridge-session xmlns="http://jitsi.org/protocol/focus" id="old" restart="true"/></jingle>"#,
            a.sid
        )),
    );
    assert_eq!(condition(&world.inbox("a")[0]), "item-not-found");
}

#[test]
fn a_client_that_ends_its_session_is_left_in_peace() {
    let (mut world, a, _) = World::pair(JSON);
    world.inboxes.clear();
    world.request(
        "a",
        "set",
        jingle("session-terminate", &a.sid, "<reason><success/></reason>"),
    );
    assert_eq!(actions(&world.inbox("a")), ["result"]);
    world.obey();
    world.arrive("c", JSON);
    world.obey();
    assert!(world.inbox("a").is_empty());
    world.request("a", "set", jingle("source-add", &a.sid, &audio("a", 1)));
    assert_eq!(condition(&world.inbox("a")[0]), "gone");
}

#[test]
fn an_ice_restart_in_place_is_declined_and_a_failure_heals() {
    let (mut world, a, _) = World::pair(JSON);
    world.inboxes.clear();
    let info = |body: &str| {
        element(&format!(
            r#"<jingle xmlns="urn:xmpp:jingle:1" action="session-info" sid="{}">{body}</jingle>"#,
            a.sid
        ))
    };
    world.request("a", "set", info(&format!(r#"<bridge-session xmlns="http://jitsi.org/protocol/focus" ice-restart="true" id="{}"/>"#, a.bridge_session)));
    assert_eq!(condition(&world.inbox("a")[0]), "feature-not-implemented");
    world.request("a", "set", info(&format!(r#"<ice-state xmlns="http://jitsi.org/protocol/focus">failed</ice-state><bridge-session xmlns="http://jitsi.org/protocol/focus" id="{}"/>"#, a.bridge_session)));
    world.obey();
    assert_eq!(
        actions(&world.inbox("a")),
        ["result", "session-terminate", "session-initiate"]
    );
}

#[test]
fn a_bridge_that_is_missing_is_asked_again_and_its_absence_told() {
    let mut world = World::new(settings());
    world.arrive("a", JSON);
    world.arrive("b", JSON);
    let presences = world.presences.len();
    let mut asked = 0;
    for _ in 0..8 {
        while world.answer_bridge(|_| Err(BridgeFailure::NoResponder)) {
            asked += 1;
        }
        world.pass(Duration::from_secs(1));
    }
    // At once, after 1, 3 and 7 s, twice each.
    assert_eq!(asked, 8);
    let last = world.presences.last().unwrap();
    assert_eq!(world.presences.len(), presences + 1);
    assert!(last.child("bridgeNotAvailable", ns::FOCUS).is_some());
    world.pass(Duration::from_secs(8));
    world.obey();
    offer_in(&world.inbox("a"));
    assert!(
        world
            .presences
            .last()
            .unwrap()
            .child("bridgeNotAvailable", ns::FOCUS)
            .is_none()
    );
}

#[test]
fn an_endpoint_lost_by_the_bridge_is_made_anew() {
    let (mut world, a, _) = World::pair(JSON);
    world.inboxes.clear();
    world.request(
        "a",
        "set",
        jingle("source-add", &a.sid, &video("a", 1, 101)),
    );
    world.answer_bridge(|_| {
        Ok(BridgeReply::Refused {
            code: RefusalCode::Unknown,
            reason: "restarted".into(),
        })
    });
    world.obey();
    let told = world.inbox("a");
    assert_eq!(
        actions(&told),
        ["result", "session-terminate", "session-initiate"]
    );
    assert!(told[1].to_xml().contains("<success/><text>moving</text>"));
    assert_eq!(actions(&world.inbox("b")), ["source-remove"]);
}

#[test]
fn requests_of_one_session_keep_their_order() {
    let (mut world, a, _) = World::pair(JSON);
    world.inboxes.clear();
    let first = world.request(
        "a",
        "set",
        jingle("source-add", &a.sid, &video("a", 1, 101)),
    );
    let second = world.request(
        "a",
        "set",
        jingle("source-remove", &a.sid, &video("a", 1, 101)),
    );
    assert_eq!(world.bridge.len(), 1);
    world.obey();
    let ids: Vec<_> = world
        .inbox("a")
        .iter()
        .map(|iq| iq.attr("id").unwrap().to_owned())
        .collect();
    assert_eq!(ids, [first, second]);
}

#[test]
fn an_empty_room_waits_for_who_asked_for_it() {
    let mut world = World::new(settings());
    world.pass(Duration::from_secs(14));
    assert!(!world.ended);
    world.input(crate::Input::Requested);
    world.pass(Duration::from_secs(14));
    assert!(!world.ended);
    world.pass(Duration::from_secs(2));
    assert!(world.ended);

    let (mut world, ..) = World::pair(JSON);
    world.leave("a");
    world.leave("b");
    assert!(world.ended);
    assert!(matches!(
        world.obey().last(),
        Some(BridgeRequest::ExpireConference { .. })
    ));
}

#[test]
fn many_changes_in_a_large_room_are_told_at_once() {
    let mut world = World::new(settings());
    for n in 0..60 {
        world.arrive(&format!("n{n}"), JSON);
    }
    world.obey();
    let mut sids = Vec::new();
    for n in 0..60_u32 {
        let nick = format!("n{n}");
        let sid = offer_in(&world.inbox(&nick)).sid;
        world.request(
            &nick,
            "set",
            jingle("session-accept", &sid, &audio(&nick, n + 1)),
        );
        world.obey();
        sids.push(sid);
    }
    world.pass(Duration::from_secs(1));
    world.inboxes.clear();
    for (n, sid) in (0_u32..10).zip(&sids) {
        let nick = format!("n{n}");
        world.request(
            &nick,
            "set",
            jingle("source-add", sid, &video(&nick, 0, 1000 + 10 * n)),
        );
        world.obey();
    }
    assert!(world.inbox("n59").is_empty());
    world.pass(Duration::from_millis(500));
    let told = world.inbox("n59");
    assert_eq!(actions(&told), ["source-add"]);
    assert_eq!(ssrcs(&sources_in(&told[0]).1).len(), 20);
}

#[test]
fn a_restored_focus_goes_on() {
    let (mut world, _, b) = World::pair(JSON);
    world.leave("a");
    world.obey();
    world.inboxes.clear();
    world.pass(Duration::from_secs(10));
    let text = serde_json::to_string(&world.focus.snapshot(world.now)).unwrap();
    world.focus = Focus::restore(serde_json::from_str(&text).unwrap(), world.now).unwrap();
    assert_eq!(
        serde_json::to_string(&world.focus.snapshot(world.now)).unwrap(),
        text
    );
    world.pass(Duration::from_secs(9));
    assert!(world.inbox("b").is_empty());
    world.pass(Duration::from_secs(2));
    assert!(world.inbox("b")[0].to_xml().contains(&b.sid));
}

#[test]
fn an_answer_that_proves_its_hash_speaks_for_all_of_its_kind() {
    let facts = |ver: &str| PresenceFacts {
        caps: Some(Caps {
            node: "https://jitsi.org/jitsi-meet".into(),
            ver: ver.into(),
            hash: "sha-1".into(),
        }),
        ..PresenceFacts::default()
    };
    // SHA-1 of "urn:xmpp:jingle:apps:rtp:audio<".
    let honest = facts("sURDbTxIYu1nysgDm99pNsySUwY=");
    let mut world = World::new(settings());
    world.join_with("a", Role::Participant, honest.clone());
    let question = world.inbox("a");
    assert!(
        question[0]
            .to_xml()
            .contains("https://jitsi.org/jitsi-meet#")
    );
    world.inboxes.insert("a".into(), question);
    world.disclose("a", &[ns::JINGLE_RTP_AUDIO]);
    world.join_with("b", Role::Participant, honest);
    // Nobody asks again: both are offered at once.
    assert_eq!(world.obey().len(), 2);
    assert!(
        !offer_in(&world.inbox("b"))
            .element
            .to_xml()
            .contains(r#"media="video""#)
    );
    // A liar is believed about itself only.
    world.join_with("c", Role::Participant, facts("lie"));
    world.disclose("c", &[]);
    world.join_with("d", Role::Participant, facts("lie"));
    assert!(world.inbox("d")[0].child("query", ns::DISCO_INFO).is_some());
}

/// Runs on without the operation that takes the rest of the data for a document, which would end
/// most random runs early.
fn operations(mut data: Vec<u8>) -> usize {
    for operation in data.chunks_exact_mut(4) {
        if operation[0] % 12 == 7 {
            operation[2] |= 1;
        }
    }
    crate::fuzzing::operations(&data)
}

#[test]
fn random_operations_reach_the_depths() {
    let mut entropy = SeededEntropy::new(3);
    let told: usize = (0..100)
        .map(|_| {
            let data = (0..400).flat_map(|_| entropy.next_u64().to_le_bytes());
            operations(data.collect())
        })
        .sum();
    assert!(told > 500, "only {told} source updates in 100 runs");
}

#[test]
fn whoever_has_left_is_not_answered() {
    let mut world = World::new(settings());
    world.join("ann", Role::Participant);
    world.join("bob", Role::Participant);
    world.leave("ann");
    for (kind, payload) in [
        ("set", element("<error/>")),
        ("get", Element::new("ping", ns::PING)),
        ("get", Element::new("query", ns::DISCO_INFO)),
        ("set", Element::new("jingle", ns::JINGLE)),
    ] {
        world.inbox("ann");
        world.request("ann", kind, payload);
        assert_eq!(world.inbox("ann"), [], "{kind}");
    }
}

proptest::proptest! {
    #[test]
    fn any_sequence_of_operations_keeps_the_invariants(
        data in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..2000)
    ) {
        operations(data);
    }
}

#[test]
fn in_an_audio_hall_nobody_is_offered_video_and_none_is_taken() {
    let mut world = World::new(Settings {
        media: MediaMode::Audio,
        ..settings()
    });
    for (nick, features) in [("a", JSON), ("b", XML), ("c", REWRITING)] {
        world.arrive(nick, features);
    }
    let allocated = world.obey();
    assert_eq!(allocated.len(), 3);
    for request in &allocated {
        let BridgeRequest::Allocate(allocate) = request else {
            panic!("{request:?}");
        };
        assert!(allocate.receives_audio && !allocate.receives_video);
        assert!(allocate.may_send.audio && !allocate.may_send.video && !allocate.may_send.share);
    }
    for nick in ["a", "b", "c"] {
        let xml = offer_in(&world.inbox(nick)).element.to_xml();
        assert!(xml.contains(r#"media="audio""#), "{xml}");
        assert!(!xml.contains("video") && !xml.contains("VP8"), "{xml}");
    }
}

#[test]
fn in_an_audio_hall_a_camera_is_refused_and_the_microphone_stays() {
    let mut world = World::new(Settings {
        media: MediaMode::Audio,
        ..settings()
    });
    world.arrive("a", JSON);
    world.arrive("b", JSON);
    let a = world.settle("a", &audio("a", 1));
    world.settle("b", &audio("b", 2));
    world.inboxes.clear();
    world.request("a", "set", jingle("source-add", &a.sid, &video("a", 0, 10)));
    assert_eq!(condition(&world.inbox("a")[0]), "forbidden");
    assert!(world.bridge.is_empty(), "the bridge hears nothing of it");
    assert!(world.inbox("b").is_empty(), "and nobody else");
    // It can still be heard, and leave.
    world.request("a", "set", jingle("source-remove", &a.sid, &audio("a", 1)));
    assert_eq!(world.obey().len(), 1);
}

fn encrypting(e2ee: bool) -> PresenceFacts {
    PresenceFacts {
        e2ee,
        ..PresenceFacts::default()
    }
}

#[test]
fn the_bridge_is_told_who_encrypts_end_to_end() {
    let mut world = World::new(settings());
    world.join_with("a", Role::Participant, encrypting(true));
    world.disclose("a", REWRITING);
    world.arrive("b", REWRITING);
    let encrypts: Vec<_> = world
        .obey()
        .into_iter()
        .map(|request| match request {
            BridgeRequest::Allocate(a) => (a.endpoint.to_string(), a.e2ee),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(encrypts, [("a".to_owned(), true), ("b".to_owned(), false)]);
    for (e2ee, told) in [(true, true), (true, false), (false, true)] {
        world.presence("b", encrypting(e2ee));
        let updates: Vec<_> = world
            .obey()
            .into_iter()
            .map(|request| match request {
                BridgeRequest::Update(update) => update,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(updates.len(), usize::from(told));
        for update in updates {
            assert_eq!(update.endpoint.as_str(), "b");
            assert_eq!((update.e2ee, update.sources), (Some(e2ee), None));
        }
    }
}

/// The payload types of the audio in an offer.
fn audio_types(offered: &Offered) -> Vec<u8> {
    match Jingle::parse(&offered.element).unwrap().body {
        Body::SessionInitiate(offer) => {
            let types = offer.audio.unwrap().payload_types;
            types.iter().map(|p| p.id).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn redundant_audio_is_offered_and_the_bridge_told_who_accepted() {
    let with = |features: &[&'static str]| [features, &[ns::FEATURE_OPUS_RED][..]].concat();
    let (plain, red) = (vec![111, 126], vec![112, 111, 126]);
    for (enabled, features, e2ee, offered) in [
        (true, with(REWRITING), false, &red),
        (true, with(JSON), false, &red),
        (true, REWRITING.to_vec(), false, &plain),
        // A client of XML sources may be gst-meet, which cannot read it.
        (true, with(XML), false, &plain),
        // Nobody could cut it for those who do not take it.
        (true, with(REWRITING), true, &plain),
        (false, with(REWRITING), false, &plain),
    ] {
        let mut world = World::new(Settings {
            redundant_audio: enabled,
            ..settings()
        });
        world.join_with("a", Role::Participant, encrypting(e2ee));
        world.disclose("a", &features);
        world.arrive("b", REWRITING);
        world.obey();
        let offer = offer_in(&world.inbox("a"));
        assert_eq!(audio_types(&offer), *offered, "{features:?}");
    }
    // Accepted or not is what its answer says.
    let red = r#"<payload-type id="112" name="red" clockrate="48000" channels="2"/>"#;
    for (accepted, takes) in [(red, true), ("", false)] {
        let mut world = World::new(settings());
        world.arrive("a", &with(REWRITING));
        world.arrive("b", REWRITING);
        world.obey();
        let offer = offer_in(&world.inbox("a"));
        let contents =
            audio("a", 1).replace(r#"media="audio">"#, &format!(r#"media="audio">{accepted}"#));
        world.request("a", "set", jingle("session-accept", &offer.sid, &contents));
        let asked = world.obey();
        let [BridgeRequest::Update(update)] = asked.as_slice() else {
            panic!("{asked:?}");
        };
        assert_eq!(update.redundant_audio, Some(takes));
    }
}

//! How choices come about in a conference: when, for whom, and who is told.

use super::*;
use crate::layers::{Layer, LayerId};
use crate::settings::{
    EndpointKey, EndpointSettings, Limits, Output, PacketSink, Settings, SlotMode,
};
use althing_colibri::{BridgeMessage, ClientMessage};
use althing_model::{
    Encoding, EndpointId, FeedbackSources, MediaKinds, Role, SourceDescription, SourceName, Ssrc,
    VideoType,
};

struct Nowhere;

impl PacketSink for Nowhere {
    fn rtp(&mut self, _: EndpointKey, _: &[u8], _: [&[u8]; 2]) {}
    fn rtcp(&mut self, _: EndpointKey, _: &[u8]) {}
}

struct Room {
    conference: Conference,
    now: Instant,
    heard: Vec<(EndpointKey, BridgeMessage)>,
}

impl Room {
    fn with(settings: Settings) -> Self {
        let feedback = FeedbackSources {
            audio: Ssrc(1),
            video: Ssrc(2),
        };
        Self {
            conference: Conference::new(settings, feedback, 7),
            now: althing_testkit::epoch(),
            heard: Vec::new(),
        }
    }

    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn join(&mut self, id: &str) -> EndpointKey {
        let settings = EndpointSettings {
            id: EndpointId::new(id).unwrap(),
            role: Role::Participant,
            may_send: MediaKinds::ALL,
            receives_audio: true,
            receives_video: true,
            slots: SlotMode::Rewriting,
        };
        let key = self.conference.add_endpoint(self.now, settings);
        self.conference.connected(self.now, key, true);
        self.conference.channel_opened(self.now, key);
        self.drain();
        key
    }

    /// Three simulcast encodings from this SSRC on.
    fn signal(&mut self, key: EndpointKey, id: &str, names: &[&str], base: u32) {
        let sources = names
            .iter()
            .zip(0..)
            .map(|(name, i)| {
                let name = SourceName::new(format!("{id}-{name}")).unwrap();
                SourceDescription {
                    kind: name.kind(),
                    name,
                    video_type: VideoType::Camera,
                    msid: String::new(),
                    encodings: (0..3)
                        .map(|e| Encoding {
                            primary: Ssrc(base + 10 * i + 2 * e),
                            rtx: Some(Ssrc(base + 10 * i + 2 * e + 1)),
                        })
                        .collect(),
                }
            })
            .collect();
        self.conference.set_sources(self.now, key, sources);
        self.drain();
    }

    fn say(&mut self, key: EndpointKey, json: &str) {
        let message = ClientMessage::parse(json).unwrap();
        self.conference.handle_message(self.now, key, message);
        self.drain();
    }

    fn want(&mut self, key: EndpointKey, stage: &[&str], heights: &[(&str, i32)]) {
        let stage: Vec<String> = stage.iter().map(|s| format!("\"{s}\"")).collect();
        let heights: Vec<String> = heights
            .iter()
            .map(|(s, h)| format!("\"{s}\":{{\"maxHeight\":{h}}}"))
            .collect();
        let json = format!(
            r#"{{"colibriClass":"ReceiverVideoConstraints","onStageSources":[{}],"defaultConstraints":{{"maxHeight":0}},"constraints":{{{}}}}}"#,
            stage.join(","),
            heights.join(",")
        );
        self.say(key, &json);
    }

    fn drain(&mut self) {
        while let Some(Output::Message { to, json }) = self.conference.poll() {
            self.heard.push((to, BridgeMessage::parse(&json).unwrap()));
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(at) = self.conference.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.conference.handle_timeout(self.now, &mut Nowhere);
            self.drain();
        }
        self.now = end;
    }

    /// Its layers are measured now: the rates of the worked examples, so many encodings.
    fn measure(&mut self, name: &str, encodings: u8) {
        const KBIT: [[u64; 3]; 3] = [[60, 100, 150], [200, 320, 500], [700, 1000, 1500]];
        let source = self.conference.names[&SourceName::new(name).unwrap()];
        let layers = &mut self.conference.sources[source].layers;
        layers.clear();
        for (encoding, rates) in KBIT.iter().enumerate() {
            for (temporal, kbit) in rates.iter().enumerate() {
                let active = encoding < usize::from(encodings);
                layers.push(Layer {
                    id: LayerId {
                        encoding: encoding as u8,
                        spatial: 0,
                        temporal: temporal as u8,
                    },
                    height: 180 << encoding,
                    fps: 7.5 * f32::from(1u8 << temporal),
                    bitrate: if active { kbit * 1000 } else { 0 },
                    active,
                });
            }
        }
        self.conference.layering_changed(source);
        self.drain();
    }

    fn bandwidth(&mut self, key: EndpointKey, kbit: u64) {
        let index = key.index();
        self.conference.endpoints[index].downlink.assumed = Some(kbit * 1000);
        self.conference.bandwidth_changed(index);
        self.drain();
    }

    /// What the receiver gets of the source: encoding and temporal layer.
    fn target(&self, key: EndpointKey, name: &str) -> Option<(u8, u8)> {
        let source = self.conference.names[&SourceName::new(name).unwrap()];
        let wanted = self.conference.endpoints[key.index()].wants(source)?;
        wanted.target.map(|t| (t.encoding, t.temporal))
    }

    fn runs(&self) -> u64 {
        self.conference.counters.allocations
    }

    fn heights(&mut self, key: EndpointKey) -> Vec<(String, i32)> {
        self.messages(key)
            .into_iter()
            .filter_map(|m| match m {
                BridgeMessage::SenderSourceConstraints {
                    source_name,
                    max_height,
                } => Some((source_name.to_string(), max_height)),
                _ => None,
            })
            .collect()
    }

    fn forwarded(&mut self, key: EndpointKey) -> Option<Vec<String>> {
        self.messages(key).into_iter().rev().find_map(|m| match m {
            BridgeMessage::ForwardedSources { sources } => {
                Some(sources.iter().map(ToString::to_string).collect())
            }
            _ => None,
        })
    }

    fn messages(&mut self, key: EndpointKey) -> Vec<BridgeMessage> {
        let all = std::mem::take(&mut self.heard);
        let (own, others) = all.into_iter().partition(|(to, _)| *to == key);
        self.heard = others;
        own.into_iter().map(|(_, m)| m).collect()
    }
}

/// Ann looks at Bob on stage, and at Cat and Dan beside him; all are measured.
fn stage() -> (Room, EndpointKey, EndpointKey) {
    let mut room = Room::new();
    let ann = room.join("ann");
    let senders = [("bob", 1000), ("cat", 2000), ("dan", 3000)];
    let [bob, ..] = senders.map(|(id, base)| {
        let key = room.join(id);
        room.signal(key, id, &["v0"], base);
        key
    });
    room.want(
        ann,
        &["bob-v0"],
        &[("bob-v0", 720), ("cat-v0", 180), ("dan-v0", 180)],
    );
    for name in ["bob-v0", "cat-v0", "dan-v0"] {
        room.measure(name, 3);
    }
    room.pass(200);
    (room, ann, bob)
}

#[test]
fn small_changes_of_bandwidth_change_nothing() {
    let (mut room, ann, _) = stage();
    room.bandwidth(ann, 1000);
    room.pass(100);
    let runs = room.runs();
    for kbit in [1100, 1140] {
        room.bandwidth(ann, kbit);
        room.pass(100);
    }
    assert_eq!(
        room.runs(),
        runs,
        "less than 15 % of what was last acted on"
    );
    room.bandwidth(ann, 1160);
    room.pass(100);
    assert_eq!(room.runs(), runs + 1);
    // What is sent (800) does not fit any more: that counts however little it fell.
    room.bandwidth(ann, 760);
    room.pass(100);
    assert_eq!(room.runs(), runs + 2);
}

#[test]
fn a_source_that_begins_is_not_stopped_for_what_its_keyframe_takes() {
    let mut room = Room::new();
    let (ann, bob) = (room.join("ann"), room.join("bob"));
    room.signal(bob, "bob", &["v0"], 1000);
    room.want(ann, &[], &[("bob-v0", 720)]);
    assert_eq!(
        room.target(ann, "bob-v0"),
        Some((2, 2)),
        "nothing limits it"
    );
    room.pass(600);
    let keyframe = |room: &mut Room| {
        room.measure("bob-v0", 1);
        let source = room.conference.names[&SourceName::new("bob-v0").unwrap()];
        for layer in &mut room.conference.sources[source].layers {
            layer.bitrate = 4_000_000;
        }
        room.conference.layering_changed(source);
        room.drain();
    };
    keyframe(&mut room);
    room.bandwidth(ann, 2600);
    room.pass(100);
    assert_eq!(room.target(ann, "bob-v0"), Some((0, 2)), "it goes on");
    // The path turns out to be a narrow one.
    room.bandwidth(ann, 1000);
    room.pass(100);
    assert_eq!(room.target(ann, "bob-v0"), None);
    // And who takes too much for long is stopped on any path.
    room.bandwidth(ann, 5000);
    room.pass(100);
    assert_eq!(room.target(ann, "bob-v0"), Some((0, 2)));
    room.bandwidth(ann, 2600);
    room.pass(1800);
    assert_eq!(room.target(ann, "bob-v0"), Some((0, 2)));
    room.pass(5000);
    assert_eq!(room.target(ann, "bob-v0"), None);
}

#[test]
fn triggers_within_fifty_milliseconds_are_one() {
    let (mut room, ann, _) = stage();
    let runs = room.runs();
    for i in 0..200 {
        room.bandwidth(ann, if i % 2 == 0 { 1000 } else { 3000 });
        room.measure("bob-v0", 1 + i % 3);
        room.pass(5);
    }
    let runs = room.runs() - runs;
    assert!((18..=21).contains(&runs), "{runs} in a second");
}

#[test]
fn without_any_trigger_rates_are_looked_at_every_five_seconds() {
    let (mut room, ann, _) = stage();
    room.pass(5000);
    let runs = room.runs();
    room.pass(10_000);
    assert_eq!(room.runs(), runs + 2, "for the one who watches");
    room.want(ann, &[], &[]);
    room.pass(6000);
    let runs = room.runs();
    room.pass(60_000);
    assert_eq!(room.runs(), runs, "nobody watches");
}

#[test]
fn the_path_decides_and_the_receiver_is_told() {
    let (mut room, ann, _) = stage();
    assert_eq!(room.target(ann, "bob-v0"), Some((2, 2)));
    assert_eq!(room.forwarded(ann).unwrap(), ["bob-v0", "cat-v0", "dan-v0"]);
    room.bandwidth(ann, 600);
    room.pass(60);
    assert_eq!(room.target(ann, "bob-v0"), Some((1, 2)));
    assert_eq!(room.target(ann, "cat-v0"), Some((0, 0)));
    assert_eq!(room.target(ann, "dan-v0"), None);
    assert_eq!(room.forwarded(ann).unwrap(), ["bob-v0", "cat-v0"]);
    let allocated = room.conference.allocated();
    assert_eq!(allocated.suspended_sources, 1);
    assert_eq!(allocated.endpoints_with_suspended_sources, 1);
    assert_eq!(allocated.endpoints_oversending, 0);
    // Enough again, with headroom.
    room.bandwidth(ann, 2500);
    room.pass(60);
    assert_eq!(room.target(ann, "bob-v0"), Some((2, 2)));
    assert_eq!(room.target(ann, "dan-v0"), Some((0, 2)));
    assert_eq!(room.forwarded(ann).unwrap(), ["bob-v0", "cat-v0", "dan-v0"]);
    assert_eq!(room.conference.allocated().suspended_sources, 0);
}

#[test]
fn an_upgrade_that_only_just_fits_comes_after_a_second() {
    let (mut room, ann, _) = stage();
    room.want(ann, &["bob-v0"], &[("bob-v0", 720)]);
    room.bandwidth(ann, 400);
    room.pass(100);
    assert_eq!(room.target(ann, "bob-v0"), Some((0, 2)));
    room.bandwidth(ann, 510);
    room.pass(900);
    assert_eq!(room.target(ann, "bob-v0"), Some((0, 2)));
    room.pass(200);
    assert_eq!(room.target(ann, "bob-v0"), Some((1, 2)));
    // What the receiver asks for anew does not wait.
    room.want(ann, &["cat-v0"], &[("cat-v0", 720)]);
    assert_eq!(room.target(ann, "cat-v0"), Some((1, 2)));
}

/// A path that seems to carry a greater picture until it comes, as seen behind 1 Mbit/s.
#[test]
fn a_picture_that_never_lasts_is_tried_ever_more_rarely() {
    let (mut room, ann, _) = stage();
    room.want(ann, &["bob-v0"], &[("bob-v0", 360)]);
    room.bandwidth(ann, 400);
    room.pass(100);
    let mut tries = Vec::new();
    for tenth in 0..900 {
        // Half a second of it fills a queue; a second of less empties it.
        let tried = tries.last().is_some_and(|at| tenth - at < 15);
        let is_full = tried && tries.last().is_some_and(|at| tenth - at >= 5);
        room.bandwidth(ann, if is_full { 400 } else { 900 });
        let before = room.target(ann, "bob-v0");
        room.pass(100);
        let after = room.target(ann, "bob-v0");
        if after.map(|t| t.0) > before.map(|t| t.0) {
            tries.push(tenth);
        }
    }
    let waits: Vec<i32> = tries.windows(2).map(|w| (w[1] - w[0]) / 10).collect();
    assert!(waits.len() >= 4 && waits.is_sorted(), "{waits:?}");
    assert!((4..=6).contains(&waits.len()), "{waits:?}");
    // Whoever asks for more does not wait, nor where there is plenty.
    room.bandwidth(ann, 600);
    room.pass(100);
    room.want(ann, &["bob-v0"], &[("bob-v0", 180)]);
    room.want(ann, &["bob-v0"], &[("bob-v0", 360)]);
    assert_eq!(room.target(ann, "bob-v0"), Some((1, 2)));
    room.bandwidth(ann, 400);
    room.pass(100);
    assert_eq!(room.target(ann, "bob-v0"), Some((0, 2)));
    room.bandwidth(ann, 900);
    room.pass(100);
    assert_eq!(room.target(ann, "bob-v0"), Some((0, 2)));
    room.bandwidth(ann, 1500);
    room.pass(100);
    assert_eq!(room.target(ann, "bob-v0"), Some((1, 2)));
}

#[test]
fn owners_encode_what_somebody_watches_and_nothing_else() {
    let (mut room, ann, bob) = stage();
    room.heard.clear();
    room.want(ann, &[], &[("bob-v0", 180)]);
    assert_eq!(room.heights(bob), [("bob-v0".to_owned(), 180)]);
    // A limit of the machine is one for senders too.
    let limits = Limits {
        max_height: Some(360),
        ..Limits::default()
    };
    room.conference.set_limits(room.now, limits);
    room.want(ann, &[], &[("bob-v0", -1)]);
    assert_eq!(room.heights(bob), [("bob-v0".to_owned(), 360)]);
    room.conference.set_limits(room.now, Limits::default());
    room.pass(100);
    assert_eq!(room.heights(bob), [("bob-v0".to_owned(), -1)]);
    room.want(ann, &[], &[]);
    assert_eq!(room.heights(bob), [("bob-v0".to_owned(), 0)]);
    room.want(ann, &[], &[("bob-v0", 180)]);
    room.conference.remove_endpoint(room.now, ann);
    room.pass(100);
    assert_eq!(room.heights(bob).last().unwrap().1, 0, "nobody is left");
}

#[test]
fn a_limit_of_the_machine_leaves_screens_legible() {
    let (mut room, ann, bob) = stage();
    room.say(
        bob,
        r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"bob-v0","videoType":"desktop"}"#,
    );
    let limits = Limits {
        last_n: Some(2),
        max_height: Some(180),
        ..Limits::default()
    };
    room.conference.set_limits(room.now, limits);
    room.pass(100);
    assert_eq!(room.target(ann, "bob-v0"), Some((2, 2)));
    assert_eq!(room.target(ann, "cat-v0"), Some((0, 2)));
    assert_eq!(room.target(ann, "dan-v0"), None);
}

#[test]
fn large_conferences_may_have_a_smaller_last_n() {
    let mut room = Room::with(Settings {
        last_n_by_size: [(4, 2), (6, 1)].into(),
        ..Settings::default()
    });
    let ann = room.join("ann");
    room.say(
        ann,
        r#"{"colibriClass":"ReceiverVideoConstraints","lastN":-1}"#,
    );
    let mut keys = Vec::new();
    let mut counts = Vec::new();
    for i in 0..6u32 {
        let id = format!("e{i}");
        let key = room.join(&id);
        room.signal(key, &id, &["v0"], 1000 * (i + 1));
        room.pass(100);
        keys.push(key);
        counts.push(room.conference.endpoints[ann.index()].wanted.len());
    }
    assert_eq!(counts, [1, 2, 2, 2, 1, 1]);
    for key in keys.drain(2..) {
        room.conference.remove_endpoint(room.now, key);
    }
    room.pass(100);
    assert_eq!(room.conference.endpoints[ann.index()].wanted.len(), 2);
}

#[test]
fn what_concerns_everybody_is_done_in_turns() {
    let mut room = Room::new();
    let sender = room.join("bob");
    room.signal(sender, "bob", &["v0"], 1000);
    let keys: Vec<EndpointKey> = (0..300).map(|i| room.join(&format!("e{i}"))).collect();
    for &key in &keys {
        room.want(key, &[], &[("bob-v0", 180)]);
        room.pass(1);
    }
    room.pass(200);
    let runs = room.runs();
    room.measure("bob-v0", 1);
    assert!(room.runs() - runs <= 64, "in one go");
    room.pass(0);
    assert_eq!(room.runs() - runs, 300, "at once all the same");
    assert!(
        keys.iter()
            .all(|k| room.target(*k, "bob-v0") == Some((0, 2)))
    );
}

#[test]
fn a_change_of_speakers_concerns_those_who_lack_something() {
    let (mut room, ann, _) = stage();
    let runs = room.runs();
    room.conference.mark_who_must_choose();
    room.drain();
    assert_eq!(room.runs(), runs, "everybody has everything");
    room.bandwidth(ann, 600);
    room.pass(100);
    let runs = room.runs();
    room.conference.mark_who_must_choose();
    room.drain();
    assert_eq!(room.runs(), runs + 1);
}

#[test]
fn an_idle_outlet_is_small() {
    // A receiver in a hall has twenty, and there are a thousand receivers.
    assert!(size_of::<crate::outlet::Outlet>() <= 320);
}

//! A real sender, a real measure, and a path that grows wide and narrow again: what the allocation
//! makes of it all the way to the receiver's decoder.

use super::sender::Kind;
use super::{FRAME, Stage};
use crate::layers::LayerId;
use althing_colibri::ClientMessage;

/// Frames of one step of bandwidth, and how many steps each way.
const STEP: usize = 3;
const STEPS: u64 = 150;

struct Path {
    stage: Stage,
    /// Bytes that left for the receiver, and when (in frames).
    sent: Vec<(usize, usize)>,
    frame: usize,
}

impl Path {
    fn new(kind: Kind, encodings: usize) -> Self {
        let mut stage = Stage::new(kind, encodings, 1, 3);
        stage.sender.heavier = true;
        let wants = r#"{"colibriClass":"ReceiverVideoConstraints","constraints":{"ann-v0":{"maxHeight":720}}}"#;
        let bob = stage.bobs[0];
        let message = ClientMessage::parse(wants).unwrap();
        stage.conference.handle_message(stage.now, bob, message);
        Self {
            stage,
            sent: Vec::new(),
            frame: 0,
        }
    }

    fn frame(&mut self) {
        let stage = &mut self.stage;
        let bob = stage.bobs[0];
        let bytes = |stage: &Stage| {
            let counters = stage.conference.endpoint_counters(bob).unwrap();
            usize::try_from(counters.rtp_sent_bytes).unwrap()
        };
        let before = bytes(stage);
        let end = stage.now + FRAME;
        while let Some(at) = stage.conference.next_timeout().filter(|at| *at <= end) {
            stage.now = stage.now.max(at);
            stage.conference.handle_timeout(stage.now, &mut stage.sink);
            stage.collect();
            while stage.conference.poll().is_some() {}
        }
        stage.now = end;
        for packet in stage.sender.pictures() {
            stage.arrives(&packet.bytes);
        }
        self.sent.push((self.frame, bytes(stage) - before));
        self.frame += 1;
    }

    fn budget(&mut self, budget: u64) {
        let index = self.stage.bobs[0].index();
        let endpoint = &mut self.stage.conference.endpoints[index];
        endpoint.downlink.assumed = Some(budget);
        self.stage.conference.bandwidth_changed(index);
    }

    fn target(&self) -> Option<LayerId> {
        let endpoint = &self.stage.conference.endpoints[self.stage.bobs[0].index()];
        endpoint.wants(self.stage.source)?.target
    }

    /// Bits per second over the last second.
    fn rate(&self) -> u64 {
        let last = self.sent.iter().rev().take(30);
        last.map(|(_, bytes)| *bytes as u64 * 8).sum()
    }
}

#[test]
fn from_a_narrow_path_to_a_wide_one_and_back() {
    for (kind, encodings) in [
        (Kind::Vp8 { temporal: true }, 3),
        (Kind::H264, 3),
        (Kind::Vp9 { key: false }, 1),
        (Kind::Vp9 { key: true }, 1),
        (Kind::Av1 { key: false }, 1),
        (Kind::Av1 { key: true }, 1),
        (Kind::Av1Temporal, 3),
    ] {
        let mut path = Path::new(kind, encodings);
        for _ in 0..60 {
            path.frame();
        }
        let layers = path.stage.conference.sources[path.stage.source].layers();
        let top = layers.iter().map(|l| l.bitrate).max().unwrap() * 13 / 10;
        let best = layers.last().unwrap().id;
        let mut targets: Vec<Option<LayerId>> = Vec::new();
        let mut over = 0;
        let asked = path.stage.keyframes_asked;
        let both_ways = (0..=STEPS).map(|i| (i, false));
        for (i, falling) in both_ways.chain((0..STEPS).rev().map(|i| (i, true))) {
            let budget = top * i / STEPS;
            path.budget(budget);
            for _ in 0..STEP {
                path.frame();
            }
            let target = path.target();
            if targets.last() != Some(&target) {
                targets.push(target);
            }
            // What leaves is measured over a second, and the path was that wide within it.
            let widest = if falling { budget + top / 12 } else { budget };
            over += usize::from(path.rate() > widest * 11 / 10 + top / 50);
        }
        assert!(targets.contains(&Some(best)), "{kind:?}: {targets:?}");
        assert_eq!(targets.last(), Some(&None), "{kind:?}");
        // Frame rates of the least picture, then pictures: up and down.
        assert!(targets.len() <= 20, "{kind:?}: {targets:?}");
        let asked = path.stage.keyframes_asked - asked;
        assert!(asked <= 10, "{kind:?}: {asked} keyframes asked for");
        assert!(
            over <= 10,
            "{kind:?}: too much in {over} of {} steps",
            2 * STEPS
        );
        path.stage.receivers[0].check_whole(&path.stage.sender);
        assert!(path.stage.receivers[0].len() > 1000);
    }
}

//! One encoding of a source as it arrives: its packets' state, and the views of it.

use crate::history::History;
use crate::ingress::Ingress;
use crate::layers::LayerId;
use crate::missing::Missing;
use crate::rates::Rates;
use crate::reader::{Facts, Layout, Reader, Shape};
use crate::source::Subscriber;
use crate::view::{View, ViewKey};
use althing_model::Ssrc;
use althing_model::profile::Codec;
use althing_rtp::rtcp::SenderInfo;
use std::time::{Duration, Instant};

/// Views of one encoding: as many as it can have layers.
const MAX_VIEWS: usize = 80;

#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) ingress: Ingress,
    pub(crate) missing: Missing,
    /// It is in the conference's list of those with missing packets.
    pub(crate) listed_missing: bool,
    /// Of video, by the numbers of the encoding.
    pub(crate) history: History,
    pub(crate) reader: Reader,
    pub(crate) rates: Rates,
    /// What is measured, in the order of the rates.
    pub(crate) shapes: Vec<Shape>,
    pub(crate) views: Vec<View>,
    /// Grows when earlier numbers lose their meaning.
    pub(crate) generation: u32,
    /// Wall clock and timestamp of its last sender report.
    clock: Option<(u64, u32)>,
    /// When one was last passed on.
    passed_on: Option<Instant>,
}

/// Between two sender reports that are passed on. Honest senders make one in a second, and each goes
/// to everybody.
const REPORTS_APART: Duration = Duration::from_millis(250);

impl Incoming {
    pub(crate) fn new(ssrc: Ssrc, clock_rate: u32, generation: u32) -> Self {
        Self {
            ingress: Ingress::new(ssrc, clock_rate),
            missing: Missing::default(),
            listed_missing: false,
            history: History::default(),
            reader: Reader::default(),
            rates: Rates::default(),
            shapes: Vec::new(),
            views: Vec::new(),
            generation,
            clock: None,
            passed_on: None,
        }
    }

    /// Nothing before the next packet means anything any more. Returns who was subscribed.
    pub(crate) fn restart(&mut self) -> Vec<Subscriber> {
        self.generation = self.generation.wrapping_add(1);
        self.missing.clear();
        self.history.clear();
        self.reader = Reader::default();
        self.clock = None;
        let mut left = Vec::new();
        for view in &mut self.views {
            left.append(&mut view.subscribers);
            view.restart();
        }
        left
    }

    /// Whether its sender has changed to another codec: nothing can be continued then.
    pub(crate) fn changes_codec(&self, codec: Codec) -> bool {
        self.reader.codec.is_some_and(|before| before != codec)
    }

    /// The view at a layer, made if there is none.
    pub(crate) fn view(&mut self, id: LayerId) -> Option<u8> {
        if let Some(at) = self.views.iter().position(|v| v.id == id) {
            return Some(at as u8);
        }
        if self.views.len() == MAX_VIEWS {
            return None;
        }
        let mut view = View::new(id);
        view.aim(&self.reader);
        self.views.push(view);
        Some((self.views.len() - 1) as u8)
    }

    /// The view of this name, if its numbers still mean something.
    pub(crate) fn view_of(&self, key: ViewKey) -> Option<&View> {
        (key.generation == self.generation)
            .then(|| self.views.get(usize::from(key.index)))
            .flatten()
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.views.iter().any(|v| !v.subscribers.is_empty())
    }

    pub(crate) fn views_in_use(&mut self) -> impl Iterator<Item = &mut View> {
        self.views.iter_mut().filter(|v| !v.subscribers.is_empty())
    }

    pub(crate) fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        self.views.iter().flat_map(|v| &v.subscribers)
    }

    pub(crate) fn unsubscribe(&mut self, endpoint: usize) {
        for view in &mut self.views {
            view.subscribers.retain(|s| s.endpoint != endpoint);
        }
    }

    /// Takes up that the layers have changed.
    pub(crate) fn reshape(&mut self) {
        let shapes = self.reader.shapes();
        let id = |s: &Shape| (s.spatial, s.temporal, s.target);
        if !shapes.iter().map(id).eq(self.shapes.iter().map(id)) {
            self.rates.reset(shapes.len());
        }
        self.shapes = shapes;
        for view in &mut self.views {
            view.aim(&self.reader);
        }
    }

    /// Counts a packet for every layer it is part of.
    pub(crate) fn measure(&mut self, facts: &Facts, bytes: usize, now: Instant) {
        let shapes = &self.shapes;
        self.rates.add(bytes, now, |layer| {
            let shape = &shapes[layer];
            match facts.layout {
                Layout::Blind => true,
                Layout::Targets => facts.present >> shape.target & 1 == 1,
                Layout::Layers => {
                    facts.temporal <= shape.temporal
                        && (facts.spatial == shape.spatial
                            || facts.spatial < shape.spatial && facts.referred_above)
                }
            }
        });
    }

    /// Takes in a sender report; whether it may go on to others.
    pub(crate) fn sender_report(&mut self, info: &SenderInfo, now: Instant) -> bool {
        self.ingress.sender_report(info, now);
        self.clock = Some((info.ntp, info.rtp_timestamp));
        self.passed_on
            .is_none_or(|at| now.saturating_duration_since(at) >= REPORTS_APART)
    }

    /// A sender report went on to somebody.
    pub(crate) const fn report_passed(&mut self, now: Instant) {
        self.passed_on = Some(now);
    }

    /// A timestamp of this encoding on the clock of another one, by the wall clock of both.
    pub(crate) fn timestamp_on(&self, other: &Self, timestamp: u32) -> Option<u32> {
        let ((own_ntp, own), (their_ntp, theirs)) = (self.clock?, other.clock?);
        // In units of 2^-32 s.
        let apart = i128::from(own_ntp) - i128::from(their_ntp);
        let ticks = (apart * 90_000) >> 32;
        Some(
            theirs
                .wrapping_add(ticks as u32)
                .wrapping_add(timestamp.wrapping_sub(own)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_meet_on_the_wall_clock() {
        let now = althing_testkit::epoch();
        let report = |ntp: u64, rtp_timestamp| SenderInfo {
            ssrc: Ssrc(1),
            ntp,
            rtp_timestamp,
            packets: 0,
            octets: 0,
        };
        let mut low = Incoming::new(Ssrc(1), 90_000, 0);
        let mut high = Incoming::new(Ssrc(2), 90_000, 0);
        assert_eq!(high.timestamp_on(&low, 5), None);
        low.sender_report(&report(100 << 32, 1000), now);
        // Half a second earlier, on another base.
        high.sender_report(&report((99 << 32) + (1 << 31), u32::MAX), now);
        assert_eq!(
            high.timestamp_on(&low, u32::MAX),
            Some(1000u32.wrapping_sub(45_000))
        );
        assert_eq!(high.timestamp_on(&low, 44_999), Some(1000));
        assert_eq!(low.timestamp_on(&high, 1000), Some(44_999));
    }
}

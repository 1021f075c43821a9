//! Who hears an audio source, and by which numbers.
//!
//! ```text
//!   packet ─┬─ always ───────────────► Fresh     receivers whose slot has carried next to nothing
//!           ├─ unless silent ────────► All       taps, and whoever asked for this very source
//!           └─ … and ranked ─────────► Loudest   everybody else
//! ```
//!
//! Each class has one numbering, closed up over what the class was not sent; a receiver adds its
//! constant and nothing more. So a packet that a class does not get costs nothing for those in it.

use crate::pauses::Pauses;
use crate::source::Subscriber;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How a receiver hears a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Class {
    /// Every packet, be it silence: a client takes a new stream that never gets a packet for broken,
    /// and builds it again (protocol 3 §7.3, hazard 5c).
    #[default]
    Fresh,
    /// Every packet that is no silence.
    All,
    /// While the source is among the loudest.
    Loudest,
}

impl Class {
    pub(crate) const EACH: [Self; 3] = [Self::Fresh, Self::All, Self::Loudest];
}

/// Packets that a fresh slot carries before it is one like others.
pub(crate) const FRESH_PACKETS: u32 = 5;

#[derive(Debug, Default)]
pub(crate) struct Track {
    pub(crate) numbers: Pauses,
    /// Only those who want it and can be sent to.
    pub(crate) subscribers: Vec<Subscriber>,
}

/// The receivers of one audio source.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    tracks: [Track; 3],
    pub(crate) preroll: Preroll,
    /// When a packet last went to the class of the loudest.
    pub(crate) passed_at: Option<Instant>,
    /// Some receiver wants it and has no slot for it.
    pub(crate) unserved: bool,
    /// When it last looked for slots, and how many had ever become free then.
    pub(crate) sought: Option<(Instant, u64)>,
}

impl Audience {
    pub(crate) const fn track(&self, class: Class) -> &Track {
        &self.tracks[class as usize]
    }

    pub(crate) const fn track_mut(&mut self, class: Class) -> &mut Track {
        &mut self.tracks[class as usize]
    }

    pub(crate) fn unsubscribe(&mut self, endpoint: usize) {
        for track in &mut self.tracks {
            if let Some(at) = track
                .subscribers
                .iter()
                .position(|s| s.endpoint == endpoint)
            {
                track.subscribers.swap_remove(at);
                return;
            }
        }
    }

    /// Numbers begin anew.
    pub(crate) fn restart(&mut self) {
        for track in &mut self.tracks {
            track.numbers = Pauses::default();
        }
        self.preroll.clear();
    }

    /// Whether it is among those heard.
    pub(crate) fn is_heard(&self, now: Instant) -> bool {
        self.passed_at
            .is_some_and(|at| now.saturating_duration_since(at) < Duration::from_secs(1))
    }

    /// Those who are sent its packets at present, and so are to know its clock.
    pub(crate) fn listeners(&self, now: Instant) -> impl Iterator<Item = &Subscriber> {
        let heard = self.is_heard(now);
        Class::EACH
            .into_iter()
            .filter(move |class| *class != Class::Loudest || heard)
            .flat_map(|class| &self.track(class).subscribers)
    }
}

/// The last packets of a source that is not heard: when it begins to speak, they are what came
/// before the first loud frame, and a word often begins softly.
#[derive(Debug, Default)]
pub(crate) struct Preroll {
    packets: VecDeque<Kept>,
    spare: Vec<Vec<u8>>,
}

/// One packet as it would have been sent.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) number: u64,
    pub(crate) at: Instant,
    header: usize,
    bytes: Vec<u8>,
}

impl Kept {
    pub(crate) fn header(&self) -> &[u8] {
        &self.bytes[..self.header]
    }
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.header..]
    }
}

impl Preroll {
    /// As much as receivers can take at once without growing their buffers.
    const PACKETS: usize = 2;
    const AGE: Duration = Duration::from_millis(60);

    pub(crate) fn keep(&mut self, number: u64, header: &[u8], body: &[u8], now: Instant) {
        if self.packets.back().is_some_and(|k| k.number >= number) {
            return;
        }
        if self.packets.len() == Self::PACKETS {
            self.recycle();
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(body);
        self.packets.push_back(Kept {
            number,
            at: now,
            header: header.len(),
            bytes,
        });
    }

    fn recycle(&mut self) {
        if let Some(mut kept) = self.packets.pop_front() {
            kept.bytes.clear();
            self.spare.push(kept.bytes);
        }
    }

    pub(crate) fn clear(&mut self) {
        while !self.packets.is_empty() {
            self.recycle();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// What precedes the packet of this number closely enough, oldest first; the rest is forgotten.
    pub(crate) fn before(&self, number: u64, now: Instant) -> impl Iterator<Item = &Kept> {
        self.packets
            .iter()
            .filter(move |k| k.number < number && now.saturating_duration_since(k.at) <= Self::AGE)
    }
}

//! Which sources are among the loudest (protocol 5 §7.4), with care for how speech begins and ends.
//!
//! A source holds one of a few *places* while it is among the loudest. Compared with the stock
//! bridge's list of scores there are three differences, all of them so that no syllable is cut:
//!
//! - A score follows a rising level at once, and holds its peak for a while before it falls: a
//!   speaker is as loud as the last words, not as the gap between two of them. Somebody else takes
//!   the place only by being clearly louder.
//! - Whoever loses a place is heard for a moment more, as a *guest*.
//! - Whoever begins to speak while all places are taken is a guest for half a second; by then there
//!   is a place, or others are louder.
//!
//! There are as many guests as places at most, so the number of sources heard at once is bounded.
//! Who is dominant is heard besides; that is up to the caller.

use crate::settings::Loudest;
use crate::speakers::{Floor, LOUD};
use std::time::{Duration, Instant};

/// A source that has sent no packet for this long has no place (`energy-expire-time`).
const EXPIRE: Duration = Duration::from_millis(150);
/// A level's weight in a falling score, in percent (`energy-alpha-pct`).
const ALPHA: u32 = 50;
/// How long a score stays at its peak.
const HOLD: Duration = Duration::from_millis(400);
/// How much louder one must be to take another's place, in dB.
const MARGIN: u8 = 6;
/// A place is given up after this long without voice.
const KEEP: Duration = Duration::from_secs(2);
/// Who lost a place is heard for this long.
const HANG_OVER: Duration = Duration::from_millis(400);
/// Who begins to speak is heard for this long, place or not.
const ONSET: Duration = Duration::from_millis(500);
/// A pause after which speaking begins anew.
const PAUSE: Duration = Duration::from_secs(1);
/// Until this many levels the noise floor is not believed: it may be the first syllable.
const YOUNG: u8 = 100;
/// A source that has made no sound for this long counts as muted.
const MUTED: Duration = Duration::from_secs(5);
/// The score of a source that tells no levels: it is heard while there is room.
const UNTOLD: u8 = 1;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Out,
    Place,
    Guest,
}

/// What is known of one source.
#[derive(Debug, Default)]
struct Voice {
    standing: Standing,
    floor: Floor,
    levels: u8,
    score: u8,
    peak_at: Option<Instant>,
    last: Option<Instant>,
    /// Last frame of voice, and the first one after a pause.
    voiced_at: Option<Instant>,
    began_at: Option<Instant>,
    /// Last packet that was not silence.
    sound_at: Option<Instant>,
    /// It is in the list of those who are not muted.
    listed: bool,
}

fn within(at: Option<Instant>, span: Duration, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_duration_since(at) < span)
}

impl Voice {
    /// Takes a level in (0 silent to 127), and says whether it is voice.
    fn heard(&mut self, level: Option<u8>, now: Instant) -> bool {
        self.last = Some(now);
        let (score, is_voice) = match level {
            None => (UNTOLD, true),
            Some(level) => {
                self.floor.heard(level);
                self.levels = self.levels.saturating_add(1).min(YOUNG);
                let noise = self.levels == YOUNG && self.floor.is_noise(level);
                let score = if noise { 0 } else { level };
                // A hum competes with nobody, and is heard where nobody else is.
                (score, score > 0 || level >= LOUD)
            }
        };
        if score >= self.score {
            self.score = score;
            self.peak_at = Some(now);
        } else if !within(self.peak_at, HOLD, now) {
            let sum = ALPHA * u32::from(score) + (100 - ALPHA) * u32::from(self.score) + 50;
            self.score = (sum / 100).min(127) as u8;
        }
        if is_voice {
            if !within(self.voiced_at, PAUSE, now) {
                self.began_at = Some(now);
            }
            self.voiced_at = Some(now);
        }
        is_voice
    }

    fn may_keep_place(&self, now: Instant) -> bool {
        within(self.last, EXPIRE, now) && within(self.voiced_at, KEEP, now)
    }
}

/// Who is among the loudest of one conference; sources by index.
#[derive(Debug)]
pub(crate) struct Ranking {
    rules: Option<Loudest>,
    /// There are enough sources for it to matter.
    active: bool,
    voices: Vec<Voice>,
    unmuted: Vec<usize>,
    places: Vec<usize>,
    guests: Vec<(usize, Instant)>,
}

impl Ranking {
    pub(crate) const fn new(rules: Option<Loudest>) -> Self {
        Self {
            rules,
            active: false,
            voices: Vec::new(),
            unmuted: Vec::new(),
            places: Vec::new(),
            guests: Vec::new(),
        }
    }

    pub(crate) const fn is_active(&self) -> bool {
        self.active
    }

    /// A packet of the source had this level, 0 (silent) to 127, or told none. Whether the source is
    /// heard now.
    pub(crate) fn heard(&mut self, source: usize, level: Option<u8>, now: Instant) -> bool {
        let Some(rules) = self.rules else { return true };
        if self.voices.len() <= source {
            self.voices.resize_with(source + 1, Voice::default);
        }
        let voice = &mut self.voices[source];
        let is_voice = voice.heard(level, now);
        if level != Some(0) {
            voice.sound_at = Some(now);
            if !std::mem::replace(&mut voice.listed, true) {
                self.unmuted.push(source);
                if self.unmuted.len() > rules.above && !self.active {
                    self.activate(rules.count, now);
                }
            }
        }
        if !self.active {
            return true;
        }
        self.expire(now);
        if is_voice && self.voices[source].standing != Standing::Place {
            self.compete(source, level, rules.count, now);
        }
        self.voices[source].standing != Standing::Out
    }

    /// Somebody without a place speaks.
    fn compete(&mut self, source: usize, level: Option<u8>, count: usize, now: Instant) {
        if self.places.len() < count {
            self.give_place(source);
            return;
        }
        let score = self.voices[source].score;
        let least = self
            .places
            .iter()
            .copied()
            .min_by_key(|s| self.voices[*s].score);
        if let Some(least) = least
            && score > self.voices[least].score.saturating_add(MARGIN)
        {
            self.places.retain(|s| *s != least);
            if self.guests.len() >= count
                && let Some(next) = (0..self.guests.len()).min_by_key(|i| self.guests[*i].1)
            {
                let (gone, _) = self.guests.swap_remove(next);
                self.voices[gone].standing = Standing::Out;
            }
            // The newcomer may have been a guest itself, and makes room.
            self.give_place(source);
            self.voices[least].standing = Standing::Guest;
            self.guests.push((least, now + HANG_OVER));
            return;
        }
        let voice = &mut self.voices[source];
        if voice.standing == Standing::Out
            && self.guests.len() < count
            && level.is_some_and(|l| l >= LOUD)
            && let Some(until) = voice.began_at.map(|at| at + ONSET).filter(|at| now < *at)
        {
            voice.standing = Standing::Guest;
            self.guests.push((source, until));
        }
    }

    fn give_place(&mut self, source: usize) {
        self.guests.retain(|(s, _)| *s != source);
        self.voices[source].standing = Standing::Place;
        self.places.push(source);
    }

    /// Ends what has lasted long enough: a few steps, as there are few places.
    fn expire(&mut self, now: Instant) {
        let Self {
            voices,
            places,
            guests,
            ..
        } = self;
        places.retain(|s| {
            let stays = voices[*s].may_keep_place(now);
            if !stays {
                voices[*s].standing = Standing::Out;
            }
            stays
        });
        guests.retain(|(s, until)| {
            let stays = now < *until;
            if !stays {
                voices[*s].standing = Standing::Out;
            }
            stays
        });
    }

    /// From now on it matters who is loud.
    fn activate(&mut self, count: usize, now: Instant) {
        self.active = true;
        let mut speaking: Vec<usize> = self
            .unmuted
            .iter()
            .copied()
            .filter(|s| self.voices[*s].may_keep_place(now))
            .collect();
        speaking.sort_by_key(|s| std::cmp::Reverse(self.voices[*s].score));
        for source in speaking.into_iter().take(count) {
            self.give_place(source);
        }
    }

    /// Counts who is muted; to be called a few times a second.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let Some(rules) = self.rules else { return };
        let voices = &mut self.voices;
        self.unmuted.retain(|s| {
            let voice = &mut voices[*s];
            voice.listed = within(voice.sound_at, MUTED, now);
            voice.listed
        });
        if self.active && self.unmuted.len() <= rules.above {
            self.active = false;
            for source in self
                .places
                .drain(..)
                .chain(self.guests.drain(..).map(|g| g.0))
            {
                self.voices[source].standing = Standing::Out;
            }
        }
    }

    /// The source is gone; its index may come to name another.
    pub(crate) fn forget(&mut self, source: usize) {
        if let Some(voice) = self.voices.get_mut(source) {
            *voice = Voice::default();
            self.unmuted.retain(|s| *s != source);
            self.places.retain(|s| *s != source);
            self.guests.retain(|(s, _)| *s != source);
        }
    }
}

#[cfg(test)]
mod tests;

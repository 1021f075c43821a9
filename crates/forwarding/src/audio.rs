//! The way of an audio packet: ranked once, then to whoever hears its source.

use crate::audience::{Class, FRESH_PACKETS, Preroll, Track};
use crate::conference::Conference;
use crate::frame_ids::FrameIds;
use crate::headers::Headers;
use crate::media::Original;
use crate::outlet::{Numbers, Verdict};
use crate::red;
use crate::settings::PacketSink;
use crate::source::Subscriber;
use crate::view::ViewKey;
use althing_model::MediaKind;
use althing_model::profile::extension;
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// Digital silence, in −dBov.
const SILENT: u8 = 127;
/// Audio sources of the dominant speaker that are heard whatever their rank.
const OF_DOMINANT: usize = 2;
/// Between two attempts to find slots for a voice.
const SEEK_PAUSE: Duration = Duration::from_secs(1);

/// One packet on its way to a class of receivers.
struct Outgoing<'a> {
    source: usize,
    class: Class,
    /// In the numbering of the class.
    number: u64,
    timestamp: u32,
    body: &'a [u8],
}

/// The number by which a class sees a packet; nothing if it is not to have it.
fn number_in(track: &mut Track, goes: bool, number: u64) -> Option<u64> {
    // A late packet that a number is kept for goes on, whatever it sounds like: it fills a gap.
    if !goes && track.numbers.hide(number) {
        return None;
    }
    track.numbers.number(number)
}

impl Conference {
    /// Ranks a packet and hands it to everybody who hears its source now.
    pub(crate) fn forward_audio(
        &mut self,
        index: usize,
        original: &Original<'_>,
        number: u64,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let level = original
            .packet
            .extension(extension::AUDIO_LEVEL)
            .and_then(|v| v.first())
            .map(|l| l & 0x7f);
        let loud = level.map(|l| 127 - l);
        self.heard(index, loud, now);
        let source = original.source;
        let ranks =
            self.ranking.heard(source, loud, now) || self.is_voice_of_dominant(index, source);
        let sounds = self.sources[source].silence.forwards(level);
        let passes = sounds && ranks;
        if !sounds {
            self.counters.hidden += 1;
        } else if !ranks {
            self.counters.unranked += 1;
        }
        if passes && level != Some(SILENT) {
            self.voice_passes(source, now);
        }
        if passes && !self.sources[source].audience.preroll.is_empty() {
            self.send_preroll(source, number, now, sink);
        }
        let audience = &mut self.sources[source].audience;
        let numbers = [
            (Class::Fresh, true),
            (Class::All, sounds),
            (Class::Loudest, passes),
        ]
        .map(|(class, goes)| {
            let track = audience.track_mut(class);
            let number = number_in(track, goes, number);
            number.filter(|_| !track.subscribers.is_empty())
        });
        let is_kept = !ranks && !audience.track(Class::Loudest).subscribers.is_empty();
        if !sounds {
            audience.preroll.clear();
        }
        if !is_kept && numbers == [None; 3] {
            return;
        }
        let mut headers = Headers::new(&original.packet, original.payload.number, false);
        if is_kept && sounds {
            let header = headers.plain().bytes();
            audience.preroll.keep(number, header, original.body, now);
        }
        for (class, number) in Class::EACH.into_iter().zip(numbers) {
            let Some(number) = number else { continue };
            let outgoing = Outgoing {
                source,
                class,
                number,
                timestamp: original.packet.timestamp(),
                body: original.body,
            };
            self.deliver(&outgoing, &mut headers, now, sink);
        }
        if numbers[Class::Fresh as usize].is_some() {
            self.settle_fresh(source);
        }
    }

    /// Who is dominant is heard by a microphone and what a screen sounds like, rank or not. Others of
    /// its sources have to rank: somebody with twenty would take every slot there is.
    fn is_voice_of_dominant(&self, index: usize, source: usize) -> bool {
        let own = || self.endpoints[index].sources.iter();
        self.dominant == Some(index)
            && own()
                .filter(|s| self.sources[**s].kind == MediaKind::Audio)
                .take(OF_DOMINANT)
                .any(|s| *s == source)
    }

    /// What came right before the first loud frame goes before it.
    fn send_preroll(
        &mut self,
        source: usize,
        number: u64,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let mut preroll: Preroll = std::mem::take(&mut self.sources[source].audience.preroll);
        let mut revealed = false;
        for kept in preroll.before(number, now) {
            let track = self.sources[source].audience.track_mut(Class::Loudest);
            revealed = revealed || track.numbers.reveal_from(kept.number);
            if !revealed {
                break;
            }
            let headers = Headers::of_kept(kept.header());
            let (Some(number), Some(mut headers)) = (track.numbers.number(kept.number), headers)
            else {
                continue;
            };
            let outgoing = Outgoing {
                source,
                class: Class::Loudest,
                number,
                timestamp: headers.plain().timestamp(),
                body: kept.body(),
            };
            self.deliver(&outgoing, &mut headers, now, sink);
        }
        preroll.clear();
        self.sources[source].audience.preroll = preroll;
    }

    /// Rewrites the header for each receiver of the class; the payload is shared.
    fn deliver(
        &mut self,
        outgoing: &Outgoing<'_>,
        headers: &mut Headers,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let source = &self.sources[outgoing.source];
        let numbers = Numbers {
            number: outgoing.number,
            timestamp: outgoing.timestamp,
            starts: true,
            view: ViewKey::whole(source.epoch()),
            ids: FrameIds::NONE,
        };
        let whole = (headers.plain().payload_type(), 0);
        let newest = match whole.0 {
            // The lengths in it are encrypted too: nobody can tell which part is the newest.
            red::PAYLOAD_TYPE if source.encrypted => None,
            red::PAYLOAD_TYPE => red::primary(outgoing.body).filter(|(number, _)| {
                let payload = self.payloads[usize::from(*number & 0x7f)];
                *number != red::PAYLOAD_TYPE && payload.is_some_and(|p| p.kind == MediaKind::Audio)
            }),
            _ => Some(whole),
        };
        for subscriber in &source.audience.track(outgoing.class).subscribers {
            let endpoint = &mut self.endpoints[subscriber.endpoint];
            let form = if endpoint.takes_red {
                Some(whole)
            } else {
                newest
            };
            let Some((payload_type, start)) = form else {
                continue;
            };
            let body = &outgoing.body[start..];
            let outlet = &mut endpoint.outlets[subscriber.outlet];
            let Verdict::Send {
                sequence,
                timestamp,
            } = outlet.accept(&numbers, now)
            else {
                continue;
            };
            let header = &mut headers.of(endpoint.downlink.numbers()).header;
            header.set_payload_type(payload_type);
            header.set_ssrc(outlet.ssrc);
            header.set_sequence(sequence);
            header.set_timestamp(timestamp);
            outlet.count(body.len());
            let size = header.bytes().len() + body.len();
            endpoint.leaves(MediaKind::Audio, header, size, now);
            endpoint.counters.rtp_sent += 1;
            endpoint.counters.rtp_sent_bytes += size as u64;
            self.counters.rtp_sent += 1;
            sink.rtp(endpoint.key, header.bytes(), [body, &[]]);
        }
    }

    /// Slots that have carried enough become like others.
    fn settle_fresh(&mut self, source: usize) {
        let fresh = &self.sources[source]
            .audience
            .track(Class::Fresh)
            .subscribers;
        let ripe: SmallVec<[Subscriber; 8]> = fresh
            .iter()
            .filter(|s| self.endpoints[s.endpoint].outlets[s.outlet].packets >= FRESH_PACKETS)
            .copied()
            .collect();
        for subscriber in ripe {
            self.reclassify(source, subscriber);
        }
    }

    /// Somebody is heard. Whoever has no slot for this voice gets one before its packet goes out.
    fn voice_passes(&mut self, source: usize, now: Instant) {
        let freed = self.freed_audio;
        let audience = &mut self.sources[source].audience;
        audience.passed_at = Some(now);
        let too_soon = audience.sought.is_some_and(|(at, then)| {
            then == freed && now.saturating_duration_since(at) < SEEK_PAUSE
        });
        if audience.unserved && !too_soon {
            audience.sought = Some((now, freed));
            audience.unserved = false;
            self.serve_audio(&[source], now);
        }
    }
}

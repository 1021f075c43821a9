//! The way of one video packet: what it belongs to is found once, its numbers once per view, and
//! only what differs is written per receiver.

use crate::conference::Conference;
use crate::congestion::{ESTIMATION, TICK};
use crate::endpoint::Endpoint;
use crate::frame_ids::PREFIX;
use crate::headers::Headers;
use crate::layers::LayerId;
use crate::media::Original;
use crate::outlet::{Numbers, Outlet, Verdict};
use crate::pacing::Held;
use crate::reader::{Facts, Unread};
use crate::settings::PacketSink;
use crate::source::{Source, Subscriber};
use crate::timers::Timer;
use crate::view::{self, InView, View, ViewKey};
use althing_model::MediaKind;
use althing_model::profile::extension;
use slab::Slab;
use std::time::Instant;

/// About what a header takes that goes to a receiver, without a dependency descriptor: rates are
/// compared with what paths carry.
const HEADER: usize = 20;

impl Conference {
    pub(crate) fn forward_video(
        &mut self,
        original: &Original<'_>,
        number: u64,
        previous: Option<u64>,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let (source, encoding) = (original.source, original.encoding);
        let s = &mut self.sources[source];
        let incoming = &mut s.incoming[encoding];
        if original.body.is_empty() {
            // Padding alone, sent to probe the path.
            for view in &mut incoming.views {
                view.numbers.leave_out(number, number + 1);
            }
            self.counters.hidden += 1;
            self.follow_losses(original, number, previous, false, now, sink);
            return;
        }
        let newest = incoming.ingress.is_highest(number);
        let before = incoming.reader.before();
        let facts = incoming.reader.read(
            Unread {
                codec: original.payload.codec,
                number,
                timestamp: original.packet.timestamp(),
                marker: original.packet.marker(),
                body: original.body,
                descriptor: original.packet.extension(extension::DEPENDENCY_DESCRIPTOR),
                newest,
                encrypted: s.encrypted,
            },
            now,
        );
        if incoming.reader.take_changed() {
            s.reshape();
        }
        let incoming = &mut s.incoming[encoding];
        let descriptor = original.packet.extension(extension::DEPENDENCY_DESCRIPTOR);
        let header = HEADER + descriptor.map_or(0, <[u8]>::len);
        incoming.measure(&facts, original.body.len() + header, now);
        let measured = s.measured;
        if !measured {
            self.start_measuring(source, now);
        }
        self.follow_losses(original, number, previous, facts.key, now, sink);
        let s = &mut self.sources[source];
        if !s.is_subscribed() {
            // Another part may have asked too soon after somebody else.
            if !s.relayed.is_empty() && s.requests.due(now) {
                self.ask_keyframe(source, sink);
            }
            return;
        }
        let top = s.incoming[encoding].reader.top_spatial;
        if let (true, Some((from, before))) = (newest, before)
            && number > from + 1
        {
            for view in s.incoming[encoding].views_in_use() {
                view.lost_between((from, before), (number, &facts), top);
            }
        }
        if !s.unsettled.is_empty() {
            // A late packet begins a stream only while nothing behind its frame has come.
            let late = facts.key && top == 0 && before.is_some_and(|(_, b)| b.same_frame(&facts));
            if facts.opens || newest && facts.key || late {
                let at = At {
                    encoding,
                    number,
                    facts: &facts,
                    newest,
                };
                settle(s, &mut self.endpoints, &at, now);
            }
        }
        self.fan_out_video(original, number, &facts, now, sink);
        self.ask_for_unsettled(source, now, sink);
    }

    /// Notes what is missing and asks for it, where anybody would get it.
    fn follow_losses(
        &mut self,
        original: &Original<'_>,
        number: u64,
        previous: Option<u64>,
        key: bool,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let (source, encoding) = (original.source, original.encoding);
        let s = &mut self.sources[source];
        // Of another part's endpoint that part asks for what is missing.
        let wanted = s.link.is_none() && s.is_wanted(encoding);
        let incoming = &mut s.incoming[encoding];
        match previous {
            _ if !wanted => incoming.missing.clear(),
            Some(previous) => incoming.missing.advanced(previous, number, now),
            None => incoming.missing.filled(number),
        }
        if key {
            incoming.missing.purge_before(number);
        }
        if incoming.missing.is_empty() {
            return;
        }
        if !incoming.listed_missing {
            incoming.listed_missing = true;
            self.missing.push((source, encoding));
        }
        if previous.is_some_and(|p| number > p + 1) {
            self.ask_owner(source, encoding, now, sink);
        }
    }

    /// Rewrites the header for each subscriber of each view; the payload is shared.
    fn fan_out_video(
        &mut self,
        original: &Original<'_>,
        number: u64,
        facts: &Facts,
        now: Instant,
        sink: &mut impl PacketSink,
    ) {
        let source = &mut self.sources[original.source];
        let waited_for = !source.unsettled.is_empty();
        let incoming = &mut source.incoming[original.encoding];
        if !incoming.is_subscribed() {
            self.counters.other_encoding += 1;
            // Somebody may begin with an earlier packet of this frame, when that comes at last.
            if !waited_for {
                return;
            }
        }
        let has_descriptor = facts.ids.frame.is_some();
        let mut headers = Headers::new(&original.packet, original.payload.number, has_descriptor);
        let header = headers.plain().bytes();
        incoming.history.push(number, header, original.body, now);
        let mut prefix = [0; PREFIX];
        // Those for whom too much waits already.
        let mut overflowed = Vec::new();
        let top = incoming.reader.top_spatial;
        let generation = incoming.generation;
        for (index, view) in (0u8..).zip(&mut incoming.views) {
            if view.subscribers.is_empty() {
                continue;
            }
            let Some(seen) = view.number(number, facts, top) else {
                continue;
            };
            let numbers = Numbers {
                number: seen.number,
                timestamp: original.packet.timestamp(),
                starts: facts.key,
                view: ViewKey {
                    encoding: original.encoding as u8,
                    index,
                    generation,
                },
                ids: seen.ids,
            };
            let mut own = view.active_targets(facts).and_then(|active| {
                let before = original
                    .packet
                    .extension(extension::DEPENDENCY_DESCRIPTOR)?;
                let (bytes, length) = incoming.reader.describe(number, before, active)?;
                let payload_type = original.payload.number;
                Some(Headers::describing(
                    &original.packet,
                    payload_type,
                    &bytes[..length],
                ))
            });
            let headers = own.as_mut().unwrap_or(&mut headers);
            for subscriber in &view.subscribers {
                let endpoint = &mut self.endpoints[subscriber.endpoint];
                let outlet = &mut endpoint.outlets[subscriber.outlet];
                let Verdict::Send {
                    sequence,
                    timestamp,
                } = outlet.accept(&numbers, now)
                else {
                    continue;
                };
                if endpoint.downlink.begin() {
                    self.estimating.push(subscriber.endpoint);
                    self.timers.arm(Timer::Estimation, now + ESTIMATION);
                }
                let form = headers.of(endpoint.downlink.numbers());
                let header = &mut form.header;
                header.set_marker(seen.marker);
                header.set_ssrc(outlet.ssrc);
                header.set_sequence(sequence);
                header.set_timestamp(timestamp);
                let shift = outlet.shift();
                if let Some(at) = form.descriptor_at
                    && (form.renumbered || shift.renumbers_frames())
                {
                    shift.write(&seen.ids, at, header);
                    form.renumbered = true;
                }
                let replaced = shift.prefix(&seen.ids, original.body, &mut prefix);
                outlet.count(original.body.len());
                let size = header.bytes().len() + original.body.len();
                if !endpoint.downlink.pacer.admits(now, size) {
                    if !std::mem::replace(&mut endpoint.downlink.listed, true) {
                        self.paced.push(subscriber.endpoint);
                        self.timers.arm(Timer::Pacing, now + TICK);
                    }
                    let held = Held {
                        source: original.source,
                        view: numbers.view,
                        outlet: subscriber.outlet,
                        kept: number,
                        sequence,
                        header,
                        prefix: &prefix[..replaced],
                        size,
                    };
                    if endpoint.hold(&held, now).is_err() {
                        overflowed.push(*subscriber);
                    }
                    continue;
                }
                endpoint.leaves(MediaKind::Video, header, size, now);
                endpoint.counters.rtp_sent += 1;
                endpoint.counters.rtp_sent_bytes += size as u64;
                self.counters.rtp_sent += 1;
                let payload = [&prefix[..replaced], &original.body[replaced..]];
                sink.rtp(endpoint.key, header.bytes(), payload);
            }
        }
        for subscriber in overflowed {
            source.unsubscribe(subscriber.endpoint);
            source.unsettle(subscriber);
        }
    }

    /// Asks for a keyframe if one is due, for those who cannot get what they want without.
    fn ask_for_unsettled(&mut self, source: usize, now: Instant, sink: &mut impl PacketSink) {
        let s = &mut self.sources[source];
        if !s.requests.ready(now) {
            return;
        }
        let due = s.requests.due(now);
        let mut lacking = false;
        if !s.unsettled.is_empty() && s.next_ask.is_none_or(|at| now >= at) {
            let mut next: Option<Instant> = None;
            for subscriber in &s.unsettled {
                let outlet = &mut self.endpoints[subscriber.endpoint].outlets[subscriber.outlet];
                let Some(target) = outlet.target else {
                    continue;
                };
                let here = outlet.view().and_then(|key| s.view(key));
                let wanted = s.usable(target);
                let Some(incoming) = s.incoming.get(usize::from(wanted.encoding)) else {
                    continue;
                };
                let lacks = view::needs_keyframe(here, wanted, &incoming.reader);
                if !lacks || !outlet.may_begin(now) {
                    // Soon it may.
                    next = Some(now);
                    continue;
                }
                if outlet.requester.may_ask(now) {
                    outlet.requester.asked(now);
                    lacking = true;
                }
                next = [next, outlet.requester.next_at()]
                    .into_iter()
                    .flatten()
                    .min();
            }
            s.next_ask = next;
        }
        if due || lacking && s.requests.request(now) {
            self.ask_keyframe(source, sink);
        }
    }
}

/// The packet at which views may be changed.
struct At<'a> {
    encoding: usize,
    number: u64,
    facts: &'a Facts,
    newest: bool,
}

/// Takes those who are not in the view they want nearer to it, as far as this packet allows.
fn settle(source: &mut Source, endpoints: &mut Slab<Endpoint>, at: &At<'_>, now: Instant) {
    let mut unsettled = std::mem::take(&mut source.unsettled);
    unsettled.retain(|subscriber| {
        let outlet = &mut endpoints[subscriber.endpoint].outlets[subscriber.outlet];
        let Some(target) = outlet.target else {
            return false;
        };
        let wanted = source.usable(target);
        let here = outlet.view().and_then(|key| source.view(key));
        if here.is_some_and(|v| v.id == wanted) {
            return false;
        }
        let goes_on = here.is_some_and(|v| usize::from(v.id.encoding) == at.encoding);
        if here.is_none() && !outlet.may_begin(now) || goes_on && !at.newest {
            return true;
        }
        let reader = &source.incoming[at.encoding].reader;
        let next = view::next(here, wanted, at.encoding as u8, at.facts, reader);
        next.is_none_or(|next| {
            move_to(source, *subscriber, outlet, next, at, now);
            next != wanted
        })
    });
    source.unsettled = unsettled;
}

/// Subscribes an outlet to another view of the packet's encoding, from this packet on.
fn move_to(
    source: &mut Source,
    subscriber: Subscriber,
    outlet: &mut Outlet,
    to: LayerId,
    at: &At<'_>,
    now: Instant,
) {
    let incoming = &mut source.incoming[at.encoding];
    let Some(index) = incoming.view(to) else {
        return;
    };
    let key = ViewKey {
        encoding: to.encoding,
        index,
        generation: incoming.generation,
    };
    let incoming = &source.incoming[at.encoding];
    let numbers_in = |view: &View| numbers_at(view, key, at, incoming.reader.top_spatial);
    let Some((numbers, lowered)) = numbers_in(&incoming.views[usize::from(index)]) else {
        return;
    };
    let from = outlet.view().filter(|from| source.view(*from).is_some());
    let goes_on = from.filter(|from| usize::from(from.encoding) == at.encoding);
    if let Some(before) = goes_on.and_then(|from| incoming.view_of(from)) {
        let Some((old, old_lowered)) = numbers_in(before) else {
            return;
        };
        outlet.go_on(&numbers, (old.number, lowered.wrapping_sub(old_lowered)));
    } else {
        let aligned = outlet
            .segment()
            .and_then(|s| source.timestamp_on(s.view, at.encoding, at.facts.timestamp));
        outlet.begin(&numbers, aligned, now);
    }
    if let Some(from) = from {
        source.incoming[usize::from(from.encoding)].views[usize::from(from.index)]
            .subscribers
            .retain(|s| *s != subscriber);
    }
    source.incoming[at.encoding].views[usize::from(index)]
        .subscribers
        .push(subscriber);
}

/// The packet in a view, be it part of it or not; and how far picture ids are lowered there.
fn numbers_at(view: &View, key: ViewKey, at: &At<'_>, top: u8) -> Option<(Numbers, u16)> {
    let facts = at.facts;
    let number = view.numbers.peek(at.number)?;
    let InView { ids, .. } = view.seen(number, facts, top);
    let lowered = facts
        .picture
        .map_or(0, |picture| (picture - view.closed_picture(picture)) as u16);
    let numbers = Numbers {
        number,
        timestamp: facts.timestamp,
        starts: facts.key,
        view: key,
        ids,
    };
    Some((numbers, lowered))
}

#[cfg(test)]
mod tests;

//! The conference: who is in it, what they send, and the calls of its owner.

use crate::allocation::Dirty;
use crate::allocator::Choice;
use crate::bucket::Bucket;
use crate::congestion::PacketResult;
use crate::endpoint::{Channel, Endpoint};
use crate::hash::Keyed;
use crate::loudest::Ranking;
use crate::placing::News;
use crate::red;
use crate::relay::{Link, Links, RelayMessage};
use crate::settings::{
    Allocated, ConferenceCounters, EndpointCounters, EndpointKey, EndpointSettings, Limits, Output,
    PacketSink, Settings, SlotMode,
};
use crate::source::Source;
use crate::speakers;
use crate::timers::{Timer, Timers};
use crate::wishes::Wanted;
use althing_colibri::BridgeMessage;
use althing_model::profile::{self, Codec};
use althing_model::{
    EndpointId, Entropy, FeedbackSources, MediaKind, MediaKinds, SeededEntropy, SourceName,
};
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a payload type stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payload {
    pub(crate) codec: Codec,
    pub(crate) kind: MediaKind,
    /// Of the media, also for a retransmission.
    pub(crate) number: u8,
    /// Of its retransmissions.
    pub(crate) rtx: Option<u8>,
    pub(crate) is_rtx: bool,
}

/// One conference. Owned by one thread; deterministic given its seed and inputs.
#[derive(Debug)]
pub struct Conference {
    pub(crate) settings: Settings,
    pub(crate) feedback: FeedbackSources,
    pub(crate) entropy: SeededEntropy,
    pub(crate) hash: Keyed,
    pub(crate) payloads: [Option<Payload>; 128],
    pub(crate) endpoints: Slab<Endpoint>,
    ids: HashMap<EndpointId, EndpointKey>,
    generation: u32,
    pub(crate) sources: Slab<Source>,
    pub(crate) names: BTreeMap<SourceName, usize>,
    /// Every SSRC signalled or made: what a new one must not be.
    pub(crate) ssrcs: BTreeSet<u32>,
    /// Endpoints by speech: who was dominant last first, the others as they joined.
    pub(crate) order: Vec<usize>,
    pub(crate) dominant: Option<usize>,
    /// Former dominant speakers still here, the last first; the dominant one is not among them.
    pub(crate) recent: Vec<usize>,
    pub(crate) speeches: u64,
    pub(crate) last_audio: Option<Instant>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) timers: Timers,
    /// Receivers for whom something is to be chosen anew.
    pub(crate) dirty: VecDeque<usize>,
    /// How many of them may be served before packets are looked after again.
    pub(crate) may_serve: usize,
    pub(crate) limits: Limits,
    pub(crate) news: News,
    /// When receivers are to be looked at again.
    pub(crate) due: BTreeSet<(Instant, usize)>,
    /// Re-used by every choice.
    pub(crate) choices: Vec<Choice>,
    pub(crate) spare_wanted: Vec<Wanted>,
    pub(crate) spare_indices: Vec<usize>,
    /// The greatest number of video sources, as it was last applied.
    pub(crate) applied_last_n: Option<u32>,
    /// The other parts.
    pub(crate) links: Links,
    /// Audio sources that receivers have not been given yet.
    pub(crate) new_audio: Vec<usize>,
    /// Who is among the loudest.
    pub(crate) ranking: Ranking,
    /// How many audio sources have ended.
    pub(crate) freed_audio: u64,
    /// The camera to be asked for a keyframe soon.
    pub(crate) preemptive: Option<usize>,
    /// Sources whose wants may have changed.
    pub(crate) touched: Vec<usize>,
    pub(crate) tick: u64,
    /// Sources and encodings with missing packets.
    pub(crate) missing: Vec<(usize, usize)>,
    /// Sources whose layers are measured.
    pub(crate) measured: Vec<usize>,
    /// Senders with arrivals to report.
    pub(crate) recorded: Vec<usize>,
    /// Receivers whose packets are numbered.
    pub(crate) estimating: Vec<usize>,
    /// Receivers with packets that wait, or a probe.
    pub(crate) paced: Vec<usize>,
    /// Re-used for every feedback that arrives.
    pub(crate) results: Vec<PacketResult>,
    /// Encodings with something to report.
    pub(crate) reporting: Vec<(usize, usize)>,
    pub(crate) origin: Option<Instant>,
    now: Option<Instant>,
    /// Re-used for every RTCP packet that is sent.
    pub(crate) scratch: Vec<u8>,
    pub(crate) numbers: Vec<u16>,
    pub(crate) counters: ConferenceCounters,
}

impl Conference {
    /// An empty conference. `feedback` names the bridge's own sources, which its RTCP comes from.
    #[must_use]
    pub fn new(settings: Settings, feedback: FeedbackSources, seed: u64) -> Self {
        let mut entropy = SeededEntropy::new(seed);
        let ranking = Ranking::new(settings.loudest);
        let mut payloads = [None; 128];
        for (kind, list) in [
            (MediaKind::Audio, profile::AUDIO),
            (MediaKind::Video, profile::VIDEO),
        ] {
            for p in list {
                let media = Payload {
                    codec: p.codec,
                    kind,
                    number: p.number,
                    rtx: p.rtx,
                    is_rtx: false,
                };
                payloads[usize::from(p.number & 0x7f)] = Some(media);
                if let Some(rtx) = p.rtx {
                    payloads[usize::from(rtx & 0x7f)] = Some(Payload {
                        is_rtx: true,
                        ..media
                    });
                }
            }
        }
        payloads[usize::from(red::PAYLOAD_TYPE)] = Some(Payload {
            codec: Codec::Opus,
            kind: MediaKind::Audio,
            number: red::PAYLOAD_TYPE,
            rtx: None,
            is_rtx: false,
        });
        Self {
            settings,
            feedback,
            hash: Keyed(entropy.next_u64()),
            entropy,
            payloads,
            endpoints: Slab::new(),
            ids: HashMap::new(),
            generation: 0,
            sources: Slab::new(),
            names: BTreeMap::new(),
            ssrcs: BTreeSet::from([feedback.audio.0, feedback.video.0]),
            order: Vec::new(),
            dominant: None,
            recent: Vec::new(),
            speeches: 0,
            last_audio: None,
            outputs: VecDeque::new(),
            timers: Timers::default(),
            dirty: VecDeque::new(),
            may_serve: 0,
            limits: Limits::default(),
            news: News::default(),
            due: BTreeSet::new(),
            choices: Vec::new(),
            spare_wanted: Vec::new(),
            spare_indices: Vec::new(),
            applied_last_n: None,
            links: Links::NONE,
            new_audio: Vec::new(),
            ranking,
            freed_audio: 0,
            preemptive: None,
            touched: Vec::new(),
            tick: 0,
            missing: Vec::new(),
            measured: Vec::new(),
            recorded: Vec::new(),
            estimating: Vec::new(),
            paced: Vec::new(),
            results: Vec::new(),
            reporting: Vec::new(),
            origin: None,
            now: None,
            scratch: Vec::new(),
            numbers: Vec::new(),
            counters: ConferenceCounters::default(),
        }
    }

    /// Adds an endpoint; one of the same id is replaced. It counts as not connected, with no
    /// channel.
    pub fn add_endpoint(&mut self, now: Instant, settings: EndpointSettings) -> EndpointKey {
        self.insert_endpoint(now, settings, None)
    }

    pub(crate) fn insert_endpoint(
        &mut self,
        now: Instant,
        settings: EndpointSettings,
        link: Option<Link>,
    ) -> EndpointKey {
        self.enter(now);
        if let Some(&old) = self.ids.get(&settings.id) {
            self.remove_endpoint(now, old);
        }
        self.generation = self.generation.wrapping_add(1);
        let entry = self.endpoints.vacant_entry();
        let index = entry.key();
        let key = EndpointKey {
            index: u32::try_from(index).expect("no conference has four billion endpoints"),
            generation: self.generation,
        };
        self.ids.insert(settings.id.clone(), key);
        let endpoint = entry.insert(Endpoint::new(key, settings, self.hash));
        let asks = self.settings.keyframe_requests_per_second.max(1);
        endpoint.asking = Bucket::new(asks, asks.saturating_mul(4));
        let audio = u32::try_from(self.settings.audio_bits_per_second / 8).unwrap_or(u32::MAX);
        endpoint.voicing = Bucket::new(audio.max(1), audio.saturating_mul(2).max(1));
        endpoint.link = link;
        self.order.push(index);
        self.mark(index, Dirty::ALL);
        self.size_changed();
        key
    }

    /// Removes an endpoint with its sources; everybody's slots for them become free.
    pub fn remove_endpoint(&mut self, now: Instant, key: EndpointKey) {
        self.enter(now);
        let Some(index) = self.index(key) else { return };
        for source in self.endpoints[index].sources.clone() {
            self.remove_source(source);
        }
        for w in std::mem::take(&mut self.endpoints[index].wanted) {
            self.sources[w.source].wants.remove(w.height);
            self.touched.push(w.source);
        }
        for outlet in &self.endpoints[index].outlets {
            if let (true, Some(source)) = (outlet.subscribed, outlet.source) {
                self.sources[source].unsubscribe(index);
            }
            if self.endpoints[index].mode == SlotMode::Rewriting {
                for ssrc in std::iter::once(outlet.ssrc).chain(outlet.rtx) {
                    self.ssrcs.remove(&ssrc.0);
                }
            }
        }
        let endpoint = self.endpoints.remove(index);
        self.ids.remove(&endpoint.id);
        if !endpoint.active {
            // One that comes back by this id, on a new path, must not be thought silent.
            let message = BridgeMessage::EndpointConnectivityStatusChangeEvent {
                endpoint: endpoint.id.clone(),
                active: true,
            };
            self.broadcast(&message, |_, _| true);
        }
        self.order.retain(|i| *i != index);
        self.dirty.retain(|i| *i != index);
        self.recorded.retain(|i| *i != index);
        if let Some(due) = endpoint.due {
            self.due.remove(&(due, index));
        }
        self.estimating.retain(|i| *i != index);
        self.paced.retain(|i| *i != index);
        let was_recent = self.recent.contains(&index);
        self.recent.retain(|i| *i != index);
        if self.dominant == Some(index) {
            self.dominant = None;
            self.timers.arm(Timer::Speakers, now + speakers::INTERVAL);
        } else if was_recent {
            self.tell_dominant();
        }
        // Whoever was kept out by last-N is marked with the sources that left; a voice without a slot
        // looks for one with its next packet.
        self.size_changed();
    }

    /// What the endpoint may send from now on.
    pub fn set_may_send(&mut self, now: Instant, key: EndpointKey, may_send: MediaKinds) {
        self.enter(now);
        if let Some(endpoint) = self.endpoint_mut(key) {
            endpoint.may_send = may_send;
        }
    }

    /// `initial-last-n`: holds until the client says otherwise. Negative for no limit.
    pub fn set_last_n(&mut self, now: Instant, key: EndpointKey, last_n: i32) {
        self.enter(now);
        let Some(index) = self.index(key) else { return };
        self.endpoints[index].wishes.last_n = last_n;
        self.mark_dirty(index, false, true);
    }

    /// The endpoint's transport came up or went down: whether packets can be sent to it.
    pub fn connected(&mut self, now: Instant, key: EndpointKey, connected: bool) {
        self.enter(now);
        let Some(index) = self.local_index(key) else {
            return;
        };
        self.endpoints[index].connected = connected;
        self.mark_dirty(index, true, true);
    }

    /// Whether the endpoint negotiated redundant audio (RFC 2198): it gets such packets as they are.
    /// Not so at first; whoever did not is sent the newest frame of each.
    pub fn set_redundant_audio(&mut self, now: Instant, key: EndpointKey, takes: bool) {
        self.enter(now);
        if let Some(endpoint) = self.endpoint_mut(key) {
            endpoint.takes_red = takes;
        }
    }

    /// A round trip time measured elsewhere (ICE), used while RTCP has given none.
    pub fn set_rtt(&mut self, key: EndpointKey, rtt: Duration) {
        if let Some(endpoint) = self.endpoint_mut(key)
            && !endpoint.rtt_measured
        {
            endpoint.rtt = Some(rtt);
        }
    }

    /// The shell saw no sign of life for 8 s (protocol 5 §15), or saw one again.
    pub fn set_active(&mut self, now: Instant, key: EndpointKey, active: bool) {
        self.enter(now);
        let Some(index) = self.index(key) else { return };
        let endpoint = &mut self.endpoints[index];
        if std::mem::replace(&mut endpoint.active, active) == active {
            return;
        }
        let message = BridgeMessage::EndpointConnectivityStatusChangeEvent {
            endpoint: endpoint.id.clone(),
            active,
        };
        self.broadcast(&message, |i, _| i != index);
        self.relay(index, || RelayMessage::Active(active));
    }

    /// A bridge channel of the endpoint opened: everything it should know is said again, in the
    /// order of protocol 3 §4.1.
    pub fn channel_opened(&mut self, now: Instant, key: EndpointKey) {
        self.enter(now);
        let Some(index) = self.local_index(key) else {
            return;
        };
        // What is pending is settled first, so that the whole state below is the newest.
        self.endpoints[index].channel = Channel::Closed;
        self.serve_new_audio(now);
        self.serve(index, now);
        self.endpoints[index].channel = Channel::Open;
        self.send(index, &BridgeMessage::ServerHello { version: None });
        for source in self.endpoints[index].sources.clone() {
            if self.sources[source].kind == MediaKind::Video {
                self.tell_sender(source);
            }
        }
        self.tell_forwarded(index, true);
        for outlet in &mut self.endpoints[index].outlets {
            outlet.changed = outlet.source.is_some();
        }
        self.announce(index, now);
        let inactive: Vec<EndpointId> = self
            .endpoints
            .iter()
            .filter(|(i, e)| *i != index && !e.active)
            .map(|(_, e)| e.id.clone())
            .collect();
        for endpoint in inactive {
            self.send(
                index,
                &BridgeMessage::EndpointConnectivityStatusChangeEvent {
                    endpoint,
                    active: false,
                },
            );
        }
        if let Some(message) = self.dominant_message() {
            self.send(index, &message);
        }
    }

    /// The endpoint's last channel closed: new slots wait for the next one, media goes on.
    pub fn channel_closed(&mut self, now: Instant, key: EndpointKey) {
        self.enter(now);
        if let Some(endpoint) = self.endpoint_mut(key) {
            endpoint.channel = Channel::Closed;
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, sink: &mut impl PacketSink) {
        self.enter(now);
        if self.timers.take(Timer::Allocation, now) {
            self.wake_due(now);
        }
        self.refill();
        self.allocate();
        if self.timers.take(Timer::Missing, now) {
            self.ask_for_missing(now, sink);
        }
        if self.timers.take(Timer::Feedback, now) {
            self.send_feedback(sink);
        }
        if self.timers.take(Timer::Reports, now) {
            self.send_reports(now, sink);
        }
        if self.timers.take(Timer::Layers, now) {
            self.measure_layers(now);
        }
        if self.timers.take(Timer::Speakers, now) {
            self.ranking.sweep(now);
            self.find_dominant(now);
        }
        if self.timers.take(Timer::Preemptive, now) {
            self.ask_early(now, sink);
        }
        if self.timers.take(Timer::Estimation, now) {
            self.estimate_all(now);
        }
        if self.timers.take(Timer::Pacing, now) {
            self.pace(now, sink);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; a time in the past means now.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.has_pending() {
            self.now
        } else {
            self.timers.next()
        }
    }

    /// The next thing to be done outside; call until there is nothing.
    pub fn poll(&mut self) -> Option<Output> {
        if self.outputs.is_empty() && self.has_pending() {
            self.allocate();
        }
        self.outputs.pop_front()
    }

    /// Sums over the life of the conference.
    #[must_use]
    pub const fn counters(&self) -> ConferenceCounters {
        self.counters
    }

    /// Sums over the life of an endpoint; nothing for one that is gone.
    #[must_use]
    pub fn endpoint_counters(&self, key: EndpointKey) -> Option<EndpointCounters> {
        let endpoint = self.endpoint(key)?;
        Some(EndpointCounters {
            rtt: endpoint.rtt,
            estimate: endpoint.downlink.estimate(),
            acknowledged: endpoint.downlink.acknowledged(),
            ..endpoint.counters
        })
    }

    /// How receivers fare at this moment; looks at each.
    #[must_use]
    pub fn allocated(&self) -> Allocated {
        let mut sum = Allocated::default();
        for (_, endpoint) in &self.endpoints {
            let chosen = &endpoint.chosen;
            sum.suspended_sources += chosen.suspended;
            sum.endpoints_with_suspended_sources += usize::from(chosen.suspended > 0);
            sum.endpoints_oversending += usize::from(chosen.oversends);
        }
        sum
    }

    /// How many endpoints there are, those of other parts included.
    #[must_use]
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// Who speaks, once somebody has.
    #[must_use]
    pub fn dominant_speaker(&self) -> Option<&EndpointId> {
        Some(&self.endpoints[self.dominant?].id)
    }

    /// Whether so many are unmuted that only the loudest are forwarded.
    #[must_use]
    pub const fn forwards_loudest_only(&self) -> bool {
        self.ranking.is_active()
    }

    /// Whether receivers or senders have something to be told.
    fn has_pending(&self) -> bool {
        !(self.dirty.is_empty() && self.touched.is_empty() && self.new_audio.is_empty())
    }

    pub(crate) fn enter(&mut self, now: Instant) {
        if self.now.replace(now) != Some(now) {
            self.refill();
        }
        self.origin.get_or_insert(now);
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.expect("nothing happens before the first call")
    }

    pub(crate) fn index(&self, key: EndpointKey) -> Option<usize> {
        self.endpoint(key).map(|e| e.key.index())
    }

    /// The same for an endpoint of ours: another part's has no transport and no channel here.
    fn local_index(&self, key: EndpointKey) -> Option<usize> {
        let endpoint = self.endpoint(key).filter(|e| !e.is_remote());
        endpoint.map(|e| e.key.index())
    }

    pub(crate) fn endpoint(&self, key: EndpointKey) -> Option<&Endpoint> {
        self.endpoints.get(key.index()).filter(|e| e.key == key)
    }

    pub(crate) fn endpoint_mut(&mut self, key: EndpointKey) -> Option<&mut Endpoint> {
        self.endpoints.get_mut(key.index()).filter(|e| e.key == key)
    }

    pub(crate) fn endpoint_by_id(&self, id: &str) -> Option<usize> {
        self.ids.get(id).map(|k| k.index())
    }

    pub(crate) fn send(&mut self, index: usize, message: &BridgeMessage) {
        let endpoint = &self.endpoints[index];
        if endpoint.channel == Channel::Open {
            self.outputs.push_back(Output::Message {
                to: endpoint.key,
                json: message.to_json().into(),
            });
        }
    }

    /// Written once, shared by everybody with a channel that `whom` accepts.
    pub(crate) fn broadcast(
        &mut self,
        message: &BridgeMessage,
        whom: impl Fn(usize, &Endpoint) -> bool,
    ) {
        let json: Arc<str> = message.to_json().into();
        let receivers = self
            .endpoints
            .iter()
            .filter(|(i, e)| e.channel == Channel::Open && whom(*i, e));
        self.outputs.extend(receivers.map(|(_, e)| Output::Message {
            to: e.key,
            json: Arc::clone(&json),
        }));
    }
}

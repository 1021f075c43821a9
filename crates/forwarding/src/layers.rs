//! The layers of a source: what a receiver can be given of it, and how much each is.

use crate::conference::Conference;
use crate::incoming::Incoming;
use crate::reader::Layout;
use crate::settings::EndpointKey;
use crate::source::{Source, Subscriber};
use crate::timers::Timer;
use althing_model::MediaKind;
use std::time::{Duration, Instant};

/// Encodings that layers are told of; more are not sent by anybody.
const MAX_ENCODINGS: usize = 8;
/// A layer that has been silent for so long, while others of its source were not, is gone.
const GONE: Duration = Duration::from_millis(1500);
/// How often layers are measured.
const MEASURED_EVERY: Duration = Duration::from_millis(100);

/// One layer of one source. The order is that of quality within the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LayerId {
    /// Index among the source's encodings, low to high.
    pub(crate) encoding: u8,
    /// Spatial layer within the encoding.
    pub(crate) spatial: u8,
    /// Temporal layer within that.
    pub(crate) temporal: u8,
}

impl LayerId {
    /// Everything within an encoding.
    pub(crate) const fn all_of(encoding: u8) -> Self {
        Self {
            encoding,
            spatial: 7,
            temporal: 7,
        }
    }
}

/// What is known of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Layer {
    pub(crate) id: LayerId,
    /// The smaller side, in pixels.
    pub(crate) height: u32,
    pub(crate) fps: f32,
    /// Bits per second over the last second, with what it depends on.
    pub(crate) bitrate: u64,
    /// It is being sent.
    pub(crate) active: bool,
}

/// Layers as assumed of an encoding that has sent nothing yet (protocol 5 §9).
fn nominal_of(encoding: u8) -> impl Iterator<Item = Layer> {
    let layers = [7.5, 15.0, 30.0].into_iter().zip(0u8..);
    layers.map(move |(fps, temporal)| Layer {
        id: LayerId {
            encoding,
            spatial: 0,
            temporal,
        },
        height: nominal_height(encoding),
        fps,
        bitrate: 0,
        active: false,
    })
}

fn nominal_height(encoding: u8) -> u32 {
    180 << encoding.min(4)
}

/// Layers as assumed of a source that has sent nothing yet.
pub(crate) fn nominal(encodings: usize) -> Vec<Layer> {
    (0..encodings.min(MAX_ENCODINGS) as u8)
        .flat_map(nominal_of)
        .collect()
}

impl Source {
    /// Its layers, ascending; nominal before the first packet.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// How many of its encodings receivers can be switched between: where keyframes cannot be told,
    /// the first alone.
    pub(crate) fn usable_encodings(&self) -> usize {
        let blind = |i: &Incoming| i.reader.layout == Some(Layout::Blind);
        if self.incoming.iter().any(blind) {
            1
        } else {
            self.incoming.len()
        }
    }

    /// A target as it can be had.
    pub(crate) fn usable(&self, target: LayerId) -> LayerId {
        if usize::from(target.encoding) < self.usable_encodings() {
            target
        } else {
            LayerId::all_of(self.usable_encodings().saturating_sub(1) as u8)
        }
    }

    /// Takes up that the layers of an encoding have changed.
    pub(crate) fn reshape(&mut self) {
        let usable = self.usable_encodings().min(MAX_ENCODINGS);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (encoding, incoming) in (0u8..).zip(&mut self.incoming).take(usable) {
            incoming.reshape();
            if incoming.shapes.is_empty() {
                layers.extend(nominal_of(encoding));
                continue;
            }
            let top = incoming.reader.top_spatial;
            layers.extend(incoming.shapes.iter().map(|shape| Layer {
                id: LayerId {
                    encoding,
                    spatial: shape.spatial,
                    temporal: shape.temporal,
                },
                height: shape.height.unwrap_or_else(|| {
                    nominal_height(encoding.max(top)) >> top.saturating_sub(shape.spatial)
                }),
                fps: shape.fps,
                bitrate: 0,
                active: false,
            }));
        }
        for layer in &mut layers {
            if let Some(before) = self.layers.iter().find(|l| l.id == layer.id) {
                (layer.bitrate, layer.active) = (before.bitrate, before.active);
            }
        }
        self.layers = layers;
        self.reshaped = true;
    }

    /// Brings what was measured into the layers. Returns whether one came or went, and whether
    /// there is anything left to measure.
    fn measure(&mut self, now: Instant) -> (bool, bool) {
        let mut changed = std::mem::take(&mut self.reshaped);
        let mut measuring = false;
        // A layer has gone when others go on without it; a still screen sends nothing for long.
        let newest = self.incoming.iter().filter_map(|i| i.rates.newest()).max();
        let quiet =
            |last: Instant| newest.is_none_or(|n| n.saturating_duration_since(last) >= GONE);
        for incoming in &mut self.incoming {
            incoming.rates.advance(now);
        }
        for layer in &mut self.layers {
            let Some(incoming) = self.incoming.get(usize::from(layer.id.encoding)) else {
                continue;
            };
            let at = incoming
                .shapes
                .iter()
                .position(|s| (s.spatial, s.temporal) == (layer.id.spatial, layer.id.temporal));
            let Some(at) = at else { continue };
            layer.bitrate = incoming.rates.bitrate(at, now);
            let active = incoming.rates.last(at).is_some_and(|last| !quiet(last));
            changed |= active != std::mem::replace(&mut layer.active, active);
            measuring |= layer.bitrate > 0;
        }
        (changed, measuring)
    }
}

impl Conference {
    /// Gives the receiver this layer of the source from its next switch point on; nothing to
    /// suspend it. The source must have an outlet at the receiver. Costs nothing when unchanged.
    pub(crate) fn set_target(&mut self, receiver: usize, source: usize, target: Option<LayerId>) {
        let endpoint = &mut self.endpoints[receiver];
        let Some(&index) = endpoint.outlet_of.get(&source) else {
            return;
        };
        let outlet = &mut endpoint.outlets[index];
        let target = target.filter(|_| endpoint.connected);
        let is_new = !std::mem::replace(&mut outlet.subscribed, target.is_some());
        if !is_new && outlet.target == target || is_new && target.is_none() {
            return;
        }
        outlet.target = target;
        let s = &mut self.sources[source];
        if target.is_none() {
            s.unsubscribe(receiver);
            return;
        }
        if is_new {
            outlet.resume();
        }
        s.unsettle(Subscriber {
            endpoint: receiver,
            outlet: index,
        });
    }

    /// A source sends: its layers are to be measured for as long as it does.
    pub(crate) fn start_measuring(&mut self, source: usize, now: Instant) {
        if !std::mem::replace(&mut self.sources[source].measured, true) {
            self.measured.push(source);
            self.timers.arm(Timer::Layers, now + MEASURED_EVERY / 2);
        }
    }

    /// Brings the layers of all sources that send up to date.
    pub(crate) fn measure_layers(&mut self, now: Instant) {
        let mut measured = std::mem::take(&mut self.measured);
        measured.retain(|&source| {
            let (changed, measuring) = self.sources[source].measure(now);
            self.sources[source].measured = measuring;
            if changed {
                self.layering_changed(source);
            }
            measuring
        });
        measured.append(&mut self.measured);
        self.measured = measured;
        if !self.measured.is_empty() {
            self.timers.arm(Timer::Layers, now + MEASURED_EVERY);
        }
    }

    /// Whether the owner's payloads are encrypted end to end (`e2ee.enabled` in its presence):
    /// then nothing but descriptors is read of them.
    pub fn set_e2ee(&mut self, now: Instant, key: EndpointKey, enabled: bool) {
        self.enter(now);
        let Some(endpoint) = self.endpoint_mut(key) else {
            return;
        };
        endpoint.e2ee = enabled;
        for source in endpoint.sources.clone() {
            self.sources[source].encrypted = enabled;
        }
    }

    /// A source's layers came, went or changed: whoever wants it chooses anew.
    pub(crate) fn layering_changed(&mut self, source: usize) {
        if self.sources[source].kind != MediaKind::Video {
            return;
        }
        for at in 0..self.order.len() {
            let index = self.order[at];
            if self.endpoints[index].wants(source).is_some() {
                self.mark_layers(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_before_the_first_packet_are_nominal_and_ascend() {
        let layers = nominal(3);
        assert!(layers.windows(2).all(|w| w[0].id < w[1].id));
        let seen: Vec<_> = layers.iter().map(|l| (l.height, l.fps)).collect();
        assert_eq!(seen[0], (180, 7.5));
        assert_eq!(seen[8], (720, 30.0));
        assert!(layers.iter().all(|l| !l.active && l.bitrate == 0));
    }
}

//! The layers of a source: what a receiver can be given of it, and how much each is.

use crate::conference::Conference;
use crate::source::{Source, Subscriber};
use althing_model::MediaKind;

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
    /// All there is in the first encoding.
    #[allow(dead_code, reason = "views are about to be of whole encodings")]
    pub(crate) const FIRST: Self = Self::all_of(0);

    /// Everything within an encoding.
    #[allow(dead_code, reason = "views are about to be of whole encodings")]
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

/// Layers as assumed of a source that has sent nothing yet (protocol 5 §9).
pub(crate) fn nominal(encodings: usize) -> Vec<Layer> {
    (0..encodings.min(4) as u8)
        .flat_map(|encoding| {
            [7.5, 15.0, 30.0]
                .into_iter()
                .zip(0u8..)
                .map(move |(fps, temporal)| Layer {
                    id: LayerId {
                        encoding,
                        spatial: 0,
                        temporal,
                    },
                    height: 180 << encoding,
                    fps,
                    bitrate: 0,
                    active: false,
                })
        })
        .collect()
}

impl Source {
    /// Its layers, ascending; nominal before the first packet.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
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
        if outlet.subscribed == target.is_some() {
            return;
        }
        outlet.subscribed = target.is_some();
        let s = &mut self.sources[source];
        if target.is_none() {
            s.unsubscribe(receiver);
            return;
        }
        outlet.resume();
        s.subscribers.push(Subscriber {
            endpoint: receiver,
            outlet: index,
        });
    }

    /// A source's layers came, went or changed: whoever wants it chooses anew.
    #[allow(dead_code, reason = "sources are about to follow their layers")]
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

//! A conference of several parts: on several media threads, later on several machines.
//!
//! ```text
//!   part A                                   part B
//!   its endpoints ── packets, messages ────► remote endpoints ──► its own receivers
//!   SenderSourceConstraints ◄── wishes ───── the greatest that a receiver there wants
//!   the sender ◄── keyframe requests ─────── whoever there lacks a picture
//! ```
//!
//! An endpoint is local to one part and *remote* in all others. A remote endpoint sends, and
//! receives nothing: it is asked for nothing again, told nothing of what arrived, and nothing is
//! paced for it; its own part does all that. Its packets come as they came to its own part,
//! decrypted, and go the same way as any others, so that each part decides for its own receivers:
//! who is loudest, who dominates, which layers. What a part has from another it never passes on:
//! every part has a link to every other.
//!
//! What this says of links is all that a link has to carry. A message for a link must arrive, but
//! may be late or be replaced by a newer one of the same meaning; packets may be lost.
//! `docs/develop/relays.md` has the whole of it.

use crate::conference::Conference;
use crate::endpoint::Endpoint;
use crate::settings::{EndpointKey, EndpointSettings, Output, PacketSink, SlotMode};
use crate::source::Source;
use althing_colibri::{EndpointMessage, EndpointStats};
use althing_model::{EndpointId, MediaKind, MediaKinds, Role, SourceName, Ssrc, VideoType};
use std::time::Instant;

/// Another part of the conference, known by a small number that its owner chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(u8);

impl Link {
    /// How many there can be.
    pub const MAX: usize = 64;

    /// The link of this number, if that is less than [`MAX`](Self::MAX).
    #[must_use]
    pub fn new(number: usize) -> Option<Self> {
        let small = u8::try_from(number).ok();
        small.filter(|n| usize::from(*n) < Self::MAX).map(Self)
    }

    /// The number it was made with.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0 as usize
    }
}

/// A set of links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Links(u64);

impl Links {
    /// No link at all.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this link is among them.
    #[must_use]
    pub const fn contains(self, link: Link) -> bool {
        self.0 >> link.0 & 1 == 1
    }

    /// Adds one.
    pub const fn insert(&mut self, link: Link) {
        self.0 |= 1 << link.0;
    }

    /// Takes one out.
    pub const fn remove(&mut self, link: Link) {
        self.0 &= !(1 << link.0);
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = Link> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let first = left.trailing_zeros();
            let link = Link::new(first as usize)?;
            left &= left - 1;
            Some(link)
        })
    }
}

impl FromIterator<Link> for Links {
    fn from_iter<T: IntoIterator<Item = Link>>(links: T) -> Self {
        let mut set = Self::NONE;
        for link in links {
            set.insert(link);
        }
        set
    }
}

/// An endpoint of another part.
#[derive(Debug, Clone)]
pub struct RemoteSettings {
    /// Its id; one of the same id is replaced.
    pub id: EndpointId,
    /// The part that it is local to.
    pub link: Link,
    /// A visitor sends nothing.
    pub role: Role,
    /// What it may send; anything else is dropped at RTP here, too.
    pub may_send: MediaKinds,
}

/// What one part says to another about an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum RelayMessage {
    /// Its own part saw no sign of life of it for a while, or saw one again.
    Active(bool),
    /// What it says that a source of its own shows, be that signalled already or not.
    VideoType {
        /// Which source.
        source: SourceName,
        /// What it shows.
        video_type: VideoType,
    },
    /// A message of its bridge channel for others.
    Message(Box<EndpointMessage>),
    /// Likewise, of its connection.
    Stats(Box<EndpointStats>),
    /// To its own part: the height at which anybody here wants a source; 0 for nobody, negative for
    /// no limit. Until the first one nobody does, and nothing of the source is sent here.
    Wanted {
        /// Which source.
        source: SourceName,
        /// How high; px of the smaller side.
        height: i32,
    },
    /// To its own part: somebody here lacks a picture of the source with this SSRC.
    Keyframe {
        /// The first encoding's.
        ssrc: Ssrc,
    },
}

impl Source {
    /// The height wanted behind a link; the links that want it at all get its packets.
    fn set_wanted_by(&mut self, link: Link, height: i32) {
        if let Some(at) = self.wanted_by.iter().position(|(l, _)| *l == link) {
            let (_, before) = self.wanted_by.swap_remove(at);
            self.wants.remove(before);
        }
        self.relayed.remove(link);
        if height != 0 {
            self.wants.add(height);
            self.wanted_by.push((link, height));
            self.relayed.insert(link);
        }
    }
}

impl Endpoint {
    /// It is another part's.
    pub(crate) const fn is_remote(&self) -> bool {
        self.link.is_some()
    }
}

impl Conference {
    /// Opens a link to another part, which has or will have one to this. A link that is open is
    /// opened anew.
    ///
    /// Whoever opens a link is to be told everything that holds by the part behind it, which may
    /// have said so before there was anybody to hear it: the owner lets that part know, and it
    /// calls [`say_again`](Self::say_again).
    pub fn add_link(&mut self, now: Instant, link: Link) {
        self.remove_link(now, link);
        self.links.insert(link);
        self.say_again(now, link);
    }

    /// The part behind the link is gone. Its endpoints are removed one by one, by the owner.
    pub fn remove_link(&mut self, now: Instant, link: Link) {
        self.enter(now);
        if !self.links.contains(link) {
            return;
        }
        self.links.remove(link);
        for (index, source) in &mut self.sources {
            if source.relayed.contains(link) {
                source.set_wanted_by(link, 0);
                self.touched.push(index);
            }
        }
    }

    /// The links that are open.
    #[must_use]
    pub const fn links(&self) -> Links {
        self.links
    }

    /// The part behind the link has begun to listen: says everything that holds, be it said before
    /// or not.
    pub fn say_again(&mut self, now: Instant, link: Link) {
        self.enter(now);
        if !self.links.contains(link) {
            return;
        }
        let to = Links::from_iter([link]);
        for (index, source) in &mut self.sources {
            if source.link == Some(link) {
                source.told = None;
                self.touched.push(index);
            } else if source.link.is_none() && source.video_type != source.signalled_type {
                self.outputs.push_back(Output::Relay {
                    to,
                    about: source.owner,
                    message: RelayMessage::VideoType {
                        source: source.name.clone(),
                        video_type: source.video_type,
                    },
                });
            }
        }
        for (_, endpoint) in self.endpoints.iter().filter(|(_, e)| !e.is_remote()) {
            if !endpoint.active {
                self.outputs.push_back(Output::Relay {
                    to,
                    about: endpoint.key,
                    message: RelayMessage::Active(false),
                });
            }
            for (source, video_type) in endpoint.early_types() {
                self.outputs.push_back(Output::Relay {
                    to,
                    about: endpoint.key,
                    message: RelayMessage::VideoType {
                        source: source.clone(),
                        video_type: *video_type,
                    },
                });
            }
        }
    }

    /// Adds an endpoint of another part; one of the same id is replaced. Its sources are signalled
    /// as those of any endpoint.
    pub fn add_remote(&mut self, now: Instant, settings: RemoteSettings) -> EndpointKey {
        let RemoteSettings {
            id,
            link,
            role,
            may_send,
        } = settings;
        let settings = EndpointSettings {
            id,
            role,
            may_send,
            receives_audio: false,
            receives_video: false,
            // No slots are made for it.
            slots: SlotMode::Plain,
        };
        self.insert_endpoint(now, settings, Some(link))
    }

    /// What came by a link about an endpoint. What only the endpoint's own part may say is not
    /// believed of others.
    pub fn handle_relay(
        &mut self,
        now: Instant,
        from: Link,
        key: EndpointKey,
        message: RelayMessage,
        sink: &mut impl PacketSink,
    ) {
        self.enter(now);
        let Some(index) = self.index(key) else { return };
        if !self.links.contains(from) {
            return;
        }
        let own_part = self.endpoints[index].link;
        match message {
            RelayMessage::Wanted { source, height } if own_part.is_none() => {
                let known = self.names.get(&source).copied();
                let Some(source) = known.filter(|s| self.sources[*s].owner == key) else {
                    return;
                };
                if self.sources[source].kind == MediaKind::Video {
                    self.sources[source].set_wanted_by(from, height);
                    self.touched.push(source);
                }
            }
            RelayMessage::Keyframe { ssrc } if own_part.is_none() => {
                let route = self.endpoints[index].routes.get(&ssrc.0);
                let Some(source) = route.filter(|r| !r.is_rtx).map(|r| r.source) else {
                    return;
                };
                let s = &mut self.sources[source];
                if s.kind == MediaKind::Video && s.requests.request(now) {
                    self.ask_keyframe(source, sink);
                }
            }
            _ if own_part != Some(from) => {}
            RelayMessage::Active(active) => self.set_active(now, key, active),
            RelayMessage::VideoType { source, video_type } => {
                self.video_type(index, source, video_type);
            }
            RelayMessage::Message(message) => self.relay_message(index, *message),
            RelayMessage::Stats(stats) => self.relay_stats(index, *stats),
            RelayMessage::Wanted { .. } | RelayMessage::Keyframe { .. } => {}
        }
    }

    /// Says something to the other parts, if the endpoint is ours and there are any.
    pub(crate) fn relay(&mut self, index: usize, message: impl FnOnce() -> RelayMessage) {
        if self.links.is_empty() {
            return;
        }
        let endpoint = &self.endpoints[index];
        if !endpoint.is_remote() {
            self.outputs.push_back(Output::Relay {
                to: self.links,
                about: endpoint.key,
                message: message(),
            });
        }
    }

    /// Says something to the part of a remote endpoint.
    pub(crate) fn relay_to_owner(&mut self, about: EndpointKey, message: RelayMessage) {
        let link = self.endpoint(about).and_then(|e| e.link);
        if let Some(link) = link.filter(|link| self.links.contains(*link)) {
            let to = Links::from_iter([link]);
            self.outputs.push_back(Output::Relay { to, about, message });
        }
    }

    /// Hands a packet of one of our endpoints on to the parts that want it, as it came.
    pub(crate) fn relay_rtp(&self, source: usize, packet: &[u8], sink: &mut impl PacketSink) {
        let s = &self.sources[source];
        if s.link.is_some() {
            return;
        }
        let to = match s.kind {
            MediaKind::Audio => self.links,
            MediaKind::Video => s.relayed,
        };
        if !to.is_empty() {
            sink.relay_rtp(s.owner, to, packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_links_holds_what_was_put_in() {
        let link = |n| Link::new(n).unwrap();
        assert_eq!(Link::new(Link::MAX), None);
        assert_eq!(Link::new(1000), None);
        let mut links: Links = [link(63), link(0), link(7)].into_iter().collect();
        assert_eq!(
            links.iter().map(Link::number).collect::<Vec<_>>(),
            [0, 7, 63]
        );
        links.remove(link(7));
        assert!(!links.contains(link(7)) && links.contains(link(63)));
        links.remove(link(0));
        links.remove(link(63));
        assert!(links.is_empty());
        assert_eq!(links.iter().next(), None);
    }
}

//! What waits for room on another worker's ring, and must not be lost.
//!
//! **And when full?** Of what holds until something newer of the same meaning is said, only the
//! newest waits: so there is no more of it than there are endpoints and sources. Messages of clients
//! for each other are kept as far as there is room for them, and are dropped and counted beyond it.

use crate::worker::Handover;
use althing_forwarding::RelayMessage;
use althing_model::{ConferenceId, SourceName, Ssrc};
use crossbeam_channel::{Sender, TrySendError};
use std::collections::{BTreeMap, VecDeque};

/// Messages of clients that wait at most.
const MAX_MESSAGES: usize = 1024;

/// What something is about: the newest replaces what was said before. In this order they leave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Listening(ConferenceId),
    Active(u64),
    VideoType(u64, SourceName),
    Wanted(u64, SourceName),
    Keyframe(u64, Ssrc),
}

impl Topic {
    fn of(message: &Handover) -> Option<Self> {
        match message {
            Handover::Listening { conference, .. } => Some(Self::Listening(conference.clone())),
            Handover::Relay {
                number, message, ..
            } => match message {
                RelayMessage::Active(_) => Some(Self::Active(*number)),
                RelayMessage::VideoType { source, .. } => {
                    Some(Self::VideoType(*number, source.clone()))
                }
                RelayMessage::Wanted { source, .. } => Some(Self::Wanted(*number, source.clone())),
                RelayMessage::Keyframe { ssrc } => Some(Self::Keyframe(*number, *ssrc)),
                RelayMessage::Message(_) | RelayMessage::Stats(_) => None,
            },
            Handover::Datagram { .. }
            | Handover::Packet { .. }
            | Handover::Route { .. }
            | Handover::Unroute { .. } => None,
        }
    }
}

/// For one other worker.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    states: BTreeMap<Topic, Handover>,
    messages: VecDeque<Handover>,
}

impl Outbox {
    /// Keeps it until there is room; `false` if there is no room here, either.
    pub(super) fn push(&mut self, message: Handover) -> bool {
        match Topic::of(&message) {
            Some(topic) => {
                self.states.insert(topic, message);
            }
            None if self.messages.len() < MAX_MESSAGES => self.messages.push_back(message),
            None => return false,
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty() && self.messages.is_empty()
    }

    /// Puts on the ring what it takes; whether it took any.
    pub(super) fn flush(&mut self, ring: &Sender<Handover>) -> bool {
        let mut moved = false;
        while let Some((topic, message)) = self.states.pop_first() {
            match ring.try_send(message) {
                Ok(()) => moved = true,
                Err(TrySendError::Full(message)) => {
                    self.states.insert(topic, message);
                    return moved;
                }
                // Whoever has died is told nothing more.
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
        while let Some(message) = self.messages.pop_front() {
            match ring.try_send(message) {
                Ok(()) => moved = true,
                Err(TrySendError::Full(message)) => {
                    self.messages.push_front(message);
                    return moved;
                }
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_colibri::EndpointMessage;

    fn said(number: u64, message: RelayMessage) -> Handover {
        Handover::Relay {
            from: 0,
            number,
            message,
        }
    }

    fn wanted(height: i32) -> RelayMessage {
        RelayMessage::Wanted {
            source: SourceName::new("ann-v0").unwrap(),
            height,
        }
    }

    #[test]
    fn the_newest_of_what_waits_arrives_when_there_is_room() {
        let (ring, out) = crossbeam_channel::bounded(1);
        let mut outbox = Outbox::default();
        ring.send(said(9, RelayMessage::Active(true))).unwrap();
        for height in [180, 360, 720] {
            assert!(outbox.push(said(1, wanted(height))));
            assert!(outbox.push(said(2, wanted(height + 1))));
            assert!(!outbox.flush(&ring));
        }
        let mut heights = Vec::new();
        out.recv().unwrap();
        while outbox.flush(&ring) {
            if let Ok(Handover::Relay {
                number,
                message: RelayMessage::Wanted { height, .. },
                ..
            }) = out.recv()
            {
                heights.push((number, height));
            }
        }
        assert_eq!(heights, [(1, 720), (2, 721)]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn messages_of_clients_keep_their_order_and_have_an_end() {
        let (ring, out) = crossbeam_channel::bounded(2 * MAX_MESSAGES);
        let mut outbox = Outbox::default();
        let message = |n: u64| {
            let message = EndpointMessage::new("", serde_json::json!({}));
            said(n, RelayMessage::Message(Box::new(message)))
        };
        let taken = (0..MAX_MESSAGES as u64 + 10).filter(|n| outbox.push(message(*n)));
        assert_eq!(taken.count(), MAX_MESSAGES);
        assert!(outbox.flush(&ring));
        let numbers = out.try_iter().map(|message| match message {
            Handover::Relay { number, .. } => number,
            other => panic!("{other:?}"),
        });
        assert!(numbers.eq(0..MAX_MESSAGES as u64));
        drop(out);
        assert!(outbox.push(message(1)));
        assert!(!outbox.flush(&ring));
        assert!(outbox.is_empty(), "nobody is there to take it");
    }
}

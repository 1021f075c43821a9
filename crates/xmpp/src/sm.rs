//! Stream management (XEP-0198), the side that sends: what the client has not said it has, so that
//! nothing is lost when its socket is. No socket and no clock; the receiving side is a counter of
//! [`crate::session::Session`].
//!
//! ```text
//!   sent ──▶ [ acknowledged | kept: h+1 … sent ] ──resume h──▶ the kept ones again, in order
//! ```

use crate::element::Element;
use crate::ns;
use crate::stanza::Condition;
use std::collections::VecDeque;

/// So many stanzas unacknowledged make us ask (protocol 1 §23).
const ASK_AFTER: usize = 5;
/// While one request is not answered, the next comes after so many more: a newcomer to a large room
/// is sent a thousand presences at once, and gains nothing by two hundred requests.
const ASK_AGAIN_AFTER: usize = 250;
/// Space for so many is kept while none is waiting.
const ROOM_KEPT: usize = 16;

/// `<r/>`: asks the other side what it has.
pub const REQUEST: &str = r#"<r xmlns="urn:xmpp:sm:3"/>"#;

/// How much is kept for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Stanzas.
    pub stanzas: usize,
    /// Bytes of them; a single longer one is kept all the same.
    pub bytes: usize,
}

/// More is unacknowledged than may be kept: the session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more stanzas are unacknowledged than may be kept")]
pub struct Full;

/// The client acknowledges what it was never sent, or takes back what it had acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{handled} stanzas are acknowledged of {sent} sent")]
pub struct HandledTooMany {
    /// What it says.
    pub handled: u32,
    /// What it was sent.
    pub sent: u32,
}

/// Whether to ask for an acknowledgement now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ask {
    /// Send [`REQUEST`].
    Now,
    /// Nothing.
    No,
}

/// What was sent and not yet acknowledged, in order. Counters are modulo 2³².
#[derive(Debug)]
pub struct Unacknowledged<T> {
    bounds: Bounds,
    sent: u32,
    kept: VecDeque<(T, usize)>,
    bytes: usize,
    /// Stanzas sent since the request that is not answered yet.
    since_request: Option<usize>,
}

impl<T> Unacknowledged<T> {
    /// Nothing sent yet.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            sent: 0,
            kept: VecDeque::new(),
            bytes: 0,
            since_request: None,
        }
    }

    /// Counts and keeps one stanza of so many bytes, which is then sent.
    ///
    /// # Errors
    /// [`Full`] when it cannot be kept; it is then not counted either.
    pub fn send(&mut self, stanza: T, bytes: usize) -> Result<Ask, Full> {
        let after = self.bytes.saturating_add(bytes);
        let too_long = after > self.bounds.bytes && !self.kept.is_empty();
        if too_long || self.kept.len() >= self.bounds.stanzas {
            return Err(Full);
        }
        self.sent = self.sent.wrapping_add(1);
        self.kept.push_back((stanza, bytes));
        self.bytes = after;
        self.since_request = self.since_request.map(|n| n.saturating_add(1));
        Ok(self.ask())
    }

    /// Forgets what the client has: `handled` stanzas in all.
    ///
    /// # Errors
    /// [`HandledTooMany`] when that cannot be; nothing changes then.
    pub fn acknowledge(&mut self, handled: u32) -> Result<Ask, HandledTooMany> {
        let missing = self.sent.wrapping_sub(handled);
        let forgotten = usize::try_from(missing)
            .ok()
            .and_then(|missing| self.kept.len().checked_sub(missing))
            .ok_or(HandledTooMany {
                handled,
                sent: self.sent,
            })?;
        for (_, bytes) in self.kept.drain(..forgotten) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        // A join into a large room keeps hundreds for a moment, a quiet session some.
        if self.kept.is_empty() && self.kept.capacity() > ROOM_KEPT {
            self.kept.shrink_to(ROOM_KEPT);
        }
        self.since_request = None;
        Ok(self.ask())
    }

    fn ask(&mut self) -> Ask {
        let due = match self.since_request {
            None => self.kept.len() >= ASK_AFTER,
            Some(since) => since >= ASK_AGAIN_AFTER,
        };
        if due {
            self.since_request = Some(0);
            Ask::Now
        } else {
            Ask::No
        }
    }

    /// The socket is another one now: a request on the old one is not answered any more.
    pub const fn reconnected(&mut self) {
        self.since_request = None;
    }

    /// What is kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.kept.iter().map(|(stanza, _)| stanza)
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// `<a/>`: what we have.
#[must_use]
pub fn acknowledgement(handled: u32) -> String {
    format!(r#"<a xmlns="urn:xmpp:sm:3" h="{handled}"/>"#)
}

/// The answer to `<enable resume="true"/>`. Stock clients want the literal `true`, and put the id
/// into a URL: letters, digits, `-` and `_` alone.
#[must_use]
pub fn enabled(resume: Option<(&str, u64)>) -> String {
    let mut enabled = Element::new("enabled", ns::SM);
    if let Some((id, seconds)) = resume {
        enabled.set_attr("id", id);
        enabled.set_attr("resume", "true");
        enabled.set_attr("max", seconds.to_string());
    }
    enabled.to_xml()
}

/// The answer to `<resume/>` when the session goes on.
#[must_use]
pub fn resumed(id: &str, handled: u32) -> String {
    Element::new("resumed", ns::SM)
        .with_attr("h", handled.to_string())
        .with_attr("previd", id)
        .to_xml()
}

/// The answer to `<enable/>` or `<resume/>` when not.
#[must_use]
pub fn failed(condition: Condition) -> String {
    Element::new("failed", ns::SM)
        .with_child(Element::new(condition.as_str(), ns::STANZAS))
        .to_xml()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        stanzas: 1_000,
        bytes: 10_000,
    };

    fn sent(n: u32) -> Unacknowledged<u32> {
        let mut unacknowledged = Unacknowledged::new(BOUNDS);
        for stanza in 1..=n {
            let _ = unacknowledged.send(stanza, 1).unwrap();
        }
        unacknowledged
    }

    #[test]
    fn what_is_acknowledged_is_forgotten_and_the_rest_is_kept_in_order() {
        for (n, handled, kept) in [
            (0, 0, vec![]),
            (3, 0, vec![1, 2, 3]),
            (3, 2, vec![3]),
            (3, 3, vec![]),
        ] {
            let mut unacknowledged = sent(n);
            let _ = unacknowledged.acknowledge(handled).unwrap();
            let left: Vec<u32> = unacknowledged.iter().copied().collect();
            assert_eq!(left, kept, "{handled} of {n}");
        }
    }

    #[test]
    fn an_acknowledgement_that_cannot_be_changes_nothing() {
        for (first, second) in [(2, 4), (2, 1), (2, u32::MAX), (0, 0x8000_0000), (3, 0)] {
            let mut unacknowledged = sent(3);
            let _ = unacknowledged.acknowledge(first).unwrap();
            let before = unacknowledged.len();
            assert_eq!(
                unacknowledged.acknowledge(second),
                Err(HandledTooMany {
                    handled: second,
                    sent: 3
                })
            );
            assert_eq!(unacknowledged.len(), before);
        }
    }

    #[test]
    fn counters_begin_anew_after_four_billion() {
        let mut unacknowledged = Unacknowledged::new(BOUNDS);
        unacknowledged.sent = u32::MAX - 1;
        for stanza in 0..4 {
            let _ = unacknowledged.send(stanza, 1).unwrap();
        }
        let _ = unacknowledged.acknowledge(u32::MAX).unwrap();
        assert_eq!(unacknowledged.len(), 3);
        let _ = unacknowledged.acknowledge(1).unwrap();
        assert_eq!(unacknowledged.iter().copied().collect::<Vec<_>>(), [3]);
        assert!(unacknowledged.acknowledge(u32::MAX).is_err());
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut unacknowledged = sent(1_000);
        assert_eq!(unacknowledged.send(0, 1), Err(Full));
        let _ = unacknowledged.acknowledge(1).unwrap();
        let _ = unacknowledged.send(0, 1).unwrap();

        // A single long one is kept, but nothing besides.
        let mut unacknowledged = Unacknowledged::new(BOUNDS);
        let _ = unacknowledged.send(0, 20_000).unwrap();
        assert_eq!(unacknowledged.send(0, 1), Err(Full));
        let _ = unacknowledged.acknowledge(1).unwrap();
        let _ = unacknowledged.send(0, 10_000).unwrap();
        assert_eq!(unacknowledged.send(0, 1), Err(Full));
    }

    #[test]
    fn it_asks_every_five_and_not_again_while_it_waits() {
        let mut unacknowledged = Unacknowledged::new(BOUNDS);
        let mut asked = Vec::new();
        for n in 1..=600 {
            if unacknowledged.send(n, 1).unwrap() == Ask::Now {
                asked.push(n);
            }
        }
        assert_eq!(asked, [5, 255, 505]);
        // Plenty is still missing: ask at once.
        assert_eq!(unacknowledged.acknowledge(505), Ok(Ask::Now));
        assert_eq!(unacknowledged.acknowledge(597), Ok(Ask::No));
        assert_eq!(unacknowledged.send(601, 1), Ok(Ask::No));
        assert_eq!(unacknowledged.send(602, 1), Ok(Ask::Now));
        unacknowledged.reconnected();
        assert_eq!(unacknowledged.send(603, 1), Ok(Ask::Now));
    }

    #[test]
    fn elements_are_as_stock_clients_read_them() {
        assert_eq!(
            enabled(Some(("r-77ab", 60))),
            r#"<enabled xmlns="urn:xmpp:sm:3" id="r-77ab" resume="true" max="60"/>"#
        );
        assert_eq!(enabled(None), r#"<enabled xmlns="urn:xmpp:sm:3"/>"#);
        assert_eq!(
            resumed("r-77ab", 23),
            r#"<resumed xmlns="urn:xmpp:sm:3" h="23" previd="r-77ab"/>"#
        );
        assert_eq!(
            failed(Condition::ItemNotFound),
            r#"<failed xmlns="urn:xmpp:sm:3"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>"#
        );
        assert_eq!(acknowledgement(7), r#"<a xmlns="urn:xmpp:sm:3" h="7"/>"#);
    }
}

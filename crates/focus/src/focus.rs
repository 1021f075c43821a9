use althing_control::{BridgeEvent, BridgeReply, BridgeRequest};
use althing_model::{ConferenceId, EndpointId, Entropy, NodeId, Now};
use althing_room::RoomEvent;
use althing_xmpp::{Element, Jid, ns};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much one occupant may signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// SSRCs of one occupant; 20 are three simulcast videos and two microphones.
    pub ssrcs: usize,
    /// SSRC groups of one occupant.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ssrcs: 20,
            groups: 20,
        }
    }
}

/// What a focus is told when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Its own full real JID, `focus@auth.<domain>/focus`.
    pub jid: Jid,
    /// What it says its version is.
    pub version: String,
    /// The id of the meeting on bridges.
    pub conference: ConferenceId,
    /// The bridge to use.
    pub bridge: NodeId,
    /// The bus subject that bridge events shall go to.
    pub events_to: String,
    /// How much one occupant may signal.
    pub limits: Limits,
    /// Whether clients that can are served by SSRC rewriting.
    pub rewriting: bool,
    /// Whether clients that can are told of sources as JSON.
    pub json_sources: bool,
}

/// What a focus is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Somebody asked for the conference and is about to join.
    Requested,
    /// Something happened in the room.
    Room(RoomEvent),
    /// An occupant's IQ to `room/focus`, request or answer.
    Iq {
        /// Who.
        from: EndpointId,
        /// The IQ.
        stanza: Element,
    },
    /// A bridge answered, or did not.
    Bridge {
        /// The number of the request.
        request_id: u64,
        /// What came back.
        result: Result<BridgeReply, BridgeFailure>,
    },
    /// A bridge says something unasked.
    BridgeEvent(BridgeEvent),
    /// The time asked for by [`Focus::next_timeout`] has come.
    Timer,
}

/// Why a request to a bridge has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum BridgeFailure {
    /// Nobody there; nothing was done.
    #[error("no bridge answers")]
    NoResponder,
    /// No answer in time; it may have been done all the same.
    #[error("the bridge did not answer in time")]
    Deadline,
    /// Too busy; nothing was done.
    #[error("the bridge is overloaded")]
    Overloaded,
    /// The answer makes no sense.
    #[error("the bridge's answer cannot be read")]
    Malformed,
}

/// What a focus wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// An IQ for an occupant; the room writes `from` and `to`.
    ToOccupant {
        /// Who.
        to: EndpointId,
        /// The IQ.
        iq: Element,
    },
    /// The focus occupant's presence from now on.
    Presence(Element),
    /// A request to a bridge.
    Bridge {
        /// Comes back with the answer.
        request_id: u64,
        /// Which bridge.
        node: NodeId,
        /// What is asked.
        request: Box<BridgeRequest>,
    },
    /// The conference is over: the room may go.
    End,
}

/// Why an input was not acted upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A snapshot written by a newer version.
    #[error("focus snapshot has version {0}, this node reads 1")]
    SnapshotVersion(u32),
}

/// Grows with the negotiation.
#[derive(Debug)]
pub struct Snapshot;

/// Grows with the negotiation.
#[derive(Debug)]
pub struct Focus {
    outputs: VecDeque<Output>,
    empty_since: Option<Instant>,
    occupants: usize,
}
impl Focus {
    /// Grows with the negotiation.
    pub fn new(settings: Settings, now: Now, _entropy: &mut dyn Entropy) -> Self {
        let mut p = Element::new("presence", ns::CLIENT);
        p.push(
            Element::new("versions", ns::JITMEET).with_child(
                Element::new("component", ns::JITMEET)
                    .with_attr("name", "focus")
                    .with_text(settings.version),
            ),
        );
        Self {
            outputs: [Output::Presence(p)].into(),
            empty_since: Some(now.monotonic),
            occupants: 0,
        }
    }
    /// Grows with the negotiation.
    pub fn handle(&mut self, now: Now, input: Input, _entropy: &mut dyn Entropy) {
        match input {
            Input::Requested => {
                if self.occupants == 0 {
                    self.empty_since = Some(now.monotonic)
                }
            }
            Input::Room(RoomEvent::OccupantJoined(_)) => {
                self.occupants += 1;
                self.empty_since = None
            }
            Input::Room(RoomEvent::OccupantLeft { .. }) => {
                self.occupants -= 1;
                if self.occupants == 0 {
                    self.outputs.push_back(Output::End)
                }
            }
            Input::Timer => {
                if self.next_timeout().is_some_and(|t| t <= now.monotonic) {
                    self.outputs.push_back(Output::End)
                }
            }
            _ => {}
        }
    }
    /// Grows with the negotiation.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    /// Grows with the negotiation.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.empty_since.map(|t| t + Duration::from_secs(15))
    }
}

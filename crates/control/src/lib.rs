//! What nodes say to each other over the bus: versioned, serialisable, holding no Rust handle.
//!
//! ```text
//!   focus ── BridgeRequest ──► bridge      subject bridge.<node>, answered by a BridgeReply
//!   focus ◄── BridgeEvent  ─── bridge      subject given in Allocate::events_to
//!   rooms ◄── BridgeStatus ─── bridge      subject bridges.status
//!   rooms ─── RoomNotice ────► api         subject rooms.notices
//!   rooms ◄── RoomRequest ──── api         subject rooms.<node>, answered by a RoomReply
//! ```
//!
//! Messages are JSON: they are few (a handful per join), and a person with a packet dump at night
//! can read them. A reader ignores unknown fields, so a newer node may say more.

mod bridge;
/// What is told and asked about rooms.
pub mod rooms;

pub use bridge::{
    Allocate, Allocated, BridgeEvent, BridgeReply, BridgeRequest, BridgeStatus, Candidate,
    CandidateType, ChannelAddress, EndpointState, Fingerprint, LocalTransport, RefusalCode,
    RemoteTransport, SlotMode, Update,
};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version written into every message; a message of a higher one is refused, not guessed at.
pub const VERSION: u32 = 1;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not the shape expected.
    #[error("control message is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written by a newer node.
    #[error("control message has version {0}, this node reads {VERSION}")]
    Version(u32),
}

#[derive(Serialize)]
struct EnvelopeRef<'a, T> {
    version: u32,
    body: &'a T,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Deserialize)]
struct Envelope<T> {
    body: T,
}

/// Writes a message for the bus.
#[must_use]
pub fn encode<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json::to_vec(&EnvelopeRef {
        version: VERSION,
        body,
    })
    .expect("control messages have string keys and no failing serialisers")
}

/// Reads a message from the bus.
///
/// # Errors
/// [`DecodeError`] when the bytes are not a message of a version we read.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let header: Header = serde_json::from_slice(bytes)?;
    if header.version > VERSION {
        return Err(DecodeError::Version(header.version));
    }
    Ok(serde_json::from_slice::<Envelope<T>>(bytes)?.body)
}

/// The subject on which every bridge says how it is.
pub const BRIDGES: &str = "bridges.status";

/// The subject a bridge listens on.
#[must_use]
pub fn bridge_subject(node: &althing_model::NodeId) -> String {
    format!("bridge.{node}")
}

/// The subject a node's rooms listen on for bridge events.
#[must_use]
pub fn focus_subject(node: &althing_model::NodeId) -> String {
    format!("focus.{node}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_model::{ConferenceId, EndpointId};

    #[test]
    fn a_message_survives_the_bus() {
        let request = BridgeRequest::Expire {
            conference: ConferenceId::new("c1").unwrap(),
            endpoint: EndpointId::new("ab12cd34").unwrap(),
        };
        let bytes = encode(&request);
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            r#"{"version":1,"body":{"expire":{"conference":"c1","endpoint":"ab12cd34"}}}"#
        );
        assert_eq!(decode::<BridgeRequest>(&bytes).unwrap(), request);
    }

    #[test]
    fn a_newer_version_is_refused() {
        let bytes = br#"{"version":2,"body":{}}"#;
        assert!(matches!(
            decode::<BridgeRequest>(bytes),
            Err(DecodeError::Version(2))
        ));
    }
}

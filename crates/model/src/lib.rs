//! The words of the house: ids, names, units, secrets, and the source model.
//!
//! Every other crate may depend on this one; it depends on serde and std alone. Nothing here
//! reads a clock, a socket or randomness: time and entropy are arguments everywhere.
//!
//! ```text
//!   room ── occupant ──(same id)── endpoint ── source ── encoding ── layer
//! ```

mod door;
mod entropy;
mod id;
mod identity;
mod media;
pub mod profile;
mod secret;
mod source;
mod time;

pub use door::{ClientInfo, Origin};
pub use entropy::{Entropy, SeededEntropy};
pub use id::{
    ConferenceId, EndpointId, IdError, MAX_ENDPOINT_ID, MAX_SOURCE_NAME, NodeId, SessionId,
    SourceName,
};
pub use identity::{Identity, RoomClaim, TokenStanding};
pub use media::{Bitrate, MediaKind, MediaKinds, MediaMode, Role, Ssrc, VideoType};
pub use secret::{Redacted, Secret};
pub use source::{Encoding, FeedbackSources, SourceDescription};
pub use time::Now;

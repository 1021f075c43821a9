//! Jingle as Jitsi speaks it (protocol 2): what clients send is read leniently, what we send is
//! written exactly.
//!
//! ```text
//!  focus ── Offer ─▶ client        Jingle::parse ◀── session-accept, source-add, … ── client
//!  focus ── source_update ─▶       RawSources ── fold ─▶ SourceDescription
//!  client ◀─ RemoteOffer           Answer ── session-accept ─▶ focus
//! ```

mod answer;
mod json;
mod media;
mod offer;
mod parse;
mod sources;
#[cfg(test)]
mod tests;
mod transport;
mod update;
mod xml;

pub use answer::{Answer, AnswerTransport, client_source_update};
pub use media::{ExtensionOffer, MediaDescription, PayloadTypeOffer};
pub use offer::{Offer, OfferTransport};
pub use parse::{Accept, Body, BridgeSession, Jingle, JingleError, RemoteOffer, sid_of};
pub use sources::{
    FEEDBACK_OWNER, FoldError, RawGroup, RawSource, RawSources, Semantics, clean_msid,
    feedback_sources, strip_simulcast,
};
pub use transport::{Candidate, CandidateType, Fingerprint, Setup, Transport};
pub use update::{Change, Reason, Terminate, session_terminate, source_update};

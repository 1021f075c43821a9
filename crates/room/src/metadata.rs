//! The meeting's metadata (protocol 4 §18): a small JSON document that clients keep a copy of.

use crate::meeting::{Meeting};
use crate::room::Sender;
use althing_model::{Entropy, Now};
use althing_xmpp::Element;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The document.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Metadata {
    entries: Map<String, Value>,
}

impl Meeting {
    /// A write to `metadata.<domain>`.
    pub(crate) fn metadata_message(
        &mut self,
        _now: Now,
        _sender: &Sender,
        _stanza: &Element,
        _entropy: &mut dyn Entropy,
    ) {
    }
}

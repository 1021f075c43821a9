//! Ending a meeting for all (protocol 4 §16).

use crate::meeting::{Meeting};
use crate::room::Sender;
use althing_model::{Entropy, Now};
use althing_xmpp::Element;

impl Meeting {
    /// The order to `endconference.<domain>`.
    pub(crate) fn end_message(
        &mut self,
        _now: Now,
        _sender: &Sender,
        _stanza: &Element,
        _entropy: &mut dyn Entropy,
    ) {
    }
}

//! Recording and streaming, as far as they can be asked for: there is no recorder yet
//! (protocol 4 §14.1).

use crate::focus::{Focus, Output};
use althing_model::EndpointId;
use althing_room::Action;
use althing_xmpp::stanza::{Condition, payload, refuse};
use althing_xmpp::{Element, ns};

/// The longest address of a stream that is looked at, in bytes.
const MAX_STREAM: usize = 2048;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Start,
    Stop,
}

impl Order {
    fn read(jibri: &Element) -> Option<Self> {
        let mode = jibri.attr("recording_mode");
        let mode_known = matches!(mode, Some("file" | "stream"));
        match jibri.attr("action")? {
            // A call to a telephone or room system has no mode.
            "start" if jibri.attr("sipaddress").is_some_and(|to| !to.is_empty()) => {
                Some(Self::Start)
            }
            "start" if mode == Some("stream") => jibri
                .attr("streamid")
                .is_some_and(|to| !to.is_empty() && to.len() <= MAX_STREAM)
                .then_some(Self::Start),
            "start" if mode_known => Some(Self::Start),
            "stop" if mode_known || mode.is_none() => Some(Self::Stop),
            _ => None,
        }
    }
}

impl Focus {
    /// Whether the sender has the feature for it has been looked at by the room.
    pub(crate) fn record(&mut self, from: &EndpointId, stanza: &Element) {
        let order = payload(stanza)
            .filter(|p| p.is("jibri", ns::JIBRI))
            .and_then(Order::read);
        let (condition, text) = if !self.is_moderator(from) {
            self.outputs.push_back(Output::Denied(Action::Record));
            (Condition::NotAllowed, "only moderators record")
        } else {
            match order {
                None => (Condition::BadRequest, "what to record is not said"),
                Some(Order::Start) => (Condition::ServiceUnavailable, "there is no recorder"),
                Some(Order::Stop) => (Condition::ItemNotFound, "nothing is being recorded"),
            }
        };
        self.reply(from, refuse(stanza, condition, Some(text)));
    }
}

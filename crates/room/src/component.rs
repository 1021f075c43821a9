//! How components speak (protocol 4 §1.2).

use althing_xmpp::{Element, ns};
use serde_json::Value;

/// A component's message to clients, without `to`; `room` is the attribute of that name.
pub(crate) fn message(from: &str, json: &Value, room: Option<&str>) -> Element {
    Element::new("message", ns::CLIENT)
        .with_attr("from", from)
        .with_child(payload(json, room))
}

/// What such a message carries.
pub(crate) fn payload(json: &Value, room: Option<&str>) -> Element {
    // Clients unescape HTML entities in the text before they read it as JSON.
    let text = json.to_string().replace('&', "\\u0026");
    Element::new("json-message", ns::JITMEET)
        .with_text(text)
        .with_attr_opt("room", room)
}

/// Who speaks for the meeting under an address of its own (protocol 4 §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// `avmoderation.`
    AvModeration,
    /// `breakout.`
    Breakout,
    /// `endconference.`
    EndConference,
    /// `metadata.`
    Metadata,
    /// `polls.`
    Polls,
    /// `speakerstats.`
    SpeakerStats,
}

impl Component {
    /// All of them, with the identity type by which clients know them.
    pub const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::AvModeration, "avmoderation", "av_moderation"),
        (Self::Breakout, "breakout", "breakout_rooms"),
        (Self::EndConference, "endconference", "end_conference"),
        (Self::Metadata, "metadata", "room_metadata"),
        (Self::Polls, "polls", "polls"),
        (Self::SpeakerStats, "speakerstats", "speakerstats"),
    ];

    /// Which component answers at this host, if one does.
    #[must_use]
    pub fn of_host(host: &str, domain: &str) -> Option<Self> {
        let label = host.strip_suffix(domain)?.strip_suffix('.')?;
        Self::ALL
            .into_iter()
            .find(|(_, name, _)| *name == label)
            .map(|(component, ..)| component)
    }

    /// Its address below `domain`.
    #[must_use]
    pub fn address(self, domain: &str) -> String {
        let name = Self::ALL
            .into_iter()
            .find(|(component, ..)| *component == self)
            .map_or("", |(_, name, _)| name);
        format!("{name}.{domain}")
    }
}

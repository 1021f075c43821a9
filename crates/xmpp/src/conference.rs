//! The conference request (protocol 1 §12): by IQ and as the JSON of its HTTP variant.

use crate::element::Element;
use crate::ns;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A client asks the focus to have the room ready. Unknown properties are tolerated.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConferenceRequest {
    /// Bare room address, as the client wrote it.
    pub room: String,
    /// Random id kept by the browser; ties login sessions to a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_uid: Option<String>,
    /// Login session of an earlier answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// A JWT; informative, never a proof.
    #[serde(skip)]
    pub token: Option<String>,
    /// Hints; values are texts, whatever they were in JSON.
    #[serde(default, deserialize_with = "texts")]
    pub properties: BTreeMap<String, String>,
}

impl std::fmt::Debug for ConferenceRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConferenceRequest")
            .field("room", &self.room)
            .field("properties", &self.properties)
            .finish_non_exhaustive()
    }
}

/// What the focus answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConferenceAnswer {
    /// As in the request.
    pub room: String,
    /// Whether to go and join; a client told `false` asks again and again.
    pub ready: bool,
    /// Bare address of the focus, by which clients recognise it in the room.
    pub focus_jid: String,
    /// As in the request; HTTP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_uid: Option<String>,
    /// To be sent in later requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Login name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// `authentication` and others; always there in JSON.
    #[serde(default, deserialize_with = "texts")]
    pub properties: BTreeMap<String, String>,
}

fn texts<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, Value>::deserialize(deserializer)?;
    Ok(values
        .into_iter()
        .map(|(key, value)| match value {
            Value::String(text) => (key, text),
            other => (key, other.to_string()),
        })
        .collect())
}

impl ConferenceRequest {
    /// Reads the `<conference>` of an IQ; `None` when it is none or names no room.
    #[must_use]
    pub fn read(iq: &Element) -> Option<Self> {
        let conference = iq.child("conference", ns::FOCUS)?;
        let attribute = |key: &str| conference.attr(key).map(str::to_owned);
        Some(Self {
            room: attribute("room")?,
            machine_uid: attribute("machine-uid"),
            session_id: attribute("session-id"),
            token: attribute("token"),
            properties: read_properties(conference),
        })
    }

    /// The `<conference>` of a request.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("conference", ns::FOCUS)
            .with_attr("room", self.room.as_str())
            .with_attr_opt("machine-uid", self.machine_uid.as_deref())
            .with_attr_opt("session-id", self.session_id.as_deref())
            .with_attr_opt("token", self.token.as_deref())
            .with_children(write_properties(&self.properties))
    }
}

impl ConferenceAnswer {
    /// Ready, without logins.
    #[must_use]
    pub fn ready(room: impl Into<String>, focus_jid: impl Into<String>) -> Self {
        Self {
            room: room.into(),
            ready: true,
            focus_jid: focus_jid.into(),
            properties: BTreeMap::from([("authentication".to_owned(), "false".to_owned())]),
            ..Self::default()
        }
    }

    /// Reads the `<conference>` of a result.
    #[must_use]
    pub fn read(iq: &Element) -> Option<Self> {
        let conference = iq.child("conference", ns::FOCUS)?;
        let attribute = |key: &str| conference.attr(key).map(str::to_owned);
        Some(Self {
            room: attribute("room").unwrap_or_default(),
            ready: conference.attr("ready") == Some("true"),
            focus_jid: attribute("focusjid").unwrap_or_default(),
            machine_uid: None,
            session_id: attribute("session-id"),
            identity: attribute("identity"),
            properties: read_properties(conference),
        })
    }

    /// The `<conference>` of a result.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("conference", ns::FOCUS)
            .with_attr("room", self.room.as_str())
            .with_attr("ready", if self.ready { "true" } else { "false" })
            .with_attr("focusjid", self.focus_jid.as_str())
            .with_attr_opt("session-id", self.session_id.as_deref())
            .with_attr_opt("identity", self.identity.as_deref())
            .with_children(write_properties(&self.properties))
    }
}

fn read_properties(parent: &Element) -> BTreeMap<String, String> {
    parent
        .children()
        .filter(|c| c.is("property", ns::FOCUS))
        .filter_map(|c| Some((c.attr("name")?.to_owned(), c.attr("value")?.to_owned())))
        .collect()
}

fn write_properties(properties: &BTreeMap<String, String>) -> impl Iterator<Item = Element> + '_ {
    properties.iter().map(|(name, value)| {
        Element::new("property", ns::FOCUS)
            .with_attr("name", name.as_str())
            .with_attr("value", value.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{Limits, parse};
    use crate::stanza;

    macro_rules! sample {
        ($name:literal) => {
            include_str!(concat!("../../../fixtures/xmpp/", $name)).trim()
        };
    }

    #[test]
    fn both_forms_of_a_request_say_the_same() {
        let iq = parse(sample!("conference-request.xml"), &Limits::default()).unwrap();
        let by_iq = ConferenceRequest::read(&iq).unwrap();
        assert_eq!(by_iq.properties["startAudioMuted"], "9");
        assert_eq!(by_iq.token.as_deref(), Some("eyJ"));
        assert_eq!(
            ConferenceRequest::read(
                &stanza::iq(stanza::IqType::Set, "1", None, None).with_child(by_iq.to_element())
            ),
            Some(by_iq.clone())
        );
        let by_http: ConferenceRequest =
            serde_json::from_str(sample!("conference-request.json")).unwrap();
        assert_eq!(by_http.room, by_iq.room);
        assert_eq!(by_http.session_id, by_iq.session_id);
        assert_eq!(by_http.properties["visitors-version"], "1");
        assert_eq!(by_http.properties["rtcstatsEnabled"], "false");
        assert!(
            !format!("{by_iq:?}").contains("eyJ"),
            "a token is not printed"
        );
    }

    #[test]
    fn both_forms_of_an_answer_are_the_documented_ones() {
        let request = parse(
            r#"<iq xmlns="jabber:client" type="set" id="c1" to="focus.meet.example" from="4a1f09c2@meet.example/x"/>"#,
            &Limits::default(),
        )
        .unwrap();
        let mut answer =
            ConferenceAnswer::ready("my%20room@muc.meet.example", "focus@auth.meet.example");
        let reply = stanza::result_reply(&request).with_child(answer.to_element());
        assert_eq!(reply.to_xml(), sample!("conference-result.xml"));
        assert_eq!(ConferenceAnswer::read(&reply), Some(answer.clone()));
        answer.machine_uid = Some("5f0c11".into());
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            sample!("conference-result.json")
        );
    }

    #[test]
    fn a_request_without_a_room_is_none() {
        let iq = parse(
            r#"<iq xmlns="jabber:client"><conference xmlns="http://jitsi.org/protocol/focus"/></iq>"#,
            &Limits::default(),
        )
        .unwrap();
        assert_eq!(ConferenceRequest::read(&iq), None);
        assert!(serde_json::from_str::<ConferenceRequest>("{}").is_err());
    }
}

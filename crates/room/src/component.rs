//! How components speak (protocol 4 §1.2).

use althing_xmpp::{Element, ns};
use serde_json::Value;

/// A component's message to clients, without `to`; `room` is the attribute of that name.
pub(crate) fn message(from: &str, json: &Value, room: Option<&str>) -> Element {
    // Clients unescape HTML entities in the text before they read it as JSON.
    let text = json.to_string().replace('&', "\\u0026");
    let mut payload = Element::new("json-message", ns::JITMEET).with_text(text);
    if let Some(room) = room {
        payload.set_attr("room", room);
    }
    Element::new("message", ns::CLIENT)
        .with_attr("from", from)
        .with_child(payload)
}

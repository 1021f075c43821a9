//! The two messages that pass through the bridge: their bodies are opaque and kept whole.

use althing_model::EndpointId;
use serde_json::{Map, Value};

/// `EndpointMessage`: one client to another, or to all (protocol 3 §5.6).
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointMessage {
    /// Whom it is for; empty for everybody.
    pub to: String,
    /// Who sent it: set by the bridge, never believed from a client.
    pub from: Option<EndpointId>,
    /// Every other member, `msgPayload` among them.
    pub rest: Map<String, Value>,
}

impl EndpointMessage {
    /// A message with this payload.
    #[must_use]
    pub fn new(to: impl Into<String>, payload: Value) -> Self {
        let mut rest = Map::new();
        rest.insert("msgPayload".into(), payload);
        Self {
            to: to.into(),
            from: None,
            rest,
        }
    }

    /// `msgPayload`, if it is there.
    #[must_use]
    pub fn payload(&self) -> Option<&Value> {
        self.rest.get("msgPayload")
    }

    /// Whether it is for everybody.
    #[must_use]
    pub fn is_broadcast(&self) -> bool {
        self.to.trim().is_empty()
    }

    pub(crate) fn from_object(mut object: Map<String, Value>) -> Result<Self, String> {
        let Some(Value::String(to)) = object.remove("to") else {
            return Err("to is not a string".into());
        };
        Ok(Self {
            to,
            from: take_from(&mut object),
            rest: object,
        })
    }

    pub(crate) fn to_object(&self) -> Map<String, Value> {
        let mut object = self.rest.clone();
        object.insert("colibriClass".into(), "EndpointMessage".into());
        object.insert("to".into(), self.to.clone().into());
        put_from(&mut object, self.from.as_ref());
        object
    }
}

/// `EndpointStats`: a client's connection quality, for those who show it (protocol 3 §5.7).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EndpointStats {
    /// Who sent it: set by the bridge, never believed from a client.
    pub from: Option<EndpointId>,
    /// Every other member.
    pub rest: Map<String, Value>,
}

impl EndpointStats {
    pub(crate) fn from_object(mut object: Map<String, Value>) -> Self {
        Self {
            from: take_from(&mut object),
            rest: object,
        }
    }

    pub(crate) fn to_object(&self) -> Map<String, Value> {
        let mut object = self.rest.clone();
        object.insert("colibriClass".into(), "EndpointStats".into());
        put_from(&mut object, self.from.as_ref());
        object
    }
}

fn take_from(object: &mut Map<String, Value>) -> Option<EndpointId> {
    object.remove("colibriClass");
    match object.remove("from") {
        Some(Value::String(from)) => EndpointId::new(from).ok(),
        _ => None,
    }
}

fn put_from(object: &mut Map<String, Value>, from: Option<&EndpointId>) {
    match from {
        Some(from) => object.insert("from".into(), from.as_str().into()),
        None => object.remove("from"),
    };
}

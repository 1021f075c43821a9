//! What a client says to its bridge.

use crate::{EndpointMessage, EndpointStats, MAX_MESSAGE_BYTES, ParseError, video_type};
use althing_model::{SourceName, VideoType};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A message from client to bridge.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientMessage {
    /// A liveness probe, answered by [`crate::BridgeMessage::ServerHello`] (§5.1).
    ClientHello,
    /// Which video it wants (§5.2).
    ReceiverVideoConstraints(VideoConstraints),
    /// The older way to set last-N alone; −1 for no limit (§5.3).
    LastNChangedEvent {
        /// At most this many video sources.
        last_n: i32,
    },
    /// Which audio it wants (§5.4).
    ReceiverAudioSubscription(AudioSubscription),
    /// What one of its own sources shows (§5.5).
    SourceVideoTypeMessage(SourceVideoType),
    /// The legacy form of the above, for the sender's first camera (§5.5).
    VideoTypeMessage {
        /// The new type.
        video_type: VideoType,
    },
    /// For other clients (§5.6).
    EndpointMessage(EndpointMessage),
    /// For other clients (§5.7).
    EndpointStats(EndpointStats),
    /// A class we do not know: ignored, the channel stays.
    Unknown {
        /// Its `colibriClass`.
        class: String,
    },
}

/// `ReceiverVideoConstraints`: absent parts stay as they were.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoConstraints {
    /// At most this many video sources; −1 for no limit, 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "last_n")]
    pub last_n: Option<i32>,
    /// Next priority after on-stage, in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "names")]
    pub selected_sources: Option<Vec<SourceName>>,
    /// Top priority, in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "names")]
    pub on_stage_sources: Option<Vec<SourceName>>,
    /// For sources that `constraints` does not name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_constraints: Option<Constraint>,
    /// Per source; replaces the whole earlier map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "constraint_map")]
    pub constraints: Option<BTreeMap<SourceName, Constraint>>,
    /// In bit/s; instead of the estimate, where the operator allows it. Negative for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "optional_integer")]
    pub assumed_bandwidth_bps: Option<i64>,
}

/// How much of a source is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Constraint {
    /// Pixels of the picture's smaller side; −1 for no limit, 0 for nothing.
    #[serde(deserialize_with = "height")]
    pub max_height: i32,
    /// Frames per second; −1 for no limit, 0 for nothing.
    #[serde(default = "no_limit", skip_serializing_if = "is_no_limit")]
    pub max_frame_rate: f64,
}

impl Constraint {
    /// A height and no limit on the frame rate.
    #[must_use]
    pub const fn height(max_height: i32) -> Self {
        Self {
            max_height,
            max_frame_rate: -1.0,
        }
    }

    /// The height, or 0 where the frame rate forbids any picture.
    #[must_use]
    pub fn effective_height(self) -> i32 {
        if self.max_frame_rate == 0.0 {
            0
        } else {
            self.max_height
        }
    }
}

/// `ReceiverAudioSubscription`, its legacy form included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AudioSubscription {
    /// The verdict for ordinary sources named in neither list.
    pub all: bool,
    /// Delivered even if `all` is false; names may be of synthetic sources.
    pub include: Vec<String>,
    /// Never delivered; beats the other two.
    pub exclude: Vec<String>,
}

impl Default for AudioSubscription {
    /// What holds before any message: every ordinary source.
    fn default() -> Self {
        Self {
            all: true,
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

impl AudioSubscription {
    /// Whether a source of this name is wanted.
    #[must_use]
    pub fn wants(&self, source: &str) -> bool {
        !self.exclude.iter().any(|n| n == source)
            && (self.all || self.include.iter().any(|n| n == source))
    }
}

/// `SourceVideoTypeMessage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceVideoType {
    /// One of the sender's own sources.
    pub source_name: SourceName,
    /// What it shows from now on.
    #[serde(with = "video_type")]
    pub video_type: VideoType,
}

impl ClientMessage {
    /// Reads one text frame.
    ///
    /// # Errors
    /// [`ParseError`] when the message must be dropped; the channel stays open.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (class, object) = open(text)?;
        match class.as_str() {
            "ClientHello" => Ok(Self::ClientHello),
            "ReceiverVideoConstraints" => {
                body("ReceiverVideoConstraints", object).map(Self::ReceiverVideoConstraints)
            }
            "LastNChangedEvent" => {
                let LastN { last_n } = body("LastNChangedEvent", object)?;
                let last_n = last_n.ok_or_else(|| ParseError::Invalid {
                    class: "LastNChangedEvent",
                    reason: "lastN is missing".into(),
                })?;
                Ok(Self::LastNChangedEvent { last_n })
            }
            "ReceiverAudioSubscription" => body::<AudioWire>("ReceiverAudioSubscription", object)?
                .settle()
                .map(Self::ReceiverAudioSubscription),
            "SourceVideoTypeMessage" => {
                body("SourceVideoTypeMessage", object).map(Self::SourceVideoTypeMessage)
            }
            "VideoTypeMessage" => {
                let LegacyType { video_type } = body("VideoTypeMessage", object)?;
                Ok(Self::VideoTypeMessage { video_type })
            }
            "EndpointMessage" => EndpointMessage::from_object(object)
                .map(Self::EndpointMessage)
                .map_err(|reason| ParseError::Invalid {
                    class: "EndpointMessage",
                    reason,
                }),
            "EndpointStats" => Ok(Self::EndpointStats(EndpointStats::from_object(object))),
            _ => Ok(Self::Unknown { class }),
        }
    }

    /// The text frame.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::ClientHello => write("ClientHello", &Empty {}),
            Self::ReceiverVideoConstraints(m) => write("ReceiverVideoConstraints", m),
            Self::LastNChangedEvent { last_n } => write(
                "LastNChangedEvent",
                &LastN {
                    last_n: Some(*last_n),
                },
            ),
            Self::ReceiverAudioSubscription(m) => write("ReceiverAudioSubscription", m),
            Self::SourceVideoTypeMessage(m) => write("SourceVideoTypeMessage", m),
            Self::VideoTypeMessage { video_type } => write(
                "VideoTypeMessage",
                &LegacyType {
                    video_type: *video_type,
                },
            ),
            Self::EndpointMessage(m) => Value::Object(m.to_object()).to_string(),
            Self::EndpointStats(m) => Value::Object(m.to_object()).to_string(),
            Self::Unknown { class } => write(class, &Empty {}),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Empty {}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LastN {
    #[serde(default, deserialize_with = "last_n")]
    last_n: Option<i32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyType {
    #[serde(with = "video_type")]
    video_type: VideoType,
}

/// Names in one list of a subscription: each is compared with each source.
const MAX_NAMES: usize = 512;

#[derive(Deserialize)]
struct AudioWire {
    all: Option<bool>,
    include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
    mode: Option<String>,
    list: Option<Vec<String>>,
}

impl AudioWire {
    fn settle(self) -> Result<AudioSubscription, ParseError> {
        let lists = [&self.include, &self.exclude, &self.list];
        if lists.into_iter().flatten().any(|l| l.len() > MAX_NAMES) {
            return Err(ParseError::Invalid {
                class: "ReceiverAudioSubscription",
                reason: format!("more than {MAX_NAMES} names in a list"),
            });
        }
        let Some(mode) = self.mode else {
            return Ok(AudioSubscription {
                all: self.all.unwrap_or(false),
                include: self.include.unwrap_or_default(),
                exclude: self.exclude.unwrap_or_default(),
            });
        };
        let list = self.list.unwrap_or_default();
        let (all, include, exclude) = match mode.to_ascii_lowercase().as_str() {
            "all" => (true, Vec::new(), Vec::new()),
            "none" => (false, Vec::new(), Vec::new()),
            "include" => (false, list, Vec::new()),
            "exclude" => (true, Vec::new(), list),
            _ => {
                return Err(ParseError::Invalid {
                    class: "ReceiverAudioSubscription",
                    reason: format!("{mode:?} is no mode"),
                });
            }
        };
        Ok(AudioSubscription {
            all,
            include,
            exclude,
        })
    }
}

/// The class and the whole object of a message.
pub(crate) fn open(text: &str) -> Result<(String, Map<String, Value>), ParseError> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(ParseError::TooLong(text.len()));
    }
    let object: Map<String, Value> =
        serde_json::from_str(text).map_err(|e| ParseError::Malformed(e.to_string()))?;
    match object.get("colibriClass") {
        Some(Value::String(class)) => Ok((class.clone(), object)),
        _ => Err(ParseError::Malformed("no colibriClass".into())),
    }
}

pub(crate) fn body<T: serde::de::DeserializeOwned>(
    class: &'static str,
    object: Map<String, Value>,
) -> Result<T, ParseError> {
    serde_json::from_value(Value::Object(object)).map_err(|e| ParseError::Invalid {
        class,
        reason: e.to_string(),
    })
}

pub(crate) fn write<T: Serialize>(class: &str, body: &T) -> String {
    #[derive(Serialize)]
    struct Tagged<'a, T> {
        #[serde(rename = "colibriClass")]
        class: &'a str,
        #[serde(flatten)]
        body: &'a T,
    }
    serde_json::to_string(&Tagged { class, body })
        .expect("messages have string keys and no failing serialisers")
}

const fn no_limit() -> f64 {
    -1.0
}

// Serde hands a predicate its field by reference.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_no_limit(rate: &f64) -> bool {
    *rate < 0.0
}

/// A JSON number that is whole, whether or not it is written with a fraction.
fn whole<E: serde::de::Error>(value: &Value) -> Result<i64, E> {
    if let Some(n) = value.as_i64() {
        return Ok(n);
    }
    match value.as_f64() {
        // Beyond 2^53 a double no longer says which whole number was meant.
        Some(n) if n.fract() == 0.0 && n.abs() < 9.007_199_254_740_992e15 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            Ok(n as i64)
        }
        _ => Err(E::custom(format!("{value} is no whole number"))),
    }
}

fn height<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    let value = whole::<D::Error>(&Value::deserialize(from)?)?;
    match i32::try_from(value) {
        Ok(height) if height >= -1 => Ok(height),
        _ => Err(serde::de::Error::custom(format!(
            "maxHeight {value} is out of range"
        ))),
    }
}

/// Every negative number means no limit.
fn last_n<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
    let value = optional_integer(from)?;
    Ok(value.map(|n| i32::try_from(n.max(-1)).unwrap_or(i32::MAX)))
}

fn optional_integer<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    Option::<Value>::deserialize(from)?
        .map(|v| whole(&v))
        .transpose()
}

/// Names that cannot be a source's are left out: they could never match one.
fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<SourceName>>, D::Error> {
    let list = Option::<Vec<String>>::deserialize(from)?;
    Ok(list.map(|l| {
        l.into_iter()
            .filter_map(|n| SourceName::new(n).ok())
            .collect()
    }))
}

fn constraint_map<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<BTreeMap<SourceName, Constraint>>, D::Error> {
    let map = Option::<BTreeMap<String, Constraint>>::deserialize(from)?;
    Ok(map.map(|m| {
        m.into_iter()
            .filter_map(|(n, c)| Some((SourceName::new(n).ok()?, c)))
            .collect()
    }))
}

#[cfg(test)]
mod tests;

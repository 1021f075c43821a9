//! What a bridge says to its client.

use crate::client::{Empty, body, open, write};
use crate::{EndpointMessage, EndpointStats, ParseError, video_type};
use althing_model::{EndpointId, SourceName, Ssrc, VideoType};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A message from bridge to client.
#[derive(Debug, Clone, PartialEq)]
pub enum BridgeMessage {
    /// A greeting, and the answer to a hello (§5.1).
    ServerHello {
        /// Only where the operator opted in.
        version: Option<String>,
    },
    /// The most that anybody wants of one of the client's sources (§5.8).
    SenderSourceConstraints {
        /// The client's own source.
        source_name: SourceName,
        /// Pixels; −1 for no limit, 0 when nobody wants it.
        max_height: i32,
    },
    /// Who speaks, and who spoke before (§5.9).
    DominantSpeakerEndpointChangeEvent {
        /// Who speaks.
        dominant_speaker: EndpointId,
        /// The most recent first, without the one above.
        previous_speakers: Vec<EndpointId>,
        /// Nobody has spoken for a while.
        silence: bool,
    },
    /// Somebody's link went down, or came back (§5.10).
    EndpointConnectivityStatusChangeEvent {
        /// Whose.
        endpoint: EndpointId,
        /// A string on the wire: clients read a JSON boolean as false.
        active: bool,
    },
    /// The complete set of video sources now sent to this client (§5.11).
    ForwardedSources {
        /// In no particular order.
        sources: Vec<SourceName>,
    },
    /// New or changed video slots (§5.12).
    VideoSourcesMap {
        /// Only these; the whole table on channel open.
        mapped_sources: Vec<VideoSlot>,
    },
    /// New or changed audio slots (§5.12).
    AudioSourcesMap {
        /// Only these; the whole table on channel open.
        mapped_sources: Vec<AudioSlot>,
    },
    /// What the bridge believes the client can receive (§5.13).
    ConnectionStats {
        /// In bit/s.
        estimated_downlink_bandwidth: u64,
    },
    /// Translated audio began or ended (§5.14).
    SyntheticSourceSendingChangeEvent {
        /// A base source's name and a suffix.
        source_name: String,
        /// It is being sent.
        sending: bool,
        /// The RTP timestamp it holds from.
        timestamp: u32,
    },
    /// From another client (§5.6).
    EndpointMessage(EndpointMessage),
    /// From another client (§5.7).
    EndpointStats(EndpointStats),
    /// A class we do not know.
    Unknown {
        /// Its `colibriClass`.
        class: String,
    },
}

/// One video slot of a receiver and the source now on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoSlot {
    /// The source.
    pub source: SourceName,
    /// Whose it is.
    pub owner: EndpointId,
    /// The SSRC it is sent on.
    pub ssrc: Ssrc,
    /// The SSRC of its retransmissions.
    pub rtx: Ssrc,
    /// Upper case on the wire.
    #[serde(rename = "videoType", with = "video_type::upper_case")]
    pub video_type: VideoType,
    /// Only where mid demultiplexing was negotiated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
}

/// One audio slot of a receiver and the source now on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioSlot {
    /// The source.
    pub source: SourceName,
    /// Whose it is.
    pub owner: EndpointId,
    /// The SSRC it is sent on.
    pub ssrc: Ssrc,
    /// Only where mid demultiplexing was negotiated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
}

impl BridgeMessage {
    /// Reads one text frame.
    ///
    /// # Errors
    /// [`ParseError`] when the message must be dropped; the channel stays open.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (class, object) = open(text)?;
        Ok(match class.as_str() {
            "ServerHello" => {
                let Hello { version } = body("ServerHello", object)?;
                Self::ServerHello { version }
            }
            "SenderSourceConstraints" => {
                let m: SenderConstraint = body("SenderSourceConstraints", object)?;
                Self::SenderSourceConstraints {
                    source_name: m.source_name,
                    max_height: m.max_height,
                }
            }
            "DominantSpeakerEndpointChangeEvent" => {
                let m: Dominant = body("DominantSpeakerEndpointChangeEvent", object)?;
                Self::DominantSpeakerEndpointChangeEvent {
                    dominant_speaker: m.dominant_speaker_endpoint,
                    previous_speakers: m.previous_speakers,
                    silence: m.silence,
                }
            }
            "EndpointConnectivityStatusChangeEvent" => {
                let m: Connectivity = body("EndpointConnectivityStatusChangeEvent", object)?;
                Self::EndpointConnectivityStatusChangeEvent {
                    endpoint: m.endpoint,
                    active: m.active,
                }
            }
            "ForwardedSources" => {
                let m: Forwarded = body("ForwardedSources", object)?;
                Self::ForwardedSources {
                    sources: m.forwarded_sources,
                }
            }
            "VideoSourcesMap" => {
                let Mapped { mapped_sources } = body("VideoSourcesMap", object)?;
                Self::VideoSourcesMap { mapped_sources }
            }
            "AudioSourcesMap" => {
                let Mapped { mapped_sources } = body("AudioSourcesMap", object)?;
                Self::AudioSourcesMap { mapped_sources }
            }
            "ConnectionStats" => {
                let m: Connection = body("ConnectionStats", object)?;
                Self::ConnectionStats {
                    estimated_downlink_bandwidth: m.estimated_downlink_bandwidth,
                }
            }
            "SyntheticSourceSendingChangeEvent" => {
                let m: Synthetic = body("SyntheticSourceSendingChangeEvent", object)?;
                Self::SyntheticSourceSendingChangeEvent {
                    source_name: m.source_name,
                    sending: m.sending,
                    timestamp: m.timestamp,
                }
            }
            "EndpointMessage" => EndpointMessage::from_object(object)
                .map(Self::EndpointMessage)
                .map_err(|reason| ParseError::Invalid {
                    class: "EndpointMessage",
                    reason,
                })?,
            "EndpointStats" => Self::EndpointStats(EndpointStats::from_object(object)),
            _ => Self::Unknown { class },
        })
    }

    /// The text frame.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::ServerHello { version } => write(
                "ServerHello",
                &Hello {
                    version: version.clone(),
                },
            ),
            Self::SenderSourceConstraints {
                source_name,
                max_height,
            } => write(
                "SenderSourceConstraints",
                &SenderConstraint {
                    source_name: source_name.clone(),
                    max_height: *max_height,
                },
            ),
            Self::DominantSpeakerEndpointChangeEvent {
                dominant_speaker,
                previous_speakers,
                silence,
            } => write(
                "DominantSpeakerEndpointChangeEvent",
                &Dominant {
                    dominant_speaker_endpoint: dominant_speaker.clone(),
                    previous_speakers: previous_speakers.clone(),
                    silence: *silence,
                },
            ),
            Self::EndpointConnectivityStatusChangeEvent { endpoint, active } => write(
                "EndpointConnectivityStatusChangeEvent",
                &Connectivity {
                    endpoint: endpoint.clone(),
                    active: *active,
                },
            ),
            Self::ForwardedSources { sources } => write(
                "ForwardedSources",
                &Forwarded {
                    forwarded_sources: sources.clone(),
                },
            ),
            Self::VideoSourcesMap { mapped_sources } => {
                write("VideoSourcesMap", &MappedRef { mapped_sources })
            }
            Self::AudioSourcesMap { mapped_sources } => {
                write("AudioSourcesMap", &MappedRef { mapped_sources })
            }
            Self::ConnectionStats {
                estimated_downlink_bandwidth,
            } => write(
                "ConnectionStats",
                &Connection {
                    estimated_downlink_bandwidth: *estimated_downlink_bandwidth,
                },
            ),
            Self::SyntheticSourceSendingChangeEvent {
                source_name,
                sending,
                timestamp,
            } => write(
                "SyntheticSourceSendingChangeEvent",
                &Synthetic {
                    source_name: source_name.clone(),
                    sending: *sending,
                    timestamp: *timestamp,
                },
            ),
            Self::EndpointMessage(m) => Value::Object(m.to_object()).to_string(),
            Self::EndpointStats(m) => Value::Object(m.to_object()).to_string(),
            Self::Unknown { class } => write(class, &Empty {}),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Hello {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SenderConstraint {
    source_name: SourceName,
    max_height: i32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dominant {
    dominant_speaker_endpoint: EndpointId,
    #[serde(default)]
    previous_speakers: Vec<EndpointId>,
    #[serde(default)]
    silence: bool,
}

#[derive(Serialize, Deserialize)]
struct Connectivity {
    endpoint: EndpointId,
    #[serde(serialize_with = "as_string", deserialize_with = "from_string")]
    active: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Forwarded {
    forwarded_sources: Vec<SourceName>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapped<T> {
    mapped_sources: Vec<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MappedRef<'a, T> {
    mapped_sources: &'a [T],
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    estimated_downlink_bandwidth: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Synthetic {
    source_name: String,
    sending: bool,
    timestamp: u32,
}

// Serde hands a serialiser its field by reference.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn as_string<S: Serializer>(active: &bool, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(if *active { "true" } else { "false" })
}

/// Reads it as a stock client does: only the string `"true"` is true.
fn from_string<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Value::deserialize(from)?.as_str() == Some("true"))
}

#[cfg(test)]
mod tests;

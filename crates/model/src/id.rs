use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest endpoint id (occupant nickname) we accept, in bytes.
pub const MAX_ENDPOINT_ID: usize = 64;
/// The longest source name we accept, in bytes.
pub const MAX_SOURCE_NAME: usize = 96;

/// Why a string is not an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdError {
    what: &'static str,
    value: String,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a valid {}", self.value, self.what)
    }
}

impl std::error::Error for IdError {}

fn refuse(what: &'static str, value: &str) -> IdError {
    IdError {
        what,
        value: value.chars().take(40).collect(),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks and wraps `value`.
            ///
            /// # Errors
            /// [`IdError`] when `value` does not have the form described on the type.
            pub fn new(value: impl Into<String>) -> Result<Self, IdError> {
                let value = value.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&value) {
                    Ok(Self(value.into_boxed_str()))
                } else {
                    Err(refuse($what, &value))
                }
            }

            /// The text as it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(value: String) -> Result<Self, IdError> {
                Self::new(value)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;
            fn try_from(value: &str) -> Result<Self, IdError> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.into()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn url_safe(value: &str, max: usize) -> bool {
    !value.is_empty()
        && value.len() <= max
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// `[A-Za-z0-9][A-Za-z0-9_]*`: the nickname rule of the stock resource validation.
fn nickname(value: &str) -> bool {
    let mut bytes = value.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && value.len() <= MAX_ENDPOINT_ID
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

text_id!(
    /// A process of ours: 1 to 40 of `[A-Za-z0-9_-]`. It appears in bridge-channel URLs.
    NodeId, "node id", |v| url_safe(v, 40)
);
text_id!(
    /// One meeting held in a room: 1 to 64 of `[A-Za-z0-9_-]`. It appears in bridge-channel URLs.
    ConferenceId, "conference id", |v| url_safe(v, 64)
);
text_id!(
    /// An occupant's media on a bridge; equal to the occupant's nickname in the room
    /// (`[A-Za-z0-9][A-Za-z0-9_]*`, at most [`MAX_ENDPOINT_ID`] bytes).
    EndpointId, "endpoint id", nickname
);
text_id!(
    /// One named audio or video source: `<endpoint id>-a<index>` or `<endpoint id>-v<index>`, for
    /// instance `ab12cd34-v0`.
    SourceName, "source name", |v| parse_source_name(v).is_some()
);

fn parse_source_name(value: &str) -> Option<(&str, crate::MediaKind)> {
    if value.len() > MAX_SOURCE_NAME {
        return None;
    }
    let (owner, rest) = value.rsplit_once('-')?;
    let kind = match rest.as_bytes().first()? {
        b'a' => crate::MediaKind::Audio,
        b'v' => crate::MediaKind::Video,
        _ => return None,
    };
    let index = &rest[1..];
    let digits = !index.is_empty() && index.len() <= 4 && index.bytes().all(|b| b.is_ascii_digit());
    (digits && nickname(owner)).then_some((owner, kind))
}

impl SourceName {
    /// The endpoint the name belongs to, for instance `ab12cd34` of `ab12cd34-v0`.
    #[must_use]
    pub fn owner(&self) -> EndpointId {
        let (owner, _) = self.parts();
        EndpointId(owner.into())
    }

    /// Whether the name is written for `owner`; compares without allocating.
    #[must_use]
    pub fn belongs_to(&self, owner: &EndpointId) -> bool {
        self.parts().0 == owner.as_str()
    }

    /// Audio or video, from the letter before the index.
    #[must_use]
    pub fn kind(&self) -> crate::MediaKind {
        self.parts().1
    }

    fn parts(&self) -> (&str, crate::MediaKind) {
        parse_source_name(&self.0).expect("a source name was checked when it was made")
    }
}

/// An XMPP client session: which node holds its socket, and a number unique on that node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId {
    /// The node that holds the socket.
    pub node: NodeId,
    /// Never re-used while the node runs.
    pub number: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MediaKind;

    #[test]
    fn source_names_tell_owner_and_kind() {
        let name = SourceName::new("ab12cd34-v0").unwrap();
        assert_eq!(name.owner(), EndpointId::new("ab12cd34").unwrap());
        assert_eq!(name.kind(), MediaKind::Video);
        assert!(name.belongs_to(&EndpointId::new("ab12cd34").unwrap()));
        assert_eq!(SourceName::new("jvb-a0").unwrap().kind(), MediaKind::Audio);
        for bad in [
            "", "a", "a-", "a-x0", "a-v", "-v0", "a b-v0", "a-v12345", "a-v0.hi",
        ] {
            assert!(SourceName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nicknames_follow_the_stock_rule() {
        for good in ["4a1f09c2", "focus", "bot0", "A_b"] {
            assert!(EndpointId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "_a", "a-b", "a/b", "ä", &"a".repeat(65)] {
            assert!(EndpointId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_checked_when_deserialised() {
        assert!(serde_json::from_str::<NodeId>("\"n1\"").is_ok());
        assert!(serde_json::from_str::<NodeId>("\"../etc\"").is_err());
    }
}

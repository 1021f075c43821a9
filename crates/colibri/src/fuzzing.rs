//! Entry points for fuzzers: each reaches the parser and checks what it gives back.

use crate::{BridgeMessage, ClientMessage};

/// Reads both directions; what was read must survive being written and read again.
///
/// # Panics
/// When it does not, which is a bug here.
pub fn message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(message) = ClientMessage::parse(text) {
        let json = message.to_json();
        if json.len() <= crate::MAX_MESSAGE_BYTES {
            assert_eq!(ClientMessage::parse(&json).as_ref(), Ok(&message), "{json}");
        }
    }
    if let Ok(message) = BridgeMessage::parse(text) {
        let json = message.to_json();
        if json.len() <= crate::MAX_MESSAGE_BYTES {
            assert_eq!(BridgeMessage::parse(&json).as_ref(), Ok(&message), "{json}");
        }
    }
}

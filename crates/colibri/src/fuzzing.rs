//! Entry points for fuzzers: each reaches the parser and checks what it gives back.

use crate::{BridgeMessage, ClientMessage};

/// Reads both directions; what was read can be written and read again.
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
            ClientMessage::parse(&json).expect("what was written can be read");
        }
    }
    if let Ok(message) = BridgeMessage::parse(text) {
        let json = message.to_json();
        if json.len() <= crate::MAX_MESSAGE_BYTES {
            BridgeMessage::parse(&json).expect("what was written can be read");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn every_fixture_reaches_the_parser() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/colibri");
        for file in std::fs::read_dir(folder).unwrap() {
            super::message(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r#"\{"colibriClass":"(ReceiverVideoConstraints|EndpointMessage|VideoSourcesMap)",.{0,80}\}"#) {
            super::message(text.as_bytes());
        }
    }
}

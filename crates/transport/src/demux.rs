//! Telling the protocols on one port apart by their first byte (RFC 7983, RFC 5761 §4).

use crate::stun::{self, Class, MAGIC_COOKIE, Message};

/// What a datagram claims to be; nothing is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatagramKind {
    /// First byte 0 to 3 and the magic cookie of RFC 8489.
    Stun,
    /// First byte 20 to 63.
    Dtls,
    /// First byte 128 to 191, second outside 192 to 223.
    Rtp,
    /// First byte 128 to 191, second 192 to 223.
    Rtcp,
    /// Anything else; dropped.
    Other,
}

/// Classifies a datagram by its first bytes.
#[must_use]
pub fn classify(datagram: &[u8]) -> DatagramKind {
    match datagram {
        [0..=3, ..] if datagram.get(4..8) == Some(&MAGIC_COOKIE) => DatagramKind::Stun,
        [20..=63, ..] => DatagramKind::Dtls,
        [128..=191, 192..=223, ..] => DatagramKind::Rtcp,
        [128..=191, _, ..] => DatagramKind::Rtp,
        _ => DatagramKind::Other,
    }
}

/// The local part of the USERNAME of a STUN Binding request: which endpoint it claims to be for.
///
/// Nothing is verified: use it only to find the endpoint that will verify it. Runs on bytes of
/// strangers, so it walks the attributes once and allocates nothing.
#[must_use]
pub fn binding_ufrag(datagram: &[u8]) -> Option<&str> {
    let message = Message::parse(datagram)?;
    if message.class != Class::Request {
        return None;
    }
    message
        .attributes()
        // What follows the integrity attribute is not covered by it.
        .take_while(|attribute| attribute.kind != stun::MESSAGE_INTEGRITY)
        .find(|attribute| attribute.kind == stun::USERNAME)
        .and_then(|attribute| stun::local_part(attribute.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        let stun = |first| [first, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        for (bytes, kind) in [
            (&stun(0)[..], DatagramKind::Stun),
            (&stun(3), DatagramKind::Stun),
            (&stun(4), DatagramKind::Other),
            (&[0, 1, 0, 0, 0, 0, 0, 0], DatagramKind::Other),
            (&[0], DatagramKind::Other),
            (&[], DatagramKind::Other),
            (&[19], DatagramKind::Other),
            (&[20], DatagramKind::Dtls),
            (&[63], DatagramKind::Dtls),
            (&[64], DatagramKind::Other),
            (&[127, 200], DatagramKind::Other),
            (&[128], DatagramKind::Other),
            (&[128, 0], DatagramKind::Rtp),
            (&[128, 191], DatagramKind::Rtp),
            (&[128, 192], DatagramKind::Rtcp),
            (&[191, 223], DatagramKind::Rtcp),
            (&[191, 224], DatagramKind::Rtp),
            (&[192, 200], DatagramKind::Other),
        ] {
            assert_eq!(classify(bytes), kind, "{bytes:?}");
        }
    }

    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(&(value.len() as u16).to_be_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = vec![0, 1];
        message.extend_from_slice(&(body.len() as u16).to_be_bytes());
        message.extend_from_slice(&MAGIC_COOKIE);
        message.extend_from_slice(&[7; 12]);
        message.extend_from_slice(&body);
        message
    }

    #[test]
    fn a_binding_request_names_its_endpoint() {
        let message = request(&[(0x0024, &[0; 4]), (0x0006, b"local:remote")]);
        assert_eq!(binding_ufrag(&message), Some("local"));
        for end in 0..message.len() {
            assert_eq!(binding_ufrag(&message[..end]), None);
        }
        let mut response = message;
        response[0] = 1;
        assert_eq!(binding_ufrag(&response), None);
        for user in [&b"nocolon"[..], b":remote", b"\xff\xfe:x", &[b'a'; 300]] {
            assert_eq!(binding_ufrag(&request(&[(0x0006, user)])), None);
        }
        assert_eq!(
            binding_ufrag(&request(&[(0x0008, &[0; 20]), (0x0006, b"a:b")])),
            None,
            "not covered by the integrity"
        );
    }
}

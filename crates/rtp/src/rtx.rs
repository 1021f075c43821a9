//! Retransmission payloads (RFC 4588 §4): the original sequence number, then the original payload.

/// The original sequence number and payload; nothing for padding, which has no room for a number.
#[must_use]
pub fn unwrap(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (number, original) = payload.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*number), original))
}

/// What goes before the original payload.
#[must_use]
pub const fn prefix(original_sequence: u16) -> [u8; 2] {
    original_sequence.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_and_unwrapping_are_inverse() {
        let mut packet = prefix(0xfffe).to_vec();
        packet.extend_from_slice(b"frame");
        assert_eq!(unwrap(&packet), Some((0xfffe, &b"frame"[..])));
        assert_eq!(unwrap(&[1, 2]), Some((0x0102, &[][..])));
        assert_eq!(unwrap(&[1]), None);
    }
}

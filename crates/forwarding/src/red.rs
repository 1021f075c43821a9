//! Redundant audio (RFC 2198): passed on as it is to whoever negotiated it; others get what is new
//! in it.

/// The payload type of redundant audio (protocol 5 §4).
pub(crate) const PAYLOAD_TYPE: u8 = althing_model::profile::RED.number;

/// Blocks that anybody has use for; a browser sends two or three.
const MAX_BLOCKS: usize = 8;

/// The payload type of the newest block, and where its bytes begin; nothing if this is no RED.
pub(crate) fn primary(body: &[u8]) -> Option<(u8, usize)> {
    let mut at = 0;
    // Of the redundant blocks, which lie between the headers and the newest one.
    let mut skipped = 0;
    for _ in 0..MAX_BLOCKS {
        let first = *body.get(at)?;
        if first & 0x80 == 0 {
            let start = at + 1 + skipped;
            return (start <= body.len()).then_some((first & 0x7f, start));
        }
        let [_, _, high, low] = *body.get(at..)?.first_chunk::<4>()?;
        skipped += usize::from(u16::from_be_bytes([high & 0x03, low]));
        at += 4;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_block_is_found() {
        // Two frames from before, of 2 and 3 bytes, then the new one.
        let body = [
            0x80 | 111,
            0x0f,
            0x00,
            2,
            0x80 | 111,
            0x07,
            0x80,
            3,
            111,
            1,
            1,
            2,
            2,
            2,
            9,
            9,
            9,
        ];
        let (payload_type, at) = primary(&body).unwrap();
        assert_eq!((payload_type, &body[at..]), (111, &[9, 9, 9][..]));
        assert_eq!(primary(&[111, 9]), Some((111, 1)));
        // A length of ten bits: the two below the offset count.
        let mut long = vec![0x80 | 111, 0x0f, 0x01, 0x02, 111];
        long.extend_from_slice(&[1; 258]);
        long.extend_from_slice(&[9; 4]);
        assert_eq!(primary(&long), Some((111, 263)));
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        let body = [0x80 | 111, 0x0f, 0x00, 2, 111, 1, 1, 9];
        for length in 0..7 {
            assert_eq!(primary(&body[..length]), None, "{length}");
        }
        assert_eq!(primary(&body[..7]), Some((111, 7)));
        assert_eq!(primary(&[0xff; 64]), None);
    }
}

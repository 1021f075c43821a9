//! Just enough of STUN (RFC 8489) to know whose a message is and whether it is genuine. Only
//! what passes here is shown to the ICE agent, which reads it in full.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

pub(crate) const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
const HEADER: usize = 20;
const ATTRIBUTE_HEADER: usize = 4;
const INTEGRITY: usize = 20;
/// RFC 8445 §5.3.
const MAX_UFRAG: usize = 256;

/// What a Binding message is; other methods are of no use to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Request,
    Response,
}

/// A Binding request or response with a sound header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) class: Class,
    bytes: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
    /// Where it begins, counted from the start of the message.
    offset: usize,
}

impl<'a> Message<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let class = match [header[0], header[1]] {
            [0x00, 0x01] => Class::Request,
            [0x01, 0x01 | 0x11] => Class::Response,
            _ => return None,
        };
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let sound = header[4..8] == MAGIC_COOKIE
            && HEADER + length == bytes.len()
            && length.is_multiple_of(4);
        sound.then_some(Self { class, bytes })
    }

    /// Ends at the first attribute that does not fit.
    pub(crate) fn attributes(self) -> impl Iterator<Item = Attribute<'a>> {
        let mut offset = HEADER;
        std::iter::from_fn(move || {
            let head: [u8; ATTRIBUTE_HEADER] = *self.bytes.get(offset..)?.first_chunk()?;
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = self.bytes.get(offset + ATTRIBUTE_HEADER..)?.get(..length)?;
            let attribute = Attribute {
                kind: u16::from_be_bytes([head[0], head[1]]),
                value,
                offset,
            };
            offset += ATTRIBUTE_HEADER + length.next_multiple_of(4);
            Some(attribute)
        })
    }

    /// The user name, as far as the integrity covers it.
    pub(crate) fn username(self) -> Option<&'a [u8]> {
        self.attributes()
            .take_while(|attribute| attribute.kind != MESSAGE_INTEGRITY)
            .find(|attribute| attribute.kind == USERNAME)
            .map(|attribute| attribute.value)
    }

    /// Whether MESSAGE-INTEGRITY was made with `password` (RFC 8489 §14.5).
    pub(crate) fn is_signed_with(self, password: &str) -> bool {
        let Some(integrity) = self
            .attributes()
            .find(|attribute| attribute.kind == MESSAGE_INTEGRITY)
        else {
            return false;
        };
        // The length is signed as if the message ended with the integrity attribute.
        let end = integrity.offset + ATTRIBUTE_HEADER + INTEGRITY - HEADER;
        let Ok(length) = u16::try_from(end) else {
            return false;
        };
        let expected = hmac_sha1(
            password.as_bytes(),
            &[
                &self.bytes[..2],
                &length.to_be_bytes(),
                &self.bytes[4..integrity.offset],
            ],
        );
        verify_slices_are_equal(&expected, integrity.value).is_ok()
    }
}

/// The part before the colon of a USERNAME: the fragment of whoever receives it.
pub(crate) fn local_part(username: &[u8]) -> Option<&str> {
    let end = username
        .iter()
        .take(MAX_UFRAG + 1)
        .position(|byte| *byte == b':')?;
    std::str::from_utf8(&username[..end])
        .ok()
        .filter(|ufrag| !ufrag.is_empty())
}

pub(crate) fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; INTEGRITY] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; INTEGRITY];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// The agent's way to the same function.
#[derive(Debug)]
pub(crate) struct HmacProvider;

impl is::Sha1HmacProvider for HmacProvider {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; INTEGRITY] {
        hmac_sha1(key, payloads)
    }
}

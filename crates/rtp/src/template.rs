use crate::RtpPacket;
use crate::header::Writer;
use crate::packet::{ONE_BYTE, TWO_BYTE};
use althing_model::Ssrc;

/// The largest header a template can hold: fixed part, extension header, one dependency descriptor
/// of the greatest length, and a few short extensions.
const CAPACITY: usize = 320;

/// Which header extensions survive forwarding, and where our own goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionRules {
    /// Ids that are copied; every other one of the sender is left out.
    pub keep: &'static [u8],
    /// The id of the transport-cc number to be written per receiver, if receivers get one.
    pub transport_cc: Option<u8>,
}

/// A header written once per arriving packet and patched per receiver: payload type, sequence
/// number, timestamp, SSRC, transport-cc number. CSRCs and padding are left out.
#[derive(Debug, Clone)]
pub struct HeaderTemplate {
    bytes: [u8; CAPACITY],
    len: usize,
    transport_cc_at: Option<usize>,
}

impl HeaderTemplate {
    /// The header of `packet`, with only the extensions that `rules` let through. An extension
    /// that does not fit is left out.
    #[must_use]
    pub fn new(packet: &RtpPacket<'_>, rules: ExtensionRules) -> Self {
        let mut template = Self {
            bytes: [0; CAPACITY],
            len: 0,
            transport_cc_at: None,
        };
        template.fill(packet, rules, None);
        template
    }

    /// As [`new`](Self::new), with another value in place of the one of this extension.
    #[must_use]
    pub fn replacing(packet: &RtpPacket<'_>, rules: ExtensionRules, id: u8, value: &[u8]) -> Self {
        let mut template = Self {
            bytes: [0; CAPACITY],
            len: 0,
            transport_cc_at: None,
        };
        template.fill(packet, rules, Some((id, value)));
        template
    }

    fn fill(
        &mut self,
        packet: &RtpPacket<'_>,
        rules: ExtensionRules,
        replaced: Option<(u8, &[u8])>,
    ) {
        let kept = || {
            packet
                .extensions()
                .map(|(id, v)| match replaced {
                    Some((other, value)) if other == id => (id, value),
                    _ => (id, v),
                })
                .filter(|(id, v)| rules.keep.contains(id) && v.len() <= 255)
        };
        let any = rules.transport_cc.is_some() || kept().next().is_some();
        let two_byte = rules.transport_cc.is_some_and(|id| id > 14)
            || kept().any(|(id, v)| id > 14 || v.is_empty() || v.len() > 16);
        let mut w = Writer {
            out: &mut self.bytes,
            at: 0,
        };
        let fixed = [
            0x80 | u8::from(any) << 4,
            packet.payload_type() | u8::from(packet.marker()) << 7,
        ];
        let mut transport_cc_at = None;
        let mut write = || {
            w.put(&fixed)?;
            w.put(&packet.sequence().to_be_bytes())?;
            w.put(&packet.timestamp().to_be_bytes())?;
            w.put(&packet.ssrc().0.to_be_bytes())?;
            if !any {
                return Ok(());
            }
            let profile = if two_byte { TWO_BYTE } else { ONE_BYTE };
            w.put(&profile.to_be_bytes())?;
            let length_at = w.at;
            w.put(&[0, 0])?;
            if let Some(id) = rules.transport_cc {
                w.extension(two_byte, id, &[0, 0])?;
                transport_cc_at = Some(w.at.saturating_sub(2));
            }
            for (id, value) in kept() {
                // Room must remain for the padding of the block.
                let needed = value.len().saturating_add(5);
                if CAPACITY.saturating_sub(w.at) >= needed {
                    w.extension(two_byte, id, value)?;
                }
            }
            let words = w.pad(length_at.saturating_add(2))?;
            w.patch(length_at, &words.to_be_bytes())
        };
        let written: Result<(), crate::RtpError> = write();
        debug_assert!(written.is_ok(), "the capacity was checked per extension");
        self.len = w.at;
        self.transport_cc_at = transport_cc_at;
    }

    /// A template from a header written by one, as kept in a retransmission history.
    ///
    /// Returns nothing if it cannot be one.
    #[must_use]
    pub fn from_header(header: &[u8], transport_cc: Option<u8>) -> Option<Self> {
        let packet = RtpPacket::parse(header).ok()?;
        if packet.header().len() != header.len() || header.len() > CAPACITY {
            return None;
        }
        let mut bytes = [0; CAPACITY];
        bytes.get_mut(..header.len())?.copy_from_slice(header);
        // Our own number is always the first element.
        let transport_cc_at = match (transport_cc, packet.extensions().next()) {
            (Some(id), Some((first, value))) if id == first && value.len() == 2 => {
                let two_byte = !matches!(header.get(12..14), Some([0xbe, 0xde]));
                Some(if two_byte { 18 } else { 17 })
            }
            _ => None,
        };
        Some(Self {
            bytes,
            len: header.len(),
            transport_cc_at,
        })
    }

    /// The header as patched so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The payload type, 0 to 127.
    #[must_use]
    pub const fn payload_type(&self) -> u8 {
        self.bytes[1] & 0x7f
    }

    /// The marker.
    #[must_use]
    pub const fn marker(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// The timestamp.
    #[must_use]
    pub const fn timestamp(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = self.bytes;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether there is a place for a transport-cc number.
    #[must_use]
    pub const fn has_transport_cc(&self) -> bool {
        self.transport_cc_at.is_some()
    }

    /// Where the place for a transport-cc number begins in [`bytes`](Self::bytes).
    #[must_use]
    pub const fn transport_cc_at(&self) -> Option<usize> {
        self.transport_cc_at
    }

    /// Sets the payload type; the marker stays.
    pub fn set_payload_type(&mut self, payload_type: u8) {
        if let Some(byte) = self.bytes.get_mut(1) {
            *byte = (*byte & 0x80) | (payload_type & 0x7f);
        }
    }

    /// Sets the marker; the payload type stays.
    pub fn set_marker(&mut self, marker: bool) {
        if let Some(byte) = self.bytes.get_mut(1) {
            *byte = (*byte & 0x7f) | u8::from(marker) << 7;
        }
    }

    /// Sets the sequence number.
    pub fn set_sequence(&mut self, sequence: u16) {
        self.set(2, sequence.to_be_bytes());
    }

    /// Sets the timestamp.
    pub fn set_timestamp(&mut self, timestamp: u32) {
        self.set(4, timestamp.to_be_bytes());
    }

    /// Sets the SSRC.
    pub fn set_ssrc(&mut self, ssrc: Ssrc) {
        self.set(8, ssrc.0.to_be_bytes());
    }

    /// The value of an extension as it stands in the header.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&[u8]> {
        RtpPacket::parse(self.bytes()).ok()?.extension(id)
    }

    /// Where the value of an extension stands in the header, and its length.
    #[must_use]
    pub fn locate(&self, id: u8) -> Option<(usize, usize)> {
        let value = self.extension(id)?;
        let start = self.bytes.as_ptr().addr();
        Some((value.as_ptr().addr().wrapping_sub(start), value.len()))
    }

    /// Sets the template id (six bits) and frame number of the dependency descriptor that stands at
    /// `at`, and the template id offset of the structure it brings, if that is given.
    pub fn set_descriptor(&mut self, at: usize, template: u8, frame: u16, offset: Option<u8>) {
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte = (*byte & 0xc0) | (template & 0x3f);
        }
        self.set(at.wrapping_add(1), frame.to_be_bytes());
        // Five flags, then the offset's six bits.
        if let Some(offset) = offset
            && let Some([high, low]) = self
                .bytes
                .get_mut(at.wrapping_add(3)..)
                .and_then(|b| b.first_chunk_mut::<2>())
        {
            *high = (*high & 0xf8) | ((offset & 0x3f) >> 3);
            *low = (*low & 0x1f) | (offset & 0x07) << 5;
        }
    }

    /// Sets the frame number of a dependency descriptor (its second and third byte), where the
    /// header has one under `id`.
    pub fn set_frame_number(&mut self, id: u8, frame: u16) {
        let Some(value) = self.extension(id).filter(|v| v.len() >= 3) else {
            return;
        };
        let at = value
            .as_ptr()
            .addr()
            .wrapping_sub(self.bytes.as_ptr().addr());
        self.set(at.wrapping_add(1), frame.to_be_bytes());
    }

    /// Sets the transport-cc number, where there is a place for one.
    pub fn set_transport_cc(&mut self, number: u16) {
        if let Some(at) = self.transport_cc_at {
            self.set(at, number.to_be_bytes());
        }
    }

    fn set<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        if let Some(slot) = self
            .bytes
            .get_mut(at..)
            .and_then(|b| b.first_chunk_mut::<N>())
        {
            *slot = value;
        }
    }
}

//! One packet's header for all its receivers: those that take part in transport-wide congestion
//! control get a place for its number, the others do not.

use althing_model::profile::extension;
use althing_rtp::{ExtensionRules, HeaderTemplate, RtpPacket};

/// What of a sender's header extensions receivers see. Video orientation joins them once it is
/// offered.
const KEPT: &[u8] = &[extension::AUDIO_LEVEL, extension::DEPENDENCY_DESCRIPTOR];

/// One form of the header, shared by the receivers that get it.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) header: HeaderTemplate,
    /// Where the value of the dependency descriptor begins, if there is one to be rewritten.
    pub(crate) descriptor_at: Option<usize>,
    /// The descriptor stands there as somebody's rewritten one.
    pub(crate) renumbered: bool,
}

impl Form {
    fn new(header: HeaderTemplate, has_descriptor: bool) -> Self {
        let descriptor = has_descriptor.then(|| header.locate(extension::DEPENDENCY_DESCRIPTOR));
        Self {
            descriptor_at: descriptor.flatten().map(|(at, _)| at),
            header,
            renumbered: false,
        }
    }
}

/// Both forms; the numbered one is written when somebody needs it.
#[derive(Debug)]
pub(crate) struct Headers {
    plain: Form,
    numbered: Option<Form>,
    has_descriptor: bool,
}

impl Headers {
    /// `has_descriptor` if its dependency descriptor may have to be rewritten.
    pub(crate) fn new(packet: &RtpPacket<'_>, payload_type: u8, has_descriptor: bool) -> Self {
        let mut plain = write(packet, false);
        plain.set_payload_type(payload_type);
        Self {
            plain: Form::new(plain, has_descriptor),
            numbered: None,
            has_descriptor,
        }
    }

    /// The same with another dependency descriptor.
    pub(crate) fn describing(packet: &RtpPacket<'_>, payload_type: u8, descriptor: &[u8]) -> Self {
        let rules = ExtensionRules {
            keep: KEPT,
            transport_cc: None,
        };
        let id = extension::DEPENDENCY_DESCRIPTOR;
        let mut plain = HeaderTemplate::replacing(packet, rules, id, descriptor);
        plain.set_payload_type(payload_type);
        Self {
            plain: Form::new(plain, true),
            numbered: None,
            has_descriptor: true,
        }
    }

    /// Of a packet that was kept.
    pub(crate) fn of_kept(header: &[u8]) -> Option<Self> {
        Some(Self {
            plain: Form::new(HeaderTemplate::from_header(header, None)?, false),
            numbered: None,
            has_descriptor: false,
        })
    }

    /// As it is kept for retransmission.
    pub(crate) const fn plain(&self) -> &HeaderTemplate {
        &self.plain.header
    }

    /// The form for one receiver.
    pub(crate) fn of(&mut self, numbered: bool) -> &mut Form {
        if !numbered {
            return &mut self.plain;
        }
        self.numbered.get_or_insert_with(|| {
            // Somebody's numbers may stand in the plain form; whoever gets this one has its own
            // written over them.
            let plain = &self.plain.header;
            let header = rewrite(plain.bytes(), true).unwrap_or_else(|| plain.clone());
            Form {
                renumbered: self.plain.renumbered,
                ..Form::new(header, self.has_descriptor)
            }
        })
    }
}

/// The header of a packet, with a place for the transport-wide number if it is to have one.
fn write(packet: &RtpPacket<'_>, numbered: bool) -> HeaderTemplate {
    let rules = ExtensionRules {
        keep: KEPT,
        transport_cc: numbered.then_some(extension::TRANSPORT_CC),
    };
    HeaderTemplate::new(packet, rules)
}

/// The header of a packet that was kept.
pub(crate) fn rewrite(header: &[u8], numbered: bool) -> Option<HeaderTemplate> {
    let packet = RtpPacket::parse(header).ok()?;
    Some(write(&packet, numbered))
}

//! Who comes in, and what is said to those who do not.

use crate::address::RESERVED;
use crate::common::Turn;
use crate::room::{Room, Sender};
use althing_model::EndpointId;
use althing_xmpp::stanza::{Condition, ErrorType, error_reply};
use althing_xmpp::{Element, ns};

/// Why a presence was refused (protocol 1 §16; the error types are binding).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Nick,
    NickChange,
    Reserved,
    Conflict,
    Full,
    NotJoined,
    TooLong,
}

impl Refusal {
    const fn parts(self) -> (ErrorType, Condition, &'static str) {
        use {Condition as C, ErrorType as T};
        match self {
            Self::Nick => (T::Cancel, C::NotAllowed, "Invalid resource"),
            Self::NickChange => (T::Cancel, C::NotAllowed, "a nickname cannot be changed"),
            Self::Reserved => (T::Cancel, C::Conflict, "this nickname is reserved"),
            Self::Conflict => (T::Cancel, C::Conflict, "this nickname is in use"),
            Self::Full => (T::Cancel, C::ServiceUnavailable, "the room is full"),
            Self::NotJoined => (T::Cancel, C::ItemNotFound, "not in the room"),
            Self::TooLong => (
                T::Modify,
                C::PolicyViolation,
                "a presence has 32 KiB at most",
            ),
        }
    }
}

impl Room {
    pub(crate) fn refuse(&mut self, sender: &Sender, stanza: &Element, why: &Refusal) {
        let (kind, condition, text) = why.parts();
        let mut reply = error_reply(stanza, condition, kind, Some(text), None);
        reply.push(Element::new("x", ns::MUC));
        self.send(&sender.session, &reply);
    }

    /// Everything that keeps somebody out, in the order of protocol 1 §13.2.
    pub(crate) fn check_join(
        &self,
        _turn: &mut Turn<'_>,
        sender: &Sender,
        nick: &str,
        _stanza: &Element,
    ) -> Result<EndpointId, Refusal> {
        let id = EndpointId::new(nick).map_err(|_| Refusal::Nick)?;
        if RESERVED.contains(&nick) {
            return Err(Refusal::Reserved);
        }
        let holder = self.occupants.get(&id);
        if holder.is_none() && self.occupants.len() >= self.settings.max_occupants {
            return Err(Refusal::Full);
        }
        if holder.is_some_and(|holder| holder.jid.bare() != sender.jid.bare()) {
            return Err(Refusal::Conflict);
        }
        Ok(id)
    }
}

//! What the domain itself answers: ping, discovery, external services, the conference request.
//! Plain functions from a stanza to its answer.

use crate::directory::{NoRoom, RoomKey, Target};
use althing_model::MediaMode;
use althing_room::Component;
use althing_xmpp::stanza::{
    Condition, ErrorType, IqType, Kind, error_reply, payload, refuse, result_reply,
};
use althing_xmpp::{Element, Jid, ns};

/// As what clients know the lobbies' service.
const LOBBY_KIND: &str = "lobbyrooms";
/// Feature: who knocks has to say a name.
const NAME_REQUIRED: &str = "http://jitsi.org/protocol/lobbyrooms#displayname_required";

fn lobby_address(domain: &str) -> String {
    format!("lobby.{domain}")
}

/// A readable conference request (protocol 1 §12.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConferenceRequest {
    /// The room address as the client wrote it.
    pub(crate) room: String,
    /// A room or a breakout room.
    pub(crate) target: Target,
}

/// The room a conference request is about.
///
/// # Errors
/// Why it makes no sense, for a person.
pub(crate) fn conference_request(
    room: Option<&str>,
    domain: &str,
) -> Result<ConferenceRequest, &'static str> {
    let room = room.ok_or("the room is missing")?;
    let jid = Jid::parse(room).map_err(|_| "the room is not an address")?;
    if jid.is_full() {
        return Err("the room is not a bare address");
    }
    match RoomKey::classify(&jid, domain) {
        target @ (Target::Room(_) | Target::Breakout(_)) => Ok(ConferenceRequest {
            room: room.to_owned(),
            target,
        }),
        Target::Lobby(_) | Target::RoomService | Target::Component(_) | Target::Other => {
            Err("the room is not one of this server")
        }
    }
}

/// Whether an IQ to the focus's own addresses asks for a conference; its `room` attribute.
pub(crate) fn conference_payload(stanza: &Element) -> Option<&Element> {
    payload(stanza)
        .filter(|p| p.is("conference", ns::FOCUS) && IqType::of(stanza) == Some(IqType::Set))
}

/// Why a conference request came to nothing (protocol 1 §12.4).
pub(crate) fn conference_refused(request: &Element, why: NoRoom) -> Element {
    let (condition, kind) = match why {
        NoRoom::TooMany | NoRoom::Overloaded => (Condition::ResourceConstraint, ErrorType::Wait),
        NoRoom::Draining => (Condition::ServiceUnavailable, ErrorType::Wait),
        NoRoom::NotAuthorized => (Condition::NotAuthorized, ErrorType::Auth),
        NoRoom::Unknown => (Condition::ItemNotFound, ErrorType::Cancel),
    };
    // The one refusal whose text clients show to people.
    let shown = matches!(why, NoRoom::Draining | NoRoom::Overloaded)
        .then(|| Element::new("reservation-error", ns::FOCUS).with_attr("error-code", "503"));
    let mut reply = error_reply(request, condition, kind, Some(refusal_text(why)), shown);
    if why == NoRoom::Draining
        && let Some(error) = reply.child_mut("error", ns::CLIENT)
    {
        // Older clients have a sentence of their own for it, in the person's language.
        error.push(Element::new("graceful-shutdown", ns::FOCUS));
    }
    reply
}

/// The same for a person, over HTTP too.
pub(crate) const fn refusal_text(why: NoRoom) -> &'static str {
    match why {
        NoRoom::TooMany => "no more rooms on this server",
        NoRoom::Draining => "This server is about to restart. Please try again in a few minutes.",
        NoRoom::Overloaded => {
            "This server is full at the moment. Please try again in a few minutes."
        }
        NoRoom::NotAuthorized => "the meeting waits for its host",
        NoRoom::Unknown => "no such room",
    }
}

/// What a client is told of the room before it comes in. Stock clients pass over what they do not
/// know.
pub(crate) fn properties(media: MediaMode) -> impl Iterator<Item = (&'static str, &'static str)> {
    // Who would rather watch comes in like everybody else.
    let common = [("authentication", "false"), ("visitors-supported", "false")];
    // Said of every room, since the page a client comes from may say otherwise of most.
    common.into_iter().chain([("media", media.as_str())])
}

/// The answer once the focus is in the room.
pub(crate) fn conference_ready(
    request: &Element,
    room: &str,
    focus: &Jid,
    media: MediaMode,
) -> Element {
    let properties = properties(media).map(|(name, value)| {
        Element::new("property", ns::FOCUS)
            .with_attr("name", name)
            .with_attr("value", value)
    });
    result_reply(request).with_child(
        Element::new("conference", ns::FOCUS)
            .with_attr("room", room)
            .with_attr("ready", "true")
            .with_attr("focusjid", focus.bare().as_str())
            .with_children(properties),
    )
}

/// The domain's own answer to an IQ request; anything it does not know is `service-unavailable`.
pub(crate) fn domain_iq(stanza: &Element, domain: &str, name_required: bool) -> Element {
    let get = IqType::of(stanza) == Some(IqType::Get);
    match payload(stanza) {
        Some(p) if get && p.is("ping", ns::PING) => result_reply(stanza),
        Some(p) if get && p.is("query", ns::DISCO_INFO) && p.attr("node").is_none() => {
            result_reply(stanza).with_child(domain_information(domain, name_required))
        }
        Some(p) if get && p.is("query", ns::DISCO_ITEMS) => {
            result_reply(stanza).with_child(Element::new("query", ns::DISCO_ITEMS))
        }
        Some(p) if get && p.name() == "services" && is_external_services(p) => {
            // None yet; an error would only make clients ask again in the older way.
            result_reply(stanza).with_child(Element::new("services", p.namespace()))
        }
        Some(p) if !get && p.is("session", ns::SESSION) => result_reply(stanza),
        _ => unavailable(stanza),
    }
}

fn is_external_services(element: &Element) -> bool {
    element.ns() == ns::EXTDISCO_2 || element.ns() == ns::EXTDISCO_1
}

/// Identities are only those of components that are there: clients switch features on by them.
fn domain_information(domain: &str, name_required: bool) -> Element {
    let mut query = Element::new("query", ns::DISCO_INFO).with_child(
        Element::new("identity", ns::DISCO_INFO)
            .with_attr("category", "server")
            .with_attr("type", "im")
            .with_attr("name", "Althing"),
    );
    let lobby = (LOBBY_KIND, lobby_address(domain));
    let components = Component::ALL.map(|(component, _, kind)| (kind, component.address(domain)));
    for (kind, address) in components.into_iter().chain([lobby]) {
        query.push(component_identity(kind, address));
    }
    let names = name_required.then_some(NAME_REQUIRED);
    for feature in [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::PING, ns::EXTDISCO_2]
        .into_iter()
        .chain(names)
    {
        query.push(Element::new("feature", ns::DISCO_INFO).with_attr("var", feature));
    }
    query
}

fn component_identity(kind: &str, address: String) -> Element {
    Element::new("identity", ns::DISCO_INFO)
        .with_attr("category", "component")
        .with_attr("type", kind)
        .with_attr("name", address)
}

/// A component's answer about itself.
pub(crate) fn component_iq(stanza: &Element, component: Component, domain: &str) -> Element {
    let get = IqType::of(stanza) == Some(IqType::Get);
    match payload(stanza) {
        Some(p) if get && p.is("ping", ns::PING) => result_reply(stanza),
        Some(p) if get && p.is("query", ns::DISCO_INFO) => {
            let kind = Component::ALL
                .into_iter()
                .find(|(other, ..)| *other == component)
                .map_or("", |(_, _, kind)| kind);
            let mut query = Element::new("query", ns::DISCO_INFO)
                .with_child(component_identity(kind, component.address(domain)));
            if let Some(node) = p.attr("node") {
                query.set_attr("node", node);
            }
            let renaming = (component == Component::Breakout).then_some(ns::BREAKOUT_RENAME);
            for feature in [ns::DISCO_INFO].into_iter().chain(renaming) {
                query.push(Element::new("feature", ns::DISCO_INFO).with_attr("var", feature));
            }
            result_reply(stanza).with_child(query)
        }
        _ => unavailable(stanza),
    }
}

/// A room service's answer about itself, or that of the lobbies' service; its rooms are not listed.
pub(crate) fn room_service_iq(stanza: &Element, domain: &str, name_required: bool) -> Element {
    let get = IqType::of(stanza) == Some(IqType::Get);
    match payload(stanza) {
        Some(p) if get && p.is("ping", ns::PING) => result_reply(stanza),
        Some(p) if get && p.is("query", ns::DISCO_ITEMS) => {
            result_reply(stanza).with_child(Element::new("query", ns::DISCO_ITEMS))
        }
        Some(p) if get && p.is("query", ns::DISCO_INFO) => {
            let lobby = lobby_address(domain);
            let is_lobby = stanza.attr("to") == Some(lobby.as_str());
            let mut query = Element::new("query", ns::DISCO_INFO)
                .with_attr_opt("node", p.attr("node"))
                .with_child(
                    Element::new("identity", ns::DISCO_INFO)
                        .with_attr("category", "conference")
                        .with_attr("type", "text")
                        .with_attr("name", "Althing rooms"),
                );
            if is_lobby {
                query.push(component_identity(LOBBY_KIND, lobby));
            }
            let names = (is_lobby && name_required).then_some(NAME_REQUIRED);
            for feature in [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::MUC]
                .into_iter()
                .chain(names)
            {
                query.push(Element::new("feature", ns::DISCO_INFO).with_attr("var", feature));
            }
            result_reply(stanza).with_child(query)
        }
        _ => unavailable(stanza),
    }
}

pub(crate) fn unavailable(stanza: &Element) -> Element {
    refuse(stanza, Condition::ServiceUnavailable, None)
}

/// What a stanza to a room that is not there is answered, if anything (protocol 1 §16: clients
/// repeat request and join on exactly this text).
pub(crate) fn no_such_room(stanza: &Element) -> Option<Element> {
    let kind = stanza.attr("type");
    match Kind::of(stanza)? {
        Kind::Presence if kind.is_none() => {
            let mut reply = error_reply(
                stanza,
                Condition::NotAllowed,
                ErrorType::Cancel,
                Some("Room creation is restricted"),
                None,
            );
            reply.push(Element::new("x", ns::MUC));
            Some(reply)
        }
        Kind::Iq if IqType::of(stanza).is_some_and(IqType::is_request) => Some(refuse(
            stanza,
            Condition::ItemNotFound,
            Some("no such room"),
        )),
        Kind::Message if kind != Some("error") => Some(refuse(
            stanza,
            Condition::ItemNotFound,
            Some("no such room"),
        )),
        Kind::Presence | Kind::Iq | Kind::Message => None,
    }
}

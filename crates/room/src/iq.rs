//! IQs: to the room, to the focus, and between occupants with their ids mapped (protocol 1 §22.1).

use crate::address::FOCUS;
use crate::common::Turn;
use crate::meeting::Action;
use crate::occupant::Occupant;
use crate::room::{Room, Sender, Told};
use althing_model::{EndpointId, SessionId};
use althing_xmpp::stanza::{Condition, ErrorType, error_reply, result_reply};
use althing_xmpp::{Element, Jid, ns};
use serde::{Deserialize, Serialize};

/// How many requests to others one occupant may have unanswered; beyond it the oldest is given up,
/// since some clients never answer.
const MAX_ASKED: usize = 64;
/// The longest id of a request that is mapped.
const MAX_ID: usize = 256;

/// A request on its way: who asked whom, and under which id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pending {
    asker: SessionId,
    asker_id: EndpointId,
    original: String,
    asked: SessionId,
    asked_id: EndpointId,
}

impl Room {
    pub(crate) fn iq(
        &mut self,
        turn: &mut Turn<'_>,
        sender: &Sender,
        to: &Jid,
        form: usize,
        stanza: Element,
    ) {
        let request = match stanza.attr("type") {
            Some("get" | "set") => true,
            Some("result" | "error") => false,
            _ => return,
        };
        let Some(occupant) = self.occupant_of(&sender.session) else {
            if request {
                self.stranger_iq(turn, sender, to, &stanza);
            }
            return;
        };
        let id = occupant.id.clone();
        match to.resource() {
            Some(FOCUS) => match lacks_feature(occupant, &stanza) {
                Some((action, text)) => {
                    self.deny(action);
                    let (kind, condition) = (ErrorType::Auth, Condition::Forbidden);
                    self.refuse_iq(sender, &stanza, kind, condition, text);
                }
                None => self.outputs.push_back(Told::ToFocus { from: id, stanza }),
            },
            None if request => self.room_iq(turn, &id, sender, form, &stanza),
            None => {}
            Some(nick) if request => {
                let nick = nick.to_owned();
                self.ask(&id, sender, &nick, stanza);
            }
            Some(_) => self.answer(sender, stanza),
        }
    }

    pub(crate) fn refuse_iq(
        &mut self,
        sender: &Sender,
        stanza: &Element,
        kind: ErrorType,
        condition: Condition,
        text: &str,
    ) {
        let reply = error_reply(stanza, condition, kind, Some(text), None);
        self.send(&sender.session, &reply);
    }

    fn stranger_iq(&mut self, turn: &mut Turn<'_>, sender: &Sender, to: &Jid, stanza: &Element) {
        let set = stanza.attr("type") == Some("set");
        let payload = stanza.children().next().filter(|_| set);
        // Protocol 1 §15.1 wants `forbidden` for the room itself, §22.1 `not-acceptable` for others,
        // and protocol 4 §6 says that there is no conference to mute somebody in.
        let (kind, condition) = match (to.resource(), payload) {
            (None, Some(query)) if query.is("query", ns::MUC_ADMIN) => {
                return self.admin_iq(turn, None, sender, stanza, query);
            }
            (None, Some(query)) if query.is("query", ns::MUC_OWNER) => {
                self.deny(Action::Configure);
                (ErrorType::Auth, Condition::Forbidden)
            }
            (None, _) => (ErrorType::Auth, Condition::Forbidden),
            (Some(FOCUS), Some(mute)) if mute.name() == "mute" => {
                self.deny(Action::Mute);
                (ErrorType::Cancel, Condition::ItemNotFound)
            }
            (Some(_), _) => (ErrorType::Cancel, Condition::NotAcceptable),
        };
        self.refuse_iq(sender, stanza, kind, condition, "not in the room");
    }

    fn ask(&mut self, asker: &EndpointId, sender: &Sender, nick: &str, mut stanza: Element) {
        if nick == asker.as_str() && stanza.child("ping", ns::PING).is_some() {
            let pong = result_reply(&stanza);
            return self.send(&sender.session, &pong);
        }
        let Some(asked) = self.occupants.get(nick) else {
            return self.refuse_iq(
                sender,
                &stanza,
                ErrorType::Cancel,
                Condition::ItemNotFound,
                "no such occupant",
            );
        };
        let original = stanza.attr("id").unwrap_or_default().to_owned();
        if original.is_empty() || original.len() > MAX_ID {
            return self.refuse_iq(
                sender,
                &stanza,
                ErrorType::Modify,
                Condition::BadRequest,
                "an IQ has an id of at most 256 bytes",
            );
        }
        stanza.set_attr("from", self.settings.names.occupant_of(asked.form, asker));
        stanza.set_attr("to", asked.jid.to_string());
        let pending = Pending {
            asker: sender.session.clone(),
            asker_id: asker.clone(),
            original,
            asked: asked.session.clone(),
            asked_id: asked.id.clone(),
        };
        let session = asked.session.clone();
        let number = self.next_pending;
        self.next_pending += 1;
        stanza.set_attr("id", format!("r{number}"));
        self.pending.insert(number, pending);
        self.remember_asked(asker, number);
        self.send(&session, &stanza);
    }

    fn remember_asked(&mut self, asker: &EndpointId, number: u64) {
        let Some(occupant) = self.occupants.get_mut(asker) else {
            return;
        };
        occupant.asked.push_back(number);
        if occupant.asked.len() > MAX_ASKED
            && let Some(oldest) = occupant.asked.pop_front()
        {
            self.pending.remove(&oldest);
        }
    }

    fn answer(&mut self, sender: &Sender, mut stanza: Element) {
        let number = stanza
            .attr("id")
            .and_then(|id| id.strip_prefix('r'))
            .and_then(|digits| digits.parse::<u64>().ok());
        let Some(number) = number else { return };
        // Only who was asked may answer, and only once.
        if self
            .pending
            .get(&number)
            .is_none_or(|p| p.asked != sender.session)
        {
            return;
        }
        let Some(pending) = self.pending.remove(&number) else {
            return;
        };
        let Some(asker) = self.occupants.get_mut(&pending.asker_id) else {
            return;
        };
        asker.asked.retain(|n| *n != number);
        if asker.session != pending.asker {
            return;
        }
        stanza.set_attr(
            "from",
            self.settings
                .names
                .occupant_of(asker.form, &pending.asked_id),
        );
        stanza.set_attr("to", asker.jid.to_string());
        stanza.set_attr("id", pending.original);
        self.send(&pending.asker, &stanza);
    }

    /// Who left neither answers nor waits for answers any more; those who wait for it are told.
    pub(crate) fn forget_requests_of(&mut self, gone: &Occupant) {
        for number in &gone.asked {
            self.pending.remove(number);
        }
        let unanswered: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, p)| p.asked == gone.session)
            .map(|(number, _)| *number)
            .collect();
        for number in unanswered {
            let Some(pending) = self.pending.remove(&number) else {
                continue;
            };
            let Some(asker) = self.occupants.get_mut(&pending.asker_id) else {
                continue;
            };
            asker.asked.retain(|n| *n != number);
            let request = Element::new("iq", ns::CLIENT)
                .with_attr("type", "get")
                .with_attr("id", pending.original)
                .with_attr("from", asker.jid.to_string())
                .with_attr(
                    "to",
                    self.settings
                        .names
                        .occupant_of(asker.form, &pending.asked_id),
                );
            let reply = error_reply(
                &request,
                Condition::ItemNotFound,
                ErrorType::Cancel,
                Some("the occupant left"),
                None,
            );
            self.send(&pending.asker, &reply);
        }
    }

    fn room_iq(
        &mut self,
        turn: &mut Turn<'_>,
        id: &EndpointId,
        sender: &Sender,
        form: usize,
        stanza: &Element,
    ) {
        let get = stanza.attr("type") == Some("get");
        let payload = stanza.children().next();
        let reply = match payload {
            Some(p) if get && p.is("query", ns::DISCO_INFO) => {
                result_reply(stanza).with_child(self.information(turn, form))
            }
            Some(p) if get && p.is("query", ns::DISCO_ITEMS) => {
                // The stock service hides who is in.
                result_reply(stanza).with_child(Element::new("query", ns::DISCO_ITEMS))
            }
            Some(p) if get && p.is("ping", ns::PING) => result_reply(stanza),
            Some(p) if p.is("query", ns::MUC_OWNER) => {
                return self.owner_iq(turn, id, sender, stanza, p, get);
            }
            Some(p) if !get && p.is("query", ns::MUC_ADMIN) => {
                return self.admin_iq(turn, Some(id), sender, stanza, p);
            }
            _ => error_reply(
                stanza,
                Condition::ServiceUnavailable,
                ErrorType::Cancel,
                None,
                None,
            ),
        };
        self.send(&sender.session, &reply);
    }

    /// Protocol 1 §15.1.
    fn information(&self, turn: &Turn<'_>, form: usize) -> Element {
        let name = self
            .settings
            .names
            .bare(form)
            .node()
            .unwrap_or_default()
            .to_owned();
        let mut query = Element::new("query", ns::DISCO_INFO).with_child(
            Element::new("identity", ns::DISCO_INFO)
                .with_attr("category", "conference")
                .with_attr("type", "text")
                .with_attr("name", name),
        );
        for feature in [ns::MUC, "muc_nonanonymous", "muc_hidden", "muc_temporary"]
            .into_iter()
            .chain(self.lock_features(turn.common))
        {
            query.push(Element::new("feature", ns::DISCO_INFO).with_attr("var", feature));
        }
        let started = self.started_millis.unwrap_or(self.created_millis);
        let (occupants, started) = (self.occupants.len().to_string(), started.to_string());
        let mut fields = vec![
            ("FORM_TYPE", "http://jabber.org/protocol/muc#roominfo"),
            ("muc#roominfo_occupants", occupants.as_str()),
            ("muc#roominfo_meetingId", &self.meeting_id),
            ("muc#roominfo_created_timestamp", &started),
            ("muc#roominfo_messageModerationEnabled", "1"),
        ];
        if turn.common.members_only && self.breakout_of.is_none() {
            fields.push(("muc#roominfo_lobbyroom", self.settings.lobby.as_str()));
        }
        if let Some(main) = &self.breakout_of {
            // Any value means yes to clients, so main rooms are without it.
            fields.push(("muc#roominfo_isbreakout", "1"));
            fields.push(("muc#roominfo_breakout_main_room", main.as_str()));
        }
        query.push(form_of("result", &fields));
        query
    }
}

/// What the focus does only for those with the feature for it (protocol 4 §3.3). Guests are told by
/// the focus itself that only moderators record.
fn lacks_feature(occupant: &Occupant, stanza: &Element) -> Option<(Action, &'static str)> {
    let payload = stanza.children().next()?;
    let (action, feature) = match payload.name() {
        "jibri" if occupant.is_moderator() => {
            let feature = match (payload.attr("sipaddress"), payload.attr("recording_mode")) {
                (Some(_), _) => "sip-outbound-call",
                (None, Some("file")) => "recording",
                (None, Some("stream")) => "livestreaming",
                (None, _) => return None,
            };
            (Action::Record, feature)
        }
        "dial" => match payload.attr("to") {
            Some("jitsi_meet_transcribe") => (Action::Dial, "transcription"),
            _ => (Action::Dial, "outbound-call"),
        },
        _ => return None,
    };
    let allowed = occupant.is_allowed(feature);
    (!allowed).then_some((action, "you may not do that here"))
}

/// A data form (XEP-0004) of single values; `FORM_TYPE` is hidden.
pub(crate) fn form_of(kind: &str, fields: &[(&str, &str)]) -> Element {
    let mut x = Element::new("x", ns::DATA_FORMS).with_attr("type", kind);
    for (name, value) in fields {
        let mut field = Element::new("field", ns::DATA_FORMS).with_attr("var", *name);
        if *name == "FORM_TYPE" {
            field.set_attr("type", "hidden");
        }
        x.push(field.with_child(Element::new("value", ns::DATA_FORMS).with_text(*value)));
    }
    x
}

use althing_model::EndpointId;
use althing_xmpp::Jid;
use serde::{Deserialize, Serialize};

/// The nickname of the focus; nobody else may have it.
pub const FOCUS: &str = "focus";

/// Nicknames that are not for occupants: the focus's, and the one in whose name bridges send, whose
/// sources clients have known since their offer.
pub(crate) const RESERVED: [&str; 2] = [FOCUS, "jvb"];

/// The addresses one room answers to: the same room under several service names, each client
/// seeing only the form it used (protocol 1 §1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomNames {
    forms: Vec<Form>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Form {
    bare: Jid,
}

impl RoomNames {
    /// Bare room addresses; the first is the canonical one.
    ///
    /// # Panics
    /// When `forms` is empty: a room has a name.
    #[must_use]
    pub fn new(forms: Vec<Jid>) -> Self {
        assert!(!forms.is_empty(), "a room has at least one address");
        Self {
            forms: forms.into_iter().map(|bare| Form { bare }).collect(),
        }
    }

    /// The address that stands for the room in logs and events.
    #[must_use]
    pub fn canonical(&self) -> &Jid {
        &self.forms[0].bare
    }

    /// How many forms there are.
    pub(crate) fn count(&self) -> usize {
        self.forms.len()
    }

    /// Which form `address` (bare or occupant) is written in.
    pub(crate) fn form_of(&self, address: &Jid) -> Option<usize> {
        let bare = address.bare();
        self.forms.iter().position(|f| f.bare == bare)
    }

    pub(crate) fn bare(&self, form: usize) -> &Jid {
        &self.forms[form].bare
    }

    /// `room@service/nick` as text.
    pub(crate) fn occupant(&self, form: usize, nick: &str) -> String {
        format!("{}/{nick}", self.forms[form].bare)
    }

    pub(crate) fn occupant_of(&self, form: usize, id: &EndpointId) -> String {
        self.occupant(form, id.as_str())
    }
}

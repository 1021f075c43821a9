//! Service discovery (XEP-0030): who somebody is and what it can do.

use crate::element::Element;
use crate::features::ClientFeatures;
use crate::form::Form;
use crate::ns;

/// The content of a disco#info answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Echoed from the question.
    pub node: Option<String>,
    /// Who it is.
    pub identities: Vec<Identity>,
    /// What it can do.
    pub features: Vec<String>,
    /// More about it.
    pub form: Option<Form>,
}

/// One identity. Clients switch features on by `kind` and take `name` for the component's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `server`, `component`, `conference`, `client`, …
    pub category: String,
    /// `im`, `text`, `lobbyrooms`, …
    pub kind: String,
    /// For people, or an address.
    pub name: String,
}

impl Info {
    /// With one more identity.
    #[must_use]
    pub fn with_identity(mut self, category: &str, kind: &str, name: &str) -> Self {
        self.identities.push(Identity {
            category: category.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        });
        self
    }

    /// With more features.
    #[must_use]
    pub fn with_features<'a>(mut self, features: impl IntoIterator<Item = &'a str>) -> Self {
        self.features
            .extend(features.into_iter().map(str::to_owned));
        self
    }

    /// What the focus makes of the features.
    #[must_use]
    pub fn client_features(&self) -> ClientFeatures {
        ClientFeatures::from_vars(self.features.iter().map(String::as_str))
    }

    /// The address of the component with this identity, if advertised.
    #[must_use]
    pub fn component(&self, kind: &str) -> Option<&str> {
        self.identities
            .iter()
            .find_map(|i| (i.kind == kind).then_some(i.name.as_str()))
    }

    /// Reads a `<query>`, or the one inside an IQ.
    #[must_use]
    pub fn read(element: &Element) -> Option<Self> {
        let query = query_of(element, ns::DISCO_INFO)?;
        let text = |e: &Element, key: &str| e.attr(key).unwrap_or_default().to_owned();
        let children =
            |name: &'static str| query.children().filter(move |c| c.is(name, ns::DISCO_INFO));
        Some(Self {
            node: query.attr("node").map(str::to_owned),
            identities: children("identity")
                .map(|c| Identity {
                    category: text(c, "category"),
                    kind: text(c, "type"),
                    name: text(c, "name"),
                })
                .collect(),
            features: children("feature").map(|c| text(c, "var")).collect(),
            form: Form::read(query),
        })
    }

    /// The `<query>` of an answer.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let identities = self.identities.iter().map(|identity| {
            Element::new("identity", ns::DISCO_INFO)
                .with_attr("category", identity.category.as_str())
                .with_attr("type", identity.kind.as_str())
                .with_attr("name", identity.name.as_str())
        });
        let features = self.features.iter().map(|feature| {
            Element::new("feature", ns::DISCO_INFO).with_attr("var", feature.as_str())
        });
        Element::new("query", ns::DISCO_INFO)
            .with_attr_opt("node", self.node.as_deref())
            .with_children(identities)
            .with_children(features)
            .with_children(self.form.as_ref().map(|form| form.to_element("result")))
    }
}

/// The `<query>` of a disco#info question.
#[must_use]
pub fn info_question(node: Option<&str>) -> Element {
    Element::new("query", ns::DISCO_INFO).with_attr_opt("node", node)
}

/// The `node` of a disco#info question: `Some(None)` when it has none, `None` when it is no
/// disco#info question.
#[must_use]
pub fn asked_node(iq: &Element) -> Option<Option<&str>> {
    Some(iq.child("query", ns::DISCO_INFO)?.attr("node"))
}

/// The `<query>` of a disco#items answer; rooms are not listed, so it is usually empty.
#[must_use]
pub fn items<'a>(jids: impl IntoIterator<Item = &'a str>) -> Element {
    Element::new("query", ns::DISCO_ITEMS).with_children(
        jids.into_iter()
            .map(|jid| Element::new("item", ns::DISCO_ITEMS).with_attr("jid", jid)),
    )
}

/// The `<ping>` of XEP-0199.
#[must_use]
pub fn ping() -> Element {
    Element::new("ping", ns::PING)
}

fn query_of<'a>(element: &'a Element, ns: &str) -> Option<&'a Element> {
    if element.is("query", ns) {
        Some(element)
    } else {
        element.child("query", ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::SourceMode;

    #[test]
    fn answers_are_read_and_written_the_same() {
        for iq in [
            fixture!("disco-info-domain.xml"),
            fixture!("disco-info-room.xml"),
            fixture!("disco-info-client.xml"),
        ] {
            let info = Info::read(&iq).unwrap();
            assert_eq!(
                info.to_element(),
                *iq.child("query", ns::DISCO_INFO).unwrap()
            );
        }
    }

    #[test]
    fn the_answers_tell_what_they_should() {
        let domain = Info::read(&fixture!("disco-info-domain.xml")).unwrap();
        assert_eq!(
            domain.component("speakerstats"),
            Some("speakerstats.meet.example")
        );
        let room = Info::read(&fixture!("disco-info-room.xml")).unwrap();
        let form = room.form.unwrap();
        assert_eq!(form.value("muc#roominfo_meetingId"), Some("0b7c"));
        let client = Info::read(&fixture!("disco-info-client.xml")).unwrap();
        let features = client.client_features();
        assert!(features.audio && features.video && features.rtx && features.tcc);
        assert_eq!(features.source_mode(), SourceMode::Rewriting);
    }
}

use super::*;
use crate::ns;

fn read(xml: &str) -> Result<Element, ParseError> {
    parse(xml, &Limits::default())
}

#[track_caller]
fn check(input: &str, expected: &str) {
    let element = read(input).unwrap();
    assert_eq!(element.to_xml(), expected);
    assert_eq!(read(expected).unwrap(), element);
}

#[test]
fn prefixes_are_resolved_and_xmlns_is_written_where_it_changes() {
    check(
        "<iq xmlns='jabber:client' id='1'><p:query xmlns:p='urn:x'><p:item a='1'/><x xmlns=''/></p:query></iq>",
        r#"<iq xmlns="jabber:client" id="1"><query xmlns="urn:x"><item a="1"/><x xmlns=""/></query></iq>"#,
    );
    check(
        "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
        r#"<features xmlns="http://etherx.jabber.org/streams"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></features>"#,
    );
    check("<a/>", "<a/>");
}

#[test]
fn order_language_and_foreign_attributes_survive() {
    check(
        r#"<message z="1" xml:lang="de" a="2" xmlns:q="urn:q" q:m="3"/>"#,
        r#"<message z="1" xml:lang="de" a="2" xmlns:a3="urn:q" a3:m="3"/>"#,
    );
}

#[test]
fn text_and_attributes_are_escaped() {
    let element = Element::new("b", ns::NONE)
        .with_attr("t", "\"<&>'\t\n\r")
        .with_text("<&>\"'\r\n\u{1}\u{ffff}ä😀");
    assert_eq!(
        element.to_xml(),
        "<b t=\"&quot;&lt;&amp;&gt;&apos;&#9;&#10;&#13;\">&lt;&amp;&gt;\"'&#13;\n\u{fffd}\u{fffd}ä😀</b>"
    );
    let again = read(&element.to_xml()).unwrap();
    assert_eq!(again.attr("t"), Some("\"<&>'\t\n\r"));
    assert_eq!(again.text(), "<&>\"'\r\n\u{fffd}\u{fffd}ä😀");
}

#[test]
fn mixed_content_keeps_its_order() {
    check(
        "<a>one<b/>two<![CDATA[<three>]]>&amp;four</a>",
        "<a>one<b/>two&lt;three&gt;&amp;four</a>",
    );
    assert_eq!(read("<a>one<b>x</b>two</a>").unwrap().text(), "onetwo");
}

#[test]
fn what_is_not_one_plain_element_is_refused() {
    for bad in [
        "",
        " ",
        "x",
        " <a/>",
        "<a/><b/>",
        "<a/>x",
        "<a>",
        "<a",
        "</a>",
        "<a></b>",
        "<a b></a>",
        "<a b='1' b='2'/>",
        "<a xmlns='x' xmlns='y'/>",
        "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>",
        "<a>&nbsp;</a>",
        "<a>&#0;</a>",
        "<p:a/>",
        "<a p:b='1'/>",
        "<xml:a/>",
        "<a\u{0}/>",
        "<?xml version='1.0'?><a/>",
        "<!DOCTYPE a [<!ENTITY e 'x'>]><a/>",
        "<a><!-- c --></a>",
        "<a><?pi x?></a>",
        "<!-- c --><a/>",
        "<a:b:c xmlns:a='u'/>",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn limits_hold() {
    let limits = Limits {
        bytes: 1000,
        depth: 3,
        elements: 5,
        attributes: 2,
    };
    let refused = |xml: &str| parse(xml, &limits).unwrap_err();
    assert_eq!(
        refused(&format!("<a>{}</a>", "x".repeat(1000))),
        ParseError::TooLong(1007)
    );
    assert!(parse("<a><b><c/></b></a>", &limits).is_ok());
    assert_eq!(refused("<a><b><c><d/></c></b></a>"), ParseError::TooDeep);
    assert_eq!(
        refused("<a><b/><b/><b/><b/><b/></a>"),
        ParseError::TooManyElements
    );
    assert_eq!(
        refused("<a a='' b='' c=''/>"),
        ParseError::TooManyAttributes
    );
    assert_eq!(
        refused("<a xmlns='a' xmlns:b='b' xmlns:c='c'/>"),
        ParseError::TooManyAttributes
    );
    assert_eq!(
        refused("<?xml version='1.0'?><a/>"),
        ParseError::Restricted("XML declaration")
    );
}

/// 250 KB that would be written out as 2 GB: one long namespace, used by a short prefix.
#[test]
fn a_long_namespace_is_not_repeated_for_thousands_of_elements() {
    let long = "x".repeat(120_000);
    for repeated in ["<a:b/>", "<b a:c='1'/>"] {
        let xml = format!("<m xmlns:a='{long}'>{}</m>", repeated.repeat(10_000));
        assert_eq!(read(&xml), Err(ParseError::TooMuchByPrefix), "{repeated}");
    }
    // Inside one another they need to be said once, and once is enough.
    let nested = format!("<a:m xmlns:a='{long}'>{}</a:m>", "<a:b/>".repeat(10_000));
    assert!(read(&nested).unwrap().to_xml().len() < 2 * nested.len());
    // What clients write.
    let usual = format!(
        "<m xmlns='jabber:client' xmlns:j='urn:xmpp:jingle:apps:rtp:ssma:0'>{}</m>",
        "<j:source ssrc='1'/>".repeat(4_000)
    );
    assert!(read(&usual).is_ok());
}

#[test]
fn one_rendering_serves_every_receiver() {
    let stanza = read(
        r#"<presence xmlns="jabber:client" from="r@m/n" to="somebody@else/x"><nick xmlns="http://jabber.org/protocol/nick">A &amp; B</nick></presence>"#,
    )
    .unwrap();
    let rendered = Rendered::new(&stanza);
    assert_eq!(
        rendered.xml().as_ref(),
        r#"<presence xmlns="jabber:client" from="r@m/n"><nick xmlns="http://jabber.org/protocol/nick">A &amp; B</nick></presence>"#
    );
    let mut expected = stanza;
    expected.set_attr("to", "u@d/<&\"");
    let mut got = read(&rendered.with_to("u@d/<&\"")).unwrap();
    assert_eq!(got.attr("to"), Some("u@d/<&\""));
    got.remove_attr("to");
    expected.remove_attr("to");
    assert_eq!(got, expected);
}

#[test]
fn debugging_shows_no_values() {
    let stanza = read("<a xmlns='urn:x' password='hunter2'><b>hunter2</b></a>").unwrap();
    let text = format!("{stanza:?}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn elements_travel_as_their_text() {
    let stanza = read("<a xmlns='urn:x' k='\"'><b>ü</b></a>").unwrap();
    let json = serde_json::to_string(&stanza).unwrap();
    assert_eq!(serde_json::from_str::<Element>(&json).unwrap(), stanza);
    assert!(serde_json::from_str::<Element>("\"<a>\"").is_err());
}

mod random {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = String> {
        "[a-zA-Z_ä][a-zA-Z0-9_.-]{0,8}"
    }

    /// What XML can carry; a lone carriage return included.
    fn text() -> impl Strategy<Value = String> {
        "[\t\n\r -\u{d7ff}\u{e000}-\u{fffd}😀]{0,20}"
    }

    fn namespace() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(ns::CLIENT.to_owned()),
            Just(String::new()),
            "urn:[a-z<&\"'>]{1,5}",
        ]
    }

    fn element() -> impl Strategy<Value = Element> {
        let leaf = (
            name(),
            namespace(),
            proptest::collection::vec((name(), text()), 0..4),
        )
            .prop_map(|(name, ns, attrs)| {
                attrs
                    .into_iter()
                    .filter(|(k, _)| k != "xmlns")
                    .fold(Element::new(name, ns), |e, (k, v)| e.with_attr(k, v))
            });
        leaf.prop_recursive(4, 32, 5, |inner| {
            (
                inner.clone(),
                proptest::collection::vec(
                    prop_oneof![inner.prop_map(Node::Element), text().prop_map(Node::Text)],
                    0..5,
                ),
            )
                .prop_map(|(mut parent, nodes)| {
                    for node in nodes {
                        match node {
                            Node::Element(child) => parent.push(child),
                            Node::Text(text) => parent.push_text(text),
                        }
                    }
                    parent
                })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(element in element()) {
            prop_assert_eq!(read(&element.to_xml()), Ok(element));
        }

        #[test]
        fn garbage_never_panics(xml in "[<>/a-c =\"'&;#x!?:\\[\\]-]{0,60}") {
            if let Ok(element) = read(&xml) {
                prop_assert_eq!(read(&element.to_xml()), Ok(element));
            }
        }
    }
}

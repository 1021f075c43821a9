use super::*;

const FIRST: &str = r#"<body rid="10" xmlns="http://jabber.org/protocol/httpbind" to="meet.example" xml:lang="en" wait="60" hold="1" content="text/xml; charset=utf-8" ver="1.6" xmpp:version="1.0" xmlns:xmpp="urn:xmpp:xbosh"/>"#;
const PING: &str =
    r#"<iq xmlns="jabber:client" type="get" id="1"><ping xmlns="urn:xmpp:ping"/></iq>"#;
const EMPTY: &str = r#"<body xmlns="http://jabber.org/protocol/httpbind"/>"#;
const NOT_FOUND: &str = r#"<body xmlns="http://jabber.org/protocol/httpbind" type="terminate" condition="item-not-found"/>"#;

fn read(text: &str) -> Body {
    Body::parse(text, &Limits::default()).unwrap()
}

fn with(rid: u64, attributes: &str, payload: &str) -> Body {
    read(&format!(
        r#"<body rid="{rid}" sid="s" xmlns="http://jabber.org/protocol/httpbind" xmlns:xmpp="urn:xmpp:xbosh" {attributes}>{payload}</body>"#
    ))
}

fn wrapped(frame: &str) -> String {
    format!(r#"<body xmlns="http://jabber.org/protocol/httpbind">{frame}</body>"#)
}

struct Talk {
    binding: Binding<u32>,
    now: Instant,
}

/// An answer by ticket, or what else was put out, shortened.
type Said = (Option<u32>, String);

impl Talk {
    #[expect(
        clippy::disallowed_methods,
        reason = "any beginning will do, and only a clock makes one"
    )]
    fn new(first: &str) -> Self {
        let settings = BindingSettings {
            wait: Duration::from_secs(60),
            inactivity: Duration::from_secs(60),
            domain: "meet.example".into(),
        };
        let first = read(first);
        let mut talk = Self {
            binding: Binding::new(settings, "s".into(), &first).unwrap(),
            now: Instant::now(),
        };
        assert_eq!(talk.ask(0, first), [(None, "open meet.example".to_owned())]);
        talk
    }

    /// Created, with its first answer given.
    fn created() -> Self {
        let mut talk = Self::new(FIRST);
        talk.frames(&[
            r#"<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" id="a1"/>"#,
            "<f/>",
        ]);
        talk
    }

    fn drain(&mut self) -> Vec<Said> {
        std::iter::from_fn(|| self.binding.poll())
            .map(|output| match output {
                Output::Open(open) => (None, format!("open {}", open.attr("to").unwrap())),
                Output::Element(element) => (None, element.to_xml()),
                Output::Answer { ticket, body } => (Some(ticket), body),
                Output::Ended => (None, "ended".into()),
            })
            .collect()
    }

    fn ask(&mut self, ticket: u32, body: Body) -> Vec<Said> {
        self.binding.request(self.now, ticket, body);
        self.drain()
    }

    fn frames(&mut self, frames: &[&str]) -> Vec<Said> {
        for frame in frames {
            self.binding.send((*frame).to_owned());
        }
        self.binding.flush(self.now);
        self.drain()
    }

    fn later(&mut self, seconds: u64) -> Vec<Said> {
        self.now += Duration::from_secs(seconds);
        self.binding.handle_timeout(self.now);
        self.drain()
    }
}

fn answer(ticket: u32, body: &str) -> Said {
    (Some(ticket), body.to_owned())
}

#[test]
fn a_session_is_made_with_its_features_in_the_first_answer() {
    let mut talk = Talk::new(FIRST);
    let open = r#"<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" from="meet.example" id="a1" version="1.0" xml:lang="en"/>"#;
    let features = framing::features_before_auth(&["ANONYMOUS"]);
    let said = talk.frames(&[open, &features]);
    assert_eq!(
        said,
        [answer(
            0,
            &format!(
                r#"<body xmlns="http://jabber.org/protocol/httpbind" xmlns:xmpp="urn:xmpp:xbosh" xmlns:stream="http://etherx.jabber.org/streams" xmpp:version="1.0" xmpp:restartlogic="true" ver="1.6" secure="true" polling="5" sid="s" from="meet.example" authid="a1" wait="60" hold="1" requests="2" inactivity="60">{features}</body>"#
            )
        )]
    );
    // Started again after the login: features alone.
    let said = talk.ask(1, with(11, r#"xmpp:restart="true" to="meet.example""#, ""));
    assert_eq!(said, [(None, "open meet.example".to_owned())]);
    let again = framing::features_after_auth(false);
    assert_eq!(talk.frames(&[open, again]), [answer(1, &wrapped(again))]);
}

#[test]
fn one_request_is_held_until_there_is_something_or_another_comes() {
    let mut talk = Talk::created();
    assert!(!talk.binding.wants());
    assert_eq!(talk.ask(1, with(11, "", "")), []);
    assert!(talk.binding.wants());
    assert_eq!(
        talk.ask(2, with(12, "", PING)),
        [(None, PING.to_owned()), answer(1, EMPTY)]
    );
    assert_eq!(
        talk.frames(&["<a/>", "<b/>"]),
        [answer(2, &wrapped("<a/><b/>"))]
    );
    // Nobody waits: it is kept, and told to the next at once.
    assert_eq!(talk.frames(&["<c/>"]), []);
    assert_eq!(talk.ask(3, with(13, "", "")), [answer(3, &wrapped("<c/>"))]);
}

#[test]
fn who_waits_long_enough_is_answered_and_who_stays_away_is_gone() {
    let mut talk = Talk::created();
    talk.ask(1, with(11, "", ""));
    assert_eq!(talk.later(59), []);
    assert_eq!(talk.later(1), [answer(1, EMPTY)]);
    assert_eq!(talk.later(59), []);
    assert_eq!(talk.later(1), [(None, "ended".to_owned())]);
    assert_eq!(talk.ask(2, with(12, "", "")), [answer(2, NOT_FOUND)]);
    assert_eq!(talk.binding.next_timeout(), None);
}

#[test]
fn requests_are_taken_in_order_and_within_their_window() {
    let mut talk = Talk::created();
    let message = |n: u32| format!(r#"<message xmlns="jabber:client" id="{n}"/>"#);
    assert_eq!(talk.ask(2, with(12, "", &message(12))), []);
    assert_eq!(
        talk.ask(1, with(11, "", &message(11))),
        [(None, message(11)), (None, message(12)), answer(1, EMPTY)]
    );
    for (rid, ended) in [(15, false), (16, true)] {
        let mut talk = Talk::created();
        talk.ask(1, with(11, "", ""));
        talk.ask(2, with(12, "", ""));
        let said = talk.ask(3, with(rid, "", ""));
        assert_eq!(talk.binding.is_ended(), ended, "{rid}");
        if ended {
            assert_eq!(
                said,
                [
                    answer(3, NOT_FOUND),
                    answer(2, NOT_FOUND),
                    (None, "ended".to_owned())
                ]
            );
        }
    }
}

#[test]
fn a_repeated_request_is_answered_as_before_and_acted_on_once() {
    let mut talk = Talk::created();
    talk.ask(1, with(11, "", PING));
    talk.frames(&["<pong/>"]);
    assert_eq!(
        talk.ask(2, with(11, "", PING)),
        [answer(2, &wrapped("<pong/>"))]
    );
    // Still held: the newer connection takes its place.
    talk.ask(3, with(12, "", PING));
    assert_eq!(talk.ask(4, with(12, "", PING)), [answer(3, EMPTY)]);
    assert_eq!(talk.frames(&["<x/>"]), [answer(4, &wrapped("<x/>"))]);
    // Too long ago to be remembered.
    talk.ask(5, with(13, "", ""));
    talk.frames(&["<y/>"]);
    assert!(
        matches!(&talk.ask(6, with(11, "", ""))[..], [(Some(6), body)] if body.contains("pong"))
    );
    assert_eq!(
        talk.ask(7, with(10, "", "")),
        [answer(7, NOT_FOUND), (None, "ended".to_owned())]
    );
}

#[test]
fn a_request_whose_client_is_gone_does_not_hold_the_session() {
    let mut talk = Talk::created();
    talk.ask(1, with(11, "", ""));
    assert_eq!(talk.binding.held_mut().count(), 1);
    talk.binding.dropped(talk.now, 0);
    assert!(!talk.binding.wants());
    assert_eq!(talk.ask(2, with(11, "", "")), [answer(2, EMPTY)]);
    assert_eq!(talk.later(60), [(None, "ended".to_owned())]);
}

#[test]
fn both_sides_may_end_it() {
    let leave = r#"<presence xmlns="jabber:client" type="unavailable"/>"#;
    let bye = r#"<body xmlns="http://jabber.org/protocol/httpbind" type="terminate"/>"#;
    let mut talk = Talk::created();
    talk.ask(1, with(11, "", ""));
    assert_eq!(
        talk.ask(2, with(12, r#"type="terminate""#, leave)),
        [
            (None, leave.to_owned()),
            answer(1, bye),
            answer(2, bye),
            (None, "ended".to_owned())
        ]
    );

    let mut talk = Talk::created();
    talk.ask(1, with(11, "", ""));
    let error = framing::stream_error(framing::StreamCondition::SystemShutdown);
    assert_eq!(talk.frames(&[&error, framing::CLOSE]), []);
    talk.binding.end(talk.now);
    assert_eq!(
        talk.drain(),
        [
            answer(
                1,
                &format!(
                    r#"<body xmlns="http://jabber.org/protocol/httpbind" type="terminate" condition="remote-stream-error">{error}</body>"#
                )
            ),
            (None, "ended".to_owned())
        ]
    );
}

#[test]
fn who_polls_is_answered_at_once() {
    let mut talk = Talk::new(&FIRST.replace(r#"hold="1""#, r#"hold="0""#));
    let said = talk.frames(&["<f/>"]);
    assert!(said[0].1.contains(r#"hold="0""#), "{said:?}");
    assert_eq!(talk.ask(1, with(11, "", "")), [answer(1, EMPTY)]);
    talk.frames(&["<x/>"]);
    assert_eq!(talk.ask(2, with(12, "", "")), [answer(2, &wrapped("<x/>"))]);
}

#[test]
fn long_answers_are_taken_in_pieces() {
    let mut talk = Talk::created();
    talk.ask(1, with(11, "", ""));
    talk.binding
        .send(format!("<a>{}</a>", "x".repeat(ANSWER_BYTES)));
    assert!(!talk.binding.wants());
    talk.binding.flush(talk.now);
    assert_eq!(talk.drain().len(), 1);
}

#[test]
fn what_is_no_body_is_refused() {
    for (text, condition) in [
        ("", Condition::BadRequest),
        ("<body", Condition::BadRequest),
        ("<body rid='1'/>", Condition::BadRequest),
        (
            "<body xmlns='http://jabber.org/protocol/httpbind'/>",
            Condition::BadRequest,
        ),
        (
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='-1'/>",
            Condition::BadRequest,
        ),
        (
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='9007199254740992'/>",
            Condition::BadRequest,
        ),
        (
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' wait='soon'/>",
            Condition::BadRequest,
        ),
        (
            &format!("<body>{}</body>", "x".repeat(300_000)),
            Condition::PolicyViolation,
        ),
    ] {
        assert_eq!(Body::parse(text, &Limits::default()), Err(condition));
    }
    let nowhere = read("<body xmlns='http://jabber.org/protocol/httpbind' rid='1'/>");
    let settings = BindingSettings {
        wait: Duration::ZERO,
        inactivity: Duration::ZERO,
        domain: "d".into(),
    };
    let refused = Binding::<u32>::new(settings, "s".into(), &nowhere).map(|_| ());
    assert_eq!(refused, Err(Condition::ImproperAddressing));
}

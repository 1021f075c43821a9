use super::*;
use crate::login::{Login, LoginError, Step};
use althing_model::SeededEntropy;

const OPEN: &str =
    r#"<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="meet.example" version="1.0"/>"#;
const AUTH: &str = r#"<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="ANONYMOUS"/>"#;
const BIND: &str = r#"<iq type="set" id="_bind_auth_2" xmlns="jabber:client"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>"#;

struct Talk {
    session: Session,
    entropy: SeededEntropy,
}

impl Talk {
    fn new() -> Self {
        Self {
            session: Session::new(SessionSettings::new("meet.example")),
            entropy: SeededEntropy::new(1),
        }
    }

    fn bound() -> (Self, Jid) {
        let mut talk = Self::new();
        talk.say(OPEN);
        talk.say(AUTH);
        talk.decide(Ok(AuthSuccess::default()));
        talk.say(OPEN);
        let outputs = talk.say(BIND);
        let Some(Output::Bound { jid }) = outputs.last() else {
            panic!("{outputs:?}");
        };
        let jid = jid.clone();
        (talk, jid)
    }

    fn logged_in(stream_management: bool) -> Self {
        let mut talk = Self::new();
        talk.session = Session::new(SessionSettings {
            stream_management,
            ..SessionSettings::new("meet.example")
        });
        talk.say(OPEN);
        talk.say(AUTH);
        talk.decide(Ok(AuthSuccess::default()));
        let features = talk.say(OPEN);
        assert_eq!(
            frames(&features)[1],
            framing::features_after_auth(stream_management)
        );
        talk
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll()).collect()
    }

    fn say(&mut self, frame: &str) -> Vec<Output> {
        self.session.handle_frame(frame, &mut self.entropy);
        self.drain()
    }

    fn decide(&mut self, decision: Result<AuthSuccess, AuthFailure>) -> Vec<Output> {
        self.session.authenticated(decision, &mut self.entropy);
        self.drain()
    }
}

fn frames(outputs: &[Output]) -> Vec<&str> {
    outputs
        .iter()
        .filter_map(|o| match o {
            Output::Frame(frame) | Output::Answer(frame) => Some(frame.as_str()),
            _ => None,
        })
        .collect()
}

#[track_caller]
fn check_error(outputs: &[Output], condition: StreamCondition) {
    let error = framing::stream_error(condition);
    let mut got = frames(outputs);
    if got.first().is_some_and(|f| f.starts_with("<open ")) {
        got.remove(0);
    }
    assert_eq!(got, [error.as_str(), framing::CLOSE]);
    assert_eq!(
        outputs.last(),
        Some(&Output::Close(CloseReason::Error(condition)))
    );
}

#[test]
fn a_client_gets_from_its_first_frame_to_an_address() {
    let mut talk = Talk::new();
    let outputs = talk.say(OPEN);
    let greeting = frames(&outputs);
    assert_eq!(greeting.len(), 2);
    assert!(greeting[0].starts_with(
        "<open xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" from=\"meet.example\" id=\""
    ));
    assert_eq!(greeting[1], framing::features_before_auth(&["ANONYMOUS"]));

    assert_eq!(
        talk.say(AUTH),
        [Output::Authenticate(AuthRequest::Anonymous)]
    );
    assert_eq!(
        frames(&talk.decide(Ok(AuthSuccess::default()))),
        [framing::SUCCESS]
    );
    let again = talk.say(OPEN);
    assert!(frames(&again)[0].starts_with("<open "));
    assert_ne!(frames(&again)[0], greeting[0], "a new stream has a new id");
    assert_eq!(frames(&again)[1], framing::features_after_auth(false));

    let outputs = talk.say(BIND);
    let Output::Bound { jid } = &outputs[1] else {
        panic!("{outputs:?}");
    };
    assert_eq!(
        frames(&outputs),
        [format!(
            r#"<iq xmlns="jabber:client" type="result" id="_bind_auth_2"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"><jid>{jid}</jid></bind></iq>"#
        )]
    );
    let node = jid.node().unwrap();
    assert_eq!(node.len(), 36);
    assert!(node.as_bytes()[..8].iter().all(u8::is_ascii_hexdigit));
    assert_eq!(node.as_bytes()[8], b'-');
    assert!(jid.is_full());
    assert_eq!(talk.session.jid(), Some(jid));
}

#[test]
fn both_sides_of_a_login_understand_each_other() {
    let mut talk = Talk::new();
    let (mut login, first) = Login::start("meet.example");
    let mut to_server = vec![first];
    let mut bound = None;
    while let Some(frame) = to_server.pop() {
        let mut outputs = VecDeque::from(talk.say(&frame));
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Frame(frame) => match login.handle_frame(&frame).unwrap() {
                    Step::Send(frame) => to_server.push(frame),
                    Step::Wait => {}
                    Step::Bound(jid) => bound = Some(jid),
                },
                Output::Authenticate(_) => {
                    outputs.extend(talk.decide(Ok(AuthSuccess {
                        node: Some("4a1f09c2-x".into()),
                    })));
                }
                Output::Bound { jid } => assert_eq!(bound.as_ref(), Some(&jid)),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(bound.unwrap().node(), Some("4a1f09c2-x"));
}

#[test]
fn a_refused_login_says_why_and_leaves_the_socket_open() {
    let mut talk = Talk::new();
    talk.say(OPEN);
    talk.say(AUTH);
    let outputs = talk.decide(Err(AuthFailure {
        condition: SaslCondition::NotAllowed,
        text: Some("token required".into()),
    }));
    assert_eq!(
        outputs,
        [Output::Frame(
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-allowed/><text>token required</text></failure>".into()
        )]
    );
    assert_eq!(
        talk.say(AUTH),
        [Output::Authenticate(AuthRequest::Anonymous)]
    );
}

#[test]
fn logins_cannot_be_tried_forever() {
    let mut talk = Talk::new();
    talk.say(OPEN);
    let mut rounds = 0;
    while !talk.session.is_closed() {
        rounds += 1;
        assert!(rounds < 20);
        talk.say(
            r#"<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">AGEAYg==</auth>"#,
        );
    }
    assert_eq!(rounds, usize::from(MAX_LOGIN_ATTEMPTS));

    let mut talk = Talk::new();
    talk.say(OPEN);
    let mut rounds = 0;
    while !talk.session.is_closed() {
        rounds += 1;
        assert!(rounds < 20);
        talk.say(AUTH);
        talk.decide(Err(AuthFailure {
            condition: SaslCondition::NotAuthorized,
            text: None,
        }));
    }
}

#[test]
fn stanzas_arrive_with_their_sender_and_otherwise_as_sent() {
    let (mut talk, jid) = Talk::bound();
    let outputs = talk.say(
        r#"<presence to="r@muc.meet.example/4a1f09c2" xmlns="jabber:client"><x xmlns="http://jabber.org/protocol/muc"/><stats-id>Ada</stats-id></presence>"#,
    );
    let Output::Stanza(stanza) = &outputs[0] else {
        panic!("{outputs:?}");
    };
    assert_eq!(
        stanza.to_xml(),
        format!(
            r#"<presence xmlns="jabber:client" to="r@muc.meet.example/4a1f09c2" from="{jid}"><x xmlns="http://jabber.org/protocol/muc"/><stats-id>Ada</stats-id></presence>"#
        )
    );
    let with_from = format!(
        r#"<message xmlns="jabber:client" from="{jid}" id="ü&lt;" to="r@muc.meet.example" type="groupchat"><body>x</body></message>"#
    );
    let outputs = talk.say(&with_from);
    assert!(matches!(&outputs[0], Output::Stanza(s) if s.to_xml() == with_from));
    assert_eq!(talk.session.received(), 2);
}

#[test]
fn what_comes_out_of_order_ends_the_stream() {
    let ping = r#"<iq type="get" id="1" xmlns="jabber:client"><ping xmlns="urn:xmpp:ping"/></iq>"#;
    for (before, frame, condition) in [
        (&[][..], ping, StreamCondition::NotAuthorized),
        (&[], AUTH, StreamCondition::UnsupportedStanzaType),
        (
            &[],
            "<open to='meet.example' version='1.0'/>",
            StreamCondition::InvalidNamespace,
        ),
        (
            &[],
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='other' version='1.0'/>",
            StreamCondition::HostUnknown,
        ),
        (
            &[],
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0'/>",
            StreamCondition::ImproperAddressing,
        ),
        (
            &[],
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='meet.example'/>",
            StreamCondition::UnsupportedVersion,
        ),
        (
            &[],
            "<?xml version='1.0'?><open/>",
            StreamCondition::RestrictedXml,
        ),
        (
            &[],
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>",
            StreamCondition::NotWellFormed,
        ),
        (&[], "x:y", StreamCondition::NotWellFormed),
        (&[OPEN], OPEN, StreamCondition::BadFormat),
        (&[OPEN], BIND, StreamCondition::NotAuthorized),
        (&[OPEN], ping, StreamCondition::NotAuthorized),
        (&[OPEN], "<s:iq/>", StreamCondition::BadNamespacePrefix),
        (&[OPEN, AUTH], AUTH, StreamCondition::NotAuthorized),
    ] {
        let mut talk = Talk::new();
        for frame in before {
            talk.say(frame);
        }
        let outputs = talk.say(frame);
        assert_eq!(
            frames(&outputs)[0].starts_with("<open "),
            before.is_empty(),
            "the first frame of all is an opening one"
        );
        check_error(&outputs, condition);
        assert!(talk.say(OPEN).is_empty(), "nothing after the end");
    }
}

#[test]
fn stanzas_before_binding_end_the_stream() {
    let mut talk = Talk::new();
    talk.say(OPEN);
    talk.say(AUTH);
    talk.decide(Ok(AuthSuccess::default()));
    talk.say(OPEN);
    check_error(
        &talk.say(r#"<presence xmlns="jabber:client"/>"#),
        StreamCondition::NotAuthorized,
    );
}

#[test]
fn a_bound_client_that_breaks_the_rules_is_shown_out() {
    for (frame, condition) in [
        (
            r#"<message xmlns="jabber:client" from="eve@meet.example/x"/>"#,
            StreamCondition::InvalidFrom,
        ),
        ("<message/>", StreamCondition::InvalidNamespace),
        (
            r#"<iq xmlns="jabber:server" id="1" type="get"/>"#,
            StreamCondition::InvalidNamespace,
        ),
        (
            r#"<whatever xmlns="jabber:client"/>"#,
            StreamCondition::UnsupportedStanzaType,
        ),
        (AUTH, StreamCondition::UnsupportedStanzaType),
        (OPEN, StreamCondition::BadFormat),
        (
            "<message xmlns='jabber:client'><body>",
            StreamCondition::NotWellFormed,
        ),
    ] {
        let (mut talk, _) = Talk::bound();
        check_error(&talk.say(frame), condition);
        assert_eq!(talk.session.jid(), None);
    }
    let (mut talk, _) = Talk::bound();
    let long = format!(
        "<message xmlns='jabber:client'><body>{}</body></message>",
        "x".repeat(1_000_000)
    );
    check_error(&talk.say(&long), StreamCondition::PolicyViolation);
}

#[test]
fn a_request_that_cannot_be_handled_is_a_bad_request() {
    for (frame, condition) in [
        (
            r#"<iq xmlns="jabber:client" type="get"><ping xmlns="urn:xmpp:ping"/></iq>"#,
            "bad-request",
        ),
        (
            r#"<iq xmlns="jabber:client" id="1"><ping xmlns="urn:xmpp:ping"/></iq>"#,
            "bad-request",
        ),
        (
            r#"<iq xmlns="jabber:client" id="1" type="look"/>"#,
            "bad-request",
        ),
        (
            r#"<iq xmlns="jabber:client" id="1" type="get"/>"#,
            "bad-request",
        ),
        (
            r#"<iq xmlns="jabber:client" id="1" type="get" to="a@@b"><ping xmlns="urn:xmpp:ping"/></iq>"#,
            "jid-malformed",
        ),
        (
            r#"<message xmlns="jabber:client" to="a@@b"><body>x</body></message>"#,
            "jid-malformed",
        ),
        (BIND, "not-allowed"),
    ] {
        let (mut talk, jid) = Talk::bound();
        let outputs = talk.say(frame);
        assert_eq!(outputs.len(), 1, "{outputs:?}");
        let reply = parse(frames(&outputs)[0], &Limits::default()).unwrap();
        assert_eq!(reply.attr("type"), Some("error"));
        assert_eq!(reply.attr("to"), Some(jid.as_str()));
        let error = stanza::StanzaError::of(&reply).unwrap();
        assert_eq!(error.condition.as_str(), condition);
        assert!(matches!(outputs[0], Output::Answer(_)), "it counts");
    }
}

#[test]
fn stream_management_is_refused_where_it_is_not_offered() {
    let failed = Output::Frame(sm::failed(Condition::FeatureNotImplemented));
    let (mut talk, _) = Talk::bound();
    assert_eq!(talk.say(ENABLE), std::slice::from_ref(&failed));
    assert_eq!(talk.session.received(), 0);
    check_error(
        &talk.say(r#"<r xmlns="urn:xmpp:sm:3"/>"#),
        StreamCondition::UnsupportedStanzaType,
    );
    let mut talk = Talk::logged_in(false);
    assert_eq!(talk.say(RESUME), [failed]);
    talk.say(BIND);
    assert!(talk.session.jid().is_some());
}

const ENABLE: &str = r#"<enable xmlns="urn:xmpp:sm:3" resume="true"/>"#;
const RESUME: &str = r#"<resume xmlns="urn:xmpp:sm:3" h="17" previd="r-77ab"/>"#;

#[test]
fn stanzas_are_counted_from_the_moment_the_stream_is_managed() {
    let mut talk = Talk::logged_in(true);
    talk.say(BIND);
    talk.say(r#"<presence xmlns="jabber:client"/>"#);
    assert_eq!(talk.say(ENABLE), [Output::Enable { resume: true }]);
    let request = r#"<r xmlns="urn:xmpp:sm:3"/>"#;
    let told = |h| [Output::Frame(sm::acknowledgement(h))];
    assert_eq!(talk.say(request), told(0));
    talk.say(r#"<presence xmlns="jabber:client"/>"#);
    // A stanza that is refused was received all the same.
    talk.say(r#"<iq xmlns="jabber:client" type="get" id="1"/>"#);
    talk.say(r#"<message xmlns="jabber:client" to="a@@b"/>"#);
    assert_eq!(talk.say(request), told(3));
    assert_eq!(
        talk.say(r#"<a xmlns="urn:xmpp:sm:3" h="5"/>"#),
        [Output::Acknowledged(5)]
    );
    let failed = Output::Frame(sm::failed(Condition::UnexpectedRequest));
    assert_eq!(talk.say(ENABLE), std::slice::from_ref(&failed));
    assert_eq!(talk.say(RESUME), [failed]);
    assert_eq!(talk.say(request), told(3));
    check_error(
        &talk.say(r#"<a xmlns="urn:xmpp:sm:3" h="-1"/>"#),
        StreamCondition::BadFormat,
    );
}

#[test]
fn a_client_may_resume_instead_of_binding_and_bind_when_it_cannot() {
    let mut talk = Talk::logged_in(true);
    assert_eq!(
        talk.say(RESUME),
        [Output::Resume {
            previous: "r-77ab".into(),
            handled: 17
        }]
    );
    talk.session.resume_refused();
    assert_eq!(
        talk.drain(),
        [Output::Frame(sm::failed(Condition::ItemNotFound))]
    );
    for (frame, condition) in [
        (
            r#"<resume xmlns="urn:xmpp:sm:3" previd="r-77ab"/>"#,
            Condition::BadRequest,
        ),
        (
            r#"<resume xmlns="urn:xmpp:sm:3" h="1"/>"#,
            Condition::BadRequest,
        ),
        (
            r#"<resume xmlns="urn:xmpp:sm:3" h="4294967296" previd="x"/>"#,
            Condition::BadRequest,
        ),
        (ENABLE, Condition::UnexpectedRequest),
    ] {
        assert_eq!(talk.say(frame), [Output::Frame(sm::failed(condition))]);
    }
    talk.say(BIND);
    assert!(talk.session.jid().is_some());
    // Nothing is asked any more.
    talk.session.resume_refused();
    assert!(talk.drain().is_empty());

    let mut talk = Talk::logged_in(true);
    talk.say(RESUME);
    check_error(&talk.say(BIND), StreamCondition::NotAuthorized);
}

#[test]
fn who_acknowledges_too_much_is_shown_out() {
    let mut talk = Talk::logged_in(true);
    talk.say(BIND);
    talk.session.handled_too_many(sm::HandledTooMany {
        handled: 7,
        sent: 3,
    });
    assert_eq!(
        frames(&talk.drain()),
        [
            r#"<stream:error xmlns:stream="http://etherx.jabber.org/streams"><undefined-condition xmlns="urn:ietf:params:xml:ns:xmpp-streams"/><handled-count-too-high xmlns="urn:xmpp:sm:3" h="7" send-count="3"/></stream:error>"#,
            framing::CLOSE
        ]
    );
}

#[test]
fn a_close_is_answered() {
    let (mut talk, _) = Talk::bound();
    assert_eq!(
        talk.say("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"),
        [
            Output::Frame(framing::CLOSE.into()),
            Output::Close(CloseReason::Client)
        ]
    );
    assert!(talk.say(BIND).is_empty());
}

#[test]
fn we_may_end_a_session_at_any_time() {
    let mut talk = Talk::new();
    talk.session
        .end(StreamCondition::SystemShutdown, &mut talk.entropy);
    let outputs = talk.drain();
    check_error(&outputs, StreamCondition::SystemShutdown);
    let mut login = Login::start("meet.example").0;
    assert_eq!(login.handle_frame(frames(&outputs)[0]), Ok(Step::Wait));
    assert_eq!(
        login.handle_frame(frames(&outputs)[1]),
        Err(LoginError::StreamError(Some(
            StreamCondition::SystemShutdown
        )))
    );
}

#[test]
fn a_session_can_be_written_out_and_read_back() {
    let (talk, jid) = Talk::bound();
    let json = serde_json::to_string(&talk.session).unwrap();
    let mut session: Session = serde_json::from_str(&json).unwrap();
    session.handle_frame(
        r#"<presence xmlns="jabber:client"/>"#,
        &mut SeededEntropy::new(2),
    );
    assert!(
        matches!(session.poll(), Some(Output::Stanza(s)) if s.attr("from") == Some(jid.as_str()))
    );
}

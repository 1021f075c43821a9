//! Who may do what to whom, raw stanza in and stanzas out; refusals reach nobody else.

use crate::harness::{Client, DOMAIN, House, ROOM};
use althing_model::{Identity, Secret, TokenStanding};
use althing_signalling::{Authenticator, Credentials, LoginRefused, Moderators};
use althing_xmpp::{Element, ns};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// Knows the tokens `host` and `narrow`, who may not record, and takes guests.
#[derive(Debug)]
struct Tokens;

impl Authenticator for Tokens {
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> BoxFuture<'static, Result<Option<Identity>, LoginRefused>> {
        let token = credentials.token.as_ref().map(Secret::expose);
        let identity = token.map(|id| Identity {
            user: [("id", id), ("name", "Ann")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            standing: TokenStanding::Owner,
            features: (id == "narrow").then(|| [("recording".to_owned(), false)].into()),
            ..Identity::default()
        });
        Box::pin(std::future::ready(Ok(identity)))
    }
}

impl House {
    async fn with_tokens(hosts_only: bool) -> Self {
        Self::start_with(|settings| {
            settings.authenticator = Arc::new(Tokens);
            settings.moderators = Moderators::Authenticated;
            settings.hosts_only = hosts_only;
        })
        .await
    }

    async fn token_client(&self, token: &str) -> Client {
        let path = format!("/xmpp-websocket?room=demo&token={token}");
        let mut socket = self.socket(&path).await;
        let jid = socket.log_in().await;
        Client::new(socket, jid)
    }

    async fn token_joined(&self, token: &str) -> (Client, Vec<Element>) {
        let mut client = self.token_client(token).await;
        client.request_conference(ROOM).await;
        let heard = client.join(ROOM).await;
        (client, heard)
    }

    fn denials(&self, action: &str) -> i64 {
        self.labelled(&format!("denied_total{{action=\"{action}\"}}"))
    }
}

impl Client {
    async fn admin(&mut self, item: &str) -> Element {
        let payload =
            format!(r#"<query xmlns="http://jabber.org/protocol/muc#admin">{item}</query>"#);
        self.ask("set", Some(ROOM), &payload).await
    }

    async fn focus(&mut self, payload: &str) -> Element {
        self.ask("set", Some(&format!("{ROOM}/focus")), payload)
            .await
    }

    /// Says a line that all hear, and reads on to it: what it passes over, everybody was told before.
    async fn marked(&mut self, id: &str) -> Vec<Element> {
        let mut heard = Vec::new();
        loop {
            let element = self.expect().await;
            if element.attr("id") == Some(id) {
                return heard;
            }
            heard.push(element);
        }
    }

    async fn mark(&mut self, id: &str) {
        self.send(format!(
            r#"<message xmlns="jabber:client" type="groupchat" to="{ROOM}" id="{id}"><body>mark</body></message>"#
        ))
        .await;
    }
}

fn error(stanza: &Element) -> String {
    let error = stanza
        .child("error", ns::CLIENT)
        .unwrap_or_else(|| panic!("no error: {}", stanza.to_xml()));
    format!(
        "{}/{}",
        error.attr("type").unwrap(),
        error.children().next().unwrap().name()
    )
}

fn item(presence: &Element) -> &Element {
    let x = presence.child("x", ns::MUC_USER).unwrap();
    x.child("item", ns::MUC_USER).unwrap()
}

#[tokio::test]
async fn what_a_guest_may_not_changes_nothing_and_is_counted() {
    let house = House::start().await;
    let (mut host, _) = house.joined(ROOM).await;
    let (mut guest, _) = house.joined(ROOM).await;
    let (mut other, _) = house.joined(ROOM).await;
    for client in [&mut host, &mut guest] {
        let last = other.nick.clone();
        client
            .until(|e| e.attr("from").is_some_and(|from| from.ends_with(&last)))
            .await;
    }
    let jid = |client: &Client| client.jid.bare_str().to_owned();
    let admin = |item: &str| (ROOM.to_owned(), "query", item.to_owned());
    let focus = |payload: &str| (format!("{ROOM}/focus"), "", payload.to_owned());
    let mute = |whom: &str, text: &str| {
        format!(r#"<mute xmlns="http://jitsi.org/jitmeet/audio" jid="{ROOM}/{whom}">{text}</mute>"#)
    };
    let jibri = |attributes: &str| {
        format!(r#"<jibri xmlns="http://jitsi.org/protocol/jibri" {attributes}/>"#)
    };
    let cases = [
        (
            admin(&format!(r#"<item nick="{}" role="none"/>"#, other.nick)),
            "auth/forbidden",
            "kick",
        ),
        (
            admin(&format!(
                r#"<item affiliation="owner" jid="{}"/>"#,
                jid(&guest)
            )),
            "auth/forbidden",
            "grant",
        ),
        (
            admin(&format!(
                r#"<item affiliation="none" jid="{}"/>"#,
                jid(&host)
            )),
            "auth/forbidden",
            "revoke",
        ),
        (
            focus(&mute(&other.nick, "true")),
            "cancel/not-allowed",
            "mute",
        ),
        (
            focus(&mute(&other.nick, "false")),
            "cancel/not-allowed",
            "unmute",
        ),
        (
            focus(&jibri(r#"action="start" recording_mode="file""#)),
            "cancel/not-allowed",
            "record",
        ),
        (
            focus(r#"<dial xmlns="urn:xmpp:rayo:1" to="+49" from="f"/>"#),
            "auth/forbidden",
            "dial",
        ),
    ];
    for ((to, query, payload), expected, action) in cases {
        let before = house.denials(action);
        let payload = if query.is_empty() {
            payload
        } else {
            format!(r#"<query xmlns="http://jabber.org/protocol/muc#admin">{payload}</query>"#)
        };
        let answer = guest.ask("set", Some(&to), &payload).await;
        assert_eq!(error(&answer), expected, "{payload}");
        assert_eq!(house.denials(action), before + 1, "{payload}");
    }
    for (payload, expected, action) in [
        ("<subject>mine</subject>", "auth/forbidden", "subject"),
        (
            r#"<apply-to xmlns="urn:xmpp:fasten:0" id="m"><moderated xmlns="urn:xmpp:message-moderate:1"><retract xmlns="urn:xmpp:message-retract:1"/></moderated></apply-to>"#,
            "auth/forbidden",
            "retract",
        ),
    ] {
        guest
            .send(format!(
                r#"<message xmlns="jabber:client" type="groupchat" to="{ROOM}" id="g">{payload}</message>"#
            ))
            .await;
        let answer = guest.until(|e| e.attr("id") == Some("g")).await;
        assert_eq!(error(&answer), expected);
        assert_eq!(house.denials(action), 1);
    }
    guest.mark("m1").await;
    let media = |e: &Element| e.name() == "iq" && e.child("jingle", ns::JINGLE).is_some();
    for client in [&mut host, &mut other] {
        let heard: Vec<_> = client.marked("m1").await;
        let heard: Vec<_> = heard.iter().filter(|e| !media(e)).collect();
        assert!(
            heard
                .iter()
                .all(|e| e.name() == "iq" || e.attr("from").is_some_and(|f| f.ends_with("/focus"))),
            "{heard:?}"
        );
    }
}

#[tokio::test]
async fn a_moderator_grants_mutes_and_kicks() {
    let house = House::start().await;
    let (mut host, welcome) = house.joined(ROOM).await;
    let own = &welcome[welcome.len() - 2];
    assert!(own.child("permissions", ns::JITMEET).is_some());
    let (mut guest, _) = house.joined(ROOM).await;
    let bare = guest.jid.bare_str().to_owned();
    let grant = format!(r#"<item affiliation="owner" jid="{bare}"/>"#);
    assert_eq!(host.admin(&grant).await.attr("type"), Some("result"));
    let me = format!("{ROOM}/{}", guest.nick);
    let own = guest.until(|e| e.attr("from") == Some(&me)).await;
    assert_eq!(item(&own).attr("role"), Some("moderator"));
    assert!(own.to_xml().contains(r#"code="110""#));
    let permissions = own.child("permissions", ns::JITMEET).unwrap();
    let named = |name| permissions.children().any(|p| p.attr("name") == Some(name));
    assert!(named("recording") && named("send-private-message") && !named("file-upload"));
    let revoke = format!(r#"<item affiliation="none" jid="{bare}"/>"#);
    assert_eq!(host.admin(&revoke).await.attr("type"), Some("result"));
    let own = guest.until(|e| e.attr("from") == Some(&me)).await;
    assert_eq!(item(&own).attr("role"), Some("participant"));
    assert!(own.child("permissions", ns::JITMEET).is_none());
    let mute = format!(r#"<mute xmlns="http://jitsi.org/jitmeet/audio" jid="{me}">true</mute>"#);
    assert_eq!(host.focus(&mute).await.attr("type"), Some("result"));
    let order = guest
        .until(|e| e.child("mute", ns::JITMEET_AUDIO).is_some())
        .await;
    assert_eq!(order.attr("from"), Some(&*format!("{ROOM}/focus")));
    let order = order.child("mute", ns::JITMEET_AUDIO).unwrap();
    assert_eq!(order.text(), "true");
    assert_eq!(order.attr("actor"), Some(&*format!("{ROOM}/{}", host.nick)));
    let own = format!(r#"<mute xmlns="http://jitsi.org/jitmeet/audio" jid="{me}">false</mute>"#);
    assert_eq!(guest.focus(&own).await.attr("type"), Some("result"));
    let kick = r#"<item nick="focus" role="none"/>"#;
    assert_eq!(error(&host.admin(kick).await), "cancel/not-allowed");
    let kick = format!(
        r#"<item nick="{}" role="none"><reason>out</reason></item>"#,
        guest.nick
    );
    assert_eq!(host.admin(&kick).await.attr("type"), Some("result"));
    let bye = guest.until(|e| e.attr("type") == Some("unavailable")).await;
    let text = bye.to_xml();
    assert!(
        text.contains(r#"code="307""#) && text.contains(r#"code="110""#),
        "{text}"
    );
    let actor = item(&bye).child_named("actor").unwrap();
    assert_eq!(actor.attr("nick"), Some(&*host.nick));
    assert_eq!(item(&bye).child_named("reason").unwrap().text(), "out");
    house.until_metric("occupants", 1).await;
    // Nothing keeps it from coming again.
    guest.request_conference(ROOM).await;
    guest.join(ROOM).await;
}

#[tokio::test]
async fn recordings_are_refused_until_there_is_a_recorder() {
    let house = House::with_tokens(false).await;
    let (mut host, _) = house.token_joined("host").await;
    let (mut narrow, _) = house.token_joined("narrow").await;
    let (mut guest, _) = house.joined(ROOM).await;
    let jibri = |attributes: &str| {
        format!(r#"<jibri xmlns="http://jitsi.org/protocol/jibri" {attributes}/>"#)
    };
    let start = jibri(r#"action="start" recording_mode="file""#);
    let stop = jibri(r#"action="stop" recording_mode="file""#);
    let broken = jibri(r#"action="start" recording_mode="undefined""#);
    for (client, payload, expected) in [
        (&mut host, &start, "cancel/service-unavailable"),
        (&mut narrow, &start, "auth/forbidden"),
        (&mut guest, &start, "cancel/not-allowed"),
    ] {
        assert_eq!(error(&client.focus(payload).await), expected);
    }
    assert_eq!(error(&host.focus(&stop).await), "cancel/item-not-found");
    assert_eq!(error(&host.focus(&broken).await), "modify/bad-request");
    assert_eq!(house.denials("record"), 2);
}

#[tokio::test]
async fn a_guest_waits_for_its_host() {
    let house = House::with_tokens(true).await;
    let mut guest = house.client().await;
    let request = format!(
        r#"<conference xmlns="http://jitsi.org/protocol/focus" room="{ROOM}" machine-uid="m1"/>"#
    );
    let focus = format!("focus.{DOMAIN}");
    let refused = guest.ask("set", Some(&focus), &request).await;
    assert_eq!(error(&refused), "auth/not-authorized");
    assert_eq!(house.metric("rooms"), 0);
    let me = format!("{ROOM}/{}", guest.nick);
    let knock = |guest: &Client| guest.join_stanza(ROOM);
    // The room is not there, and then it is but nobody is in it: refused alike.
    guest.send(knock(&guest)).await;
    let first = guest.until(|e| e.attr("type") == Some("error")).await;
    let mut host = house.token_client("host").await;
    host.request_conference(ROOM).await;
    let refused = guest.ask("set", Some(&focus), &request).await;
    assert_eq!(error(&refused), "auth/not-authorized");
    guest.send(knock(&guest)).await;
    let second = guest.until(|e| e.attr("type") == Some("error")).await;
    for refused in [first, second] {
        assert_eq!(error(&refused), "cancel/not-allowed");
        assert_eq!(refused.attr("from"), Some(&*me));
        assert!(refused.to_xml().contains(">Room creation is restricted<"));
    }
    let heard = host.join(ROOM).await;
    let own = &heard[heard.len() - 2];
    assert_eq!(item(own).attr("role"), Some("moderator"));
    let identity = own.child_named("identity").unwrap();
    assert!(identity.to_xml().contains("<name>Ann</name>"));
    let ready = guest.request_conference(ROOM).await;
    let conference = ready.child("conference", ns::FOCUS).unwrap();
    assert_eq!(conference.attr("ready"), Some("true"));
    let heard = guest.join(ROOM).await;
    assert_eq!(
        item(&heard[heard.len() - 2]).attr("role"),
        Some("participant")
    );
    assert!(heard.iter().any(|e| e.child_named("identity").is_some()));
}

#[tokio::test]
async fn who_would_rather_watch_comes_in_like_everybody() {
    let house = House::start().await;
    let mut client = house.client().await;
    let request = format!(
        r#"<conference xmlns="http://jitsi.org/protocol/focus" room="{ROOM}" machine-uid="m1"><property name="visitors-version" value="1"/><property name="visitor" value="true"/></conference>"#
    );
    let focus = format!("focus.{DOMAIN}");
    let answer = client.ask("set", Some(&focus), &request).await;
    let conference = answer.child("conference", ns::FOCUS).unwrap();
    assert_eq!(conference.attr("ready"), Some("true"));
    assert_eq!(conference.attr("vnode"), None);
    let supported = conference
        .children()
        .find(|p| p.attr("name") == Some("visitors-supported"))
        .unwrap();
    assert_eq!(supported.attr("value"), Some("false"));
    client.join(ROOM).await;
    let body =
        r#"{"room":"demo@muc.meet.jitsi","properties":{"visitors-version":1,"visitor":true}}"#;
    let (status, _, body) = house.http("POST", "/conference-request/v1", body).await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""visitors-supported":"false""#), "{body}");
}

#[tokio::test]
async fn two_with_very_long_messages_do_not_end_who_reads_slowly() {
    let house = House::start_with(|settings| {
        // As fast as they can: what holds is the length of what goes to all.
        settings.stanzas_per_second = 1_000_000;
        settings.stanza_burst = 1_000_000;
        settings.byte_burst = u32::MAX;
        settings.address_byte_burst = u32::MAX;
    })
    .await;
    let (mut slow, _) = house.joined(ROOM).await;
    let (mut one, _) = house.joined(ROOM).await;
    let (mut two, _) = house.joined(ROOM).await;
    let body = "x".repeat(255 * 1024);
    let long = format!(
        r#"<message xmlns="jabber:client" type="groupchat" to="{ROOM}" id="l"><body>{body}</body></message>"#
    );
    for _ in 0..40 {
        for client in [&mut one, &mut two] {
            client.send(long.as_str()).await;
            let answer = client.until(|e| e.attr("id") == Some("l")).await;
            assert_eq!(error(&answer), "modify/policy-violation");
            assert!(answer.to_xml().contains("64 KiB"));
        }
    }
    one.mark("m1").await;
    slow.until(|e| e.attr("id") == Some("m1")).await;
    assert_eq!(house.metric("queue_overflows_total"), 0);
}

//! XMPP over WebSocket from the client's side (RFC 7395): open, log in, bind, then stanzas.

use crate::{ClientSettings, Error, tls};
use althing_xmpp::login::{Login, Step, read_stream_error};
use althing_xmpp::{Element, Jid, Limits, ns, parse};
use futures_util::{SinkExt, StreamExt};
use std::collections::VecDeque;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use url::Url;

/// An authenticated and bound stream.
pub(crate) struct Stream {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    jid: Jid,
    next_id: u64,
    /// Stanzas that came while an answer was waited for.
    waiting: VecDeque<Element>,
    /// Stanzas received, and their bytes.
    pub(crate) received: (u64, u64),
}

/// What came.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The presence of somebody: whose, and its type. Not looked into further: in a large room
    /// nearly everything that comes is presence.
    Presence { from: String, kind: Option<String> },
    /// Anything else.
    Stanza(Element),
}

/// What we buffer of a socket; there are two for each occupant.
const BUFFER: usize = 8 * 1024;

/// `ws` or `wss` URL of a path on the server.
pub(crate) fn websocket_url(server: &Url, path: &str) -> Result<Url, Error> {
    let scheme = match server.scheme() {
        "http" => "ws",
        "https" => "wss",
        _ => {
            return Err(Error::Url {
                url: server.to_string(),
                reason: "it must begin with http or https",
            });
        }
    };
    let mut url = server.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url.set_scheme(scheme).map_err(|()| Error::Url {
        url: server.to_string(),
        reason: "it has no host",
    })?;
    Ok(url)
}

/// Opens a WebSocket, with a subprotocol if one is named.
pub(crate) async fn open_socket(
    url: &str,
    subprotocol: Option<&'static str>,
    accept_any_certificate: bool,
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, Error> {
    let mut request = url.into_client_request()?;
    if let Some(subprotocol) = subprotocol {
        request.headers_mut().insert(
            "sec-websocket-protocol",
            tokio_tungstenite::tungstenite::http::HeaderValue::from_static(subprotocol),
        );
    }
    let connector = tls::connector(accept_any_certificate);
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0);
    let (socket, _) =
        tokio_tungstenite::connect_async_tls_with_config(request, Some(config), true, connector)
            .await?;
    Ok(socket)
}

impl Stream {
    /// Connects, logs in anonymously, binds.
    pub(crate) async fn connect(settings: &ClientSettings) -> Result<Self, Error> {
        let mut url = websocket_url(&settings.url, "/xmpp-websocket")?;
        url.query_pairs_mut().append_pair("room", &settings.room);
        let socket =
            open_socket(url.as_str(), Some("xmpp"), settings.accept_any_certificate).await?;
        let (mut login, open) = Login::start(settings.domain.as_str());
        let mut socket = socket;
        socket.send(Message::text(open)).await?;
        let jid = loop {
            let frame = match socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(error.into()),
                None => return Err(Error::Closed { reason: None }),
            };
            match login.handle_frame(frame.as_str())? {
                Step::Send(frame) => socket.send(Message::text(frame)).await?,
                Step::Wait => {}
                Step::Bound(jid) => break jid,
            }
        };
        Ok(Self {
            socket,
            jid,
            next_id: 0,
            waiting: VecDeque::new(),
            received: (0, 0),
        })
    }

    /// Our full address.
    pub(crate) const fn jid(&self) -> &Jid {
        &self.jid
    }

    async fn send_text(&mut self, text: String) -> Result<(), Error> {
        Ok(self.socket.send(Message::text(text)).await?)
    }

    pub(crate) async fn send(&mut self, stanza: &Element) -> Result<(), Error> {
        self.send_text(stanza.to_xml()).await
    }

    /// A fresh stanza id.
    pub(crate) fn id(&mut self) -> String {
        self.next_id += 1;
        format!("c{}", self.next_id)
    }

    /// Sends an IQ and waits for its answer; other stanzas are kept for [`Self::next`].
    pub(crate) async fn request(
        &mut self,
        doing: &'static str,
        to: Option<&str>,
        kind: &'static str,
        payload: Element,
    ) -> Result<Element, Error> {
        let id = self.id();
        let iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", kind)
            .with_attr("id", id.as_str())
            .with_attr_opt("to", to)
            .with_child(payload);
        self.send(&iq).await?;
        loop {
            let stanza = self.read().await?;
            if stanza.name() == "iq" && stanza.attr("id") == Some(id.as_str()) {
                return match stanza.attr("type") {
                    Some("result") => Ok(stanza),
                    _ => Err(refused(doing, &stanza)),
                };
            }
            self.waiting.push_back(stanza);
        }
    }

    /// The next stanza; of another's presence only whose it is.
    pub(crate) async fn next(&mut self, own: &str) -> Result<Incoming, Error> {
        if let Some(stanza) = self.waiting.pop_front() {
            return Ok(Incoming::Stanza(stanza));
        }
        let text = self.read_text().await?;
        if let Some((from, kind)) = presence_of(text.as_str())
            && from != own
            && kind != Some("error")
        {
            return Ok(Incoming::Presence {
                from: from.to_owned(),
                kind: kind.map(str::to_owned),
            });
        }
        element(text.as_str()).map(Incoming::Stanza)
    }

    async fn read(&mut self) -> Result<Element, Error> {
        let text = self.read_text().await?;
        element(text.as_str())
    }

    async fn read_text(&mut self) -> Result<Utf8Bytes, Error> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    self.received.0 += 1;
                    self.received.1 += text.len() as u64;
                    return Ok(text);
                }
                Some(Ok(Message::Close(frame))) => {
                    return Err(Error::Closed {
                        reason: frame.map(|f| f.to_string()),
                    });
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(Error::Closed { reason: None }),
            }
        }
    }

    /// Leaves every room and ends the stream, as a closing page does.
    pub(crate) async fn close(mut self) -> Result<(), Error> {
        let leave = Element::new("presence", ns::CLIENT).with_attr("type", "unavailable");
        self.send(&leave).await?;
        self.send_text(format!(r#"<close xmlns="{}" />"#, ns::FRAMING))
            .await?;
        // The server closes; reading to the end lets it see everything we said.
        while let Some(Ok(message)) = self.socket.next().await {
            if message.is_close() {
                break;
            }
        }
        Ok(())
    }
}

fn element(text: &str) -> Result<Element, Error> {
    let element = parse(text, &Limits::default()).map_err(|error| Error::Unexpected {
        doing: "reading",
        found: error.to_string(),
    })?;
    match read_stream_error(&element) {
        Some(condition) => Err(Error::Closed {
            reason: condition.map(|c| format!("{c:?}")),
        }),
        None => Ok(element),
    }
}

/// `from` and `type` of a presence, read from its start tag alone. `None` for anything else, and for
/// what would have to be unescaped.
fn presence_of(text: &str) -> Option<(&str, Option<&str>)> {
    let mut rest = text.strip_prefix("<presence")?;
    let (mut from, mut kind) = (None, None);
    loop {
        let trimmed = rest.trim_start();
        if trimmed.starts_with(['>', '/']) || trimmed.len() == rest.len() {
            break;
        }
        let (name, value) = trimmed.split_once('=')?;
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, after) = value[1..].split_once(quote)?;
        match name {
            "from" => from = Some(value),
            "type" => kind = Some(value),
            _ => {}
        }
        rest = after;
    }
    Some((from?, kind)).filter(|(from, _)| !from.contains('&'))
}

pub(crate) fn refused(doing: &'static str, stanza: &Element) -> Error {
    let condition = stanza
        .child_named("error")
        .and_then(|e| e.children().next())
        .map_or_else(|| "no reason given".to_owned(), |c| c.name().to_owned());
    Error::Refused { doing, condition }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presence_is_read_by_its_start_tag() {
        let check = |text: &str, found: Option<(&str, Option<&str>)>| {
            assert_eq!(presence_of(text), found, "{text}");
        };
        check(
            r#"<presence xmlns="jabber:client" to="a" from="r@m/n"><x/></presence>"#,
            Some(("r@m/n", None)),
        );
        check(
            r#"<presence from='r@m/n' type='unavailable'/>"#,
            Some(("r@m/n", Some("unavailable"))),
        );
        check(
            r#"<presence a="x > y" from="r@m/n" >"#,
            Some(("r@m/n", None)),
        );
        check(r#"<presence from="r&amp;d@m/n"/>"#, None);
        check("<presence/>", None);
        check("<presence from=\"", None);
        check("<message from='a'/>", None);
    }
}

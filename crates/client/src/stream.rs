//! XMPP over WebSocket from the client's side (RFC 7395): open, log in, bind, then stanzas.

use crate::{ClientSettings, Error, tls};
use althing_xmpp::login::{Login, Step, read_stream_error};
use althing_xmpp::{Element, Jid, Limits, ns, parse};
use futures_util::{SinkExt, StreamExt};
use std::collections::VecDeque;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use url::Url;

/// An authenticated and bound stream.
pub(crate) struct Stream {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    jid: Jid,
    next_id: u64,
    /// Stanzas that came while an answer was waited for.
    waiting: VecDeque<Element>,
}

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
    let (socket, _) =
        tokio_tungstenite::connect_async_tls_with_config(request, None, true, connector).await?;
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

    /// The next stanza.
    pub(crate) async fn next(&mut self) -> Result<Element, Error> {
        match self.waiting.pop_front() {
            Some(stanza) => Ok(stanza),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<Element, Error> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let element = parse(text.as_str(), &Limits::default()).map_err(|error| {
                        Error::Unexpected {
                            doing: "reading",
                            found: error.to_string(),
                        }
                    })?;
                    if let Some(condition) = read_stream_error(&element) {
                        return Err(Error::Closed {
                            reason: condition.map(|c| format!("{c:?}")),
                        });
                    }
                    return Ok(element);
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

pub(crate) fn refused(doing: &'static str, stanza: &Element) -> Error {
    let condition = stanza
        .child_named("error")
        .and_then(|e| e.children().next())
        .map_or_else(|| "no reason given".to_owned(), |c| c.name().to_owned());
    Error::Refused { doing, condition }
}

//! A connection's first frames: until the client has an address, or goes on with an earlier session.

use crate::Shared;
use crate::authenticator::{Hello, LoginRefused};
use crate::clock::OsEntropy;
use crate::metrics::Reason;
use crate::resume::Claim;
use crate::session;
use crate::wire::{Connection, Ending, Gone, Incoming};
use althing_model::{ClientInfo, Identity, Secret};
use althing_xmpp::Jid;
use althing_xmpp::framing::{SaslCondition, StreamCondition};
use althing_xmpp::session::{AuthFailure, AuthRequest, AuthSuccess, CloseReason, Output};
use althing_xmpp::session::{Session, SessionSettings};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A client that has no address by then is let go.
const LOGIN: Duration = Duration::from_secs(30);
/// How long whoever checks tokens may take.
const AUTHENTICATION: Duration = Duration::from_secs(10);
/// How long the last frames may take to leave.
pub(crate) const FAREWELL: Duration = Duration::from_millis(500);

/// A client with an address, and all that is known of it.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) session: Session,
    pub(crate) jid: Jid,
    pub(crate) info: ClientInfo,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) connection: Connection,
}

/// Carries a connection from its first frame to its last.
pub(crate) async fn run(
    shared: Arc<Shared>,
    info: ClientInfo,
    hello: Hello,
    connection: Connection,
) {
    let handshake = Handshake {
        session: Session::new(SessionSettings {
            max_frame_bytes: shared.settings.max_frame_bytes,
            stream_management: connection.source.resumable(),
            ..SessionSettings::new(shared.settings.domain.clone())
        }),
        shared: Arc::clone(&shared),
        info,
        hello,
        identity: None,
        supersedes: None,
    };
    if let Some(newcomer) = Box::pin(handshake.run(connection)).await {
        session::run(shared, newcomer).await;
    }
}

struct Handshake {
    shared: Arc<Shared>,
    session: Session,
    info: ClientInfo,
    hello: Hello,
    identity: Option<Arc<Identity>>,
    /// The id of the session whose local part this client has.
    supersedes: Option<Secret>,
}

enum Step {
    On(Connection),
    Bound(Connection, Jid),
    Over,
}

impl Handshake {
    async fn run(mut self, mut connection: Connection) -> Option<Newcomer> {
        let login = Instant::now() + LOGIN;
        loop {
            let incoming = tokio::select! {
                incoming = tokio::time::timeout_at(login, connection.source.next()) => incoming,
                () = self.shared.stop_sessions.cancelled() => {
                    return self.end(connection, StreamCondition::SystemShutdown).await;
                }
            };
            let refused = match incoming {
                Err(_) => Some((Reason::Login, StreamCondition::ConnectionTimeout)),
                Ok(Incoming::Broken) => Some((Reason::Stream, StreamCondition::PolicyViolation)),
                Ok(Incoming::Binary) => Some((Reason::Binary, StreamCondition::BadFormat)),
                Ok(Incoming::Ended(Ending::Leaving | Ending::Lost)) => return None,
                Ok(Incoming::Alive) => None,
                Ok(Incoming::Frame(text)) => {
                    self.session.handle_frame(text.as_str(), &mut OsEntropy);
                    None
                }
                Ok(Incoming::Element(element, _)) => {
                    self.session.handle_element(element, &mut OsEntropy);
                    None
                }
            };
            if let Some((reason, condition)) = refused {
                self.shared.metrics.refuse(reason);
                return self.end(connection, condition).await;
            }
            // A client that takes nothing is let go in time as well.
            match tokio::time::timeout_at(login, self.carry_out(connection)).await {
                Ok(Ok(Step::On(same))) => connection = same,
                Ok(Ok(Step::Bound(connection, jid))) => return Some(self.bound(connection, jid)),
                Ok(Ok(Step::Over) | Err(Gone)) => return None,
                Err(_) => {
                    self.shared.metrics.refuse(Reason::Login);
                    return None;
                }
            }
        }
    }

    /// Does what the session wants done.
    async fn carry_out(&mut self, mut connection: Connection) -> Result<Step, Gone> {
        let mut bound = None;
        while let Some(output) = self.session.poll() {
            match output {
                Output::Frame(frame) | Output::Answer(frame) => {
                    connection.sink.send(&frame).await?;
                }
                Output::Authenticate(AuthRequest::Anonymous) => {
                    let decision = self.authenticate().await;
                    self.session.authenticated(decision, &mut OsEntropy);
                }
                Output::Resume { previous, handled } => {
                    match self.resume(connection, &previous, handled).await {
                        Some(back) => connection = back,
                        None => return Ok(Step::Over),
                    }
                    self.shared.metrics.refuse(Reason::Resume);
                    self.session.resume_refused();
                }
                Output::Bound { jid } => bound = Some(jid),
                Output::Close(reason) => {
                    if let CloseReason::Error(condition) = reason {
                        self.shared.metrics.refuse(Reason::Stream);
                        tracing::debug!(condition = condition.as_str(), "stream error");
                    }
                    connection.sink.close().await;
                    return Ok(Step::Over);
                }
                // Of bound sessions only.
                Output::Stanza(_) | Output::Enable { .. } | Output::Acknowledged(_) => {}
            }
        }
        Ok(match bound {
            Some(jid) => Step::Bound(connection, jid),
            None => Step::On(connection),
        })
    }

    async fn authenticate(&mut self) -> Result<AuthSuccess, AuthFailure> {
        let credentials = self.hello.credentials.clone();
        let asked = self.shared.settings.authenticator.authenticate(credentials);
        let refuse = |condition, text| {
            self.shared.metrics.refuse(Reason::Token);
            Err(AuthFailure { condition, text })
        };
        match tokio::time::timeout(AUTHENTICATION, asked).await {
            Err(_) => {
                tracing::warn!("a login was not decided in time");
                return refuse(SaslCondition::TemporaryAuthFailure, None);
            }
            Ok(Err(LoginRefused { text })) => {
                return refuse(SaslCondition::NotAllowed, Some(text));
            }
            Ok(Ok(identity)) => self.identity = identity.map(Arc::new),
        }
        let node = self.hello.previous.as_ref().and_then(|previous| {
            let resumable = &self.shared.resumable;
            resumable.node(previous.expose(), self.identity.as_deref())
        });
        self.supersedes = node
            .is_some()
            .then(|| self.hello.previous.clone())
            .flatten();
        Ok(AuthSuccess { node })
    }

    /// Offers the connection to an earlier session; it comes back if that cannot take it.
    async fn resume(
        &self,
        connection: Connection,
        previous: &str,
        handled: u32,
    ) -> Option<Connection> {
        let identity = self.identity.as_deref();
        let Some(claims) = self.shared.resumable.claims(previous, identity) else {
            return Some(connection);
        };
        let (refused, back) = oneshot::channel();
        let claim = Box::new(Claim {
            connection,
            info: self.info.clone(),
            identity: self.identity.clone(),
            handled,
            refused,
        });
        if let Err(unsent) = claims.try_send(claim) {
            return Some(unsent.into_inner().connection);
        }
        back.await.ok()
    }

    fn bound(self, connection: Connection, jid: Jid) -> Newcomer {
        if let Some(previous) = &self.supersedes {
            self.shared
                .resumable
                .supersede(previous.expose(), self.identity.as_deref());
        }
        tracing::debug!("session bound");
        Newcomer {
            session: self.session,
            jid,
            info: self.info,
            identity: self.identity,
            connection,
        }
    }

    /// Ends the stream from our side.
    async fn end<T>(
        &mut self,
        mut connection: Connection,
        condition: StreamCondition,
    ) -> Option<T> {
        self.session.end(condition, &mut OsEntropy);
        let farewell = async {
            while let Some(output) = self.session.poll() {
                if let Output::Frame(frame) = output {
                    connection.sink.send(&frame).await?;
                }
            }
            connection.sink.close().await;
            Ok::<(), Gone>(())
        };
        tokio::time::timeout(FAREWELL, farewell).await.ok();
        None
    }
}

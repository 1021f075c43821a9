use std::time::Duration;

/// Why an occupant is not in the room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is not one of a server.
    #[error("{url} is not a server's address: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The WebSocket did not open or broke.
    #[error("the connection to the server failed: {0}")]
    WebSocket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    /// The other side ended the connection.
    #[error("the server closed the connection{}", .reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default())]
    Closed {
        /// What it said, if it said anything.
        reason: Option<String>,
    },
    /// The server did not let us in.
    #[error("logging in failed: {0}")]
    Login(#[from] althing_xmpp::login::LoginError),
    /// The server said something this client does not understand at this point.
    #[error("while {doing}, the server sent something unexpected: {found}")]
    Unexpected {
        /// The step.
        doing: &'static str,
        /// The beginning of what came.
        found: String,
    },
    /// The server refused.
    #[error("while {doing}, the server refused: {condition}")]
    Refused {
        /// The step.
        doing: &'static str,
        /// The error condition of XMPP.
        condition: String,
    },
    /// It took too long.
    #[error("joining took longer than {0:?}")]
    Timeout(Duration),
    /// No threads or sockets to be had for media.
    #[error("media cannot start: {0}")]
    Media(std::io::Error),
    /// No randomness to be had.
    #[error("the operating system gave no random numbers")]
    Entropy,
}

impl From<tokio_tungstenite::tungstenite::Error> for Error {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

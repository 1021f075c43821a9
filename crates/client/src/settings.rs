use std::time::Duration;
use url::Url;

/// How remote sources are to be signalled to us: which features are advertised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignallingMode {
    /// SSRC rewriting over the bridge channel: what web and mobile clients get.
    #[default]
    Rewriting,
    /// JSON-encoded sources in source-add.
    Json,
    /// XML sources, as for gst-meet.
    Xml,
}

/// One headless occupant.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The server as a browser would open it: `http://localhost:8000`, `https://meet.example`.
    pub url: Url,
    /// The server's XMPP domain (`hosts.domain` of its config.js); `meet.jitsi` unless configured.
    pub domain: String,
    /// The room's name as typed.
    pub room: String,
    /// The display name.
    pub name: String,
    /// Sends generated Opus, 50 packets a second.
    pub send_audio: bool,
    /// Sends generated VP8 when somebody wants it, about 400 kbit/s.
    pub send_video: bool,
    /// The height asked of every video source, in pixels; 0 receives no video.
    pub receive_height: i32,
    /// Which features are advertised.
    pub mode: SignallingMode,
    /// Believes any TLS certificate. For self-signed test servers.
    pub accept_any_certificate: bool,
    /// How long joining may take.
    pub join_timeout: Duration,
}

impl ClientSettings {
    /// An occupant that listens: no media sent, 360 pixels received.
    #[must_use]
    pub fn new(url: Url, room: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url,
            domain: "meet.jitsi".to_owned(),
            room: room.into(),
            name: name.into(),
            send_audio: false,
            send_video: false,
            receive_height: 360,
            mode: SignallingMode::default(),
            accept_any_certificate: false,
            join_timeout: Duration::from_secs(30),
        }
    }
}

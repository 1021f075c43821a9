use crate::{Hub, Network};
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

/// One encoding of a picture; simulcast sends several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodingSettings {
    /// Pixels from top to bottom.
    pub height: u16,
    /// Of the payload, in bit/s.
    pub bitrate: u32,
}

/// A camera or a screen that is generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSettings {
    /// Low to high; at least one, at most three.
    pub encodings: Vec<EncodingSettings>,
    /// Frames per second, 1 to 60.
    pub frame_rate: u32,
    /// 1 to 3.
    pub temporal_layers: u8,
    /// How many times as large a keyframe is as another frame.
    pub keyframe_weight: u32,
    /// A screen rather than a camera.
    pub is_screen: bool,
}

impl VideoSettings {
    /// One encoding without temporal layers.
    #[must_use]
    pub fn single(height: u16, bitrate: u32, frame_rate: u32) -> Self {
        Self {
            encodings: vec![EncodingSettings { height, bitrate }],
            frame_rate,
            temporal_layers: 1,
            keyframe_weight: 3,
            is_screen: false,
        }
    }

    /// What a stock client sends of a 720p camera: 180, 360 and 720 lines at 200, 500 and 1,500
    /// kbit/s, 30 frames a second in three temporal layers.
    #[must_use]
    pub fn simulcast() -> Self {
        let encoding = |height, bitrate| EncodingSettings { height, bitrate };
        Self {
            encodings: vec![
                encoding(180, 200_000),
                encoding(360, 500_000),
                encoding(720, 1_500_000),
            ],
            frame_rate: 30,
            temporal_layers: 3,
            keyframe_weight: 4,
            is_screen: false,
        }
    }

    /// A screen of 1,080 lines, five frames a second.
    #[must_use]
    pub fn screen(bitrate: u32) -> Self {
        Self {
            is_screen: true,
            ..Self::single(1080, bitrate, 5)
        }
    }

    /// What it sends when everybody wants everything, in bit/s.
    #[must_use]
    pub fn bitrate(&self) -> u64 {
        self.encodings.iter().map(|e| u64::from(e.bitrate)).sum()
    }
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
    /// Of the Opus payload, in bit/s; 10,400 at least, since every packet proves itself.
    pub audio_bitrate: u32,
    /// Sends generated VP8 when somebody wants it.
    pub send_video: bool,
    /// What the camera sends.
    pub video: VideoSettings,
    /// The height asked of every video source, in pixels; 0 receives no video.
    pub receive_height: i32,
    /// Which features are advertised.
    pub mode: SignallingMode,
    /// Has a media connection at all. Without one, offers are accepted and nothing follows.
    pub media: bool,
    /// What happens to datagrams on their way to us.
    pub downlink: Network,
    /// What happens to datagrams on their way from us.
    pub uplink: Network,
    /// Where its media runs; without one it gets a thread of its own.
    pub hub: Option<Hub>,
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
            audio_bitrate: 32_000,
            send_video: false,
            video: VideoSettings::single(360, 400_000, 15),
            receive_height: 360,
            mode: SignallingMode::default(),
            media: true,
            downlink: Network::default(),
            uplink: Network::default(),
            hub: None,
            accept_any_certificate: false,
            join_timeout: Duration::from_secs(30),
        }
    }
}

/// Which video an occupant wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watch {
    /// Of every source, in pixels; 0 for none.
    pub height: i32,
    /// Sources by name (`ab12cd34-v0`) that come first.
    pub on_stage: Vec<String>,
    /// Of these, in pixels.
    pub stage_height: i32,
    /// At most this many sources; all, if nothing is said.
    pub last_n: Option<i32>,
}

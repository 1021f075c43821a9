use althing_model::{MediaMode, Secret};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be configured, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The XMPP domain; never the web address.
    pub domain: String,
    /// Where all state lies; `None` is `$STATE_DIRECTORY`, else `./data`.
    pub data: Option<PathBuf>,
    /// How long meetings may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// Listeners and proxies.
    pub http: Http,
    /// The media port and what clients are told of it.
    pub media: Media,
    /// The log.
    pub log: Log,
    /// Limits of rooms.
    pub rooms: Rooms,
    /// Limits of connections.
    pub limits: Limits,
    /// What one client's media may cost.
    pub endpoint: Endpoint,
    /// Who may come in, and as what.
    pub auth: Auth,
    /// What rooms begin with; the first whose pattern fits holds.
    pub presets: Vec<RoomPreset>,
    /// The interface for other programs.
    pub api: Api,
    /// Who is told what happens in rooms.
    pub webhooks: Vec<Webhook>,
    /// What is kept of it.
    pub audit: Audit,
}

/// The interface for other programs; off without a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Api {
    /// The key of `api.secret` or `api.secret_file`; its name is `api`.
    pub secret: Option<SecretSource>,
    /// Further keys.
    pub keys: Vec<ApiKey>,
}

/// A key of the interface for other programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// What the audit log calls it.
    pub name: String,
    /// The key.
    pub source: SecretSource,
}

/// Who is told what happens in rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is posted to.
    pub url: String,
    /// What it is signed with.
    pub secret: SecretSource,
    /// Which events; `None` is the usual ones. Whether there are such events is for the reader of
    /// this to say.
    pub events: Option<Vec<String>>,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The secret itself.
    Secret(Secret),
    /// A file that holds it, for the reader of this to open.
    File(PathBuf),
}

/// What is kept of what happens in rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// Whether there is an audit log at all.
    pub enabled: bool,
    /// Whether it has who was there, too.
    pub attendance: bool,
}

/// Listeners and proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Plain HTTP; empty is off.
    pub listen: Vec<SocketAddr>,
    /// HTTPS; empty is off.
    pub tls_listen: Vec<SocketAddr>,
    /// Metrics, health details, debugging; empty is off.
    pub admin_listen: Vec<SocketAddr>,
    /// Who may set `X-Forwarded-*`.
    pub trusted_proxies: Vec<IpNet>,
    /// The address people open, without a slash at its end; for links that are printed.
    pub public_url: Option<String>,
}

/// The media port and what clients are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// UDP; 0 lets the operating system choose.
    pub port: u16,
    /// Local addresses to use; empty is every interface.
    pub bind: Vec<IpAddr>,
    /// Further addresses to tell clients.
    pub advertise: Vec<Advertise>,
    /// Media threads; 0 is one for each processor.
    pub workers: usize,
    /// People of one meeting on one media thread, before others go to others; 0 is no limit.
    pub split_above: usize,
    /// What of media rooms are for, where nothing else is said of one.
    pub mode: MediaMode,
    /// Whether clients that can send sound twice do.
    pub redundant_audio: bool,
    /// With more open microphones than this only the loudest are sent.
    pub loudest_above: usize,
    /// How many those are; 0 is all, always.
    pub loudest_count: usize,
    /// Voices that a client has at hand.
    pub audio_slots: usize,
    /// Video sources that a client is sent at most, from so many endpoints on.
    pub last_n_by_size: BTreeMap<usize, u32>,
    /// Whether too much load takes pictures first, and keeps newcomers out.
    pub shed_load: bool,
}

/// An address to tell clients, because a router in front of this machine passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertise {
    /// As seen by clients.
    pub address: IpAddr,
    /// As seen by clients; `None` is the media port itself.
    pub port: Option<u16>,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives by part.
    pub level: String,
    /// For a person or for a program.
    pub format: LogFormat,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
}

/// Limits of rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rooms {
    /// How many people fit in one room.
    pub max_occupants: usize,
    /// How many rooms may be open at once.
    pub max_rooms: usize,
    /// How many clients may be connected at once.
    pub max_sessions: usize,
    /// Whether whoever asks to be let in from a lobby has to say a name.
    pub lobby_names: bool,
}

/// How long broken connections are waited for, and what clients of one address may do together (IPv6:
/// of one /64).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long somebody who lost the connection is waited for.
    pub resume_time: Duration,
    /// How many may be waited for at once.
    pub waiting: usize,
    /// How many of one address.
    pub address_waiting: usize,
    /// Connections at once.
    pub address_connections: usize,
    /// Connections opened.
    pub address_opened: Rate,
    /// Joins.
    pub address_joins: Rate,
    /// Rooms made.
    pub address_rooms: Rate,
    /// Stanzas sent.
    pub address_stanzas: Rate,
    /// Bytes sent.
    pub address_bytes: Rate,
}

/// What one client's media may cost, in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Bits a second that it sends.
    pub bit_rate: u64,
    /// Of these, bits of sound.
    pub audio_bit_rate: u64,
    /// Packets a second that it sends.
    pub packets: u32,
    /// RTCP packets a second that it sends.
    pub rtcp_packets: u32,
    /// Microphones, cameras and screens.
    pub sources: usize,
    /// SSRCs; and groups of them.
    pub ssrcs: usize,
    /// Keyframes it asks others for, a second.
    pub keyframe_requests: u32,
    /// Bridge channel messages a second.
    pub messages: u32,
}

/// How much of something is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub per_second: u32,
    /// At once, after a while of nothing.
    pub at_once: u32,
}

/// What some rooms begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPreset {
    /// Their names, in lower case: `*` is anything, `?` one character.
    pub pattern: String,
    /// The password.
    pub password: Option<PasswordSource>,
    /// Whether newcomers wait until a moderator lets them in.
    pub lobby: bool,
    /// How many people fit in, if not as many as in every room.
    pub max_occupants: Option<usize>,
    /// The name people see.
    pub subject: Option<String>,
    /// Whether newcomers leave their microphone off.
    pub start_muted_audio: bool,
    /// Whether newcomers leave their camera off.
    pub start_muted_video: bool,
    /// Newcomers leave their microphone off when more than this many are there.
    pub start_muted_above: Option<usize>,
    /// What of media they are for, if not as everywhere.
    pub media: Option<MediaMode>,
    /// How long a meeting lasts at most.
    pub max_duration: Option<Duration>,
    /// Who may open them, if not as everywhere.
    pub hosts: Option<Hosts>,
    /// Whether people without a token may come in.
    pub guests: bool,
    /// Who becomes a moderator, if not as everywhere.
    pub moderators: Option<Moderators>,
    /// Further metadata.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

impl Default for RoomPreset {
    fn default() -> Self {
        Self {
            pattern: String::new(),
            password: None,
            lobby: false,
            max_occupants: None,
            subject: None,
            start_muted_audio: false,
            start_muted_video: false,
            start_muted_above: None,
            media: None,
            max_duration: None,
            hosts: None,
            guests: true,
            moderators: None,
            metadata: serde_json::Map::new(),
        }
    }
}

/// Where a room's password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The password itself.
    Password(Secret),
    /// A file that holds it, for the reader of this to open.
    File(PathBuf),
}

/// Who may come in, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Who may open a room.
    pub hosts: Hosts,
    /// Whether people without a token may come in at all.
    pub guests: bool,
    /// Who becomes a moderator when a token does not say.
    pub moderators: Moderators,
    /// Where clients send people to log in (`tokenAuthUrl`).
    pub login_url: Option<String>,
    /// What a token has to say.
    pub token: TokenRules,
    /// The shared secret of `auth.secret` or `auth.secret_file`: a key before all others.
    pub secret: Option<AuthKeySource>,
    /// The keys that tokens are signed with, in the order to try and to sign with.
    pub keys: Vec<AuthKey>,
}

/// Who may open a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// Whoever comes first.
    Everyone,
    /// People with a token; guests wait for one of them.
    Authenticated,
}

/// Who becomes a moderator when a token does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moderators {
    /// Whoever is first in the room, and after them the next.
    First,
    /// Everybody with a token.
    Authenticated,
    /// Everybody.
    Everyone,
}

/// What a token has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// Accepted `iss`; `*` is any.
    pub issuers: Vec<String>,
    /// Accepted `aud`; `*` is any.
    pub audiences: Vec<String>,
    /// How far clocks may differ.
    pub clock_skew: Duration,
    /// Whether `exp` must be there.
    pub require_exp: bool,
    /// Whether `room` must be there.
    pub require_room: bool,
    /// Whether `sub` must be the domain or tenant.
    pub verify_domain: bool,
}

/// A key that tokens are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthKey {
    /// Algorithms it is good for (`HS256`); empty is what its kind implies.
    pub algorithms: Vec<String>,
    /// The `kid` a token names it by; `None` does not ask.
    pub kid: Option<String>,
    /// Where it comes from.
    pub source: AuthKeySource,
}

/// Where a key comes from. Files are for the reader of this to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthKeySource {
    /// A shared secret.
    Secret(Secret),
    /// A file with a shared secret.
    SecretFile(PathBuf),
    /// A public key, certificate or private key.
    Pem(Secret),
    /// A file with one of those.
    PemFile(PathBuf),
    /// A JSON document of keys.
    Jwks(String),
    /// A server that has a PEM file for each `kid`.
    Asap(String),
}

impl Rate {
    pub(crate) const fn new(per_second: u32, at_once: u32) -> Self {
        Self {
            per_second,
            at_once,
        }
    }
}

/// `[::]` takes IPv4 connections too, so one socket serves every interface.
const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // What Jitsi's own container set-up uses: clients never show it, and since it follows
            // no address, a room opened by any name of this machine is one room.
            domain: "meet.jitsi".to_owned(),
            data: None,
            // A meeting that is about to end ends by itself, and an empty server at once. Longer, and
            // service managers kill: systemd does so after 90 s unless told otherwise.
            drain_timeout: Duration::from_secs(60),
            http: Http {
                // For a reverse proxy and for localhost, where browsers allow the camera over HTTP.
                listen: vec![everywhere(8000)],
                // For everything else in the local network: no camera without HTTPS.
                tls_listen: vec![everywhere(8443)],
                // The port of the replaced bridge's statistics; they tell too much for the public.
                admin_listen: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080)],
                // A proxy on this machine; anything further away has to be named.
                trusted_proxies: vec![
                    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
                    IpNet::new_assert(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
                ],
                public_url: None,
            },
            media: Media {
                // The port that operators of Jitsi have already opened.
                port: 10_000,
                bind: Vec::new(),
                advertise: Vec::new(),
                workers: 0,
                // Fewer cost a thread little, and each further one a copy of every packet.
                split_above: 40,
                mode: MediaMode::All,
                // Lost packets are what people hear of a bad line, and sound is the smallest part of it.
                redundant_audio: true,
                // More who speak at once nobody understands.
                loudest_above: 10,
                loudest_count: 3,
                audio_slots: 20,
                // Clients ask for what they show, and the bridge for no more than paths carry.
                last_n_by_size: BTreeMap::new(),
                shed_load: true,
            },
            log: Log {
                level: "info".to_owned(),
                format: LogFormat::Text,
            },
            rooms: Rooms {
                // Far beyond what one room is good for; a guard against accidents, not a tariff.
                max_occupants: 1_000,
                max_rooms: 10_000,
                max_sessions: 20_000,
                lobby_names: true,
            },
            limits: Limits {
                // What clients are told, and reckon with.
                resume_time: Duration::from_secs(60),
                waiting: 5_000,
                address_waiting: 2_000,
                // A university behind one address, all lessons beginning at eight, and everybody coming
                // back at once after a break of the line.
                address_connections: 5_000,
                address_opened: Rate::new(50, 5_000),
                address_joins: Rate::new(50, 2_000),
                address_rooms: Rate::new(20, 1_000),
                address_stanzas: Rate::new(10_000, 100_000),
                address_bytes: Rate::new(20 << 20, 200 << 20),
            },
            endpoint: Endpoint {
                bit_rate: 50_000_000,
                audio_bit_rate: 2_500_000,
                packets: 10_000,
                rtcp_packets: 1_000,
                sources: 20,
                ssrcs: 20,
                keyframe_requests: 25,
                messages: 100,
            },
            auth: Auth {
                // Without a key there is nobody but guests.
                hosts: Hosts::Everyone,
                guests: true,
                moderators: Moderators::First,
                login_url: None,
                token: TokenRules {
                    // Whoever has the key decides what it says.
                    issuers: vec!["*".to_owned()],
                    audiences: vec!["*".to_owned()],
                    // What clocks kept by NTP never reach, and replays can hardly use.
                    clock_skew: Duration::from_secs(30),
                    // Jitsi's own sample token has none.
                    require_exp: false,
                    require_room: true,
                    verify_domain: false,
                },
                secret: None,
                keys: Vec::new(),
            },
            presets: Vec::new(),
            api: Api::default(),
            webhooks: Vec::new(),
            audit: Audit {
                enabled: true,
                // Who was where is nobody's business unless somebody says so.
                attendance: false,
            },
        }
    }
}

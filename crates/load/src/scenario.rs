//! The shapes of load that operators ask about, each with the size that suits the machine.

use crate::Limits;
use althing_client::{Network, Url, VideoSettings};
use std::time::Duration;

/// A shape of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Some occupants, some of whom speak.
    Meeting,
    /// Everybody sends sound and picture, everybody receives everybody (S1).
    Star,
    /// Many listen to a few (S2).
    Hall,
    /// Many come at once (S3).
    Storm,
    /// Everybody sees everybody, small (S4).
    Thumbnails,
    /// A screen share begins in a large room (S5).
    Share,
    /// One sends in three sizes, many watch (S6).
    Stream,
    /// Rooms of ten at 720p, with shares and people who drop out and come back (S7).
    Rooms,
    /// Rooms of three that come and go (S9).
    Tiny,
}

impl Scenario {
    /// All of them, in the order they are told of.
    pub const ALL: [Self; 9] = [
        Self::Meeting,
        Self::Star,
        Self::Hall,
        Self::Storm,
        Self::Thumbnails,
        Self::Share,
        Self::Stream,
        Self::Rooms,
        Self::Tiny,
    ];

    /// Its name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meeting => "meeting",
            Self::Star => "star",
            Self::Hall => "hall",
            Self::Storm => "storm",
            Self::Thumbnails => "thumbnails",
            Self::Share => "share",
            Self::Stream => "stream",
            Self::Rooms => "rooms",
            Self::Tiny => "tiny",
        }
    }

    /// What happens in it.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Meeting => "a meeting: some speak, the others listen",
            Self::Star => "everybody sends sound and picture, everybody receives everybody",
            Self::Hall => "an audio hall: many listen to a few",
            Self::Storm => "a join storm: many come within ten seconds",
            Self::Thumbnails => "everybody sees everybody, at 180 lines",
            Self::Share => "a screen share begins in a large room: does the sound suffer?",
            Self::Stream => "a live stream: one sends three sizes, viewers change theirs",
            Self::Rooms => "five rooms of ten at 720p, with shares and broken connections",
            Self::Tiny => "rooms of three that come and go",
        }
    }

    /// The scenario of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// A screen share that begins while everybody is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// After this part of the stay, 0 to 1.
    pub at: f64,
    /// What is sent.
    pub video: VideoSettings,
}

/// What is to happen, and where.
#[derive(Debug, Clone)]
pub struct LoadSettings {
    /// The shape it began from.
    pub scenario: Scenario,
    /// The server as a browser would open it.
    pub url: Url,
    /// The server's XMPP domain.
    pub domain: String,
    /// The room; with several rooms, `-0`, `-1`, … is appended.
    pub room: String,
    /// Believes any TLS certificate.
    pub accept_any_certificate: bool,
    /// The server's `/metrics`, over plain HTTP.
    pub metrics: Option<Url>,
    /// Media threads of ours.
    pub threads: usize,
    /// How many occupants in each room.
    pub occupants: usize,
    /// How many rooms.
    pub rooms: usize,
    /// Joins per second, all rooms together.
    pub joins_per_second: f64,
    /// How long joining may take.
    pub join_timeout: Duration,
    /// How long everybody stays once all have joined.
    pub stay: Duration,
    /// Whether there is media at all, or signalling alone.
    pub media: bool,
    /// How many of each room speak, the first ones.
    pub speakers: usize,
    /// Of a voice's payload, in bit/s.
    pub audio_bitrate: u32,
    /// How many of each room send video, the first ones.
    pub cameras: usize,
    /// What a camera sends.
    pub video: VideoSettings,
    /// Heights asked of every video source, in turn by occupant; 0 for none.
    pub heights: Vec<i32>,
    /// Height asked of the first other camera, which is then on stage; later of the share.
    pub stage_height: Option<i32>,
    /// A screen share in each room.
    pub share: Option<Share>,
    /// Every occupant asks for the next of `heights` this often.
    pub change_every: Option<Duration>,
    /// Every occupant asks for keyframes this often.
    pub keyframes_every: Option<Duration>,
    /// Somebody's connections break this often, and he comes back.
    pub break_every: Option<Duration>,
    /// A room lasts so long; then all leave, and meet in a new one.
    pub room_lasts: Option<Duration>,
    /// What happens to datagrams on their way to an occupant.
    pub downlink: Network,
    /// What happens to datagrams on their way from an occupant.
    pub uplink: Network,
    /// What is promised.
    pub limits: Limits,
}

impl LoadSettings {
    /// A meeting of ten with three speakers, for half a minute.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            scenario: Scenario::Meeting,
            url,
            domain: "meet.jitsi".to_owned(),
            room: "load".to_owned(),
            accept_any_certificate: false,
            metrics: None,
            threads: 1,
            occupants: 10,
            rooms: 1,
            joins_per_second: 25.0,
            join_timeout: Duration::from_secs(30),
            stay: Duration::from_secs(30),
            media: true,
            speakers: 3,
            audio_bitrate: 32_000,
            cameras: 0,
            video: VideoSettings::single(360, 400_000, 15),
            heights: vec![180],
            stage_height: None,
            share: None,
            change_every: None,
            keyframes_every: None,
            break_every: None,
            room_lasts: None,
            downlink: Network::default(),
            uplink: Network::default(),
            limits: Limits::default(),
        }
    }

    /// A scenario at the size that suits a machine of so many processors, half of them the
    /// server's.
    #[must_use]
    pub fn of(scenario: Scenario, url: Url, processors: usize) -> Self {
        let processors = processors.clamp(1, 64);
        let secs = Duration::from_secs;
        let base = Self {
            scenario,
            ..Self::new(url)
        };
        match scenario {
            Scenario::Meeting => base,
            Scenario::Star => {
                let occupants = (5 * processors).clamp(4, 33);
                Self {
                    occupants,
                    speakers: occupants,
                    cameras: occupants,
                    // With the sound about 515 kbit/s each, as the Videobridge was measured.
                    video: VideoSettings::single(360, 480_000, 30),
                    heights: vec![720],
                    limits: Limits {
                        lost_video: Some(0.001),
                        ..base.limits
                    },
                    ..base
                }
            }
            Scenario::Hall => Self {
                occupants: 150 * processors,
                heights: vec![0],
                limits: Limits {
                    audio_p99: Some(Duration::from_millis(20)),
                    ..base.limits
                },
                ..base
            },
            Scenario::Storm => {
                let occupants = 100 * processors;
                Self {
                    occupants,
                    joins_per_second: occupants as f64 / 10.0,
                    speakers: 1,
                    heights: vec![0],
                    stay: secs(5),
                    limits: Limits {
                        join_p99: Some(secs(30)),
                        ..base.limits
                    },
                    ..base
                }
            }
            Scenario::Thumbnails => {
                let occupants = 15 * processors;
                Self {
                    occupants,
                    cameras: occupants,
                    video: VideoSettings::simulcast(),
                    heights: vec![180],
                    limits: Limits {
                        lost_video: Some(0.001),
                        ..base.limits
                    },
                    ..base
                }
            }
            Scenario::Share => Self {
                occupants: 50 * processors,
                cameras: 3,
                video: VideoSettings::simulcast(),
                stage_height: Some(1080),
                share: Some(Share {
                    at: 0.5,
                    video: VideoSettings::screen(2_500_000),
                }),
                stay: secs(40),
                limits: Limits {
                    share_within: Some(secs(2)),
                    audio_p99_rise: Some(Duration::from_millis(10)),
                    ..base.limits
                },
                ..base
            },
            Scenario::Stream => Self {
                occupants: 50 * processors + 1,
                speakers: 1,
                cameras: 1,
                video: VideoSettings::simulcast(),
                heights: vec![180, 360, 720],
                change_every: Some(secs(5)),
                keyframes_every: Some(secs(10)),
                limits: Limits {
                    lost_video: Some(0.001),
                    frozen: Some(0.01),
                    every_height: true,
                    ..base.limits
                },
                ..base
            },
            Scenario::Rooms => Self {
                rooms: 5,
                occupants: 10,
                cameras: 10,
                video: VideoSettings::simulcast(),
                heights: vec![180],
                stage_height: Some(720),
                share: Some(Share {
                    at: 0.25,
                    video: VideoSettings::screen(1_500_000),
                }),
                break_every: Some(secs(5)),
                stay: secs(60),
                limits: Limits {
                    join_p99: Some(secs(30)),
                    share_within: Some(secs(2)),
                    back_within: Some(secs(10)),
                    audio_p99: Some(Duration::from_millis(200)),
                    memory_growth: Some(0.1),
                    no_drops: true,
                    ..base.limits
                },
                ..base
            },
            Scenario::Tiny => {
                let rooms = 25 * processors;
                Self {
                    rooms,
                    occupants: 3,
                    cameras: 1,
                    room_lasts: Some(secs(15)),
                    stay: secs(45),
                    limits: Limits {
                        join_p99: Some(secs(5)),
                        ..base.limits
                    },
                    ..base
                }
            }
        }
    }

    /// Occupants in all rooms together.
    #[must_use]
    pub const fn everybody(&self) -> usize {
        self.rooms * self.occupants
    }

    /// Whether the network is one that may lose packets by itself.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        !self.downlink.is_perfect() || !self.uplink.is_perfect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        "http://localhost:8000".parse().unwrap()
    }

    #[test]
    fn every_scenario_is_found_by_its_name_and_has_a_size() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::find(scenario.name()), Some(scenario));
            for processors in [1, 2, 16, 1000] {
                let settings = LoadSettings::of(scenario, url(), processors);
                assert!(settings.everybody() >= 2, "{settings:?}");
                assert!(settings.speakers <= settings.occupants, "{settings:?}");
                assert!(settings.cameras <= settings.occupants, "{settings:?}");
                assert!(settings.joins_per_second > 0.0 && !settings.heights.is_empty());
            }
        }
        assert_eq!(Scenario::find("S1"), None);
    }

    #[test]
    fn two_processors_get_the_sizes_of_the_documentation() {
        let everybody = |scenario| LoadSettings::of(scenario, url(), 2).everybody();
        assert_eq!(everybody(Scenario::Star), 10);
        assert_eq!(everybody(Scenario::Hall), 300);
        assert_eq!(everybody(Scenario::Storm), 200);
        assert_eq!(everybody(Scenario::Thumbnails), 30);
        assert_eq!(everybody(Scenario::Share), 100);
        assert_eq!(everybody(Scenario::Stream), 101);
        assert_eq!(everybody(Scenario::Rooms), 50);
        assert_eq!(everybody(Scenario::Tiny), 150);
    }
}

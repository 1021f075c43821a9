use std::fmt;
use std::time::Duration;

/// How it goes in this second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Live {
    /// Occupants in their rooms.
    pub occupants: usize,
    /// RTP packets received, per second.
    pub packets: f64,
    /// Payload received, in bit/s.
    pub bits: f64,
    /// 99 of 100 audio packets took this long at most.
    pub audio_p99: Duration,
    /// Likewise of video.
    pub video_p99: Duration,
    /// Audio packets lost so far.
    pub audio_lost: u64,
    /// Video packets lost so far.
    pub video_lost: u64,
    /// Times a picture stood still so far.
    pub freezes: u64,
    /// Processors the server uses, if it says.
    pub server_cores: Option<f64>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// So many have joined, so many failed.
    Joining {
        /// In the room.
        joined: usize,
        /// Not.
        failed: usize,
        /// Of so many.
        of: usize,
    },
    /// All that will are in; this much longer.
    Staying {
        /// Until they leave.
        left: Duration,
        /// How it goes.
        live: Live,
    },
    /// On the way out.
    Leaving,
}

impl fmt::Display for Progress {
    /// One line of a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joining { joined, failed, of } => {
                write!(f, "joining: {joined} of {of} in the room")?;
                if *failed > 0 {
                    write!(f, ", {failed} failed")?;
                }
                Ok(())
            }
            Self::Staying { left, live } => {
                write!(
                    f,
                    "{} s left: {} there, {:.1}k packets/s, {:.1} Mbit/s, sound p99 {:.1} ms",
                    left.as_secs(),
                    live.occupants,
                    live.packets / 1e3,
                    live.bits / 1e6,
                    live.audio_p99.as_secs_f64() * 1e3,
                )?;
                if !live.video_p99.is_zero() {
                    write!(f, ", video {:.1} ms", live.video_p99.as_secs_f64() * 1e3)?;
                }
                write!(f, ", lost {}+{}", live.audio_lost, live.video_lost)?;
                if live.freezes > 0 {
                    write!(f, ", {} freezes", live.freezes)?;
                }
                if let Some(cores) = live.server_cores {
                    write!(f, ", server {:.0} %", cores * 100.0)?;
                }
                Ok(())
            }
            Self::Leaving => f.write_str("leaving"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_matters() {
        let joining = Progress::Joining {
            joined: 3,
            failed: 1,
            of: 5,
        };
        assert_eq!(joining.to_string(), "joining: 3 of 5 in the room, 1 failed");
        let staying = Progress::Staying {
            left: Duration::from_secs(7),
            live: Live {
                occupants: 3,
                packets: 1_500.0,
                bits: 2e6,
                audio_p99: Duration::from_micros(900),
                server_cores: Some(0.5),
                ..Live::default()
            },
        };
        assert_eq!(
            staying.to_string(),
            "7 s left: 3 there, 1.5k packets/s, 2.0 Mbit/s, sound p99 0.9 ms, lost 0+0, server 50 %"
        );
    }
}

//! What one endpoint may send, however well it behaves otherwise.

use crate::counters::Count;
use std::time::Duration;

/// Ceilings for one endpoint. Generous: a shared 4K screen beside a camera in three resolutions is
/// a third of them. What is beyond is dropped and counted, and costs nobody but the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Bits a second in the long run, headers of RTP and RTCP included.
    pub bits_per_second: u64,
    /// Bits of audio a second in the long run.
    pub audio_bits_per_second: u64,
    /// RTP packets, and others that are neither RTCP nor checks, a second in the long run.
    pub packets_per_second: u32,
    /// RTCP packets a second in the long run.
    pub rtcp_per_second: u32,
    /// Sources at once.
    pub sources: usize,
    /// SSRCs of all sources together, those of retransmissions included.
    pub ssrcs: usize,
    /// Keyframes it may ask others for, a second in the long run.
    pub keyframe_requests_per_second: u32,
    /// Bridge channel messages a second in the long run.
    pub messages_per_second: u32,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            // 4K at 20 Mbit/s, a camera at 5, and as much again for what nobody thought of.
            bits_per_second: 50_000_000,
            // A microphone and a screen's sound as good as Opus can make them, everything twice.
            audio_bits_per_second: 2_500_000,
            // As many of 625 bytes.
            packets_per_second: 10_000,
            // Feedback of 50 pictures at 20 a second.
            rtcp_per_second: 1_000,
            sources: 20,
            // What the focus takes from one client.
            ssrcs: 20,
            // Somebody who turns to a page of 25 others in a second.
            keyframe_requests_per_second: 25,
            // End-to-end pings of a large room are the busiest honest sender (protocol 3 §5.6).
            messages_per_second: 100,
        }
    }
}

/// How much of the long run may come at once: a keyframe at 4K, or what lay in a queue while a
/// radio slept.
const BURST: Duration = Duration::from_secs(2);
/// Connectivity checks a second: at the beginning a client makes one every 20 ms for each pair of
/// addresses, later one in two seconds.
const CHECKS_PER_SECOND: u32 = 250;

/// A time in 1/256 ns, so that a byte at 10 Gbit/s still has a cost.
type Fine = u64;
const FINE: u64 = 256;

const fn fine(time: Duration) -> Fine {
    // Two years, and no endpoint lives so long.
    (time.as_nanos() as u64).wrapping_mul(FINE)
}

/// So many units a second.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// What one unit takes.
    unit: Fine,
}

impl Rate {
    const fn per_second(units: u64) -> Self {
        let second = fine(Duration::from_secs(1));
        // None is one in a second: nothing else would do for a check.
        let unit = match second.checked_div(units) {
            Some(unit) => unit,
            None => second,
        };
        Self { unit }
    }
}

/// What was taken of a rate, as the time until which it is used up.
#[derive(Debug, Clone, Copy, Default)]
struct Meter {
    used_until: Fine,
}

impl Meter {
    /// Takes `units`, unless more than the burst is taken already. `now` counts from when the meter
    /// was made.
    const fn take(&mut self, rate: Rate, now: Fine, units: u64) -> bool {
        let cost = rate.unit.saturating_mul(units);
        let owed = self.used_until.saturating_sub(now);
        if owed.saturating_add(cost) > fine(BURST) {
            return false;
        }
        self.used_until = now + owed + cost;
        true
    }
}

/// [`EndpointLimits`] in the form that a packet is measured by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ceilings {
    bytes: Rate,
    packets: Rate,
    rtcp: Rate,
    checks: Rate,
}

impl Ceilings {
    pub(crate) const fn new(limits: &EndpointLimits) -> Self {
        Self {
            bytes: Rate::per_second(limits.bits_per_second / 8),
            packets: Rate::per_second(limits.packets_per_second as u64),
            rtcp: Rate::per_second(limits.rtcp_per_second as u64),
            checks: Rate::per_second(CHECKS_PER_SECOND as u64),
        }
    }
}

/// What one endpoint has used of its ceilings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    bytes: Meter,
    packets: Meter,
    rtcp: Meter,
    checks: Meter,
    /// From paths that nobody has proved to be the endpoint's: whoever has seen its user name can
    /// send them, and must not use up what keeps its own path alive.
    strange_checks: Meter,
}

impl Spent {
    /// Whether a datagram that came by a path of the endpoint may be looked at, `age` after the
    /// endpoint was made. Asked before anything is decrypted, so that a flood costs a comparison.
    /// Checks stand apart: they keep the path alive while media is dropped. `is_proved` says whether
    /// the path is known to be the endpoint's, and is asked for checks only.
    pub(crate) fn admits(
        &mut self,
        ceilings: &Ceilings,
        age: Duration,
        datagram: &[u8],
        is_proved: impl FnOnce() -> bool,
    ) -> Result<(), Count> {
        let now = fine(age);
        let bytes = datagram.len() as u64;
        let (meter, rate, over) = match datagram {
            [0..=3, ..] => {
                let meter = match is_proved() {
                    true => &mut self.checks,
                    false => &mut self.strange_checks,
                };
                return take(meter, ceilings.checks, now, 1, Count::DroppedOverChecks);
            }
            // RFC 5761 §4.
            [128..=191, 192..=223, ..] => (&mut self.rtcp, ceilings.rtcp, Count::DroppedOverRtcp),
            _ => (
                &mut self.packets,
                ceilings.packets,
                Count::DroppedOverPackets,
            ),
        };
        take(meter, rate, now, 1, over)?;
        take(
            &mut self.bytes,
            ceilings.bytes,
            now,
            bytes,
            Count::DroppedOverBitrate,
        )
    }
}

fn take(meter: &mut Meter, rate: Rate, now: Fine, units: u64, over: Count) -> Result<(), Count> {
    if meter.take(rate, now, units) {
        Ok(())
    } else {
        Err(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTP: &[u8] = &[0x80, 100];
    const RTCP: &[u8] = &[0x80, 200];
    const CHECK: &[u8] = &[0, 1];

    fn datagram(head: &[u8], length: usize) -> Vec<u8> {
        let mut datagram = head.to_vec();
        datagram.resize(length, 0);
        datagram
    }

    /// How many of `count` datagrams pass, sent evenly over `seconds` beginning with `from`.
    fn passed(
        spent: &mut Spent,
        limits: EndpointLimits,
        from: f64,
        seconds: f64,
        (count, datagram): (u32, &[u8]),
    ) -> Result<u32, Vec<Count>> {
        let ceilings = Ceilings::new(&limits);
        let mut refused = Vec::new();
        let mut passed = 0;
        for i in 0..count {
            let age = Duration::from_secs_f64(from + seconds * f64::from(i) / f64::from(count));
            match spent.admits(&ceilings, age, datagram, || true) {
                Ok(()) => passed += 1,
                Err(over) => refused.push(over),
            }
        }
        if refused.is_empty() {
            return Ok(passed);
        }
        refused.dedup();
        Err(refused)
    }

    #[test]
    fn a_4k_share_and_a_camera_pass_for_an_hour() {
        let mut spent = Spent::default();
        let limits = EndpointLimits::default();
        // 30 Mbit/s of 1,200 bytes, and reports.
        let media = datagram(RTP, 1_200);
        let report = datagram(RTCP, 200);
        for second in 0..3_600 {
            let from = f64::from(second);
            let mut ask = |what| passed(&mut spent, limits, from, 1.0, what);
            assert_eq!(ask((3_125, &media)), Ok(3_125), "second {second}");
            assert_eq!(ask((200, &report)), Ok(200), "second {second}");
            assert_eq!(ask((5, CHECK)), Ok(5), "second {second}");
        }
        // A keyframe of 4 MB after a pause.
        assert_eq!(
            passed(&mut spent, limits, 3_602.0, 0.0, (3_400, &media)),
            Ok(3_400)
        );
    }

    #[test]
    fn each_ceiling_has_its_reason() {
        let limits = EndpointLimits::default();
        for (what, over) in [
            ((13_000, datagram(RTP, 1_400)), Count::DroppedOverBitrate),
            ((30_000, datagram(RTP, 40)), Count::DroppedOverPackets),
            ((4_000, datagram(RTCP, 40)), Count::DroppedOverRtcp),
            ((2_000, datagram(CHECK, 100)), Count::DroppedOverChecks),
            ((30_000, datagram(&[22, 0], 40)), Count::DroppedOverPackets),
        ] {
            let mut spent = Spent::default();
            let (count, bytes) = (what.0, what.1.as_slice());
            assert_eq!(
                passed(&mut spent, limits, 0.0, 0.5, (count, bytes)),
                Err(vec![over])
            );
            // Checks pass whatever else was too much.
            if over != Count::DroppedOverChecks {
                assert_eq!(passed(&mut spent, limits, 0.5, 0.1, (5, CHECK)), Ok(5));
            }
            // And it is forgiven.
            assert_eq!(passed(&mut spent, limits, 3.0, 0.1, (10, bytes)), Ok(10));
        }
    }

    #[test]
    fn checks_of_strangers_do_not_use_up_those_of_the_endpoint() {
        let ceilings = Ceilings::new(&EndpointLimits::default());
        let mut spent = Spent::default();
        let mut pass = |is_proved: bool| {
            let passed = |_: &u32| {
                spent
                    .admits(&ceilings, Duration::ZERO, CHECK, || is_proved)
                    .is_ok()
            };
            (0..2_000).filter(passed).count()
        };
        assert_eq!((pass(false), pass(true), pass(false)), (500, 500, 0));
    }

    #[test]
    fn in_the_long_run_it_is_the_rate_that_passes() {
        let limits = EndpointLimits {
            packets_per_second: 1_000,
            ..EndpointLimits::default()
        };
        let ceilings = Ceilings::new(&limits);
        let mut spent = Spent::default();
        let passed = (0..100_000)
            .filter(|i| {
                let age = Duration::from_micros(i * 100);
                spent.admits(&ceilings, age, RTP, || true).is_ok()
            })
            .count();
        // Ten seconds, and the burst.
        assert!((11_990..=12_010).contains(&passed), "{passed}");
    }
}

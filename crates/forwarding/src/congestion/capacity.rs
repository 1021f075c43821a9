//! What the link carried when it was last full: rates just below it are approached gently.

const SMOOTHING: f64 = 0.05;
/// A probe's result says more than one moment of overuse.
const PROBE_SMOOTHING: f64 = 0.5;
/// Of the variance, in relation to the estimate.
const DEVIATION: (f64, f64) = (0.4, 2.5);

/// A smoothed estimate in kbit/s, with its variance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    estimate: Option<f64>,
    deviation: f64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            estimate: None,
            deviation: DEVIATION.0,
        }
    }
}

impl Capacity {
    /// The link was full at this rate (bit/s).
    pub(crate) fn overused(&mut self, rate: u64) {
        self.update(rate, SMOOTHING);
    }

    /// A probe measured this rate (bit/s).
    pub(crate) fn probed(&mut self, rate: u64) {
        self.update(rate, PROBE_SMOOTHING);
    }

    fn update(&mut self, rate: u64, smoothing: f64) {
        let sample = rate as f64 / 1e3;
        let estimate = match self.estimate {
            Some(before) => (1.0 - smoothing) * before + smoothing * sample,
            None => sample,
        };
        let error = estimate - sample;
        let deviation =
            (1.0 - smoothing) * self.deviation + smoothing * error * error / estimate.max(1.0);
        self.deviation = deviation.clamp(DEVIATION.0, DEVIATION.1);
        self.estimate = Some(estimate);
    }

    pub(crate) fn estimate(&self) -> Option<u64> {
        self.estimate.map(|e| (e * 1e3) as u64)
    }

    /// Whether a rate (bit/s) is so far off that this is another link now.
    pub(crate) fn refutes(&self, rate: u64) -> bool {
        let Some(estimate) = self.estimate else {
            return false;
        };
        let spread = 3.0 * (self.deviation * estimate).sqrt();
        (rate as f64 / 1e3 - estimate).abs() > spread
    }

    pub(crate) fn is_above(&self, rate: u64) -> bool {
        self.estimate.is_some_and(|e| e > rate as f64 / 1e3)
    }

    pub(crate) fn reset(&mut self) {
        self.estimate = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_known_by_its_overuse() {
        let mut c = Capacity::default();
        assert!(!c.refutes(1_000_000));
        for _ in 0..10 {
            c.overused(1_000_000);
        }
        assert_eq!(c.estimate(), Some(1_000_000));
        // Three times the square root of 0.4 * 1000: 60 kbit/s.
        assert!(!c.refutes(1_059_000) && !c.refutes(941_000));
        assert!(c.refutes(1_061_000) && c.refutes(939_000));
        assert!(c.is_above(939_000));
        c.probed(2_000_000);
        assert_eq!(c.estimate(), Some(1_500_000));
        c.reset();
        assert_eq!(c.estimate(), None);
    }
}

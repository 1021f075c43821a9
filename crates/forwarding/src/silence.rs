//! Decides which silent audio packets go no further (protocol 5 §7.2).

/// Consecutive silent packets that are forwarded.
const FORWARDED: u8 = 3;
/// The audio level of digital silence, in −dBov.
const SILENT: u8 = 127;

/// A sender muted by sending zeros.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    run: u8,
}

impl Silence {
    /// Whether a packet of this level (7 bits, −dBov) is to be forwarded.
    pub(crate) fn forwards(&mut self, level: Option<u8>) -> bool {
        if level != Some(SILENT) {
            self.run = 0;
            return true;
        }
        self.run = self.run.saturating_add(1).min(FORWARDED + 1);
        self.run <= FORWARDED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_silent_packets_pass() {
        let mut s = Silence::default();
        let forwarded: Vec<bool> = [127, 127, 127, 127, 127, 30, 127]
            .into_iter()
            .map(|l| s.forwards(Some(l)))
            .collect();
        assert_eq!(forwarded, [true, true, true, false, false, true, true]);
        assert!(s.forwards(None), "without a level nothing is silence");
    }
}

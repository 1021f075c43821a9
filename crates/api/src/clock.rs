//! Time as it is written outside, and randomness.

use althing_model::Entropy;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970.
pub(crate) fn now_millis() -> u64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

fn date(millis: u64) -> OffsetDateTime {
    let nanos = i128::from(millis) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `2026-11-21T07:30:47.123Z` (RFC 3339).
pub(crate) fn written(millis: u64) -> String {
    date(millis).format(&Rfc3339).unwrap_or_default()
}

/// The month in UTC, `2026-11`.
pub(crate) fn month(millis: u64) -> String {
    let date = date(millis);
    format!("{:04}-{:02}", date.year(), u8::from(date.month()))
}

/// Milliseconds since 1970 of a time by RFC 3339.
pub(crate) fn read(text: &str) -> Option<u64> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(date.unix_timestamp_nanos() / 1_000_000).ok()
}

/// The operating system's random numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn next_u64(&mut self) -> u64 {
        getrandom::u64().expect("the operating system has random numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        assert_eq!(written(1_767_225_600_123), "2026-01-01T00:00:00.123Z");
        assert_eq!(month(1_767_225_599_999), "2025-12");
        assert_eq!(read("2026-01-01T01:00:00+01:00"), Some(1_767_225_600_000));
        for text in ["", "2026-01-01", "tomorrow", "1969-01-01T00:00:00Z"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

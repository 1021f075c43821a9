//! Entry points for fuzzers, and what tests share with them.

use std::time::Instant;

/// Some instant to count from. Only differences matter to a conference.
#[must_use]
pub fn origin() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made from a number; nothing depends on which one this is"
    )]
    Instant::now()
}

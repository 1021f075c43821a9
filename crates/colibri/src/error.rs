/// Why a bridge channel message was dropped. The channel itself stays open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than [`crate::MAX_MESSAGE_BYTES`].
    #[error("message of {0} bytes is too long")]
    TooLong(usize),
    /// Not JSON, or not an object with a `colibriClass` string.
    #[error("message is no object with a colibriClass: {0}")]
    Malformed(String),
    /// A known class with a field that is missing, of the wrong type, or out of range.
    #[error("{class} is invalid: {reason}")]
    Invalid {
        /// The `colibriClass`.
        class: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

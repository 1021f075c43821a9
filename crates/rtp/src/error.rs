/// Why bytes are not what they should be. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// It ends before its own lengths say.
    #[error("truncated {0}")]
    Truncated(&'static str),
    /// The version is not 2.
    #[error("version is not 2")]
    Version,
    /// A field contradicts another or the specification.
    #[error("invalid {0}")]
    Invalid(&'static str),
    /// The caller's buffer is too small.
    #[error("buffer too small")]
    NoRoom,
}

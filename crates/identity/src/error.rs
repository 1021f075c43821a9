/// Why a token is refused. Its text goes to the client, who shows it (protocol 1 §8.3), so it tells
/// nothing but what the holder of the token could know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than 8 KiB.
    #[error("token is too long")]
    TooLong,
    /// Not three parts of base64url with JSON in the first two.
    #[error("bad token format")]
    Format,
    /// The header's `typ` is not `JWT`.
    #[error("invalid 'typ' header")]
    Type,
    /// The header has no `alg`.
    #[error("'alg' claim is missing")]
    AlgorithmMissing,
    /// No key may be used with this algorithm; `none` never.
    #[error("invalid 'alg' claim")]
    Algorithm,
    /// Every key that could fit is asked for by name, and the token has none.
    #[error("'kid' claim is missing")]
    KidMissing,
    /// There is no key of that name, or its server did not say in time.
    #[error("could not obtain public key")]
    Key,
    /// Signed with another key, or changed since.
    #[error("Invalid token")]
    Signature,
    /// `exp` lies in the past.
    #[error("token is expired")]
    Expired,
    /// `nbf` lies in the future.
    #[error("token is not valid yet")]
    NotYet,
    /// A claim that must be there is not.
    #[error("'{0}' claim is missing")]
    ClaimMissing(&'static str),
    /// A claim is of the wrong kind, or not one that is accepted.
    #[error("invalid '{0}' claim")]
    Claim(&'static str),
}

//! Samples of the wire, for tests.

/// The element in `fixtures/xmpp/`.
macro_rules! fixture {
    ($name:literal) => {
        $crate::element::parse(
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../fixtures/xmpp/",
                $name
            ))
            .trim(),
            &$crate::element::Limits::default(),
        )
        .unwrap()
    };
}

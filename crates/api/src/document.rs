//! The OpenAPI document, from which the routes are made: what is in it is served, and nothing else.

use serde_json::Value;
use std::sync::LazyLock;

/// As it is served.
pub(crate) const TEXT: &str = include_str!("openapi.json");

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(TEXT).expect("the document is JSON"));

/// One operation: its path, and its `operationId`.
pub(crate) fn operations() -> impl Iterator<Item = (&'static str, &'static str)> {
    let paths = DOCUMENT["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods
            .filter_map(|(_, operation)| Some((path.as_str(), operation["operationId"].as_str()?)))
    })
}

//! The document and the catalogue of errors agree; all else is shown against the running program.

use super::*;
use serde_json::Value;

#[test]
fn every_operation_of_the_document_has_a_function() {
    let names: Vec<_> = document::operations().collect();
    assert!(names.len() >= 10);
    for (path, operation) in names {
        assert!(handler(operation).is_some(), "{path} {operation}");
    }
}

#[test]
fn the_document_names_every_code() {
    let document: Value = serde_json::from_str(document::TEXT).unwrap();
    let codes = &document["components"]["schemas"]["Error"]["properties"]["code"]["enum"];
    let known: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(*codes, json!(known));
}

#[test]
fn a_page_begins_after_the_last_of_the_one_before() {
    let room = after("acme/a/b").unwrap();
    assert_eq!(room.tenant.as_deref(), Some("acme"));
    assert_eq!(room.name, "a/b");
    assert_eq!(after("/demo").unwrap().tenant, None);
    assert!(after("demo").is_err());
}

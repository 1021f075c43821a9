//! A TOML document as keys and values, each with its line.

use crate::value::Given;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One `key = value` of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `http.listen`.
    pub path: String,
    /// Where the key stands, from 1.
    pub line: usize,
    pub value: Given,
}

/// A document that is not TOML.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub line: usize,
    pub message: String,
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|b| **b == b'\n')
        .count()
}

/// Every entry of a document, sections opened by `is_section`.
pub(crate) fn entries(text: &str, is_section: fn(&str) -> bool) -> Result<Vec<Entry>, Malformed> {
    let document = DeTable::parse(text).map_err(|error| Malformed {
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        message: error.message().trim().replace('\n', ", "),
    })?;
    let mut entries = Vec::new();
    collect(text, "", document.get_ref(), is_section, &mut entries);
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn collect(
    text: &str,
    section: &str,
    table: &DeTable<'_>,
    is_section: fn(&str) -> bool,
    entries: &mut Vec<Entry>,
) {
    for (key, value) in table {
        let path = format!("{section}{}", key.get_ref());
        match value.get_ref() {
            // An unknown section's keys are reported as they stand, so that a misspelt section is
            // recognised by them; an empty one is reported itself.
            DeValue::Table(inner) if is_section(&path) || !inner.is_empty() => {
                collect(text, &format!("{path}."), inner, is_section, entries);
            }
            value => entries.push(Entry {
                path,
                line: line_of(text, key.span().start),
                value: given(text, value),
            }),
        }
    }
}

fn given(text: &str, value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.as_ref().to_owned()),
        DeValue::Integer(number) => integer(number).map_or(
            // Wider than 64 bits, so larger than any limit of ours.
            Given::Integer(i64::MAX),
            Given::Integer,
        ),
        DeValue::Boolean(value) => Given::Bool(*value),
        DeValue::Array(items) if !items.is_empty() && items.iter().all(is_table) => {
            Given::Tables(items.iter().map(|item| fields(text, item)).collect())
        }
        DeValue::Array(items) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.as_ref().to_owned()),
                DeValue::Integer(number) => integer(number).map(|n| n.to_string()),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map_or(Given::Other("list of something else"), Given::List),
        other => Given::Other(other.type_str()),
    }
}

fn is_table(item: &Spanned<DeValue<'_>>) -> bool {
    matches!(item.get_ref(), DeValue::Table(_))
}

/// A table of a list: where it begins, and its fields.
fn fields(text: &str, item: &Spanned<DeValue<'_>>) -> (usize, Vec<Entry>) {
    let mut entries = Vec::new();
    if let DeValue::Table(table) = item.get_ref() {
        collect(text, "", table, |_| false, &mut entries);
    }
    entries.sort_by_key(|entry| entry.line);
    (line_of(text, item.span().start), entries)
}

fn integer(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::is_section;

    #[test]
    fn entries_know_their_lines() {
        let text =
            "# a comment\ndomain = \"a.b\"\n\n[http]\nlisten = [\"x\", 1]\n\n[media]\nport = 1_0\n";
        let entries = entries(text, is_section).unwrap();
        let seen: Vec<_> = entries.iter().map(|e| (e.path.as_str(), e.line)).collect();
        assert_eq!(seen, [("domain", 2), ("http.listen", 5), ("media.port", 8)]);
        assert_eq!(entries[1].value, Given::List(vec!["x".into(), "1".into()]));
        assert_eq!(entries[2].value, Given::Integer(10));
    }

    #[test]
    fn what_is_no_toml_has_a_line() {
        let error = entries("domain = \"a.b\"\nport = = 3\n", is_section).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(!error.message.is_empty());
        assert_eq!(
            entries("port = 1\nport = 2\n", is_section)
                .unwrap_err()
                .line,
            2
        );
    }
}

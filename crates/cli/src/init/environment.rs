//! An `.env` file as docker compose and a shell read it: `NAME=value`, quotes, comments, `export`,
//! and names of earlier variables in values.

use std::collections::BTreeMap;
use std::fmt;

/// One variable; a later one of the same name has replaced an earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    /// A name in its value that this file does not set, so that the value is not known.
    pub(super) unresolved: Option<String>,
}

/// What is not a variable, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) message: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

/// Every variable, in the order of the file.
pub(super) fn read(text: &str) -> Result<Vec<Variable>, Malformed> {
    let mut order: Vec<String> = Vec::new();
    let mut known: BTreeMap<String, Variable> = BTreeMap::new();
    for (n, line) in text.lines().enumerate() {
        let wrong = |message| Malformed {
            line: n + 1,
            message,
        };
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line
            .strip_prefix("export")
            .filter(|rest| rest.starts_with([' ', '\t']))
            .map_or(line, str::trim_start);
        let Some((name, value)) = line.split_once('=') else {
            return Err(wrong("this is not NAME=value"));
        };
        let name = name.trim_end();
        if !is_name(name) {
            return Err(wrong("this is not the name of a variable"));
        }
        let (value, unresolved) = value_of(value.trim_start(), &known).map_err(wrong)?;
        if !known.contains_key(name) {
            order.push(name.to_owned());
        }
        let variable = Variable {
            name: name.to_owned(),
            value,
            unresolved,
        };
        known.insert(name.to_owned(), variable);
    }
    Ok(order
        .iter()
        .filter_map(|name| known.get(name).cloned())
        .collect())
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

type Known = BTreeMap<String, Variable>;

fn value_of(text: &str, known: &Known) -> Result<(String, Option<String>), &'static str> {
    match text.chars().next() {
        Some('\'') => {
            let (value, rest) = text[1..].split_once('\'').ok_or(UNCLOSED)?;
            nothing_but_a_comment(rest)?;
            Ok((value.to_owned(), None))
        }
        Some('"') => {
            let (value, rest) = double_quoted(&text[1..])?;
            nothing_but_a_comment(rest)?;
            Ok(resolved(&value, known))
        }
        _ => {
            // A comment needs a space before it: `#` may stand in a password.
            let end = text
                .match_indices('#')
                .map(|(at, _)| at)
                .find(|at| *at == 0 || text[..*at].ends_with([' ', '\t']))
                .unwrap_or(text.len());
            let pieces: Vec<Piece> = text[..end].trim_end().chars().map(Piece::Plain).collect();
            Ok(resolved(&pieces, known))
        }
    }
}

const UNCLOSED: &str = "this quote is not closed on its line";

fn nothing_but_a_comment(rest: &str) -> Result<(), &'static str> {
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(())
    } else {
        Err("there is something behind the closing quote")
    }
}

/// A character of a value, which refers to nothing when it was escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Plain(char),
    Escaped(char),
}

fn double_quoted(text: &str) -> Result<(Vec<Piece>, &str), &'static str> {
    let mut pieces = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((pieces, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\' | '$' | '`'))) => pieces.push(Piece::Escaped(c)),
                Some((_, 'n')) => pieces.push(Piece::Escaped('\n')),
                Some((_, c)) => pieces.extend([Piece::Escaped('\\'), Piece::Plain(c)]),
                None => return Err(UNCLOSED),
            },
            c => pieces.push(Piece::Plain(c)),
        }
    }
    Err(UNCLOSED)
}

/// Puts in what `$NAME` and `${NAME}` stand for; `$$` is a dollar sign.
fn resolved(pieces: &[Piece], known: &Known) -> (String, Option<String>) {
    let plain = |at: usize| match pieces.get(at) {
        Some(Piece::Plain(c)) => Some(*c),
        _ => None,
    };
    let (mut value, mut unresolved, mut at) = (String::new(), None, 0);
    while let Some(piece) = pieces.get(at) {
        let (Piece::Plain(c) | Piece::Escaped(c)) = *piece;
        at += 1;
        if *piece != Piece::Plain('$') {
            value.push(c);
            continue;
        }
        if plain(at) == Some('$') {
            value.push('$');
            at += 1;
            continue;
        }
        let braced = plain(at) == Some('{');
        let begin = at + usize::from(braced);
        let length = (begin..)
            .take_while(|i| plain(*i).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_'))
            .count();
        let name: String = (begin..begin + length).filter_map(plain).collect();
        let closed = !braced || plain(begin + length) == Some('}');
        if !is_name(&name) || !closed {
            // `${NAME:-default}` and the like are for shells.
            if braced {
                unresolved.get_or_insert_with(|| name.clone());
            }
            value.push('$');
            continue;
        }
        at = begin + length + usize::from(braced);
        match known.get(&name) {
            Some(Variable {
                value: earlier,
                unresolved: None,
                ..
            }) => value.push_str(earlier),
            _ => {
                unresolved.get_or_insert(name);
            }
        }
    }
    (value, unresolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_a_shell_reads_them() {
        for (line, value) in [
            ("A=b", "b"),
            ("export A=b", "b"),
            ("  A = b  ", "b"),
            ("A=", ""),
            ("A=b # comment", "b"),
            ("A=b#c", "b#c"),
            ("A=#b", ""),
            ("A=a b", "a b"),
            ("A='b # c' # d", "b # c"),
            ("A='$X \"y\"'", "$X \"y\""),
            ("A=\"b # c\"", "b # c"),
            ("A=\"a \\\"q\\\" \\$X \\\\ \\x\"", "a \"q\" $X \\ \\x"),
            ("A=a$$b", "a$b"),
            ("A=5$", "5$"),
            ("A=https://a.b/?c=d", "https://a.b/?c=d"),
            ("A=b\r", "b"),
            ("\u{feff}A=b", "b"),
        ] {
            let read = read(line).unwrap();
            assert_eq!(read.len(), 1, "{line}");
            assert_eq!(read[0].value, value, "{line}");
            assert_eq!(read[0].unresolved, None, "{line}");
        }
    }

    #[test]
    fn earlier_variables_stand_in_later_ones() {
        let text = "HOST=meet.example\nURL=https://${HOST}/\nB=\"$HOST:80\"\nC=$NOWHERE/x\n\
                    D=${HOST:-x}\nE=$C\nHOST=other\n";
        let read = read(text).unwrap();
        let shown: Vec<_> = read
            .iter()
            .map(|v| (v.name.as_str(), v.value.as_str(), v.unresolved.as_deref()))
            .collect();
        assert_eq!(shown[0], ("HOST", "other", None));
        assert_eq!(shown[1], ("URL", "https://meet.example/", None));
        assert_eq!(shown[2], ("B", "meet.example:80", None));
        assert_eq!(shown[3].2, Some("NOWHERE"));
        assert_eq!(shown[4].2, Some("HOST"));
        assert_eq!(shown[5].2, Some("C"));
    }

    #[test]
    fn what_is_no_variable_has_a_line() {
        for (text, line) in [
            ("A=b\nhello\n", 2),
            ("A='b\n", 1),
            ("\n\nA=\"b\\\"\n", 3),
            ("A='b'c\n", 1),
            ("1A=b\n", 1),
            ("A B=c\n", 1),
        ] {
            assert_eq!(read(text).unwrap_err().line, line, "{text}");
        }
    }
}

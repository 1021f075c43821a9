//! What rooms begin with, by their names.

use crate::Settings;
use crate::directory::RoomKey;
use althing_room::{Moderators, Preset};

/// What the rooms of some names begin with; of several rules the first that fits holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomRule {
    /// Room names in lower case, as people write them: `*` is anything, `?` one character;
    /// `[tenant]name` are those of one tenant.
    pub pattern: String,
    /// Who becomes a moderator, if not as everywhere.
    pub moderators: Option<Moderators>,
    /// Whether guests wait for somebody with a token, if not as everywhere.
    pub hosts_only: Option<bool>,
    /// How many occupants fit in, if not as everywhere.
    pub max_occupants: Option<usize>,
    /// All else.
    pub preset: Preset,
}

impl RoomRule {
    pub(crate) fn fits(&self, key: &RoomKey) -> bool {
        let name = key.decoded_name();
        match key.tenant() {
            _ if !self.pattern.starts_with('[') => fits(&self.pattern, &name),
            Some(tenant) => fits(&self.pattern, &format!("[{tenant}]{name}")),
            None => false,
        }
    }
}

impl Settings {
    /// What a room begins with, if its name says so.
    pub(crate) fn rule(&self, key: &RoomKey) -> Option<&RoomRule> {
        self.presets.iter().find(|rule| rule.fits(key))
    }

    /// Whether a room is opened by those with a token only.
    pub(crate) fn is_hosts_only(&self, key: &RoomKey) -> bool {
        let rule = self.rule(key);
        rule.and_then(|rule| rule.hosts_only)
            .unwrap_or(self.hosts_only)
    }
}

/// Whether a text fits a pattern as a whole. Takes no more steps than the product of their lengths:
/// only the last star is ever stretched.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Target;
    use althing_xmpp::Jid;

    #[test]
    fn patterns() {
        for (pattern, text, outcome) in [
            ("board-*", "board-1", true),
            ("board-*", "board-", true),
            ("board-*", "my-board-1", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "ä", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*-*-x", "a-b-c-x", true),
            ("*-*-x", "a-x", false),
            ("**a", "bba", true),
            ("a*b*c", "a-b-b-c-", false),
        ] {
            assert_eq!(fits(pattern, text), outcome, "{pattern} {text}");
        }
        let slow = "a*".repeat(100) + "b";
        assert!(!fits(&slow, &"a".repeat(500)));
    }

    #[test]
    fn rooms_fit_by_the_name_people_write() {
        let rule = |pattern: &str| RoomRule {
            pattern: pattern.into(),
            ..RoomRule::default()
        };
        for (room, pattern, outcome) in [
            ("my%20room@muc.meet.jitsi", "my room", true),
            ("board-1@muc.school.meet.jitsi", "board-*", true),
            ("board-1@muc.school.meet.jitsi", "[school]board-*", true),
            ("board-1@muc.other.meet.jitsi", "[school]board-*", false),
            ("board-1@muc.meet.jitsi", "[school]board-*", false),
            ("board-1@muc.meet.jitsi", "[*]*", false),
        ] {
            let Target::Room(key) = RoomKey::classify(&Jid::parse(room).unwrap(), "meet.jitsi")
            else {
                panic!("{room}");
            };
            assert_eq!(rule(pattern).fits(&key), outcome, "{room} {pattern}");
        }
    }
}

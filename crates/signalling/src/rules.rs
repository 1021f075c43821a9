//! What rooms begin with, by their names.

use crate::Settings;
use crate::directory::RoomKey;
use althing_control::rooms::{RoomName, RoomPlan};
use althing_model::MediaMode;
use althing_room::{Moderators, Preset};
use std::fmt::Debug;
use std::time::Duration;

/// Who comes into an audio hall of more than this many listens first: as many as are all heard at
/// once (protocol 5 §7.4).
const HALL_STARTS_MUTED_ABOVE: usize = 10;

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
    /// What of media they are for, if not as everywhere.
    pub media: Option<MediaMode>,
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

/// Knows the rooms that were planned beforehand; asked whenever a room is made, so it must not wait.
pub trait Plans: Debug + Send + Sync + 'static {
    /// What was planned for the room, if anything.
    fn plan(&self, room: &RoomName) -> Option<RoomPlan>;
}

/// Nothing is planned.
#[derive(Debug)]
pub(crate) struct NoPlans;

impl Plans for NoPlans {
    fn plan(&self, _: &RoomName) -> Option<RoomPlan> {
        None
    }
}

impl Settings {
    /// Whether a room is planned for later. Who asks for it is told to wait, and asks again.
    pub(crate) fn opens_later(&self, key: &RoomKey, now: u64) -> bool {
        let plan = self.plans.plan(&key.name());
        plan.and_then(|plan| plan.opens_millis)
            .is_some_and(|opens| opens > now)
    }

    /// What a room made now begins with: as planned, and where the plan says nothing, by its name.
    pub(crate) fn beginning(&self, key: &RoomKey, now: u64) -> RoomRule {
        let mut rule = self.rule(key).cloned().unwrap_or_default();
        if let Some(plan) = self.plans.plan(&key.name()) {
            lay_over(&mut rule, plan, now);
        }
        if !self.media_of(&rule).has_video() {
            let above = &mut rule.preset.start_muted_above;
            *above = above.or(Some(HALL_STARTS_MUTED_ABOVE));
        }
        rule
    }

    /// What of media a room is for.
    pub(crate) fn media_of(&self, rule: &RoomRule) -> MediaMode {
        rule.media.unwrap_or(self.media)
    }
}

fn lay_over(rule: &mut RoomRule, plan: RoomPlan, now: u64) {
    let preset = &mut rule.preset;
    preset.password = plan.password.or_else(|| preset.password.take());
    preset.lobby = plan.lobby.unwrap_or(preset.lobby);
    preset.subject = plan.subject.or_else(|| preset.subject.take());
    let muted = &mut preset.start_muted;
    muted.audio = plan.start_muted_audio.unwrap_or(muted.audio);
    muted.video = plan.start_muted_video.unwrap_or(muted.video);
    let left = |expires: u64| Duration::from_millis(expires.saturating_sub(now));
    let longest = plan.max_duration.or(preset.max_duration);
    let limits = [longest, plan.expires_millis.map(left)];
    preset.max_duration = limits.into_iter().flatten().min();
    rule.max_occupants = plan.max_occupants.or(rule.max_occupants);
    rule.media = plan.media.or(rule.media);
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
    fn a_plan_goes_before_the_rule_where_it_says_something() {
        let mut rule = RoomRule {
            max_occupants: Some(5),
            ..RoomRule::default()
        };
        rule.preset.lobby = true;
        rule.preset.subject = Some("by name".into());
        let plan = RoomPlan {
            lobby: Some(false),
            start_muted_audio: Some(true),
            max_duration: Some(Duration::from_secs(600)),
            expires_millis: Some(61_000),
            ..RoomPlan::default()
        };
        lay_over(&mut rule, plan, 1_000);
        assert_eq!(rule.max_occupants, Some(5));
        assert_eq!(rule.preset.subject.as_deref(), Some("by name"));
        assert!(!rule.preset.lobby && rule.preset.start_muted.audio);
        assert_eq!(rule.preset.max_duration, Some(Duration::from_secs(60)));
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

//! Rooms in general.

use crate::keys::{Key, positive};

pub(super) const KEYS: &[Key] = &[
    Key {
        section: Some("rooms"),
        name: "max_occupants",
        value_name: "NUMBER",
        default: "1000",
        doc: "How many people fit in one room.",
        set: |s, v| positive(v, 100_000).map(|n| s.rooms.max_occupants = n),
    },
    Key {
        section: Some("rooms"),
        name: "max_rooms",
        value_name: "NUMBER",
        default: "10000",
        doc: "How many rooms may be open at once.",
        set: |s, v| positive(v, 1_000_000).map(|n| s.rooms.max_rooms = n),
    },
    Key {
        section: Some("rooms"),
        name: "max_sessions",
        value_name: "NUMBER",
        default: "20000",
        doc: "How many clients may be connected at once, in all rooms together.",
        set: |s, v| positive(v, 1_000_000).map(|n| s.rooms.max_sessions = n),
    },
    Key {
        section: Some("rooms"),
        name: "lobby_names",
        value_name: "BOOL",
        default: "true",
        doc: "Whether whoever asks to be let in from a lobby has to say a name.",
        set: |s, v| v.flag().map(|required| s.rooms.lobby_names = required),
    },
];

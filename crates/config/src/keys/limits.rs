//! How long the broken are waited for, and what clients of one address may do together.

use crate::keys::{Key, positive};
use crate::value;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Shorter, and a train in a tunnel is gone; longer, and those who are gone stay in everybody's view.
const RESUME_TIMES: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(600);

pub(super) const KEYS: &[Key] = &[
    Key {
        section: Some("limits"),
        name: "resume_time",
        value_name: "TIME",
        default: "\"60s\"",
        doc: "How long somebody who lost the connection is waited for, in their place, before the \
              others see them go: 5s to 10m.",
        set: |s, v| {
            let time = value::duration(v.text()?)?;
            if !RESUME_TIMES.contains(&time) {
                return Err("must be 5s to 10m".to_owned());
            }
            s.limits.resume_time = time;
            Ok(())
        },
    },
    Key {
        section: Some("limits"),
        name: "waiting",
        value_name: "NUMBER",
        default: "5000",
        doc: "How many may be waited for at once, in all; whoever loses the connection beyond that \
              is gone at once.",
        set: |s, v| positive(v, 1_000_000).map(|n| s.limits.waiting = n),
    },
    Key {
        section: Some("limits"),
        name: "address_waiting",
        value_name: "NUMBER",
        default: "2000",
        doc: "How many of them may come from one address. An address here and below is one of IPv4, \
              or a /64 of IPv6; whole schools stand behind one.",
        set: |s, v| positive(v, 1_000_000).map(|n| s.limits.address_waiting = n),
    },
    Key {
        section: Some("limits"),
        name: "address_connections",
        value_name: "NUMBER",
        default: "5000",
        doc: "How many connections one address may have at once.",
        set: |s, v| positive(v, 1_000_000).map(|n| s.limits.address_connections = n),
    },
    Key {
        section: Some("limits"),
        name: "address_opened",
        value_name: "RATE",
        default: "[50, 5000]",
        doc: "How many connections one address may open: per second in the long run, and at once.",
        set: |s, v| value::rate(v).map(|rate| s.limits.address_opened = rate),
    },
    Key {
        section: Some("limits"),
        name: "address_joins",
        value_name: "RATE",
        default: "[50, 2000]",
        doc: "How often one address may join rooms: per second in the long run, and at once.",
        set: |s, v| value::rate(v).map(|rate| s.limits.address_joins = rate),
    },
    Key {
        section: Some("limits"),
        name: "address_rooms",
        value_name: "RATE",
        default: "[20, 1000]",
        doc: "How many rooms one address may make: per second in the long run, and at once.",
        set: |s, v| value::rate(v).map(|rate| s.limits.address_rooms = rate),
    },
    Key {
        section: Some("limits"),
        name: "address_stanzas",
        value_name: "RATE",
        default: "[10000, 100000]",
        doc: "How many stanzas one address may send: per second in the long run, and at once. One \
              that sends more is read more slowly.",
        set: |s, v| value::rate(v).map(|rate| s.limits.address_stanzas = rate),
    },
    Key {
        section: Some("limits"),
        name: "address_bytes",
        value_name: "RATE",
        default: "[20971520, 209715200]",
        doc: "How many bytes one address may send: per second in the long run, and at once. One that \
              sends more is read more slowly.",
        set: |s, v| value::rate(v).map(|rate| s.limits.address_bytes = rate),
    },
];

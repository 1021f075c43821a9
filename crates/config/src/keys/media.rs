//! What carries sound and pictures.

use crate::keys::{Key, media_mode, positive};
use crate::value;

pub(super) const KEYS: &[Key] = &[
    Key {
        section: Some("media"),
        name: "port",
        value_name: "PORT",
        default: "10000",
        doc: "The one UDP port for audio and video; clients must reach it. 0 lets the operating \
              system choose.",
        set: |s, v| {
            let number = v.number(u16::MAX.into())?;
            s.media.port = u16::try_from(number).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Key {
        section: Some("media"),
        name: "bind",
        value_name: "ADDRESSES",
        default: "[]",
        doc: "Local addresses to use for media. Empty is every interface.",
        set: |s, v| v.each(value::address).map(|all| s.media.bind = all),
    },
    Key {
        section: Some("media"),
        name: "advertise",
        value_name: "ADDRESSES",
        default: "[]",
        doc: "Addresses to tell clients besides the local ones, when a router passes them on to \
              this machine (DNAT): \"198.51.100.7\", or \"198.51.100.7:20000\" when its port \
              differs.",
        set: |s, v| v.each(value::advertise).map(|all| s.media.advertise = all),
    },
    Key {
        section: Some("media"),
        name: "workers",
        value_name: "NUMBER",
        default: "0",
        doc: "Threads that forward media, 8 at most. 0 is one for each processor.",
        set: |s, v| v.number(8).map(|n| s.media.workers = n as usize),
    },
    Key {
        section: Some("media"),
        name: "split_above",
        value_name: "NUMBER",
        default: "40",
        doc: "So many people of one meeting are served by one thread that forwards media; further ones \
              go to the thread that has fewest people, so that a large meeting uses all processors. \
              0 keeps every meeting on one thread.",
        set: |s, v| v.number(100_000).map(|n| s.media.split_above = n as usize),
    },
    Key {
        section: Some("media"),
        name: "mode",
        value_name: "MODE",
        default: "\"all\"",
        doc: "What rooms are for: all, or audio. In an audio hall there are no cameras and no screens \
              at any level, and who comes into one of more than ten people listens first. A room's \
              own section, or its plan, may say otherwise.",
        set: |s, v| media_mode(v).map(|mode| s.media.mode = mode),
    },
    Key {
        section: Some("media"),
        name: "redundant_audio",
        value_name: "BOOL",
        default: "true",
        doc: "Whether clients that can send each piece of sound twice (RED): a lost packet is then \
              made up for by the next, and sound takes about twice the bits. Others are sent it once.",
        set: |s, v| v.flag().map(|red| s.media.redundant_audio = red),
    },
    Key {
        section: Some("media"),
        name: "loudest_above",
        value_name: "NUMBER",
        default: "10",
        doc: "With more open microphones than this in one conference, people are sent the loudest of \
              them only.",
        set: |s, v| {
            v.number(100_000)
                .map(|n| s.media.loudest_above = n as usize)
        },
    },
    Key {
        section: Some("media"),
        name: "loudest_count",
        value_name: "NUMBER",
        default: "3",
        doc: "How many of the loudest, besides whoever speaks most; for moments up to twice as many \
              are heard, so that nobody is cut off. 24 at most; 0 is all of them, always.",
        set: |s, v| v.number(24).map(|n| s.media.loudest_count = n as usize),
    },
    Key {
        section: Some("media"),
        name: "audio_slots",
        value_name: "NUMBER",
        default: "20",
        doc: "How many voices a client can have at hand: those that are heard, and those heard a \
              moment ago. Twice loudest_count and one more at least, 50 at most.",
        set: |s, v| {
            let slots = positive(v, 50)?;
            s.media.audio_slots = slots;
            Ok(())
        },
    },
    Key {
        section: Some("media"),
        name: "last_n_by_size",
        value_name: "SIZE:NUMBER",
        default: "[]",
        doc: "How many cameras and screens each client is sent at most, by how many people there are: \
              [\"30:16\", \"100:9\"] is 16 from 30 people on, and 9 from 100. Who speaks or is looked \
              at goes first.",
        set: |s, v| value::last_n(v).map(|sizes| s.media.last_n_by_size = sizes),
    },
    Key {
        section: Some("media"),
        name: "shed_load",
        value_name: "BOOL",
        default: "true",
        doc: "Whether a thread that forwards media and has too much to do sends people fewer and \
              smaller pictures, and refuses newcomers last; sound is never touched. Off, everybody \
              loses something of everything.",
        set: |s, v| v.flag().map(|shed| s.media.shed_load = shed),
    },
];

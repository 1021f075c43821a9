//! What stands at the top of the file.

use crate::keys::Key;
use crate::value;
use std::path::PathBuf;

pub(super) const KEYS: &[Key] = &[
    Key {
        section: None,
        name: "domain",
        value_name: "NAME",
        default: "\"meet.jitsi\"",
        doc: "The XMPP domain that clients are told. It is a name inside the protocol and has \
              nothing to do with the address people open, so there is seldom a reason to change it.",
        set: |s, v| value::domain(v.text()?).map(|domain| s.domain = domain),
    },
    Key {
        section: None,
        name: "data",
        value_name: "DIR",
        default: "\"\"",
        doc: "The directory everything is kept in; nothing is written elsewhere. It is made \
              private (mode 0700), and one process at a time may use it. Empty is $STATE_DIRECTORY \
              (set by systemd), else ./data.",
        set: |s, v| {
            let text = v.text()?;
            s.data = (!text.is_empty()).then(|| PathBuf::from(text));
            Ok(())
        },
    },
    Key {
        section: None,
        name: "drain_timeout",
        value_name: "TIME",
        default: "\"60s\"",
        doc: "After SIGTERM, how long to wait for meetings to end before ending all the same; new \
              meetings are refused meanwhile. A second signal ends the wait; so does Ctrl-C. Give a \
              service manager more patience than this. At 0s SIGTERM ends meetings at once; either \
              way people come back by themselves when Althing does.",
        set: |s, v| value::duration(v.text()?).map(|time| s.drain_timeout = time),
    },
];

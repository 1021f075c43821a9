//! The interface for other programs, and what is kept of what happens.

use crate::api;
use crate::keys::Key;
use crate::settings::SecretSource;
use althing_model::Secret;

pub(super) const KEYS: &[Key] = &[
    Key {
        section: Some("api"),
        name: "secret",
        value_name: "SECRET",
        default: "\"\"",
        doc: "The key of the interface for other programs below /api/v1, on all listeners: whoever \
              has it sees and ends every room. 16 characters at least, such as \"openssl rand -hex \
              32\" prints. Without a key there is no such interface.",
        set: |s, v| api::put(s, SecretSource::Secret(Secret::new(v.secret()?))),
    },
    Key {
        section: Some("api"),
        name: "secret_file",
        value_name: "FILE",
        default: "\"\"",
        doc: "A file that holds the key instead; white space at its end does not count.",
        set: |s, v| api::put(s, SecretSource::File(v.text()?.into())),
    },
    Key {
        section: Some("audit"),
        name: "enabled",
        value_name: "BOOL",
        default: "true",
        doc: "Whether what moderators and keys of the interface do is written down, with the names \
              of whom they do it to: audit/YEAR-MONTH.jsonl in the data directory. Nothing is ever \
              deleted there but by you.",
        set: |s, v| v.flag().map(|enabled| s.audit.enabled = enabled),
    },
    Key {
        section: Some("audit"),
        name: "attendance",
        value_name: "BOOL",
        default: "false",
        doc: "Whether it is also written down there who came, knocked and left, and when.",
        set: |s, v| v.flag().map(|attendance| s.audit.attendance = attendance),
    },
];

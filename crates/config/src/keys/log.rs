//! The log.

use crate::keys::Key;
use crate::settings::LogFormat;

pub(super) const KEYS: &[Key] = &[
    Key {
        section: Some("log"),
        name: "level",
        value_name: "LEVEL",
        default: "\"info\"",
        doc: "What is logged: error, warn, info or debug; or by part, such as \
              \"info,althing_signalling=debug\".",
        set: |s, v| {
            let text = v.text()?;
            if text.trim().is_empty() {
                return Err("must not be empty".to_owned());
            }
            s.log.level = text.to_owned();
            Ok(())
        },
    },
    Key {
        section: Some("log"),
        name: "format",
        value_name: "FORMAT",
        default: "\"text\"",
        doc: "How a log line is written: \"text\" for people, \"json\" for a log collector.",
        set: |s, v| {
            s.log.format = match v.text()? {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => return Err(format!("must be \"text\" or \"json\", not {other:?}")),
            };
            Ok(())
        },
    },
];

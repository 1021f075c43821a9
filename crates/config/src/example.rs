use crate::api;
use crate::auth;
use crate::keys::{Key, keys};
use crate::room;

/// The example file: every key with its documentation, commented out at its default.
/// `deploy/althing.example.toml` is exactly this.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Every setting of Althing, with its default. Nothing needs to be set.\n\
         #\n\
         # A variable of the environment wins over this file (http.listen is\n\
         # ALTHING_HTTP_LISTEN), and a flag over both (--http-listen); lists are written with\n\
         # commas there.\n",
    );
    let mut section = None;
    for key in keys() {
        if key.section() != section {
            text += &after(section);
            section = key.section();
            if let Some(section) = section {
                text += &format!("\n[{section}]\n");
            }
        }
        text += &entry(key);
    }
    text += &after(section);
    text
}

/// The lists of tables that follow a section. Not to be switched on as they stand: a key has one
/// source, and rooms are yours.
fn after(section: Option<&str>) -> String {
    let (intro, path, fields) = match section {
        Some("auth.token") => (
            "# Further keys that tokens may be signed with, each a section of its own; they stand in\n\
             # this file only. The first that can sign is the one of \"althing token\".\n",
            auth::PATH,
            auth::FIELDS,
        ),
        Some("rooms") => (
            "# What rooms begin with, by their names, each time somebody comes into an empty one;\n\
             # in this file only. The first section whose pattern fits a room holds for it; all but\n\
             # the pattern may be left out.\n",
            room::PATH,
            room::FIELDS,
        ),
        Some("api") => (
            "# Further keys, each with a name of its own; in this file only.\n",
            api::KEY_PATH,
            api::KEY_FIELDS,
        ),
        Some("audit") => (
            "# Who is told what happens in rooms, by a signed POST of JSON; in this file only.\n",
            api::WEBHOOK_PATH,
            api::WEBHOOK_FIELDS,
        ),
        _ => return String::new(),
    };
    let mut text = format!("\n{intro}# [[{path}]]\n");
    for (name, value, doc) in fields {
        let mut lines = wrapped(doc, 60).into_iter();
        let setting = format!("{name} = {value}");
        text += &format!("# {setting:<28} # {}\n", lines.next().unwrap_or_default());
        for line in lines {
            text += &format!("# {:<28} # {line}\n", "");
        }
    }
    text
}

fn entry(key: &Key) -> String {
    let mut text = String::from("\n");
    for line in wrapped(key.doc, 90) {
        text += &format!("# {line}\n");
    }
    text + &format!("#{} = {}\n", key.name(), key.default)
}

fn wrapped(doc: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in doc.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => word.clone_into(line),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, Sources, load};
    use std::path::PathBuf;

    fn load_text(text: String) -> Settings {
        load(&Sources {
            file: Some((PathBuf::from("example"), text)),
            ..Sources::default()
        })
        .unwrap()
    }

    #[test]
    fn the_example_file_is_up_to_date() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../deploy/althing.example.toml"
        );
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(
            kept == example(),
            "deploy/althing.example.toml is not what the keys say; \
             `cargo run -p althing -- check-config --example` prints it"
        );
    }

    #[test]
    fn the_example_loads_as_it_is_and_with_every_key_switched_on() {
        assert_eq!(load_text(example()), Settings::default());
        let on: String = example()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_ne!(on, example());
        assert_eq!(load_text(on), Settings::default());
    }
}

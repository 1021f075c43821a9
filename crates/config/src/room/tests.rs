use crate::{ConfigError, Moderators, PasswordSource, RoomPreset, Settings, Sources, load};
use althing_model::{MediaMode, Secret};
use std::path::PathBuf;
use std::time::Duration;

fn read(file: &str) -> Result<Settings, ConfigError> {
    load(&Sources {
        file: Some((PathBuf::from("a.toml"), file.to_owned())),
        ..Sources::default()
    })
}

#[test]
fn presets_are_read_in_their_order() {
    let file = r#"
[[room]]
pattern = "Board-*"
password = "hunter2"
lobby = true
max_occupants = 20
subject = "The board"
start_muted = ["audio", "video"]
start_muted_above = 5
media = "audio"
max_duration = "2h"
moderators = "everyone"
metadata = '{"permissions": {"groupChatRestricted": true}}'

[[room]]
pattern = "*"
password_file = "room.password"
"#;
    let settings = read(file).unwrap();
    assert_eq!(
        settings.presets,
        [
            RoomPreset {
                pattern: "board-*".into(),
                password: Some(PasswordSource::Password(Secret::new("hunter2"))),
                lobby: true,
                max_occupants: Some(20),
                subject: Some("The board".into()),
                start_muted_audio: true,
                start_muted_video: true,
                start_muted_above: Some(5),
                media: Some(MediaMode::Audio),
                max_duration: Some(Duration::from_secs(7200)),
                hosts: None,
                guests: true,
                moderators: Some(Moderators::Everyone),
                metadata: serde_json::from_str(r#"{"permissions":{"groupChatRestricted":true}}"#)
                    .unwrap(),
            },
            RoomPreset {
                pattern: "*".into(),
                password: Some(PasswordSource::File("room.password".into())),
                ..RoomPreset::default()
            },
        ]
    );
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (file, line, said) in [
        ("[[room]]\nlobby = true\n", 1, "needs a pattern"),
        ("[[room]]\npattern = \"\"\n", 2, "pattern must not be empty"),
        ("[[room]]\npattern = \"a/b\"\n", 2, "room's name"),
        (
            "[[room]]\npattern = \"a\"\nlobbby = true\n",
            3,
            "nearest known one is \"lobby\"",
        ),
        ("[[room]]\npattern = \"a\"\nlobby = 3\n", 3, "true or false"),
        (
            "[[room]]\npattern = \"a\"\npassword = \"\"\n",
            3,
            "must not be empty",
        ),
        (
            "[[room]]\npattern = \"a\"\npassword = 1234\n",
            3,
            "text in quotes",
        ),
        (
            "[[room]]\npattern = \"a\"\npassword = \"x\"\npassword_file = \"y\"\n",
            1,
            "not both",
        ),
        (
            "[[room]]\npattern = \"a\"\nmax_occupants = 0\n",
            3,
            "max_occupants",
        ),
        (
            "[[room]]\npattern = \"a\"\nstart_muted = [\"sound\"]\n",
            3,
            "audio, video",
        ),
        (
            "[[room]]\npattern = \"a\"\nmax_duration = \"5s\"\n",
            3,
            "1m at least",
        ),
        (
            "[[room]]\npattern = \"a\"\nmoderators = \"me\"\n",
            3,
            "authenticated",
        ),
        (
            "[[room]]\npattern = \"a\"\nmetadata = \"[1]\"\n",
            3,
            "JSON object",
        ),
        ("[room]\npattern = \"a\"\n", 2, "[[room]]"),
        ("room = 3\n", 1, "[[room]]"),
        (
            "[[room]]\npattern = \"a\"\nguests = false\n",
            1,
            "there is no key",
        ),
        (
            "[[room]]\npattern = \"a\"\nhosts = \"authenticated\"\n",
            1,
            "there is no key",
        ),
    ] {
        let error = read(file).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("a.toml:{line}: ")),
            "{file}{error}"
        );
        assert!(error.contains(said), "{file}{error}");
    }
    let long = format!("[[room]]\npattern = \"{}\"\n", "a".repeat(201));
    assert!(read(&long).unwrap_err().to_string().contains("200 bytes"));
}

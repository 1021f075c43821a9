use super::*;

fn sources(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    Sources {
        file: (!file.is_empty()).then(|| (PathBuf::from("althing.toml"), file.to_owned())),
        environment: environment
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        flags: flags
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    }
}

/// The error text of a file, whole.
fn refused(file: &str) -> String {
    load(&sources(file, &[], &[])).unwrap_err().to_string()
}

#[test]
fn nothing_at_all_is_the_defaults() {
    assert_eq!(load(&Sources::default()), Ok(Settings::default()));
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "[media]\nport = 1\nworkers = 1\n[log]\nlevel = \"warn\"\n";
    let environment = [("ALTHING_MEDIA_PORT", "2"), ("ALTHING_MEDIA_WORKERS", "2")];
    let settings = load(&sources(file, &environment, &[("media.port", "3")])).unwrap();
    assert_eq!(settings.media.port, 3);
    assert_eq!(settings.media.workers, 2);
    assert_eq!(settings.log.level, "warn");
    assert_eq!(settings.domain, "meet.jitsi");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
    for (file, text) in [
        (
            "domain = \"a.b\"\n\n[http]\nlisten_on = [\"127.0.0.1:80\"]\n",
            "althing.toml:4: unknown key \"http.listen_on\"; the nearest known one is \"http.listen\"",
        ),
        (
            "[htpp]\nlisten = []\n",
            "althing.toml:2: unknown key \"htpp.listen\"; the nearest known one is \"http.listen\"",
        ),
        (
            "prot = 1\n",
            "althing.toml:1: unknown key \"prot\"; the nearest known one is \"media.port\"",
        ),
        (
            "http = 8000\n",
            "althing.toml:1: http is a section: write it as [http]",
        ),
    ] {
        assert_eq!(refused(file), text);
    }
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest_one() {
    let environment = [("ALTHING_HTTP_LISEN", "1"), ("PATH", "/bin")];
    let error = load(&sources("", &environment, &[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ALTHING_HTTP_LISEN: unknown variable; the nearest known one is ALTHING_HTTP_LISTEN"
    );
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    for (file, text) in [
        (
            "[media]\nport = 70000\n",
            "althing.toml:2: media.port must be a whole number from 0 to 65535, not 70000",
        ),
        (
            "[media]\nport = true\n",
            "althing.toml:2: media.port must be a whole number from 0 to 65535, not a boolean",
        ),
        (
            "[log]\nformat = \"xml\"\n",
            "althing.toml:2: log.format must be \"text\" or \"json\", not \"xml\"",
        ),
        (
            "drain_timeout = 5\n",
            "althing.toml:1: drain_timeout must be text in quotes, not 5",
        ),
    ] {
        assert_eq!(refused(file), text);
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let error = refused("a = 1\nb = 2\n[media]\nport = -1\n");
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn lists_are_separated_by_commas_outside_a_file() {
    let environment = [
        ("ALTHING_HTTP_LISTEN", "127.0.0.1:0, [::1]:0"),
        ("ALTHING_HTTP_TLS_LISTEN", ""),
        ("ALTHING_MEDIA_ADVERTISE", "198.51.100.7:20000"),
    ];
    let settings = load(&sources("", &environment, &[])).unwrap();
    assert_eq!(settings.http.listen.len(), 2);
    assert!(settings.http.tls_listen.is_empty());
    assert_eq!(settings.media.advertise[0].port, Some(20_000));
}

#[test]
fn the_file_can_be_named_by_the_environment() {
    let environment = [(OsString::from(FILE_VARIABLE), OsString::from("/etc/a.toml"))];
    assert_eq!(
        Sources::file_of_environment(&environment),
        Some(PathBuf::from("/etc/a.toml"))
    );
    let sources = Sources {
        environment: environment.to_vec(),
        ..Sources::default()
    };
    assert!(load(&sources).is_ok());
}

#[test]
fn documented_defaults_are_the_defaults() {
    for key in keys() {
        let mut file = key
            .section()
            .map_or_else(String::new, |s| format!("[{s}]\n"));
        file += &format!("{} = {}\n", key.name(), key.default);
        let settings = load(&sources(&file, &[], &[]));
        assert_eq!(settings, Ok(Settings::default()), "{}", key.path());
    }
}

#[test]
fn every_voice_that_is_heard_has_a_slot() {
    for (media, right) in [
        ("loudest_count = 9\n", true),
        ("loudest_count = 10\n", false),
        ("loudest_count = 10\naudio_slots = 21\n", true),
        ("audio_slots = 7\n", true),
        ("audio_slots = 6\n", false),
        ("audio_slots = 1\nloudest_count = 0\n", true),
    ] {
        let file = format!("[media]\n{media}");
        match load(&sources(&file, &[], &[])) {
            Ok(_) => assert!(right, "{media}"),
            Err(error) => {
                assert!(!right, "{error}");
                assert!(error.to_string().contains("at least for"), "{error}");
            }
        }
    }
}

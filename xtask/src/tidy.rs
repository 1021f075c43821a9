//! The walls between crates, read from the manifests and the sources.

use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A file this long is a finding; [`LONG`] is only listed.
const TOO_LONG: usize = 1000;
const LONG: usize = 600;

/// What each crate may use of ours, besides `model`. Down only; never up, never sideways.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("xmpp", &[]),
    ("colibri", &[]),
    ("control", &[]),
    ("rtp", &[]),
    ("room", &["xmpp"]),
    ("focus", &["xmpp", "control", "room"]),
    ("forwarding", &["rtp", "colibri"]),
    ("transport", &["rtp"]),
    ("bus", &[]),
    ("store", &[]),
    ("telemetry", &[]),
    (
        "signalling",
        &["xmpp", "control", "room", "focus", "bus", "telemetry"],
    ),
    (
        "bridge",
        &[
            "colibri",
            "control",
            "rtp",
            "forwarding",
            "transport",
            "bus",
            "telemetry",
        ],
    ),
    ("http", &["telemetry"]),
    ("https", &[]),
    ("identity", &["https"]),
    ("api", &["control", "bus", "https", "telemetry"]),
    ("client", &["xmpp", "colibri", "rtp", "transport"]),
    ("load", &["client"]),
    ("config", &[]),
    ("testkit", &[]),
    (
        "cli",
        &[
            "api",
            "bridge",
            "bus",
            "client",
            "config",
            "control",
            "http",
            "identity",
            "load",
            "signalling",
            "store",
            "telemetry",
            "transport",
        ],
    ),
];

/// Crates that decide and do nothing: no runtime, socket, file, clock or randomness of their own.
const CORES: &[&str] = &[
    "model",
    "xmpp",
    "colibri",
    "control",
    "rtp",
    "room",
    "focus",
    "forwarding",
    "transport",
];

/// What would make a core a shell.
const NOT_IN_CORES: &[&str] = &[
    "tokio",
    "tokio-util",
    "mio",
    "nix",
    "socket2",
    "quinn-udp",
    "axum",
    "hyper",
    "hyper-util",
    "getrandom",
    "if-addrs",
    "rustls",
    "tokio-rustls",
    "tokio-tungstenite",
    "futures-util",
    "tempfile",
    "uuid",
];

/// External crates with one owner (HOUSE-STYLE, dependencies).
const OWNED: &[(&str, &[&str])] = &[
    ("is", &["transport"]),
    ("dimpl", &["transport"]),
    ("aws-lc-rs", &["transport", "identity", "api"]),
    ("rxml", &["xmpp"]),
    ("quinn-udp", &["bridge", "client"]),
    ("mio", &["bridge", "client"]),
    ("socket2", &["bridge"]),
    ("rcgen", &["http"]),
    ("webpki", &["identity"]),
    ("tokio-rustls", &["http"]),
    ("rustls", &["http", "https", "client", "identity"]),
    ("reqwest", &["https", "identity", "api"]),
    ("webpki-roots", &["https"]),
    ("tracing-subscriber", &["telemetry"]),
    ("toml", &["config", "xtask"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli", "xtask"]),
];

/// Runs every rule and prints all findings before failing.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut findings = Vec::new();
    let manifests = manifests(root)?;
    directions(&manifests, &mut findings);
    cores(&manifests, &mut findings);
    owners(&manifests, &mut findings);
    let long = lengths(root, &mut findings)?;
    if !long.is_empty() {
        say(&format!("files over {LONG} lines, to be kept in mind:"));
        for line in long {
            say(&format!("  {line}"));
        }
    }
    if findings.is_empty() {
        say(&format!("tidy: {} crates in order", manifests.len()));
        return Ok(());
    }
    for finding in &findings {
        say(&format!("tidy: {finding}"));
    }
    bail!("{} findings", findings.len());
}

#[expect(
    clippy::print_stdout,
    reason = "this program talks to a person in a terminal"
)]
fn say(line: &str) {
    println!("{line}");
}

struct Manifest {
    ours: BTreeSet<String>,
    theirs: BTreeSet<String>,
}

fn manifests(root: &Path) -> Result<BTreeMap<String, Manifest>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(root.join("crates"))? {
        let path = entry?.path();
        let file = path.join("Cargo.toml");
        if !file.is_file() {
            continue;
        }
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .context("a crate folder's name")?;
        let text = std::fs::read_to_string(&file)?;
        let table: toml::Table = text.parse().with_context(|| file.display().to_string())?;
        let mut manifest = Manifest {
            ours: BTreeSet::new(),
            theirs: BTreeSet::new(),
        };
        let dependencies = table.get("dependencies").and_then(toml::Value::as_table);
        for dependency in dependencies.into_iter().flat_map(|t| t.keys()) {
            match dependency.strip_prefix("althing-") {
                Some(ours) => manifest.ours.insert(ours.to_owned()),
                None => manifest.theirs.insert(dependency.clone()),
            };
        }
        all.insert(name.to_owned(), manifest);
    }
    Ok(all)
}

fn directions(manifests: &BTreeMap<String, Manifest>, findings: &mut Vec<String>) {
    for (name, manifest) in manifests {
        let Some((_, allowed)) = MAY_USE.iter().find(|(n, _)| n == name) else {
            findings.push(format!(
                "crate {name} has no line in xtask/src/tidy.rs MAY_USE"
            ));
            continue;
        };
        for used in &manifest.ours {
            if used != "model" && !allowed.contains(&used.as_str()) {
                findings.push(format!("crate {name} must not depend on {used}"));
            }
        }
    }
}

fn cores(manifests: &BTreeMap<String, Manifest>, findings: &mut Vec<String>) {
    for (name, manifest) in manifests
        .iter()
        .filter(|(n, _)| CORES.contains(&n.as_str()))
    {
        for external in manifest
            .theirs
            .iter()
            .filter(|e| NOT_IN_CORES.contains(&e.as_str()))
        {
            findings.push(format!("core {name} must not depend on {external}"));
        }
    }
}

fn owners(manifests: &BTreeMap<String, Manifest>, findings: &mut Vec<String>) {
    for (external, owners) in OWNED {
        for (name, manifest) in manifests {
            if manifest.theirs.contains(*external) && !owners.contains(&name.as_str()) {
                findings.push(format!(
                    "{external} belongs to {}, not to {name}",
                    owners.join(", ")
                ));
            }
        }
    }
}

/// Lists long files; those past [`TOO_LONG`] are findings. Tests and fixtures may be long.
fn lengths(root: &Path, findings: &mut Vec<String>) -> Result<Vec<String>> {
    let mut long = Vec::new();
    let mut pending: Vec<PathBuf> = ["crates", "xtask", "web/core", "web/app", "e2e"]
        .iter()
        .map(|d| root.join(d))
        .collect();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            if !matches!(
                name,
                "node_modules" | "target" | "dist" | "tests" | "test" | "results"
            ) {
                for entry in std::fs::read_dir(&path)? {
                    pending.push(entry?.path());
                }
            }
            continue;
        }
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        let source = [".rs", ".ts", ".svelte"]
            .iter()
            .any(|end| name.ends_with(end));
        if !source || name == "tests.rs" || name.contains(".test.") || name.contains(".spec.") {
            continue;
        }
        let lines = std::fs::read_to_string(&path)?.lines().count();
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        if lines > TOO_LONG {
            findings.push(format!("{shown} has {lines} lines; split it"));
        } else if lines > LONG {
            long.push(format!("{lines} {shown}"));
        }
    }
    long.sort();
    Ok(long)
}

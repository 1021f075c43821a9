//! Embeds the built web client, if there is one, so that the binary is all there is to install.
//!
//! `web/app/dist` becomes a table of files in the generated `web_assets.rs`. Without it the table
//! is empty, the build succeeds, and the page says that the web client is missing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let dist = root.join("../../web/app/dist");
    // A path that does not exist would make every build run this again. So the folder is made
    // (it is git-ignored, and the web client's build empties it anyway), and a change in it seen.
    if dist.parent().is_some_and(Path::is_dir) {
        fs::create_dir_all(&dist)?;
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", dist.display());

    let mut files = Vec::new();
    if dist.is_dir() {
        collect(&dist.canonicalize()?, "", &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for (name, path) in &files {
        // Compressed twins are columns of their original's row.
        let is_twin = |ending: &str| {
            name.strip_suffix(ending)
                .is_some_and(|original| files.iter().any(|(other, _)| other == original))
        };
        if is_twin(".br") || is_twin(".gz") {
            continue;
        }
        let twin = |ending: &str| {
            let twin = format!("{name}{ending}");
            let path = files.iter().find(|(other, _)| *other == twin);
            path.map_or_else(
                || "None".to_owned(),
                |(_, path)| format!("Some(include_bytes!({path:?}))"),
            )
        };
        writeln!(
            table,
            "    Asset {{ path: {name:?}, hash: {:#018x}, identity: include_bytes!({path:?}), \
             brotli: {}, gzip: {} }},",
            fnv1a(&fs::read(path)?),
            twin(".br"),
            twin(".gz"),
        )
        .expect("writing to a string does not fail");
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    fs::write(out.join("web_assets.rs"), table)
}

/// Every file below `folder` with its path from there; hidden ones are notes of the build.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
            continue;
        };
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.push((path, entry.path()));
        }
    }
    Ok(())
}

/// For entity tags: it only has to differ when the content does.
fn fnv1a(content: &[u8]) -> u64 {
    content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

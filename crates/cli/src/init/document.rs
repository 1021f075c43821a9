//! The file as it is written, and what is said about it.

use super::translation::{KEY_SECTION, Setting, Translated};
use std::path::Path;

/// The order of the example file.
const SECTIONS: &[&str] = &[
    "",
    "http",
    "media",
    "log",
    "rooms",
    "auth",
    "auth.token",
    KEY_SECTION,
];

/// The file's text.
pub(super) fn write(translated: &Translated, source: &Path) -> String {
    let name = source
        .file_name()
        .map(|name| name.to_string_lossy().replace(char::is_control, " "))
        .unwrap_or_default();
    let mut text = format!(
        "# Made by \"althing init\" from {name}. Every other setting has its default;\n\
         # \"althing check-config --example\" prints them all.\n"
    );
    for section in SECTIONS {
        let settings: Vec<&Setting> = translated
            .settings
            .iter()
            .filter(|setting| setting.section == *section)
            .collect();
        if settings.is_empty() {
            continue;
        }
        if !section.is_empty() && *section != KEY_SECTION {
            text += &format!("\n[{section}]\n");
        }
        for setting in settings {
            // Each key of tokens begins with its source.
            if *section == KEY_SECTION && setting.key != "algorithms" {
                text += &format!("\n[{KEY_SECTION}]\n");
            }
            if !setting.comment.is_empty() {
                text += &format!("# {}\n", setting.comment);
            }
            text += &format!("{} = {}\n", setting.key, setting.value);
        }
    }
    if !translated.left.is_empty() {
        text += "\n# Not taken over:\n";
        for (variable, why) in &translated.left {
            text += &format!("# {variable}: {}\n", one_line(why));
        }
    }
    text
}

/// For the person who asked for it.
pub(super) fn summary(translated: &Translated, output: &Path) -> String {
    let mut text = format!(
        "{} has {} settings.\n",
        output.display(),
        translated.settings.len()
    );
    for note in &translated.notes {
        text += &format!("\n{note}\n");
    }
    if !translated.left.is_empty() {
        text += "\nNot taken over:\n";
        for (variable, why) in &translated.left {
            text += &format!("  {variable}: {}\n", one_line(why));
        }
    }
    text += &format!(
        "\nNext: althing check-config --config {0}, then althing serve --config {0}\n",
        output.display()
    );
    text
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

use super::*;
use std::fs::OpenOptions;
use std::path::PathBuf;
use tempfile::TempDir;

/// Files in a folder; those of one month cannot be opened.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    broken: Option<&'static str>,
}

impl Storage for Folder {
    fn plans(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        Ok(Vec::new())
    }

    fn put_plan(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn remove_plan(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn audit_file(&self, month: &str) -> io::Result<File> {
        if self.broken == Some(month) {
            return Err(io::Error::other("the disk is full"));
        }
        OpenOptions::new()
            .append(true)
            .read(true)
            .create(true)
            .open(self.path.join(month))
    }
}

/// The last second of 2025.
const DECEMBER: u64 = 1_767_225_599_000;
const JANUARY: u64 = 1_767_225_600_000;

fn line(at_millis: u64, text: &str) -> Line {
    Line {
        at_millis,
        text: text.to_owned(),
    }
}

fn write(folder: &TempDir, broken: Option<&'static str>, lines: Vec<Line>) -> Metrics {
    let metrics = Metrics::default();
    let path = folder.path().to_owned();
    let storage = Arc::new(Folder { path, broken });
    let (sender, receiver) = mpsc::channel(100);
    for line in lines {
        sender.try_send(line).unwrap();
    }
    drop(sender);
    Journal::new(storage, metrics.clone()).run(receiver);
    metrics
}

fn read(folder: &TempDir, month: &str) -> String {
    std::fs::read_to_string(folder.path().join(month)).unwrap()
}

#[test]
fn each_month_has_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let lines = vec![line(DECEMBER, "1"), line(DECEMBER, "2"), line(JANUARY, "3")];
    let metrics = write(&folder, None, lines);
    assert_eq!(read(&folder, "2025-12"), "1\n2\n");
    assert_eq!(read(&folder, "2026-01"), "3\n");
    assert_eq!(metrics.audit_lines.get(), 3);
    // The next start goes on with it.
    write(&folder, None, vec![line(JANUARY, "4")]);
    assert_eq!(read(&folder, "2026-01"), "3\n4\n");
}

#[test]
fn a_line_that_a_crash_cut_stays_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("2026-01"), "{\"a\":1}\n{\"b\":").unwrap();
    write(&folder, None, vec![line(JANUARY, "{\"c\":3}")]);
    let text = read(&folder, "2026-01");
    let readable: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert_eq!(readable, [json!({ "a": 1 }), json!({ "c": 3 })]);
}

#[test]
fn what_cannot_be_written_is_counted_and_the_rest_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let lines = vec![line(DECEMBER, "1"), line(JANUARY, "2")];
    let metrics = write(&folder, Some("2025-12"), lines);
    assert_eq!(metrics.audit_lost.get(), 1);
    assert_eq!(read(&folder, "2026-01"), "2\n");
}

#[test]
fn a_full_queue_is_counted_and_said_as_soon_as_there_is_room() {
    let metrics = Metrics::default();
    let (sender, mut lines) = queue(&metrics);
    for _ in 0..QUEUE + 3 {
        sender.line(JANUARY, &Map::new());
    }
    assert_eq!(metrics.audit_lost.get(), 3);
    for _ in 0..5 {
        lines.try_recv().unwrap();
    }
    sender.line(JANUARY, &Map::new());
    let mut last = Vec::new();
    while let Ok(line) = lines.try_recv() {
        last.push(line.text);
    }
    let lost = r#"{"at":"2026-01-01T00:00:00Z","count":3,"event":"lost"}"#;
    assert_eq!(last[last.len() - 2..], [lost.to_owned(), "{}".to_owned()]);
}

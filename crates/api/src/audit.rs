//! The audit log: one JSON object a line, one file a month (UTC), `audit/2026-11.jsonl`.
//!
//! **What is on disk when.** Lines are written in groups, as they come: all that wait, 1,024 at most,
//! are written at once and synced (`fdatasync`) before the next group. A kill of the program loses what
//! still waits in memory; a loss of power, besides, what was not yet synced: on a disk that keeps up,
//! the last few milliseconds. A line that was cut by either stays alone on its line: the next one
//! begins on a new one, so readers skip what is no JSON and lose nothing else.

use crate::clock;
use crate::metrics::Metrics;
use crate::storage::Storage;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// How many lines wait to be written.
const QUEUE: usize = 16_384;
/// How many are written at once.
const GROUP: usize = 1_024;

/// A line with its time.
#[derive(Debug)]
pub(crate) struct Line {
    at_millis: u64,
    pub(crate) text: String,
}

/// Where lines go.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    lines: mpsc::Sender<Line>,
    /// How many were lost that no line tells of yet.
    lost: Arc<AtomicU64>,
    metrics: Metrics,
}

/// Where lines go for as long as somebody else keeps the queue open: requests are answered until the
/// end, and must not hold it up.
#[derive(Debug)]
pub(crate) struct WeakSender {
    lines: mpsc::WeakSender<Line>,
    lost: Arc<AtomicU64>,
    metrics: Metrics,
}

impl WeakSender {
    pub(crate) fn sender(&self) -> Option<Sender> {
        Some(Sender {
            lines: self.lines.upgrade()?,
            lost: Arc::clone(&self.lost),
            metrics: self.metrics.clone(),
        })
    }
}

/// A queue of lines, and its end.
pub(crate) fn queue(metrics: &Metrics) -> (Sender, mpsc::Receiver<Line>) {
    let (lines, receiver) = mpsc::channel(QUEUE);
    let sender = Sender {
        lines,
        lost: Arc::default(),
        metrics: metrics.clone(),
    };
    (sender, receiver)
}

impl Sender {
    pub(crate) fn downgrade(&self) -> WeakSender {
        WeakSender {
            lines: self.lines.downgrade(),
            lost: Arc::clone(&self.lost),
            metrics: self.metrics.clone(),
        }
    }

    /// Something is to be written down. Waits for nobody: what finds the queue full is counted, and
    /// the log says so as soon as there is room.
    pub(crate) fn line(&self, at_millis: u64, what: &Map<String, Value>) {
        // Room for both lines, or neither.
        if self.lines.capacity() > 1 {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                let at = clock::written(at_millis);
                let text = json!({ "at": at, "event": "lost", "count": lost }).to_string();
                if self.lines.try_send(Line { at_millis, text }).is_err() {
                    self.lost(lost);
                }
            }
        }
        let text = Value::Object(what.clone()).to_string();
        if self.lines.try_send(Line { at_millis, text }).is_err() {
            self.metrics.audit_lost.inc();
            let lost = self.lost(1);
            if lost.is_power_of_two() {
                tracing::error!(lost, "audit lines lost: the disk does not keep up");
            }
        }
    }

    /// Lines were lost, perhaps before they came here; how many no line tells of yet.
    pub(crate) fn lost(&self, count: u64) -> u64 {
        self.lost.fetch_add(count, Ordering::Relaxed) + count
    }
}

/// Writes the log.
#[derive(Debug)]
pub(crate) struct Journal {
    storage: Arc<dyn Storage>,
    metrics: Metrics,
    /// The month that is written to.
    open: Option<(String, File)>,
}

impl Journal {
    pub(crate) fn new(storage: Arc<dyn Storage>, metrics: Metrics) -> Self {
        Self {
            storage,
            metrics,
            open: None,
        }
    }

    /// Until nobody has anything to write any more; on a thread that may wait.
    pub(crate) fn run(mut self, mut lines: mpsc::Receiver<Line>) {
        let mut group = Vec::new();
        while let Some(first) = lines.blocking_recv() {
            group.push(first);
            while group.len() < GROUP
                && let Ok(next) = lines.try_recv()
            {
                group.push(next);
            }
            self.group(&group);
            group.clear();
        }
    }

    fn group(&mut self, mut group: &[Line]) {
        while let Some(first) = group.first() {
            let month = clock::month(first.at_millis);
            let of_month = group
                .iter()
                .take_while(|line| clock::month(line.at_millis) == month)
                .count();
            let (now, later) = group.split_at(of_month);
            let count = u64::try_from(now.len()).unwrap_or(0);
            match self.write(&month, now) {
                Ok(()) => {
                    self.metrics.audit_lines.inc_by(count);
                }
                Err(error) => {
                    // Opened anew for the next group, which begins on a new line.
                    self.open = None;
                    self.metrics.audit_lost.inc_by(count);
                    tracing::error!(%error, count, "audit lines cannot be written");
                }
            }
            group = later;
        }
    }

    fn write(&mut self, month: &str, lines: &[Line]) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|(open, _)| open != month) {
            let mut file = self.storage.audit_file(month)?;
            end_cut_line(&mut file)?;
            self.open = Some((month.to_owned(), file));
        }
        let Some((_, file)) = &mut self.open else {
            return Ok(());
        };
        let mut text = String::new();
        for line in lines {
            text.push_str(&line.text);
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

/// What a crash left in the middle of a line is not to spoil the next one.
fn end_cut_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

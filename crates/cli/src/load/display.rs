use althing_load::Progress;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often a line is written where none can be redrawn.
const PLAIN: Duration = Duration::from_secs(5);

/// How it goes: on a terminal one line that is redrawn, elsewhere a line now and then.
#[derive(Default)]
pub(super) struct Display {
    last: String,
    written: Option<Instant>,
}

impl Display {
    pub(super) fn show(&mut self, progress: &Progress) {
        let text = progress.to_string();
        if text == self.last {
            return;
        }
        let over = *progress == Progress::Leaving;
        let mut out = std::io::stderr();
        // What cannot be shown is no reason to stop.
        if out.is_terminal() {
            // From the left edge, and the rest of the line erased.
            let end = if over { "\n" } else { "" };
            let _ = write!(out, "\r{text}\x1b[K{end}");
            let _ = out.flush();
        } else if over || self.written.is_none_or(|at| at.elapsed() >= PLAIN) {
            let _ = writeln!(out, "{text}");
            self.written = Some(Instant::now());
        }
        self.last = text;
    }
}

//! A program under measure, and what it costs.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server, ended when dropped.
pub(crate) struct Server {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// Starts it on the first processor, or, when `pinned` is false, wherever there is room. Given
    /// its folder, `arguments` says the rest. Returns what `find` makes of the first line of its
    /// output that it likes.
    pub(crate) fn start<T>(
        program: &Path,
        pinned: bool,
        arguments: impl FnOnce(&mut Command, &Path),
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> (Self, T) {
        let mut server = Self::start_quietly(program, pinned, |command, folder| {
            arguments(command, folder);
            command.stdout(Stdio::piped());
        });
        let mut lines = BufReader::new(server.child.stdout.take().unwrap()).lines();
        let found = loop {
            let line = lines.next().expect("the server says that it is there");
            if let Some(found) = find(&line.unwrap()) {
                break found;
            }
        };
        // The rest is read, so that it never blocks on a full pipe.
        let aloud = std::env::var_os("FORWARD_ALOUD").is_some();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter(|_| aloud) {
                eprintln!("    {line}");
            }
        });
        (server, found)
    }

    /// Likewise one that says nothing of use when it is there.
    pub(crate) fn start_quietly(
        program: &Path,
        pinned: bool,
        arguments: impl FnOnce(&mut Command, &Path),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("taskset");
        command.args(["-c", if pinned { "0" } else { "0-63" }]);
        command.arg(program).stdin(Stdio::null());
        command.stdout(Stdio::null());
        arguments(&mut command, folder.path());
        Self {
            child: command.spawn().unwrap(),
            _folder: folder,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time so far, user and system, of all threads: to the nanosecond from the
    /// scheduler, where it tells, else in ticks.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = self.threads();
        if threads.is_empty() {
            return self.ticks();
        }
        threads.values().map(|(_, time)| *time).sum()
    }

    /// Likewise of the threads whose name begins so.
    pub(crate) fn cpu_of(&self, name: &str) -> Duration {
        let threads = self.threads();
        let named = threads.values().filter(|(n, _)| n.starts_with(name));
        named.map(|(_, time)| *time).sum()
    }

    fn threads(&self) -> HashMap<String, (String, Duration)> {
        let mut threads = HashMap::new();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        for task in tasks.flatten() {
            let read = |file: &str| std::fs::read_to_string(task.path().join(file)).ok();
            let (Some(name), Some(stat)) = (read("comm"), read("schedstat")) else {
                continue;
            };
            let Some(nanos) = stat.split_whitespace().next().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let id = task.file_name().to_string_lossy().into_owned();
            threads.insert(id, (name.trim().to_owned(), Duration::from_nanos(nanos)));
        }
        threads
    }

    /// `utime` and `stime` of `/proc/PID/stat`.
    pub(crate) fn ticks(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK);
        Duration::from_secs_f64(ticks as f64 / per_second.unwrap().unwrap() as f64)
    }

    /// A line of `/proc/PID/status` in bytes.
    pub(crate) fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with(what)).unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<u64>().unwrap() * 1024
    }
}

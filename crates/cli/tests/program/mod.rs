//! The real program on ports of its own, for tests.
#![allow(dead_code, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod talk;

use althing_client::{ClientSettings, Url};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::{NamedTempFile, TempDir};

/// A running `althing serve` on loopback; ended when dropped.
pub(crate) struct Program {
    child: Child,
    data: Arc<TempDir>,
    pub(crate) url: Url,
    pub(crate) admin: SocketAddr,
    pub(crate) media: SocketAddr,
    log: Option<NamedTempFile>,
}

impl Program {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(flags: &[&str]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), flags)
    }

    /// Its log can be read with [`Self::log_lines`] instead of being the test's.
    pub(crate) fn start_logged(flags: &[&str]) -> Self {
        let data = Arc::new(tempfile::tempdir().unwrap());
        let log = NamedTempFile::new().unwrap();
        let errors = Stdio::from(log.reopen().unwrap());
        let mut program = Self::start_with_errors(data, flags, errors);
        program.log = Some(log);
        program
    }

    /// In a data directory that may have been another's before.
    pub(crate) fn start_in(data: Arc<TempDir>, flags: &[&str]) -> Self {
        Self::start_with_errors(data, flags, Stdio::inherit())
    }

    fn start_with_errors(data: Arc<TempDir>, flags: &[&str], errors: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_althing"))
            .args(["serve", "--data"])
            .arg(data.path())
            .args([
                "--http-listen",
                "127.0.0.1:0",
                "--http-tls-listen",
                "127.0.0.1:0",
            ])
            .args([
                "--http-admin-listen",
                "127.0.0.1:0",
                "--media-port",
                "0",
                "--media-bind",
                "127.0.0.1",
            ])
            // Tests take all processors, and none is about that.
            .args(["--media-shed-load", "false"])
            .args(["--log-level", "warn"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        // What it prints for a person says where everything is.
        let mut announced = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in &mut lines {
            let line = line.unwrap();
            announced.push_str(&line);
            announced.push('\n');
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let after = |heading: &str| {
            let rest = announced
                .split_once(heading)
                .unwrap_or_else(|| panic!("{heading}: {announced}"))
                .1;
            rest.lines().nth(1).unwrap().trim().to_owned()
        };
        let url: Url = after("On this machine, open").parse().unwrap();
        let admin: Url = after("For you alone").parse().unwrap();
        Self {
            child,
            data,
            url,
            admin: admin.socket_addrs(|| None).unwrap()[0],
            media: after("Media, UDP").parse().unwrap(),
            log: None,
        }
    }

    /// Its data directory, which outlives it for as long as somebody holds this.
    pub(crate) fn data(&self) -> Arc<TempDir> {
        Arc::clone(&self.data)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// A client that listens in `room`.
    pub(crate) fn client(&self, room: &str, name: &str) -> ClientSettings {
        ClientSettings::new(self.url.clone(), room, name)
    }

    /// Its metrics, for whoever fetches them by itself.
    pub(crate) fn metrics_url(&self) -> Url {
        format!("http://{}/metrics", self.admin).parse().unwrap()
    }

    /// A GET on the admin listener.
    pub(crate) fn admin_get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        answer
    }

    /// Every metric without labels, and sums over labels.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        let mut found = BTreeMap::new();
        for line in self
            .admin_get("/metrics")
            .lines()
            .filter(|l| !l.starts_with('#'))
        {
            if let Some((name, value)) = line.rsplit_once(' ')
                && let Ok(value) = value.parse::<f64>()
            {
                let name = name.split('{').next().unwrap().to_owned();
                *found.entry(name).or_insert(0.0) += value;
            }
        }
        found
    }

    /// One metric with its labels as the page has them.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.admin_get("/metrics");
        let mut values = page.lines().filter_map(|line| line.strip_prefix(name));
        let value = values.find_map(|rest| rest.strip_prefix(' ')?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name}: {page}"))
    }

    /// Packets dropped for this reason.
    pub(crate) fn dropped(&self, reason: &str) -> f64 {
        self.metric(&format!(
            "althing_bridge_packets_dropped_total{{reason=\"{reason}\"}}"
        ))
    }

    /// How many lines with this text a program has logged that was started with
    /// [`Self::start_logged`].
    pub(crate) fn log_lines(&self, text: &str) -> usize {
        let log = std::fs::read_to_string(self.log.as_ref().unwrap().path()).unwrap();
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// Resident memory, in kB.
    pub(crate) fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` holds, asking every 50 ms, at most `limit`.
pub(crate) async fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + limit;
    while !condition() {
        assert!(
            tokio::time::Instant::now() < end,
            "{what} did not happen within {limit:?}"
        );
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

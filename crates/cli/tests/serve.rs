//! The real program, started as an operator would, on free ports and with its own data directory.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use futures_util::StreamExt as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// No test waits longer for anything that should come.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the program promises when it is told to stop.
const PROMISE: Duration = Duration::from_secs(2);

/// The program, with an environment in which nothing of ours is set.
fn althing(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_althing"));
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir(directory)
        .stdin(Stdio::null());
    command
}

fn serve(directory: &Path) -> Command {
    let mut command = althing(directory);
    command.arg("serve");
    for flag in ["--http-listen", "--http-tls-listen", "--http-admin-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command.args(["--media-port", "0", "--media-bind", "127.0.0.1"]);
    command
}

/// A process that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it with its output on pipes that can be waited for.
fn start(mut command: Command) -> (Process, Receiver, Receiver) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pipe = |fd: OwnedFd| Receiver::from_owned_fd(fd).unwrap();
    let out = pipe(child.stdout.take().unwrap().into());
    let errors = pipe(child.stderr.take().unwrap().into());
    (Process(child), out, errors)
}

/// Code, standard output and standard error of a process that ends by itself.
async fn output(command: Command) -> (i32, String, String) {
    let (mut process, mut out, mut errors) = start(command);
    let (mut out_text, mut error_text) = (String::new(), String::new());
    let both = async {
        tokio::join!(
            out.read_to_string(&mut out_text),
            errors.read_to_string(&mut error_text)
        )
    };
    let (out, errors) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    out.unwrap();
    errors.unwrap();
    let code = process.0.wait().unwrap().code().unwrap();
    (code, out_text, error_text)
}

/// The code, and standard error.
async fn failure(command: Command) -> (i32, String) {
    let (code, _, errors) = output(command).await;
    (code, errors)
}

/// A running program that has announced itself.
struct Running {
    process: Process,
    out: Lines<BufReader<Receiver>>,
    announcement: String,
    // Kept open, so that a log line does not end the program.
    _errors: Receiver,
    _directory: Option<TempDir>,
}

impl Running {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut running = Self::from(serve(directory.path())).await;
        running._directory = Some(directory);
        running
    }

    async fn from(command: Command) -> Self {
        let (process, out, mut errors) = start(command);
        let mut out = BufReader::new(out).lines();
        let mut announcement = String::new();
        let read = async {
            while let Some(line) = out.next_line().await.unwrap() {
                announcement += &line;
                announcement.push('\n');
                if line == "Ctrl-C ends it." {
                    return;
                }
            }
            let mut text = String::new();
            errors.read_to_string(&mut text).await.unwrap();
            panic!("it did not start: {announcement}{text}");
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap();
        Self {
            process,
            out,
            announcement,
            _errors: errors,
            _directory: None,
        }
    }

    /// The first announced URL with this beginning, without its slash at the end.
    fn url(&self, beginning: &str) -> &str {
        self.announcement
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with(beginning))
            .unwrap()
            .trim_end_matches('/')
    }

    fn pid(&self) -> u32 {
        self.process.0.id()
    }

    fn tell(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    /// Waits for the end, which closes its output.
    async fn ended(&mut self) -> ExitStatus {
        let rest = async { while self.out.next_line().await.unwrap().is_some() {} };
        tokio::time::timeout(PATIENCE, rest).await.unwrap();
        self.process.0.wait().unwrap()
    }

    /// An XMPP WebSocket to it.
    async fn websocket(
        &self,
    ) -> tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>
    {
        let url = self.url("http://127.0.0.1:").replace("http", "ws") + "/xmpp-websocket";
        let mut request = url.into_client_request().unwrap();
        let protocol = "xmpp".parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        tokio_tungstenite::connect_async(request).await.unwrap().0
    }
}

async fn get(url: &str) -> (u16, String) {
    // Whichever test is first; the client asks for a provider even where there is no TLS.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.install_default().ok();
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn it_serves_says_where_and_keeps_to_its_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::from(serve(directory.path())).await;
    assert!(running.announcement.contains("https://127.0.0.1:"));
    assert!(running.announcement.contains("Media, UDP\n"));
    let url = running.url("http://127.0.0.1:").to_owned();
    assert_eq!(get(&format!("{url}/health")).await.0, 200);
    let (_, config) = get(&format!("{url}/config.js")).await;
    assert!(config.contains(&format!("{}/xmpp-websocket", url.replace("http", "ws"))));
    let admin = running
        .announcement
        .lines()
        .find_map(|line| line.trim().strip_suffix("/metrics"))
        .unwrap()
        .to_owned();
    let (_, metrics) = get(&format!("{admin}/metrics")).await;
    assert!(metrics.contains("althing_process_resident_memory_bytes "));
    assert_eq!(get(&format!("{url}/metrics")).await.0, 404);

    running.tell(Signal::SIGTERM);
    assert!(running.ended().await.success());
    let written: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(written, ["data"]);
    let mode = |name: &str| {
        let path = directory.path().join("data").join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("tls/self-signed.pem"), 0o600);
}

#[tokio::test]
async fn both_signals_end_it_in_time_while_a_websocket_is_open() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut running = Running::start().await;
        let mut socket = running.websocket().await;
        let started = Instant::now();
        running.tell(signal);
        let status = running.ended().await;
        assert!(started.elapsed() < PROMISE, "{:?}", started.elapsed());
        assert!(status.success(), "{signal}: {status}");
        while let Some(Ok(_)) = socket.next().await {}
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_and_told_by_whom() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::from(serve(directory.path())).await;
    let (code, errors) = failure(serve(directory.path())).await;
    assert_eq!(code, 1);
    assert!(
        errors.contains(&format!("in use by process {}", running.pid())),
        "{errors}"
    );
}

#[tokio::test]
async fn the_data_directory_is_the_service_managers_unless_told() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut command = serve(directory.path());
    command.env("STATE_DIRECTORY", &state);
    drop(Running::from(command).await);
    assert!(state.join("lock").exists());
    let told = directory.path().join("told");
    let mut command = serve(directory.path());
    command
        .env("STATE_DIRECTORY", &state)
        .arg("--data")
        .arg(&told);
    drop(Running::from(command).await);
    assert!(told.join("lock").exists());
}

#[tokio::test]
async fn a_port_in_use_names_the_key_to_change() {
    let directory = tempfile::tempdir().unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = tcp.local_addr().unwrap().to_string();
    let mut refused = althing(directory.path());
    refused.args(["serve", "--media-port", "0", "--http-listen", &taken]);
    let (code, errors) = failure(refused).await;
    assert_eq!(code, 1);
    assert!(
        errors.contains(&taken) && errors.contains("change http.listen"),
        "{errors}"
    );

    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port().to_string();
    let mut refused = althing(directory.path());
    refused.args(["serve", "--media-port", &port, "--media-bind", "127.0.0.1"]);
    refused.args(["--http-listen", "127.0.0.1:0"]);
    let (code, errors) = failure(refused).await;
    assert_eq!(code, 1);
    assert!(errors.contains("change media.port"), "{errors}");
}

#[tokio::test]
async fn flags_win_over_environment_over_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    std::fs::write(
        &file,
        "domain = \"file.example\"\n[http]\nlisten = [\"127.0.0.1:1\"]\n",
    )
    .unwrap();
    let mut command = serve(directory.path());
    command
        .env("ALTHING_CONFIG", &file)
        .env("ALTHING_DOMAIN", "environment.example")
        .env("ALTHING_HTTP_LISTEN", "127.0.0.1:2");
    let running = Running::from(command).await;
    let url = running.url("http://127.0.0.1:");
    let (_, config) = get(&format!("{url}/config.js")).await;
    assert!(
        config.contains("\"muc\":\"muc.environment.example\""),
        "{config}"
    );
}

#[tokio::test]
async fn check_config_tells_by_its_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let check = async |text: &str| {
        std::fs::write(directory.path().join("a.toml"), text).unwrap();
        let mut command = althing(directory.path());
        command.args(["check-config", "--config", "a.toml"]);
        failure(command).await
    };
    assert_eq!(check("[media]\nport = 20000\n").await, (0, String::new()));
    assert_eq!(
        check("[media]\nprot = 1\n").await,
        (
            1,
            "althing: a.toml:2: unknown key \"media.prot\"; the nearest known one is \
             \"media.port\"\n"
                .to_owned()
        )
    );
    assert_eq!(check("[log]\nlevel = \"a=loud\"\n").await.0, 1);

    let mut missing = althing(directory.path());
    missing.args(["check-config", "--config", "gone.toml"]);
    let (code, errors) = failure(missing).await;
    assert_eq!(code, 1);
    assert!(
        errors.starts_with("althing: cannot read gone.toml: "),
        "{errors}"
    );

    let mut variable = althing(directory.path());
    variable.arg("check-config").env("ALTHING_MEDIA_PROT", "1");
    let (code, errors) = failure(variable).await;
    assert_eq!(code, 1);
    assert!(errors.contains("ALTHING_MEDIA_PORT"), "{errors}");

    // What holds is printed, so that nobody has to work it out from three places.
    let mut limits = althing(directory.path());
    limits
        .arg("check-config")
        .env("ALTHING_LIMITS_RESUME_TIME", "90s")
        .env("ALTHING_LIMITS_ADDRESS_JOINS", "7,70");
    let (_, printed, _) = output(limits).await;
    for line in [
        "resume_time = \"90000ms\"",
        "address_joins = [7, 70]",
        "address_rooms = [20, 1000]",
    ] {
        assert!(printed.lines().any(|l| l == line), "{printed}");
    }

    let mut example = althing(directory.path());
    example.args(["check-config", "--example"]);
    let (_, printed, _) = output(example).await;
    assert!(printed.starts_with("# Every setting of Althing"));

    let mut unknown = althing(directory.path());
    unknown.args(["serve", "--media-prot", "1"]);
    assert_eq!(failure(unknown).await.0, 2);
}

#[tokio::test]
async fn nothing_is_linked_beyond_libc() {
    // The C library with its own parts, and the unwinder that it depends on itself.
    const ALLOWED: [&str; 5] = [
        "linux-vdso.so",
        "libc.so",
        "libm.so",
        "libgcc_s.so",
        "ld-linux",
    ];
    let mut ldd = Command::new("ldd");
    ldd.arg(env!("CARGO_BIN_EXE_althing"));
    let (code, listing, _) = output(ldd).await;
    assert_eq!(code, 0);
    for line in listing.lines() {
        assert!(ALLOWED.iter().any(|name| line.contains(name)), "{listing}");
    }
}

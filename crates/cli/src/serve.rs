//! `althing serve`: everything started in order, one signal waited for, everything stopped.

use crate::announce::{self, Facts};
use crate::api::{self, Kept, Planned};
use crate::arguments::load;
use crate::auth::{self, Doorkeeper};
use crate::drain::Wait;
use crate::entropy::OsEntropy;
use crate::machine;
use crate::rooms;
use althing_api::Api;
use althing_bridge::{Bridge, EndpointLimits, ForwardingSettings, Loudest};
use althing_bus::{Bus, InProcess};
use althing_config::{Hosts, Log, LogFormat, Media, Settings};
use althing_control::rooms::RoomName;
use althing_http::{CertificateStore, ClientConfig, Http, Limits, Metrics};
use althing_model::{Entropy as _, MediaMode, NodeId};
use althing_signalling::Signalling;
use althing_store::{DataDir, Database};
use althing_telemetry::LogSettings;
use anyhow::{Context as _, Result};
use clap::ArgMatches;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A service manager is promised an end within 2 s; what still runs then is cut off.
const SHUTDOWN: Duration = Duration::from_millis(1_800);
/// Where HTTPS keeps its certificate in the data directory.
const CERTIFICATE: &str = "tls/self-signed.pem";

/// The log's settings as telemetry takes them.
pub(crate) fn log_settings(log: &Log) -> LogSettings {
    LogSettings {
        level: log.level.clone(),
        format: match log.format {
            LogFormat::Text => althing_telemetry::LogFormat::Text,
            LogFormat::Json => althing_telemetry::LogFormat::Json,
        },
        colour: io::stderr().is_terminal(),
    }
}

/// `althing serve`.
pub(crate) fn serve(matches: &ArgMatches) -> Result<()> {
    let settings = load(matches)?.settings;
    althing_telemetry::start_log(&log_settings(&settings.log))?;
    let data = Arc::new(DataDir::open(&data_directory(&settings))?);
    machine::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("signalling")
        .build()
        .context("cannot start threads")?;
    let done = runtime.block_on(run(settings, data));
    // Whoever has not ended by now had its chance.
    runtime.shutdown_background();
    done
}

fn data_directory(settings: &Settings) -> PathBuf {
    settings.data.clone().unwrap_or_else(|| {
        // systemd separates several by colons; the first is the unit's own.
        std::env::var_os("STATE_DIRECTORY")
            .as_ref()
            .and_then(|all| std::env::split_paths(all).next())
            .filter(|first| !first.as_os_str().is_empty())
            .unwrap_or_else(|| PathBuf::from("data"))
    })
}

/// Keeps the HTTPS certificate among our data.
#[derive(Debug)]
struct Certificates(Arc<DataDir>);

impl CertificateStore for Certificates {
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        self.0.read(CERTIFICATE).map_err(io::Error::other)
    }

    fn save(&self, content: &[u8]) -> io::Result<()> {
        self.0.write(CERTIFICATE, content).map_err(io::Error::other)
    }
}

/// The signals that end the program.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Why to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// By a service manager: a drain is wanted, if one is configured.
    Terminate,
    /// By the person at the keyboard.
    Interrupt,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.interrupt.recv() => Asked::Interrupt,
        }
    }
}

/// Everything that runs.
struct Server {
    http: Http,
    signalling: Signalling,
    bridge: Bridge,
    api: Api,
    wait: Arc<Wait>,
}

async fn run(settings: Settings, data: Arc<DataDir>) -> Result<()> {
    // Before anything can be connected to, so that no signal is missed.
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let machine = machine::addresses();
    let server = start(&settings, &data, machine::names(&machine))?;
    machine::say(&announce::text(&Facts {
        http: server.http.addresses(),
        machine: &machine,
        candidates: &server.bridge.candidates(),
        // In full, since a relative one is hard to find again.
        data: &data
            .path()
            .canonicalize()
            .unwrap_or_else(|_| data.path().to_owned()),
    }))?;
    tracing::info!(version = crate::VERSION, "started");

    let asked = signals.next().await;
    if asked == Asked::Terminate && !settings.drain_timeout.is_zero() {
        tokio::select! {
            () = server.wait.meetings_over(settings.drain_timeout) => {}
            _ = signals.next() => tracing::warn!("drain ended by a second signal"),
        }
    }
    tracing::info!("stopping");
    tokio::select! {
        () = stop(server) => tracing::info!("stopped"),
        () = tokio::time::sleep(SHUTDOWN) => tracing::warn!("not everything ended in time"),
        _ = signals.next() => anyhow::bail!("ended at once by a second signal"),
    }
    Ok(())
}

fn start(settings: &Settings, data: &Arc<DataDir>, names: Vec<String>) -> Result<Server> {
    let mut registry = althing_telemetry::registry(crate::VERSION);
    let node = NodeId::new(OsEntropy.token(12))?;
    let bus: Arc<dyn Bus> = Arc::new(InProcess::default());
    let bridge = Bridge::start(
        bridge_settings(settings, node.clone()),
        Arc::clone(&bus),
        &mut registry,
    )
    .map_err(name_the_key)?;
    // Before the rooms, so that it hears all that happens in them.
    let api = Api::start(
        api::settings(settings, node.clone())?,
        Arc::clone(&bus),
        Arc::new(Kept {
            database: Database::open(data)?,
            data: Arc::clone(data),
        }),
        &mut registry,
    )?;
    let mut door = signalling_settings(settings, node)?;
    door.plans = Arc::new(Planned(api.plans()));
    let signalling = Signalling::start(door, Arc::clone(&bus), &mut registry)?;
    let wait = Arc::new(Wait::new(bridge.drain(), signalling.clone()));
    let metrics = Metrics::register(&mut registry);
    let http = Http::start(
        althing_http::Settings {
            plain: settings.http.listen.clone(),
            tls: settings.http.tls_listen.clone(),
            admin: settings.http.admin_listen.clone(),
            trusted_proxies: settings.http.trusted_proxies.clone(),
            certificate: Arc::new(Certificates(Arc::clone(data))),
            certificate_names: names,
            client: ClientConfig {
                domain: settings.domain.clone(),
                version: crate::VERSION.to_owned(),
                login_url: settings.auth.login_url.clone(),
                media: settings.media.mode,
                redundant_audio: settings.media.redundant_audio,
            },
            metrics,
            registry: Arc::new(registry),
            health: Arc::<Wait>::clone(&wait),
            rooms: Arc::new(Known(signalling.clone())),
            limits: Limits::default(),
        },
        signalling
            .router()
            .merge(bridge.router())
            .merge(api.router()),
        bridge.admin_router().merge(api.router()),
    )?;
    Ok(Server {
        http,
        signalling,
        bridge,
        api,
        wait,
    })
}

/// What the door knows of rooms, for their pages.
#[derive(Debug)]
struct Known(Signalling);

impl althing_http::Rooms for Known {
    fn media(&self, tenant: Option<&str>, room: &str) -> Option<MediaMode> {
        let name = RoomName {
            tenant: tenant.map(str::to_owned),
            name: room.to_owned(),
        };
        Some(self.0.media_of(&name))
    }
}

/// An operator knows keys, not sockets.
fn name_the_key(error: althing_bridge::StartError) -> anyhow::Error {
    match &error {
        althing_bridge::StartError::Bind { source, .. } => {
            let key = if source.kind() == io::ErrorKind::AddrInUse {
                "media.port"
            } else {
                "media.bind"
            };
            anyhow::anyhow!("{error}; change {key}, or stop what uses it")
        }
        _ => error.into(),
    }
}

fn forwarding_settings(media: &Media) -> ForwardingSettings {
    let mut forwarding = ForwardingSettings::default();
    forwarding.loudest = (media.loudest_count > 0).then_some(Loudest {
        above: media.loudest_above,
        count: media.loudest_count,
    });
    forwarding.audio_slots = media.audio_slots;
    forwarding.last_n_by_size = media.last_n_by_size.clone();
    forwarding
}

fn bridge_settings(settings: &Settings, node: NodeId) -> althing_bridge::Settings {
    let (media, endpoint) = (&settings.media, &settings.endpoint);
    althing_bridge::Settings {
        port: media.port,
        bind: media.bind.clone(),
        advertise: media
            .advertise
            .iter()
            .map(|advertise| althing_bridge::Advertise {
                ip: advertise.address,
                port: advertise.port,
            })
            .collect(),
        workers: media.workers,
        split_above: media.split_above,
        limits: EndpointLimits {
            bits_per_second: endpoint.bit_rate,
            audio_bits_per_second: endpoint.audio_bit_rate,
            packets_per_second: endpoint.packets,
            rtcp_per_second: endpoint.rtcp_packets,
            sources: endpoint.sources,
            ssrcs: endpoint.ssrcs,
            keyframe_requests_per_second: endpoint.keyframe_requests,
            messages_per_second: endpoint.messages,
        },
        forwarding: forwarding_settings(media),
        shed_load: media.shed_load,
        ..althing_bridge::Settings::new(node)
    }
}

fn signalling_settings(settings: &Settings, node: NodeId) -> Result<althing_signalling::Settings> {
    let limits = &settings.limits;
    let mut door = althing_signalling::Settings {
        version: crate::VERSION.to_owned(),
        max_sessions: settings.rooms.max_sessions,
        max_rooms: settings.rooms.max_rooms,
        max_occupants: settings.rooms.max_occupants,
        moderators: rooms::moderators(settings.auth.moderators),
        name_required: settings.rooms.lobby_names,
        presets: rooms::rules(&settings.presets)?,
        media: settings.media.mode,
        redundant_audio: settings.media.redundant_audio,
        hosts_only: settings.auth.hosts == Hosts::Authenticated,
        max_ssrcs: settings.endpoint.ssrcs,
        max_ssrc_groups: settings.endpoint.ssrcs,
        resume_time: limits.resume_time,
        max_hibernating: limits.waiting,
        hibernating_per_address: limits.address_waiting,
        sessions_per_address: limits.address_connections,
        connections_per_second: limits.address_opened.per_second,
        connection_burst: limits.address_opened.at_once,
        joins_per_second: limits.address_joins.per_second,
        join_burst: limits.address_joins.at_once,
        rooms_per_second: limits.address_rooms.per_second,
        room_burst: limits.address_rooms.at_once,
        address_stanzas_per_second: limits.address_stanzas.per_second,
        address_stanza_burst: limits.address_stanzas.at_once,
        address_bytes_per_second: limits.address_bytes.per_second,
        address_byte_burst: limits.address_bytes.at_once,
        ..althing_signalling::Settings::new(node, settings.domain.clone())
    };
    let keys = auth::keys(&settings.auth)?;
    for note in keys.notes {
        tracing::warn!(%note, "keys of tokens");
    }
    // Without a key there is no token to look at, and everybody is a guest.
    if let Some(verifier) = keys.verifier {
        door.authenticator = Arc::new(Doorkeeper {
            verifier,
            guests: settings.auth.guests,
        });
    }
    Ok(door)
}

/// New connections end first; then clients are told, then rooms take their endpoints from the
/// bridge, then the bridge ends; and what the rooms told at last is written down.
async fn stop(server: Server) {
    let Server {
        http,
        signalling,
        bridge,
        api,
        ..
    } = server;
    tokio::join!(http.shutdown(), async {
        signalling.shutdown().await;
        tokio::join!(bridge.shutdown(), api.shutdown());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_configured_is_as_the_door_has_it_by_itself() {
        let node = NodeId::new("n1").unwrap();
        let settings = Settings::default();
        let configured = signalling_settings(&settings, node.clone()).unwrap();
        let by_itself = althing_signalling::Settings {
            version: crate::VERSION.to_owned(),
            ..althing_signalling::Settings::new(node, settings.domain)
        };
        assert_eq!(format!("{configured:?}"), format!("{by_itself:?}"));
    }

    #[test]
    fn what_is_configured_of_voices_and_pictures_is_what_conferences_begin_with() {
        let mut settings = Settings::default();
        settings.media.loudest_above = 20;
        settings.media.loudest_count = 5;
        settings.media.audio_slots = 30;
        settings.media.last_n_by_size = [(30, 16), (100, 9)].into();
        let forwarding = forwarding_settings(&settings.media);
        let loudest = forwarding.loudest.map(|l| (l.above, l.count));
        assert_eq!(loudest, Some((20, 5)));
        assert_eq!(forwarding.audio_slots, 30);
        assert_eq!(forwarding.last_n_by_size, [(30, 16), (100, 9)].into());
        settings.media.loudest_count = 0;
        assert_eq!(forwarding_settings(&settings.media).loudest, None);
    }

    #[test]
    fn what_is_configured_of_endpoints_is_what_the_bridge_keeps_them_to() {
        let mut settings = Settings::default();
        settings.endpoint.bit_rate = 10_000_000;
        settings.endpoint.audio_bit_rate = 300_000;
        let limits = bridge_settings(&settings, NodeId::new("n1").unwrap()).limits;
        let found = (limits.bits_per_second, limits.audio_bits_per_second);
        assert_eq!(found, (10_000_000, 300_000));
    }

    #[test]
    fn what_is_not_configured_is_as_the_bridge_has_it_by_itself() {
        let node = NodeId::new("n1").unwrap();
        let configured = bridge_settings(&Settings::default(), node.clone());
        let by_itself = althing_bridge::Settings::new(node);
        assert_eq!(format!("{configured:?}"), format!("{by_itself:?}"));
    }
}

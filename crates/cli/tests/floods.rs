//! Too much of everything, sent to the real program: by a client that is properly connected, against
//! each ceiling of `[endpoint]`, and by strangers at the media port. Two people talk meanwhile and
//! notice nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use althing_client::{Client, ClientSettings, Excess, Flood, VideoSettings, Watch, Whose};
use program::talk::Talk;
use program::{Program, until};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(30);
/// What is logged of somebody who sends too much, once.
const LOGGED: &str = "endpoint sends more than it may";
/// Room for what a test build's memory does by itself, in kB.
const SPARE_KB: u64 = 24 * 1024;

/// Ceilings above what two who talk with pictures need, and low enough that a flood need not fill
/// the machine. Two seconds' worth may come at once.
const LOW: &[&str] = &[
    "--endpoint-bit-rate",
    "3M",
    "--endpoint-packets",
    "600",
    "--endpoint-rtcp-packets",
    "80",
    "--endpoint-keyframe-requests",
    "5",
    "--endpoint-messages",
    "20",
];

/// Somebody in the room of the talk, silent, who sees what is shown.
async fn intruder(program: &Program, room: &str) -> Client {
    let client = Client::join(program.client(room, "Mal")).await.unwrap();
    until("connected", LIMIT, || {
        let stats = client.stats();
        stats.connected_after.is_some() && stats.channel_open && stats.video.received > 20
    })
    .await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_beyond_a_ceiling_are_dropped_by_its_reason_and_nobody_else_notices() {
    let mut program = Program::start_logged(LOW);
    let talk = Talk::begin(&program, "calm", true).await;
    let rtp = |bytes| Excess::Rtp {
        payload_type: 100,
        whose: Whose::Nobodys(1),
        bytes,
    };
    let mut memory = None;
    for (excess, packets, per_second, reason, at_least) in [
        // At most two seconds' worth at once and the rate afterwards pass.
        (rtp(40), 6_000, 3_000, "over_packet_rate", 3_000.0),
        // 5.6 Mbit/s with headers.
        (rtp(1_200), 2_200, 550, "over_bitrate", 300.0),
        (Excess::Rtcp, 1_500, 500, "over_rtcp_rate", 800.0),
        // 250 a second, whatever is configured.
        (Excess::Checks, 4_000, 1_000, "over_check_rate", 1_500.0),
    ] {
        let (before, lines) = (program.dropped(reason), program.log_lines(LOGGED));
        let intruder = intruder(&program, "calm").await;
        let flood = Flood {
            excess,
            packets,
            per_second,
        };
        intruder.flood(flood).await.unwrap();
        until(reason, LIMIT, || {
            program.dropped(reason) >= before + at_least
        })
        .await;
        talk.goes_on().await;
        assert_eq!(program.log_lines(LOGGED), lines + 1, "{reason}");
        intruder.leave().await;
        let now = program.resident_kb();
        let first = *memory.get_or_insert(now);
        assert!(now < first + SPARE_KB, "{reason}: {first} kB, then {now}");
    }
    talk.end().await;
    assert!(!program.has_ended());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_ssrcs_than_a_window_of_numbers_is_kept_for_are_refused_whatever_the_rate() {
    let program = Program::start_logged(&[]);
    let talk = Talk::begin(&program, "calm", true).await;
    let intruder = intruder(&program, "calm").await;
    let before = program.resident_kb();
    // Below every ceiling; 17,408 are remembered, at a few bytes each.
    let flood = Flood {
        excess: Excess::Rtp {
            payload_type: 111,
            whose: Whose::Nobodys(20_000),
            bytes: 60,
        },
        packets: 20_000,
        per_second: 4_000,
    };
    intruder.flood(flood).await.unwrap();
    until("SSRCs without end are refused", LIMIT, || {
        program.dropped("too_many_sources") > 1_000.0
    })
    .await;
    let after = program.resident_kb();
    assert!(after < before + SPARE_KB, "{before} kB, then {after}");
    talk.goes_on().await;
    intruder.leave().await;
    talk.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_beyond_a_ceiling_are_dropped_and_counted() {
    let mut program = Program::start_logged(LOW);
    let talk = Talk::begin(&program, "calm", true).await;
    let intruder = intruder(&program, "calm").await;

    let asked = |client: &Client| client.stats().keyframes_requested;
    let before = talk.clients.each_ref().map(asked);
    for _ in 0..60 {
        intruder.ask_keyframes().await.unwrap();
    }
    until("keyframe requests are refused", LIMIT, || {
        program.metric("althing_bridge_keyframe_requests_refused_total") >= 90.0
    })
    .await;
    // Two a wish; those that passed are ten at once and five a second, and put together.
    for (client, before) in talk.clients.iter().zip(before) {
        assert!(asked(client) <= before + 15, "{}", asked(client) - before);
    }

    let overflow = "althing_bridge_channel_messages_dropped_total{reason=\"overflow\"}";
    let end = Instant::now() + LIMIT;
    let mut height = 0;
    while program.metric(overflow) < 100.0 {
        assert!(Instant::now() < end, "messages without end are taken");
        for _ in 0..25 {
            height = (height + 90) % 720;
            let watch = Watch {
                height,
                ..Watch::default()
            };
            intruder.watch(watch).await.unwrap();
        }
    }
    talk.goes_on().await;
    intruder.leave().await;
    talk.end().await;
    assert!(!program.has_ended());
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_beyond_a_ceiling_are_refused() {
    let flags = ["--endpoint-sources", "3", "--endpoint-ssrcs", "12"];
    let mut program = Program::start_logged(&flags);
    let talk = Talk::begin(&program, "calm", true).await;
    let greedy = Client::join(ClientSettings {
        send_video: true,
        video: VideoSettings::single(180, 100_000, 10),
        ..program.client("calm", "Mal")
    })
    .await
    .unwrap();
    until("connected", LIMIT, || {
        greedy.stats().connected_after.is_some()
    })
    .await;
    // Two SSRCs each: six pictures are what the focus takes, three what the bridge takes.
    for _ in 0..7 {
        let screen = VideoSettings::screen(50_000);
        greedy.show(screen).await.unwrap();
    }
    until("the focus refuses what is too much", LIMIT, || {
        greedy.stats().refused >= 2
    })
    .await;
    until("the bridge refuses what is too much", LIMIT, || {
        program.metric("althing_bridge_sources_refused_total") >= 3.0
    })
    .await;
    assert_eq!(greedy.stats().refused, 2);
    talk.goes_on().await;
    greedy.leave().await;
    talk.end().await;
    assert!(!program.has_ended());
}

/// Datagrams that strangers send, `number` making each its own.
fn strange(kind: usize, number: u32) -> Vec<u8> {
    match kind {
        // A Binding request (RFC 8489) for nobody, with an integrity that nobody made.
        0 => {
            let name = format!("{number:08x}:{number:08x}");
            let mut message = vec![0, 1, 0, 48, 0x21, 0x12, 0xa4, 0x42];
            message.extend([7; 8]);
            message.extend(number.to_be_bytes());
            message.extend([0, 6, 0, 17]);
            message.extend(name.as_bytes());
            message.extend([0, 0, 0]);
            message.extend([0, 8, 0, 20]);
            message.extend([9; 20]);
            message
        }
        // A ClientHello (RFC 6347), as far as a server would have to read to answer it.
        1 => {
            let mut hello = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 54];
            hello.extend([1, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 42, 254, 253]);
            hello.extend(number.to_be_bytes());
            hello.extend([3; 28]);
            hello.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
            hello
        }
        // RTP and RTCP.
        _ => {
            let mut packet = vec![0x80, if kind == 2 { 111 } else { 200 }];
            packet.extend((number as u16).to_be_bytes());
            packet.extend([0; 8]);
            packet.extend([0x55; 100]);
            packet
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_strangers_are_counted_never_answered_and_cost_no_memory() {
    let mut program = Program::start_logged(&[]);
    let talk = Talk::begin(&program, "calm", true).await;
    let sockets: Vec<UdpSocket> = (1..=100_u8)
        .map(|n| {
            let socket = UdpSocket::bind(SocketAddr::from(([127, 9, 9, n], 0))).unwrap();
            socket.connect(program.media).unwrap();
            socket
        })
        .collect();
    let addresses = program.metric("althing_bridge_addresses");
    let lines = program.log_lines("");
    let mut memory = None;
    let mut number = 0;
    for round in 0..10 {
        for (kind, reason) in [
            (0, "unknown_ufrag"),
            (1, "unknown_address"),
            (2, "unknown_address"),
            (3, "unknown_address"),
        ] {
            // Not faster than they are looked at, or it is the socket's buffer that drops.
            let before = program.dropped(reason);
            for socket in sockets.iter().cycle().take(1_000) {
                number += 1;
                socket.send(&strange(kind, number)).unwrap();
            }
            until(reason, LIMIT, || {
                program.dropped(reason) >= before + 1_000.0
            })
            .await;
        }
        let now = program.resident_kb();
        let first = *memory.get_or_insert(now);
        assert!(
            now < first + SPARE_KB,
            "round {round}: {first} kB, then {now}"
        );
    }
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
        assert!(
            socket.recv(&mut [0; 1_500]).is_err(),
            "a stranger was answered"
        );
    }
    assert_eq!(program.metric("althing_bridge_addresses"), addresses);
    assert_eq!(program.log_lines(""), lines, "strangers are no news");
    talk.goes_on().await;
    talk.end().await;
    assert!(!program.has_ended());
}

//! A client that offers one SRTP profile alone gets that one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use althing_testkit::epoch;
use althing_transport::{Event, Output, Path, SrtpProfile, Transport, offering};
use common::*;
use std::time::Duration;

#[test]
fn whatever_is_offered_alone_is_taken() {
    for profile in SrtpProfile::ALL {
        assert_eq!(connect(*profile), [Some(*profile); 2]);
    }
}

/// What each side ends with when the client offers `profile`.
fn connect(profile: SrtpProfile) -> [Option<SrtpProfile>; 2] {
    let mut now = epoch();
    let addresses = [address("192.0.2.1:10000"), address("198.51.100.7:5000")];
    let certificate = offering::certificate(profile).unwrap();
    let mut ours = settings(CLIENT);
    ours.certificate = certificate.clone();
    let mut sides = [
        Transport::new(settings(BRIDGE), now),
        Transport::new(ours, now),
    ];
    let mut theirs = parameters(CLIENT, Vec::new());
    theirs.fingerprints = vec![certificate.fingerprint()];
    sides[BRIDGE].set_remote(now, theirs).unwrap();
    sides[CLIENT].add_local(addresses[CLIENT]);
    let bridge = parameters(BRIDGE, vec![addresses[BRIDGE]]);
    sides[CLIENT].set_remote(now, bridge).unwrap();
    let mut taken = [None; 2];
    for _ in 0..500 {
        for from in [BRIDGE, CLIENT] {
            while let Some(output) = sides[from].poll() {
                match output {
                    Output::Transmit { path, mut payload } => {
                        if from == CLIENT {
                            offering::narrow(profile, &mut payload);
                        }
                        let arrives = Path {
                            local: path.remote,
                            remote: path.local,
                            ..path
                        };
                        let _ = sides[1 - from].handle_datagram(now, arrives, &mut payload);
                    }
                    Output::Event(Event::Connected { profile }) => taken[from] = Some(profile),
                    Output::Event(_) => {}
                }
            }
        }
        now += Duration::from_millis(10);
        for side in &mut sides {
            side.handle_timeout(now);
        }
    }
    taken
}

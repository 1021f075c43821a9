//! Whose a path is, when two endpoints claim it: whoever can write a false sender into a datagram
//! can make a check of its own come from anywhere.

use super::*;
use crate::worker::address::Owner;
use althing_transport::{
    DtlsRole, Fingerprint, IceCredentials, Output, RemoteParameters, Settings, Transport,
};

/// A genuine check for an endpoint, as it comes by this path.
fn genuine(bench: &Bench, to: &althing_control::Allocated, path: Path) -> Vec<u8> {
    let now = bench.now;
    let certificate = Certificate::generate().unwrap();
    let own = &bench.state.shared.certificate.fingerprint();
    let fingerprint = Fingerprint::parse("sha-256", &own.to_string()).unwrap();
    let password = |text: &str| althing_model::Secret::new(text.to_owned());
    let mut theirs = Transport::new(
        Settings {
            credentials: IceCredentials {
                ufrag: "theirs".to_owned(),
                password: password("a password of theirs that is long"),
            },
            certificate,
            controlling: false,
            dtls: DtlsRole::Client,
            tie_breaker: 1,
        },
        now,
    );
    theirs.add_local(path.remote);
    let remote = RemoteParameters {
        credentials: IceCredentials {
            ufrag: to.transport.ufrag.clone(),
            password: to.transport.password.clone(),
        },
        fingerprints: vec![fingerprint],
        candidates: vec![path.local],
    };
    theirs.set_remote(now, remote).unwrap();
    theirs.handle_timeout(now);
    loop {
        match theirs.poll() {
            Some(Output::Transmit { payload, .. }) => return payload,
            Some(Output::Event(_)) => {}
            None => panic!("no check"),
        }
    }
}

fn heard(bench: &mut Bench, client: &mut protection::Client) -> bool {
    let before = bench.count(Count::RtpReceived);
    let packet = client.packet(5);
    bench.datagram(client.path, &packet);
    bench.count(Count::RtpReceived) > before
}

#[test]
fn a_path_in_use_is_not_taken_away_by_a_check_of_somebody_else() {
    let mut bench = Bench::new(2);
    let mut ann = bench.connect("c1", "ann00001");
    assert!(heard(&mut bench, &mut ann));
    let eve = bench.allocate("c1", "eve00002");
    for _ in 0..5 {
        let check = genuine(&bench, &eve, ann.path);
        bench.datagram(ann.path, &check);
        assert!(heard(&mut bench, &mut ann));
        // Nor by what another worker says.
        let route = Handover::Route {
            path: ann.path,
            owner: 1,
        };
        bench.state.handle_handover(bench.now, route);
        assert!(heard(&mut bench, &mut ann));
        bench.pass(Duration::from_secs(1));
    }
    // Who has fallen silent, and left the address to somebody else, does not keep it.
    bench.pass(Duration::from_secs(8));
    let check = genuine(&bench, &eve, ann.path);
    bench.datagram(ann.path, &check);
    let slot = bench.slot("c1", "eve00002");
    assert_eq!(
        bench.state.addresses.get(&ann.path),
        Some(Owner::Here(slot))
    );
}

#[test]
fn a_path_that_was_taken_comes_back_with_the_next_check() {
    let mut bench = Bench::new(1);
    let [ann, eve] = ["ann00001", "eve00002"].map(|id| bench.allocate("c1", id));
    let owner = |bench: &Bench| match bench.state.addresses.get(&path(4000)) {
        Some(Owner::Here(slot)) => bench.state.endpoints[slot].id.to_string(),
        other => panic!("{other:?}"),
    };
    for round in 0..3 {
        for (id, to) in [("ann00001", &ann), ("eve00002", &eve)] {
            let check = genuine(&bench, to, path(4000));
            bench.datagram(path(4000), &check);
            assert_eq!(owner(&bench), id, "{round}");
        }
    }
    let paths = |id: &str| bench.state.endpoints[bench.slot("c1", id)].paths.len();
    assert_eq!((paths("ann00001"), paths("eve00002")), (0, 1));
}

#[test]
fn a_route_that_is_said_again_is_not_replaced_by_another_workers() {
    let mut bench = Bench::new(3);
    let route = |bench: &mut Bench, owner| {
        let path = path(4000);
        bench
            .state
            .handle_handover(bench.now, Handover::Route { path, owner });
        bench.state.addresses.get(&path)
    };
    assert_eq!(route(&mut bench, 1), Some(Owner::Worker(1)));
    for _ in 0..5 {
        bench.pass(Duration::from_secs(2));
        assert_eq!(route(&mut bench, 2), Some(Owner::Worker(1)));
        assert_eq!(route(&mut bench, 1), Some(Owner::Worker(1)));
    }
    bench.pass(Duration::from_secs(8));
    assert_eq!(route(&mut bench, 2), Some(Owner::Worker(2)));
    // Who lets go of it has let go.
    let unroute = Handover::Unroute {
        path: path(4000),
        owner: 2,
    };
    bench.state.handle_handover(bench.now, unroute);
    assert_eq!(route(&mut bench, 1), Some(Owner::Worker(1)));
}

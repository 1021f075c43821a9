use super::*;
use althing_transport::Via;
use std::convert::Infallible;
use std::sync::Mutex;

#[derive(Debug, Default)]
struct Recorder {
    sent: Mutex<Vec<(u16, usize, Option<usize>)>>,
    refuse_runs: bool,
}

impl Wire for Recorder {
    fn max_segments(&self, _: SocketAddr) -> usize {
        4
    }

    fn send(&self, _: SocketAddr, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.refuse_runs && transmit.segment_size.is_some() {
            return Err(io::Error::from_raw_os_error(Errno::EIO as i32));
        }
        self.sent.lock().unwrap().push((
            transmit.destination.port(),
            transmit.contents.len(),
            transmit.segment_size,
        ));
        Ok(())
    }
}

fn path(port: u16) -> Path {
    Path {
        via: Via::Udp,
        local: "127.0.0.1:10000".parse().unwrap(),
        remote: SocketAddr::new("127.0.0.1".parse().unwrap(), port),
    }
}

/// Pushes (receiver, plaintext length) with a tag of 16 bytes, and compares what left.
#[track_caller]
fn check(packets: &[(u16, usize)], expected: &[(u16, usize, Option<usize>)]) {
    let wire = Arc::new(Recorder::default());
    let mut queue = SendQueue::new(wire.clone());
    let mut spots = [Spot::default(); 4];
    for (to, len) in packets {
        let spot = &mut spots[usize::from(*to)];
        let payload = vec![0; len - 12];
        queue
            .push_rtp(spot, path(*to), [&[0; 12], &payload, &[]], |buffer| {
                assert_eq!(buffer.len(), len + SRTP_OVERHEAD);
                Ok::<_, Infallible>(len + 16)
            })
            .unwrap();
    }
    assert!(wire.sent.lock().unwrap().is_empty());
    queue.flush();
    assert_eq!(*wire.sent.lock().unwrap(), expected);
    assert_eq!(queue.counters.packets, packets.len() as u64);
}

#[test]
fn equal_packets_of_one_receiver_leave_together() {
    check(&[(1, 100)], &[(1, 116, None)]);
    check(
        &[(1, 100), (2, 100), (1, 100), (2, 100)],
        &[(1, 232, Some(116)), (2, 232, Some(116))],
    );
    // A shorter one may end a run, a longer one begins another.
    check(
        &[(1, 100), (1, 80), (1, 80)],
        &[(1, 212, Some(116)), (1, 96, None)],
    );
    check(&[(1, 80), (1, 100)], &[(1, 96, None), (1, 116, None)]);
    check(
        &[(1, 50); 6],
        &[(1, 4 * 66, Some(66)), (1, 2 * 66, Some(66))],
    );
}

#[test]
fn a_packet_that_cannot_be_sealed_leaves_no_trace() {
    let wire = Arc::new(Recorder::default());
    let mut queue = SendQueue::new(wire.clone());
    let mut spot = Spot::default();
    let mut push = |queue: &mut SendQueue, result: Result<usize, ()>| {
        queue
            .push_rtp(&mut spot, path(1), [&[0; 12], &[1; 88], &[]], |_| result)
            .ok()
    };
    push(&mut queue, Err(()));
    push(&mut queue, Ok(116));
    push(&mut queue, Err(()));
    push(&mut queue, Ok(116));
    queue.flush();
    assert_eq!(*wire.sent.lock().unwrap(), [(1, 232, Some(116))]);
}

#[test]
fn runs_that_are_refused_are_sent_singly() {
    let wire = Arc::new(Recorder {
        refuse_runs: true,
        ..Recorder::default()
    });
    let mut queue = SendQueue::new(wire.clone());
    let mut spot = Spot::default();
    for _ in 0..3 {
        queue
            .push_rtp(&mut spot, path(1), [&[0; 12], &[1; 88], &[]], |_| {
                Ok::<_, Infallible>(116)
            })
            .unwrap();
    }
    queue.flush();
    assert_eq!(*wire.sent.lock().unwrap(), [(1, 116, None); 3]);
    assert_eq!(queue.counters.errors(), 0);
}

#[test]
fn a_full_queue_leaves_early() {
    let wire = Arc::new(Recorder::default());
    let mut queue = SendQueue::new(wire.clone());
    for _ in 0..=MAX_RUNS {
        queue.push(path(1), b"stun");
    }
    assert_eq!(wire.sent.lock().unwrap().len(), MAX_RUNS);
    queue.flush();
    assert_eq!(wire.sent.lock().unwrap().len(), MAX_RUNS + 1);
}

#[test]
fn packets_of_a_frame_leave_together_in_a_large_room_too() {
    let wire = Arc::new(Recorder::default());
    let mut queue = SendQueue::new(wire.clone());
    let paths: Vec<Path> = (1..=1000).map(path).collect();
    let mut spots = vec![Spot::default(); paths.len()];
    for _ in 0..3 {
        for (path, spot) in paths.iter().zip(&mut spots) {
            queue
                .push_rtp(spot, *path, [&[0; 12], &[1; 88], &[]], |_| {
                    Ok::<_, Infallible>(116)
                })
                .unwrap();
        }
    }
    queue.flush();
    let sent = wire.sent.lock().unwrap();
    assert_eq!(sent.len(), paths.len());
    assert!(sent.iter().all(|(_, length, _)| *length == 3 * 116));
}

use crate::{Bus, BusError, CAPACITY, InProcess, MAX_PAYLOAD};
use bytes::Bytes;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn a_request_is_answered() {
    let bus = InProcess::new();
    let mut bridge = bus.subscribe("bridge.n1");
    let asked = bus.request("bridge.n1", bytes("allocate"), SECOND);
    let delivery = bridge.next().await.unwrap();
    assert_eq!(delivery.payload, bytes("allocate"));
    delivery.reply.unwrap().send(bytes("done"));
    assert_eq!(asked.await, Ok(bytes("done")));
}

#[tokio::test]
async fn published_messages_reach_every_subscriber_in_order() {
    let bus = InProcess::new();
    let (mut one, mut two) = (bus.subscribe("focus.n1"), bus.subscribe("focus.n1"));
    let mut other = bus.subscribe("focus.n2");
    bus.publish("focus.n1", bytes("1"));
    bus.publish("focus.n1", bytes("2"));
    bus.publish("focus.n2", bytes("3"));
    for subscription in [&mut one, &mut two] {
        for expected in ["1", "2"] {
            let delivery = subscription.next().await.unwrap();
            assert_eq!(delivery.payload, bytes(expected));
            assert!(delivery.reply.is_none());
        }
    }
    assert_eq!(other.next().await.unwrap().payload, bytes("3"));
}

#[tokio::test]
async fn a_request_goes_to_one_subscriber_only() {
    let bus = InProcess::new();
    let (mut one, mut two) = (bus.subscribe("s"), bus.subscribe("s"));
    let asked = bus.request("s", bytes("x"), SECOND);
    one.next().await.unwrap().reply.unwrap().send(bytes("y"));
    assert_eq!(asked.await, Ok(bytes("y")));
    bus.publish("s", bytes("z"));
    assert_eq!(two.next().await.unwrap().payload, bytes("z"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_responder_runs_into_the_deadline() {
    let bus = InProcess::new();
    let mut bridge = bus.subscribe("bridge.n1");
    let started = tokio::time::Instant::now();
    let asked = bus.request("bridge.n1", bytes("x"), SECOND * 3);
    let held = bridge.next().await.unwrap();
    assert_eq!(asked.await, Err(BusError::Deadline));
    assert_eq!(started.elapsed(), SECOND * 3);
    // Too late is not an error for the responder.
    held.reply.unwrap().send(bytes("late"));
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_told_at_once() {
    let bus = InProcess::new();
    let started = tokio::time::Instant::now();
    let nobody = bus.request("bridge.n1", bytes("x"), SECOND);
    assert_eq!(nobody.await, Err(BusError::NoResponder));

    let mut bridge = bus.subscribe("bridge.n1");
    let dropped = bus.request("bridge.n1", bytes("x"), SECOND);
    drop(bridge.next().await);
    assert_eq!(dropped.await, Err(BusError::NoResponder));

    let waiting = bus.request("bridge.n1", bytes("x"), SECOND);
    drop(bridge);
    assert_eq!(waiting.await, Err(BusError::NoResponder));
    assert_eq!(
        bus.request("bridge.n1", bytes("x"), SECOND).await,
        Err(BusError::NoResponder)
    );
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_full_queue_refuses_requests_and_loses_messages() {
    let bus = InProcess::new();
    let mut bridge = bus.subscribe("bridge.n1");
    for _ in 0..CAPACITY {
        bus.publish("bridge.n1", bytes("x"));
    }
    assert_eq!(bus.lost(), 0);
    bus.publish("bridge.n1", bytes("one too many"));
    assert_eq!(bus.lost(), 1);
    assert_eq!(
        bus.request("bridge.n1", bytes("x"), SECOND).await,
        Err(BusError::Overloaded)
    );
    bridge.next().await.unwrap();
    let asked = bus.request("bridge.n1", bytes("now"), SECOND);
    for _ in 1..CAPACITY {
        assert_eq!(bridge.next().await.unwrap().payload, bytes("x"));
    }
    bridge.next().await.unwrap().reply.unwrap().send(bytes("y"));
    assert_eq!(asked.await, Ok(bytes("y")));
}

#[tokio::test]
async fn oversized_payloads_are_refused() {
    let bus = InProcess::new();
    let mut bridge = bus.subscribe("bridge.n1");
    let big = Bytes::from(vec![0; MAX_PAYLOAD + 1]);
    bus.publish("bridge.n1", big.clone());
    assert_eq!(
        bus.request("bridge.n1", big.clone(), SECOND).await,
        Err(BusError::TooLarge)
    );
    let asked = bus.request("bridge.n1", bytes("x"), SECOND);
    let delivery = bridge.next().await.unwrap();
    assert_eq!(delivery.payload, bytes("x"));
    delivery.reply.unwrap().send(big);
    assert_eq!(asked.await, Err(BusError::TooLarge));
}

#[tokio::test]
async fn a_subscription_ends_when_the_bus_is_gone() {
    let bus = InProcess::new();
    let mut subscription = bus.subscribe("s");
    bus.publish("s", bytes("last"));
    drop(bus);
    assert_eq!(subscription.next().await.unwrap().payload, bytes("last"));
    assert!(subscription.next().await.is_none());
}

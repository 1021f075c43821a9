use super::*;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a receiver does with an attempt.
#[derive(Debug, Clone, Copy)]
enum Reaction {
    Take,
    Fail,
    Hang,
}

/// A receiver that does as it is told, and takes everything after that.
#[derive(Debug)]
struct Receiver {
    reactions: Mutex<VecDeque<Reaction>>,
    /// Every attempt, with the seconds since the start.
    seen: Mutex<Vec<(u64, Post)>>,
    taken: Notify,
    start: Instant,
}

impl Receiver {
    fn new(reactions: &[Reaction]) -> Arc<Self> {
        Arc::new(Self {
            reactions: Mutex::new(reactions.iter().copied().collect()),
            seen: Mutex::default(),
            taken: Notify::new(),
            start: Instant::now(),
        })
    }

    fn times(&self) -> Vec<u64> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|(at, _)| *at)
            .collect()
    }

    /// The numbers of what was posted, in order.
    fn numbers(&self) -> Vec<u64> {
        let seen = self.seen.lock().unwrap();
        let number =
            |post: &Post| serde_json::from_slice::<Value>(&post.body).unwrap()["number"].as_u64();
        seen.iter().filter_map(|(_, post)| number(post)).collect()
    }
}

#[derive(Debug)]
struct Loopback(Arc<Receiver>);

impl Poster for Loopback {
    fn post(&self, post: Post) -> BoxFuture<'static, Result<(), PostError>> {
        let receiver = Arc::clone(&self.0);
        Box::pin(async move {
            let at = receiver.start.elapsed().as_secs();
            receiver.seen.lock().unwrap().push((at, post));
            let reaction = receiver.reactions.lock().unwrap().pop_front();
            match reaction {
                Some(Reaction::Fail) => Err(PostError::Status(500)),
                Some(Reaction::Hang) => std::future::pending().await,
                Some(Reaction::Take) | None => {
                    receiver.taken.notify_one();
                    Ok(())
                }
            }
        })
    }
}

struct Running {
    sender: Sender,
    tasks: TaskTracker,
    stop: CancellationToken,
    give_up: CancellationToken,
    metrics: Metrics,
}

fn start(receiver: &Arc<Receiver>) -> Running {
    let webhook = Webhook {
        url: "https://portal.example/hook".into(),
        secret: Secret::new("0123456789abcdef"),
        events: vec!["joined".into()],
    };
    let poster = Arc::new(Loopback(Arc::clone(receiver)));
    let hook = Hook::new(&webhook, poster).unwrap();
    let (tasks, metrics) = (TaskTracker::new(), Metrics::default());
    let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
    Running {
        sender: hook.start(&tasks, &stop, &give_up, &metrics),
        tasks,
        stop,
        give_up,
        metrics,
    }
}

impl Running {
    fn tell(&self, number: u64) {
        let what = Map::from_iter([("number".to_owned(), Value::from(number))]);
        self.sender.tell("joined", &what);
    }

    /// Waits until all that was told is dealt with.
    async fn done(self) -> Metrics {
        drop(self.sender);
        self.tasks.close();
        self.tasks.wait().await;
        self.metrics
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_fails_and_hangs_gets_everything_in_order_once_it_recovers() {
    let receiver = Receiver::new(&[Reaction::Fail, Reaction::Hang, Reaction::Fail]);
    let running = start(&receiver);
    running.tell(1);
    running.tell(2);
    running.sender.tell("left", &Map::new());
    let metrics = running.done().await;
    // One second after the failure; five after ten of silence; thirty after that.
    assert_eq!(receiver.times(), [0, 1, 16, 46, 46]);
    assert_eq!(receiver.numbers(), [1, 1, 1, 1, 2]);
    assert_eq!(metrics.webhooks_delivered.get(), 2);
    assert_eq!(metrics.webhook_attempts_failed.get(), 3);
    assert_eq!(metrics.webhooks_waiting.get(), 0);
    let seen = receiver.seen.lock().unwrap();
    assert_eq!(seen[0].1.delivery, seen[3].1.delivery);
    assert_ne!(seen[0].1.delivery, seen[4].1.delivery);
}

#[tokio::test(start_paused = true)]
async fn after_six_attempts_it_is_given_up_and_the_next_one_has_its_turn() {
    let receiver = Receiver::new(&[Reaction::Fail; 6]);
    let running = start(&receiver);
    running.tell(1);
    running.tell(2);
    let metrics = running.done().await;
    assert_eq!(receiver.times(), [0, 1, 6, 36, 156, 756, 756]);
    assert_eq!(receiver.numbers(), [1, 1, 1, 1, 1, 1, 2]);
    assert_eq!(metrics.dropped_for("failed"), 1);
    assert_eq!(metrics.webhooks_delivered.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_what_comes_last() {
    let receiver = Receiver::new(&[]);
    let running = start(&receiver);
    for number in 0..u64::try_from(QUEUE).unwrap() + 2 {
        running.tell(number);
    }
    let metrics = running.done().await;
    assert_eq!(metrics.dropped_for("full"), 2);
    let all: Vec<u64> = (0..u64::try_from(QUEUE).unwrap()).collect();
    assert_eq!(receiver.numbers(), all);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_each_has_one_more_attempt_and_none_that_hangs_holds_it_up() {
    let receiver = Receiver::new(&[Reaction::Fail, Reaction::Take, Reaction::Hang]);
    let running = start(&receiver);
    running.stop.cancel();
    (1..=4).for_each(|number| running.tell(number));
    let give_up = running.give_up.clone();
    let end = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        give_up.cancel();
    };
    let (metrics, ()) = tokio::join!(running.done(), end);
    assert!(receiver.start.elapsed() < Duration::from_secs(1));
    assert_eq!(metrics.webhooks_delivered.get(), 1);
    assert_eq!(metrics.dropped_for("ended"), 3);
}

#[test]
fn the_signature_is_what_receivers_compute() {
    // openssl dgst -sha256 -hmac secret, over 1767225600.{"a":1}
    assert_eq!(
        signature(&Secret::new("secret"), 1_767_225_600, br#"{"a":1}"#),
        "t=1767225600,v1=96a067a1c95eb143fc00b9097bcfcbcd5456adda508c443ff219748e764dbed7"
    );
}

#[test]
fn an_address_is_one_of_the_web() {
    let receiver = |url: &str| {
        let webhook = Webhook {
            url: url.to_owned(),
            secret: Secret::new("secret"),
            events: Vec::new(),
        };
        prepare(&[webhook]).map(|hooks| hooks.len())
    };
    assert_eq!(receiver("https://portal.example/hook/").unwrap(), 1);
    for wrong in ["", "portal.example", "ftp://portal.example/", "file:///etc"] {
        assert!(
            matches!(receiver(wrong), Err(StartError::Url(_))),
            "{wrong}"
        );
    }
}

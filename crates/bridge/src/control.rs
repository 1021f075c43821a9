//! The bus side: requests of a focus go to the worker that has the endpoint, replies go back, and
//! the other parts of the conference hear of what was done.

use crate::channel::Service;
use crate::directory::{Change, Directory, Gone, Member};
use crate::worker::{Command, MAX_COMMANDS};
use althing_bus::{Delivery, Reply, Subscription};
use althing_control::{BridgeReply, BridgeRequest, RefusalCode, decode, encode};
use althing_model::{ConferenceId, EndpointId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// What is done when a worker has answered.
#[derive(Debug)]
struct Waiting {
    reply: Option<Reply>,
    answer: oneshot::Receiver<BridgeReply>,
    then: Then,
}

/// What the directory is told then, if the worker did what it was asked.
#[derive(Debug)]
enum Then {
    Allocated {
        conference: ConferenceId,
        member: Box<Member>,
    },
    Updated {
        conference: ConferenceId,
        endpoint: EndpointId,
        number: u64,
        change: Change,
    },
    Left {
        conference: ConferenceId,
        endpoint: EndpointId,
        number: u64,
    },
    Nothing,
}

/// Everything that concerns who is where, in one order.
#[derive(Debug)]
struct Control {
    service: Arc<Service>,
    directory: Mutex<Directory>,
    /// Answers awaited of each worker, in the order they come in. **And when full?** The worker is
    /// asked for nothing more: the request is refused.
    waiting: Vec<mpsc::Sender<Waiting>>,
}

/// Serves the requests of `bridge.<node>` until `stop`. `gone` is what workers do unasked.
pub(crate) async fn serve(
    mut requests: Subscription,
    mut gone: mpsc::Receiver<Gone>,
    service: Arc<Service>,
    split_above: usize,
    stop: CancellationToken,
) {
    let workers = service.workers.len();
    let (waiting, answers): (Vec<_>, Vec<_>) =
        (0..workers).map(|_| mpsc::channel(MAX_COMMANDS)).unzip();
    let control = Arc::new(Control {
        service: service.clone(),
        directory: Mutex::new(Directory::new(workers, split_above)),
        waiting,
    });
    for answers in answers {
        let control = Arc::downgrade(&control);
        service.tasks.spawn(take_answers(control, answers));
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            delivery = requests.next() => match delivery {
                Some(delivery) => control.handle(delivery),
                None => return,
            },
            Some(gone) = gone.recv() => control.handle_gone(gone),
        }
    }
}

/// Takes a worker's answers as they come. Ends when nothing is asked any more, and all is answered.
async fn take_answers(control: std::sync::Weak<Control>, mut answers: mpsc::Receiver<Waiting>) {
    while let Some(Waiting {
        reply,
        answer,
        then,
    }) = answers.recv().await
    {
        let result = answer.await.unwrap_or_else(|_| unavailable());
        if let Some(control) = control.upgrade() {
            control.answered(then, &result);
        }
        send(reply, &result);
    }
}

impl Control {
    /// Hands a request on at once, so that requests reach a worker in the order they came; only the
    /// reply is waited for elsewhere.
    fn handle(&self, Delivery { payload, reply }: Delivery) {
        let request = match decode::<BridgeRequest>(&payload) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(%error, "bridge request cannot be read");
                send(reply, &refused(RefusalCode::Invalid, &error.to_string()));
                return;
            }
        };
        let mut directory = self.lock();
        let (worker, conference) = self.address(&directory, &request);
        // Whoever is to hear of it later must have room for it now. So queues are bounded: by what
        // is taken in here, and by the endpoints there are.
        let has_room = |worker: usize| self.service.workers[worker].has_room();
        // One that has ended hears of nothing any more, and keeps nobody from the others.
        let may_hear = |worker: usize| !self.service.workers[worker].is_alive() || has_room(worker);
        let is_full = self.waiting[worker].capacity() == 0;
        if is_full || !has_room(worker) || !directory.parts(conference).all(may_hear) {
            if !self.service.workers[worker].is_alive() {
                // Should it not have come to say so itself.
                directory.worker_died(worker);
                self.tell(&mut directory);
            }
            drop(directory);
            send(reply, &unavailable());
            return;
        }
        let (number, then) = begin(&mut directory, worker, &request);
        // A new part is there before its first endpoint.
        self.tell(&mut directory);
        let (sender, answer) = oneshot::channel();
        let command = Command::Control {
            request: Box::new(request),
            number,
            reply: sender,
        };
        // One that has died meanwhile drops the command, and with it the sender of the answer.
        self.service.workers[worker].send(command).ok();
        let waiting = Waiting {
            reply,
            answer,
            then,
        };
        // There was room, and nobody else sends here; the task at the other end lives as long as we.
        self.waiting[worker].try_send(waiting).ok();
    }

    /// The worker that a request is for.
    fn address<'a>(
        &self,
        directory: &Directory,
        request: &'a BridgeRequest,
    ) -> (usize, &'a ConferenceId) {
        let (conference, endpoint) = match request {
            BridgeRequest::Allocate(request) => {
                let admits =
                    |worker| self.service.admits(worker) && self.service.workers[worker].has_room();
                let (conference, endpoint) = (&request.conference, &request.endpoint);
                return (directory.place(conference, endpoint, admits), conference);
            }
            BridgeRequest::Update(update) => (&update.conference, Some(&update.endpoint)),
            BridgeRequest::Expire {
                conference,
                endpoint,
            } => (conference, Some(endpoint)),
            BridgeRequest::ExpireConference { conference } => (conference, None),
        };
        let found = endpoint.and_then(|endpoint| directory.find(conference, endpoint));
        let worker = found.map_or_else(|| directory.home(conference), |(worker, _)| worker);
        (worker, conference)
    }

    /// A worker has answered.
    fn answered(&self, then: Then, result: &BridgeReply) {
        let mut directory = self.lock();
        let done = !matches!(result, BridgeReply::Refused { .. });
        match then {
            Then::Allocated { conference, member } => {
                let (id, number) = (member.id.clone(), member.number);
                let made = done.then_some(*member);
                directory.allocated(&conference, &id, number, made);
            }
            Then::Updated {
                conference,
                endpoint,
                number,
                change,
            } if done => directory.updated(&conference, &endpoint, number, change),
            Then::Left {
                conference,
                endpoint,
                number,
            } if done => directory.left(&conference, &endpoint, number),
            Then::Updated { .. } | Then::Left { .. } | Then::Nothing => {}
        }
        self.tell(&mut directory);
    }

    fn handle_gone(&self, gone: Gone) {
        let mut directory = self.lock();
        match gone {
            Gone::Endpoint {
                conference,
                endpoint,
                number,
            } => directory.left(&conference, &endpoint, number),
            Gone::Part { conference, worker } => directory.failed(&conference, worker),
            Gone::Worker { worker } => directory.worker_died(worker),
        }
        self.tell(&mut directory);
    }

    /// Tells the workers what the directory wants them to know, in its order.
    fn tell(&self, directory: &mut Directory) {
        while let Some((worker, conference, command)) = directory.poll() {
            self.service.workers[worker].tell(Command::Part {
                conference,
                command: Box::new(command),
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Directory> {
        self.directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes what is asked of the worker. Returns the number of the endpoint, and what follows.
fn begin(directory: &mut Directory, worker: usize, request: &BridgeRequest) -> (u64, Then) {
    match request {
        BridgeRequest::Allocate(request) => {
            let number = directory.allocate(request, worker);
            let then = Then::Allocated {
                conference: request.conference.clone(),
                member: Box::new(Member::new(request, worker, number)),
            };
            (number, then)
        }
        BridgeRequest::Update(update) => {
            let (conference, endpoint) = (update.conference.clone(), update.endpoint.clone());
            let found = directory.find(&conference, &endpoint);
            let number = found.map_or(0, |(_, number)| number);
            let then = Then::Updated {
                conference,
                endpoint,
                number,
                change: Change::of(update),
            };
            (number, then)
        }
        BridgeRequest::Expire {
            conference,
            endpoint,
        } => {
            let (conference, endpoint) = (conference.clone(), endpoint.clone());
            let found = directory.find(&conference, &endpoint);
            let number = found.map_or(0, |(_, number)| number);
            let then = Then::Left {
                conference,
                endpoint,
                number,
            };
            (number, then)
        }
        BridgeRequest::ExpireConference { conference } => {
            directory.ended(conference);
            (0, Then::Nothing)
        }
    }
}

fn send(reply: Option<Reply>, answer: &BridgeReply) {
    if let Some(reply) = reply {
        reply.send(encode(answer).into());
    }
}

fn refused(code: RefusalCode, reason: &str) -> BridgeReply {
    BridgeReply::Refused {
        code,
        reason: reason.to_owned(),
    }
}

fn unavailable() -> BridgeReply {
    refused(
        RefusalCode::Unavailable,
        "the media worker of this conference is overloaded or gone",
    )
}

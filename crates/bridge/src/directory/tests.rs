//! The directory against workers made of sets, which take what they are told whenever they like.

use super::*;
use althing_control::SlotMode;
use althing_model::{Entropy, SeededEntropy, Ssrc};
use std::collections::BTreeSet;

fn conference(name: &str) -> ConferenceId {
    ConferenceId::new(name).unwrap()
}

fn endpoint(name: &str) -> EndpointId {
    EndpointId::new(name).unwrap()
}

fn allocate(of: &ConferenceId, who: &EndpointId) -> Allocate {
    let text = format!(
        r#"{{"conference":"{of}","endpoint":"{who}","role":"participant","may_send":{},
            "receives_audio":true,"receives_video":true,"slots":"plain",
            "feedback":{{"audio":1,"video":2}},"events_to":"f"}}"#,
        serde_json::to_string(&MediaKinds::ALL).unwrap(),
    );
    let request: Allocate = serde_json::from_str(&text).unwrap();
    assert_eq!(request.slots, SlotMode::Plain);
    assert_eq!(request.feedback.audio, Ssrc(1));
    request
}

/// Asked and made.
fn join(directory: &mut Directory, of: &ConferenceId, who: &str) -> (usize, u64) {
    let who = endpoint(who);
    let worker = directory.place(of, &who, |_| true);
    let request = allocate(of, &who);
    let number = directory.allocate(&request, worker);
    let member = Member::new(&request, worker, number);
    directory.allocated(of, &who, number, Some(member));
    (worker, number)
}

fn told(directory: &mut Directory) -> Vec<(usize, PartCommand)> {
    std::iter::from_fn(|| directory.poll())
        .map(|(worker, _, command)| (worker, command))
        .collect()
}

#[test]
fn a_small_conference_stays_where_it_is_and_nobody_is_told() {
    let mut directory = Directory::new(4, 40);
    let of = conference("c1");
    for who in 0..40 {
        let (worker, _) = join(&mut directory, &of, &format!("ep{who}"));
        assert_eq!(worker, directory.home(&of));
    }
    assert_eq!(told(&mut directory), []);
    let (elsewhere, _) = join(&mut directory, &of, "ep40");
    assert_ne!(elsewhere, directory.home(&of));
}

#[test]
fn who_was_on_a_worker_that_has_ended_is_gone_for_the_others_and_newcomers_go_elsewhere() {
    let mut directory = Directory::new(3, 1);
    let of = conference("c1");
    let home = directory.home(&of);
    let (_, at_home) = join(&mut directory, &of, "ann");
    let (other, _) = join(&mut directory, &of, "bob");
    let (third, away) = join(&mut directory, &of, "cyd");
    assert_eq!(BTreeSet::from([home, other, third]).len(), 3);
    // Asked for and not answered: it will be refused.
    let who = endpoint("dan");
    let pending = directory.allocate(&allocate(&of, &who), third);
    told(&mut directory);
    directory.worker_died(third);
    directory.allocated(&of, &who, pending, None);
    let left = PartCommand::Left(away);
    let unlink = PartCommand::Unlink(link(third));
    let said = told(&mut directory);
    for worker in [home, other] {
        assert!(said.contains(&(worker, left.clone())), "{said:?}");
        assert!(said.contains(&(worker, unlink.clone())), "{said:?}");
    }
    assert_eq!(directory.find(&of, &endpoint("cyd")), None);
    assert_eq!(directory.find(&of, &who), None);
    // The home likewise, and the conference goes on without it.
    directory.worker_died(home);
    assert!(told(&mut directory).contains(&(other, PartCommand::Left(at_home))));
    let again = directory.place(&of, &endpoint("eve"), |worker| worker == other);
    assert_eq!(again, other);
}

#[test]
fn one_worker_or_none_to_split_over_keeps_everybody_together() {
    for (workers, above) in [(1, 1), (4, 0)] {
        let mut directory = Directory::new(workers, above);
        let of = conference("c1");
        for who in 0..100 {
            join(&mut directory, &of, &format!("ep{who}"));
        }
        assert_eq!(directory.parts(&of).count(), 1);
        assert_eq!(told(&mut directory), []);
    }
}

#[test]
fn newcomers_go_where_least_is_and_who_comes_back_to_where_they_were() {
    let mut directory = Directory::new(3, 2);
    let of = conference("c1");
    for who in 0..30 {
        join(&mut directory, &of, &format!("ep{who}"));
    }
    assert_eq!(directory.loads, [10, 10, 10]);
    let (before, number) = directory.find(&of, &endpoint("ep20")).unwrap();
    let (after, newer) = join(&mut directory, &of, "ep20");
    assert_eq!(before, after);
    assert!(newer > number);
    assert_eq!(directory.loads, [10, 10, 10]);
}

#[test]
fn who_is_refused_at_home_is_taken_by_a_worker_that_admits() {
    let directory = Directory::new(3, 40);
    let of = conference("c1");
    let home = directory.home(&of);
    let next = (home + 1) % 3;
    let who = endpoint("ann");
    assert_eq!(directory.place(&of, &who, |worker| worker == next), next);
    // Where nobody admits, the home says so.
    assert_eq!(directory.place(&of, &who, |_| false), home);
    // Where a conference is one, its home has to.
    let directory = Directory::new(3, 0);
    assert_eq!(directory.place(&of, &who, |worker| worker == next), home);
}

#[test]
fn what_was_refused_is_never_heard_of() {
    let mut directory = Directory::new(2, 1);
    let of = conference("c1");
    join(&mut directory, &of, "ann");
    let bob = endpoint("bob");
    let away = directory.place(&of, &bob, |_| true);
    assert_ne!(away, directory.home(&of));
    let number = directory.allocate(&allocate(&of, &bob), away);
    directory.allocated(&of, &bob, number, None);
    assert_eq!(directory.find(&of, &bob), None);
    let told = told(&mut directory);
    let heard = |command: &PartCommand| matches!(command, PartCommand::Joined(_));
    assert!(!told.iter().any(|(_, command)| heard(command)));
    // The part that was opened for him has ended.
    assert_eq!(directory.parts(&of).count(), 1);
    assert!(told.contains(&(away, PartCommand::Close)));
    let unlink = PartCommand::Unlink(link(away));
    assert!(told.contains(&(directory.home(&of), unlink)));
}

#[test]
fn an_endpoint_that_is_gone_before_its_answer_is_never_heard_of() {
    let mut directory = Directory::new(2, 1);
    let of = conference("c1");
    join(&mut directory, &of, "ann");
    join(&mut directory, &of, "cyd");
    told(&mut directory);
    let ann = endpoint("ann");
    let (home, old) = directory.find(&of, &ann).unwrap();
    let request = allocate(&of, &ann);
    let number = directory.allocate(&request, home);
    directory.left(&of, &ann, number);
    let member = Member::new(&request, home, number);
    directory.allocated(&of, &ann, number, Some(member));
    let away = 1 - home;
    assert_eq!(told(&mut directory), [(away, PartCommand::Left(old))]);
    assert_eq!(directory.find(&of, &ann), None);
}

#[test]
fn an_answer_of_an_earlier_meeting_changes_nothing_in_the_next() {
    let mut directory = Directory::new(2, 1);
    let (of, ann) = (conference("c1"), endpoint("ann"));
    let home = directory.home(&of);
    let request = allocate(&of, &ann);
    let first = directory.allocate(&request, home);
    directory.ended(&of);
    let second = directory.allocate(&request, home);
    let member = |number| Some(Member::new(&request, home, number));
    directory.allocated(&of, &ann, first, member(first));
    directory.left(&of, &ann, first);
    directory.allocated(&of, &ann, second, member(second));
    assert_eq!(directory.find(&of, &ann), Some((home, second)));
    directory.left(&of, &ann, second);
    assert_eq!(directory.loads, [0, 0]);
}

/// What a worker has of a conference.
#[derive(Debug, Default)]
struct Part {
    links: BTreeSet<usize>,
    local: BTreeMap<EndpointId, Member>,
    remote: BTreeMap<u64, Member>,
}

/// On its way to a worker.
enum Sent {
    Part(ConferenceId, PartCommand),
    Allocate(Allocate, u64),
    Update(ConferenceId, EndpointId, u64, Change),
    Expire(ConferenceId, EndpointId, u64),
    ExpireConference(ConferenceId),
}

/// On its way back.
enum Answer {
    Allocated(Allocate, u64, bool),
    Updated(ConferenceId, EndpointId, u64, Change, bool),
    Expired(ConferenceId, EndpointId, u64),
}

struct World {
    directory: Directory,
    workers: Vec<HashMap<ConferenceId, Part>>,
    queues: Vec<VecDeque<Sent>>,
    answers: Vec<VecDeque<Answer>>,
    gone: VecDeque<Gone>,
    random: SeededEntropy,
}

impl World {
    fn new(seed: u64, workers: usize) -> Self {
        Self {
            directory: Directory::new(workers, 2),
            workers: (0..workers).map(|_| HashMap::new()).collect(),
            queues: (0..workers).map(|_| VecDeque::new()).collect(),
            answers: (0..workers).map(|_| VecDeque::new()).collect(),
            gone: VecDeque::new(),
            random: SeededEntropy::new(seed),
        }
    }

    fn pick(&mut self, n: usize) -> usize {
        (self.random.next_u64() % n as u64) as usize
    }

    fn tell(&mut self) {
        while let Some((worker, of, command)) = self.directory.poll() {
            self.queues[worker].push_back(Sent::Part(of, command));
        }
    }

    fn ask(&mut self) {
        let of = conference(["c1", "c2"][self.pick(2)]);
        let who = endpoint(&format!("ep{}", self.pick(7)));
        let found = self.directory.find(&of, &who);
        let home = self.directory.home(&of);
        let (worker, number) = found.unwrap_or((home, 0));
        let sent = match self.pick(10) {
            0..=4 => {
                let admits = self.pick(1 << self.workers.len());
                let worker = self.directory.place(&of, &who, |w| admits >> w & 1 == 1);
                let request = allocate(&of, &who);
                let number = self.directory.allocate(&request, worker);
                self.tell();
                self.queues[worker].push_back(Sent::Allocate(request, number));
                return;
            }
            5 | 6 => {
                let mutes = self.pick(2) == 0;
                let change = Change {
                    may_send: Some(if mutes {
                        MediaKinds::NONE
                    } else {
                        MediaKinds::ALL
                    }),
                    e2ee: None,
                    sources: Some(Vec::new()),
                };
                Sent::Update(of, who, number, change)
            }
            7 | 8 => Sent::Expire(of, who, number),
            _ => {
                self.directory.ended(&of);
                self.tell();
                self.queues[home].push_back(Sent::ExpireConference(of));
                return;
            }
        };
        self.queues[worker].push_back(sent);
    }

    /// A worker takes the next thing in.
    fn work(&mut self, worker: usize) {
        let Some(sent) = self.queues[worker].pop_front() else {
            return;
        };
        let refuses = self.pick(6) == 0;
        let parts = &mut self.workers[worker];
        let answers = &mut self.answers[worker];
        match sent {
            Sent::Part(of, command) => {
                take_command(parts, of, command);
            }
            Sent::Allocate(request, number) => {
                if !refuses {
                    let part = parts.entry(request.conference.clone()).or_default();
                    let member = Member::new(&request, worker, number);
                    part.local.insert(request.endpoint.clone(), member);
                }
                answers.push_back(Answer::Allocated(request, number, !refuses));
            }
            Sent::Update(of, who, number, change) => {
                let part = parts.get_mut(&of);
                let member = part.and_then(|part| part.local.get_mut(&who));
                let done = member.is_some() && !refuses;
                if let Some(member) = member.filter(|_| done) {
                    member.take(change.clone());
                }
                answers.push_back(Answer::Updated(of, who, number, change, done));
            }
            Sent::Expire(of, who, number) => {
                if let Some(part) = parts.get_mut(&of) {
                    part.local.remove(&who);
                }
                answers.push_back(Answer::Expired(of, who, number));
            }
            Sent::ExpireConference(of) => {
                parts.remove(&of);
            }
        }
    }

    /// The directory hears what a worker has done.
    fn hear(&mut self, worker: usize) {
        match self.answers[worker].pop_front() {
            Some(Answer::Allocated(request, number, done)) => {
                let made = done.then(|| Member::new(&request, worker, number));
                let (of, who) = (&request.conference, &request.endpoint);
                self.directory.allocated(of, who, number, made);
            }
            Some(Answer::Updated(of, who, number, change, true)) => {
                self.directory.updated(&of, &who, number, change);
            }
            Some(Answer::Expired(of, who, number)) => self.directory.left(&of, &who, number),
            Some(Answer::Updated(.., false)) | None => {}
        }
        self.tell();
    }

    fn hear_gone(&mut self) {
        match self.gone.pop_front() {
            Some(Gone::Endpoint {
                conference,
                endpoint,
                number,
            }) => self.directory.left(&conference, &endpoint, number),
            Some(Gone::Part { conference, worker }) => self.directory.failed(&conference, worker),
            Some(Gone::Worker { .. }) | None => {}
        }
        self.tell();
    }

    /// Something happens at a worker that nobody asked for.
    fn fate(&mut self, worker: usize) {
        let conferences: Vec<_> = self.workers[worker].keys().cloned().collect();
        if conferences.is_empty() {
            return;
        }
        let of = conferences[self.pick(conferences.len())].clone();
        let is_bug = self.pick(4) == 0;
        let gone = |(endpoint, member): (EndpointId, Member)| Gone::Endpoint {
            conference: of.clone(),
            endpoint,
            number: member.number,
        };
        if is_bug {
            let part = self.workers[worker].remove(&of).unwrap();
            self.gone.extend(part.local.into_iter().map(gone));
            let conference = of.clone();
            self.gone.push_back(Gone::Part { conference, worker });
        } else if let Some(part) = self.workers[worker].get_mut(&of) {
            self.gone.extend(part.local.pop_first().map(gone));
        }
    }

    /// Everything on its way arrives.
    fn settle(&mut self) {
        loop {
            for worker in 0..self.workers.len() {
                self.work(worker);
                self.hear(worker);
            }
            self.hear_gone();
            let quiet = self.queues.iter().all(VecDeque::is_empty)
                && self.answers.iter().all(VecDeque::is_empty)
                && self.gone.is_empty();
            if quiet {
                return;
            }
        }
    }

    /// Everybody knows the same.
    fn check(&self) {
        let mut loads = vec![0; self.workers.len()];
        for (worker, parts) in self.workers.iter().enumerate() {
            for (of, part) in parts {
                loads[worker] += part.local.len();
                let home = self.directory.home(of);
                assert!(worker == home || !part.local.is_empty(), "a part of nobody");
                let mut elsewhere = BTreeMap::new();
                let mut links = BTreeSet::new();
                for (other, parts) in self.workers.iter().enumerate() {
                    let Some(there) = parts.get(of).filter(|_| other != worker) else {
                        continue;
                    };
                    // A home where nobody is, and nobody needs it, ends by itself.
                    if other == home && there.local.is_empty() && there.remote.is_empty() {
                        continue;
                    }
                    links.insert(other);
                    let members = there.local.values();
                    elsewhere.extend(members.map(|member| (member.number, member.clone())));
                }
                assert_eq!(part.remote, elsewhere, "{of} at {worker}");
                if !part.local.is_empty() {
                    assert_eq!(part.links, links, "{of} at {worker}");
                }
                for (id, member) in &part.local {
                    let entry = &self.directory.conferences[of].endpoints[id];
                    assert_eq!(entry.live.as_ref(), Some(member));
                    assert_eq!(entry.worker, worker);
                }
            }
        }
        assert_eq!(self.directory.loads, loads);
        for (of, meeting) in &self.directory.conferences {
            assert!(!meeting.endpoints.is_empty(), "{of} has nobody");
            for worker in meeting.parts.keys() {
                assert!(self.workers[*worker].contains_key(of), "{of} at {worker}");
            }
        }
    }
}

/// As `worker::part` does.
fn take_command(parts: &mut HashMap<ConferenceId, Part>, of: ConferenceId, command: PartCommand) {
    if let PartCommand::Open { links, members, .. } = command {
        let part = parts.entry(of).or_default();
        part.links.extend(links.iter().map(Link::number));
        let members = members.into_iter().map(|member| (member.number, member));
        for (number, member) in members {
            part.remote.entry(number).or_insert(member);
        }
        return;
    }
    if command == PartCommand::Close {
        parts.remove(&of);
        return;
    }
    let Some(part) = parts.get_mut(&of) else {
        return;
    };
    match command {
        PartCommand::Open { .. } | PartCommand::Close => {}
        PartCommand::Unlink(link) => {
            part.links.remove(&link.number());
        }
        PartCommand::Joined(member) => {
            part.remote.entry(member.number).or_insert(member);
        }
        PartCommand::Changed { number, change } => {
            if let Some(member) = part.remote.get_mut(&number) {
                member.take(change);
            }
        }
        PartCommand::Left(number) => {
            part.remote.remove(&number);
        }
    }
}

#[test]
fn whatever_happens_in_whichever_order_all_parts_come_to_agree() {
    let mut most = 0;
    for seed in 0..300 {
        let mut world = World::new(seed, 2 + seed as usize % 3);
        let bugs = seed % 2 == 1;
        for round in 0..120 {
            let worker = world.pick(world.workers.len());
            match world.pick(12) {
                0..=3 => world.ask(),
                4..=7 => world.work(worker),
                8 | 9 => world.hear(worker),
                10 => world.hear_gone(),
                _ if bugs => world.fate(worker),
                _ => {}
            }
            if round % 40 == 39 {
                world.settle();
                world.check();
                let split = world.directory.conferences.values();
                most = split.map(|m| m.parts.len()).max().unwrap_or(0).max(most);
            }
        }
    }
    assert_eq!(most, 4, "conferences were split");
}

//! What the clients know: each message sent, what they were told about it, and what they saw
//! of it. A server that forgets or changes any of that is at fault.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use crate::common::Listed;
use crate::kill_9::random::Random;

/// Every topic that messages are sent to.
pub(crate) const TOPICS: [&str; 6] = ["steady", "many", "visited", "stalled", UNHEARD, RUDE];
/// Its consumers vanish without reading what was written to them: of its messages nobody can
/// say who got them.
pub(crate) const RUDE: &str = "rude";
/// Nobody listens here but when a backlog is drained.
pub(crate) const UNHEARD: &str = "unheard";
const POOL_BYTES: usize = 256 << 10;
/// Now and then a message has this much.
const LARGE_BYTES: usize = 200 << 10;
const FAULTS_MAX: usize = 20;

/// See the module.
pub(crate) struct Ledger {
    /// Every message's data is a number and a piece of this.
    pool: String,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    sent: Vec<Sent>,
    sessions: usize,
    /// How many messages have a place in the order of all.
    placed: usize,
    faults: Vec<String>,
}

struct Sent {
    topic: &'static str,
    session: Session,
    from: usize,
    to: usize,
    /// Its producer was told that it is stored.
    answered: bool,
    /// Its producer was told that it is not stored.
    refused: bool,
    /// A consumer read it.
    received: bool,
    /// As told by an answer, a frame or a list.
    code: Option<String>,
    /// Status and time of consumption, as listed last.
    listed: Option<(i64, i64)>,
    /// Its place among all messages, as listed first.
    place: Option<usize>,
    deletion: Deletion,
    /// It was there, and then not any more.
    gone: bool,
}

/// Whoever sends one message after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session(usize);

/// Whether a message was deleted by somebody.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deletion {
    No,
    /// Nobody knows: there was no answer, or not yet.
    Asked,
    /// The answer was that it is gone.
    Done,
}

/// What a check of a whole list went over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked {
    pub(crate) listed: usize,
    pub(crate) answered: usize,
}

/// What may be missing from a list, and what cannot be said of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allow {
    /// Messages created before this time may have expired.
    pub(crate) expired_before: Option<i64>,
    /// Consumers still read: what is consumed may not have been read yet.
    pub(crate) unread: bool,
    /// It is a backup: messages may be missing, and the rest may be older than what is known.
    pub(crate) backup: bool,
}

impl Ledger {
    pub(crate) fn new(random: &mut Random) -> Ledger {
        const LETTERS: [&str; 12] = [
            "a", "Z", "0", " ", "\"", "\\", "\n", "<", "\u{7f}", "ä", "短", "🦀",
        ];
        let mut pool = String::new();
        while pool.len() < POOL_BYTES {
            pool.push_str(random.of(&LETTERS));
        }
        Ledger {
            pool,
            known: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// A new session, whose messages keep their order.
    pub(crate) fn session(&self) -> Session {
        let mut known = self.lock();
        known.sessions += 1;
        Session(known.sessions)
    }

    /// A message to be sent: its number and data.
    pub(crate) fn send(
        &self,
        topic: &'static str,
        session: Session,
        random: &mut Random,
    ) -> (usize, String) {
        let bytes = match random.between(0, 400) {
            0 => LARGE_BYTES,
            1..100 => random.between(500, 3000),
            _ => random.between(1, 300),
        };
        let from = random.between(0, POOL_BYTES - bytes);
        let from = self.pool.ceil_char_boundary(from);
        let to = self.pool.floor_char_boundary(from + bytes).max(from);
        let mut known = self.lock();
        known.sent.push(Sent {
            topic,
            session,
            from,
            to,
            answered: false,
            refused: false,
            received: false,
            code: None,
            listed: None,
            place: None,
            deletion: Deletion::No,
            gone: false,
        });
        let id = known.sent.len() - 1;
        (id, format!("{id} {}", &self.pool[from..to]))
    }

    pub(crate) fn fault(&self, fault: String) {
        self.lock().fault(fault);
    }

    /// The producer of a message was told its code: it is stored.
    pub(crate) fn answered(&self, id: usize, code: &str) {
        let mut known = self.lock();
        known.sent[id].answered = true;
        known.code(id, code, "an answer");
    }

    /// The producer of a message was told that it is not stored.
    pub(crate) fn refused(&self, id: usize) {
        self.lock().sent[id].refused = true;
    }

    /// A message that somebody may delete now: its number, code and topic.
    pub(crate) fn to_delete(&self, random: &mut Random) -> Option<(usize, String, &'static str)> {
        let mut known = self.lock();
        let count = known.sent.len();
        let id = count.checked_sub(1).map(|last| random.between(0, last))?;
        let sent = &mut known.sent[id];
        if !sent.answered || sent.gone || sent.deletion != Deletion::No {
            return None;
        }
        sent.deletion = Deletion::Asked;
        Some((id, sent.code.clone()?, sent.topic))
    }

    /// Whoever asked was told that the message is deleted.
    pub(crate) fn deleted(&self, id: usize) {
        self.lock().sent[id].deletion = Deletion::Done;
    }

    /// The power was cut: what became of a message may be forgotten, but not the message.
    pub(crate) fn power_cut(&self) {
        for sent in &mut self.lock().sent {
            if let Some(listed) = &mut sent.listed {
                *listed = (-1, 0);
            }
        }
    }

    /// A consumer of `topic` read this.
    pub(crate) fn received(&self, topic: &str, frame: &str) {
        let mut known = self.lock();
        let Ok(message) = serde_json::from_str::<Listed>(frame) else {
            let start: String = frame.chars().take(200).collect();
            return known.fault(format!("a frame on {topic} is no message: {start}"));
        };
        let Some(id) = known.identify(&self.pool, &message, "a frame") else {
            return;
        };
        if message.topic != topic || message.status != -1 || message.consumed != 0 {
            known.fault(format!(
                "a frame on {topic} of {id}: topic {}, status {}, consumed {}",
                message.topic, message.status, message.consumed
            ));
        }
        known.sent[id].received = true;
    }

    /// The messages that every later list must have.
    pub(crate) fn present(&self) -> Vec<usize> {
        let known = self.lock();
        let present = |sent: &Sent| {
            let seen = sent.answered || sent.received || sent.listed.is_some();
            seen && sent.deletion == Deletion::No
        };
        let all = known.sent.iter().enumerate();
        all.filter(|(_, sent)| present(sent))
            .map(|(id, _)| id)
            .collect()
    }

    /// Checks a list of all messages, which was asked for after [`Ledger::present`].
    pub(crate) fn check(&self, all: &[Listed], present: &[usize], allow: Allow) -> Checked {
        let mut known = self.lock();
        let mut ids = HashSet::new();
        let mut order = vec![];
        for message in all {
            let Some(id) = known.identify(&self.pool, message, "the list") else {
                continue;
            };
            if !ids.insert(id) {
                known.fault(format!("message {id} is listed twice"));
            }
            order.push(id);
            if !allow.backup {
                known.listed(id, message, allow);
            }
        }
        order.reverse();
        known.order(&order, allow);
        if !allow.backup && !allow.unread {
            let asked = known.sent.iter_mut().enumerate();
            for (_, sent) in
                asked.filter(|(id, sent)| sent.deletion == Deletion::Asked && !ids.contains(id))
            {
                sent.gone = true;
            }
        }
        let mut checked = Checked {
            listed: all.len(),
            answered: 0,
        };
        for &id in present {
            let sent = &mut known.sent[id];
            if ids.contains(&id) {
                checked.answered += usize::from(sent.answered);
                continue;
            }
            // It may have been deleted since.
            if allow.backup || sent.deletion != Deletion::No {
                continue;
            }
            let code = sent.code.clone().unwrap_or_default();
            let created = created(&code);
            if allow.expired_before.is_some_and(|floor| created < floor) {
                sent.gone = true;
                continue;
            }
            let Sent {
                topic,
                answered,
                received,
                listed,
                ..
            } = sent;
            let fault = format!(
                "lost: message {id} of {topic}, code {code}, answered {answered}, received {received}, listed before {}",
                listed.is_some()
            );
            known.fault(fault);
        }
        checked
    }

    /// The messages of `topic` that no consumer ever read, of those that were answered.
    pub(crate) fn unread(&self, topic: &str) -> Vec<usize> {
        let known = self.lock();
        let all = known.sent.iter().enumerate();
        let unread = |sent: &Sent| sent.topic == topic && sent.answered && !sent.received;
        all.filter(|(_, sent)| unread(sent) && sent.deletion == Deletion::No)
            .map(|(id, _)| id)
            .collect()
    }

    /// How many messages were answered.
    pub(crate) fn answers(&self) -> usize {
        self.lock().sent.iter().filter(|sent| sent.answered).count()
    }

    /// How much was wrong so far.
    pub(crate) fn faults(&self) -> usize {
        self.lock().faults.len()
    }

    /// Fails the test if anything was wrong so far.
    pub(crate) fn assert_no_fault(&self, when: &str) {
        let faults = std::mem::take(&mut self.lock().faults);
        assert!(faults.is_empty(), "{when}:\n  {}", faults.join("\n  "));
    }
}

impl Known {
    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    fn code(&mut self, id: usize, code: &str, place: &str) {
        let sent = &mut self.sent[id];
        match &sent.code {
            None => sent.code = Some(code.to_owned()),
            Some(before) if before != code => {
                let fault = format!("{place} gives message {id} the code {code}, not {before}");
                self.fault(fault);
            }
            Some(_) => {}
        }
    }

    /// Which message this is, if its data, topic and code are those of one that was sent.
    fn identify(&mut self, pool: &str, message: &Listed, place: &str) -> Option<usize> {
        let found = message.data.split_once(' ').and_then(|(id, rest)| {
            let id: usize = id.parse().ok()?;
            let sent = self.sent.get(id)?;
            (sent.topic == message.topic && pool[sent.from..sent.to] == *rest).then_some(id)
        });
        let Some(id) = found else {
            let start: String = message.data.chars().take(60).collect();
            self.fault(format!(
                "{place} has a message that nobody sent so: {} on {}, {} bytes, {start:?}",
                message.code,
                message.topic,
                message.data.len()
            ));
            return None;
        };
        if self.sent[id].refused {
            self.fault(format!("{place} has message {id}, which was refused"));
        }
        if created(&message.code) != message.created {
            self.fault(format!(
                "{place} has message {id} with code {} and time {}",
                message.code, message.created
            ));
        }
        self.code(id, &message.code, place);
        Some(id)
    }

    /// Messages are listed in the order of before, and of their sessions: `ids`, oldest first.
    fn order(&mut self, ids: &[usize], allow: Allow) {
        let mut last_place = None;
        let mut last_of: HashMap<Session, usize> = HashMap::new();
        for &id in ids {
            let sent = &self.sent[id];
            let (place, session) = (sent.place, sent.session);
            if last_of.insert(session, id).is_some_and(|last| last > id) {
                self.fault(format!("message {id} is behind one that was sent later"));
            }
            match place {
                Some(place) if last_place.is_some_and(|last| last > place) => {
                    self.fault(format!("message {id} is not where it was listed before"));
                }
                Some(place) => last_place = Some(place),
                None if allow.backup => {}
                None => {
                    self.sent[id].place = Some(self.placed);
                    last_place = Some(self.placed);
                    self.placed += 1;
                }
            }
        }
    }

    fn listed(&mut self, id: usize, message: &Listed, allow: Allow) {
        let sent = &mut self.sent[id];
        let times = match message.status {
            -1 | 0 => message.consumed == 0,
            1 => message.consumed >= message.created,
            _ => false,
        };
        let now = (message.status, message.consumed);
        let before = sent.listed.replace(now);
        let stays = before.is_none_or(|before| before.0 != 1 || before == now);
        let unread =
            message.status == 1 && !sent.received && !allow.unread && message.topic != RUDE;
        let gone = sent.gone || (sent.deletion == Deletion::Done && !allow.unread);
        let facts = format!(
            "message {id} of {}, code {}, status {}, consumed at {}",
            message.topic, message.code, message.status, message.consumed
        );
        if !times {
            self.fault(format!("impossible: {facts}"));
        }
        if !stays {
            self.fault(format!("was consumed before: {facts}"));
        }
        if unread {
            self.fault(format!("consumed, but nobody got it: {facts}"));
        }
        if gone {
            self.fault(format!("was deleted before: {facts}"));
        }
    }
}

/// The time of creation that is in a code.
fn created(code: &str) -> i64 {
    let time = code
        .get(32..)
        .and_then(|time| i64::from_str_radix(time, 16).ok());
    time.unwrap_or(-1)
}

//! What is known of every message, from what was answered, pushed and recorded: the plain model
//! that the store and the broker are held against.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dpmq::message::{Draft, Message, Sequence, Status, StatusKind, Topic, UnixSeconds};
use dpmq::sequences::SequenceSet;
use dpmq::store::{Change, Storage, StoreError};

use crate::common_store::{Content, content, day_of};
use crate::times::{Stored, Times};

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything was written.
    Closed,
    /// What was written is there.
    Killed,
    /// What was synced is there.
    PowerCut,
}

/// What an operator has deleted.
#[derive(Clone, Debug)]
pub(crate) enum Deleted {
    Message(Sequence),
    Topic(Topic),
}

/// Why a message need not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// Its deletion was asked for, and not answered or answered with an error.
    Perhaps,
    /// It has expired, and a power cut may forget that.
    Expired,
    /// Its deletion was answered.
    Deleted,
}

/// A message that is stored, or was.
#[derive(Clone)]
struct Known {
    message: Message,
    stored: Stored,
    /// The statuses it had in this life, oldest first.
    history: Vec<StatusKind>,
    /// The first of `history` that a power cut may lead back to.
    synced: usize,
    /// The first of `history` that a kill may lead back to.
    written: usize,
    gone: Option<Gone>,
    /// Consumers of this life that were written to since it was queued last.
    deliveries: u32,
    /// It was pushed to somebody, in whatever life.
    pushed: bool,
    /// How often it came back to the queue in this life; then it comes out of order.
    requeued: u32,
    /// An operator was answered that it is deleted, and nobody gets it any more.
    withdrawn: bool,
}

impl Known {
    fn new(message: Message, stored: Stored, status: StatusKind) -> Known {
        Known {
            message,
            stored,
            history: vec![status],
            synced: 0,
            written: 0,
            gone: None,
            deliveries: 0,
            pushed: false,
            requeued: 0,
            withdrawn: false,
        }
    }

    fn status(&self) -> StatusKind {
        *self.history.last().unwrap()
    }

    fn change(&mut self, to: StatusKind) {
        if self.status().may_become(to) {
            self.history.push(to);
        }
    }
}

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    known: BTreeMap<u64, Known>,
    /// Drafts that were handed over and are not stored for certain, by their data.
    in_flight: HashMap<String, Topic>,
    /// Changes that could not be written, and come with the next group.
    carried: Vec<(Change, SequenceSet)>,
    /// Changes that were answered with an error.
    refused: Vec<(Change, SequenceSet)>,
    /// Changes that were asked for and not answered.
    asked: BTreeMap<u64, (Change, SequenceSet)>,
    asked_next: u64,
    /// How often something was to become of messages.
    events: u64,
    pub(crate) times: Times,
    /// How often the broker has looked at the clock.
    pub(crate) looks: u64,
    pub(crate) stored: u64,
    pub(crate) consumed: u64,
    pub(crate) checks: u64,
}

impl Ledger {
    // ---- what happens

    /// These are handed over now.
    pub(crate) fn hand_over(&mut self, drafts: &[Draft]) {
        for draft in drafts {
            let data = draft.data.to_string();
            self.in_flight.insert(data, draft.topic.clone());
        }
    }

    /// These are stored and synced, and with them everything recorded before.
    pub(crate) fn committed(&mut self, messages: &[Message]) {
        self.apply_carried();
        for known in self.known.values_mut() {
            known.synced = known.history.len() - 1;
        }
        for message in messages {
            let stored = self.times.stored(message.created);
            self.take_in(message, stored, StatusKind::Accepted);
        }
    }

    fn take_in(&mut self, message: &Message, stored: Stored, status: StatusKind) {
        let topic = self.in_flight.remove(&*message.data);
        assert_eq!(
            topic.as_ref(),
            Some(&message.topic),
            "nobody sent {message:?}"
        );
        self.stored += 1;
        let known = Known::new(message.clone(), stored, status);
        let before = self.known.insert(message.sequence.0, known);
        assert!(before.is_none(), "a sequence came twice: {message:?}");
    }

    /// Whether every draft of an answer of success is stored.
    pub(crate) fn answered(&self, drafts: &[Draft]) {
        for draft in drafts {
            let open = self.in_flight.contains_key(&*draft.data);
            assert!(!open, "answered and not stored: {draft:?}");
        }
    }

    /// A change is asked for; the number to tell its answer with.
    pub(crate) fn ask(&mut self, change: Change, sequences: SequenceSet) -> u64 {
        for sequence in sequences.iter() {
            let known = self.known.get_mut(&sequence.0).unwrap();
            match change {
                Change::Consumed { .. } => {
                    self.consumed += 1;
                    assert!(known.deliveries > 0, "consumed by nobody: {known:?}");
                }
                Change::NotConsumed => {
                    assert_eq!(known.deliveries, 0, "consumed by somebody: {known:?}");
                }
                Change::Requeued => {
                    known.requeued += 1;
                    known.deliveries = 0;
                }
                Change::Deleted => known.perhaps_gone(),
            }
        }
        self.asked_next += 1;
        self.events += 1;
        self.asked.insert(self.asked_next, (change, sequences));
        self.asked_next
    }

    /// The answer to a change.
    pub(crate) fn tell(&mut self, number: u64, answer: &Result<(), StoreError>) {
        let (change, sequences) = self.asked.remove(&number).unwrap();
        match answer {
            Ok(()) => {
                self.apply_carried();
                self.apply(change, &sequences);
                for known in self.known.values_mut() {
                    known.written = known.history.len() - 1;
                    if change == Change::Deleted {
                        known.synced = known.written;
                    }
                }
            }
            // It was not done, unless a crash finds it in the log all the same.
            Err(_) if matches!(change, Change::Deleted | Change::Requeued) => {
                self.refused.push((change, sequences));
            }
            // Memory goes on, though the log does not.
            Err(StoreError::Poisoned(_)) => self.apply(change, &sequences),
            Err(_) => self.carried.push((change, sequences)),
        }
    }

    /// The disk works again, and what could not be written is.
    pub(crate) fn apply_carried(&mut self) {
        for (change, sequences) in std::mem::take(&mut self.carried) {
            self.apply(change, &sequences);
        }
    }

    fn apply(&mut self, change: Change, sequences: &SequenceSet) {
        for sequence in sequences.iter() {
            let known = self.known.get_mut(&sequence.0).unwrap();
            match change {
                Change::Requeued => known.change(StatusKind::Accepted),
                Change::NotConsumed => known.change(StatusKind::NotConsumed),
                Change::Consumed { .. } => known.change(StatusKind::Consumed),
                Change::Deleted => known.gone = Some(Gone::Deleted),
            }
        }
    }

    /// What was created before `cutoff` is to expire.
    pub(crate) fn expiring(&mut self, cutoff: UnixSeconds) {
        for known in self.known.values_mut() {
            if known.message.created < cutoff {
                self.events += u64::from(known.gone.is_none());
                let is_old = known.gone.is_some() || self.times.may_expire(&known.stored);
                assert!(is_old, "expires early, {:?}: {known:?}", self.times);
                known.perhaps_gone();
            }
        }
    }

    /// What is dated ahead of the clock, which says that it is `now`, and was stored before `end`
    /// is to expire; which.
    pub(crate) fn expiring_ahead(&mut self, now: UnixSeconds, end: Sequence) -> Vec<u64> {
        let mut expiring = vec![];
        for (sequence, known) in self.known.range_mut(..end.0) {
            if known.gone.is_none() && is_ahead(known.message.created, now) {
                let was_kept = self.times.was_kept(&known.stored);
                assert!(was_kept, "expires early, {:?}: {known:?}", self.times);
                known.perhaps_gone();
                self.events += 1;
                expiring.push(*sequence);
            }
        }
        expiring
    }

    /// With a broker that has run for long: neither is there what is old, nor what was dated
    /// ahead.
    pub(crate) fn grown_old(&self, keep_seconds: u32) {
        let now = self.times.clock();
        let oldest = UnixSeconds(now.0 - keep_seconds - 60);
        for known in self.known.values().filter(|known| known.gone.is_none()) {
            let created = known.message.created;
            let is_kept = created < oldest || is_ahead(created, now);
            assert!(!is_kept, "is kept for ever, {:?}: {known:?}", self.times);
        }
    }

    /// It has: so many messages.
    pub(crate) fn expired(&mut self, cutoff: UnixSeconds, messages: u64) {
        if messages > 0 {
            self.apply_carried();
        }
        for known in self.known.values_mut() {
            if known.message.created < cutoff && known.gone == Some(Gone::Perhaps) {
                known.gone = Some(Gone::Expired);
            }
        }
    }

    /// The messages of a topic in one of `kinds` are to be deleted; which.
    pub(crate) fn purging(&mut self, topic: &Topic, kinds: &[StatusKind]) -> Vec<u64> {
        let unsure = self.unsure();
        let mut purged = vec![];
        for (sequence, known) in &mut self.known {
            let matches = known.message.topic == *topic && known.gone.is_none();
            self.events += u64::from(matches);
            if matches && unsure.contains(sequence) {
                known.perhaps_gone();
            } else if matches && kinds.contains(&known.status()) {
                known.perhaps_gone();
                purged.push(*sequence);
            }
        }
        purged
    }

    /// They are: so many, with those of which nobody knew for sure.
    pub(crate) fn purged(&mut self, sequences: &[u64], messages: u64) {
        if messages > 0 {
            self.apply_carried();
        }
        for sequence in sequences {
            self.known.get_mut(sequence).unwrap().gone = Some(Gone::Deleted);
        }
    }

    /// An operator was answered that one message is deleted, or those of a topic.
    pub(crate) fn withdraw(&mut self, deleted: &Deleted) {
        for known in self.known.values_mut() {
            let meant = match deleted {
                Deleted::Message(sequence) => known.message.sequence == *sequence,
                Deleted::Topic(topic) => known.message.topic == *topic,
            };
            known.withdrawn |= meant && known.gone == Some(Gone::Deleted);
        }
    }

    /// How much has been done to messages: two with the same history and as much are the same.
    pub(crate) fn done(&self) -> u64 {
        self.events + self.stored
    }

    /// How many changes were asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.asked_next
    }

    /// A consumer has got this message; how often it has come back to the queue before.
    pub(crate) fn pushed(&mut self, message: &Message) -> u32 {
        let known = self.known.get_mut(&message.sequence.0);
        let known = known.unwrap_or_else(|| panic!("pushed and not stored: {message:?}"));
        assert!(!known.withdrawn, "pushed after it was deleted: {known:?}");
        known.pushed = true;
        let stored = &known.message;
        assert_eq!(message.code, stored.code);
        assert_eq!(message.data, stored.data);
        assert_eq!(message.topic, stored.topic);
        assert_eq!(message.created, stored.created);
        assert_eq!(message.status, Status::Accepted, "as it left the queue");
        known.requeued
    }

    /// A consumer was written this message.
    pub(crate) fn delivered(&mut self, sequence: u64) {
        self.known.get_mut(&sequence).unwrap().deliveries += 1;
    }

    /// Some message that may be there.
    pub(crate) fn some(&self, number: u64) -> Option<Message> {
        let from = self.known.range(number..).next();
        from.map(|(_, known)| known.message.clone())
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.known.last_key_value().map_or(0, |(last, _)| *last)
    }

    /// Whether a message is there that the other history never had, created at `cutoff` or later.
    pub(crate) fn has_others(&self, other: &Ledger, cutoff: UnixSeconds) -> bool {
        self.known.iter().any(|(sequence, known)| {
            let same = other.known.get(sequence);
            let same = same.is_some_and(|same| same.message.code == known.message.code);
            known.gone.is_none() && !same && known.message.created >= cutoff
        })
    }

    /// Those that consumers are to get.
    pub(crate) fn waiting(&self) -> Vec<impl std::fmt::Debug + '_> {
        self.known.values().filter(|known| known.waits()).collect()
    }

    /// One of them.
    pub(crate) fn some_waiting(&self) -> Option<Message> {
        let waits = self.known.values().find(|known| known.waits())?;
        Some(waits.message.clone())
    }

    // ---- what must hold

    /// Everything that a running store says is what is known.
    pub(crate) fn check(&mut self, store: &dyn Storage) {
        self.checks += 1;
        let found = content(store);
        let mut expected = self.known.iter().filter(|(_, known)| known.gone.is_none());
        let mut by_sequence: Vec<&Message> = found.messages.iter().collect();
        by_sequence.sort_by_key(|message| message.sequence);
        let unsure = self.unsure();
        let mut seen = BTreeSet::new();
        for message in by_sequence {
            seen.insert(message.sequence.0);
            let known = self.known.get(&message.sequence.0);
            let known = known.unwrap_or_else(|| panic!("listed and not stored: {message:?}"));
            known.same_bytes(message);
            let gone = known.gone.is_some_and(|gone| gone != Gone::Perhaps);
            assert!(!gone, "listed and gone: {known:?}");
            let status = message.status.kind();
            let as_known = status == known.status() || unsure.contains(&message.sequence.0);
            assert!(as_known, "is {status:?}: {known:?}");
        }
        let missing = expected.find(|(sequence, _)| !seen.contains(*sequence));
        assert!(missing.is_none(), "lost: {:?}", missing.unwrap().1);
        check_counts(&found, store);
        self.check_growth(&found);
    }

    /// Messages whose status a change that was not answered may have.
    fn unsure(&self) -> BTreeSet<u64> {
        let open = self.carried.iter().chain(self.asked.values());
        let sequences = open.flat_map(|(_, sequences)| sequences.iter());
        sequences.map(|sequence| sequence.0).collect()
    }

    fn check_growth(&self, found: &Content) {
        let mut growth = BTreeMap::new();
        for known in self.known.values() {
            *growth.entry(day_of(known.message.created)).or_insert(0) += 1;
        }
        let expected: Vec<_> = growth.into_iter().collect();
        assert_eq!(found.growth, expected, "growth");
    }

    /// What a store that was opened again says, and nothing else, is known from now on.
    pub(crate) fn recovered(&mut self, store: &dyn Storage, end: End) {
        let found = content(store);
        let mut perhaps = std::mem::take(&mut self.carried);
        perhaps.append(&mut self.refused);
        perhaps.extend(std::mem::take(&mut self.asked).into_values());
        let mut present = BTreeMap::new();
        for message in &found.messages {
            let sequence = message.sequence.0;
            assert!(present.insert(sequence, message).is_none(), "listed twice");
            if !self.known.contains_key(&sequence) {
                assert_ne!(end, End::Closed, "not answered and stored: {message:?}");
                let stored = self.times.stored_sometime();
                self.take_in(message, stored, message.status.kind());
            }
        }
        for (sequence, known) in &mut self.known {
            match present.get(sequence) {
                Some(message) => known.recovered(message, &perhaps, end),
                None => assert!(known.gone.is_some(), "lost: {known:?}"),
            }
            if known.gone.is_some() && !present.contains_key(sequence) {
                // It must not come back.
                known.gone = Some(match known.gone {
                    Some(Gone::Deleted) => Gone::Deleted,
                    _ => Gone::Expired,
                });
            }
        }
        check_counts(&found, store);
        self.check_growth(&found);
    }
}

impl Known {
    fn waits(&self) -> bool {
        self.gone.is_none() && self.status() != StatusKind::Consumed
    }

    fn perhaps_gone(&mut self) {
        self.gone = self.gone.or(Some(Gone::Perhaps));
    }

    fn same_bytes(&self, message: &Message) {
        let stored = &self.message;
        assert_eq!(message.code, stored.code);
        assert_eq!(message.data, stored.data);
        assert_eq!(message.topic, stored.topic);
        assert_eq!(message.created, stored.created);
    }

    fn recovered(&mut self, message: &Message, perhaps: &[(Change, SequenceSet)], end: End) {
        self.same_bytes(message);
        match (self.gone, end) {
            (Some(Gone::Deleted), _) => panic!("came back: {self:?}"),
            (Some(Gone::Expired), End::Closed | End::Killed) => panic!("came back: {self:?}"),
            _ => self.gone = None,
        }
        let from = match end {
            End::Closed => self.history.len() - 1,
            End::Killed => self.written,
            End::PowerCut => self.synced,
        };
        let mut may_be: Vec<StatusKind> = self.history[from..].to_vec();
        for (change, sequences) in perhaps {
            let to = match change {
                Change::Requeued => StatusKind::Accepted,
                Change::NotConsumed => StatusKind::NotConsumed,
                Change::Consumed { .. } => StatusKind::Consumed,
                Change::Deleted => continue,
            };
            let concerned = sequences.iter().any(|s| s == message.sequence);
            if concerned && may_be.iter().any(|from| from.may_become(to)) {
                may_be.push(to);
            }
        }
        let status = message.status.kind();
        assert!(
            may_be.contains(&status),
            "came back as {status:?}: {self:?}"
        );
        self.history = vec![status];
        (self.synced, self.written) = (0, 0);
        self.deliveries = 0;
        self.requeued = 0;
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known")
            .field("sequence", &self.message.sequence.0)
            .field("topic", &self.message.topic)
            .field("created", &self.message.created.0)
            .field("stored", &self.stored)
            .field("bytes", &self.message.data.len())
            .field("history", &self.history)
            .field("synced", &self.synced)
            .field("written", &self.written)
            .field("gone", &self.gone)
            .field("deliveries", &self.deliveries)
            .field("pushed", &self.pushed)
            .field("requeued", &self.requeued)
            .field("withdrawn", &self.withdrawn)
            .finish()
    }
}

/// Whether a message is dated on a day behind tomorrow.
fn is_ahead(created: UnixSeconds, now: UnixSeconds) -> bool {
    day_of(created).0 > day_of(now).0 + 1
}

/// Counts, of all messages and of each topic, are those of the list.
fn check_counts(found: &Content, store: &dyn Storage) {
    let mut topics: BTreeMap<&Topic, [u64; 3]> = BTreeMap::new();
    let mut all = [0; 3];
    for message in &found.messages {
        let at = StatusKind::ALL
            .iter()
            .position(|kind| *kind == message.status.kind())
            .unwrap();
        all[at] += 1;
        topics.entry(&message.topic).or_default()[at] += 1;
    }
    let counts = found.counts;
    assert_eq!(
        [counts.accepted, counts.not_consumed, counts.consumed],
        all,
        "counts and list"
    );
    let told = store.topics();
    assert_eq!(told.len(), topics.len(), "topics");
    for topic in told {
        let counts = topic.counts;
        let listed = topics[&topic.topic];
        let counted = [counts.accepted, counts.not_consumed, counts.consumed];
        assert_eq!(counted, listed, "{}", topic.topic);
    }
}

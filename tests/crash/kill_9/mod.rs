//! The server dies again and again, at random moments under random load, and goes on with what
//! it had: nothing that was answered, pushed or listed may be lost or change.
//!
//! It is killed with SIGKILL at any time; or exactly at an operation on a file, so that also the
//! rare moments come often; or with it the power of its disk is cut, and it finds what a disk
//! with a volatile cache would have ([`volatile`]).
//!
//! Every choice but the machine's timing comes from one seed, which is printed; `DPMQ_SEED`
//! repeats it. `DPMQ_KILL_ROUNDS` and `DPMQ_POWER_ROUNDS` set how many lives end each way.

mod ledger;
mod load;
mod moments;
mod random;
mod tally;
mod victim;
mod volatile;

use std::time::Duration;

use crate::common::{Setup, files_with, fixture};
use random::Random;
use tally::Tally;
use victim::{Death, Victim};

/// Rounds where the environment does not say how many; a quarter of them go to each of the
/// smaller tests.
const KILL_ROUNDS: usize = 8;
const POWER_ROUNDS: usize = 4;
/// Rounds after which a new server begins, so that lists stay short.
const EPOCH_ROUNDS: usize = 25;

fn rounds(death: Death) -> usize {
    let (name, few) = match death {
        Death::Kill | Death::KillAt => ("DPMQ_KILL_ROUNDS", KILL_ROUNDS),
        Death::PowerCut => ("DPMQ_POWER_ROUNDS", POWER_ROUNDS),
    };
    let rounds = std::env::var(name).ok();
    rounds.map_or(few, |rounds| rounds.parse().expect("a number of rounds"))
}

/// Lives under load that end at any time.
async fn lives(test: &str, death: Death) {
    let mut random = Random::of_this_run(test);
    let mut tally = Tally::default();
    let mut left = rounds(death);
    while left > 0 {
        let rounds = left.min(EPOCH_ROUNDS);
        left -= rounds;
        let setup = Setup::new().set("isClean", 0);
        let mut victim = Victim::new(setup, death, &mut random);
        victim.tally = tally;
        victim.rounds(rounds, &mut random).await;
        victim.end(&mut random).await;
        tally = victim.tally;
    }
    tally.say(test);
}

/// Starts and lives that end at each of the moments in turn.
async fn moments(test: &str, death: Death) {
    let mut random = Random::of_this_run(test);
    let mut tally = Tally::default();
    let all = || moments::STARTING.iter().chain(moments::LIVING);
    let turns = (rounds(death) / 2).div_ceil(all().count()).max(1);
    for turn in 0..turns {
        let setup = Setup::new().set("isClean", 0);
        let mut victim = Victim::new(setup, death, &mut random);
        victim.tally = tally;
        victim.rounds(1, &mut random).await;
        for moment in all() {
            let when = format!("{}, turn {turn}", moment.name);
            victim.die_at(moment, &mut random).await;
            victim.start(&mut random).await;
            victim.check(&mut random, &when).await;
            victim.kill(&mut random).await;
        }
        victim.end(&mut random).await;
        tally = victim.tally;
    }
    tally.say(test);
    tally.assert_hit(all());
}

/// Imports that are cut off.
async fn imports(test: &str, death: Death) {
    let mut random = Random::of_this_run(test);
    let file = fixture("go-data-206");
    let still = || Setup::new().set("isClean", 0).set("isRePush", 0);
    let reference = still().file("data", &file).start().await;
    let imported = reference.all().await;
    assert_eq!(imported.len(), 206);
    let mut tally = Tally::default();
    for _ in 0..(rounds(death) / 4).max(1) {
        let setup = Setup::new().set("isClean", 0).file("data", &file);
        let mut victim = Victim::new(setup, death, &mut random);
        victim.imported = imported.clone();
        victim.tally = tally;
        victim.die_starting(&moments::IMPORTING, &mut random).await;
        for _ in 0..random.between(0, 4) {
            let time = random.millis(5, 120);
            victim.start_and_die(time, &mut random).await;
        }
        victim.start(&mut random).await;
        victim.check(&mut random, "after the import").await;
        let kept = files_with(victim.dir(), &file);
        assert_eq!(kept.len(), 1, "the original's file is kept as {kept:?}");
        victim.live(&mut random, Duration::from_millis(100)).await;
        victim.end(&mut random).await;
        tally = victim.tally;
    }
    tally.say(test);
    tally.assert_hit([&moments::IMPORTING]);
}

/// Messages expire in lives that end at any time, and while they expire.
async fn expiry(test: &str, death: Death) {
    const SECONDS: i64 = 2;
    let mut random = Random::of_this_run(test);
    let setup = Setup::new().set("isClean", 1).set("cleanTime", SECONDS);
    let mut victim = Victim::new(setup, death, &mut random);
    victim.expires = Some(SECONDS);
    for round in 0..(rounds(death) / 4).max(1) {
        let when = format!("after {round} rounds");
        victim.settings(&mut random);
        victim.without_mirror = random.one_in(5);
        victim.start(&mut random).await;
        victim.check(&mut random, &when).await;
        // Long enough that some, all or none of it has expired at the end.
        let time = random.millis(100, 4000);
        victim.live(&mut random, time).await;
        victim.ledger.assert_no_fault(&when);
        let moment = &moments::EXPIRING[round % moments::EXPIRING.len()];
        victim.die_expiring(moment, SECONDS, &mut random).await;
    }
    victim.server.set("checkSpeed", 0.1);
    victim.start(&mut random).await;
    victim.check(&mut random, "at the last start").await;
    let emptied = async || victim.server.count().await[0] == 0;
    crate::common::eventually("everything has expired", emptied).await;
    victim.kill(&mut random).await;
    victim.start(&mut random).await;
    assert_eq!(victim.server.count().await, [0; 4]);
    victim.check(&mut random, "with everything expired").await;
    victim.tally.answers = victim.ledger.answers();
    victim.tally.say(test);
    victim
        .tally
        .assert_hit(moments::EXPIRING.iter().take(rounds(death) / 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_is_lost_or_changed() {
    lives("nothing_answered_is_lost_or_changed", Death::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_nothing_answered() {
    lives("a_power_cut_loses_nothing_answered", Death::PowerCut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lying_disk_loses_is_seen() {
    let mut random = Random::of_this_run("what_a_lying_disk_loses_is_seen");
    let setup = Setup::new().set("isClean", 0);
    let mut victim = Victim::new(setup, Death::PowerCut, &mut random);
    let mut cuts = 0;
    // Now and then a power cut takes nothing.
    while !victim.is_seen_to_lose(&mut random).await {
        cuts += 1;
        assert!(cuts < 20, "syncs that do nothing, and nothing is lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_moment_is_wrong_for_a_kill() {
    moments("no_moment_is_wrong_for_a_kill", Death::KillAt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_moment_is_wrong_for_a_power_cut() {
    moments("no_moment_is_wrong_for_a_power_cut", Death::PowerCut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_is_done_at_the_next_start() {
    let test = "an_import_that_is_killed_is_done_at_the_next_start";
    imports(test, Death::KillAt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_a_power_cut_ends_is_done_at_the_next_start() {
    let test = "an_import_that_a_power_cut_ends_is_done_at_the_next_start";
    imports(test, Death::PowerCut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_while_it_is_killed_is_gone_and_nothing_else() {
    let test = "what_expires_while_it_is_killed_is_gone_and_nothing_else";
    expiry(test, Death::KillAt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_before_a_power_cut_is_gone_and_nothing_else() {
    let test = "what_expires_before_a_power_cut_is_gone_and_nothing_else";
    expiry(test, Death::PowerCut).await;
}

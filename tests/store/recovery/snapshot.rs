//! The snapshot: it heals the log, restores the store, and may be of another one.

use super::*;

#[test]
fn a_log_that_lost_bytes_is_healed_from_the_snapshot() {
    let place = Place::new();
    let store = place.filled("a");
    append_many(&store, "t", 5);
    let expected = content(&store);
    drop(store);
    type Lose = (&'static str, fn(&Path));
    let lose: [Lose; 6] = [
        ("end", |dir| {
            let newest = segments(dir).pop().unwrap();
            cut_newest(dir, written_len(&newest) - 30);
        }),
        ("nearly all", |dir| drop(cut_newest(dir, 10))),
        ("newest", |dir| {
            fs::remove_file(segments(dir).pop().unwrap()).unwrap()
        }),
        ("middle", |dir| fs::remove_file(&segments(dir)[1]).unwrap()),
        ("oldest", |dir| fs::remove_file(&segments(dir)[0]).unwrap()),
        ("all but the middle", |dir| {
            for (number, file) in segments(dir).iter().enumerate() {
                if number != 1 {
                    fs::remove_file(file).unwrap();
                }
            }
        }),
    ];
    for (name, lose) in lose {
        for with_mirror in [true, false] {
            if !with_mirror && ["oldest", "all but the middle"].contains(&name) {
                // Nobody knows that they were not given back.
                continue;
            }
            let name = format!("{name} {with_mirror}");
            crash_copy(&place.dir("a"), &place.dir(&name));
            lose(&place.dir(&name));
            if !with_mirror {
                fs::remove_dir_all(place.dir(&name).join("data.db/sled")).unwrap();
            }
            let (store, recovered) = place.open(&name);
            assert_eq!(content(&store), expected, "{name}");
            assert!(!recovered.healed.is_empty(), "{name}");
            assert_eq!(recovered.damage, NO_DAMAGE, "{name}");
            append_many(&store, "t", 100);
            let expected = content(&store);
            drop(store);
            let (store, recovered) = place.open(&name);
            assert_eq!(content(&store), expected, "{name}");
            assert_eq!((recovered.damage.len(), recovered.healed.len()), (0, 0));
            drop(store);
            fs::remove_dir_all(place.dir(&name).join("data.db")).unwrap();
            let (store, _) = place.open(&name);
            assert_eq!(content(&store), expected, "{name} restored");
        }
    }
}

/// What a power cut took from the log and the snapshot could not give back is in a file that is
/// not written over, and what is appended then is never mistaken for it.
#[test]
fn a_snapshot_with_more_than_the_log_is_kept() {
    let place = Place::new();
    let store = place.filled("a");
    let len = written_len(&segments(&place.dir("a")).pop().unwrap());
    append_many(&store, "t", 300);
    drop(store);
    // The last chunk, which the end of the log would be taken from, is damaged and the one
    // behind it is whole.
    let (store, _) = place.open("a");
    append_many(&store, "t", 7);
    let lost = content(&store);
    drop(store);
    let chunk = |bytes: &[u8]| {
        let magics = bytes.windows(4).enumerate();
        magics
            .filter(|(_, m)| *m == b"CHNK")
            .map(|(at, _)| at)
            .collect::<Vec<_>>()
    };
    let snapshot = place.dir("a/data");
    let mut bytes = fs::read(&snapshot).unwrap();
    let chunks = chunk(&bytes);
    let damaged = chunks[chunks.len() - 2] + 60;
    bytes[damaged] ^= 1;
    fs::write(&snapshot, &bytes).unwrap();
    cut_newest(&place.dir("a"), len);
    fs::remove_dir_all(place.dir("a/data.db/sled")).unwrap();
    let (store, recovered) = place.open("a");
    assert!(!recovered.damage.is_empty());
    let kept = content(&store);
    assert!(kept.messages.len() < lost.messages.len());
    append_many(&store, "u", 400);
    let expected = content(&store);
    drop(store);
    let (store, _) = place.open("a");
    assert_eq!(content(&store), expected);
    drop(store);
    fs::remove_dir_all(place.dir("a/data.db")).unwrap();
    let (store, _) = place.open("a");
    assert_eq!(content(&store), expected);
}

/// Two histories of one store have the same places with other bytes: of a folder that was put
/// back to an earlier day, say, and the snapshot of the day after.
#[test]
fn the_snapshot_of_another_history_of_the_store_is_not_used() {
    let in_one_segment = [(3, 300), (300, 3), (40, 41), (40, 40)];
    let in_several = [(100, 16_000), (16_000, 100), (6_000, 6_000)];
    for (mine, other) in in_one_segment.into_iter().chain(in_several) {
        let place = Place::new();
        let store = place.filled("a");
        store.close().unwrap();
        drop(store);
        crash_copy(&place.dir("a"), &place.dir("b"));
        let (store, _) = place.open("a");
        append_many(&store, "other", other);
        drop(store);
        let (store, _) = place.open("b");
        append_many(&store, "mine", mine);
        let expected = content(&store);
        drop(store);
        fs::copy(place.dir("a/data"), place.dir("b/data")).unwrap();
        let backup = fs::read(place.dir("a/data")).unwrap();
        let (store, recovered) = place.open("b");
        assert_eq!(recovered.damage, NO_DAMAGE, "{mine} {other}");
        assert_eq!(recovered.healed, NO_DAMAGE, "{mine} {other}");
        same(&list_all(&store), &expected.messages);
        append_many(&store, "mine", 10);
        let expected = content(&store);
        drop(store);
        let kept = fs::read(place.dir("b/data.other"));
        assert!(kept.is_ok_and(|kept| kept == backup), "{mine} {other}");
        let (store, recovered) = place.open("b");
        assert_eq!(content(&store), expected);
        assert_eq!(recovered.damage, NO_DAMAGE);
        drop(store);
        fs::remove_dir_all(place.dir("b/data.db")).unwrap();
        let (store, _) = place.open("b");
        assert_eq!(content(&store), expected, "{mine} {other}");
    }
}

#[test]
fn without_its_folder_the_store_is_restored_from_the_snapshot() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    drop(store);
    fs::remove_dir_all(place.dir("a/data.db")).unwrap();
    let recovered = reopens_as(&place, "a", &expected);
    assert_eq!(recovered.origin, Origin::Snapshot);
    assert_eq!(recovered.damage, NO_DAMAGE);
    assert_eq!(recovered.torn_bytes, 0);
}

#[test]
fn a_restore_that_was_cut_off_is_begun_again() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    drop(store);
    for (n, left) in ["log.restoring/0000000001.seg", "log.restoring/junk"]
        .into_iter()
        .enumerate()
    {
        let name = format!("copy{n}");
        let db = place.dir(&name).join("data.db");
        fs::create_dir_all(db.join("log.restoring")).unwrap();
        fs::create_dir_all(db.join("log")).unwrap();
        fs::write(db.join(left), b"DPMQSEG").unwrap();
        fs::copy(place.dir("a/data"), place.dir(&name).join("data")).unwrap();
        reopens_as(&place, &name, &expected);
    }
    // The old folder is gone, and the new one does not have its name yet.
    fs::create_dir_all(place.dir("between/data.db/log.restoring")).unwrap();
    fs::copy(
        place.dir("a/data.db/format"),
        place.dir("between/data.db/format"),
    )
    .unwrap();
    fs::copy(place.dir("a/data"), place.dir("between/data")).unwrap();
    reopens_as(&place, "between", &expected);
}

#[test]
fn a_snapshot_copied_at_any_time_is_a_part_of_history() {
    let place = Place::new();
    let options = Options {
        snapshot_every: Duration::from_millis(5),
        ..place.options("a")
    };
    let (store, _) = open(&options);
    // (next sequence, content) after each step.
    let mut history = vec![content(&store)];
    let mut copies = vec![];
    for n in 0..60_u64 {
        append_many(&store, "t", 30);
        history.push(content(&store));
        change(
            &store,
            Change::Consumed { at: time(1) },
            n * 20..n * 20 + 25,
        );
        history.push(content(&store));
        std::thread::sleep(Duration::from_millis(2));
        if n % 5 == 0 && place.dir("a/data").exists() {
            let copy = place.dir(&format!("copy{n}"));
            fs::create_dir(&copy).unwrap();
            fs::copy(place.dir("a/data"), copy.join("data")).unwrap();
            copies.push(format!("copy{n}"));
        }
    }
    assert!(copies.len() > 5);
    for copy in copies {
        let (store, recovered) = place.open(&copy);
        assert_eq!(recovered.damage, NO_DAMAGE);
        let restored = content(&store);
        assert!(history.contains(&restored), "{copy} at {}", restored.next);
    }
}

#[test]
fn a_snapshot_cut_at_any_byte_is_a_part_of_history() {
    let place = Place::new();
    let options = place.options("a");
    let mut history = vec![];
    for n in 0..3 {
        let (store, _) = open(&options);
        history.push(content(&store));
        append_many(&store, "t", 3);
        history.push(content(&store));
        change(&store, Change::NotConsumed, [n * 3 + 1]);
        history.push(content(&store));
    }
    let whole = fs::read(place.dir("a/data")).unwrap();
    for len in (16..whole.len()).step_by(13) {
        let name = format!("cut{len}");
        fs::create_dir(place.dir(&name)).unwrap();
        fs::write(place.dir(&name).join("data"), &whole[..len]).unwrap();
        let (store, recovered) = place.open(&name);
        assert_eq!(recovered.damage, NO_DAMAGE, "{len}");
        assert!(history.contains(&content(&store)), "{len}");
        store.close().unwrap();
        drop(store);
        fs::remove_dir_all(place.dir(&name)).unwrap();
    }
}

#[test]
fn a_damaged_snapshot_gives_back_all_but_what_is_damaged() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    drop(store);
    let whole = fs::read(place.dir("a/data")).unwrap();
    let mut random = Random::new(5);
    for n in 0..40 {
        let name = format!("flip{n}");
        let at = if n < 20 {
            16 + n
        } else {
            usize::try_from(random.between(16, whole.len() as u64 - 1)).unwrap()
        };
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::create_dir(place.dir(&name)).unwrap();
        fs::write(place.dir(&name).join("data"), bytes).unwrap();
        let (store, recovered) = place.open(&name);
        let kept = list_all(&store);
        println!(
            "{at}: {} of {}; {:?}",
            kept.len(),
            expected.messages.len(),
            recovered.damage
        );
        assert!(
            !recovered.damage.is_empty() || recovered.torn_bytes > 0,
            "{at}"
        );
        // At most a frame is lost, with its messages or their changes; the last chunk's head
        // tells how much of it is there.
        assert!(kept.len() + 300 >= expected.messages.len(), "{at}");
        let codes: HashSet<MessageCode> = expected.messages.iter().map(|m| m.code).collect();
        let known = kept.iter().filter(|m| codes.contains(&m.code)).count();
        assert!(kept.len() - known <= 3, "{at}: deleted ones may be back");
    }
}

#[test]
fn the_snapshot_gets_smaller_when_messages_expire() {
    let place = Place::new();
    let options = Options {
        segment_bytes: 1 << 20,
        snapshot_every: Duration::from_millis(20),
        ..place.options("a")
    };
    let (store, _) = open(&options);
    let long = "x".repeat(100 << 10);
    for second in 0..50 {
        place.clock.set(time(second));
        append(&store, "t", &[&long, &long, &long, &long]);
    }
    let until = std::time::Instant::now() + Duration::from_secs(20);
    let wait_for = |what: &dyn Fn() -> bool| {
        while !what() {
            assert!(std::time::Instant::now() < until);
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for(&|| bytes_of(&place.dir("a/data")) > 19 << 20);
    assert_eq!(store.expire(time(48)).unwrap().all(), 4 * 48);
    wait_for(&|| bytes_of(&place.dir("a/data")) < 3 << 20);
    let expected = content(&store);
    drop(store);
    assert!(bytes_of(&place.dir("a")) < 10 << 20);
    fs::remove_dir_all(place.dir("a/data.db")).unwrap();
    reopens_as(&place, "a", &expected);
}

#[test]
fn a_snapshot_that_was_late_has_no_hole() {
    let place = Place::new();
    let (store, _) = place.open("a");
    append_many(&store, "t", 300);
    drop(store);
    // The snapshot knows the beginning; then segments come and go before it looks again.
    let (store, _) = place.open("a");
    for second in 0..30 {
        place.clock.set(time(second));
        append_many(&store, "t", 200);
    }
    store.expire(time(29)).unwrap();
    append_many(&store, "t", 10);
    let expected = content(&store);
    drop(store);
    fs::remove_dir_all(place.dir("a/data.db")).unwrap();
    let recovered = reopens_as(&place, "a", &expected);
    assert_eq!(recovered.damage, NO_DAMAGE);
}

#[test]
fn the_snapshot_of_another_store_is_put_aside() {
    let place = Place::new();
    drop(place.filled("a"));
    place.clock.set(NOON);
    drop(place.filled("b"));
    let backup = fs::read(place.dir("b/data")).unwrap();
    fs::write(place.dir("a/data"), &backup).unwrap();
    let (store, _) = place.open("a");
    let expected = content(&store);
    drop(store);
    assert_eq!(fs::read(place.dir("a/data.other")).unwrap(), backup);
    fs::remove_dir_all(place.dir("a/data.db")).unwrap();
    reopens_as(&place, "a", &expected);
    assert_eq!(fs::read_dir(place.dir("a")).unwrap().count(), 4);
}

//! The log: torn ends, damage, segments that are given back.

use super::*;

#[test]
fn a_torn_tail_is_cut_wherever_it_was_torn() {
    let place = Place::new();
    let (store, _) = place.open("a");
    append_many(&store, "t", 10);
    let newest = segments(&place.dir("a")).pop().unwrap();
    let len = || usize::try_from(written_len(&newest)).unwrap();
    // The mirror lags the steps: what it has was synced, and would be missed.
    crash_copy(&place.dir("a"), &place.dir("before"));
    // (length of the log, content) after each frame.
    let mut steps = vec![(len(), content(&store))];
    append(&store, "t", &["one", "two"]);
    steps.push((len(), content(&store)));
    change(&store, Change::Consumed { at: time(3) }, 3..6);
    steps.push((len(), content(&store)));
    append(&store, "u", &["three"]);
    steps.push((len(), content(&store)));
    crash_copy(&place.dir("a"), &place.dir("whole"));
    fs::remove_dir_all(place.dir("whole/data.db/sled")).unwrap();
    copy_dir(
        &place.dir("before/data.db/sled"),
        &place.dir("whole/data.db/sled"),
    );
    let with_room = fs::read(&newest).unwrap();
    let whole = written(with_room.clone());
    assert!(with_room.len() > whole.len());
    for with_mirror in [true, false] {
        let step = if with_mirror { 5 } else { 1 };
        for cut in (steps[0].0..=whole.len()).rev().step_by(step) {
            let name = format!("cut{cut}{with_mirror}");
            crash_copy(&place.dir("whole"), &place.dir(&name));
            if !with_mirror {
                fs::remove_dir_all(place.dir(&name).join("data.db/sled")).unwrap();
            }
            let segment = segments(&place.dir(&name)).pop().unwrap();
            let mut torn = whole[..cut].to_vec();
            if cut % 2 == 0 {
                torn.resize(with_room.len(), 0);
            }
            fs::write(&segment, &torn).unwrap();
            let (store, recovered) = place.open(&name);
            let (end, expected) = steps
                .iter()
                .rfind(|(end, _)| torn.starts_with(&whole[..*end]))
                .unwrap();
            assert_eq!(&content(&store), expected, "{cut}");
            let torn_to = torn.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            let torn_bytes = torn_to.saturating_sub(*end);
            assert_eq!(recovered.torn_bytes, torn_bytes as u64, "{cut}");
            assert_eq!(recovered.damage, NO_DAMAGE);
            if cut % 4 != 0 {
                continue;
            }
            // It goes on from there.
            append(&store, "t", &["after"]);
            let expected = content(&store);
            drop(store);
            let (store, recovered) = place.open(&name);
            assert_eq!(content(&store), expected);
            assert_eq!((recovered.torn_bytes, recovered.damage.len()), (0, 0));
            drop(store);
            fs::remove_dir_all(place.dir(&name)).unwrap();
        }
    }
}

#[test]
fn a_segment_torn_while_it_was_begun_is_begun_again() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    store.close().unwrap();
    let last = segments(&place.dir("a")).pop().unwrap();
    let head = fs::read(&last).unwrap()[..60].to_vec();
    let number: u32 = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    for len in [0, 1, 15, 16, 17, 30, 45, 60] {
        let name = format!("torn{len}");
        crash_copy(&place.dir("a"), &place.dir(&name));
        let mut head = head[..len].to_vec();
        if len >= 16 {
            head[12..16].copy_from_slice(&(number + 1).to_le_bytes());
        }
        let path = place
            .dir(&name)
            .join(format!("data.db/log/{:010}.seg", number + 1));
        fs::write(&path, head).unwrap();
        {
            let (store, recovered) = place.open(&name);
            assert_eq!(content(&store), expected);
            assert_eq!(recovered.damage, NO_DAMAGE, "{len}");
            append_many(&store, "t", 3);
            // When all is expired and given back, the base must still tell what was.
            place.clock.set(time(100));
            store.expire(time(99)).unwrap();
            append_many(&store, "t", 2);
            append_many(&store, "t", 1000);
        }
        let (store, _) = place.open(&name);
        let kept = content(&store);
        drop(store);
        fs::remove_dir_all(place.dir(&name).join("data.db/sled")).unwrap();
        let (store, _) = place.open(&name);
        assert_eq!(content(&store).growth, kept.growth, "{len}");
        assert_eq!(content(&store), kept, "{len}");
        drop(store);
        fs::remove_dir_all(place.dir(&name)).unwrap();
        place.clock.set(NOON);
    }
}

#[test]
fn damage_in_the_log_costs_only_what_is_damaged() {
    let place = Place::new();
    let (store, _) = place.open("a");
    let mut all = vec![];
    for n in 0..100 {
        let long = format!("a message {n} ").repeat(20);
        all.extend(append(&store, "t", &[&long, &long]));
    }
    store.close().unwrap();
    drop(store);
    let files = segments(&place.dir("a"));
    let at_16 = fs::read(&files[0])
        .unwrap()
        .windows(4)
        .skip(17)
        .position(|w| w == b"DMQ\x01")
        .unwrap()
        + 17;
    let mut random = Random::new(3);
    for n in 0..30 {
        let file = &files[usize::try_from(random.between(0, files.len() as u64 - 2)).unwrap()];
        let len = written_len(file);
        let at = random.between(at_16 as u64, len - 1);
        for with_mirror in [true, false] {
            let name = format!("flip{n}{with_mirror}");
            crash_copy(&place.dir("a"), &place.dir(&name));
            fs::remove_file(place.dir(&name).join("data")).unwrap();
            let path = place
                .dir(&name)
                .join("data.db/log")
                .join(file.file_name().unwrap());
            let mut bytes = fs::read(&path).unwrap();
            bytes[usize::try_from(at).unwrap()] ^= 4;
            fs::write(&path, bytes).unwrap();
            if !with_mirror {
                fs::remove_dir_all(place.dir(&name).join("data.db/sled")).unwrap();
            }
            let (store, recovered) = place.open(&name);
            let listed = list_all(&store);
            assert_eq!(listed.len(), 198, "{at} of {}", path.display());
            let codes: HashSet<_> = all.iter().copied().collect();
            assert!(listed.iter().all(|m| codes.contains(&m.code)));
            same(&scan(&store, &scan_of(StatusKind::Accepted)), &{
                let mut oldest_first = listed.clone();
                oldest_first.reverse();
                oldest_first
            });
            assert!(recovered.damage[0].contains(&path.display().to_string()));
            // The mirror tells of messages, and the scrub which of them cannot be read.
            let counted = if with_mirror { 200 } else { 198 };
            assert_eq!(store.counts().all(), counted);
            assert_eq!(store.next_sequence(), Sequence(201));
            // Life goes on, also with expiry over the damage.
            append_many(&store, "t", 3);
            place.clock.set(time(500));
            store.expire(time(500)).unwrap();
            assert_eq!(list_all(&store), []);
            assert_eq!(store.counts().all(), 0);
            place.clock.set(NOON);
        }
    }
}

/// A list is bounded by bytes, and one that cannot be read is in no list.
#[test]
fn large_messages_that_are_damaged_do_not_keep_a_list_from_its_end() {
    let place = Place::new();
    let (store, _) = place.open("a");
    let sizes = [70_000, 66_000, 90_000, 80_000];
    for (number, bytes) in sizes.iter().enumerate() {
        let data = char::from(b'a' + u8::try_from(number).unwrap()).to_string();
        append(&store, "t", &[&data.repeat(*bytes)]);
    }
    store.close().unwrap();
    drop(store);
    fs::remove_file(place.dir("a").join("data")).unwrap();
    // The newest and the one before the oldest.
    for letter in [b'd', b'b'] {
        for file in segments(&place.dir("a")) {
            let mut bytes = fs::read(&file).unwrap();
            let run = bytes.windows(100).position(|run| *run == [letter; 100]);
            if let Some(at) = run {
                bytes[at] ^= 1;
                fs::write(&file, bytes).unwrap();
            }
        }
    }
    let (store, recovered) = place.open("a");
    assert!(!recovered.damage.is_empty());
    let listed = list_all(&store);
    let lengths: Vec<usize> = listed.iter().map(|message| message.data.len()).collect();
    assert_eq!(lengths, [90_000, 70_000]);
}

#[test]
fn a_segment_with_a_damaged_head_is_read_all_the_same() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    drop(store);
    let files = segments(&place.dir("a"));
    for file in [0, 1, files.len() - 1] {
        for at in [0, 9, 13] {
            let name = format!("flip{file}at{at}");
            crash_copy(&place.dir("a"), &place.dir(&name));
            fs::remove_dir_all(place.dir(&name).join("data.db/sled")).unwrap();
            fs::remove_file(place.dir(&name).join("data")).unwrap();
            let path = &segments(&place.dir(&name))[file];
            let mut bytes = fs::read(path).unwrap();
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
            let (store, recovered) = place.open(&name);
            assert_eq!(content(&store), expected);
            assert_eq!(recovered.damage, NO_DAMAGE);
            assert!(recovered.healed[0].contains("from byte 0 to 16"));
        }
    }
}

#[test]
fn segments_of_deleted_messages_are_given_back() {
    let place = Place::new();
    let (store, _) = place.open("a");
    let dir = place.dir("a");
    for second in 0..40 {
        place.clock.set(time(second));
        append_many(&store, "t", 200);
        change(
            &store,
            Change::Consumed { at: time(second) },
            (1..8000).step_by(3),
        );
    }
    let growth = store.growth();
    let files = segments(&dir).len();
    let bytes = bytes_of(&dir.join("data.db/log"));
    assert!(files > 5, "{files}");
    assert_eq!(store.expire(time(35)).unwrap().all(), 35 * 200);
    append_many(&store, "t", 1);
    let expected = content(&store);
    assert_eq!(expected.messages.len(), 1001);
    store.close().unwrap();
    drop(store);
    assert!(segments(&dir).len() < files / 2);
    assert!(bytes_of(&dir.join("data.db/log")) < bytes / 2);
    // Growth and sequences live on without the mirror, and in the snapshot.
    let lose: [fn(&Path); 2] = [
        |dir| fs::remove_dir_all(dir.join("data.db/sled")).unwrap(),
        |dir| fs::remove_dir_all(dir.join("data.db")).unwrap(),
    ];
    for lose in lose {
        lose(&dir);
        reopens_as(&place, "a", &expected);
    }
    let (store, _) = place.open("a");
    assert_eq!(store.growth(), [(growth[0].0, growth[0].1 + 1)]);
    store.expire(time(1000)).unwrap();
    place.clock.set(time(1000));
    append_many(&store, "t", 1);
    append_many(&store, "t", 1);
    let expected = content(&store);
    drop(store);
    assert_eq!(segments(&dir).len(), 1);
    for lose in lose {
        lose(&dir);
        reopens_as(&place, "a", &expected);
    }
}

//! The mirror: lost, broken, ahead of the log.

use super::*;

#[test]
fn a_lost_or_broken_mirror_is_built_from_the_log() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    store.close().unwrap();
    type Break = (&'static str, fn(&Path));
    let break_it: [Break; 7] = [
        ("gone", |sled| fs::remove_dir_all(sled).unwrap()),
        ("empty folder", |sled| {
            fs::remove_dir_all(sled).unwrap();
            fs::create_dir(sled).unwrap();
        }),
        ("garbage", |sled| {
            let garbage: Vec<u8> = (0..600_000_u32)
                .map(|n| n.to_le_bytes()[0] ^ 0x5a)
                .collect();
            fs::write(sled.join("db"), garbage).unwrap();
        }),
        ("short garbage", |sled| {
            fs::write(sled.join("db"), b"nonsense").unwrap()
        }),
        ("empty", |sled| fs::write(sled.join("db"), b"").unwrap()),
        ("cut", |sled| {
            let db = fs::OpenOptions::new()
                .write(true)
                .open(sled.join("db"))
                .unwrap();
            db.set_len(db.metadata().unwrap().len() / 3).unwrap();
        }),
        ("no configuration", |sled| {
            fs::write(sled.join("conf"), b"x").unwrap()
        }),
    ];
    for (name, break_it) in break_it {
        crash_copy(&place.dir("a"), &place.dir(name));
        break_it(&place.dir(name).join("data.db/sled"));
        let recovered = reopens_as(&place, name, &expected);
        assert!(recovered.damage.is_empty());
        if name != "no configuration" {
            // Of a file that was cut, sled may have kept the beginning.
            let rebuilt = recovered.mirror_rebuilt.is_some();
            assert!(rebuilt || recovered.replayed > 0, "{name}");
        }
    }
}

#[test]
fn flipped_bytes_in_the_mirror_never_change_an_answer() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    store.close().unwrap();
    let mut random = Random::new(1);
    let mut rebuilt = 0;
    for n in 0..40 {
        let name = format!("copy{n}");
        crash_copy(&place.dir("a"), &place.dir(&name));
        let db = place.dir(&name).join("data.db/sled/db");
        let mut bytes = fs::read(&db).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).unwrap() as u64;
        for _ in 0..random.between(1, 3) {
            let at = usize::try_from(random.between(0, used)).unwrap();
            bytes[at] ^= 1 << random.between(0, 7);
        }
        fs::write(&db, bytes).unwrap();
        let (store, recovered) = place.open(&name);
        rebuilt += usize::from(recovered.mirror_rebuilt.is_some());
        same(&list_all(&store), &expected.messages);
        assert_eq!(content(&store), expected);
    }
    println!("{rebuilt} of 40 were rebuilt");
}

#[test]
fn what_the_mirror_knows_and_the_log_has_lost_is_named() {
    let place = Place::new();
    let store = place.filled("a");
    let before = content(&store);
    let newest = segments(&place.dir("a")).pop().unwrap();
    let len = written_len(&newest);
    append_many(&store, "t", 5);
    let lost = content(&store);
    store.close().unwrap();
    for (name, cut) in [("whole", len), ("torn", len + 40)] {
        crash_copy(&place.dir("a"), &place.dir(name));
        fs::remove_file(place.dir(name).join("data")).unwrap();
        let newest = cut_newest(&place.dir(name), cut);
        let expected = Content {
            growth: lost.growth.clone(),
            quarters: lost.quarters.clone(),
            cutoff: lost.cutoff,
            next: lost.next,
            messages: before.messages.clone(),
            counts: before.counts,
            topics: before.topics.clone(),
        };
        let recovered = reopens_as(&place, name, &expected);
        assert_eq!(recovered.mirror_rebuilt, None);
        let text = &recovered.damage[0];
        assert!(text.contains(&newest.display().to_string()), "{text}");
        assert!(
            text.contains("5 messages of the sequences 3001 to 3005"),
            "{text}"
        );
        // What comes next is behind all that was, also for a mirror that is built anew.
        let (store, _) = place.open(name);
        append_many(&store, "t", 3);
        let expected = content(&store);
        drop(store);
        fs::remove_dir_all(place.dir(name).join("data.db/sled")).unwrap();
        fs::remove_file(place.dir(name).join("data")).unwrap();
        let (store, recovered) = place.open(name);
        assert_eq!(content(&store), expected);
        let told = recovered
            .damage
            .iter()
            .any(|text| text.contains("3001 to 3005"));
        assert!(told, "{:?}", recovered.damage);
    }
}

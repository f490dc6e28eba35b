//! Data of the original.

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/import")
        .join(name)
}

#[test]
fn a_file_of_the_original_is_taken_over_once() {
    for name in [
        "go-data-small",
        "go-data-206",
        "go-data-empty",
        "go-data-truncated",
    ] {
        let place = Place::new();
        let dir = place.dir("a");
        fs::create_dir(&dir).unwrap();
        fs::copy(fixture(name), dir.join("data")).unwrap();
        let read = import::read(&fixture(name)).unwrap();
        let (store, recovered) = place.open("a");
        let (imported, kept) = recovered.imported.unwrap();
        assert_eq!(
            (imported.added, imported.present),
            (read.messages.len() as u64, 0)
        );
        assert_eq!(recovered.damage.len(), usize::from(read.damage.is_some()));
        assert_eq!(kept, dir.join("data.original"));
        assert_eq!(fs::read(&kept).unwrap(), fs::read(fixture(name)).unwrap());
        let mut listed = list_all(&store);
        listed.sort_by_key(|m| (m.created, m.code));
        assert_eq!(listed.len(), read.messages.len());
        for (message, original) in listed.iter().zip(&read.messages) {
            assert_eq!(
                (message.code, message.created),
                (original.code, original.created)
            );
            assert_eq!(
                (&message.topic, &message.data),
                (&original.topic, &original.data)
            );
            assert_eq!(message.status, original.status);
        }
        append(&store, "t", &["new"]);
        let expected = content(&store);
        drop(store);
        let recovered = reopens_as(&place, "a", &expected);
        assert_eq!(recovered.imported, None);
        for lost in ["a/data.db/sled", "a/data.db"] {
            fs::remove_dir_all(place.dir(lost)).unwrap();
            reopens_as(&place, "a", &expected);
        }
        // As if the crash had come before the file was put aside.
        fs::rename(dir.join("data.original"), dir.join("data")).unwrap();
        let (store, recovered) = place.open("a");
        assert_eq!(content(&store), expected);
        let (imported, _) = recovered.imported.unwrap();
        assert_eq!(
            (imported.added, imported.present),
            (0, read.messages.len() as u64)
        );
    }
}

#[test]
fn messages_are_imported_into_a_store_that_has_some() {
    let place = Place::new();
    let store = place.filled("a");
    let before = content(&store);
    drop(store);
    let read = || import::read(&fixture("go-data-206")).unwrap().messages;
    let first = DiskStore::import(&place.options("a"), read(), &mut |_| {}).unwrap();
    assert_eq!((first.added, first.present), (206, 0));
    let again = DiskStore::import(&place.options("a"), read(), &mut |_| {}).unwrap();
    assert_eq!((again.added, again.present), (0, 206));
    let (store, _) = place.open("a");
    assert_eq!(store.counts().all(), before.counts.all() + 206);
    let originals = Query {
        to: Some(UnixSeconds(NOON.0 - 1)),
        ..Query::default()
    };
    let newer = Query {
        from: Some(NOON),
        ..Query::default()
    };
    let listed = list(&store, &originals).len() + list(&store, &newer).len();
    assert_eq!(listed as u64, store.counts().all());
    let expected = content(&store);
    drop(store);
    for lost in ["a/data.db/sled", "a/data.db"] {
        fs::remove_dir_all(place.dir(lost)).unwrap();
        reopens_as(&place, "a", &expected);
    }
    let nothing = DiskStore::import(&place.options("a"), vec![], &mut |_| {}).unwrap();
    assert_eq!(nothing, Imported::default());
}

#[test]
fn what_is_imported_before_the_cutoff_expires() {
    let place = Place::new();
    let messages = import::read(&fixture("go-data-206")).unwrap().messages;
    let newest = messages.last().unwrap().created;
    place.clock.set(UnixSeconds(newest.0 + 1000));
    let (store, _) = place.open("a");
    append_many(&store, "t", 5);
    place.clock.set(UnixSeconds(newest.0 + 2000));
    append_many(&store, "t", 5);
    store.expire(UnixSeconds(newest.0 + 1500)).unwrap();
    drop(store);
    DiskStore::import(&place.options("a"), messages, &mut |_| {}).unwrap();
    for _ in 0..2 {
        let (store, _) = place.open("a");
        assert_eq!(store.counts().all(), 211);
        drop(store);
        fs::remove_dir_all(place.dir("a/data.db/sled")).unwrap();
    }
    let (store, _) = place.open("a");
    // The clock was set back: the cutoff asked for is before the present one.
    assert_eq!(store.expire(UnixSeconds(newest.0 + 1)).unwrap().all(), 206);
    assert_eq!(list_all(&store).len(), 5);
    let expected = content(&store);
    drop(store);
    fs::remove_dir_all(place.dir("a/data.db/sled")).unwrap();
    reopens_as(&place, "a", &expected);
}

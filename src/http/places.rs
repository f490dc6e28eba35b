//! How much work of each kind may run at once, in total and for each key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::access::SECRET_KEY;

/// Streams of events open at once, watches included: the one bound for watchers.
const STREAMS_MAX: usize = 64;
/// Searches at once. Each keeps the disk busy.
const SEARCHES_MAX: usize = 8;
/// Exports at once. Each keeps the disk busy.
const EXPORTS_MAX: usize = 8;
/// Lists of clients and topics at once. Each looks at all of them.
const SURVEYS_MAX: usize = 8;
/// Lists at once that ask the disk about every topic.
const SORTS_MAX: usize = 2;

/// Backups at once. Each keeps the files of the log on the disk, expired or not.
const BACKUPS_MAX: usize = 2;

/// Scrapes of the metrics at once. Each reads the disk.
const SCRAPES_MAX: usize = 4;

/// The places for all kinds of work.
pub(in crate::http) struct Places {
    pub(in crate::http) streams: PlacesOfKind,
    pub(in crate::http) searches: PlacesOfKind,
    pub(in crate::http) exports: PlacesOfKind,
    pub(in crate::http) surveys: PlacesOfKind,
    pub(in crate::http) sorts: PlacesOfKind,
    pub(in crate::http) backups: PlacesOfKind,
    pub(in crate::http) scrapes: PlacesOfKind,
}

impl Places {
    /// Places that are all free.
    pub(in crate::http) fn new() -> Places {
        Places {
            streams: PlacesOfKind::new("streams of events", STREAMS_MAX),
            searches: PlacesOfKind::new("searches", SEARCHES_MAX),
            exports: PlacesOfKind::new("exports", EXPORTS_MAX),
            surveys: PlacesOfKind::new("lists of clients and topics", SURVEYS_MAX),
            sorts: PlacesOfKind::new("lists of topics by age", SORTS_MAX),
            backups: PlacesOfKind::new("backups", BACKUPS_MAX),
            scrapes: PlacesOfKind::new("scrapes", SCRAPES_MAX),
        }
    }
}

/// How many of `max` places a key may hold. A named key leaves half of them to others.
pub(in crate::http) fn share(key: &str, max: usize) -> usize {
    match key {
        SECRET_KEY => max,
        _ => max.div_ceil(2),
    }
}

/// Places for one kind of work.
pub(in crate::http) struct PlacesOfKind {
    what: &'static str,
    max: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// No place is free, in total or for this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{max} {what} are open, and no more may be; try again later")]
pub(in crate::http) struct TooMany {
    pub(in crate::http) what: &'static str,
    pub(in crate::http) max: usize,
}

/// A place that is held until it is dropped.
pub(in crate::http) struct HeldPlace {
    key: String,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

fn lock(taken: &Mutex<HashMap<String, usize>>) -> MutexGuard<'_, HashMap<String, usize>> {
    taken.lock().expect("no holder of this lock panics")
}

impl PlacesOfKind {
    fn new(what: &'static str, max: usize) -> PlacesOfKind {
        PlacesOfKind {
            what,
            max,
            taken: Arc::default(),
        }
    }

    /// Takes a place for the holder of this key.
    pub(in crate::http) fn take(&self, key: &str) -> Result<HeldPlace, TooMany> {
        let what = self.what;
        let mut taken = lock(&self.taken);
        if taken.values().sum::<usize>() >= self.max {
            return Err(TooMany {
                what,
                max: self.max,
            });
        }
        let max = share(key, self.max);
        let has = taken.entry(key.to_owned()).or_default();
        if *has >= max {
            return Err(TooMany { what, max });
        }
        *has += 1;
        Ok(HeldPlace {
            key: key.to_owned(),
            taken: self.taken.clone(),
        })
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(has) = taken.get_mut(&self.key) {
            *has -= 1;
            if *has == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_places_and_no_more() {
        let places = PlacesOfKind::new("searches", 8);
        let mut open: Vec<_> = (0..8).map(|_| places.take(SECRET_KEY).unwrap()).collect();
        assert!(places.take(SECRET_KEY).is_err());
        open.pop();
        assert!(places.take("named").is_ok());
    }

    #[test]
    fn a_named_key_leaves_places_to_others() {
        let places = PlacesOfKind::new("scrapes", 4);
        let open: Vec<_> = (0..2).map(|_| places.take("one").unwrap()).collect();
        let refused = places.take("one").err();
        assert_eq!(
            refused,
            Some(TooMany {
                what: "scrapes",
                max: 2
            })
        );
        let others: Vec<_> = (0..2).map(|_| places.take("two").unwrap()).collect();
        assert!(places.take(SECRET_KEY).is_err(), "there are four");
        drop((open, others));
        assert!(lock(&places.taken).is_empty());
    }
}

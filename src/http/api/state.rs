//! What the console API keeps between requests: bounded, and nothing that matters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::access::SECRET_KEY;
use crate::http::api::messages::export::Links;
use crate::http::api::overview::DiskCache;
use crate::http::api::overview::events::Overviews;
use crate::http::api::topics::attention::Survey;

/// Streams of events that can be open at once.
pub(super) const STREAMS_MAX: usize = 64;
/// Searches that can run at once: each keeps the disk busy.
const SEARCHES_MAX: usize = 8;
/// Exports that can be sent at once, likewise.
const EXPORTS_MAX: usize = 8;
/// Lists of clients and topics that can be made at once: each looks at all of them.
const SURVEYS_MAX: usize = 8;
/// The same of those that ask the disk about every topic.
const SORTS_MAX: usize = 2;

/// Backups that can be sent at once: each keeps the files of the log on the disk, expired or not.
const BACKUPS_MAX: usize = 2;

/// Scrapes of the metrics that can be answered at once: each reads the disk.
const SCRAPES_MAX: usize = 4;

/// See the module.
pub(in crate::http) struct Console {
    pub(super) links: Links,
    pub(super) overviews: Overviews,
    pub(in crate::http) disk: DiskCache,
    pub(super) survey: Survey,
    pub(super) streams: Places,
    pub(super) searches: Places,
    pub(super) exports: Places,
    pub(in crate::http) surveys: Places,
    pub(super) sorts: Places,
    pub(super) backups: Places,
    pub(in crate::http) scrapes: Places,
}

impl Console {
    /// Nothing is open.
    pub(in crate::http) fn new() -> Console {
        Console {
            links: Links::default(),
            overviews: Overviews::default(),
            disk: DiskCache::default(),
            survey: Survey::default(),
            streams: Places::new("streams of events", STREAMS_MAX),
            searches: Places::new("searches", SEARCHES_MAX),
            exports: Places::new("exports", EXPORTS_MAX),
            surveys: Places::new("lists of clients and topics", SURVEYS_MAX),
            sorts: Places::new("lists of topics by age", SORTS_MAX),
            backups: Places::new("backups", BACKUPS_MAX),
            scrapes: Places::new("scrapes", SCRAPES_MAX),
        }
    }
}

/// How much of `max` a key may have: a named key leaves half of it to others.
pub(super) fn share(key: &str, max: usize) -> usize {
    match key {
        SECRET_KEY => max,
        _ => max.div_ceil(2),
    }
}

/// Places for what is open at once.
pub(in crate::http) struct Places {
    what: &'static str,
    max: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// As many are open as may be, in all or for this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{max} {what} are open, and no more may be; try again later")]
pub(in crate::http) struct TooMany {
    pub(super) what: &'static str,
    pub(super) max: usize,
}

/// A place, as long as it is held.
pub(in crate::http) struct Taken {
    key: String,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

fn lock(taken: &Mutex<HashMap<String, usize>>) -> MutexGuard<'_, HashMap<String, usize>> {
    taken.lock().expect("no holder of this lock panics")
}

impl Places {
    fn new(what: &'static str, max: usize) -> Places {
        Places {
            what,
            max,
            taken: Arc::default(),
        }
    }

    /// A place for the holder of a key.
    pub(in crate::http) fn take(&self, key: &str) -> Result<Taken, TooMany> {
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
        Ok(Taken {
            key: key.to_owned(),
            taken: self.taken.clone(),
        })
    }
}

impl Drop for Taken {
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
        let places = Places::new("searches", 8);
        let mut open: Vec<_> = (0..8).map(|_| places.take(SECRET_KEY).unwrap()).collect();
        assert!(places.take(SECRET_KEY).is_err());
        open.pop();
        assert!(places.take("named").is_ok());
    }

    #[test]
    fn a_named_key_leaves_places_to_others() {
        let places = Places::new("scrapes", 4);
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

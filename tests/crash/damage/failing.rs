//! A disk that works for a number of operations and then no more: what a crash in the middle
//! of healing leaves.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dpmq::clock::Clock;
use dpmq::message::UnixSeconds;
use dpmq::store::{DiskStore, Files, Held, OpenHow, Options, OsFiles, StoredFile};

use crate::common_store::*;
use crate::damage::history::{History, small};

/// Fails for good after so many changes of the disk; the last write is done by half.
#[derive(Debug)]
struct Failing(Arc<AtomicI64>);

struct FailingFile(Box<dyn StoredFile>, Arc<AtomicI64>);

fn take(left: &AtomicI64) -> io::Result<()> {
    match left.fetch_sub(1, Ordering::Relaxed) {
        1.. => Ok(()),
        _ => Err(io::Error::other("the power is gone")),
    }
}

impl Files for Failing {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn StoredFile>> {
        if matches!(how, OpenHow::Create | OpenHow::Replace) {
            take(&self.0)?;
        }
        let file = OsFiles.open(path, how)?;
        Ok(Box::new(FailingFile(file, self.0.clone())))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsFiles.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        OsFiles.exists(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        take(&self.0).and_then(|()| OsFiles.create_dir(dir))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if OsFiles.exists(path)? {
            take(&self.0)?;
        }
        OsFiles.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        if OsFiles.exists(dir)? {
            take(&self.0)?;
        }
        OsFiles.remove_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        take(&self.0).and_then(|()| OsFiles.rename(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        take(&self.0).and_then(|()| OsFiles.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Held> {
        OsFiles.lock(path)
    }
}

impl StoredFile for FailingFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let taken = take(&self.1);
        if taken.is_err() && self.1.load(Ordering::Relaxed) == -1 {
            self.0.write_at(&bytes[..bytes.len() / 2], offset)?;
        }
        taken.and_then(|()| self.0.write_at(bytes, offset))
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        take(&self.1).and_then(|()| self.0.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        take(&self.1).and_then(|()| self.0.sync())
    }
}

/// Loses a file, the end of another, and bits of a third, one of them in its head.
fn lose(dir: &Path) {
    let all = segments(dir);
    let newest = all.last().unwrap();
    let len = fs::metadata(newest).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(newest).unwrap();
    file.set_len(len / 2).unwrap();
    fs::remove_file(&all[all.len() - 2]).unwrap();
    let mut bytes = fs::read(&all[0]).unwrap();
    bytes[9] ^= 1;
    bytes[2000] ^= 1;
    fs::write(&all[0], bytes).unwrap();
}

#[test]
fn healing_that_was_cut_off_is_begun_again() {
    let root = tempfile::tempdir().unwrap();
    let origin = root.path().join("origin");
    let truth = History::write(&origin, 77, false);
    let clock = Clock::manual(UnixSeconds(NOON.0 + 10_000));
    let mut cut_off = 0;
    for with_mirror in [true, false] {
        for operations in 0.. {
            let dir = root.path().join("hit");
            crash_copy(&origin, &dir);
            lose(&dir);
            if !with_mirror {
                fs::remove_dir_all(dir.join("data.db/sled")).unwrap();
            }
            let opened = unlocked(|| {
                let failing = Options {
                    files: Arc::new(Failing(Arc::new(AtomicI64::new(operations)))),
                    ..small(&dir, &clock)
                };
                DiskStore::open_by_hand(&failing, nobody())
            });
            let done = opened.is_ok();
            if let Ok((store, _)) = opened {
                truth.model.check(&store);
                store.abandon();
            }
            let (store, recovered) = open(&small(&dir, &clock));
            assert_eq!(recovered.damage, [""; 0], "{operations}");
            truth.model.check(&store);
            drop(store);
            fs::remove_dir_all(&dir).unwrap();
            if done {
                break;
            }
            cut_off += 1;
        }
    }
    assert!(cut_off > 10, "{cut_off}");
}

//! How long a start takes with and without the mirror, beside reading the log and computing its
//! CRC-32.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::path::Path;

use dpmq::store::{DiskStore, Options, Stats};

use super::append::append;
use super::{folder, median, rounds, time};

const ROUNDS: usize = 5;
const GROUP: usize = 4096;

pub(super) fn run() {
    println!("messages   log read ms   open ms   /read   without mirror ms   /read");
    for groups in [4, 64] {
        let dir = folder();
        let options = Options::new(dir.path().join("data"));
        let folder = dir.path().join("data.db");
        let open = || {
            let opened = DiskStore::open(&options, Box::new(|_| {}));
            opened.expect("a store that can be opened").0
        };
        let store = open();
        (0..groups).for_each(|_| append(&store, GROUP));
        drop(store);
        let mut times = vec![];
        for _ in 0..rounds(ROUNDS) {
            let read = time(|| read_log(&folder.join("log")));
            let mut store = None;
            let opened = time(|| store = Some(open()));
            let count = store.take().map(|store| store.counts().all());
            assert_eq!(count, Some((groups * GROUP) as u64));
            fs::remove_dir_all(folder.join("sled")).expect("a mirror to remove");
            let rebuilt = time(|| store = Some(open()));
            let count = store.take().map(|store| store.counts().all());
            assert_eq!(count, Some((groups * GROUP) as u64));
            times.push([read, opened, rebuilt].map(|time| time.as_secs_f64() * 1e3));
        }
        let millis = |part: usize| median(times.iter().map(|of| of[part]));
        let ratio = |part: usize| median(times.iter().map(|of| of[part] / of[0]));
        println!(
            "{:>8} {:>13.1} {:>9.1} {:>7.1} {:>19.1} {:>7.1}",
            groups * GROUP,
            millis(0),
            millis(1),
            ratio(1),
            millis(2),
            ratio(2)
        );
    }
}

fn read_log(dir: &Path) {
    let mut buffer = vec![0; 1 << 20];
    for entry in fs::read_dir(dir).expect("a log") {
        let path = entry.expect("a file of the log").path();
        let mut file = File::open(path).expect("a file that can be read");
        let mut hasher = crc32fast::Hasher::new();
        loop {
            match file.read(&mut buffer).expect("a disk that can be read") {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
        black_box(hasher.finalize());
    }
}

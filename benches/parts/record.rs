//! Records of the log, beside the work that the same bytes need in any form.

use std::hint::black_box;

use dpmq::store::bench::{decode, encode};

use super::{Bench, messages};

pub(super) fn run(bench: &mut Bench) {
    for (count, bytes) in [(1, 128), (256, 128), (64, 1024)] {
        let messages = messages(count, bytes);
        let (mut frames, mut out, mut copy) = (vec![], vec![], vec![]);
        encode(&mut frames, &messages);
        assert_eq!(decode(&frames), Some(count));
        bench.compare(
            &format!("record/encode/{count}x{bytes}"),
            count,
            || {
                out.clear();
                encode(&mut out, black_box(&messages));
                black_box(&out).len()
            },
            ("a copy and a CRC-32 of the bytes", || {
                copy.clear();
                copy.extend_from_slice(black_box(&frames));
                crc32fast::hash(black_box(&copy))
            }),
        );
        bench.compare(
            &format!("record/decode/{count}x{bytes}"),
            count,
            || decode(black_box(&frames)),
            ("a CRC-32 of the bytes", || {
                crc32fast::hash(black_box(&frames))
            }),
        );
    }
}

//! The code of a message, beside one SHA-1 of the same bytes.

use std::hint::black_box;

use bytestring::ByteString;
use dpmq::message::{Draft, Topic, UnixSeconds};
use sha1::{Digest, Sha1};

use super::Bench;

pub(super) fn run(bench: &mut Bench) {
    let topic: Topic = "bench".parse().expect("a topic");
    for bytes in [128, 1024] {
        let data = ByteString::from("x".repeat(bytes));
        // A time and a number follow the data.
        let hashed = vec![b'x'; bytes + 4 + 16];
        let mut unique = 0;
        bench.compare(
            &format!("code/{bytes}"),
            1,
            || {
                unique += 1;
                let draft = Draft::new(topic.clone(), black_box(&data).clone());
                draft.digest(UnixSeconds(1_790_000_000), unique)
            },
            ("one SHA-1 of the bytes", || {
                Sha1::digest(black_box(&hashed))
            }),
        );
    }
}

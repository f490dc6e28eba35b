//! The pushed frame, beside a copy of its bytes.

use std::hint::black_box;

use dpmq::wire::write_push_frame;

use super::{Bench, messages};

pub(super) fn run(bench: &mut Bench) {
    let json = r#"{"id":17,"name":"a \"quoted\" name","tags":["a","b"]}"#;
    for (name, data) in [
        ("text of 128", "x".repeat(128)),
        ("text of 1024", "x".repeat(1024)),
        ("JSON of 1060", json.repeat(20)),
    ] {
        let mut message = messages(1, 0).remove(0);
        message.data = data.into();
        let (mut frame, mut out, mut copy) = (vec![], vec![], vec![]);
        write_push_frame(&mut frame, &message);
        bench.compare(
            &format!("frame/{name}"),
            1,
            || {
                out.clear();
                write_push_frame(&mut out, black_box(&message));
                black_box(&out).len()
            },
            ("a copy of the bytes", || {
                copy.clear();
                copy.extend_from_slice(black_box(&frame));
                black_box(&copy).len()
            }),
        );
    }
}

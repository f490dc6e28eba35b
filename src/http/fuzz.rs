//! Bodies, queries and dates that are made up or changed.

use std::panic::{RefUnwindSafe, UnwindSafe};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use bolero::{TypeGenerator, ValueGenerator, check, produce};
use chrono::{Local, TimeZone};
use tower::ServiceExt;

use super::*;
use crate::fuzz::{Edit, bounded};
use crate::http::tests::{app, ask, post_to};
use crate::http::times::{self, Side};

const NAMES: [&str; 2] = ["topic", "messageData"];
const LIMITS: fields::body::BodyLimits = fields::body::BodyLimits {
    bytes_max: 1 << 20,
    ..fields::body::BodyLimits::SMALL
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

/// How a body is written.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Kind {
    Form,
    Json,
    Multipart,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Kind::Form => "application/x-www-form-urlencoded",
            Kind::Json => "application/json",
            Kind::Multipart => "multipart/form-data; boundary=XYZ",
        }
    }

    /// A body with these fields.
    fn body(self, fields: &[(&str, &str)]) -> String {
        match self {
            Kind::Form => form_urlencoded::Serializer::new(String::new())
                .extend_pairs(fields)
                .finish(),
            Kind::Json => {
                let pairs = fields
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).into()));
                serde_json::Value::Object(pairs.collect()).to_string()
            }
            Kind::Multipart => {
                let part = |(name, value): &(&str, &str)| {
                    format!(
                        "--XYZ\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                    )
                };
                fields.iter().map(part).collect::<String>() + "--XYZ--\r\n"
            }
        }
    }
}

fn text() -> impl ValueGenerator<Output = String> + UnwindSafe + RefUnwindSafe {
    produce::<String>().with().len(1..200usize)
}

#[test]
fn fields_come_back_as_they_were_sent() {
    let target = check!().with_generator((produce::<Kind>(), text(), text()));
    bounded(target, 300).for_each(|(kind, topic, data)| {
        let fields = [(NAMES[0], &**topic), (NAMES[1], &**data)];
        if fields.iter().any(|(_, value)| value.contains("--XYZ")) {
            return;
        }
        let request = Request::post("/").header(header::CONTENT_TYPE, kind.content_type());
        let request = request.body(Body::from(kind.body(&fields))).unwrap();
        let found = block_on(fields::read(request, NAMES, LIMITS)).unwrap();
        let found = found.map(|value| value.unwrap_or_default().to_string());
        assert_eq!(found, [topic.clone(), data.clone()]);
    });
}

#[test]
fn a_body_of_any_bytes_is_taken_or_refused_with_a_reason() {
    let edits = produce::<Vec<Edit>>().with().len(0..5usize);
    let target = check!().with_generator((produce::<(Kind, Kind)>(), text(), edits));
    bounded(target, 100).for_each(|((kind, other), value, edits)| {
        let fields = [
            ("topic", &**value),
            ("messageData", "x"),
            ("status", value),
            ("data", value),
        ];
        let mut body = kind.body(&fields).into_bytes();
        edits.iter().for_each(|edit| edit.apply(&mut body));
        block_on(async {
            let app = app();
            for path in ["/Producer/Send", "/Console/GetMessageList", "/api/messages"] {
                for kind in [kind, other] {
                    let request = post_to(path).header(header::CONTENT_TYPE, kind.content_type());
                    let reply = ask(&app, request.body(Body::from(body.clone())).unwrap()).await;
                    let json = reply.json();
                    if path == "/api/messages" {
                        assert!(reply.status.is_success() || reply.status.is_client_error());
                        continue;
                    }
                    assert_eq!(reply.status, StatusCode::OK);
                    let refused = json["code"] == -1
                        && json["msg"].as_str().is_some_and(|msg| !msg.is_empty());
                    assert!(json["code"] == 0 || refused, "{json}");
                }
            }
        });
    });
}

/// Paths of the console API, and what they may be asked.
const QUERIES: [(&str, &[&str]); 8] = [
    (
        "/api/messages",
        &["topic", "status", "from", "to", "limit", "cursor"],
    ),
    (
        "/api/topics",
        &["search", "sort", "order", "limit", "cursor"],
    ),
    (
        "/api/search",
        &[
            "text", "topic", "status", "from", "to", "limit", "look", "cursor",
        ],
    ),
    ("/api/series", &["step", "points"]),
    ("/api/growth", &["days", "by"]),
    (
        "/api/clients",
        &["role", "topic", "search", "limit", "cursor"],
    ),
    ("/api/overview", &[]),
    ("/api/events", &[]),
];

/// What parameters may be, or nearly.
const VALUES: [&str; 12] = [
    "",
    "0",
    "1",
    "-1",
    "500",
    "4294967295",
    "18446744073709551616",
    "consumed",
    "name",
    "desc",
    "61b7252d-7",
    "%ff%00",
];

#[test]
fn parameters_of_any_text_are_taken_or_refused() {
    let pairs = produce::<Vec<(u8, u8, Option<String>)>>()
        .with()
        .len(0..4usize);
    let target = check!().with_generator((produce::<u8>(), pairs));
    bounded(target, 300).for_each(|(path, pairs)| {
        let (path, names) = QUERIES[usize::from(*path) % QUERIES.len()];
        let mut query = String::new();
        for (name, value, text) in pairs {
            let name = names
                .get(usize::from(*name) % (names.len() + 1))
                .unwrap_or(&"other");
            let encoded = text
                .as_ref()
                .map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
            let value = encoded
                .as_deref()
                .unwrap_or(VALUES[usize::from(*value) % VALUES.len()]);
            query += &format!("&{name}={value}");
        }
        let uri = format!("{path}?{}", query.trim_start_matches('&'));
        block_on(async {
            let request = Request::get(&uri).header("secretKey", "dpmq");
            let response = app()
                .oneshot(request.body(Body::empty()).unwrap())
                .await
                .unwrap();
            let status = response.status();
            assert!(
                status == StatusCode::OK || status == StatusCode::BAD_REQUEST,
                "{status} for {uri}"
            );
        });
    });
}

#[test]
fn a_date_that_is_read_is_the_one_that_was_written() {
    let target = check!().with_generator((
        produce::<u32>(),
        produce::<Vec<Edit>>().with().len(0..3usize),
    ));
    bounded(target, 2000).for_each(|(time, edits)| {
        let write = |time: u32| {
            let time = Local.timestamp_opt(time.into(), 0).unwrap();
            time.format("%Y-%m-%d %H:%M:%S").to_string()
        };
        let span = |text: &str| {
            let start = times::read(text, Side::Start)?;
            let end = times::read(text, Side::End).unwrap();
            assert!(start <= end && end.0 - start.0 <= 3 * 3600, "{text}");
            Some((start.0, end.0))
        };
        let (start, end) = span(&write(*time)).unwrap();
        assert!((start..=end).contains(time));
        let mut text = write(*time).into_bytes();
        edits.iter().for_each(|edit| edit.apply(&mut text));
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Some((start, end)) = span(&text) {
            for time in [start, end] {
                let (start, end) = span(&write(time)).unwrap();
                assert!((start..=end).contains(&time), "{text}");
            }
        }
    });
}

//! Every route, what it needs, and how to ask it about a topic.

use dpmq::http::Needs;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::Keyed;
use crate::common::{KEY, Socket, encode};

/// What a key that is for some topics only may do at a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limited {
    /// The same as any other: nothing of single topics is told or changed.
    Same,
    /// It sees and changes its own topics.
    ByTopic,
    /// Nothing.
    Nothing,
}

pub(super) struct Row {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) needs: Needs,
    pub(super) limited: Limited,
    /// The path to ask about a topic, of which there is a message with this code and a client
    /// with this number.
    pub(super) at: fn(&About) -> String,
    pub(super) ask: fn(RequestBuilder, &About) -> RequestBuilder,
}

/// What a request is about.
pub(super) struct About {
    pub(super) topic: String,
    pub(super) code: String,
    pub(super) client: u64,
}

impl About {
    /// A topic, with a message that waits and a client if the row is about one.
    pub(super) async fn new(keyed: &Keyed, row: &Row, topic: &str) -> (About, Option<Socket>) {
        let mut about = About {
            topic: topic.to_owned(),
            code: String::new(),
            client: 0,
        };
        if row.path.contains("{code}") || row.path.ends_with("{topic}") {
            about.code = keyed.server.publish(topic, "confidential").await;
        }
        let mut socket = None;
        if row.path.contains("{number}") {
            socket = Some(keyed.server.consumer(topic, "c").await);
            about.client = newest_client(keyed, topic).await;
        }
        (about, socket)
    }

    fn path(&self) -> String {
        encode(&self.topic)
    }
}

impl Row {
    /// A request about this, with a key.
    pub(super) fn request(&self, keyed: &Keyed, about: &About, token: &str) -> RequestBuilder {
        let method = Method::from_bytes(self.method.as_bytes()).unwrap();
        let request = keyed.server.request(method, &(self.at)(about));
        (self.ask)(request.header("secretKey", token), about)
    }

    /// Whether a key with this right for these topics is let in.
    pub(super) fn admits(&self, right: &str, for_all: bool, is_own: bool) -> bool {
        let by_right = match self.needs.right() {
            Some(needed) => needed.name() == right,
            None => true,
        };
        let by_topic = match self.limited {
            Limited::Same => true,
            Limited::ByTopic => for_all || is_own,
            Limited::Nothing => for_all,
        };
        by_right && (by_topic || self.needs == Needs::Nothing)
    }
}

fn bare(request: RequestBuilder, _: &About) -> RequestBuilder {
    request
}

fn form(request: RequestBuilder, about: &About) -> RequestBuilder {
    request.form(&[("topic", &*about.topic), ("messageData", "confidential")])
}

macro_rules! row {
    ($method:ident $path:literal $needs:ident $limited:ident $at:expr, $ask:expr) => {
        Row {
            method: stringify!($method),
            path: $path,
            needs: Needs::$needs,
            limited: Limited::$limited,
            at: $at,
            ask: $ask,
        }
    };
    ($method:ident $path:literal $needs:ident $limited:ident $ask:expr) => {
        row!($method $path $needs $limited |_| $path.to_owned(), $ask)
    };
}

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Row> {
    vec![
        row!(POST "/Producer/Send" Publish ByTopic form),
        row!(POST "/Console/Ping" AnyKey Same bare),
        row!(POST "/Console/GetConsumers" Read Same bare),
        row!(POST "/Console/GetConfig" Read Same bare),
        row!(POST "/Console/GetMessageList" Read ByTopic form),
        row!(POST "/Console/CountMessage" Read Same bare),
        row!(GET "/" Nothing Same bare),
        row!(GET "/view/{*file}" Nothing Same |_| "/view/favicon.svg".to_owned(), bare),
        row!(GET "/metrics" Scrape Same bare),
        row!(GET "/health/live" Nothing Same bare),
        row!(GET "/health/ready" Nothing Same bare),
        row!(GET "/api/openapi.json" Nothing Same bare),
        row!(GET "/api/login" Nothing Same bare),
        row!(GET "/api/key" AnyKey Same bare),
        row!(GET "/api/overview" Read Same bare),
        row!(GET "/api/events" Read Same bare),
        row!(GET "/api/series" Read Same bare),
        row!(GET "/api/growth" Read Same bare),
        row!(GET "/api/config" Read Same bare),
        row!(GET "/api/attention" Read Same bare),
        row!(GET "/api/topics" Read Same bare),
        row!(GET "/api/clients" Read Same bare),
        row!(GET "/api/topics/{topic}" Read ByTopic |about| format!("/api/topics/{}", about.path()), bare),
        row!(GET "/api/topics/{topic}/watch" Read ByTopic |about| format!("/api/topics/{}/watch", about.path()), bare),
        row!(POST "/api/topics/{topic}/purge" Change ByTopic |about| format!("/api/topics/{}/purge", about.path()),
            |request, about| request.json(&json!({"confirm": about.topic, "what": "all"}))),
        row!(GET "/api/topic" Read ByTopic |about| format!("/api/topic?topic={}", about.path()), bare),
        row!(GET "/api/topic/watch" Read ByTopic |about| format!("/api/topic/watch?topic={}", about.path()), bare),
        row!(POST "/api/topic/purge" Change ByTopic |about| format!("/api/topic/purge?topic={}", about.path()),
            |request, about| request.json(&json!({"confirm": about.topic, "what": "all"}))),
        row!(GET "/api/messages" Read ByTopic |about| format!("/api/messages?topic={}", about.path()), bare),
        row!(POST "/api/messages" Change ByTopic
            |request, about| request.json(&json!({"topic": about.topic, "data": "confidential"}))),
        row!(GET "/api/messages/{code}" Read ByTopic |about| format!("/api/messages/{}", about.code), bare),
        row!(DELETE "/api/messages/{code}" Change ByTopic
            |about| format!("/api/messages/{}?confirm={}", about.code, about.path()), bare),
        row!(POST "/api/messages/{code}/push" Change ByTopic |about| format!("/api/messages/{}/push", about.code), bare),
        row!(GET "/api/search" Read ByTopic |about| format!("/api/search?text=x&topic={}", about.path()), bare),
        row!(POST "/api/exports" Read ByTopic
            |request, about| request.json(&json!({"format": "csv", "topic": about.topic}))),
        row!(GET "/api/exports/{token}" Nothing Same |_| "/api/exports/none".to_owned(), bare),
        row!(DELETE "/api/clients/{number}" Change ByTopic
            |about| format!("/api/clients/{}?confirm={}", about.client, about.path()), bare),
        row!(GET "/api/backup" ReadAll Nothing bare),
    ]
}

/// The number of the newest client of a topic.
async fn newest_client(keyed: &Keyed, topic: &str) -> u64 {
    let (_, list) = keyed
        .get(&format!("/api/clients?topic={}", encode(topic)), KEY)
        .await;
    let clients = list["clients"].as_array().unwrap();
    clients.last().unwrap()["number"].as_u64().unwrap()
}

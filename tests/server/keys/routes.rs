//! Right × route × topic.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dpmq::access::Right;
use reqwest::Response;
use serde_json::Value;

use super::Keyed;
use super::table::{About, Limited, Row, rows};
use crate::common::{KEY, Setup};

#[test]
fn every_route_is_in_the_table() {
    let routes: BTreeSet<_> = dpmq::http::routes()
        .map(|(method, path, needs)| format!("{method} {path} {needs:?}"))
        .collect();
    let table = rows();
    let listed = table
        .iter()
        .map(|row| format!("{} {} {:?}", row.method, row.path, row.needs));
    assert_eq!(listed.collect::<BTreeSet<_>>(), routes);
    let sockets = [
        ("/Producers/Conn/{topic}/{producerId}", Right::Publish),
        ("/Consumers/Conn/{topic}/{consumerId}", Right::Consume),
    ];
    assert_eq!(dpmq::ws::ROUTES, sockets);
}

/// The sources in a folder and below it.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    });
    found
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

#[test]
fn no_route_is_beside_the_tables() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.iter().any(|path| path.ends_with("http/api/mod.rs")));
    let mut beside = vec![];
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let (code, _) = text
            .split_once("#[cfg(test)]\nmod tests {")
            .unwrap_or((&text, ""));
        let calls = code.split(".route(").skip(1);
        let literal = calls.filter(|call| call.trim_start().starts_with('"'));
        beside.extend(literal.map(|_| path.clone()));
    }
    assert_eq!(beside, [""; 0].map(Path::new));
}

#[tokio::test]
async fn a_key_opens_what_its_right_and_topics_say() {
    let mut keyed = Keyed::stopped(Setup::new());
    let mut keys = vec![];
    for right in Right::ALL.map(Right::name) {
        let (all, some) = (format!("{right}-all"), format!("{right}-some"));
        keys.push((right, true, keyed.add(&all, &[right], &["*"], None)));
        keys.push((right, false, keyed.add(&some, &[right], &["t*"], None)));
    }
    keyed.server.start_again().await;
    let mut tried = 0;
    for topic in ["t1", "other"] {
        for row in rows() {
            for (right, for_all, token) in &keys {
                let (about, _client) = About::new(&keyed, &row, topic).await;
                let answer = row.request(&keyed, &about, token).send().await.unwrap();
                let admitted = row.admits(right, *for_all, topic == "t1");
                let what = format!("{right} all:{for_all} {topic} {} {}", row.method, row.path);
                expect(&row, admitted, answer, &what).await;
                tried += 1;
            }
        }
        for (path, needed) in dpmq::ws::ROUTES {
            let (start, _) = path.split_once("/{topic}").unwrap();
            let addresses = [format!("/{topic}/id"), format!("?topic={topic}&id=id")];
            let tries = keys
                .iter()
                .flat_map(|key| addresses.iter().map(move |it| (key, it)));
            for ((right, for_all, token), address) in tries {
                let (_, said) = keyed.login(&format!("{start}{address}"), token).await;
                let has_right = needed.name() == *right;
                let what = format!("{right} all:{for_all} {topic} {path}: {said:?}");
                match said {
                    Ok(()) => assert!(has_right && (*for_all || topic == "t1"), "{what}"),
                    Err((code, reason)) if has_right => {
                        assert!(!for_all && topic == "other", "{what}");
                        assert_eq!(code, 1008);
                        assert!(reason.ends_with("is not for this topic"), "{what}");
                    }
                    Err((code, reason)) => {
                        assert_eq!(code, 1008);
                        let end = format!("has not the right {needed}");
                        assert!(reason.ends_with(&end), "{what}");
                    }
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 2 * (rows().len() + 4) * 8);
}

/// Holds an answer against what the table says of it.
async fn expect(row: &Row, admitted: bool, answer: Response, what: &str) {
    let status = answer.status().as_u16();
    if admitted {
        assert!(!matches!(status, 401 | 403), "{what}: {status}");
        let is_contract = !row.path.starts_with("/api") && row.method == "POST";
        if is_contract {
            let json: Value = answer.json().await.unwrap();
            assert_eq!(json["code"], 0, "{what}: {json}");
        }
        return;
    }
    let json: Value = answer.json().await.unwrap();
    let text = match row.path.starts_with("/api") || row.path == "/metrics" {
        true => {
            let code = json["error"]["code"].as_str().unwrap();
            if row.path == "/api/clients/{number}" && status == 404 {
                // What a number that nobody has is answered.
                assert_eq!(code, "no_such_client", "{what}");
                return;
            }
            assert_eq!(status, 403, "{what}: {json}");
            assert!(matches!(code, "no_right" | "other_topics"), "{what}");
            json["error"]["message"].clone()
        }
        false => {
            assert_eq!((status, &json["code"]), (200, &(-1).into()), "{what}");
            json["msg"].clone()
        }
    };
    let text = text.as_str().unwrap();
    assert!(text.starts_with("the key "), "{what}: {text}");
}

#[tokio::test]
async fn a_limited_key_must_name_its_topic_where_a_question_would_be_about_all() {
    let keyed = Keyed::start().await;
    let token = keyed.key("some", &["console-read"], &["t*"]).await;
    for path in ["/api/messages", "/api/search?text=x"] {
        let (status, json) = keyed.get(path, &token).await;
        assert_eq!(status, 403, "{path}");
        assert_eq!(json["error"]["code"], "other_topics", "{path}");
    }
    let post = |path: &str| keyed.server.post(path).header("secretKey", &token);
    let export = post("/api/exports").json(&serde_json::json!({"format": "csv"}));
    assert_eq!(export.send().await.unwrap().status(), 403);
    let list = post("/Console/GetMessageList").send().await.unwrap();
    let json: Value = list.json().await.unwrap();
    let msg = "the key some is for some topics only: name one of them as topic";
    assert_eq!(json, serde_json::json!({"code": -1, "msg": msg}));
}

#[tokio::test]
async fn lists_of_topics_and_clients_leave_others_out() {
    let keyed = Keyed::start().await;
    let token = keyed.key("some", &["console-read"], &["t*"]).await;
    let (_own, _other) = (
        keyed.server.consumer("t1", "own").await,
        keyed.server.consumer("other", "other").await,
    );
    let (_, topics) = keyed.get("/api/topics", &token).await;
    assert_eq!(topics["total"], 1, "{topics}");
    assert_eq!(topics["topics"][0]["topic"], "t1");
    let (_, clients) = keyed.get("/api/clients", &token).await;
    assert_eq!(clients["total"], 1, "{clients}");
    assert_eq!(clients["clients"][0]["id"], "own");
    assert_eq!(clients["clients"][0]["key"], "secretKey");
    let post = keyed.server.post("/Console/GetConsumers");
    let reply = post.header("secretKey", &token).send().await.unwrap();
    let reply: Value = reply.json().await.unwrap();
    assert_eq!(reply["data"].as_array().unwrap().len(), 1, "{reply}");
    let (_, all) = keyed.get("/api/topics", KEY).await;
    assert_eq!(all["total"], 2);
}

#[tokio::test]
async fn metrics_tell_a_key_of_its_own_topics_only() {
    for metrics in ["1", "2"] {
        let setup = Setup::new()
            .environment("DPMQ_SERVER_METRICS", metrics)
            .environment("DPMQ_SERVER_METRICSTOPICS", "orders*,wages");
        let mut keyed = Keyed::stopped(setup);
        let token = keyed.add("shop", &["console-read"], &["orders*"], None);
        keyed.server.start_again().await;
        for topic in ["orders", "orders-eu", "wages"] {
            keyed.server.publish(topic, "x").await;
        }
        let told = async |key: &str| {
            let request = keyed.server.request(reqwest::Method::GET, "/metrics");
            let response = request.bearer_auth(key).send().await.unwrap();
            let text = response.text().await.unwrap();
            let named = |topic: &&str| text.contains(&format!("topic=\"{topic}\""));
            let topics = ["orders", "orders-eu", "wages"].into_iter();
            topics.filter(named).collect::<Vec<_>>()
        };
        let all = ["orders", "orders-eu", "wages"];
        assert_eq!(told(KEY).await, all);
        match metrics {
            "1" => assert_eq!(told(&token).await, all[..2]),
            // Everybody reads them: nobody is asked for a key.
            _ => assert_eq!(told("").await, all),
        }
        // Nor does the configuration name others to it.
        for (key, value) in [(KEY, "orders*,wages".into()), (&token, Value::Null)] {
            let (_, config) = keyed.get("/api/config", key).await;
            let settings = config["settings"].as_array().unwrap();
            let is_it = |setting: &&Value| setting["key"] == "server.metricsTopics";
            assert_eq!(settings.iter().find(is_it).unwrap()["value"], value);
        }
    }
}

#[tokio::test]
async fn a_key_is_told_what_it_is_good_for() {
    let mut keyed = Keyed::stopped(Setup::new());
    let expires = Some("2100-01-01T00:00:00Z");
    let token = keyed.add("some", &["consume", "publish"], &["t*", "x"], expires);
    keyed.server.start_again().await;
    let (_, json) = keyed.get("/api/key", &token).await;
    let told = serde_json::json!({
        "name": "some", "rights": ["publish", "consume"], "topics": ["t*", "x"], "expires": 4_102_444_800_u32,
    });
    assert_eq!(json, told);
    let (_, all) = keyed.get("/api/key", KEY).await;
    assert_eq!(all["name"], "secretKey");
    assert_eq!(all["rights"].as_array().unwrap().len(), 4);
    assert_eq!(all["topics"], serde_json::json!(["*"]));
    let limited = rows()
        .into_iter()
        .filter(|row| row.limited == Limited::Nothing);
    assert_eq!(
        limited.count(),
        1,
        "a backup is the only one that is all or nothing"
    );
}

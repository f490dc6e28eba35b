//! What the audit tells.

use std::fs;
use std::time::Instant;

use dpmq::http::Needs;
use reqwest::Method;
use serde_json::Value;

use super::Keyed;
use super::table::{About, rows};
use crate::common::{KEY, Setup, eventually};

/// A server whose audit has a file of its own.
fn audited() -> Keyed {
    let setup = Setup::new()
        .environment("DPMQ_LOG_AUDITFILE", "log/audit.log")
        .environment("DPMQ_LOG_LEVEL", "off,dpmq::server=info");
    Keyed::stopped(setup)
}

impl Keyed {
    fn audit(&self) -> Vec<String> {
        let text = fs::read_to_string(self.server.dir().join("log/audit.log")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The lines about a route; there is none that is not complete.
    fn audit_of(&self, route: &str) -> Vec<String> {
        let mut lines = self.audit();
        lines.retain(|line| {
            line.contains(&format!("route={route} ")) || line.ends_with(&format!("route={route}"))
        });
        lines
    }
}

#[tokio::test]
async fn each_change_is_one_line_without_key_and_data() {
    let mut keyed = audited();
    let rights = ["console-change", "console-read"];
    let token = keyed.add("changer", &rights, &["*"], None);
    keyed.server.start_again().await;
    let mut changing = 0;
    let taken_out = ["/api/exports", "/api/backup"];
    for row in rows() {
        if row.needs != Needs::Change && !taken_out.contains(&row.path) {
            continue;
        }
        let topic = "t\"1";
        let (about, _client) = About::new(&keyed, &row, topic).await;
        if row.path.ends_with("/push") {
            keyed.server.until_status(&about.code, 0).await;
        }
        let answer = row.request(&keyed, &about, &token).send().await.unwrap();
        let what = format!("{} {}", row.method, row.path);
        assert!(answer.status().is_success(), "{what}: {}", answer.status());
        let lines = keyed.audit_of(&what);
        assert_eq!(lines.len(), 1, "{what}: {lines:?}");
        assert!(
            lines[0].contains("key=\"changer\" address=127.0.0.1 "),
            "{lines:?}"
        );
        changing += 1;
    }
    assert_eq!(changing, 6 + taken_out.len());
    let audit = keyed.audit().join("\n");
    for secret in ["confidential", &token, KEY] {
        assert!(!audit.contains(secret), "{secret}: {audit}");
    }
}

#[tokio::test]
async fn what_was_refused_is_told_but_not_all_the_time() {
    let mut keyed = audited();
    let token = keyed.add("reader", &["console-read"], &["*"], None);
    keyed.server.start_again().await;
    assert_eq!(keyed.get("/api/overview", "guessed-key").await.0, 401);
    let path = "/api/messages/0000000000000000000000000000000000000000?confirm=t";
    let refused = "refused: the key reader has not the right console-change";
    eventually("it is told how many were held back", async || {
        let request = keyed.server.request(Method::DELETE, path);
        let answer = request.header("secretKey", &token).send().await.unwrap();
        assert_eq!(answer.status(), 403);
        let audit = keyed.audit();
        let mut told = audit.iter().filter(|line| line.contains(refused));
        told.any(|line| line.contains("key=\"reader\"") && !line.contains("unsaid=0"))
    })
    .await;
    let audit = keyed.audit();
    let told = |text: &str| audit.iter().filter(|line| line.contains(text)).count();
    assert_eq!(told("refused: a wrong key"), 1, "{audit:?}");
    assert_eq!(told("loaded the keys"), 1, "{audit:?}");
    assert_eq!(told("guessed-key") + told(&token), 0, "{audit:?}");
}

#[tokio::test]
async fn what_keys_are_not_good_for_is_counted() {
    let mut keyed = Keyed::stopped(Setup::new().environment("DPMQ_SERVER_METRICS", "2"));
    let token = keyed.add("shop", &["publish"], &["orders*"], None);
    let late = keyed.add("late", &["publish"], &["*"], Some("2001-01-01"));
    keyed.server.start_again().await;
    let send = async |topic: &str, key: &str| {
        let request = keyed.server.post("/Producer/Send").header("secretKey", key);
        let form = [("topic", topic), ("messageData", "x")];
        let reply = request.form(&form).send().await.unwrap();
        reply.json::<Value>().await.unwrap()["code"].as_i64()
    };
    assert_eq!(send("orders", &token).await, Some(0));
    assert_eq!(send("other", &token).await, Some(-1));
    assert_eq!(send("orders", &late).await, Some(-1));
    for path in ["/Producers/Conn/other/p", "/Consumers/Conn/orders/c"] {
        let (_, said) = keyed.login(path, &token).await;
        assert_eq!(said.unwrap_err().0, 1008);
    }
    assert_eq!(keyed.get("/api/overview", &token).await.0, 403);
    let metrics = keyed.server.request(Method::GET, "/metrics").send().await;
    let metrics = metrics.unwrap().text().await.unwrap();
    for (reason, times) in [("right", 2), ("topic", 2), ("expired", 1)] {
        let line = format!("dpmq_access_refused_total{{reason=\"{reason}\"}} {times}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn what_only_reads_writes_a_line_a_second() {
    let mut keyed = audited();
    let token = keyed.add("reader", &["console-read"], &["*"], None);
    keyed.server.start_again().await;
    let export = async || {
        let request = keyed
            .server
            .post("/api/exports")
            .header("secretKey", &token);
        let request = request.json(&serde_json::json!({"format": "csv"}));
        let link: Value = request.send().await.unwrap().json().await.unwrap();
        let url = link["url"].as_str().unwrap();
        let file = keyed.server.request(Method::GET, url).send().await;
        assert_eq!(file.unwrap().status(), 200);
    };
    let begin = Instant::now();
    let taken = 50;
    for _ in 0..taken {
        export().await;
    }
    let lines = keyed.audit_of("POST /api/exports").len();
    let seconds = usize::try_from(begin.elapsed().as_secs()).unwrap();
    assert!(
        (1..=seconds + 1).contains(&lines),
        "{lines} lines in {seconds} s"
    );
    assert!(taken > lines, "{taken}");
    let all = async || {
        export().await;
        let lines = keyed.audit_of("POST /api/exports");
        let unsaid = lines.iter().filter_map(|line| {
            let (_, unsaid) = line.split_once(", after ")?;
            unsaid.split_once(" more")?.0.parse::<usize>().ok()
        });
        lines.len() + unsaid.sum::<usize>()
    };
    eventually("the rest is counted", async || all().await > taken).await;
}

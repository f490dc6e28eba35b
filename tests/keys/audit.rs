//! What the audit tells.

use std::fs;

use dpmq::http::Needs;

use super::Keyed;
use super::common::{KEY, Setup, eventually};
use super::table::{About, rows};

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
    assert_eq!(changing, 5 + taken_out.len());
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
        let request = keyed.server.request(reqwest::Method::DELETE, path);
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

//! Pages that browsers may use the server from.

use reqwest::{Method, StatusCode};
use tokio_tungstenite::tungstenite;

use super::Keyed;
use super::table::{About, rows};
use crate::common::{KEY, Setup, TestServer};

const GOOD: &str = "https://good.example";

/// A key that nobody else knows.
const OWN: &str = "a key of this test alone";

async fn limited() -> Keyed {
    let setup = Setup::new()
        .set("secretKey", OWN)
        .environment("DPMQ_SERVER_ORIGINS", GOOD);
    let mut keyed = Keyed::stopped(setup);
    keyed.server.start_again().await;
    keyed
}

#[tokio::test]
async fn a_websocket_is_for_pages_that_are_allowed() {
    let keyed = limited().await;
    let path = "/Consumers/Conn/t/c";
    let foreign = ["https://evil.example", "null", "http://good.example"];
    let rebound = "http://evil.example:8011";
    for wrong in foreign.into_iter().chain([rebound]) {
        let headers = [("origin", wrong), ("host", "evil.example:8011")];
        match keyed.server.try_open(path, &headers).await {
            Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 403, "{wrong}"),
            _ => panic!("{wrong} is let in"),
        }
    }
    let own = format!("http://{}", keyed.server.address());
    for headers in [&[("origin", GOOD)][..], &[("origin", &own)], &[]] {
        let mut socket = keyed.server.try_open(path, headers).await.unwrap();
        socket.login(OWN).await;
    }
}

#[tokio::test]
async fn cors_names_the_page_that_is_allowed_and_no_other() {
    let keyed = limited().await;
    let allowed = async |method: Method, origin: Option<&str>| {
        let mut request = keyed.server.request(method, "/api/key");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = request.header("secretKey", OWN).send().await.unwrap();
        assert!(answer.status().is_success());
        assert_eq!(answer.headers()["vary"], "Origin");
        let allowed = answer.headers().get("access-control-allow-origin");
        allowed.map(|origin| origin.to_str().unwrap().to_owned())
    };
    for method in [Method::GET, Method::OPTIONS] {
        assert_eq!(
            allowed(method.clone(), Some(GOOD)).await.as_deref(),
            Some(GOOD)
        );
        assert_eq!(
            allowed(method.clone(), Some("https://evil.example")).await,
            None
        );
        assert_eq!(allowed(method, None).await, None);
    }
}

/// Status, the origin that may read the answer, and the answer.
async fn ask(
    server: &TestServer,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, Option<String>, String) {
    let mut request = server.request(method, path).header("secretKey", KEY);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let allowed = answer.headers().get("access-control-allow-origin");
    let allowed = allowed.map(|origin| origin.to_str().unwrap().to_owned());
    (
        answer.status().as_u16(),
        allowed,
        answer.text().await.unwrap(),
    )
}

const ADVICE: &str = "set mq.secretKey to a key of your own, or add ";
/// A page of somebody else, one without a name, and one whose name leads to the server by now.
const FOREIGN: [[(&str, &str); 2]; 4] = [
    [
        ("origin", "https://evil.example"),
        ("host", "127.0.0.1:8011"),
    ],
    [("origin", "null"), ("host", "localhost:8011")],
    [
        ("origin", "http://intranet:8080"),
        ("host", "127.0.0.1:8011"),
    ],
    [
        ("origin", "http://evil.example:8011"),
        ("host", "evil.example:8011"),
    ],
];

#[tokio::test]
async fn while_everybody_knows_the_key_no_page_of_another_machine_gets_to_any_route() {
    let keyed = Keyed::start().await;
    let about = About {
        topic: "t".to_owned(),
        code: "0".repeat(40),
        client: 1,
    };
    for row in rows() {
        let is_health = row.path.starts_with("/health/");
        for headers in FOREIGN {
            for method in [row.method, "OPTIONS"] {
                let mut request = row.request(&keyed, &about, KEY);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let mut request = request.build().unwrap();
                *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
                let answer = reqwest::Client::builder().no_proxy().build().unwrap();
                let answer = answer.execute(request).await.unwrap();
                let (status, told) = (answer.status(), answer.headers().clone());
                let refused = status == StatusCode::FORBIDDEN;
                assert_eq!(refused, !is_health, "{method} {} {headers:?}", row.path);
                if refused {
                    assert!(!told.contains_key("access-control-allow-origin"));
                    let text = answer.text().await.unwrap();
                    assert!(text.contains(ADVICE), "{text}");
                }
            }
        }
    }
    for path in ["/Consumers/Conn/t/c", "/Producers/Conn/t/p"] {
        for headers in FOREIGN {
            match keyed.server.try_open(path, &headers).await {
                Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 403),
                _ => panic!("{headers:?} is let in"),
            }
        }
    }
    assert_eq!(keyed.server.count().await, [0; 4]);
}

#[tokio::test]
async fn while_everybody_knows_the_key_a_name_that_may_be_anybodys_is_not_answered_to() {
    let server = TestServer::start().await;
    let get = async |host: &str| ask(&server, Method::GET, "/api/key", &[("host", host)]).await;
    for evil in [
        "evil.example",
        "evil.example:8011",
        "127.0.0.1.evil.example",
    ] {
        let (status, allowed, told) = get(evil).await;
        assert_eq!((status, allowed), (403, None), "{evil}");
        assert!(told.contains(ADVICE), "{told}");
    }
    for own in [
        "localhost:8011",
        "127.0.0.1",
        "[::1]:1",
        "192.0.2.1",
        "broker:8011",
    ] {
        assert_eq!(get(own).await.0, 200, "{own}");
    }
}

#[tokio::test]
async fn while_everybody_knows_the_key_programs_and_pages_of_this_machine_notice_nothing() {
    let server = TestServer::start().await;
    // No browser sends a POST or opens a socket without naming the page.
    let named = [("host", "mq.example:8011")];
    let (status, allowed, told) = ask(&server, Method::POST, "/Console/Ping", &named).await;
    assert_eq!(
        (status, allowed.as_deref(), &*told),
        (200, Some("*"), r#"{"code":0}"#)
    );
    let mut socket = server
        .try_open("/Consumers/Conn/t/c", &named)
        .await
        .unwrap();
    socket.login(KEY).await;

    let own = format!("http://{}", server.address());
    let pages = [
        &own,
        "http://localhost:3000",
        "http://[::1]",
        "https://app.localhost",
    ];
    for page in pages {
        let page = [("origin", page)];
        for method in [Method::POST, Method::OPTIONS] {
            let (status, allowed, _) = ask(&server, method, "/Console/Ping", &page).await;
            assert!([200, 204].contains(&status), "{page:?} {status}");
            assert_eq!(allowed.as_deref(), Some("*"));
        }
        let mut socket = server.try_open("/Producers/Conn/t/p", &page).await.unwrap();
        socket.login(KEY).await;
    }
}

#[tokio::test]
async fn while_everybody_knows_the_key_a_page_of_the_list_may() {
    let setup = Setup::new().environment("DPMQ_SERVER_ORIGINS", GOOD);
    let server = setup.start().await;
    let get = async |headers: &[(&str, &str)]| {
        let (status, allowed, _) = ask(&server, Method::GET, "/api/key", headers).await;
        (status, allowed)
    };
    let good = get(&[("origin", GOOD), ("host", "good.example")]).await;
    assert_eq!(good, (200, Some(GOOD.to_owned())));
    assert_eq!(get(&[("host", "good.example:8011")]).await.0, 200);
    assert_eq!(
        get(&[("origin", "https://evil.example")]).await,
        (403, None)
    );
}

#[tokio::test]
async fn with_a_key_of_ones_own_any_page_may() {
    let server = Setup::new().set("secretKey", OWN).start().await;
    for headers in FOREIGN {
        let answer = ask(&server, Method::POST, "/Console/Ping", &headers).await;
        let refused = r#"{"code":-1,"msg":"Secret key matching error"}"#;
        assert_eq!(answer, (200, Some("*".to_owned()), refused.to_owned()));
        let socket = server.try_open("/Consumers/Conn/t/c", &headers).await;
        socket.unwrap().login(OWN).await;
    }
}

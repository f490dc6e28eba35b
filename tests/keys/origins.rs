//! Pages that browsers may use the server from.

use reqwest::Method;
use tokio_tungstenite::tungstenite;

use super::Keyed;
use super::common::{KEY, Setup};

const GOOD: &str = "https://good.example";

async fn limited() -> Keyed {
    let setup = Setup::new().environment("DPMQ_SERVER_ORIGINS", GOOD);
    let mut keyed = Keyed::stopped(setup);
    keyed.server.start_again().await;
    keyed
}

#[tokio::test]
async fn a_websocket_is_for_pages_that_are_allowed() {
    let keyed = limited().await;
    let path = "/Consumers/Conn/t/c";
    for wrong in ["https://evil.example", "null", "http://good.example"] {
        match keyed.server.try_open(path, &[("origin", wrong)]).await {
            Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 403, "{wrong}"),
            _ => panic!("{wrong} is let in"),
        }
    }
    let own = format!("http://{}", keyed.server.address());
    for headers in [&[("origin", GOOD)][..], &[("origin", &own)], &[]] {
        let mut socket = keyed.server.try_open(path, headers).await.unwrap();
        socket.login(KEY).await;
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
        let answer = request.header("secretKey", KEY).send().await.unwrap();
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

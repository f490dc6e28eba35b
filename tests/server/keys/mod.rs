//! Named keys at the public doors: what each right opens, for which topics, until when, and what
//! the audit tells of it.

mod audit;
mod ends;
mod origins;
mod routes;
mod table;
mod throttle;

use std::path::PathBuf;

use dpmq::access::{KeysFile, ListedKey, Token};
use reqwest::Method;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Setup, Socket, TestServer};

/// A server with a file of keys.
struct Keyed {
    server: TestServer,
}

impl Keyed {
    async fn start() -> Keyed {
        let mut keyed = Keyed::stopped(Setup::new());
        keyed.server.start_again().await;
        keyed
    }

    /// The server before its start.
    fn stopped(setup: Setup) -> Keyed {
        let server = setup.stopped();
        Keyed { server }
    }

    fn path(&self) -> PathBuf {
        self.server.dir().join("config/keys.yaml")
    }

    fn file(&self) -> KeysFile {
        KeysFile::at(self.path())
    }

    /// Adds a key, and waits until the server knows it; the token.
    async fn key(&self, name: &str, rights: &[&str], topics: &[&str]) -> String {
        let before = self.loads();
        let token = self.add(name, rights, topics, None);
        self.until_loaded(before).await;
        token
    }

    /// How often the file was loaded.
    fn loads(&self) -> usize {
        let log = self.server.log();
        let loads = log.iter().filter(|line| line.contains("loaded the keys"));
        loads.count()
    }

    async fn until_loaded(&self, before: usize) {
        crate::common::eventually("the file is loaded", async || self.loads() > before).await;
    }

    /// Adds a key; the token.
    fn add(&self, name: &str, rights: &[&str], topics: &[&str], expires: Option<&str>) -> String {
        let token = Token::random().unwrap();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let rights: Vec<String> = texts(rights);
        let key = ListedKey::new(name, &rights, texts(topics), expires, token.digest());
        self.file().add(&key.unwrap()).unwrap();
        token.expose().to_owned()
    }

    /// Status and JSON of an answer.
    async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        let request = self.server.request(Method::GET, path);
        let response = request.header("secretKey", token).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// What the server says after the key was sent.
    async fn login(&self, path: &str, token: &str) -> (Socket, Result<(), (u16, String)>) {
        let mut socket = self.server.open(path).await;
        assert_eq!(socket.recv().await, "Please enter the secret key");
        socket.send(token).await;
        let said = match socket.frame().await.unwrap().unwrap() {
            Message::Text(text) => {
                assert_eq!(text, "Secret key matching succeeded");
                Ok(())
            }
            Message::Close(Some(close)) => Err((close.code.into(), close.reason.to_string())),
            other => panic!("{other:?}"),
        };
        (socket, said)
    }
}

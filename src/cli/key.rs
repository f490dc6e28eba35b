//! `dpmq key`: makes, lists and revokes named keys in their file.

use std::time::Duration;

use crate::access::{KeysError, KeysFile, ListedKey, Token};
use crate::cli::Failure;
use crate::cli::args::{Key, NewKey};
use crate::cli::client::request;
use crate::cli::client::stream;
use crate::cli::client::url::ServerUrl;
use crate::cli::failure::complain;
use crate::cli::terminal::output::Output;
use crate::clock::Clock;
use crate::config::Config;

const ROUTE: &str = "/api/key";
/// How often the server is asked, and the pause before each time.
const ASKED_MAX: usize = 4;
const PAUSE: Duration = Duration::from_millis(1100);

/// Changes or lists the file of keys of `config`. A running server notices changes by itself.
pub(super) fn run(config: &Config, key: Key) -> Result<(), Failure> {
    let file = KeysFile::at(&config.server.keys_file);
    match key {
        Key::New(new) => make(config, &file, &new),
        Key::List => list(&file),
        Key::Revoke { name } => Ok(file.remove(&name)?),
    }
}

fn make(config: &Config, file: &KeysFile, new: &NewKey) -> Result<(), Failure> {
    let token = Token::random().map_err(anyhow::Error::new)?;
    let (topics, expires) = (new.topics.clone(), new.expires.as_deref());
    let key = ListedKey::new(&new.name, &new.rights, topics, expires, token.digest())
        .map_err(|problem| Failure::Usage(format!("the key {:?}: {problem}", new.name)))?;
    if new.print {
        Output::open().line(token.expose().as_bytes())?;
        return Output::open().line(key.line().as_bytes());
    }
    file.add(&key)?;
    Output::open().line(token.expose().as_bytes())?;
    let path = std::path::absolute(file.path()).unwrap_or_else(|_| file.path().to_owned());
    complain(&format!(
        "added to {}; the key is shown this once:",
        path.display()
    ));
    complain(&key.line());
    if key.expires.is_some_and(|at| at <= Clock::system().now()) {
        complain("warning: it has expired already, and is good for nothing");
    } else if let Ok(url) = new.address.server(config) {
        complain(&in_effect(&url, &token));
    }
    Ok(())
}

/// Says whether the server accepts the key.
#[tokio::main(flavor = "current_thread")]
async fn in_effect(url: &ServerUrl, token: &Token) -> String {
    let address = url.address();
    if let Err(error) = stream::connect(url).await {
        return format!("no server was asked whether it takes it: {error:#}");
    }
    for _ in 0..ASKED_MAX {
        // A server looks at the file twice a second; each wrong key costs it a line of its audit.
        tokio::time::sleep(PAUSE).await;
        if request::get(url, token.expose(), ROUTE).await.is_ok() {
            return format!("the server at {address} takes it");
        }
    }
    format!(
        "warning: the server at {address} does not take it: server.keysFile is another file there, \
         or its user cannot read this one"
    )
}

fn list(file: &KeysFile) -> Result<(), Failure> {
    let mut out = Output::open();
    for key in file.keys()? {
        let now = Clock::system().now();
        let expires = match (key.expires_text(), key.expires) {
            (Some(text), Some(at)) if at <= now => format!("expired {text}"),
            (Some(text), _) => format!("expires {text}"),
            (None, _) => "does not expire".to_owned(),
        };
        let (name, rights) = (key.name, key.rights.names().join(","));
        let topics = key.topics.patterns().join(",");
        out.line(format!("{name}\t{rights}\t{topics}\t{expires}").as_bytes())?;
    }
    Ok(())
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Failure {
        match error {
            KeysError::Unreadable { .. } | KeysError::Unwritten { .. } => {
                Failure::Run(error.into())
            }
            KeysError::Malformed { .. } | KeysError::Key { .. } => {
                Failure::Usage(error.to_string())
            }
        }
    }
}

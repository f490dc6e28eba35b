//! `dpmq key`: named keys are made, listed and revoked, in their file.

use super::Failure;
use super::args::{Key, NewKey};
use super::output::{Output, complain};
use crate::access::{KeysError, KeysFile, ListedKey, Token};
use crate::clock::Clock;
use crate::config::Config;

/// Does what is asked with the file of `config`; a server that runs notices by itself.
pub(super) fn run(config: &Config, key: Key) -> Result<(), Failure> {
    let file = KeysFile::at(&config.server.keys_file);
    match key {
        Key::New(new) => make(&file, &new),
        Key::List => list(&file),
        Key::Revoke { name } => Ok(file.remove(&name)?),
    }
}

fn make(file: &KeysFile, new: &NewKey) -> Result<(), Failure> {
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
    let path = file.path().display();
    complain(&format!("added to {path}; the key is shown this once:"));
    complain(&key.line());
    Ok(())
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

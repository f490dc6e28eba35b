//! The configuration of a running server, which can be read again.

use std::sync::{Arc, PoisonError, RwLock};

use super::error::ConfigError;
use super::keys;
use super::layer::Layer;
use super::values::Values;
use super::{Config, Sources};

/// The configuration in use. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Live(Arc<RwLock<Arc<Config>>>);

impl Live {
    /// Begins with `config`.
    pub fn new(config: Config) -> Live {
        Live(Arc::new(RwLock::new(Arc::new(config))))
    }

    /// What is in use now.
    pub fn get(&self) -> Arc<Config> {
        // Whoever panicked has exchanged all of it or nothing.
        let config = self.0.read().unwrap_or_else(PoisonError::into_inner);
        config.clone()
    }

    /// Goes over to `config`.
    pub fn set(&self, config: Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }
}

/// What reading the configuration again came to.
#[derive(Debug)]
pub struct Reread {
    /// The new one; what needs a restart is as it was.
    pub config: Config,
    /// The settings that have changed in it.
    pub changed: Vec<&'static str>,
    /// The settings that have changed, and need a restart.
    pub waiting: Vec<&'static str>,
}

impl Config {
    /// Reads `sources` again for a server that runs with this configuration.
    ///
    /// # Errors
    /// As [`Config::load`]; also when the key would become the published default on a server
    /// that others reach.
    pub fn reread(&self, sources: &Sources) -> Result<Reread, ConfigError> {
        let mut figment = Config::merged(sources)?;
        let new = Config::from_values(&Values::new(figment.clone()))?;
        let (mut changed, mut waiting) = (vec![], vec![]);
        for (old, new) in self.settings.iter().zip(&new.settings) {
            let key = keys::find(old.key).expect("settings are of keys");
            if old.value == new.value {
                continue;
            }
            match key.is_fixed {
                false => changed.push(old.key),
                true => {
                    waiting.push(old.key);
                    figment = figment.merge(Layer::setting(&old.source, key, &old.value));
                }
            }
        }
        let config = Config::from_values(&Values::new(figment))?;
        if config.mq.secret_key != self.mq.secret_key {
            changed.push("mq.secretKey");
        }
        match (
            self.listen_host().restricted,
            config.listen_host().restricted,
        ) {
            (false, true) => Err(ConfigError::KeyTooOpen),
            (was, is) => {
                // It would listen elsewhere, if it began now.
                if was != is && !waiting.contains(&"server.host") {
                    waiting.push("server.host");
                }
                Ok(Reread {
                    config,
                    changed,
                    waiting,
                })
            }
        }
    }
}

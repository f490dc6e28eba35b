//! The configuration of a running server, which a reload replaces.

use std::sync::{Arc, PoisonError, RwLock};

use crate::config::error::ConfigError;
use crate::config::keys;
use crate::config::layer::Layer;
use crate::config::values::Values;
use crate::config::{Config, Setting, Sources};

/// The configuration in use. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Live(Arc<RwLock<Arc<Config>>>);

impl Live {
    /// A handle on `config`.
    pub fn new(config: Config) -> Live {
        Live(Arc::new(RwLock::new(Arc::new(config))))
    }

    /// The configuration in use.
    pub fn get(&self) -> Arc<Config> {
        // A panic elsewhere has exchanged all of it or nothing.
        let config = self.0.read().unwrap_or_else(PoisonError::into_inner);
        config.clone()
    }

    /// Replaces it by `config`.
    pub fn set(&self, config: Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }
}

/// The result of reading the configuration again.
#[derive(Debug)]
pub struct Reread {
    /// The new configuration. Settings that need a restart keep their values.
    pub config: Config,
    /// The settings that have changed.
    pub changed: Vec<&'static str>,
    /// The settings that have changed in the sources, but need a restart.
    pub waiting: Vec<&'static str>,
}

impl Config {
    /// Reads `sources` again for a server that runs with this configuration.
    ///
    /// # Errors
    /// A source is invalid; or the file that settings in use come from is gone or empty; or the secret
    /// key would become the published default because none is set, or would be easy to guess on a
    /// server that others reach.
    pub fn reread(&self, sources: &Sources) -> Result<Reread, ConfigError> {
        let file = crate::config::file_layer(sources.file.as_deref())?;
        self.expect_settings(file.as_ref())?;
        let mut figment = Config::merged(file, sources)?;
        let new = Config::from_values(&Values::new(figment.clone(), sources.path()))?;
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
        let config = Config::from_values(&Values::new(figment, sources.path()))?;
        if config.mq.secret_key != self.mq.secret_key {
            let mut secrets = config.settings.iter().filter(|setting| setting.secret);
            if secrets.any(|setting| setting.source == Layer::DEFAULTS) {
                return Err(ConfigError::KeyVanished);
            }
            changed.push("mq.secretKey");
        }
        match (
            self.listen_host().restricted,
            config.listen_host().restricted,
        ) {
            (false, true) => Err(ConfigError::KeyTooOpen),
            (was, is) => {
                // After a restart it would listen on another address.
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

    /// An empty file is a mistake, or is being written, if settings in use come from it.
    fn expect_settings(&self, file: Option<&Layer>) -> Result<(), ConfigError> {
        let (name, problem) = match file {
            None => (super::DEFAULT_FILE, "it is gone"),
            Some(layer) if layer.is_empty() => (layer.origin(), "it has no settings"),
            Some(_) => return Ok(()),
        };
        match self.settings.iter().find(|setting| setting.source == name) {
            Some(Setting { key, .. }) => Err(ConfigError::Vanished {
                file: name.to_owned(),
                problem,
                key,
            }),
            None => Ok(()),
        }
    }
}

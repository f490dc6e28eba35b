//! The configuration: its layers, and its validated form.
//!
//! There are four layers, each over the one before: the built-in defaults, a YAML file, environment
//! variables `DPMQ_<SECTION>_<KEY>`, the command line. Every value keeps the name of its layer, and
//! an invalid value is an error of one clear line, never a guess. The rest of the crate sees
//! durations, sizes and enums; only this module sees their texts.

mod error;
mod keys;
mod layer;
mod legacy;
mod live;
mod mq;
mod server;
mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::Figment;

use crate::config::layer::Layer;
use crate::config::values::Values;
use crate::regular;

pub use crate::config::error::ConfigError;
pub use crate::config::legacy::{LegacyView, Seconds};
pub use crate::config::live::{Live, Reread};
pub use crate::config::mq::{Durability, MqConfig, Recovery};
pub use crate::config::server::{ListenHost, Metrics, ServerConfig, TlsFiles};
pub use crate::config::setting::Setting;
pub use crate::config::values::origins::{Origins, Pages};
pub use crate::config::values::proxies::Proxies;
pub use crate::config::values::secret::SecretKey;

/// The file that is read when no other is named, from the working directory.
pub const DEFAULT_FILE: &str = "config/application.yaml";

/// The effective configuration, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `server` section: the address, and the limits of clients.
    pub server: ServerConfig,
    /// The `mq` section: the broker.
    pub mq: MqConfig,
    /// The `log` section.
    pub log: LogConfig,
    /// Every setting as text, in the order of the shipped file, with its layer.
    pub settings: Vec<Setting>,
    /// Variables that have names like settings, but come from services of Kubernetes.
    of_services: Vec<String>,
}

/// What is logged, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// A level, or `tracing` filter directives such as `info,dpmq::store=debug`.
    pub level: String,
    /// The format of a line.
    pub format: LogFormat,
    /// Whether the log also goes to a file per month under `log/`.
    pub file: bool,
    /// The file that the audit also goes to.
    pub audit_file: Option<PathBuf>,
}

/// The format of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object.
    Json,
}

/// The sources of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file to read; `None` for [`DEFAULT_FILE`], if it exists.
    pub file: Option<PathBuf>,
    /// Environment variables. Those without the prefix `DPMQ_` are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Keys and values of the command line. The last value of a key wins.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// The file to read. It need not exist if it is the default one.
    fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }
}

impl Config {
    /// Reads, merges and validates `sources`.
    ///
    /// # Errors
    ///
    /// A file, variable or argument is invalid; the error says in one line which one, and why.
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        let file = file_layer(sources.file.as_deref())?;
        let merged = Config::merged(file, sources)?;
        let mut config = Config::from_values(&Values::new(merged, sources.path()))?;
        config.of_services = layer::of_services(&sources.environment);
        Ok(config)
    }

    /// A note on variables that were not taken as settings, if there are any.
    pub fn note_on_variables(&self) -> Option<String> {
        let names = self.of_services.join(", ");
        (!names.is_empty()).then(|| {
            format!("not taken for settings, but for what Kubernetes tells of a service: {names}")
        })
    }

    fn merged(file: Option<Layer>, sources: &Sources) -> Result<Figment, ConfigError> {
        let mut figment = Figment::from(Layer::defaults());
        let layers = [
            Vec::from_iter(file),
            Layer::environment(&sources.environment)?,
            vec![Layer::command_line(&sources.overrides)?],
        ];
        for layer in layers.into_iter().flatten() {
            figment = figment.merge(layer);
        }
        Ok(figment)
    }

    fn from_values(values: &Values<'_>) -> Result<Config, ConfigError> {
        Ok(Config {
            server: ServerConfig::from_values(values)?,
            mq: MqConfig::from_values(values)?,
            log: LogConfig {
                level: values.read("log.level", values::log_level)?,
                format: values.read("log.format", log_format)?,
                file: values.read("log.file", values::flag)?,
                audit_file: values.read("log.auditFile", values::path_or_none)?,
            },
            settings: values.settings(),
            of_services: vec![],
        })
    }

    /// The host to listen on. It is loopback while the key is the published default or short, unless
    /// that is allowed explicitly, so that no network reaches a server that anyone can log in to.
    pub fn listen_host(&self) -> ListenHost<'_> {
        let key_is_safe = self.server.allow_default_key || !self.mq.secret_key.is_guessable();
        self.server.listen_host(key_is_safe)
    }

    /// The pages that browsers may use the server from.
    pub fn pages(&self) -> Pages<'_> {
        Pages {
            origins: &self.server.origins,
            key_is_published: self.mq.secret_key.is_default(),
        }
    }

    /// The `mq` section as the console API shows it (protocol, "GetConfig").
    pub fn legacy_view(&self) -> LegacyView<'_> {
        LegacyView::new(&self.mq)
    }
}

impl Default for Config {
    /// The built-in defaults.
    fn default() -> Config {
        Config::from_values(&Values::new(
            Figment::from(Layer::defaults()),
            Path::new(DEFAULT_FILE),
        ))
        .expect("a test reads every default")
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("is neither text nor json".to_owned()),
    }
}

/// The settings of the file; `None` if no file was named and the default one does not exist.
fn file_layer(named: Option<&Path>) -> Result<Option<Layer>, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match regular::read(path) {
        Ok(bytes) => Layer::yaml(path, &bytes).map(Some),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::Unreadable {
            file: path.display().to_string(),
            reason: error,
        }),
    }
}

#[cfg(test)]
mod fuzz;
mod setting;
#[cfg(test)]
mod tests;

//! The layers of a configuration: known keys with their texts, and where these come from.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use serde_json::Value as Json;

use crate::config::error::ConfigError;
use crate::config::keys::{self, KEYS, Key};

/// The values of one file, one variable, or the command line.
pub(super) struct Layer {
    origin: String,
    sections: BTreeMap<&'static str, Dict>,
}

/// A file: sections of keys, each with its text or nothing.
type File = BTreeMap<String, Option<BTreeMap<String, Option<String>>>>;

impl Layer {
    fn new(origin: impl Into<String>) -> Layer {
        Layer {
            origin: one_line(&origin.into()),
            sections: BTreeMap::new(),
        }
    }

    /// The name of the built-in values in messages.
    pub(super) const DEFAULTS: &str = "default";

    /// The name of the arguments in messages.
    const COMMAND_LINE: &str = "command line";

    /// Whether it stays until the process ends, as variables and arguments do.
    pub(super) fn is_of_the_process(origin: &str) -> bool {
        origin == Layer::COMMAND_LINE || setting_of_variable(origin).is_some()
    }

    /// The built-in values.
    pub(super) fn defaults() -> Layer {
        let mut layer = Layer::new(Layer::DEFAULTS);
        for key in KEYS {
            layer.set(key, key.default.to_owned());
        }
        layer
    }

    /// The name of a file in messages.
    pub(super) fn origin_of(file: &Path) -> String {
        one_line(&file.display().to_string())
    }

    /// The values of a YAML file.
    ///
    /// Scalars keep their text, so that `secretKey: 0123` stays `0123`.
    pub(super) fn yaml(path: &Path, bytes: &[u8]) -> Result<Layer, ConfigError> {
        let mut layer = Layer::new(path.display().to_string());
        let text = std::str::from_utf8(bytes)
            .map_err(|error| layer.malformed(format!("not UTF-8 text: {error}")))?;
        let file: Option<File> = serde_saphyr::from_str_with_options(text, yaml_options())
            .map_err(|error| layer.explain(text, &error))?;
        for (section, values) in file.unwrap_or_default() {
            if !KEYS.iter().any(|key| key.parts().0 == section) {
                return Err(layer.unknown_section(&section));
            }
            for (name, text) in values.unwrap_or_default() {
                let path = format!("{section}.{name}");
                let key = keys::find(&path).ok_or_else(|| layer.unknown(&path))?;
                let text = text.ok_or_else(|| layer.impossible(&path, "it has no value"))?;
                layer.set(key, text);
            }
        }
        Ok(layer)
    }

    /// A layer for each variable `DPMQ_<SECTION>_<KEY>`, so that each keeps its name.
    pub(super) fn environment(
        variables: &[(OsString, OsString)],
    ) -> Result<Vec<Layer>, ConfigError> {
        let mut layers: Vec<Layer> = Vec::new();
        for (name, value) in variables {
            let Some((name, path)) = name.to_str().and_then(setting_of_variable) else {
                continue;
            };
            if is_of_a_service(name, value) {
                continue;
            }
            let mut layer = Layer::new(name);
            let key = KEYS
                .iter()
                .find(|key| key.path.eq_ignore_ascii_case(&path))
                .ok_or_else(|| layer.unknown_variable(&path))?;
            if let Some(other) = layers.iter().find(|other| other.has(key)) {
                let problem = format!("{} sets it too", other.origin);
                return Err(layer.impossible(key.path, &problem));
            }
            let text = value
                .to_str()
                .ok_or_else(|| layer.impossible(key.path, "the value is not UTF-8 text"))?;
            layer.set(key, text.to_owned());
            layers.push(layer);
        }
        Ok(layers)
    }

    /// Keys and values of the command line; the last one of a key wins.
    pub(super) fn command_line(overrides: &[(String, String)]) -> Result<Layer, ConfigError> {
        let mut layer = Layer::new(Layer::COMMAND_LINE);
        for (path, text) in overrides {
            let key = keys::find(path).ok_or_else(|| layer.unknown(path))?;
            layer.set(key, text.clone());
        }
        Ok(layer)
    }

    /// One value.
    pub(super) fn setting(origin: &str, key: &Key, text: &str) -> Layer {
        let mut layer = Layer::new(origin);
        layer.set(key, text.to_owned());
        layer
    }

    fn set(&mut self, key: &Key, text: String) {
        let (section, name) = key.parts();
        let values = self.sections.entry(section).or_default();
        values.insert(name.to_owned(), Value::from(text));
    }

    /// Its name in messages.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it sets nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    fn has(&self, key: &Key) -> bool {
        let (section, name) = key.parts();
        self.sections
            .get(section)
            .is_some_and(|values| values.contains_key(name))
    }

    /// The key whose value in `text` is not a single one, if that is the mistake; if not, what the
    /// parser says, and where.
    fn explain(&self, text: &str, error: &serde_saphyr::Error) -> ConfigError {
        let read = serde_saphyr::from_str_with_options::<Json>(text, yaml_options());
        let Ok(Json::Object(sections)) = read else {
            return self.malformed(match read {
                Ok(_) => "expected sections such as \"mq:\", each with lines \"key: value\"".into(),
                Err(_) => parser_message(error),
            });
        };
        for (section, values) in sections {
            match values {
                Json::Null => {}
                Json::Object(values) => {
                    if let Some((name, _)) = values.iter().find(|(_, value)| !is_scalar(value)) {
                        let path = format!("{section}.{name}");
                        return self.impossible(&path, "expected one value, not a list or section");
                    }
                }
                _ => return self.impossible(&section, "expected lines \"key: value\" under it"),
            }
        }
        self.malformed(parser_message(error))
    }

    fn malformed(&self, reason: String) -> ConfigError {
        ConfigError::Malformed {
            file: self.origin.clone(),
            reason: one_line(&reason),
        }
    }

    fn unknown(&self, path: &str) -> ConfigError {
        ConfigError::Unknown {
            origin: self.origin.clone(),
            key: one_line(path),
            hint: keys::similar(path)
                .map(|key| format!(", did you mean {}?", key.path))
                .unwrap_or_default(),
        }
    }

    fn unknown_section(&self, name: &str) -> ConfigError {
        ConfigError::Unknown {
            origin: self.origin.clone(),
            key: one_line(name),
            hint: keys::similar_section(name)
                .map(|section| format!(", did you mean {section}?"))
                .unwrap_or_default(),
        }
    }

    fn unknown_variable(&self, path: &str) -> ConfigError {
        let variable = |key: &Key| format!("DPMQ_{}", key.path.replace('.', "_").to_uppercase());
        ConfigError::Unknown {
            origin: self.origin.clone(),
            key: one_line(path),
            hint: keys::similar(path)
                .map(|key| format!(", did you mean {}?", variable(key)))
                .unwrap_or_default(),
        }
    }

    fn impossible(&self, path: &str, problem: &str) -> ConfigError {
        ConfigError::Impossible {
            origin: self.origin.clone(),
            key: one_line(path),
            problem: problem.to_owned(),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let sections = self.sections.iter();
        let dict: Dict = sections
            .map(|(name, values)| ((*name).to_owned(), Value::from(values.clone())))
            .collect();
        Ok(Profile::Default.collect(dict))
    }
}

/// The name of a variable, and the setting that it names, `section.key` in any case; `None` for a
/// variable without the prefix.
fn setting_of_variable(name: &str) -> Option<(&str, String)> {
    let (prefix, rest) = name.split_at_checked("DPMQ_".len())?;
    let (section, key) = rest.split_once('_')?;
    (prefix.eq_ignore_ascii_case("DPMQ_") && keys::is_section(section))
        .then(|| (name, format!("{}.{key}", section.to_lowercase())))
}

/// The variables that look like settings, but are those that Kubernetes sets in every pod for a
/// service with a name such as `dpmq-server`.
pub(super) fn of_services(variables: &[(OsString, OsString)]) -> Vec<String> {
    let names = variables.iter().filter_map(|(name, value)| {
        let (name, _) = setting_of_variable(name.to_str()?)?;
        is_of_a_service(name, value).then(|| name.to_owned())
    });
    names.collect()
}

/// Such as `DPMQ_SERVER_SERVICE_HOST`, `DPMQ_SERVER_PORT_8011_TCP_ADDR`, and `DPMQ_SERVER_PORT`
/// with an address as its value.
fn is_of_a_service(name: &str, value: &OsStr) -> bool {
    let is_address = |value: &str| {
        let schemes = ["tcp://", "udp://", "sctp://"];
        schemes.iter().any(|scheme| value.starts_with(scheme))
    };
    let name = name.to_uppercase();
    name.contains("_SERVICE_") || name.contains("_PORT_") || value.to_str().is_some_and(is_address)
}

/// The beginning of `text`, with control characters escaped, so that an error is one line.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars().take(200) {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

fn is_scalar(value: &Json) -> bool {
    !matches!(value, Json::Array(_) | Json::Object(_))
}

/// Without the piece of the file around the mistake: a key may be in it.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! { with_snippet: false }
}

fn parser_message(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::DuplicateMappingKey { key, location } => format!(
            "line {}: {} appears twice",
            location.line(),
            key.as_deref().unwrap_or("a key")
        ),
        serde_saphyr::Error::MultipleDocuments { location, .. } => format!(
            "line {}: a second document begins with \"---\"",
            location.line()
        ),
        other => other.to_string(),
    }
}

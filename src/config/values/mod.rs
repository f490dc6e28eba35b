//! Parses the merged texts. Every check of a single value is here.

pub(super) mod origins;
pub(super) mod proxies;
pub(super) mod secret;

use std::net::IpAddr;
use std::num::IntErrorKind;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::SecretKey;
use crate::config::Setting;
use crate::config::error::ConfigError;
use crate::config::keys::{self, KEYS, Key};
use crate::config::layer::Layer;

/// What stands in place of a secret.
const MASK: &str = "(hidden)";

/// The longest time, about 30 years: far from where clocks overflow.
const SECONDS_MAX: f64 = 1e9;

/// The merged layers.
pub(in crate::config) struct Values<'a> {
    figment: Figment,
    /// The configuration file, which need not exist.
    file: &'a Path,
}

impl Values<'_> {
    pub(in crate::config) fn new(figment: Figment, file: &Path) -> Values<'_> {
        Values { figment, file }
    }

    /// The path of a file. A relative path in the configuration file starts at the folder of that
    /// file, one of a variable or an argument at the working directory.
    pub(in crate::config) fn beside(&self, path: &str) -> Result<PathBuf, ConfigError> {
        let file = self.read(path, self::path)?;
        let (_, origin) = self.find(keys::find(path).expect("only known settings are read"));
        let is_beside = origin == Layer::DEFAULTS || origin == Layer::origin_of(self.file);
        Ok(match self.file.parent() {
            Some(folder) if is_beside => folder.join(file),
            _ => file,
        })
    }

    /// The value at `path`, which must be one of [`KEYS`], read by `parse`.
    ///
    /// The error text of `parse` follows the value: `is not …`.
    pub(in crate::config) fn read<T>(
        &self,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let key = keys::find(path).expect("only known settings are read");
        let (text, origin) = self.find(key);
        parse(&text).map_err(|problem| ConfigError::Impossible {
            origin,
            key: key.path.to_owned(),
            problem: match key.is_secret() {
                true => format!("the value {problem}"),
                false => format!("{} {problem}", quoted(&text)),
            },
        })
    }

    /// Every setting as text.
    pub(in crate::config) fn settings(&self) -> Vec<Setting> {
        let setting = |key: &'static Key| {
            let (value, source) = self.find(key);
            let secret = key.is_secret();
            Setting {
                key: key.path,
                value: if secret { MASK.to_owned() } else { value },
                default: key.default,
                reloads: !key.is_fixed && !Layer::is_of_the_process(&source),
                source,
                meaning: key.meaning,
                secret,
            }
        };
        KEYS.iter().map(setting).collect()
    }

    /// The text of `key`, and where it comes from.
    fn find(&self, key: &Key) -> (String, String) {
        let value = self.figment.find_value(key.path);
        let value = value.expect("the layer of defaults has every key");
        let metadata = self.figment.get_metadata(value.tag());
        let origin = metadata.map(|metadata| metadata.name.to_string());
        let text = value.into_string().expect("layers hold texts");
        (text, origin.unwrap_or_default())
    }
}

/// `text` in quotes; a long text is cut.
fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A whole number in `range`.
pub(in crate::config) fn whole<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| {
        let (min, max) = (*range.start(), *range.end());
        let over = || format!("is more than {max}");
        match text.parse::<u64>() {
            Ok(number) if number > max => Err(over()),
            Ok(number) if number >= min => T::try_from(number).map_err(|_| over()),
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => Err(over()),
            _ => Err(format!("is not a whole number of {min} or more")),
        }
    }
}

/// A port number.
pub(in crate::config) fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| "is not a port number from 0 to 65535".to_owned())
}

/// An integer of any sign.
pub(in crate::config) fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "is not a whole number".to_owned())
}

/// A number of MiB in `range`, in bytes.
pub(in crate::config) fn mebibytes<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl FnOnce(&str) -> Result<T, String> {
    const MIB: u64 = 1024 * 1024;
    move |text| {
        let count: u64 = whole(range)(text)?;
        let bytes = count.checked_mul(MIB).and_then(|n| T::try_from(n).ok());
        bytes.ok_or_else(|| "is more than this machine can address".to_owned())
    }
}

/// Seconds, 0 or more, fractions allowed.
pub(in crate::config) fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().unwrap_or(f64::NAN);
    if number.is_finite() && number > SECONDS_MAX {
        return Err(format!("is more than {SECONDS_MAX} seconds"));
    }
    Duration::try_from_secs_f64(number).map_err(|_| "is not a number of seconds, 0 or more".into())
}

/// Seconds above 0, in steps that a timer can keep: a millisecond or more.
pub(in crate::config) fn seconds_above_zero(text: &str) -> Result<Duration, String> {
    match seconds(text) {
        Ok(time) if time < Duration::from_millis(1) => Err("is not 0.001 seconds or more".into()),
        other => other,
    }
}

/// `0` or `1`, also written `false` or `true`.
pub(in crate::config) fn flag(text: &str) -> Result<bool, String> {
    match text {
        "0" | "false" => Ok(false),
        "1" | "true" => Ok(true),
        _ => Err("is neither 0 nor 1".to_owned()),
    }
}

/// The path of a file. Nothing in it is expanded, as a shell would do.
pub(in crate::config) fn path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if text.trim().is_empty() || text.contains('\0') {
        return Err("is not a path".to_owned());
    }
    if text.starts_with('~') {
        return Err(
            "begins with ~, which is not expanded: give the whole path, or ./~ if it is a name"
                .to_owned(),
        );
    }
    if text.starts_with('$') || text.contains("${") {
        return Err("has a variable, which is not expanded: give the whole path".to_owned());
    }
    let names_a_folder = text.ends_with('/') || text.ends_with("/.") || path.file_name().is_none();
    match names_a_folder {
        true => Err(
            "names a folder: give the path of a file in it, without a slash at the end".to_owned(),
        ),
        false => Ok(path),
    }
}

/// A path, or an empty text for none.
pub(in crate::config) fn path_or_none(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "" => Ok(None),
        text => path(text).map(Some),
    }
}

/// A key that can be typed and sent: not empty, without control characters, and without blanks at
/// its ends, which a header would lose.
pub(in crate::config) fn secret_key(text: &str) -> Result<SecretKey, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("has a line end or another control character in it".to_owned());
    }
    if text.trim_matches(' ') != text {
        return Err("has a blank at an end, which no client can send in a header".to_owned());
    }
    Ok(SecretKey::new(text))
}

/// A host name or an IP address, without the brackets of `[::]`.
pub(in crate::config) fn host(text: &str) -> Result<String, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match !text.is_empty() && text.chars().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("is not a host name or an IP address".to_owned()),
    }
}

/// A filter of `tracing`. A single word has to be a level: `tracing` takes any other as the name of
/// a module, so that a mistake such as `verbose` would turn the log off.
pub(in crate::config) fn log_level(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    let understood = match words[..] {
        [word] if !word.contains(['=', '[']) => {
            !word.is_empty() && word.parse::<LevelFilter>().is_ok()
        }
        _ => !words.contains(&"") && EnvFilter::try_new(text).is_ok(),
    };
    match understood {
        true => Ok(text.trim().to_owned()),
        false => Err(
            "is neither one of off, error, warn, info, debug, trace nor filter directives"
                .to_owned(),
        ),
    }
}

//! GET /api/config: every setting, its source and its meaning.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::config::Setting;
use crate::http::api::reply;
use crate::http::api::request::params::NoParams;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;

/// A setting; a secret one without its value.
#[derive(Serialize)]
struct SettingJson<'a> {
    key: &'a str,
    value: Option<&'a str>,
    default: Option<&'a str>,
    source: &'a str,
    reloads: bool,
    meaning: &'a str,
    secret: bool,
}

impl<'a> SettingJson<'a> {
    /// Hides the names of topics from a key for some topics.
    fn of(setting: &'a Setting, caller: &Caller) -> SettingJson<'a> {
        let secret = setting.secret || (setting.names_topics() && !caller.sees_all());
        let shown = |text: &'a str| Some(text).filter(|_| !secret);
        SettingJson {
            key: setting.key,
            value: shown(&setting.value),
            default: shown(setting.default),
            source: &setting.source,
            reloads: setting.reloads,
            meaning: setting.meaning,
            secret,
        }
    }
}

/// GET /api/config.
pub(in crate::http::api) async fn config(
    State(state): State<HttpState>,
    caller: Caller,
    _: NoParams,
) -> Response {
    #[derive(Serialize)]
    struct Config<'a> {
        settings: Vec<SettingJson<'a>>,
    }
    let config = state.config();
    let config = Config {
        settings: config
            .settings
            .iter()
            .map(|setting| SettingJson::of(setting, &caller))
            .collect(),
    };
    reply::of(StatusCode::OK, &config)
}

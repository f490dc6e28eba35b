//! GET /api/config: every setting, its source and its meaning.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::super::HttpState;
use super::params::NoParams;
use crate::config::Setting;

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
    fn of(setting: &'a Setting) -> SettingJson<'a> {
        let shown = |text: &'a str| Some(text).filter(|_| !setting.secret);
        SettingJson {
            key: setting.key,
            value: shown(&setting.value),
            default: shown(setting.default),
            source: &setting.source,
            reloads: setting.reloads,
            meaning: setting.meaning,
            secret: setting.secret,
        }
    }
}

/// See the module.
pub(super) async fn config(State(state): State<HttpState>, _: NoParams) -> Response {
    #[derive(Serialize)]
    struct Config<'a> {
        settings: Vec<SettingJson<'a>>,
    }
    let config = state.config();
    let config = Config {
        settings: config.settings.iter().map(SettingJson::of).collect(),
    };
    super::reply(StatusCode::OK, &config)
}

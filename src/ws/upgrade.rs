//! From a request to a WebSocket (RFC 6455, 4.2). No extension is negotiated, so nothing is
//! compressed.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::intake::{Intake, Limits};
use crate::connection::line::Line;

/// The connection of a client, as messages of the library.
pub(super) type WebSocket = WebSocketStream<Intake<TokioIo<Upgraded>>>;

/// A request for a WebSocket that can be granted.
pub(super) struct Upgrade {
    key: HeaderValue,
    upgraded: OnUpgrade,
    line: Line,
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Upgrade, Response> {
        let headers = &parts.headers;
        let refuse = |reason| (StatusCode::BAD_REQUEST, reason).into_response();
        if !has_word(headers, header::CONNECTION, "upgrade") {
            return Err(refuse(
                "this route is a WebSocket: Connection must be upgrade",
            ));
        }
        if !has_word(headers, header::UPGRADE, "websocket") {
            return Err(refuse(
                "this route is a WebSocket: Upgrade must be websocket",
            ));
        }
        if !has_word(headers, header::SEC_WEBSOCKET_VERSION, "13") {
            let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
            let reason = "Sec-WebSocket-Version must be 13";
            return Err((StatusCode::UPGRADE_REQUIRED, version, reason).into_response());
        }
        let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY).cloned() else {
            return Err(refuse("Sec-WebSocket-Key is missing"));
        };
        let upgraded = parts.extensions.remove::<OnUpgrade>();
        match upgraded.zip(parts.extensions.remove::<Line>()) {
            Some((upgraded, line)) => Ok(Upgrade {
                key,
                upgraded,
                line,
            }),
            None => Err(refuse("the connection cannot become a WebSocket")),
        }
    }
}

fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(word))
}

impl Upgrade {
    /// The response that grants the upgrade. `session` runs once the client has it.
    pub(super) fn accept<F: Future<Output = ()> + Send>(
        self,
        config: WebSocketConfig,
        limits: Limits,
        session: impl FnOnce(WebSocket, Line) -> F + Send + 'static,
    ) -> Response {
        let Upgrade {
            key,
            upgraded,
            line,
        } = self;
        tokio::spawn(async move {
            match upgraded.await {
                Ok(upgraded) => {
                    let stream = Intake::new(TokioIo::new(upgraded), limits);
                    let socket =
                        WebSocketStream::from_raw_socket(stream, Role::Server, Some(config));
                    session(socket.await, line).await;
                }
                Err(error) => tracing::debug!(%error, "an upgrade to WebSocket failed"),
            }
        });
        let headers = [
            (header::CONNECTION, "upgrade".to_owned()),
            (header::UPGRADE, "websocket".to_owned()),
            (
                header::SEC_WEBSOCKET_ACCEPT,
                derive_accept_key(key.as_bytes()),
            ),
        ];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }
}

//! A request to the console API of a server, whose reply is read piece by piece.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::client::stream;
use crate::cli::client::url::ServerUrl;

/// How long the server may take to connect, to answer, and for each piece of a reply.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// How long a server may take to answer a health request.
const HEALTH_TIME: Duration = Duration::from_secs(5);
/// More bytes than any refusal has.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// A reply with status 200.
pub(in crate::cli) struct Reply {
    body: Incoming,
    address: String,
    /// The length of the reply, if it is known.
    bytes: Option<u64>,
}

/// More bytes than any JSON that is read whole.
const JSON_BYTES_MAX: usize = 16 << 20;

/// Requests `route`, and reads its JSON.
pub(in crate::cli) async fn json<T: DeserializeOwned>(
    url: &ServerUrl,
    key: &str,
    route: &str,
) -> anyhow::Result<T> {
    let whole = get(url, key, route).await?.whole().await?;
    let address = url.address();
    serde_json::from_slice(&whole).with_context(|| format!("{address} is no DPMQ server"))
}

/// Requests `route`, whose reply may be endless.
pub(in crate::cli) async fn get(url: &ServerUrl, key: &str, route: &str) -> anyhow::Result<Reply> {
    answer(url, key, Method::GET, route, String::new()).await
}

/// Whether `route` names something that exists: 404 means that it does not.
pub(in crate::cli) async fn is_there(
    url: &ServerUrl,
    key: &str,
    route: &str,
) -> anyhow::Result<bool> {
    let response = respond(url, key, Method::GET, route, String::new()).await?;
    match response.status() {
        StatusCode::OK => Ok(true),
        StatusCode::NOT_FOUND => Ok(false),
        _ => bail!("{} refused: {}", url.address(), refusal(response).await),
    }
}

/// Posts JSON to `route`.
pub(in crate::cli) async fn post(
    url: &ServerUrl,
    key: &str,
    route: &str,
    json: String,
) -> anyhow::Result<Reply> {
    answer(url, key, Method::POST, route, json).await
}

/// Asks the health route `route`: whether the server is well, and its answer.
pub(in crate::cli) async fn health(url: &ServerUrl, route: &str) -> anyhow::Result<(bool, Bytes)> {
    let address = url.address();
    let asked = async {
        let response = ask(url, None, Method::GET, route, String::new()).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX);
        let text = body.collect().await.map_err(|error| anyhow!(error))?;
        match status {
            StatusCode::OK => Ok((true, text.to_bytes())),
            StatusCode::SERVICE_UNAVAILABLE => Ok((false, text.to_bytes())),
            other => bail!("{address} is no DPMQ server: HTTP {other}"),
        }
    };
    let answered = tokio::time::timeout(HEALTH_TIME, asked).await;
    answered.map_err(|_| {
        let seconds = HEALTH_TIME.as_secs();
        anyhow!("{address} did not answer within {seconds} seconds")
    })?
}

async fn answer(
    url: &ServerUrl,
    key: &str,
    method: Method,
    route: &str,
    json: String,
) -> anyhow::Result<Reply> {
    let address = url.address();
    let response = respond(url, key, method, route, json).await?;
    if response.status() != StatusCode::OK {
        bail!("{address} refused: {}", refusal(response).await);
    }
    let body = response.into_body();
    Ok(Reply {
        bytes: body.size_hint().exact(),
        body,
        address,
    })
}

async fn respond(
    url: &ServerUrl,
    key: &str,
    method: Method,
    route: &str,
    json: String,
) -> anyhow::Result<Response<Incoming>> {
    let answered = tokio::time::timeout(ANSWER_TIME, ask(url, Some(key), method, route, json));
    answered.await.map_err(|_| {
        let (address, seconds) = (url.address(), ANSWER_TIME.as_secs());
        anyhow!("{address} did not answer within {seconds} seconds")
    })?
}

async fn ask(
    url: &ServerUrl,
    key: Option<&str>,
    method: Method,
    route: &str,
    json: String,
) -> anyhow::Result<Response<Incoming>> {
    let address = url.address();
    let stream = stream::connect(url).await?;
    let not_http = || format!("{address} is no DPMQ server");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .with_context(not_http)?;
    // The reader of the reply is told how it ends.
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(url.path(route))
        .header(header::HOST, &address)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header("secretKey", key);
    }
    let request = request
        .body(Full::new(Bytes::from(json)))
        .context("the key cannot be sent in a header")?;
    sender.send_request(request).await.with_context(not_http)
}

/// Why a request was refused, from the reply to it.
async fn refusal(response: Response<Incoming>) -> String {
    #[derive(Deserialize)]
    struct Failure {
        error: Reason,
    }
    #[derive(Deserialize)]
    struct Reason {
        message: String,
    }
    let status = response.status();
    let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX);
    let body = body.collect().await.map(|body| body.to_bytes());
    let failure = body.map(|bytes| serde_json::from_slice::<Failure>(&bytes));
    match failure {
        Ok(Ok(failure)) => failure.error.message,
        _ => format!("HTTP {status}"),
    }
}

impl Reply {
    /// The length of the reply.
    pub(in crate::cli) fn bytes(&self) -> anyhow::Result<u64> {
        let no_length = || format!("{} does not say how much there is", self.address);
        self.bytes.with_context(no_length)
    }

    /// The whole reply.
    pub(in crate::cli) async fn whole(mut self) -> anyhow::Result<Vec<u8>> {
        let mut whole = vec![];
        while let Some(bytes) = self.next().await? {
            anyhow::ensure!(
                whole.len() + bytes.len() <= JSON_BYTES_MAX,
                "the answer is too long"
            );
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    /// The next bytes; `None` at the end.
    pub(in crate::cli) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(ANSWER_TIME, self.body.frame()).await;
            let frame = frame.map_err(|_| anyhow!("{} sends nothing any more", self.address))?;
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.with_context(|| format!("{} broke off", self.address))?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
    }
}

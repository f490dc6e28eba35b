//! A producer over HTTP: one request at a time, on one connection.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cli::bench::clients::outbound::{Outbound, refusal};
use crate::cli::bench::schedule::{Clock, Plan, Step};
use crate::cli::client::stream;
use crate::cli::client::url::ServerUrl;
use crate::message::Topic;

const SEND: &str = "/Producer/Send";
const PING: &str = "/Console/Ping";
/// More bytes than any answer has.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long an answer is waited for after the run was stopped.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// A producer that is connected.
pub(in crate::cli::bench) struct HttpProducer {
    sender: SendRequest<Full<Bytes>>,
    /// All but the body of every message.
    head: Request<()>,
    /// What comes before the message in every body.
    prefix: Vec<u8>,
}

impl HttpProducer {
    /// Connects, and checks the key.
    pub(in crate::cli::bench) async fn connect(
        url: &ServerUrl,
        key: &str,
        topic: &Topic,
    ) -> anyhow::Result<HttpProducer> {
        let address = url.address();
        let stream = stream::connect(url).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Those who wait for an answer are told how it ends.
        tokio::spawn(connection);
        let head = |route| {
            Request::post(url.path(route))
                .header(header::HOST, &address)
                .header("secretKey", key)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(())
                .context("the key cannot be sent in a header")
        };
        let mut form = form_urlencoded::Serializer::new(String::new());
        let prefix = form
            .append_pair("topic", topic.as_str())
            .append_pair("messageData", "")
            .finish();
        let mut producer = HttpProducer {
            sender,
            head: head(PING)?,
            prefix: prefix.into_bytes(),
        };
        let answer = producer.send(Bytes::new()).await?;
        if let Some(reason) = refusal(&answer)? {
            bail!("{address} refused: {reason} (--key, or DPMQ_MQ_SECRETKEY)");
        }
        producer.head = head(SEND)?;
        Ok(producer)
    }

    /// Sends the messages of the plan, each after the answer to the one before.
    ///
    /// # Errors
    ///
    /// The connection has ended, or an answer is invalid. `out` has what was done before.
    pub(in crate::cli::bench) async fn run(
        mut self,
        plan: Plan,
        clock: Clock,
        due: Arc<Notify>,
        stop: CancellationToken,
        out: &mut Outbound,
    ) -> anyhow::Result<()> {
        // What is under way when it stops may have its answer yet: else the server could store
        // the message after the topic was cleared.
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(ANSWER_TIME).await;
        };
        tokio::select! {
            ended = self.send_all(plan, clock, &due, &stop, out) => ended,
            () = stopped => Ok(()),
        }
    }

    async fn send_all(
        &mut self,
        plan: Plan,
        clock: Clock,
        due: &Notify,
        stop: &CancellationToken,
        out: &mut Outbound,
    ) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            match plan.step(out.producer(), out.sent, clock.now_ns()) {
                Step::End => return Ok(()),
                Step::Wait => tokio::select! {
                    () = due.notified() => {}
                    () = stop.cancelled() => {}
                },
                Step::Send(at) => {
                    let body = out.next(&self.prefix, at);
                    out.expect_answer(at);
                    out.show();
                    let answer = self.send(body).await?;
                    out.take(&answer, clock.now_ns())?;
                    out.show();
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, body: Bytes) -> anyhow::Result<Bytes> {
        let request = self.head.clone().map(|()| Full::new(body));
        let response = self.sender.send_request(request).await;
        let response = response.context("the connection was lost")?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer is no whole one: {error}"))?;
        match status {
            StatusCode::OK => Ok(body.to_bytes()),
            _ => bail!("the server refused: HTTP {status}"),
        }
    }
}

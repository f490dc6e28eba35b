//! The clients: producers that count their answers, and consumers of every manner. None of
//! them fails when the server dies; they tell the [`Ledger`] what they saw until then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::common::{KEY, PATIENCE};
use crate::kill_9::ledger::{Ledger, RUDE, Session, TOPICS, UNHEARD};
use crate::kill_9::random::Random;

/// The most messages of a producer that wait for an answer.
const WINDOW_MAX: usize = 300;

/// What all clients of one life of the server share.
#[derive(Clone)]
pub(crate) struct Load {
    address: String,
    http: reqwest::Client,
    ledger: Arc<Ledger>,
    /// Messages that may still be sent.
    budget: Arc<AtomicUsize>,
    /// Becomes true when the server has been killed, or a consumer may go.
    over: watch::Receiver<bool>,
}

/// How a consumer behaves.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// Reads for as long as there is somebody who writes.
    Stays,
    /// Reads for a while, and ends its side.
    Leaves,
    /// Reads nothing for a while, or as long as the server lives.
    Stalls,
    /// Reads for a while, and is gone.
    Vanishes,
}

/// The clients of one life of the server.
pub(crate) struct Clients {
    load: Load,
    over: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Clients {
    pub(crate) fn new(address: &str, ledger: &Arc<Ledger>, messages: usize) -> Clients {
        let (sender, over) = watch::channel(false);
        Clients {
            load: Load {
                address: address.to_owned(),
                http: reqwest::Client::builder().no_proxy().build().unwrap(),
                ledger: ledger.clone(),
                budget: Arc::new(AtomicUsize::new(messages)),
                over,
            },
            over: sender,
            tasks: JoinSet::new(),
        }
    }

    /// A random crowd.
    pub(crate) fn crowd(&mut self, random: &mut Random) {
        for _ in 0..random.between(1, 4) {
            let acks = !random.one_in(5);
            self.producer(random.of(&TOPICS), acks, random.fork());
        }
        for _ in 0..random.between(0, 3) {
            self.sender(random.fork());
        }
        if random.one_in(3) {
            self.deleter(random.fork());
        }
        for _ in 0..random.between(0, 6) {
            let (topic, manner) = random.of(&[
                ("steady", Manner::Stays),
                ("many", Manner::Stays),
                ("many", Manner::Stays),
                ("many", Manner::Stalls),
                ("visited", Manner::Leaves),
                ("stalled", Manner::Stalls),
                (RUDE, Manner::Vanishes),
                (RUDE, Manner::Stays),
            ]);
            self.visitors(topic, manner, random.fork());
        }
    }

    /// A producer over WebSocket; now and then it ends its session and begins another.
    pub(crate) fn producer(&mut self, topic: &'static str, acks: bool, mut random: Random) {
        let load = self.load.clone();
        self.tasks.spawn(async move {
            while !load.over() && load.produce(topic, acks, &mut random).await {}
        });
    }

    /// A producer over HTTP.
    pub(crate) fn sender(&mut self, mut random: Random) {
        let load = self.load.clone();
        self.tasks.spawn(async move {
            let session = load.ledger.session();
            while !load.over() && load.take_budget() {
                let topic = random.of(&TOPICS);
                if !load.post(topic, session, &mut random).await {
                    return;
                }
            }
        });
    }

    /// Somebody who deletes a message now and then.
    pub(crate) fn deleter(&mut self, mut random: Random) {
        let load = self.load.clone();
        self.tasks.spawn(async move {
            while !load.over() && load.delete(&mut random).await {
                load.wait(random.millis(0, 30)).await;
            }
        });
    }

    /// One consumer after the other, each for a while, or one that stays.
    pub(crate) fn visitors(&mut self, topic: &'static str, manner: Manner, mut random: Random) {
        let load = self.load.clone();
        self.tasks.spawn(async move {
            while !load.over() {
                load.consume(topic, manner, &mut random).await;
                tokio::time::sleep(random.millis(0, 20)).await;
            }
        });
    }

    /// A consumer on every topic that reads until [`Clients::end`].
    pub(crate) fn listeners(&mut self, topics: &[&'static str], random: &mut Random) {
        for topic in topics {
            self.visitors(topic, Manner::Stays, random.fork());
        }
    }

    /// Waits until every client has seen the end of a server that was killed, or has taken
    /// its leave from one that lives.
    pub(crate) async fn end(mut self) {
        self.over.send_replace(true);
        let ended = async { while self.tasks.join_next().await.transpose().unwrap().is_some() {} };
        if timeout(PATIENCE, ended).await.is_err() {
            let fault = "a client still waits after the end of the server";
            self.load.ledger.fault(fault.to_owned());
        }
    }
}

impl Load {
    fn over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits for the end, at most for a time.
    async fn wait(&self, time: Duration) {
        let mut over = self.over.clone();
        let _ = timeout(time, over.wait_for(|over| *over)).await;
    }

    fn take_budget(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        self.budget.fetch_update(order, order, take).is_ok()
    }

    /// A session that is logged in; `None` when the server is gone.
    async fn connect(&self, path: &str) -> Option<WebSocketStream<TcpStream>> {
        let stream = TcpStream::connect(&self.address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let url = format!("ws://{}{path}", self.address);
        let (mut socket, _) = client_async(url, stream).await.ok()?;
        socket.next().await?.ok()?;
        socket.send(Message::text(KEY)).await.ok()?;
        socket.next().await?.ok()?;
        Some(socket)
    }

    /// One session; false when the server is gone, or nothing more is to be sent.
    async fn produce(&self, topic: &'static str, acks: bool, random: &mut Random) -> bool {
        let acks = usize::from(acks);
        let path = format!("/Producers/Conn/{topic}/p?ack={acks}");
        let Some(socket) = self.connect(&path).await else {
            return false;
        };
        let (mut sink, mut stream) = socket.split();
        let window = Semaphore::new(random.between(1, WINDOW_MAX));
        let waiting = Mutex::new(VecDeque::new());
        let messages = match random.one_in(3) {
            true => random.between(1, 500),
            false => usize::MAX,
        };
        let mut left = messages;
        let session = self.ledger.session();
        let write = async {
            while left > 0 && !self.over() && self.take_budget() {
                left -= 1;
                if random.one_in(100) || (acks == 1 && window.available_permits() == 0) {
                    sink.flush().await.ok()?;
                    tokio::time::sleep(random.millis(0, 5)).await;
                }
                if acks == 1 {
                    window.acquire().await.ok()?.forget();
                }
                let (id, data) = self.ledger.send(topic, session, random);
                waiting.lock().unwrap().push_back(id);
                let frame = match random.one_in(4) {
                    true => Message::binary(data),
                    false => Message::text(data),
                };
                sink.feed(frame).await.ok()?;
            }
            sink.flush().await.ok()?;
            // The last answers are to come before the session ends.
            while acks == 1 && !waiting.lock().unwrap().is_empty() && !window.is_closed() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if messages == usize::MAX {
                self.wait(PATIENCE).await;
            }
            sink.close().await.ok()
        };
        let read = async {
            while let Some(Ok(frame)) = stream.next().await {
                let Message::Text(answer) = frame else {
                    continue;
                };
                match waiting.lock().unwrap().pop_front() {
                    Some(id) => self.answer(id, &answer),
                    None => self.ledger.fault(format!("answers nothing: {answer}")),
                }
                window.add_permits(1);
            }
            window.close();
        };
        let (written, ()) = tokio::join!(write, read);
        written.is_some() && left == 0
    }

    fn answer(&self, id: usize, answer: &str) {
        let reply: Value = serde_json::from_str(answer).unwrap_or_default();
        match (reply["code"].as_i64(), reply["msg"].as_str()) {
            (Some(0), Some(code)) => self.ledger.answered(id, code),
            (Some(-1), Some(_)) => self.ledger.refused(id),
            _ => {
                let fault = format!("the answer to message {id}: {answer}");
                self.ledger.fault(fault);
            }
        }
    }

    /// One message over HTTP; false when the server is gone.
    async fn post(&self, topic: &'static str, session: Session, random: &mut Random) -> bool {
        let (id, data) = self.ledger.send(topic, session, random);
        let url = format!("http://{}/Producer/Send", self.address);
        let fields = [("topic", topic), ("messageData", &data)];
        let request = self.http.post(url).header("secretKey", KEY);
        let request = match random.one_in(2) {
            true => request.form(&fields),
            false => request.json(&std::collections::BTreeMap::from(fields)),
        };
        let Ok(response) = request.timeout(2 * PATIENCE).send().await else {
            return false;
        };
        match response.text().await {
            Ok(answer) => self.answer(id, &answer),
            Err(_) => return false,
        }
        true
    }

    /// Deletes a message, if there is one; false when the server is gone.
    async fn delete(&self, random: &mut Random) -> bool {
        let Some((id, code, topic)) = self.ledger.to_delete(random) else {
            return true;
        };
        let url = format!(
            "http://{}/api/messages/{code}?confirm={topic}",
            self.address
        );
        let request = self.http.delete(url).header("secretKey", KEY);
        let Ok(response) = request.timeout(2 * PATIENCE).send().await else {
            return false;
        };
        match response.status().as_u16() {
            204 => self.ledger.deleted(id),
            // It has expired, or the disk is full.
            404 | 503 => {}
            status => {
                let fault = format!("message {id} is not deleted: {status}");
                self.ledger.fault(fault);
            }
        }
        true
    }

    /// One consumer's session. What was written to it is read to the last byte, whatever
    /// becomes of the server, unless it is one that vanishes.
    async fn consume(&self, topic: &'static str, manner: Manner, random: &mut Random) {
        let path = format!("/Consumers/Conn/{topic}/c");
        let Some(mut socket) = self.connect(&path).await else {
            return;
        };
        let while_ = random.millis(1, 300);
        let patient = random.one_in(2);
        match manner {
            Manner::Vanishes => {
                let _ = timeout(while_, self.read(topic, &mut socket)).await;
                return;
            }
            Manner::Leaves => {
                let _ = timeout(while_, self.read(topic, &mut socket)).await;
            }
            Manner::Stalls if patient => self.wait(PATIENCE).await,
            Manner::Stalls => self.wait(while_).await,
            Manner::Stays => tokio::select! {
                () = self.read(topic, &mut socket) => return,
                () = self.wait(Duration::MAX) => {}
            },
        }
        if let Manner::Leaves | Manner::Stays = manner {
            // Half a close: a frame that a killed server has not read would cost what it wrote.
            let _ = socket.get_mut().shutdown().await;
        }
        self.read(topic, &mut socket).await;
    }

    async fn read(&self, topic: &str, socket: &mut WebSocketStream<TcpStream>) {
        while let Some(Ok(frame)) = socket.next().await {
            if let Message::Text(text) = frame {
                self.ledger.received(topic, &text);
            }
        }
    }
}

/// The topics that somebody may listen to.
pub(crate) fn heard() -> Vec<&'static str> {
    let all = TOPICS.into_iter();
    all.filter(|topic| *topic != UNHEARD).collect()
}

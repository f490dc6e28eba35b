//! The arguments, with the help a newcomer reads.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::access::Right;
use crate::cli::client::trust::Trust;
use crate::cli::client::url::ServerUrl;
use crate::cli::failure::Failure;
use crate::config::Config;
use crate::message::Topic;

/// A lightweight message broker: durable before it answers, pushed over WebSocket.
///
/// Without a command it serves, as `dpmq serve` does: producers and consumers connect to
/// port 8011, and http://127.0.0.1:8011 says what else there is.
#[derive(Debug, Parser)]
#[command(name = "dpmq", version, after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) serve: Serve,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  dpmq                            serve with ./config/application.yaml, if there is one
  dpmq listen orders              in a second terminal: show what arrives
  dpmq send orders 'hello'        in a third: send a message
  DPMQ_MQ_SECRETKEY=s3cret dpmq   serve with a key of your own

Exit codes: 0 success, 1 failed while running, 64 wrong arguments or configuration";

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Configuration file [default: config/application.yaml, if there is one]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DPMQ_CONFIG",
        hide_env_values = true
    )]
    pub(super) config: Option<PathBuf>,
    /// Set one setting, over file and environment; may be repeated: --set mq.sendCount=5
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(super) set: Vec<(String, String)>,
}

/// Where the server listens, and what it logs.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Serve {
    /// Address to listen on (server.host)
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on (server.port)
    #[arg(long)]
    port: Option<String>,
    /// What to log (log.level): error, warn, info, debug, trace, off, or directives, as in
    /// info,dpmq::store=debug
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the broker until it is stopped (the default)
    ///
    /// Stops cleanly on Ctrl-C or SIGTERM: what was acknowledged is on disk.
    ///
    /// Example: dpmq serve --log info,dpmq::store=debug
    /// Example: dpmq serve --port 9000 --set mq.persistentFile=/var/lib/dpmq/data
    #[command(verbatim_doc_comment)]
    Serve(Serve),
    /// Send a message, a file, or each line of standard input
    ///
    /// Each message is acknowledged when it is safely stored; its code is then printed on a line
    /// of its own. Empty lines are no messages. All is sent, whether the codes are read or not.
    ///
    /// Exit code 1 when a message was refused or is unanswered.
    ///
    /// Example: dpmq send orders '{"id": 7}'
    /// Example: dpmq send orders < orders.txt
    /// Example: dpmq send orders --file order.json
    /// Example: make-report | dpmq send reports -
    #[command(verbatim_doc_comment)]
    Send(Send),
    /// Show the messages of a topic as they arrive
    ///
    /// Listening consumes: what the server has written to this program counts as consumed, which
    /// may be more than is shown when it ends after --count messages, or its reader does. If
    /// messages wait there, a line on standard error says how many. peek and watch consume nothing.
    ///
    /// A server that goes away is tried again, with longer and longer pauses; what was not
    /// reported as received then comes again. Ends on Ctrl-C, and with exit code 1 when the server
    /// refuses it, or with --once when it goes away.
    ///
    /// Example: dpmq listen orders --count 10 --json
    #[command(verbatim_doc_comment)]
    Listen(Listen),
    /// List the topics, with what waits in each and who listens
    ///
    /// Each is a line: its name, messages that wait, and consumers, between tabs. The key needs the
    /// right console-read, and sees its own topics.
    ///
    /// Example: dpmq topics
    #[command(verbatim_doc_comment)]
    Topics(Topics),
    /// Show the newest messages of a topic, and consume none
    ///
    /// Each is a line, newest first: time, status, code, and the beginning of its data, between
    /// tabs. With --json it is what GET /api/messages has. The key needs the right console-read.
    ///
    /// Example: dpmq peek orders
    /// Example: dpmq peek orders --count 100 --status not_consumed
    #[command(verbatim_doc_comment)]
    Peek(Peek),
    /// Show messages of a topic as they are published, and consume none
    ///
    /// From now on, whether others consume them or not; of data above 64 KiB the beginning. The
    /// key needs the right console-read. Ends on Ctrl-C, or with exit code 1 when the server goes
    /// away.
    ///
    /// Example: dpmq watch orders
    #[command(verbatim_doc_comment)]
    Watch(Watch),
    /// Put load on a running server, measure it, and check every message
    ///
    /// Producers send as fast as --window allows, or at --rate, for a time or a number of
    /// messages; every consumer must receive every message once, unchanged, and in the order
    /// of its producer. The report has rates, and the latency of acknowledgement (from sending
    /// to the answer) and of publish to receipt. At a --rate both count from when a message was
    /// due, so that a server that holds producers back is charged for it.
    ///
    /// A line a second shows the progress. A server with a pace (mq.pushMessagesSpeed) delivers no
    /// faster than that, which is said before the run begins.
    ///
    /// Exit code 1 when a message is missing, twice, changed, out of order or refused, or when
    /// the run could not be finished. Ctrl-C ends it early, with a report. However it ends, the
    /// messages of a topic of its own are deleted. docs/bench.md has every figure, and the fields
    /// of --json.
    ///
    /// Example: dpmq bench
    /// Example: dpmq bench --rate 2000 --duration 30
    /// Example: dpmq bench --producers 1 --window 1 --count 10000 --json
    /// Example: dpmq bench --http --producers 8 --consumers 0
    #[command(verbatim_doc_comment)]
    Bench(Box<Bench>),
    /// Ask a running server whether it takes and stores messages
    ///
    /// Exit code 0 when it does, 1 with the reason when not, for a supervisor. It takes
    /// no key. The server has 5 seconds to answer.
    ///
    /// Example: dpmq health
    /// Example: dpmq health --wait 30
    /// Example: dpmq health --url http://broker:8011
    #[command(verbatim_doc_comment)]
    Health {
        #[command(flatten)]
        address: Address,
        /// Ask again for this many seconds, without a word, until it does
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        wait: Option<Duration>,
    },
    /// Copy everything a running server has stored to a file
    ///
    /// The copy is consistent, and has everything that was acknowledged before. It is checked
    /// while it is written, and is at DEST when it is whole and on disk; nothing is overwritten.
    /// With -, the copy goes to standard output and is not checked: check it with dpmq verify.
    ///
    /// Example: dpmq backup /backup/dpmq-monday
    /// Example: dpmq backup - | zstd >/backup/dpmq-monday.zst
    #[command(verbatim_doc_comment)]
    Backup {
        /// The file to make, or - for standard output
        dest: PathBuf,
        #[command(flatten)]
        server: Server,
    },
    /// Make the store from a backup or a snapshot file, in an empty place
    ///
    /// The place is that of the configuration: nothing may be at mq.persistentFile, or beside it
    /// with .db behind. FILE is only read, and checked whole before anything is made.
    ///
    /// Example: dpmq restore /backup/dpmq-monday
    /// Example: dpmq restore /backup/dpmq-monday --set mq.persistentFile=/var/lib/dpmq/data
    #[command(verbatim_doc_comment)]
    Restore {
        /// A file of dpmq backup, or a copy of mq.persistentFile
        file: PathBuf,
        /// Restore what is whole in a damaged file
        #[arg(long)]
        damaged: bool,
    },
    /// Check the store, or a backup or snapshot file, and say exactly what is wrong
    ///
    /// Nothing is written. Without FILE it checks the store of the configuration, which no server
    /// may have open. Exit code 1 when anything is damaged.
    ///
    /// Example: dpmq verify
    /// Example: dpmq verify /backup/dpmq-monday
    #[command(verbatim_doc_comment)]
    Verify {
        /// A file of dpmq backup, or mq.persistentFile or a copy of it
        file: Option<PathBuf>,
    },
    /// Look at everything a server needs on this machine, and say what to do
    ///
    /// Configuration, keys, permissions, speed and space of the disk, the store, the port, the
    /// clock, the limit of open files: each is a line that begins with ok, warn or fail. Nothing is
    /// changed; for a moment there is a file of its own where messages are kept. A server may be
    /// running. Exit code 1 when anything fails, 64 when the configuration cannot be used.
    ///
    /// Example: dpmq doctor
    /// Example: dpmq doctor --config /etc/dpmq/application.yaml --json
    #[command(verbatim_doc_comment)]
    Doctor {
        /// Print the findings as one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Make, list and revoke named keys
    ///
    /// They are in the file server.keysFile, keys.yaml beside the configuration file, which a running
    /// server looks at all the time: what is changed there counts within a second. The file has
    /// hashes only. With the server's --config it is the server's file in whatever folder.
    ///
    /// Example: dpmq key new shop --rights publish,consume --topics 'orders*' --expires 2027-01-31
    /// Example: dpmq key list
    /// Example: dpmq key revoke shop
    #[command(verbatim_doc_comment, subcommand)]
    Key(Key),
    /// Take over the data file of an original server
    ///
    /// The file is only read. The broker that takes the messages over must not be running.
    ///
    /// Example: dpmq import /srv/old-dpmq/data
    #[command(verbatim_doc_comment)]
    Import {
        /// The file named by persistentFile of the original's configuration
        file: PathBuf,
    },
    /// Check the configuration and show every setting with its source
    ///
    /// Example: dpmq check-config --config /etc/dpmq.yaml
    #[command(verbatim_doc_comment)]
    CheckConfig,
    /// Print a completion script for a shell
    ///
    /// It completes commands, options, rights, and topics, for which it asks the server.
    ///
    /// Example: dpmq completions bash > /etc/bash_completion.d/dpmq
    #[command(verbatim_doc_comment)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make a key, add it to the file, and print it, this once
    ///
    /// The server is asked whether it takes the key by then.
    New(NewKey),
    /// List the keys of the file: name, rights, topics, expiry
    List,
    /// Take a key out of the file; its connections are cut
    Revoke {
        /// The name of the key
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct NewKey {
    /// The name of the key, which logs and the console show
    pub(super) name: String,
    /// What it is good for: publish, consume, console-read, console-change
    #[arg(long, required = true, value_delimiter = ',', value_parser = Right::ALL.map(Right::name))]
    pub(super) rights: Vec<String>,
    /// For which topics: orders is that topic, 'orders*' all that begin so, '*' every one;
    /// 'orders,bills' is both
    #[arg(long, required = true, value_delimiter = ',')]
    pub(super) topics: Vec<String>,
    /// From when on it is good for nothing: 2027-01-31 or 2027-01-31T12:00:00+01:00
    #[arg(long)]
    pub(super) expires: Option<String>,
    /// Print the key and the line for the file, and change nothing
    #[arg(long)]
    pub(super) print: bool,
    #[command(flatten)]
    pub(super) address: Address,
}

/// How a server is found.
#[derive(Debug, clap::Args)]
pub(super) struct Address {
    /// The server, as HOST:PORT, http://HOST:PORT, or with TLS https://HOST:PORT [default: the
    /// configured port here]
    #[arg(long, env = "DPMQ_URL", hide_env_values = true)]
    pub(super) url: Option<ServerUrl>,
    /// Certificates to trust a server with TLS by, or its own, PEM [default: those of this
    /// system, and for the server of this machine the configured one]
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

/// How a server is found, and its key.
#[derive(Debug, clap::Args)]
pub(super) struct Server {
    #[command(flatten)]
    pub(super) address: Address,
    /// Secret key; better given as DPMQ_MQ_SECRETKEY, which other users cannot see
    /// [default: mq.secretKey]
    #[arg(long)]
    key: Option<String>,
}

/// How a client finds its server and names itself.
#[derive(Debug, clap::Args)]
pub(super) struct Client {
    #[command(flatten)]
    pub(super) server: Server,
    /// The name the server knows this client by [default: cli- and the process number]
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) id: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Send {
    /// The topic
    pub(super) topic: Topic,
    /// The message, or - for all of standard input; without it each line of that is one
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) data: Option<String>,
    /// Send all of a file as one message
    #[arg(long, value_name = "FILE", conflicts_with = "data", value_hint = ValueHint::FilePath)]
    pub(super) file: Option<PathBuf>,
    /// Send the message this many times
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) count: Option<NonZeroU64>,
    /// Send at most this many messages a second
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) rate: Option<NonZeroU64>,
    /// Print errors only, and no codes
    #[arg(long)]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) client: Client,
}

#[derive(Debug, clap::Args)]
pub(super) struct Listen {
    /// The topic
    pub(super) topic: Topic,
    /// Print each message as the JSON that was received, not only its data
    #[arg(long)]
    pub(super) json: bool,
    /// Stop after this many messages
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) count: Option<NonZeroU64>,
    /// End with exit code 1 when the server goes away
    #[arg(long)]
    pub(super) once: bool,
    /// Print errors only
    #[arg(long)]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) client: Client,
}

#[derive(Debug, clap::Args)]
pub(super) struct Topics {
    /// Print the names alone, as completions need them
    #[arg(long)]
    pub(super) names: bool,
    #[command(flatten)]
    pub(super) server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Peek {
    /// The topic
    pub(super) topic: Topic,
    /// Show at most this many messages
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(super) count: u16,
    /// Show those of this status only
    #[arg(long, value_parser = ["accepted", "not_consumed", "consumed"])]
    pub(super) status: Option<String>,
    /// Print each message as JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Watch {
    /// The topic
    pub(super) topic: Topic,
    /// Stop after this many messages
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(super) count: Option<NonZeroU64>,
    /// Print each message as JSON, not only its data
    #[arg(long)]
    pub(super) json: bool,
    /// Print errors only
    #[arg(long)]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) server: Server,
}

/// A measurement.
#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    #[command(flatten)]
    pub(super) server: Server,
    /// The topic [default: a new one, bench-…, whose messages are deleted at the end]
    #[arg(long)]
    pub(super) topic: Option<Topic>,
    /// Producers, each with a connection
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) producers: u16,
    /// Consumers, each of which receives everything; 0 to measure publishing alone
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) consumers: u16,
    /// Bytes of a message, at least 48
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub(super) size: usize,
    /// Messages that each producer may have unacknowledged
    #[arg(long, value_name = "N", default_value = "256", value_parser = one_or_more, conflicts_with_all = ["http", "no_acks"])]
    pub(super) window: NonZeroU64,
    /// Messages a second of all producers together; 0: as fast as they are taken
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) rate: u64,
    /// Send this many messages, of all producers together
    #[arg(long, value_name = "N", value_parser = one_or_more, conflicts_with = "duration")]
    pub(super) count: Option<NonZeroU64>,
    /// Send for this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(super) duration: Duration,
    /// Wait at most this many seconds for deliveries after the last message was sent
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(super) drain: Duration,
    /// End when nothing was sent, answered or delivered for this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(super) idle: Duration,
    /// Send without acknowledgements; at the end a ping shows that the server has read all
    #[arg(long, conflicts_with = "http")]
    pub(super) no_acks: bool,
    /// Send by POST /Producer/Send, one request at a time for each producer
    #[arg(long)]
    pub(super) http: bool,
    /// Leave the messages of the new topic on the server
    #[arg(long, conflicts_with = "topic")]
    pub(super) keep: bool,
    /// Print the report as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Say nothing but the report, and what is wrong
    #[arg(long)]
    pub(super) quiet: bool,
}

impl Serve {
    /// The settings that were given.
    pub(super) fn overrides(&self) -> Vec<(String, String)> {
        let given = [
            ("server.host", &self.host),
            ("server.port", &self.port),
            ("log.level", &self.log),
        ];
        given
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)))
            .collect()
    }
}

impl Address {
    /// The server that is asked for, or the configured one.
    pub(super) fn server(&self, config: &Config) -> Result<ServerUrl, Failure> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => ServerUrl::configured(config)?,
        };
        let trust = match (&self.ca, &config.server.tls) {
            (Some(file), _) => Trust::Ca(file.clone()),
            (None, Some(files)) if url.is_here(config) => Trust::Itself(files.certificate.clone()),
            (None, _) => Trust::System,
        };
        Ok(url.trusting(trust))
    }
}

impl Server {
    /// The settings that were given.
    pub(super) fn overrides(&self) -> Vec<(String, String)> {
        let key = self.key.clone();
        key.map(|key| ("mq.secretKey".to_owned(), key))
            .into_iter()
            .collect()
    }
}

fn assignment(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected KEY=VALUE, as in mq.sendCount=5")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn one_or_more(text: &str) -> Result<NonZeroU64, &'static str> {
    text.parse()
        .map_err(|_| "expected a whole number of 1 or more")
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("expected more than 0 seconds"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}

//! What the handlers of all routes work with.

use std::ops::Deref;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::broker::Broker;
use crate::config::{Config, Live};
use crate::connection::connection_stats::ConnectionStats;
use crate::http::api::state::Console;
use crate::http::disk::DiskCache;
use crate::http::fields::BodyLimits;
use crate::http::places::Places;
use crate::message::UnixSeconds;

/// What the handlers of these routes work with; clones are cheap, and made for every request.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

/// What all clones of an [`HttpState`] share.
pub struct Shared {
    pub(in crate::http) broker: Broker,
    config: Live,
    pub(in crate::http) access: Access,
    /// Cancelled when the server stops: streams then end.
    pub(in crate::http) stop: CancellationToken,
    pub(in crate::http) started: Instant,
    pub(in crate::http) started_at: UnixSeconds,
    pub(in crate::http) connections: Arc<ConnectionStats>,
    pub(in crate::http) places: Places,
    pub(in crate::http) disk: DiskCache,
    pub(in crate::http) console: Console,
}

impl Deref for HttpState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl HttpState {
    /// A state for routes that ask this `broker`; `config` has limits, `access` the keys.
    /// Streams of events end as soon as `stop` is cancelled. Wrong keys are counted in `connections`.
    pub fn new(
        broker: Broker,
        config: Live,
        access: Access,
        stop: CancellationToken,
        connections: Arc<ConnectionStats>,
    ) -> HttpState {
        HttpState(Arc::new(Shared {
            started: Instant::now(),
            started_at: broker.clock().now(),
            connections,
            broker,
            config,
            access,
            stop,
            places: Places::new(),
            disk: DiskCache::default(),
            console: Console::default(),
        }))
    }

    /// The configuration in use now.
    pub(in crate::http) fn config(&self) -> Arc<Config> {
        self.config.get()
    }

    /// What is read of a body with the data of a message: percent-encoding makes three bytes of
    /// one, and the names, the topic and the lines between multipart fields need room too.
    pub(in crate::http) fn data_limits(&self) -> BodyLimits {
        const AROUND_DATA_BYTES: usize = 64 * 1024;
        let server = &self.config().server;
        let data = server.max_message_bytes.saturating_mul(3);
        BodyLimits {
            bytes_max: data.saturating_add(AROUND_DATA_BYTES),
            value_bytes_max: server.max_message_bytes,
            room_wait: server.request_time,
        }
    }
}

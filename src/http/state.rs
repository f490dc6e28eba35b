//! The state that the handlers of all routes share.

use std::ops::Deref;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::broker::Broker;
use crate::config::{Config, Live};
use crate::connection::connection_stats::ConnectionStats;
use crate::http::api::state::Console;
use crate::http::fields::body::BodyLimits;
use crate::http::host::disk::DiskCache;
use crate::http::places::Places;
use crate::message::UnixSeconds;

/// The state of the handlers. Each request gets a clone, which is cheap.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

/// What all clones of an [`HttpState`] share.
pub struct Shared {
    pub(in crate::http) broker: Broker,
    config: Live,
    pub(in crate::http) access: Access,
    /// Cancelled when the server stops. Streams end then.
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
    /// A state for routes that ask this `broker`. `config` has the limits, `access` the keys.
    /// Streams end when `stop` is cancelled. `connections` counts wrong keys.
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

    /// The current configuration.
    pub(in crate::http) fn config(&self) -> Arc<Config> {
        self.config.get()
    }

    /// The limits of a body that carries the data of a message. Percent-encoding makes three bytes
    /// of one; names, topic and multipart boundaries come on top.
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

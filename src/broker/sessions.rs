//! Lists the connected clients of both roles, and ends their sessions.

use crate::broker::Broker;
use crate::broker::clients::{Client, ClientInfo, CloseReason, ProducerSession};

impl Broker {
    /// Adds a producer to the list of clients.
    pub fn join_producer(&self, client: ClientInfo) -> ProducerSession {
        self.0.producers.join(client)
    }

    /// All connected clients, in the order in which they joined.
    pub fn clients(&self) -> Vec<Client> {
        let mut clients = self.0.consumers.clients();
        let producers = self.0.producers.lock();
        clients.extend(producers.values().map(|producer| producer.client()));
        drop(producers);
        clients.sort_unstable_by_key(|client| client.number);
        clients
    }

    /// The number of connected consumers, and of connected producers.
    pub fn client_counts(&self) -> (usize, usize) {
        let producers = self.0.producers.lock().len();
        (self.0.consumers.count(), producers)
    }

    /// The client with this number.
    pub fn client(&self, number: u64) -> Option<Client> {
        let producer = self.0.producers.lock().get(&number).cloned();
        match producer {
            Some(producer) => Some(producer.client()),
            None => Some(self.0.consumers.find(number)?.client()),
        }
    }

    /// Ends the sessions of all clients that logged in with the key of this name.
    pub fn end_sessions_of(&self, key: &str, reason: CloseReason) {
        for producer in self.0.producers.lock().values() {
            if *producer.info.key == *key {
                producer.close.close(reason);
            }
        }
        self.0.consumers.close_of(key, reason);
    }

    /// Ends the session of the client with this number; `false` if there is none. The client leaves
    /// the list when its session has ended, which may take a moment.
    pub fn disconnect(&self, number: u64) -> bool {
        let reason = CloseReason::Disconnected;
        if let Some(producer) = self.0.producers.lock().get(&number) {
            producer.close.close(reason);
            return true;
        }
        let consumer = self.0.consumers.find(number);
        consumer.is_some_and(|consumer| {
            consumer.close(reason);
            true
        })
    }
}

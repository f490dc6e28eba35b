//! Links to exports: each works once, for a while, and without the key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::access::Grant;
use crate::http::api::error::ConsoleError;
use crate::http::api::messages::export::format::ExportFormat;
use crate::http::api::text_search::TextSearch;
use crate::http::places::{TooMany, share};
use crate::store::Query;

/// The most links open at once.
const LINKS_MAX: usize = 64;
/// How long a link works.
pub(super) const LINK_LIFE: Duration = Duration::from_secs(60);

/// An export that is requested and not fetched yet.
pub(in crate::http) struct Export {
    pub(super) format: ExportFormat,
    pub(super) query: Query,
    pub(super) text_search: Option<TextSearch>,
    /// The caller's grant. The link works no longer than it.
    pub(super) grant: Arc<Grant>,
}

impl Export {
    fn works_until(&self, end: Instant) -> bool {
        end > Instant::now() && self.grant.ended().is_none()
    }
}

/// The open links by their token.
#[derive(Default)]
pub(in crate::http) struct Links(Mutex<HashMap<String, (Instant, Export)>>);

impl Links {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, Export)>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Opens a link. Returns its token.
    pub(super) fn open(&self, export: Export) -> Result<String, ConsoleError> {
        let token = token()?;
        let mut links = self.lock();
        links.retain(|_, (end, _)| *end > Instant::now());
        let of_key = |(_, open): &&(Instant, Export)| open.grant.name() == export.grant.name();
        let max = share(export.grant.name(), LINKS_MAX);
        if links.len() >= LINKS_MAX || links.values().filter(of_key).count() >= max {
            let what = "links of exports";
            return Err(TooMany { what, max }.into());
        }
        links.insert(token.clone(), (Instant::now() + LINK_LIFE, export));
        Ok(token)
    }

    /// The name of the key that opened a link.
    pub(super) fn key_of(&self, token: &str) -> Option<String> {
        let links = self.lock();
        links
            .get(token)
            .map(|(_, export)| export.grant.name().to_owned())
    }

    /// Uses up a link, if it is open.
    pub(super) fn take(&self, token: &str) -> Option<Export> {
        let (end, export) = self.lock().remove(token)?;
        export.works_until(end).then_some(export)
    }

    pub(super) fn is_open(&self, token: &str) -> bool {
        let links = self.lock();
        links
            .get(token)
            .is_some_and(|(end, export)| export.works_until(*end))
    }
}

/// 128 random bits in hex.
fn token() -> Result<String, ConsoleError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random numbers");
        ConsoleError::internal("the system gives no random numbers")
    })?;
    Ok(const_hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export() -> Export {
        Export {
            format: ExportFormat::Csv,
            query: Query::default(),
            text_search: None,
            grant: Arc::new(Grant::of_secret_key()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_works_once_and_for_a_minute() {
        let links = Links::default();
        let token = links.open(export()).unwrap();
        assert_eq!(token.len(), 32);
        assert!(links.is_open(&token) && links.take(&token).is_some());
        assert!(!links.is_open(&token) && links.take(&token).is_none());
        let token = links.open(export()).unwrap();
        tokio::time::advance(LINK_LIFE).await;
        assert!(!links.is_open(&token) && links.take(&token).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_links_and_no_more() {
        let links = Links::default();
        for _ in 0..LINKS_MAX {
            links.open(export()).unwrap();
        }
        assert!(links.open(export()).is_err());
        tokio::time::advance(LINK_LIFE).await;
        assert!(links.open(export()).is_ok());
    }
}

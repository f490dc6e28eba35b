//! The list of topics: sorted, a page at a time.

use std::cmp::Ordering;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::broker::{Broker, TopicState};
use crate::http::api::blocking::off_thread;
use crate::http::api::error::ConsoleError;
use crate::http::api::json::numbers::waiting;
use crate::http::api::json::topic::TopicRow;
use crate::http::api::reply;
use crate::http::api::request::params;
use crate::http::api::text_search::TextSearch;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;
use crate::message::{Topic, UnixSeconds};

const LIMIT_MAX: usize = 500;
const LIMIT: usize = 50;

/// The value that topics are sorted by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Waiting,
    Name,
    Oldest,
    Consumers,
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// The order of a list.
#[derive(Clone, Copy)]
struct Sorting {
    by: Sort,
    order: Order,
}

impl Sorting {
    /// Names and ages ascend unless `order` says otherwise; other values descend.
    fn read(sort: Option<&str>, order: Option<&str>) -> Result<Sorting, ConsoleError> {
        let sorts = [
            ("waiting", Sort::Waiting),
            ("name", Sort::Name),
            ("oldest", Sort::Oldest),
            ("consumers", Sort::Consumers),
            ("rate", Sort::Rate),
        ];
        let orders = [("asc", Order::Ascending), ("desc", Order::Descending)];
        let by = params::choice("sort", sort, &sorts)?;
        let order = match (order, by) {
            (None, Sort::Name | Sort::Oldest) => Order::Ascending,
            (None, _) => Order::Descending,
            (Some(_), _) => params::choice("order", order, &orders)?,
        };
        Ok(Sorting { by, order })
    }
}

/// The parameters of the list.
struct ListRequest {
    search: Option<TextSearch>,
    sorting: Sorting,
    limit: usize,
    after: Option<SortKey>,
}

impl ListRequest {
    fn read(query: Option<&str>) -> Result<ListRequest, ConsoleError> {
        let names = ["search", "sort", "order", "limit", "cursor"];
        let values = params::read(query, names)?;
        let [search, sort, order, limit, cursor] = values.each_ref().map(Option::as_deref);
        Ok(ListRequest {
            search: search.map(TextSearch::new),
            sorting: Sorting::read(sort, order)?,
            limit: params::whole("limit", limit, 1..=LIMIT_MAX, LIMIT)?,
            after: cursor.map(SortKey::parse).transpose()?,
        })
    }
}

/// GET /api/topics: a page at a time, sorted.
pub(in crate::http::api) async fn list(
    State(state): State<HttpState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, ConsoleError> {
    #[derive(Serialize)]
    struct List<'a> {
        topics: Vec<TopicRow<'a>>,
        total: usize,
        next: Option<String>,
    }
    let request = ListRequest::read(query.as_deref())?;
    let _place = state.places.surveys.take(caller.key())?;
    let _sort = match request.sorting.by {
        Sort::Oldest => Some(state.places.sorts.take(caller.key())?),
        Sort::Waiting | Sort::Name | Sort::Consumers | Sort::Rate => None,
    };
    let topics = found(state.broker.clone(), caller, request.search).await?;
    let total = topics.len();
    let oldest = match request.sorting.by {
        Sort::Oldest => oldest_of(&state, &topics).await?,
        Sort::Waiting | Sort::Name | Sort::Consumers | Sort::Rate => vec![None; total],
    };
    let (sorting, limit, after) = (request.sorting, request.limit, request.after);
    let mut page = off_thread(move || {
        let keyed = topics.into_iter().zip(oldest);
        let keyed = keyed.map(|(state, oldest)| (SortKey::of(&state, oldest, sorting), state));
        page(keyed.collect(), after.as_ref(), sorting, limit)
    })
    .await?;
    let next = page.next.take();
    let oldest = oldest_of(&state, &page.topics).await?;
    let rows = page.topics.iter().zip(oldest);
    let list = List {
        topics: rows
            .map(|(state, oldest)| TopicRow::of(state, oldest))
            .collect(),
        total,
        next: next.map(|key| key.cursor()),
    };
    Ok(reply::of(StatusCode::OK, &list))
}

/// The topics that the key may see and that `search` finds.
async fn found(
    broker: Broker,
    caller: Caller,
    mut search: Option<TextSearch>,
) -> Result<Vec<TopicState>, ConsoleError> {
    off_thread(move || {
        let mut topics = broker.topics();
        topics.retain(|state| caller.sees(&state.topic));
        if let Some(search) = &mut search {
            topics.retain(|state| search.matches(state.topic.as_str()));
        }
        topics
    })
    .await
}

/// The creation time of the oldest waiting message of each topic.
pub(in crate::http::api) async fn oldest_of(
    state: &HttpState,
    topics: &[TopicState],
) -> Result<Vec<Option<UnixSeconds>>, ConsoleError> {
    let names = topics.iter().map(|state| state.topic.clone()).collect();
    Ok(state.broker.oldest_waiting_of(names).await?)
}

/// The place of a topic in a list. It is also the cursor: the next page continues after it, even if
/// the topic has moved, unless the list is sorted by rate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SortKey {
    value: u64,
    topic: Topic,
}

impl SortKey {
    fn of(state: &TopicState, oldest: Option<UnixSeconds>, sorting: Sorting) -> SortKey {
        let value = match sorting.by {
            Sort::Waiting => waiting(state.counts),
            Sort::Name => 0,
            // Topics without a waiting message come last.
            Sort::Oldest => match (oldest, sorting.order) {
                (Some(at), _) => u64::from(at.0) + 1,
                (None, Order::Ascending) => u64::MAX,
                (None, Order::Descending) => 0,
            },
            Sort::Consumers => state.consumers as u64,
            // The bits of non-negative floats sort as the floats do.
            Sort::Rate => (state.rate_in + state.rate_out).to_bits(),
        };
        SortKey {
            value,
            topic: state.topic.clone(),
        }
    }

    /// Equal values are sorted by name from a to z, unless the list is sorted by name.
    fn cmp(&self, other: &SortKey, sorting: Sorting) -> Ordering {
        let values = self.value.cmp(&other.value);
        let names = self.topic.cmp(&other.topic);
        match (sorting.order, sorting.by) {
            (Order::Ascending, _) => values.then(names),
            (Order::Descending, Sort::Name) => names.reverse(),
            (Order::Descending, _) => values.reverse().then(names),
        }
    }

    fn cursor(&self) -> String {
        format!("{:x}-{}", self.value, self.topic)
    }

    fn parse(cursor: &str) -> Result<SortKey, ConsoleError> {
        let key = cursor.split_once('-').and_then(|(value, topic)| {
            Some(SortKey {
                value: u64::from_str_radix(value, 16).ok()?,
                topic: topic.parse().ok()?,
            })
        });
        key.ok_or_else(|| ConsoleError::parameter("cursor", cursor, "what came as next"))
    }
}

struct TopicPage {
    topics: Vec<TopicState>,
    next: Option<SortKey>,
}

/// The first `limit` topics after `after`, in order.
fn page(
    mut keyed: Vec<(SortKey, TopicState)>,
    after: Option<&SortKey>,
    sorting: Sorting,
    limit: usize,
) -> TopicPage {
    // Rates change all the time, so the cursor's old rate would be out of place.
    let now = after
        .filter(|_| sorting.by == Sort::Rate)
        .and_then(|after| {
            let mut keys = keyed.iter().map(|(key, _)| key);
            keys.find(|key| key.topic == after.topic).cloned()
        });
    if let Some(after) = now.as_ref().or(after) {
        keyed.retain(|(key, _)| key.cmp(after, sorting) == Ordering::Greater);
    }
    let by_key = |a: &(SortKey, TopicState), b: &(SortKey, TopicState)| a.0.cmp(&b.0, sorting);
    let more = keyed.len() > limit;
    if more {
        keyed.select_nth_unstable_by(limit, by_key);
        keyed.truncate(limit);
    }
    keyed.sort_unstable_by(by_key);
    let next = keyed.last().filter(|_| more).map(|(key, _)| key.clone());
    let topics = keyed.into_iter().map(|(_, state)| state).collect();
    TopicPage { topics, next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Counts;

    fn topic(name: &str, waiting: u64) -> TopicState {
        TopicState {
            topic: name.parse().unwrap(),
            counts: Counts {
                accepted: waiting,
                ..Counts::default()
            },
            consumers: 0,
            producers: 0,
            rate_in: 0.0,
            rate_out: 0.0,
            behind: false,
            held_back: None,
        }
    }

    fn pages(by: Sort, order: Order, limit: usize) -> Vec<String> {
        let sorting = Sorting { by, order };
        let all = [("b", 2), ("a-1", 2), ("d", 0), ("c", 9)];
        let (mut names, mut after) = (vec![], None);
        loop {
            let keyed = all.map(|(name, waiting)| {
                let state = topic(name, waiting);
                let oldest = u32::try_from(waiting).ok().filter(|at| *at > 0);
                (SortKey::of(&state, oldest.map(UnixSeconds), sorting), state)
            });
            let page = page(keyed.into(), after.as_ref(), sorting, limit);
            names.extend(page.topics.iter().map(|state| state.topic.to_string()));
            match page.next {
                Some(key) => after = Some(SortKey::parse(&key.cursor()).unwrap()),
                None => return names,
            }
        }
    }

    #[test]
    fn pages_have_every_topic_once_and_in_order() {
        for limit in 1..6 {
            for (sort, order, names) in [
                (Sort::Waiting, Order::Descending, ["c", "a-1", "b", "d"]),
                (Sort::Waiting, Order::Ascending, ["d", "a-1", "b", "c"]),
                (Sort::Name, Order::Ascending, ["a-1", "b", "c", "d"]),
                (Sort::Oldest, Order::Ascending, ["a-1", "b", "c", "d"]),
                (Sort::Oldest, Order::Descending, ["c", "a-1", "b", "d"]),
            ] {
                assert_eq!(pages(sort, order, limit), names, "{order:?} by {limit}");
            }
        }
    }

    #[test]
    fn names_can_go_from_z_to_a() {
        assert_eq!(
            pages(Sort::Name, Order::Descending, 2),
            ["d", "c", "b", "a-1"]
        );
    }

    #[test]
    fn a_cursor_that_is_none_is_refused() {
        for wrong in ["", "x", "1", "1-", "g-t", "-t"] {
            assert!(SortKey::parse(wrong).is_err(), "{wrong}");
        }
    }
}

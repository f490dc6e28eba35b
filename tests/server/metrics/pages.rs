//! The pages about the metrics, held against what a server tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::openmetrics::Exposition;
use crate::common::{Setup, TestServer};

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

/// What a row of the page says of a family: type, unit, and the values of its label.
type Row = (String, String, BTreeSet<String>);

/// The rows of docs/metrics.md by the name that is asked for.
fn documented() -> BTreeMap<String, Row> {
    let page = page("metrics.md");
    let of_metric = |line: &&str| {
        let mut names = ["| `dpmq_", "| `process_"].iter();
        names.any(|name| line.starts_with(name))
    };
    let rows = page.lines().filter(of_metric);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, unit, labels, meaning, advice] = cells[..] else {
            panic!("not six cells: {line}");
        };
        assert!(meaning.len() > 10, "{line}");
        assert!(advice.len() > 3, "{line}");
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned);
        let row = (kind.to_owned(), unit.to_owned(), labels.collect());
        (name.trim_matches('`').to_owned(), row)
    };
    let rows: Vec<_> = rows.map(row).collect();
    let count = rows.len();
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(rows.len(), count, "a metric is there twice");
    rows
}

/// The same, as a server tells it.
fn told(exposition: &Exposition) -> BTreeMap<String, Row> {
    let row = |(name, family): (&String, &super::openmetrics::Family)| {
        let suffix = match &*family.kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels = family.samples.iter().flat_map(|sample| &sample.labels);
        let labels = labels.filter(|(key, _)| *key != "le");
        // The version changes, and topics are made by clients.
        let labels = labels.map(|(key, value)| match &**key {
            "version" | "topic" => key.clone(),
            _ => format!("{key}=\"{value}\""),
        });
        let unit = family.unit.clone().unwrap_or_default();
        let row = (family.kind.clone(), unit, labels.collect());
        (format!("{name}{suffix}"), row)
    };
    exposition.0.iter().map(row).collect()
}

/// The names of metrics in a query.
fn names_in(query: &str) -> BTreeSet<&str> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("dpmq_") || word.starts_with("process_"))
        .collect()
}

/// Every text that is at `key` anywhere in `value`.
fn texts_at<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if name == key => found.push(text),
                    _ => texts_at(value, key, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| texts_at(value, key, found)),
        _ => {}
    }
}

/// A server that tells everything there is.
async fn server_with_topics() -> TestServer {
    let setup = Setup::new().environment("DPMQ_SERVER_METRICSTOPICS", "*");
    let server = setup.start().await;
    server.publish("t", "data").await;
    server
}

#[tokio::test]
async fn the_page_has_every_metric_and_no_other() {
    let told = told(&super::scrape(&server_with_topics().await).await);
    let documented = documented();
    for (name, row) in &told {
        assert_eq!(documented.get(name), Some(row), "docs/metrics.md: {name}");
    }
    for name in documented.keys() {
        assert!(told.contains_key(name), "docs/metrics.md: no {name}");
    }
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_what_there_is() {
    let exposition = super::scrape(&server_with_topics().await).await;
    let there = exposition.names();
    let dashboard: Value = serde_json::from_str(&page("grafana.json")).unwrap();
    let alerts: Value = serde_saphyr::from_str(&page("alerts.yaml")).unwrap();
    for (file, value, at_least) in [
        ("grafana.json", &dashboard, 20),
        ("alerts.yaml", &alerts, 10),
    ] {
        let mut queries = vec![];
        texts_at(value, "expr", &mut queries);
        assert!(queries.len() >= at_least, "{file}: {}", queries.len());
        for query in queries {
            let names = names_in(query);
            assert!(!names.is_empty() || query.starts_with("up"), "{query}");
            for name in names {
                assert!(there.contains(name), "docs/{file}: no {name} in {query}");
            }
            let balanced =
                |open, close| query.matches(open).count() == query.matches(close).count();
            assert!(
                balanced('(', ')') && balanced('{', '}') && balanced('[', ']'),
                "{query}"
            );
        }
    }
}

/// The list that is at `key`.
/// What the console says to do is in the pages in the same words.
#[test]
fn the_pages_and_the_console_give_the_same_advice() {
    let console = include_str!("../../../view/js/advice.js");
    let (_, english) = console.split_once("en: {").unwrap();
    let (english, _) = english.split_once("},").unwrap();
    let texts = english.lines().filter_map(|line| {
        let (name, text) = line.trim().split_once(": \"")?;
        Some((name, text.trim_end_matches("\",")))
    });
    let texts: BTreeMap<&str, &str> = texts.collect();
    let names: Vec<_> = texts.keys().copied().collect();
    assert_eq!(names, ["behind", "nobody", "paced"]);
    let metrics = page("metrics.md").replace('`', "");
    for text in texts.values() {
        assert!(metrics.contains(text), "docs/metrics.md lacks {text:?}");
    }
    let troubleshooting = page("troubleshooting.md").replace('`', "");
    for name in ["behind", "paced"] {
        let text = texts[name];
        assert!(
            troubleshooting.contains(text),
            "troubleshooting.md lacks {text:?}"
        );
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value[key].as_array();
    list.unwrap_or_else(|| panic!("no list {key} in {value}"))
}

fn alert_rules() -> Vec<Value> {
    let alerts: Value = serde_saphyr::from_str(&page("alerts.yaml")).unwrap();
    let groups = list(&alerts, "groups").iter();
    groups
        .flat_map(|group| list(group, "rules"))
        .cloned()
        .collect()
}

/// That the cases hold, `packaging/check` asks promtool.
#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let tests: Value = serde_saphyr::from_str(&page("alerts.test.yaml")).unwrap();
    assert_eq!(tests["rule_files"], serde_json::json!(["alerts.yaml"]));
    // For each alert and kind, the metrics that the cases have.
    let mut cases: BTreeMap<(&str, bool), BTreeSet<&str>> = BTreeMap::new();
    for test in list(&tests, "tests") {
        let series = list(test, "input_series").iter();
        let names: BTreeSet<&str> = series
            .map(|series| series["series"].as_str().unwrap())
            .map(|series| series.split('{').next().unwrap())
            .collect();
        for case in list(test, "alert_rule_test") {
            let fires = !list(case, "exp_alerts").is_empty();
            let alert = case["alertname"].as_str().unwrap();
            cases.entry((alert, fires)).or_default().extend(&names);
        }
    }
    let rules = alert_rules();
    for rule in &rules {
        let (name, expr) = (&rule["alert"], rule["expr"].as_str().unwrap());
        let name = name.as_str().unwrap();
        let mut wanted = names_in(expr);
        if wanted.is_empty() {
            wanted.insert(expr.split('{').next().unwrap());
        }
        for fires in [true, false] {
            let there = cases.remove(&(name, fires)).unwrap_or_default();
            let missing: Vec<_> = wanted.difference(&there).collect();
            assert!(
                missing.is_empty(),
                "docs/alerts.test.yaml: {name}, fires: {fires}: no case with {missing:?}"
            );
        }
    }
    assert!(cases.is_empty(), "cases of no alert: {cases:?}");
}

#[test]
fn every_alert_says_what_to_do() {
    let page = page("metrics.md");
    for rule in alert_rules() {
        let name = rule["alert"].as_str().unwrap();
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/metrics.md: no {name}"
        );
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["warning", "critical"].contains(&severity), "{name}");
        for text in ["summary", "description"] {
            assert!(
                rule["annotations"][text].is_string(),
                "{name} has no {text}"
            );
        }
        assert!(rule["for"].is_string(), "{name}");
    }
}

/// One dashboard is for brokers that are scraped under any name, one or several of them.
#[test]
fn every_panel_is_filtered_by_the_variables_of_the_dashboard() {
    let dashboard: Value = serde_json::from_str(&page("grafana.json")).unwrap();
    let variables = list(&dashboard["templating"], "list").iter();
    let variables: Vec<_> = variables.map(|variable| &variable["name"]).collect();
    assert_eq!(variables, ["datasource", "job", "instance"]);
    let mut queries = vec![];
    texts_at(&dashboard["panels"], "expr", &mut queries);
    assert!(queries.len() > 20);
    for query in queries {
        for name in names_in(query) {
            let filtered = format!(r#"{name}{{job=~"$job",instance=~"$instance""#);
            let count = |text: &str| query.matches(text).count();
            assert_eq!(count(&filtered), count(name), "{name} in {query}");
        }
    }
    let texts = dashboard.to_string();
    let datasource = texts.matches(r#""uid":"${datasource}""#).count();
    assert_eq!(datasource, texts.matches(r#""type":"prometheus""#).count());
}

#[test]
fn the_panels_of_the_dashboard_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&page("grafana.json")).unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{}",
            panel["title"]
        );
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} is over another", panel["title"]);
            }
        }
    }
}

//! The overview, its series and its streams; the settings.

use super::*;

#[tokio::test]
async fn the_overview_tells_how_the_broker_does() {
    let api = Api::start().await;
    let mut consumer = api.server.consumer("t", "c1").await;
    let _producer = api.server.producer("u", "p1").await;
    api.publish("t", "d").await;
    consumer.message().await;
    api.publish("u", "d").await;
    let overview = async || api.ok("/api/overview").await;
    eventually("the counts", async || {
        overview().await["counts"]
            == json!({"all": 2, "accepted": 0, "notConsumed": 1, "consumed": 1})
    })
    .await;
    eventually("the rates", async || {
        overview().await["rates"]["delivered"].as_f64() > Some(0.0)
    })
    .await;
    let overview = overview().await;
    assert_eq!(
        overview["health"],
        json!({"state": "ok", "reasons": [], "damage": [], "keys": null})
    );
    assert_eq!(overview["clients"], json!({"consumers": 1, "producers": 1}));
    assert_eq!(
        (&overview["topics"], &overview["durability"]),
        (&json!(2), &json!("disk"))
    );
    assert_eq!(overview["backlog"]["waiting"], 1);
    assert!((overview["nowMs"].as_i64().unwrap() / 1000 - now()).abs() < 10);
    assert!((now() - overview["startedAt"].as_i64().unwrap()) < 60);
    assert!(overview["memory"]["residentBytes"].as_u64() > Some(1 << 20));
    let disk = &overview["disk"];
    assert!(disk["freeBytes"].as_u64() > Some(0) && disk["totalBytes"].as_u64() > Some(0));
    assert!(disk["logBytes"].as_u64() > Some(0), "{disk}");
}

#[tokio::test]
async fn a_store_in_memory_has_no_disk() {
    let api = Api::of(Setup::new().set("isPersistent", 0).start().await).await;
    api.publish("t", "d").await;
    let overview = api.ok("/api/overview").await;
    assert_eq!(
        (&overview["durability"], &overview["disk"]),
        (&json!("memory"), &Value::Null)
    );
    assert_eq!(overview["counts"]["all"], 1);
}

#[tokio::test]
async fn the_overview_counts_the_topics_that_are_listed() {
    let api = Api::start().await;
    api.publish("stored", "1").await;
    let _consumer = api.server.consumer("listened", "c1").await;
    let _producer = api.server.producer("written", "p1").await;
    eventually("both agree", async || {
        let listed = api.ok("/api/topics").await["total"].clone();
        listed == 3 && api.ok("/api/overview").await["topics"] == 3
    })
    .await;
}

#[tokio::test]
async fn the_overview_comes_at_once_and_then_each_second() {
    let api = Api::start().await;
    let begin = Instant::now();
    let mut events = api.events("/api/events").await;
    let mut at = vec![];
    for _ in 0..3 {
        let (name, overview) = events.next().await.unwrap();
        assert_eq!(name, "overview");
        api.expect_named("Overview", &overview);
        at.push(overview["nowMs"].as_u64().unwrap());
        if at.len() == 1 {
            assert!(begin.elapsed() < Duration::from_secs(1), "at once");
        }
    }
    assert!(
        at.windows(2)
            .all(|two| (500..2000).contains(&(two[1] - two[0]))),
        "{at:?}"
    );
    let mut another = api.events("/api/events").await;
    let (_, shared) = another.next().await.unwrap();
    assert_eq!(shared["nowMs"], at[2], "one is built for all");
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more() {
    let api = Api::start().await;
    let mut open = vec![];
    for n in 0..64 {
        let path = ["/api/events", "/api/topics/t/watch"][n % 2];
        open.push(api.events(path).await);
    }
    for path in ["/api/events", "/api/topics/t/watch"] {
        assert_eq!(api.get(path).await.refusal(), (503, "too_many"));
    }
    drop(open.pop());
    eventually("a place is free", async || {
        let request = api.request(Method::GET, "/api/topics/t/watch");
        request.send().await.unwrap().status() == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let mut api = Api::start().await;
    let mut streams = [
        api.events("/api/events").await,
        api.events("/api/topics/t/watch").await,
    ];
    let begin = Instant::now();
    api.server.terminate();
    for stream in &mut streams {
        while stream.next().await.is_some() {}
    }
    let status = api.server.ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "nothing waited for the streams"
    );
}

#[tokio::test]
async fn a_series_has_columns_of_what_flowed() {
    let api = Api::start().await;
    for _ in 0..3 {
        api.publish("t", "d").await;
    }
    let sum = |series: &Value, name: &str| -> u64 {
        series[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|count| count.as_u64().unwrap())
            .sum()
    };
    eventually("three were accepted", async || {
        sum(&api.ok("/api/series?step=1&points=60").await, "accepted") == 3
    })
    .await;
    let series = api.ok("/api/series").await;
    let points = series["accepted"].as_array().unwrap().len();
    for name in ["delivered", "consumed", "notConsumed", "waiting"] {
        assert_eq!(series[name].as_array().unwrap().len(), points, "{name}");
    }
    assert!(series["start"].as_i64() >= series["since"].as_i64().map(|since| since - 1));
    assert_eq!(api.ok("/api/series?points=1").await["waiting"], json!([3]));
    for step in [60, 3600] {
        assert_eq!(
            api.ok(&format!("/api/series?step={step}")).await["step"],
            step
        );
    }
}

#[tokio::test]
async fn growth_has_every_day_and_every_quarter() {
    let api = Api::start().await;
    api.publish("t", "d").await;
    let growth = api.ok("/api/growth").await;
    let buckets = growth["buckets"].as_array().unwrap();
    assert_eq!((buckets.len(), &growth["zone"]), (7, &json!("+08:00")));
    for (bucket, back) in buckets.iter().rev().zip(0..) {
        let start = bucket["start"].as_i64().unwrap();
        assert_eq!(
            (start + 8 * 3600) % 86_400,
            0,
            "a day begins at midnight here"
        );
        assert_eq!((now() - start) / 86_400, back);
        assert_eq!(bucket["accepted"], u8::from(back == 0));
    }
    let growth = api.ok("/api/growth?bucket=quarter&days=31").await;
    let buckets = growth["buckets"].as_array().unwrap();
    assert_eq!((buckets.len(), &growth["zone"]), (31 * 96, &json!("UTC")));
    let last = buckets.last().unwrap();
    assert_eq!(last["accepted"], 1);
    assert_eq!(last["start"].as_i64().unwrap() % 900, 0);
    assert_eq!(
        api.ok("/api/growth?days=400").await["buckets"]
            .as_array()
            .unwrap()
            .len(),
        400
    );
}

#[tokio::test]
async fn the_settings_are_shown_but_the_secret() {
    let api = Api::start().await;
    let config = api.ok("/api/config").await;
    let settings = config["settings"].as_array().unwrap();
    let find = |key: &str| {
        settings
            .iter()
            .find(|setting| setting["key"] == key)
            .unwrap()
    };
    let count = find("mq.sendCount");
    assert_eq!(
        (&count["value"], &count["source"]),
        (&json!("100"), &json!("default"))
    );
    let speed = find("mq.checkSpeed");
    assert_eq!(
        (&speed["value"], &speed["default"]),
        (&json!("0.2"), &json!("5"))
    );
    assert_eq!(speed["source"], "config/application.yaml");
    let reloads = |key: &str| find(key)["reloads"].as_bool().unwrap();
    assert!(reloads("mq.checkSpeed") && reloads("mq.secretKey"));
    assert!(!reloads("mq.segmentMiB") && !reloads("log.format"));
    let key = find("mq.secretKey");
    assert_eq!(
        (&key["value"], &key["default"], &key["secret"]),
        (&Value::Null, &Value::Null, &json!(true))
    );
    assert!(settings.iter().all(|setting| setting["value"] != KEY));
}

#[tokio::test]
async fn streams_ask_proxies_to_keep_nothing_back() {
    let api = Api::start().await;
    for n in 0..3 {
        api.server.publish("t", &format!("{n:060000}")).await;
    }
    let streams = [
        "/api/events",
        "/api/topic/watch?topic=t",
        "/api/search?text=x",
        "/api/backup",
    ];
    for path in streams {
        let reply = api.request(Method::GET, path).send().await.unwrap();
        let cache: Vec<_> = reply.headers().get_all("cache-control").iter().collect();
        assert_eq!(cache, ["no-store", "no-transform"], "{path}");
        assert_eq!(reply.headers()["x-accel-buffering"], "no", "{path}");
    }
    let list = api
        .request(Method::POST, "/Console/GetMessageList")
        .send()
        .await
        .unwrap();
    assert_eq!(list.headers()["x-accel-buffering"], "no");
    assert_eq!(list.headers()["cache-control"], "no-transform");
    let whole = api
        .request(Method::GET, "/api/overview")
        .send()
        .await
        .unwrap();
    assert!(!whole.headers().contains_key("x-accel-buffering"));
}

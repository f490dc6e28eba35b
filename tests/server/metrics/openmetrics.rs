//! Reads the texts of OpenMetrics 1.0 and of Prometheus 0.0.4, and refuses what they do not allow.

use std::collections::{BTreeMap, BTreeSet};

/// A family of metrics.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    pub(crate) samples: Vec<Sample>,
}

/// One value.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// Everything that a server told at once, by the name of the family.
#[derive(Debug)]
pub(crate) struct Exposition(pub(crate) BTreeMap<String, Family>);

/// The form of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    OpenMetrics,
    Plain,
}

impl Exposition {
    /// Reads the text of OpenMetrics; says what is wrong with it, if anything is.
    pub(crate) fn parse(text: &str) -> Result<Exposition, String> {
        let body = text
            .strip_suffix("# EOF\n")
            .ok_or("does not end with # EOF")?;
        Exposition::parse_body(body, Form::OpenMetrics)
    }

    /// The same with the text of Prometheus.
    pub(crate) fn parse_plain(text: &str) -> Result<Exposition, String> {
        ensure(text.ends_with('\n'), text, "does not end a line")?;
        Exposition::parse_body(text, Form::Plain)
    }

    fn parse_body(body: &str, form: Form) -> Result<Exposition, String> {
        let mut families = BTreeMap::new();
        let mut lines = body.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = described(line, "HELP")?;
            let line = lines.next().unwrap_or_default();
            let (typed, kind) = described(line, "TYPE")?;
            let mut family = Family {
                kind: kind.to_owned(),
                help: help.to_owned(),
                unit: None,
                samples: vec![],
            };
            let has_unit = |line: &&str| form == Form::OpenMetrics && line.starts_with("# UNIT ");
            if let Some(line) = lines.next_if(has_unit) {
                let (measured, unit) = described(line, "UNIT")?;
                ensure(measured == name, line, "is the unit of another family")?;
                ensure(
                    name.ends_with(&format!("_{unit}")),
                    line,
                    "is not in the name",
                )?;
                family.unit = Some(unit.to_owned());
            }
            ensure(typed == name, line, "is the type of another family")?;
            ensure(!help.is_empty(), name, "has no help")?;
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                family.samples.push(Sample::parse(line)?);
            }
            family.check(name, form)?;
            let before = families.insert(name.to_owned(), family);
            ensure(before.is_none(), name, "is there twice")?;
        }
        Ok(Exposition(families))
    }

    /// The value of the sample of this name that has exactly these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: BTreeMap<String, String> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let mut samples = self.0.values().flat_map(|family| &family.samples);
        samples
            .find(|sample| sample.name == name && sample.labels == wanted)
            .unwrap_or_else(|| panic!("no {name} with {labels:?}"))
            .value
    }

    /// The names of all samples.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let samples = self.0.values().flat_map(|family| &family.samples);
        samples.map(|sample| &*sample.name).collect()
    }
}

impl Family {
    fn check(&self, name: &str, form: Form) -> Result<(), String> {
        let allowed: &[&str] = match (&*self.kind, form) {
            ("counter", Form::OpenMetrics) => &["_total"],
            ("counter", Form::Plain) if name.ends_with("_total") => &[""],
            ("gauge", _) => &[""],
            ("info", Form::OpenMetrics) => &["_info"],
            ("histogram", _) => &["_bucket", "_count", "_sum"],
            _ => &[],
        };
        ensure(!self.samples.is_empty(), name, "has no samples")?;
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            let suffix = sample.name.strip_prefix(name).unwrap_or("?");
            ensure(
                allowed.contains(&suffix),
                &sample.name,
                "is not of its family",
            )?;
            let new = seen.insert((&sample.name, &sample.labels));
            ensure(new, &sample.name, "is there twice")?;
            let counts = matches!(&*self.kind, "counter" | "histogram");
            ensure(!counts || sample.value >= 0.0, &sample.name, "is below 0")?;
        }
        match &*self.kind {
            "histogram" => self.check_buckets(name),
            _ => Ok(()),
        }
    }

    fn check_buckets(&self, name: &str) -> Result<(), String> {
        let of = |suffix: &str| {
            let named = format!("{name}{suffix}");
            let samples = self.samples.iter();
            samples
                .filter(move |sample| sample.name == named)
                .collect::<Vec<_>>()
        };
        let (buckets, counts, sums) = (of("_bucket"), of("_count"), of("_sum"));
        ensure(
            counts.len() == 1 && sums.len() == 1,
            name,
            "has no count or sum",
        )?;
        let bound = |sample: &&Sample| sample.labels.get("le")?.parse::<f64>().ok();
        let bounds: Option<Vec<f64>> = buckets.iter().map(bound).collect();
        let bounds = bounds.ok_or(format!("{name} has a bucket without a bound"))?;
        ensure(
            bounds.is_sorted_by(|a, b| a < b),
            name,
            "has unsorted bounds",
        )?;
        ensure(bounds.last() == Some(&f64::INFINITY), name, "has no +Inf")?;
        let values: Vec<f64> = buckets.iter().map(|bucket| bucket.value).collect();
        ensure(values.is_sorted(), name, "has buckets that shrink")?;
        ensure(
            values.last() == Some(&counts[0].value),
            name,
            "does not add up",
        )
    }
}

impl Sample {
    fn parse(line: &str) -> Result<Sample, String> {
        let (series, value) = line.rsplit_once(' ').ok_or(format!("no value: {line}"))?;
        let (name, mut labels) = match series.split_once('{') {
            None => (series, ""),
            Some((name, rest)) => {
                let labels = rest.strip_suffix('}').ok_or(format!("no }} in {line}"))?;
                (name, labels)
            }
        };
        ensure(is_name(name), line, "has no name")?;
        let mut sample = Sample {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            value: value.parse().map_err(|_| format!("no number: {line}"))?,
        };
        while !labels.is_empty() {
            let (key, rest) = labels.split_once('=').ok_or(format!("no label: {line}"))?;
            let (value, rest) = quoted(rest).ok_or(format!("no quotes: {line}"))?;
            let before = sample.labels.insert(key.to_owned(), value);
            ensure(is_name(key) && before.is_none(), line, "has a bad label")?;
            labels = rest.strip_prefix(',').unwrap_or(rest);
            ensure(rest.is_empty() || !labels.is_empty(), line, "ends with ,")?;
            ensure(rest.is_empty() || labels != rest, line, "has no ,")?;
        }
        Ok(sample)
    }
}

/// The text in quotes that `from` begins with, and what is behind it.
fn quoted(from: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = from.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => return Some((text, chars.as_str())),
            '\\' => text.push(match chars.next()? {
                'n' => '\n',
                escaped @ ('"' | '\\') => escaped,
                _ => return None,
            }),
            plain => text.push(plain),
        }
    }
}

/// Name and text of a line that begins with `# what`.
fn described<'a>(line: &'a str, what: &str) -> Result<(&'a str, &'a str), String> {
    let rest = line.strip_prefix(&*format!("# {what} "));
    let (name, text) = rest
        .and_then(|rest| rest.split_once(' '))
        .ok_or(format!("no {what}: {line:?}"))?;
    ensure(is_name(name), line, "has no name")?;
    Ok((name, text))
}

fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    !text.is_empty() && text.bytes().all(letter)
}

fn ensure(holds: bool, what: &str, problem: &str) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(format!("{what} {problem}")),
    }
}

#[test]
fn what_the_standard_does_not_allow_is_refused() {
    let good = "# HELP a A.\n# TYPE a counter\na_total 1\n\
        # HELP b_seconds B.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\n\
        b_seconds_sum 1.5\nb_seconds_count 2\n\
        b_seconds_bucket{le=\"1.0\"} 1\nb_seconds_bucket{le=\"+Inf\"} 2\n# EOF\n";
    let read = Exposition::parse(good).unwrap();
    assert_eq!(read.value("b_seconds_bucket", &[("le", "1.0")]), 1.0);
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF\n# EOF\n"),
        ("a_total 1", "a 1"),
        ("a_total 1", "a_total -1"),
        ("a_total 1", "a_total 1\na_total 1"),
        ("a_total 1", "a_total one"),
        ("a_total 1\n", ""),
        ("# TYPE a counter", "# TYPE a count"),
        ("# TYPE a counter\n", ""),
        ("# HELP a A.\n", ""),
        ("# HELP b_seconds B.", "# HELP a A."),
        ("b_seconds seconds", "b_seconds bytes"),
        ("b_seconds_count 2", "b_seconds_count 3"),
        ("b_seconds_sum 1.5\n", ""),
        ("le=\"1.0\"} 1", "le=\"1.0\"} 3"),
        ("le=\"1.0\"", "le=1.0"),
        ("le=\"1.0\"", "le=\"1.0\","),
        ("le=\"1.0\"", "le=\"1.0\"a=\"b\""),
        ("le=\"1.0\"", "le=\"1.0\",a=\"b\\c\""),
        ("b_seconds_bucket{le=\"+Inf\"} 2\n", ""),
        ("{le=\"1.0\"}", ""),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        assert!(Exposition::parse(&bad).is_err(), "{bad}");
    }
    let plain = "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n";
    assert_eq!(
        Exposition::parse_plain(plain)
            .unwrap()
            .value("a_total", &[]),
        1.0
    );
    for bad in [
        plain.replace("_total", ""),
        plain.replace("counter", "info"),
        plain.trim_end().to_owned(),
        plain.to_owned() + "# EOF\n",
        plain.replace("a_total 1", "# UNIT a_total seconds\na_total 1"),
    ] {
        assert!(Exposition::parse_plain(&bad).is_err(), "{bad}");
    }
}

//! The formats of exports.

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ExportFormat {
    Csv,
    Ndjson,
}

impl ExportFormat {
    /// The first line of the file.
    pub(super) fn header(self) -> &'static str {
        match self {
            ExportFormat::Csv => "sequence,code,topic,status,created,consumed,bytes,data\r\n",
            ExportFormat::Ndjson => "",
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            ExportFormat::Csv => "text/csv; charset=utf-8; header=present",
            ExportFormat::Ndjson => "application/x-ndjson",
        }
    }

    /// The name of a file made at this time.
    pub(super) fn file_name(self, now: DateTime<Utc>) -> String {
        let end = match self {
            ExportFormat::Csv => "csv",
            ExportFormat::Ndjson => "ndjson",
        };
        format!("dpmq-messages-{}.{end}", now.format("%Y%m%dT%H%M%SZ"))
    }
}

//! An export that is being sent: all matching messages as a file.

use axum::response::{IntoResponse, Response};

use crate::broker::Pieces;
use crate::http::api::error::ConsoleError;
use crate::http::api::json::message::FullMessage;
use crate::http::api::messages::export::csv::{open_cell, open_row, write_cell};
use crate::http::api::messages::export::format::ExportFormat;
use crate::http::api::reply;
use crate::http::api::text_search::TextSearch;
use crate::http::headers::{attachment, uncached};
use crate::http::listing;
use crate::http::places::HeldPlace;
use crate::message::Message;
use crate::store::StoreError;

/// Replies with the file under this name.
pub(super) async fn send(
    pieces: Pieces,
    file: ExportFile,
    name: &str,
) -> Result<Response, ConsoleError> {
    let kind = file.format.content_type();
    let body = listing::body(pieces, file).await?;
    let headers = uncached(kind);
    Ok((headers, [attachment(name)], body).into_response())
}

/// A file that is being sent.
pub(super) struct ExportFile {
    pub(super) format: ExportFormat,
    pub(super) text_search: Option<TextSearch>,
    pub(super) _place: HeldPlace,
}

impl listing::ListFormat for ExportFile {
    fn begin(&self) -> &'static str {
        self.format.header()
    }

    fn includes(&mut self, message: &Message) -> bool {
        let wanted = self.text_search.as_mut();
        wanted.is_none_or(|text_search| text_search.matches(&message.data))
    }

    fn open(&mut self, out: &mut Vec<u8>, message: &Message) -> Vec<u8> {
        match self.format {
            ExportFormat::Csv => {
                open_row(out, message);
                [open_cell(out, &message.data), b"\r\n"].concat()
            }
            ExportFormat::Ndjson => {
                let json =
                    reply::text_of(&FullMessage::of(message, usize::MAX).without_data()) + "\n";
                listing::open_json(out, &json, "data")
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>, part: &str) {
        match self.format {
            ExportFormat::Csv => write_cell(out, part),
            ExportFormat::Ndjson => listing::write_json(out, part),
        }
    }

    fn end(&self) -> &'static str {
        ""
    }

    fn broke_off(&self, error: &StoreError) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "an export broke off"
        );
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use tokio::sync::mpsc;

    use super::*;
    use crate::http::api::json::message::sample;
    use crate::http::places::Places;

    /// The file of a list that comes in these pieces.
    async fn sent(
        format: ExportFormat,
        text_search: Option<&str>,
        pieces: Vec<Result<Vec<Message>, StoreError>>,
    ) -> Result<String, String> {
        let (sender, receiver) = mpsc::channel(pieces.len().max(1));
        for piece in pieces {
            sender.try_send(piece.map(Into::into)).unwrap();
        }
        drop(sender);
        let file = ExportFile {
            format,
            text_search: text_search.map(TextSearch::new),
            _place: Places::new().exports.take("key").unwrap(),
        };
        let response = send(receiver, file, "f.csv")
            .await
            .map_err(|refusal| refusal.text())?;
        let body = to_bytes(response.into_body(), usize::MAX).await;
        let body = body.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn a_file_is_whole_or_breaks_off() {
        let piece = || Ok(vec![sample(2, "b"), sample(1, "a")]);
        let csv = sent(ExportFormat::Csv, None, vec![piece()]).await.unwrap();
        assert_eq!(csv.split("\r\n").count(), 4, "{csv}");
        let lines = sent(ExportFormat::Ndjson, Some("B"), vec![piece(), piece()])
            .await
            .unwrap();
        assert_eq!(lines.lines().count(), 2, "{lines}");
        let none = sent(ExportFormat::Csv, None, vec![]).await.unwrap();
        assert_eq!(none, ExportFormat::Csv.header());
        let refused = sent(ExportFormat::Csv, None, vec![Err(StoreError::Closed)]).await;
        assert!(refused.unwrap_err().contains("store_failed"));
        let large = Ok(vec![sample(1, &"x".repeat(200_000))]);
        let broken = sent(
            ExportFormat::Csv,
            None,
            vec![large, Err(StoreError::Closed)],
        )
        .await;
        assert!(!broken.unwrap_err().contains("store_failed"));
    }
}

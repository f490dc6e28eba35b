//! A list of messages as the body of a reply. The text is made in pieces of limited size, however
//! large a message is, and a piece only when the client has taken the one before.

use axum::body::{Body, Bytes};
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;

use crate::broker::{Held, Piece, Pieces};
use crate::message::Message;
use crate::store::StoreError;

/// The size of a piece of text.
const TEXT_BYTES: usize = 64 << 10;
/// Data that is encoded at once. Its text has up to six times as many bytes.
const PART_BYTES: usize = 4 << 10;
/// The most text around the data of a message; most of it is the topic.
const AROUND_BYTES: usize = 12 << 10;

/// How a list becomes text.
pub(super) trait ListFormat: Send + 'static {
    /// The text before the first message.
    fn begin(&self) -> &'static str;

    /// Whether the list includes this message.
    fn includes(&mut self, message: &Message) -> bool;

    /// Writes the text before the data of a message. Returns the text after it.
    fn open(&mut self, out: &mut Vec<u8>, message: &Message) -> Vec<u8>;

    /// Writes the next part of the data of the open message.
    fn write(&self, out: &mut Vec<u8>, part: &str);

    /// The text after the last message.
    fn end(&self) -> &'static str;

    /// Logs why the list is incomplete.
    fn broke_off(&self, error: &StoreError);
}

/// The whole list. On an error before the first piece the caller replies; a later one breaks the
/// transfer, so that no client takes a part for the whole.
pub(super) async fn body(pieces: Pieces, format: impl ListFormat) -> Result<Body, StoreError> {
    let mut listing = Listing {
        pieces,
        piece: Piece::default(),
        open: None,
        start: format.begin(),
        format,
        complete: false,
    };
    let first = listing.text().await?;
    if listing.complete {
        return Ok(first.into());
    }
    let rest = stream::try_unfold(listing, async |mut listing| {
        if listing.complete {
            return Ok(None);
        }
        let text = listing.text().await;
        let text = text.inspect_err(|error| listing.format.broke_off(error))?;
        Ok::<_, StoreError>(Some((text, listing)))
    });
    let first = stream::once(async { Ok(first) });
    Ok(Body::from_stream(first.chain(rest)))
}

/// A list of one message.
pub(super) async fn body_of(message: Held, format: impl ListFormat) -> Result<Body, StoreError> {
    let (sender, pieces) = mpsc::channel(1);
    let sent = sender.try_send(Ok(message.into()));
    sent.expect("there is room for one piece");
    drop(sender);
    body(pieces, format).await
}

/// A list that is being written.
struct Listing<F> {
    pieces: Pieces,
    piece: Piece,
    open: Option<OpenMessage>,
    /// The start of the next piece.
    start: &'static str,
    format: F,
    /// Whether the last piece has been made.
    complete: bool,
}

/// A message that is being written.
struct OpenMessage {
    message: Message,
    /// The bytes of its data written so far.
    written: usize,
    after: Vec<u8>,
}

impl<F: ListFormat> Listing<F> {
    /// The next piece: as much as fits.
    async fn text(&mut self) -> Result<Bytes, StoreError> {
        let mut text = Vec::with_capacity(TEXT_BYTES + 6 * PART_BYTES + AROUND_BYTES);
        text.extend_from_slice(std::mem::take(&mut self.start).as_bytes());
        while text.len() < TEXT_BYTES {
            if let Some(open) = &mut self.open {
                let rest = &open.message.data[open.written..];
                let part = &rest[..rest.floor_char_boundary(PART_BYTES)];
                self.format.write(&mut text, part);
                open.written += part.len();
                if part.len() == rest.len() {
                    text.append(&mut open.after);
                    self.open = None;
                }
            } else if let Some(message) = self.piece.next() {
                if self.format.includes(&message) {
                    let after = self.format.open(&mut text, &message);
                    self.open = Some(OpenMessage {
                        message,
                        written: 0,
                        after,
                    });
                }
            } else {
                // Its memory may be what the next one waits for.
                self.piece = Piece::default();
                let Some(piece) = self.pieces.recv().await else {
                    text.extend_from_slice(self.format.end().as_bytes());
                    self.complete = true;
                    break;
                };
                self.piece = piece?;
            }
        }
        Ok(text.into())
    }
}

/// Writes the JSON of a message up to its empty field `name`, where the data belongs. Returns the
/// rest.
pub(super) fn open_json(out: &mut Vec<u8>, json: &str, name: &str) -> Vec<u8> {
    // Quotes inside texts are escaped, so this is the field.
    let field = format!("\"{name}\":\"");
    let at = json.find(&field).expect("the data has a field") + field.len();
    out.extend_from_slice(&json.as_bytes()[..at]);
    json.as_bytes()[at..].to_vec()
}

/// Writes a part of a JSON string.
pub(super) fn write_json(out: &mut Vec<u8>, part: &str) {
    let at = out.len();
    serde_json::to_writer(&mut *out, part).expect("a text can be written to memory");
    out.pop();
    out.remove(at);
}

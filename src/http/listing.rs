//! A list of messages as the body of a reply: text of limited size at a time, however large a
//! message is, and none before the client takes what there is.

use axum::body::{Body, Bytes};
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;

use crate::broker::{Held, Piece, Pieces};
use crate::message::Message;
use crate::store::StoreError;

/// Text that is made at once.
const TEXT_BYTES: usize = 64 << 10;
/// Data that is written at once; as text it has up to six times as many bytes.
const PART_BYTES: usize = 4 << 10;
/// The most that there is around the data of a message, its topic above all.
const AROUND_BYTES: usize = 12 << 10;

/// How a list is written.
pub(super) trait ListFormat: Send + 'static {
    /// What the text begins with.
    fn begin(&self) -> &'static str;

    /// Whether a message is to be in it.
    fn has(&mut self, message: &Message) -> bool;

    /// Writes what goes before the data of a message, and returns what goes behind.
    fn open(&mut self, out: &mut Vec<u8>, message: &Message) -> Vec<u8>;

    /// Writes the next part of the data of the message that is open.
    fn write(&self, out: &mut Vec<u8>, part: &str);

    /// What the text ends with.
    fn end(&self) -> &'static str;

    /// Tells the log why the text ends before its end.
    fn broke_off(&self, error: &StoreError);
}

/// The whole list. An error before the first text is the caller's to reply; one after it breaks
/// the transfer, so that a part is never taken for the whole.
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

/// A list on its way into text.
struct Listing<F> {
    pieces: Pieces,
    piece: Piece,
    open: Option<OpenMessage>,
    /// What the next text begins with.
    start: &'static str,
    format: F,
    /// Whether the last text has been made.
    complete: bool,
}

/// A message that is being written.
struct OpenMessage {
    message: Message,
    /// How much of its data is written.
    written: usize,
    behind: Vec<u8>,
}

impl<F: ListFormat> Listing<F> {
    /// The next text: as much as fits.
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
                    text.append(&mut open.behind);
                    self.open = None;
                }
            } else if let Some(message) = self.piece.next() {
                if self.format.has(&message) {
                    let behind = self.format.open(&mut text, &message);
                    self.open = Some(OpenMessage {
                        message,
                        written: 0,
                        behind,
                    });
                }
            } else {
                // Its room may be what the next one waits for.
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

/// Writes the JSON of a message whose data, in the field `name`, is left out, up to where it
/// belongs, and returns the rest.
pub(super) fn open_json(out: &mut Vec<u8>, json: &str, name: &str) -> Vec<u8> {
    // Inside of texts quotes have a backslash, so this is the field.
    let field = format!("\"{name}\":\"");
    let at = json.find(&field).expect("the data has a field") + field.len();
    out.extend_from_slice(&json.as_bytes()[..at]);
    json.as_bytes()[at..].to_vec()
}

/// Writes a part of a text of JSON.
pub(super) fn write_json(out: &mut Vec<u8>, part: &str) {
    let at = out.len();
    serde_json::to_writer(&mut *out, part).expect("a text can be written to memory");
    out.pop();
    out.remove(at);
}

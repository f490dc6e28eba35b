//! How a store reports that messages are stored: to the queue, and to their producer.

use tokio::sync::oneshot;

use crate::message::{Message, MessageCode};
use crate::store::error::StoreError;

/// Called with messages just stored, in their order, before their producers get an answer. It must
/// be quick: everything waits for it.
pub type Committed = Box<dyn FnMut(Vec<Message>) + Send>;

/// The codes of messages just stored, or why none of them was.
pub type Appended = oneshot::Receiver<Result<Vec<MessageCode>, StoreError>>;

/// What messages hold of their caller's bounds while they are on their way to the disk. The store
/// drops it when the messages have left its memory: that alone says that they are refused.
pub trait Hold: Send {
    /// The messages are stored, and their producer gets the answer.
    fn stored(self: Box<Self>);
}

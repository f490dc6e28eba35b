//! How a store reports that messages are stored: to the queue, and to their producer.

use tokio::sync::oneshot;

use crate::message::{Message, MessageCode};
use crate::store::error::StoreError;

/// Called with messages just stored, in their order, before their producers get an answer. It must
/// be quick: everything waits for it.
pub type Committed = Box<dyn FnMut(Vec<Message>) + Send>;

/// The codes of messages just stored, or why none of them was.
pub type Appended = oneshot::Receiver<Result<Vec<MessageCode>, StoreError>>;

/// What appended messages keep of their caller: dropped when they are stored or refused, and have
/// left the memory of the writer.
pub type Hold = Box<dyn Send>;

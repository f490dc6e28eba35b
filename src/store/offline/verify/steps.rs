//! How far a check is.

/// How far a check is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Bytes looked at.
    pub done: u64,
    /// Bytes there are.
    pub total: u64,
}

/// Is told how far a check is.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(Checked);

/// Counts bytes, and tells how far it is.
pub(super) struct Steps<'a> {
    progress: Progress<'a>,
    at: Checked,
}

impl<'a> Steps<'a> {
    pub(super) fn new(progress: Progress<'a>, total: u64) -> Steps<'a> {
        let at = Checked { done: 0, total };
        progress(at);
        Steps { progress, at }
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.at.done = (self.at.done + bytes).min(self.at.total);
        (self.progress)(self.at);
    }

    pub(super) fn done(&mut self) {
        self.at.done = self.at.total;
        (self.progress)(self.at);
    }
}

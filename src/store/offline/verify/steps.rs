//! Reports the progress of a check.

/// The progress of a check, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Bytes checked.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Called with the progress of a check.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(Checked);

/// Counts bytes, and reports the progress.
pub(super) struct Steps<'a> {
    progress: Progress<'a>,
    at: Checked,
}

impl<'a> Steps<'a> {
    /// Reports that nothing of `total` bytes is checked yet.
    pub(super) fn new(progress: Progress<'a>, total: u64) -> Steps<'a> {
        let at = Checked { done: 0, total };
        progress(at);
        Steps { progress, at }
    }

    /// Counts bytes that were checked.
    pub(super) fn add(&mut self, bytes: u64) {
        self.at.done = (self.at.done + bytes).min(self.at.total);
        (self.progress)(self.at);
    }

    /// Reports that everything is checked.
    pub(super) fn done(&mut self) {
        self.at.done = self.at.total;
        (self.progress)(self.at);
    }
}

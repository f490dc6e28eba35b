//! A progress bar, shown at a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

use crate::store::Checked;

/// A bar of bytes; it shows at a terminal only.
pub(in crate::cli) fn bytes_bar() -> ProgressBar {
    ProgressBar::new(0).with_style(
        ProgressStyle::with_template(
            "{msg} {bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        )
        .expect("a valid template"),
    )
}

/// Shows the progress of a check.
pub(in crate::cli) fn show(bar: &ProgressBar, at: Checked) {
    bar.set_length(at.total);
    bar.set_position(at.done);
}

//! How far the load is: a bar on a terminal, else a line every few seconds.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress on standard error.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    lines: Option<Arc<Mutex<Instant>>>,
}

impl Progress {
    /// Progress towards `events` events.
    pub fn new(events: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(events), target);
        let style = ProgressStyle::with_template(
            "{bar:40} {human_pos}/{human_len} events, {per_sec}, {eta} left{msg}",
        )
        .expect("the template is valid");
        bar.set_style(style);
        Self { bar, lines: (!terminal).then(|| Arc::new(Mutex::new(Instant::now()))) }
    }

    /// Progress that nobody sees.
    pub fn silent() -> Self {
        Self { bar: ProgressBar::hidden(), lines: None }
    }

    /// Tally has taken `events` more.
    pub fn acked(&self, events: u64) {
        self.bar.inc(events);
        self.line("");
    }

    /// Tally doesn't answer at the moment, or does again.
    pub fn waiting(&self, waiting: bool) {
        let message = if waiting { ", waiting for Tally" } else { "" };
        self.bar.set_message(message);
        self.line(message);
    }

    /// Prints a line if there is no bar and the last line was a while ago.
    fn line(&self, message: &str) {
        let Some(lines) = &self.lines else { return };
        let mut last = lines.lock().expect("nothing panics while holding the lock");
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            let (sent, total) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!("{sent} of {total} events sent{message}");
        }
    }

    /// Leaves the bar as it is.
    pub fn finish(&self) {
        self.bar.abandon();
    }
}

//! What ends a run in order: Ctrl-C, SIGTERM and SIGHUP.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::{INTERRUPTED, say};

/// What is said of an interrupt, if anything.
static WORDS: Mutex<Option<String>> = Mutex::new(None);

/// Says these words when a signal comes.
pub fn say_when_interrupted(words: String) {
    *WORDS.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
}

/// Whether the signals are handled already.
static IS_HANDLED: AtomicBool = AtomicBool::new(false);

/// Has Ctrl-C, SIGTERM and SIGHUP set a flag; a second one ends the program at once. A program has one flag, and every
/// call but the first does nothing.
pub fn stop_on_interrupt(flag: Arc<AtomicBool>) -> Result<()> {
    if IS_HANDLED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let hang_up = HangUp::now();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        if let Some(words) = &*WORDS.lock().unwrap_or_else(PoisonError::into_inner) {
            say(format!("interrupted: {words}"));
        }
    })
    .context("handling signals")?;
    hang_up.restore();
    Ok(())
}

/// What SIGHUP did when the program began: under `nohup` it is ignored, and is to stay so.
struct HangUp {
    #[cfg(target_os = "linux")]
    is_ignored: bool,
}

impl HangUp {
    #[cfg(target_os = "linux")]
    fn now() -> Self {
        // SAFETY: all zeros are a valid `sigaction`, which the call only fills.
        let is_ignored = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGHUP, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
        };
        Self { is_ignored }
    }

    #[cfg(target_os = "linux")]
    fn restore(self) {
        if self.is_ignored {
            // SAFETY: ignoring a signal runs no handler.
            unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn now() -> Self {
        Self {}
    }

    #[cfg(not(target_os = "linux"))]
    fn restore(self) {}
}

//! A mapped file that another process cuts off: one line that names the file, and the end, instead of a bus error
//! without a word.
//!
//! Whoever reads a page of a map whose file has become too short for it gets SIGBUS. What has been trained until then
//! is in the run's checkpoint.

use ffwd::data::{Dataset, IdxImages};

/// Names the files of a data set, should they be cut off.
pub fn watch(dataset: &Dataset) {
    for split in [&dataset.train, &dataset.test] {
        on_linux::watch(split.images.path(), split.images.file_bytes());
        on_linux::watch(split.labels.path(), split.labels.file_bytes());
    }
}

/// Names a file of images, should it be cut off.
pub fn watch_images(images: &IdxImages) {
    on_linux::watch(images.path(), images.file_bytes());
}

#[cfg(target_os = "linux")]
mod on_linux {
    use std::ops::Range;
    use std::path::Path;
    use std::sync::{Once, OnceLock};

    /// The most maps of one command: the four files of a data set.
    const MOST: usize = 4;

    /// A map, and what is said when it is cut off.
    struct Watched {
        addresses: Range<usize>,
        message: String,
    }

    static WATCHED: [OnceLock<Watched>; MOST] = [const { OnceLock::new() }; MOST];

    pub fn watch(path: &Path, map: &[u8]) {
        let start = map.as_ptr().addr();
        let message = format!(
            "error: {}: found it cut off by another process while it was in use, expected it to stay as it is; \
             a data file is replaced by renaming another one over it\n",
            path.display()
        );
        let mut watched = Watched { addresses: start..start + map.len(), message };
        for place in &WATCHED {
            match place.set(watched) {
                Ok(()) => break,
                Err(occupied) => watched = occupied,
            }
        }
        static HANDLED: Once = Once::new();
        HANDLED.call_once(handle);
    }

    fn handle() {
        // SAFETY: all zeros are a valid `sigaction`. The handler has the signature that SA_SIGINFO asks for, and does
        // only what a signal handler may: it reads what has been set before, and calls `write`, `_exit` and `signal`.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_bus_error as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        }
    }

    extern "C" fn on_bus_error(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the system passes a valid `siginfo_t` of SIGBUS, which has an address.
        let address = unsafe { (*info).si_addr() }.addr();
        if let Some(Watched { message, .. }) =
            WATCHED.iter().filter_map(OnceLock::get).find(|watched| watched.addresses.contains(&address))
        {
            // SAFETY: the bytes of a text that is never freed; `_exit` runs nothing of this process any more.
            unsafe {
                libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
                libc::_exit(1);
            }
        }
        // Anything else ends the program as it would have without a handler: at the same access, once this returns.
        // SAFETY: the default action runs no code of this process.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
    }
}

#[cfg(not(target_os = "linux"))]
mod on_linux {
    pub fn watch(_: &std::path::Path, _: &[u8]) {}
}

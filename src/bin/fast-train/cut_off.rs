//! A mapped file that cannot be read any more, because another process has cut it off or its device fails: one line
//! that names the file, and the end, instead of a bus error without a word.
//!
//! What has been trained until then is in the run's checkpoint. Only Linux tells the address of a bus error reliably;
//! elsewhere the system ends the program.

use ffwd::data::{Dataset, IdxImages};

/// Makes a bus error say which file it was; to be called before a file is mapped.
pub fn name_files() {
    system::handle();
}

/// Knows the files of a data set by name from now on.
pub fn know(dataset: &Dataset) {
    for split in [&dataset.train, &dataset.test] {
        know_images(&split.images);
        split.labels.files().for_each(|(path, map)| system::know(path, map));
    }
}

/// Knows a file of images by name from now on.
pub fn know_images(images: &IdxImages) {
    images.files().for_each(|(path, map)| system::know(path, map));
}

#[cfg(target_os = "linux")]
mod system {
    use std::ops::Range;
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use ffwd::text::one_line;

    /// The most maps that are known by name: the files of a data set, some of them in shards.
    const MOST: usize = 256;

    /// What is said where the file's name is not known, because it is being opened or one of many shards.
    const UNNAMED: &str = "\nerror: a data file: found it unreadable (cut off by another process, or its device \
                           fails), expected it to stay as it is\n";

    /// A map, and what is said when it cannot be read.
    struct Known {
        addresses: Range<usize>,
        message: String,
    }

    static KNOWN: [OnceLock<Known>; MOST] = [const { OnceLock::new() }; MOST];
    /// Whether a thread has begun to say so.
    static IS_SAID: AtomicBool = AtomicBool::new(false);

    pub fn know(path: &Path, map: &[u8]) {
        let start = map.as_ptr().addr();
        // Progress may stand in the line on a terminal.
        let message = format!(
            "\nerror: {}: found it unreadable while it was in use (cut off by another process, or its device fails), \
             expected it to stay as it is; replace a data file by renaming another one over it\n",
            one_line(&path.display().to_string())
        );
        let mut known = Known { addresses: start..start + map.len(), message };
        for place in &KNOWN {
            match place.set(known) {
                Ok(()) => break,
                Err(occupied) => known = occupied,
            }
        }
    }

    pub fn handle() {
        // SAFETY: all zeros are a valid `sigaction`. The handler has the signature that SA_SIGINFO asks for, and does
        // only what a signal handler may: it reads what was set before, and calls functions that POSIX allows there.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_bus_error as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        }
    }

    extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the system passes a valid `siginfo_t`.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr()) };
        // One that another process sent is not about memory, and does what it would have done.
        if code <= 0 {
            // SAFETY: the default action runs no code of this process.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
            return;
        }
        if IS_SAID.swap(true, Ordering::Relaxed) {
            // Several threads read the file. The first of them ends the program.
            loop {
                // SAFETY: it waits for a signal, and touches no memory.
                unsafe { libc::pause() };
            }
        }
        let mut known = KNOWN.iter().filter_map(OnceLock::get);
        let message = known.find(|known| known.addresses.contains(&address.addr()));
        let message = message.map_or(UNNAMED, |known| &known.message);
        // SAFETY: the bytes of a text that is never freed; `_exit` runs nothing of this process any more.
        unsafe {
            libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
            libc::_exit(1);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub fn handle() {}

    pub fn know(_: &std::path::Path, _: &[u8]) {}
}

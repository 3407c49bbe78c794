//! Memory: what the operating system is asked about it, to take back what was freed and to use large pages; and buffers
//! that are used again.

/// Returns what the allocator holds of freed memory, where it can be asked to.
///
/// The steps of a layer free hundreds of megabytes in pieces into which the next layer's do not fit; without this they
/// would stay part of the process, and its peak memory would be higher.
pub(crate) fn release_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes of a large page on x86-64 and AArch64.
#[cfg(target_os = "linux")]
const LARGE_PAGE: usize = 2 << 20;

/// Asks for large pages where `floats`, which nothing has been written to yet, spans some; does nothing where there are
/// none.
///
/// Panels that are read and written at a stride of some kilobytes touch a page for each row: with pages of 4 KiB a
/// matrix of 4 MiB alone takes half of the addresses that a core keeps translated.
pub(crate) fn use_large_pages(floats: &[f32]) {
    #[cfg(target_os = "linux")]
    {
        let start = floats.as_ptr().addr().next_multiple_of(LARGE_PAGE);
        let end = (floats.as_ptr().addr() + size_of_val(floats)) / LARGE_PAGE * LARGE_PAGE;
        if start < end {
            let first = floats.as_ptr().with_addr(start).cast_mut().cast();
            // SAFETY: the pages lie inside memory that is borrowed; the advice changes none of what they hold.
            unsafe { libc::madvise(first, end - start, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = floats;
}

/// `buffer` with `length` floats, whatever they are.
pub fn fitted(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() != length {
        // New memory is zero by itself; zeros that are written would be touched twice.
        *buffer = vec![0.0; length];
    }
    buffer
}

//! Files that appear whole or not at all.
//!
//! They are made beside their final place and renamed (`tempfile`), so two processes may write the same file at once.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use tempfile::Builder;

use crate::error::Error;

/// What the names of files begin with that are not whole yet; one that is there while nobody writes was left by a
/// process that was killed.
pub const TEMPORARY: &str = ".ffwd-";

/// Creates `path`, or replaces it, with what `fill` writes; until `fill` is done, and if it fails, `path` stays as it
/// was. Directories on the way are created.
///
/// # Errors
///
/// The error of `fill`, or [`Error::Io`] when the directory or the file cannot be made.
pub fn write_atomically<E: From<Error>>(path: &Path, fill: impl FnOnce(&mut File) -> Result<(), E>) -> Result<(), E> {
    let directory = directory_of(path);
    fs::create_dir_all(directory).map_err(Error::io(directory, "create the directory"))?;
    let mut file = builder().tempfile_in(directory).map_err(Error::io(directory, "create a file in it"))?;
    fill(file.as_file_mut())?;
    // Without this, a power cut soon after the renaming may leave an empty file under the final name.
    file.as_file().sync_all().map_err(Error::io(path, "write"))?;
    file.persist(path).map_err(|failed| Error::io(path, "create")(failed.error))?;
    sync_directory(directory)?;
    Ok(())
}

/// Creates `path` with `content`.
///
/// # Errors
///
/// [`Error::Io`], of the kind `AlreadyExists` where there is a file already, which then stays.
pub fn create_atomically(path: &Path, content: &[u8]) -> Result<(), Error> {
    let directory = directory_of(path);
    let mut file = builder().tempfile_in(directory).map_err(Error::io(directory, "create a file in it"))?;
    let written = file.write_all(content).and_then(|()| file.as_file().sync_all());
    written.map_err(Error::io(path, "write"))?;
    file.persist_noclobber(path).map_err(|failed| Error::io(path, "create")(failed.error))?;
    sync_directory(directory)
}

/// Waits until the names in a directory are as durable as its files.
///
/// # Errors
///
/// [`Error::Io`] when the directory cannot be opened or synchronised.
pub fn sync_directory(directory: &Path) -> Result<(), Error> {
    // Elsewhere a directory is no file that could be opened.
    #[cfg(unix)]
    match File::open(directory).and_then(|opened| opened.sync_all()) {
        // Some file systems synchronise no directories.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {}
        synchronised => synchronised.map_err(Error::io(directory, "synchronise"))?,
    }
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

/// Replaces the file at `path` by the one at `new`, and keeps the old one, if there is one, at `previous`. Whenever
/// this is cut off, one of the two is whole.
///
/// # Errors
///
/// [`Error::Io`] when a file cannot be renamed.
pub fn replace_and_keep(new: &Path, path: &Path, previous: &Path) -> Result<(), Error> {
    match fs::rename(path, previous) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(path, "rename")(error)),
        _ => {}
    }
    fs::rename(new, path).map_err(Error::io(path, "create"))?;
    sync_directory(directory_of(path))
}

/// The directory that a file lies in.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Temporary files that end with the permissions of ordinary ones.
fn builder() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("kept");
        fs::write(&path, b"old").unwrap();
        let failed = write_atomically(&path, |_| Err(Error::config("a", "b", "c")));
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}

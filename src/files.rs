//! Files that appear whole or not at all.
//!
//! They are made beside their final place and renamed (`tempfile`), so two processes may write the same file at once.

use std::fs::{self, File};
use std::path::Path;

use tempfile::Builder;

use crate::error::Error;

/// Creates `path`, or replaces it, with what `fill` writes; until `fill` is done, and if it fails, `path` stays as it
/// was. Directories on the way are created.
///
/// # Errors
///
/// The error of `fill`, or [`Error::Io`] when the directory or the file cannot be made.
pub(crate) fn write_atomically<E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(Error::io(directory, "create the directory"))?;
    let mut file = builder().tempfile_in(directory).map_err(Error::io(directory, "create a file in it"))?;
    fill(file.as_file_mut())?;
    // Without this, a power cut soon after the renaming may leave an empty file under the final name.
    file.as_file().sync_all().map_err(Error::io(path, "write"))?;
    file.persist(path).map_err(|failed| Error::io(path, "create")(failed.error))?;
    Ok(())
}

/// Temporary files that end with the permissions of ordinary ones.
fn builder() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".ffwd-");
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

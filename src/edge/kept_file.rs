//! Copies that a repair keeps of what it replaces: files in the journal's directory, for the user alone.
//!
//! Must not print or log a content, and must not give one out that is not what was saved.

use crate::edge::tcp::os_words;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes that a copy may have; user data has 22 KB at most as base64.
const LONGEST: u64 = 1 << 20;

/// Writes `text` into `directory/kept/entry/name`, mode 0600, and returns only when it is on the disk. A copy that an
/// interrupted attempt left is replaced whole.
pub fn save(directory: &str, entry: &str, name: &str, text: &str) -> Result<PathBuf, String> {
    let place = Path::new(directory).join("kept").join(entry);
    let file = place.join(name);
    let write = || -> Result<(), Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
        let part = place.join(format!("{name}.part"));
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        std::fs::rename(&part, &file)?;
        // The name is on the disk only after each directory is.
        for at in place.ancestors().take(3) {
            File::open(at)?.sync_all()?;
        }
        Ok(())
    };
    write().map(|()| file.clone()).map_err(|error| format!("{}: {}", file.display(), os_words(&error)))
}

/// Reads a copy.
pub fn load(path: &str) -> Result<String, String> {
    let read = || -> Result<String, Error> {
        let mut text = String::new();
        File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|error| format!("{path}: {}", os_words(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_copy_is_the_users_alone_and_a_second_one_replaces_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("state");
        let save = |text: &str| super::save(at.to_str().unwrap(), "20260101-000000-1", "user-data.b64", text).unwrap();
        let path = save("b25l");
        assert_eq!(load(path.to_str().unwrap()).unwrap(), "b25l");
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(save("dHdv"), path);
        assert_eq!(load(path.to_str().unwrap()).unwrap(), "dHdv");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(load("/nonexistent/copy").unwrap_err().contains("No such file"));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = super::save(file.to_str().unwrap(), "e", "n", "x").unwrap_err();
        assert!(error.contains(file.to_str().unwrap()), "{error}");
    }
}

//! The settings file: where it is, and its text.
//!
//! Must not know what it says; `core::settings` does.

use super::tcp::os_words;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// More than anybody prefers, bytes.
const LONGEST: u64 = 1 << 20;

/// The file when no other is named: `$XDG_CONFIG_HOME/port22/config.toml`, else `~/.config/port22/config.toml`, on every
/// platform; `None` without a home directory.
pub fn place() -> Option<PathBuf> {
    // The XDG specification tells to ignore a path that is not absolute.
    let chosen = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    Some(chosen.or_else(|| Some(home()?.join(".config")))?.join("port22").join("config.toml"))
}

/// The home directory.
pub fn home() -> Option<PathBuf> {
    directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_path_buf())
}

/// The text of a file; `None` when there is no such file.
///
/// Fails with words when it cannot be read, is no file, is too long, or is not UTF-8.
pub fn read(path: &Path) -> Result<Option<String>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(os_words(&error)),
    };
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err("it is a directory".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| os_words(&error))?;
    if bytes.len() as u64 > LONGEST {
        return Err("it is larger than any settings".to_owned());
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let right = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..right].iter().filter(|b| **b == b'\n').count() + 1;
        format!("line {line} is not UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_or_the_reason_told() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("config.toml");
        assert_eq!(read(&path), Ok(None));
        assert_eq!(read(home.path()), Err("it is a directory".to_owned()));
        std::fs::write(&path, "theme = 'light'\n").expect("written");
        assert_eq!(read(&path), Ok(Some("theme = 'light'\n".to_owned())));
        std::fs::write(&path, b"\n\ntheme = '\xff'\n").expect("written");
        assert_eq!(read(&path), Err("line 3 is not UTF-8".to_owned()));
        std::fs::write(&path, vec![b'#'; (LONGEST + 1) as usize]).expect("written");
        assert!(read(&path).is_err());
    }
}

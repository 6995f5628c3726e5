//! Reads the files of a team's directory. Must not judge what they say: that is [`crate::core::team`]'s.

use crate::core::team::{LARGEST, MOST, Source};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The TOML files that lie in a directory, by name; files that begin with a dot, and directories in it, are left alone.
/// The error says why nothing can be read. A file is read up to one byte more than may be, so that its length is seen.
pub fn files(directory: &Path) -> Result<Vec<Source>, String> {
    let entries = std::fs::read_dir(directory).map_err(|e| reason(&e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| reason(&e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A pipe or a device of that name would keep the program waiting.
        if path.extension().is_some_and(|ext| ext == "toml") && !name.starts_with('.') && path.is_file() {
            paths.push((name, path));
        }
    }
    if paths.is_empty() {
        return Err("no file in it ends in .toml".to_owned());
    }
    if paths.len() > MOST {
        return Err(format!("{} files in it end in .toml, and {MOST} are the most", paths.len()));
    }
    paths.sort();
    let mut out = Vec::new();
    for (name, path) in paths {
        let mut bytes = Vec::new();
        let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX) + 1;
        File::open(&path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|e| format!("{name}: {}", reason(&e)))?;
        out.push(Source { name, bytes });
    }
    Ok(out)
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such directory".to_owned(),
        std::io::ErrorKind::NotADirectory => "it is no directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "you may not read it".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_by_name_and_nothing_else_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let put = |name: &str| std::fs::write(dir.path().join(name), name).expect("a file");
        ["b.toml", "a.toml", ".hidden.toml", "README.md", "a.toml~"].into_iter().for_each(put);
        std::fs::create_dir(dir.path().join("c.toml")).expect("a directory");
        let found = files(dir.path()).expect("readable");
        assert_eq!(found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["a.toml", "b.toml"]);
        assert_eq!(found[0].bytes, b"a.toml");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(files(dir.path()), Err("no file in it ends in .toml".to_owned()));
        assert_eq!(files(&dir.path().join("nowhere")), Err("there is no such directory".to_owned()));
        let file = dir.path().join("x");
        std::fs::write(&file, "").expect("a file");
        assert_eq!(files(&file), Err("it is no directory".to_owned()));
    }
}

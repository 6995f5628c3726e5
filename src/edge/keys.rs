//! Key files: what is at a path, who may read it, and what the content is.
//!
//! Describes and never judges. Opens regular files only and reads no more than a key can be long; the
//! private half leaves only through [`load_private`], for a signature. Used by the key-file probe.

mod modeless;

use crate::core::fact::{Fact, Why};
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::key::{inspect, public_of};
use crate::edge::tcp::os_words;
use rustix::fs::OFlags;
use std::ffi::OsStr;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// No key file is longer: RSA with 16384 bits has 13 kB as text.
const LONGEST: u64 = 64 * 1024;
/// Keys that are looked at beside the given one, at most.
const MOST_NEARBY: usize = 50;
/// Names of a directory that are looked at, at most.
const MOST_NAMES: usize = 2000;
/// Files that ssh tries when nobody names one, in its order (OpenSSH readconf.c, `fill_default_options`).
const DEFAULTS: [&str; 5] = ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];

/// Looks at key files: path as typed, and where it comes from (`-i`, `ssh_config`, `default`).
pub async fn probe(paths: &[(String, String)]) -> Vec<KeyProbe> {
    let paths = paths.to_vec();
    let work = move || paths.into_iter().map(|(path, origin)| describe(path, origin)).collect();
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

/// Other private keys in directories (`~/.ssh`, the directory of the given key), for "the matching file
/// is …". Unreadable and foreign files are passed over; `except` are paths already known.
pub async fn nearby(directories: &[String], except: &[String]) -> Vec<KeyProbe> {
    let (directories, except) = (directories.to_vec(), except.to_vec());
    tokio::task::spawn_blocking(move || find_nearby(&directories, &except)).await.unwrap_or_default()
}

/// The identity files that ssh tries by itself, as far as they exist, with their origin.
pub async fn defaults() -> Vec<(String, String)> {
    let existing = || {
        let paths = DEFAULTS.iter().map(|name| format!("~/.ssh/{name}"));
        paths.filter(|path| expand(path).exists()).map(|path| (path, "default".to_owned())).collect()
    };
    tokio::task::spawn_blocking(existing).await.unwrap_or_default()
}

/// The directories to look for other keys in: `~/.ssh` and those of the given paths, each once.
pub fn directories(paths: &[String]) -> Vec<String> {
    let mut out = vec!["~/.ssh".to_owned()];
    for path in paths {
        let parent = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = parent.display().to_string();
        if out.iter().all(|known| expand(known) != expand(&parent)) {
            out.push(parent);
        }
    }
    out
}

/// Content of a private key file, to sign with. The error is in words for the user.
pub fn load_private(path: &str) -> Result<Vec<u8>, String> {
    let (file, seen) = open(&expand(path)).map_err(|error| os_words(&error))?;
    if seen.len() > LONGEST {
        return Err(format!("the file has {} bytes, far more than a key", seen.len()));
    }
    read(&file).map_err(|error| os_words(&error))
}

/// `~` and `~/…` stand for the home directory, as the shell and ssh_config(5) have it.
pub(super) fn expand(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), std::env::home_dir()) {
        (Some(""), Some(home)) => home,
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
    }
}

fn describe(path: String, origin: String) -> KeyProbe {
    let source = format!("file {path}");
    let file = if path.is_empty() || path.contains('\0') {
        Fact::unknown(Why::failed(format!("reading the key file '{}'", path.escape_default()), "it is no path"))
    } else {
        Fact::known(state(&expand(&path)), source)
    };
    KeyProbe { path, origin, file }
}

/// What is at a path.
fn state(path: &Path) -> KeyFileState {
    let seen = match std::fs::metadata(path) {
        Ok(seen) => seen,
        Err(error) => return absent(&error, None),
    };
    // Opening a device or a pipe can have effects: regular files only.
    if let Some(what) = no_file(seen.file_type()) {
        return KeyFileState::NotAFile { what: what.to_owned() };
    }
    match open(path).and_then(|(file, seen)| {
        if seen.len() > LONGEST { Ok((seen, Vec::new())) } else { read(&file).map(|bytes| (seen, bytes)) }
    }) {
        Err(error) => absent(&error, Some(seen.uid())),
        Ok((seen, _)) if seen.len() > LONGEST => KeyFileState::TooLarge { bytes: seen.len() },
        Ok((seen, bytes)) => KeyFileState::Read {
            mode: seen.mode() & 0o7777,
            owner: seen.uid(),
            me: rustix::process::getuid().as_raw(),
            modeless_fs: modeless::filesystem_of(path, seen.dev()),
            key: Box::new(inspect(&bytes)),
            pub_file: public_beside(path),
        },
    }
}

/// What an error of stat(2), open(2) or read(2) says about the file.
fn absent(error: &Error, owner: Option<u32>) -> KeyFileState {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => KeyFileState::Missing,
        _ => KeyFileState::Unreadable { owner, reason: os_words(error) },
    }
}

/// What a thing that is no regular file is.
fn no_file(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("directory"),
        kind if kind.is_socket() => Some("socket"),
        kind if kind.is_fifo() => Some("named pipe"),
        kind if kind.is_char_device() || kind.is_block_device() => Some("device"),
        _ => Some("special file"),
    }
}

/// Opens a file without waiting, and makes sure that it is a regular one.
fn open(path: &Path) -> Result<(File, Metadata), Error> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let seen = file.metadata()?;
    if seen.is_file() { Ok((file, seen)) } else { Err(Error::other("it is no regular file")) }
}

fn read(file: &File) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The public key in `F.pub`, which ssh offers instead of the private file's own (ssh_config(5), `IdentityFile`).
fn public_beside(path: &Path) -> Option<String> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    let (file, seen) = open(Path::new(&name)).ok()?;
    let bytes = (seen.len() <= LONGEST).then(|| read(&file).ok()).flatten()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().find_map(public_of).map(|(line, _)| line)
}

/// Private keys in directories.
fn find_nearby(directories: &[String], except: &[String]) -> Vec<KeyProbe> {
    let except: Vec<PathBuf> = except.iter().filter_map(|path| expand(path).canonicalize().ok()).collect();
    let mut out: Vec<KeyProbe> = Vec::new();
    for directory in directories {
        let Ok(entries) = std::fs::read_dir(expand(directory)) else {
            continue;
        };
        let mut names: Vec<_> =
            entries.take(MOST_NAMES).flatten().map(|entry| entry.file_name()).filter(|name| may_be_key(name)).collect();
        names.sort_by_key(|name| (!is_named_like_key(name), name.clone()));
        for name in names {
            if out.len() >= MOST_NEARBY {
                return out;
            }
            let Some(name) = name.to_str() else { continue };
            let path =
                if directory == "." { name.to_owned() } else { format!("{}/{name}", directory.trim_end_matches('/')) };
            let full = expand(&path);
            if full.canonicalize().is_ok_and(|real| except.contains(&real)) {
                continue;
            }
            if let Some(state) = private_key_at(&full) {
                out.push(KeyProbe {
                    file: Fact::known(state, format!("file {path}")),
                    path,
                    origin: "nearby".to_owned(),
                });
            }
        }
    }
    out
}

/// The state of a file, if it holds a private key.
fn private_key_at(path: &Path) -> Option<KeyFileState> {
    let seen = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
    if seen.len() == 0 || seen.len() > LONGEST {
        return None;
    }
    let state = state(path);
    let private = matches!(&state, KeyFileState::Read { key, .. } if key.format.is_private());
    private.then_some(state)
}

/// Files that are certainly no private keys are not opened.
fn may_be_key(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    let extension = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    let foreign = [
        "pub", "jpg", "jpeg", "png", "gif", "pdf", "zip", "gz", "tgz", "xz", "mp4", "mp3", "iso", "deb", "rpm", "rs",
        "py", "js", "html", "csv", "json", "md", "log", "sock",
    ];
    !foreign.contains(&extension.as_str())
        && !["known_hosts", "known_hosts.old", "authorized_keys", "config"].contains(&name)
}

fn is_named_like_key(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_lowercase();
    name.starts_with("id_") || [".pem", ".ppk", ".key"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests;

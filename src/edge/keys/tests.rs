//! Key files as they lie on disks.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A key made from a fixed number, so that no private key is kept here: private file, public line.
fn example() -> (String, String) {
    let pair = ssh_key::private::Ed25519Keypair::from_seed(&[7; 32]);
    let key = ssh_key::PrivateKey::from(pair);
    let private = key.to_openssh(ssh_key::LineEnding::LF).unwrap().to_string();
    let public = key.public_key().to_openssh().unwrap();
    (private, public.trim().to_owned())
}

fn write(path: &Path, content: &[u8], mode: u32) -> String {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn one(path: &str) -> KeyFileState {
    let found = probe(&[(path.to_owned(), "-i".to_owned())]).await;
    assert_eq!(
        (found[0].path.as_str(), found[0].origin.as_str(), found[0].file.source()),
        (path, "-i", format!("file {path}").as_str())
    );
    found[0].file.value().unwrap().clone()
}

#[tokio::test]
async fn a_key_is_described_with_mode_owner_and_its_public_file() {
    let (private, public) = example();
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir.path().join("key"), private.as_bytes(), 0o640);
    write(&dir.path().join("key.pub"), format!("# mine\n{public} a comment\n").as_bytes(), 0o644);
    let KeyFileState::Read { mode, owner, me, modeless_fs, key, pub_file } = one(&path).await else {
        panic!("it can be read")
    };
    assert_eq!((mode, owner, modeless_fs), (0o640, me, None));
    assert_eq!(key.public.as_deref(), Some(public.as_str()));
    assert_eq!(pub_file.as_deref(), Some(public.as_str()));
}

#[tokio::test]
async fn what_is_no_key_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(one(dir.path().join("none").to_str().unwrap()).await, KeyFileState::Missing);
    assert_eq!(one(dir.path().to_str().unwrap()).await, KeyFileState::NotAFile { what: "directory".to_owned() });
    assert_eq!(one("/dev/null").await, KeyFileState::NotAFile { what: "device".to_owned() });
    let file = write(&dir.path().join("big"), &vec![b'x'; 70_000], 0o600);
    assert_eq!(one(&file).await, KeyFileState::TooLarge { bytes: 70_000 });
    assert_eq!(one(&format!("{file}/below")).await, KeyFileState::Missing);
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(one(pipe.to_str().unwrap()).await, KeyFileState::NotAFile { what: "named pipe".to_owned() });
    let odd = probe(&[("a\0b".to_owned(), "-i".to_owned())]).await;
    assert!(odd[0].file.why_not().is_some());
}

#[test]
fn a_file_that_may_not_be_read_keeps_its_owner() {
    let error = Error::from(rustix::io::Errno::ACCESS);
    assert_eq!(
        absent(&error, Some(0)),
        KeyFileState::Unreadable { owner: Some(0), reason: "Permission denied".to_owned() }
    );
    assert_eq!(absent(&Error::from(rustix::io::Errno::NOENT), None), KeyFileState::Missing);
}

#[tokio::test]
async fn other_private_keys_are_found_and_nothing_else() {
    let (private, public) = example();
    let dir = tempfile::tempdir().unwrap();
    let given = write(&dir.path().join("given.pem"), private.as_bytes(), 0o600);
    let other = write(&dir.path().join("other"), private.as_bytes(), 0o644);
    write(&dir.path().join("other.pub"), public.as_bytes(), 0o644);
    write(&dir.path().join("notes"), b"nothing", 0o644);
    write(&dir.path().join("empty.pem"), b"", 0o600);
    write(&dir.path().join("config"), private.as_bytes(), 0o600);
    fs::create_dir(dir.path().join("directory.pem")).unwrap();
    let directory = dir.path().to_str().unwrap().to_owned();
    let found = nearby(&[directory.clone(), "/nonexistent".to_owned()], std::slice::from_ref(&given)).await;
    assert_eq!(found.iter().map(|probe| probe.path.as_str()).collect::<Vec<_>>(), [other.as_str()]);
    assert_eq!(found[0].origin, "nearby");
    for n in 0..MOST_NEARBY {
        write(&dir.path().join(format!("id_{n}")), private.as_bytes(), 0o600);
    }
    let found = nearby(&[directory], &[given]).await;
    assert_eq!(found.len(), MOST_NEARBY);
    assert!(found.iter().all(|probe| probe.path != other), "names of keys come first");
}

#[test]
fn directories_are_those_of_the_keys_and_the_own_one() {
    let of = |paths: &[&str]| directories(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
    assert_eq!(of(&[]), ["~/.ssh"]);
    assert_eq!(of(&["~/.ssh/a.pem", "b.pem", "./c.pem", "/tmp/x/d.pem", "/tmp/x/e.pem"]), ["~/.ssh", ".", "/tmp/x"]);
}

#[test]
fn the_home_directory_is_filled_in() {
    let home = std::env::home_dir().unwrap();
    assert_eq!(expand("~/.ssh/a"), home.join(".ssh/a"));
    assert_eq!(expand("~"), home);
    assert_eq!(expand("~other/a"), PathBuf::from("~other/a"));
    assert_eq!(expand("a/~"), PathBuf::from("a/~"));
}

#[test]
fn a_private_key_is_loaded_whole_or_not_at_all() {
    let (private, _) = example();
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir.path().join("key"), private.as_bytes(), 0o600);
    assert_eq!(load_private(&path), Ok(private.into_bytes()));
    assert_eq!(load_private("/nonexistent/key"), Err("No such file or directory".to_owned()));
    let big = write(&dir.path().join("big"), &vec![b'x'; 70_000], 0o600);
    assert_eq!(load_private(&big), Err("the file has 70000 bytes, far more than a key".to_owned()));
    assert!(load_private(dir.path().to_str().unwrap()).is_err());
}

//! Keys made by OpenSSH, OpenSSL and PuTTY are read; what is written is read by them, and is the same key.

use super::*;
use std::path::{Path, PathBuf};
use std::process::Command;

const SECRET: &str = "secret";

fn key(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)).unwrap()
}

/// The public half as `type base64`.
fn public(key: &PrivateKey) -> String {
    let line = key.public_key().to_openssh().unwrap();
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

const FILES: [(&str, Option<&str>); 10] = [
    ("rsa.pem", None),
    ("rsa_openssh", None),
    ("rsa_encrypted.pem", Some(SECRET)),
    ("rsa_pkcs8_encrypted.pem", Some(SECRET)),
    ("rsa_v3.ppk", None),
    ("ecdsa.pem", None),
    ("ed25519_openssh", None),
    ("ed25519_openssh_encrypted", Some(SECRET)),
    ("ed25519_pkcs8.pem", None),
    ("ed25519_v2_encrypted.ppk", Some(SECRET)),
];

#[test]
fn every_form_is_read_and_written_and_stays_the_same_key() {
    for (file, secret) in FILES {
        let bytes = key(file);
        let original = open(&bytes, secret).unwrap_or_else(|e| panic!("{file}: {e:?}"));
        for form in [KeyForm::Openssh, KeyForm::Pem, KeyForm::Ppk2, KeyForm::Ppk3] {
            let made = convert(&bytes, form, secret, "a name");
            if form == KeyForm::Pem && original.algorithm().as_str() == "ssh-ed25519" {
                assert!(matches!(made, Err(Trouble::Other(_))), "{file}");
                continue;
            }
            let made = made.unwrap_or_else(|e| panic!("{file} {form:?}: {e:?}"));
            assert_eq!(open(&made, secret).unwrap().key_data(), original.key_data(), "{file} {form:?}");
            assert_eq!(inspect(&made).encrypted, secret.is_some(), "{file} {form:?}");
            if secret.is_some() {
                assert_eq!(open(&made, None), Err(Trouble::Locked), "{file} {form:?}");
            }
            // Deriving a key takes its time: once for each way of doing it.
            if file.starts_with("ed25519") && secret.is_some() {
                assert_eq!(open(&made, Some("other")), Err(Trouble::WrongPassphrase), "{file} {form:?}");
            }
        }
    }
}

#[test]
fn a_seed_with_zeros_at_either_end_survives() {
    // PuTTY writes the seed as a number, least significant byte first: zeros at its end are not written, and one that
    // begins with zeros is no mpint.
    let mut seeds = vec![[7; 32], [0x80; 32]];
    seeds[0][30..].fill(0);
    seeds[1][..3].fill(0);
    for seed in seeds {
        let pair = ssh_key::private::Ed25519Keypair::from_seed(&seed);
        let key = PrivateKey::new(KeypairData::Ed25519(pair), "zeros").unwrap();
        for form in [KeyForm::Ppk2, KeyForm::Ppk3] {
            for secret in [None, Some(SECRET)] {
                let made = write(&key, form, secret, "").unwrap();
                assert_eq!(open(&made, secret).unwrap().key_data(), key.key_data());
                assert!(inspect(&made).loads_in.putty);
            }
        }
    }
}

#[test]
fn a_damaged_file_gets_a_clean_copy_without_its_passphrase() {
    let original = key("rsa_encrypted.pem");
    let text = String::from_utf8(original.clone()).unwrap().replace('\n', "\r\n  ");
    let clean = convert(text.as_bytes(), KeyForm::Clean, None, "").unwrap();
    assert!(inspect(&clean).encrypted);
    assert_eq!(public(&open(&clean, Some(SECRET)).unwrap()), public(&open(&original, Some(SECRET)).unwrap()));
}

#[test]
fn a_changed_file_is_not_read() {
    let text = String::from_utf8(key("rsa_v3.ppk")).unwrap();
    let changed = text.replacen("Comment: ", "Comment: x", 1);
    assert!(matches!(open(changed.as_bytes(), None), Err(Trouble::Other(why)) if why.contains("Private-MAC")));
    assert!(open(b"ssh-ed25519 AAAA", None).is_err());
    assert!(open(b"", None).is_err());
}

/// A program, where it is installed.
fn program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|d| d.join(name)).find(|p| p.is_file())
}

/// Standard output of a program that must end well.
fn run(program: &Path, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program:?} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn save(directory: &Path, name: &str, bytes: &[u8]) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn ssh_keygen_reads_what_is_written() {
    let Some(keygen) = program("ssh-keygen") else {
        eprintln!("skipped: ssh-keygen is not installed");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for (file, secret) in FILES {
        let bytes = key(file);
        let original = open(&bytes, secret).unwrap();
        for form in [KeyForm::Openssh, KeyForm::Pem] {
            let Ok(made) = convert(&bytes, form, secret, "a name") else { continue };
            let path = save(dir.path(), &format!("{file}.{}", form.id()), &made);
            let told = run(&keygen, &["-y", "-P", secret.unwrap_or_default(), "-f", &path]);
            assert!(told.starts_with(&public(&original)), "{file} {form:?}: {told}");
        }
    }
}

#[test]
fn puttygen_reads_what_is_written_and_its_files_are_read() {
    let Some(puttygen) = program("puttygen") else {
        eprintln!("skipped: puttygen is not installed");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let secret_file = save(dir.path(), "passphrase", SECRET.as_bytes());
    let mut zeros = [9; 32];
    zeros[29..].fill(0);
    let zeros = ssh_key::private::Ed25519Keypair::from_seed(&zeros);
    let zeros = PrivateKey::new(KeypairData::Ed25519(zeros), "zeros").unwrap();
    let zeros = write(&zeros, KeyForm::Openssh, None, "").unwrap().to_vec();
    let all = FILES.iter().map(|(file, secret)| (*file, *secret, key(file))).chain([("zeros", None, zeros)]);
    for (file, secret, bytes) in all {
        let original = open(&bytes, secret).unwrap();
        let old: &[&str] = if secret.is_some() { &["--old-passphrase", &secret_file] } else { &[] };
        for (form, version) in [(KeyForm::Ppk2, "version=2"), (KeyForm::Ppk3, "version=3")] {
            let path =
                save(dir.path(), &format!("{file}.{}", form.id()), &convert(&bytes, form, secret, "a name").unwrap());
            let told = run(&puttygen, &[&[path.as_str(), "-L"], old].concat());
            assert!(told.starts_with(&public(&original)), "{file} {form:?}: {told}");
            // puttygen opens the private half to write it again: in OpenSSH's form, and in its own.
            let (again, back) = (format!("{path}.again"), format!("{path}.back"));
            let same = ["--new-passphrase", secret.map_or("/dev/null", |_| secret_file.as_str())];
            run(&puttygen, &[&[path.as_str(), "-O", "private-openssh-new", "-o", &back], old, &same].concat());
            let opened = open(&std::fs::read(&back).unwrap(), secret).unwrap();
            assert_eq!(opened.key_data(), original.key_data(), "{file} {form:?}");
            // Only because its comment changes does it write its own form again.
            let own = ["-O", "private", "-C", "other", "--ppk-param", version, "-o", &again];
            run(&puttygen, &[&[path.as_str()], &own[..], old, &same].concat());
            let opened = open(&std::fs::read(&again).unwrap(), secret).unwrap();
            assert_eq!(opened.key_data(), original.key_data(), "{file} {form:?}");
        }
    }
}

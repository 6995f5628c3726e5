//! Fixes of local files: keys converted, known_hosts and ssh configuration edited, each proven by a real `ssh`.

use crate::contract::check_plan;
use crate::host::{Place, sshd};
use crate::moto::{Moto, Spec};
use crate::program::{Home, Run};
use crate::sshd::{Sshd, keygen, me};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)).expect("a fixture")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

/// A fix for the sshd at a place, by its address.
fn fix(home: &Home, id: &str, place: Place, more: &[&str]) -> Run {
    let (ip, port) = (place.ip.to_string(), place.port.to_string());
    let config = text(&home.path().join("ssh_config"));
    home.run(&[&["fix", id, &ip, "-p", &port, "-l", &me(), "-F", &config], more].concat())
}

/// The only file that a fix made.
fn created(done: &Value) -> PathBuf {
    let all = done["created"].as_array().unwrap_or_else(|| panic!("{done}"));
    assert_eq!(all.len(), 1, "{done}");
    PathBuf::from(all[0].as_str().expect("a path"))
}

/// Whether the user's own ssh logs in, and its words.
fn login(arguments: &[&str]) -> (bool, String) {
    let done = Command::new("ssh")
        .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"])
        .args(arguments)
        .arg("true")
        .stdin(Stdio::null())
        .env_remove("SSH_AUTH_SOCK")
        .output()
        .expect("ssh");
    (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
}

fn login_with(key: &Path, place: Place) -> (bool, String) {
    let (port, key, to) = (place.port.to_string(), text(key), format!("{}@{}", me(), place.ip));
    let none = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
    login(&[&none[..], &["-o", "IdentitiesOnly=yes", "-i", &key, "-p", &port, &to]].concat())
}

#[test]
fn a_key_goes_to_putty_and_back_and_logs_in() {
    let home = Home::new();
    for (name, options) in
        [("rsa", &["-t", "rsa", "-m", "PEM"][..]), ("ec", &["-t", "ecdsa"]), ("ed", &["-t", "ed25519"])]
    {
        let key = keygen(home.path(), name, options, "");
        let original = fs::read(&key).expect("the key");
        let (_sshd, place) = sshd(&[&key]);
        let plan = fix(&home, "key-convert", place, &["-i", &text(&key), "--dry-run", "--json"]).exits(0).json();
        check_plan(&plan);
        assert!(!home.path().join(format!("{name}.ppk")).exists(), "a preview makes nothing");

        let done = fix(&home, "key-convert", place, &["-i", &text(&key), "--yes", "--json"]).exits(0).json();
        let ppk = created(&done);
        assert_eq!((ppk.as_path(), mode(&ppk)), (home.path().join(format!("{name}.ppk")).as_path(), 0o600));
        assert_eq!(fs::read(&key).expect("the key"), original, "the original stays");
        assert!(fs::read_to_string(&ppk).expect("the copy").starts_with("PuTTY-User-Key-File-3: "));
        assert!(!login_with(&ppk, place).0, "ssh cannot read it: else nothing is proven below");

        // The user lost the original, and has the PPK alone.
        fs::remove_file(&key).expect("the key");
        let done = fix(&home, "key-convert", place, &["-i", &text(&ppk), "--yes", "--json"]).exits(0).json();
        assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
        let pem = created(&done);
        assert_eq!((pem.as_path(), mode(&pem)), (home.path().join(format!("{name}.pem")).as_path(), 0o600));
        let (works, words) = login_with(&pem, place);
        assert!(works, "{name}: {words}");

        let again = fix(&home, "key-convert", place, &["-i", &text(&ppk), "--yes", "--json"]).exits(0).json();
        assert_eq!((&again["entry"], &again["created"]), (&Value::Null, &Value::Array(Vec::new())), "{again}");
        home.run(&["undo", "--yes"]).exits(0);
        assert!(!pem.exists() && ppk.exists(), "the copy is taken back, the original is not");
    }
}

#[test]
fn nothing_is_overwritten_and_a_changed_copy_is_not_removed() {
    let home = Home::new();
    let place = crate::host::closed();
    let ppk = home.file("web.ppk", fixture("rsa_v3.ppk"));
    let other = home.file("web.pem", "mine");
    let done = fix(&home, "key-convert", place, &["-i", &text(&ppk), "--yes", "--json"]).exits(0).json();
    let pem = created(&done);
    assert_ne!(pem, other);
    assert_eq!(fs::read(&other).expect("the other"), b"mine");
    fs::write(&pem, "changed").expect("the copy");
    home.run(&["undo", "--yes"]).exits(4).fails_with("changed since");
    assert!(pem.exists());
}

#[test]
fn the_copy_of_a_protected_key_is_protected() {
    let home = Home::new();
    let place = crate::host::closed();
    let ppk = home.file("web.ppk", fixture("ed25519_v2_encrypted.ppk"));
    let run = |home: &Home, more: &[&str]| fix(home, "key-convert", place, &[&["-i", &text(&ppk)], more].concat());
    run(&home, &["--yes"]).exits(4).fails_with("PORT22_PASSPHRASE");
    run(&home, &["--dry-run", "--json"]).exits(4);
    let home = home.set("PORT22_PASSPHRASE", "not this");
    run(&home, &["--yes"]).exits(4).fails_with("does not open");
    assert_eq!(home.run(&["journal", "--json"]).exits(0).json()["entries"], Value::Array(Vec::new()));

    let home = home.set("PORT22_PASSPHRASE", "secret");
    let done = run(&home, &["--yes", "--json", "--log", &text(&home.path().join("log"))]).exits(0);
    let pem = created(&done.json());
    let opens = |passphrase: &str| {
        let out =
            Command::new("ssh-keygen").args(["-y", "-P", passphrase, "-f"]).arg(&pem).output().expect("ssh-keygen");
        (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    assert!(!opens("").0, "the passphrase is still needed");
    let public = String::from_utf8(fixture("ed25519.pub")).expect("text");
    let wanted = public.split(' ').nth(1).expect("a key");
    assert!(opens("secret").1.contains(wanted));
    // Neither the journal nor any output has the passphrase.
    let journal = fs::read_to_string(home.path().join("state/port22/journal.jsonl")).expect("the journal");
    let log = fs::read_to_string(home.path().join("log")).unwrap_or_default();
    for told in [&done.stdout, &done.stderr, &journal, &log] {
        assert!(!told.contains("\"secret\"") && !told.contains("secret ") && !told.contains("PRIVATE KEY"), "{told}");
    }
    home.run(&["undo", "--yes"]).exits(0);

    let asker = home.file("asker", "#!/bin/sh\necho secret\n");
    fs::set_permissions(&asker, fs::Permissions::from_mode(0o700)).expect("its mode");
    let home = home.set("PORT22_PASSPHRASE", "").set("SSH_ASKPASS", &text(&asker));
    run(&home, &["--yes"]).exits(0);
    assert!(opens("secret").1.contains(wanted));
}

#[test]
fn files_that_cannot_be_converted_are_refused_in_words() {
    let home = Home::new();
    let place = crate::host::closed();
    let key = home.key("k");
    let ppk = String::from_utf8(fixture("rsa_v3.ppk")).expect("text");
    let half = ppk.find("Private-Lines").expect("its private half") + 200;
    let changed = ppk.replacen("Comment: ", "Comment: x", 1);
    for (name, content, says) in [
        ("cut.ppk", &ppk.as_bytes()[..half], "no whole key"),
        ("changed.ppk", changed.as_bytes(), "Private-MAC"),
        ("empty.pem", b"".as_slice(), "no private key"),
        ("public.pem", &fs::read(format!("{}.pub", key.display())).expect("the public half"), "public"),
    ] {
        let file = home.file(name, content);
        let run = fix(&home, "key-convert", place, &["-i", &text(&file), "--yes"]);
        assert!(matches!(run.exit, 2 | 4), "{name}: {run:#?}");
        run.one_sentence();
        run.fails_with(says);
    }
    fix(&home, "key-convert", place, &["-i", "nowhere.ppk", "--yes"]).exits(2).one_sentence();
    let run = fix(&home, "key-convert", place, &["-i", &text(&key), "--choose", "form=pem", "--yes"]).exits(4);
    run.fails_with("no PEM form");
}

#[test]
fn a_damaged_key_gets_a_clean_copy() {
    let home = Home::new();
    let key = home.key("k");
    let (_sshd, place) = sshd(&[&key]);
    let broken = fs::read_to_string(&key).expect("the key").replace('\n', " ");
    let bad = home.file("bad.pem", broken);
    assert!(!login_with(&bad, place).0);
    fs::remove_file(&key).expect("the key");
    let done = fix(&home, "key-convert", place, &["-i", &text(&bad), "--yes", "--json"]).exits(0).json();
    assert_eq!(done["login_works"], true, "{done}");
    let (works, words) = login_with(&created(&done), place);
    assert!(works, "{words}");
}

/// A host key of the server as `type base64`.
fn host_line(sshd: &Sshd, kind: &str) -> String {
    let public = fs::read_to_string(format!("{}.pub", sshd.host_key(kind).display())).expect("a host key");
    public.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn other_line(home: &Home, name: &str) -> String {
    let key = home.key(name);
    let public = fs::read_to_string(format!("{}.pub", key.display())).expect("a key");
    public.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_changed_host_key_is_replaced_after_consent_and_put_back() {
    let home = Home::new();
    let key = home.key("k");
    let (_sshd, place) = sshd(&[&key]);
    let (ip, port) = (place.ip.to_string(), place.port.to_string());
    let name = format!("[{ip}]:{port}");
    let known = home.file(
        "known_hosts",
        format!("# mine\r\nother.example {0}\n{name} {0}\nlast.example {0}", other_line(&home, "old")),
    );
    // Hashed, as Debian writes it.
    let hashed = Command::new("ssh-keygen").args(["-H", "-f"]).arg(&known).output().expect("ssh-keygen");
    assert!(hashed.status.success());
    let before = fs::read(&known).expect("known_hosts");
    let config = text(&home.path().join("ssh_config"));
    let arguments = ["-F", &config, "-i", &text(&key), "-p", &port, &format!("{}@{ip}", me())];
    assert!(login(&arguments).1.contains("REMOTE HOST IDENTIFICATION HAS CHANGED"));

    let run = |more: &[&str]| fix(&home, "known-hosts-update", place, &[&["-i", &text(&key)], more].concat());
    run(&["--yes"]).exits(4).fails_with("nothing proves");
    run(&["--choose", "unproven=trust"]).exits(5);
    assert_eq!(fs::read(&known).expect("known_hosts"), before);
    let plan = run(&["--choose", "unproven=trust", "--dry-run", "--json"]).exits(0).json();
    check_plan(&plan);
    assert!(plan["gates"].to_string().contains("NOT proven"), "{plan}");

    let done = run(&["--choose", "unproven=trust", "--yes", "--json"]).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    let (works, words) = login(&arguments);
    assert!(works, "{words}");
    let found = Command::new("ssh-keygen").args(["-F", "last.example", "-f"]).arg(&known).output().expect("ssh-keygen");
    assert!(found.status.success(), "the others stay");
    let now = fs::read_to_string(&known).expect("known_hosts");
    assert!(!now.contains(&ip), "the name stays hidden: {now}");
    let again = run(&["--yes", "--json"]).exits(0).json();
    assert_eq!(again["entry"], Value::Null, "{again}");

    home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(fs::read(&known).expect("known_hosts"), before, "byte for byte");
    assert!(!login(&arguments).0);

    // ssh adds lines all the time: an undo then takes back its own edit alone.
    run(&["--choose", "unproven=trust", "--yes"]).exits(0);
    let grown = format!("{}new.example {}\n", fs::read_to_string(&known).expect("known_hosts"), other_line(&home, "x"));
    fs::write(&known, &grown).expect("known_hosts");
    home.run(&["undo", "--yes"]).exits(0);
    let now = fs::read_to_string(&known).expect("known_hosts");
    assert!(now.contains("new.example ") && !login(&arguments).0, "{now}");
}

#[test]
fn lines_that_are_not_one_hosts_own_are_left_alone() {
    let home = Home::new();
    let key = home.key("k");
    let (server, place) = sshd(&[&key]);
    let name = format!("[{}]:{}", place.ip, place.port);
    let old = other_line(&home, "old");
    for line in [format!("[127.*]:* {old}"), format!("@revoked {name} {}", host_line(&server, "ed25519"))] {
        let known = home.file("known_hosts", format!("{line}\n"));
        let run = fix(&home, "known-hosts-update", place, &["-i", &text(&key), "--choose", "unproven=trust", "--yes"]);
        run.exits(4).one_sentence();
        assert_eq!(fs::read_to_string(&known).expect("known_hosts"), format!("{line}\n"));
    }
}

#[test]
fn a_block_that_logs_in_is_written_before_everything_else_and_taken_out_again() {
    let home = Home::new();
    let key = home.key("k");
    let (server, place) = sshd(&[&key]);
    let (ip, port) = (place.ip.to_string(), place.port.to_string());
    home.file("known_hosts", format!("[{ip}]:{port} {}\n", host_line(&server, "ed25519")));
    let config = home.path().join("ssh_config");
    // A block at the top that would win over any later one.
    let base = fs::read_to_string(&config).expect("ssh_config");
    fs::write(&config, format!("Host *\n    User nobody-here\n    Port 9\n{base}")).expect("ssh_config");
    let before = fs::read(&config).expect("ssh_config");
    let arguments = ["-F", &text(&config), &ip];
    assert!(!login(&arguments).0);

    let run = |more: &[&str]| fix(&home, "ssh-config-entry", place, &[&["-i", &text(&key)], more].concat());
    check_plan(&run(&["--dry-run", "--json"]).exits(0).json());
    assert_eq!(fs::read(&config).expect("ssh_config"), before);
    run(&["--yes"]).exits(0);
    let (works, words) = login(&arguments);
    assert!(works, "{words}");
    let own = home.path().join("port22_config");
    assert_eq!(mode(&own), 0o600);
    assert!(fs::read(&config).expect("ssh_config").ends_with(&before), "what was there stays");
    let again = home.run(&[
        "fix",
        "ssh-config-entry",
        &ip,
        "-p",
        &port,
        "-l",
        &me(),
        "-F",
        &text(&config),
        "-i",
        &text(&key),
        "--yes",
        "--json",
    ]);
    assert_eq!(again.exits(0).json()["entry"], Value::Null);

    home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(fs::read(&config).expect("ssh_config"), before, "byte for byte");
    assert!(!own.exists() && !login(&arguments).0);
}

/// The names of moto's key pairs.
fn pairs(moto: &Moto) -> Vec<String> {
    let answer = moto.ec2("describe_key_pairs", &json!({}));
    let all = answer["KeyPairs"].as_array().expect("key pairs");
    all.iter().filter_map(|p| p["KeyName"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_public_half_is_imported_a_pair_is_made_and_deleted() {
    let moto = Moto::start();
    let home = Home::with(&moto);
    let key = home.key("own.pem");
    let rsa = keygen(home.path(), "rsa.pem", &["-t", "rsa", "-m", "PEM"], "");
    let ecdsa = keygen(home.path(), "ec.pem", &["-t", "ecdsa"], "");
    let host = crate::host::silent();
    let world = moto.build(&Spec::new("pairs", host.place));
    let before = pairs(&moto);
    // Nothing here waits for the host, which never answers.
    let run = |more: &[&str]| home.fix("key-pair-import", &world, &[more, &["--timeout", "1"]].concat());
    for (file, name) in [(&key, "own"), (&rsa, "rsa")] {
        let file = text(file);
        check_plan(&run(&["-i", &file, "--dry-run", "--json"]).exits(0).json());
        assert_eq!(pairs(&moto), before);
        let done = run(&["-i", &file, "--yes", "--json"]).exits(0).json();
        assert_eq!(done["verified"], true, "{done}");
        assert!(pairs(&moto).contains(&name.to_owned()));
        let journal = home.run(&["journal", "--json"]).exits(0).stdout;
        assert!(journal.contains("EC2 has the same key"), "{journal}");
        assert_eq!(run(&["-i", &file, "--yes", "--json"]).exits(0).json()["entry"], Value::Null);
        // Deleted, and with the undo imported again.
        run(&["-i", &file, "--choose", "what=delete"]).exits(5);
        run(&["-i", &file, "--choose", "what=delete", "--yes"]).exits(0);
        assert_eq!(pairs(&moto), before);
        home.run(&["undo", "--yes"]).exits(0);
        assert!(pairs(&moto).contains(&name.to_owned()));
        run(&["-i", &file, "--choose", "what=delete", "--yes"]).exits(0);
    }
    run(&["-i", &text(&ecdsa), "--yes"]).exits(4).fails_with("RSA and Ed25519");

    let made = run(&["--choose", "what=create", "--yes", "--json"]).exits(0).json();
    let path = created(&made);
    assert_eq!((mode(&path), path.parent()), (0o600, Some(home.path().join(".ssh").as_path())));
    let secret = fs::read_to_string(&path).expect("the private half");
    let journal = fs::read_to_string(home.path().join("state/port22/journal.jsonl")).expect("the journal");
    assert!(
        secret.contains("PRIVATE KEY") && !journal.contains("PRIVATE KEY") && !made.to_string().contains("PRIVATE KEY")
    );
    assert_eq!(pairs(&moto).len(), before.len() + 1);
    home.run(&["undo", "--yes"]).exits(0);
    assert!(!path.exists());
    assert_eq!(pairs(&moto), before);
}

#[test]
fn a_killed_step_is_found_again_and_not_done_twice() {
    let moto = Moto::start();
    let home = Home::with(&moto);
    let key = home.key("own.pem");
    let host = crate::host::silent();
    let world = moto.build(&Spec::new("killed", host.place));
    let journal = home.path().join("state/port22/journal.jsonl");
    let before = pairs(&moto);
    let ppk = home.file("web.ppk", fixture("rsa_v3.ppk"));
    for (fix, more) in [
        ("key-pair-import", &["-i", "own.pem"][..]),
        ("key-pair-import", &["--choose", "what=create"]),
        ("key-convert", &["-i", "web.ppk"]),
        ("ssh-config-entry", &["-i", "own.pem", "-l", "me"]),
    ] {
        let config = fs::read(home.path().join("ssh_config")).expect("ssh_config");
        let names = |_: &str| -> Vec<std::ffi::OsString> {
            let mut all: Vec<_> =
                fs::read_dir(home.path()).expect("the home").map(|e| e.expect("a file").file_name()).collect();
            all.retain(|name| name != "state" && name != ".ssh");
            all.sort();
            all
        };
        let files = names(fix);
        home.fix(fix, &world, &[more, &["--yes", "--timeout", "1"]].concat());
        let whole = fs::read_to_string(&journal).expect("the journal");
        let made = names(fix);
        // A process that was killed leaves a beginning of the journal behind, and the deeds done by then: here all of
        // them, of which the last ones nobody wrote down.
        let lines: Vec<&str> = whole.lines().collect();
        assert!(lines.len() >= 4, "{whole}");
        for cut in 1..lines.len() {
            fs::write(&journal, lines[..cut].join("\n") + "\n").expect("the journal");
            let resumed = home.run(&["resume", "--yes", "--timeout", "1"]);
            assert_ne!(resumed.exit, 2, "{fix} cut at {cut}: {resumed:#?}");
            assert!(!resumed.stderr.contains("panicked") && resumed.exit != 4, "{fix} cut at {cut}: {resumed:#?}");
            assert_eq!(names(fix), made, "{fix} cut at {cut}: {resumed:#?}");
        }
        fs::write(&journal, &whole).expect("the journal");
        home.run(&["undo", "--yes"]).exits(0);
        assert_eq!((names(fix), pairs(&moto)), (files, before.clone()), "{fix}");
        assert_eq!(fs::read(home.path().join("ssh_config")).expect("ssh_config"), config, "{fix}");
        fs::remove_file(&journal).expect("the journal");
    }
    assert!(ppk.exists() && key.exists());
}

//! The login itself: key files, users and keys against a real OpenSSH server, with the instance in moto.
//!
//! A server of a normal user answers for every account of the machine when it is asked "would you take
//! this key", so the image whose user is root serves both in a container and at home.

use crate::host::{Place, sshd};
use crate::moto::{Moto, Spec, World};
use crate::program::{Home, Report};
use crate::sshd::{Sshd, keygen, me};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An instance whose sshd takes the key `k.pem`, with which it was launched.
struct Stage {
    home: Home,
    key: PathBuf,
    sshd: Sshd,
    world: World,
}

fn stage(name: &str) -> Stage {
    staged(name, true)
}

fn staged(name: &str, young: bool) -> Stage {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let (sshd, place) = sshd(&[&key]);
    let world = moto.build(&Spec { young, ..Spec::new(name, place).key(&key) });
    Stage { home, key, sshd, world }
}

impl Stage {
    fn with(&self, key: &Path) -> Report {
        self.home.diagnose(&self.world.instance, &self.world, key)
    }

    /// Fails unless this key file is the proven cause, named in its evidence.
    #[track_caller]
    fn blames(&self, key: &Path, cause: &str, symptom: &str) -> Report {
        let report = self.with(key);
        report.finds(&format!("{cause} proven"), 1).blocked(&["auth"]).names(cause, &[&key.display().to_string()]);
        assert_eq!(report.json["symptom"], symptom);
        assert_eq!(report.json["causes"][0]["layer"], "local");
        assert_eq!((report.hop("security_group"), report.hop("sshd")), ("open", "open"));
        report
    }
}

#[test]
fn a_login_that_works() {
    let stage = stage("healthy");
    let report = stage.with(&stage.key);
    assert_eq!((report.exit, &report.json["verdict"]), (0, &"healthy".into()), "{}", report.brief());
    assert_eq!(report.hops("open").len(), 9, "{}", report.brief());
    assert_eq!(report.json["target"]["user"], "root", "the image's default user");
    for check in [
        "instance-running",
        "status-checks",
        "public-address",
        "igw-attached",
        "route-to-client",
        "nacl-inbound",
        "nacl-outbound",
        "security-group",
        "tcp-port",
        "ssh-banner",
        "key-matches",
        "user-name",
        "server-takes-key",
        "login-files",
    ] {
        assert_eq!(report.check(check).0, "pass", "{check}: {}", report.brief());
    }
}

#[test]
fn a_diagnosis_takes_one_connection_and_runs_nothing_inside() {
    let stage = stage("gentle");
    assert_eq!(stage.with(&stage.key).exit, 0);
    // One connection: what OpenSSH's penalties and fail2ban count. A look inside needs --inside.
    assert!(stage.sshd.wait_for("userauth-request for user root", 1), "{}", stage.sshd.text());
    // sshd's own end, whether it saw our good-bye or the closed connection first.
    assert!(stage.sshd.wait_for("do_cleanup", 1), "{}", stage.sshd.text());
    assert_eq!(
        (stage.sshd.lines("Connection from"), stage.sshd.lines("Starting session")),
        (1, 0),
        "connections and sessions"
    );
}

#[test]
fn the_text_and_markdown_of_a_login_that_works() {
    let stage = stage("healthy-text");
    let (key, port) = (stage.key.display().to_string(), stage.world.place.port.to_string());
    let arguments =
        ["diagnose", &stage.world.instance, "-i", &key, "-p", &port, "-F", "none", "--source-ip", crate::moto::CLIENT];
    let text = stage.home.run(&arguments).exits(0);
    let command = format!("ssh -F none -i {key} -p {port} root@{}", stage.world.place.ip);
    assert!(text.stdout.contains(&command), "{text:#?}");
    assert!(text.stdout.contains("AWS calls"), "{text:#?}");
    let ascii = stage.home.run(&[&arguments[..], &["--ascii"]].concat()).exits(0);
    assert!(ascii.stdout.is_ascii(), "{ascii:#?}");
    let markdown = stage.home.run(&[&arguments[..], &["--markdown"]].concat()).exits(0);
    assert!(markdown.stdout.starts_with("# SSH to ") && markdown.stdout.contains("| check |"), "{markdown:#?}");
}

#[test]
fn the_rules_say_no_and_the_login_works_all_the_same() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let (_sshd, place) = sshd(&[&key]);
    let world = moto.build(&Spec::new("rules-say-no", place).faults(&["sg", "no-route"]).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    assert_eq!((report.exit, report.hops("blocked")), (0, vec![]), "{}", report.brief());
    assert_eq!(report.check("security-group").0, "cannot_tell");
}

/// An instance whose server has these lines in its configuration, and a home whose ssh has those in its own.
fn with_algorithms(name: &str, server: &str, client: &str) -> Report {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let ip = crate::host::address();
    let sshd = Sshd::start(&[&key], &format!("ListenAddress {ip}\n{server}")).expect("sshd is needed");
    assert!(sshd.wait_for("Server listening", 2), "{}", sshd.text());
    let place = Place { ip, port: sshd.port };
    let world = moto.build(&Spec { young: true, ..Spec::new(name, place).key(&key) });
    let config = home.path().join("ssh_config");
    let own = fs::read_to_string(&config).expect("ssh_config");
    fs::write(&config, format!("{own}{client}\n")).expect("ssh_config");
    home.diagnose(&world.instance, &world, &key)
}

#[test]
fn a_server_whose_ciphers_only_this_program_has() {
    let lines = "Ciphers aes256-ctr\nMACs hmac-sha2-256";
    let report = with_algorithms("ciphers", "Ciphers aes256-cbc", lines);
    report.finds("crypto-mismatch proven", 1).blocked(&["sshd"]);
    report.names(
        "crypto-mismatch",
        &["no matching cipher found. Their offer: aes256-cbc", "your ssh offers: aes256-ctr"],
    );
    assert_eq!(report.json["symptom"], "algorithm_mismatch");
    assert_eq!((report.check("ssh-banner").0, report.check("server-takes-key").0), ("fail", "pass"));
    // One cipher more on either side, and the same server is in order.
    let report = with_algorithms("ciphers-shared", "Ciphers aes256-cbc", "Ciphers aes256-ctr,aes256-cbc");
    assert_eq!((report.exit, &report.json["verdict"]), (0, &"healthy".into()), "{}", report.brief());
}

#[test]
fn a_server_whose_key_exchange_only_this_program_has() {
    let report = with_algorithms("kex", "KexAlgorithms diffie-hellman-group14-sha1", "KexAlgorithms curve25519-sha256");
    report.finds("crypto-mismatch proven", 1).blocked(&["sshd"]);
    let words = "no matching key exchange method found. Their offer: diffie-hellman-group14-sha1";
    report.names("crypto-mismatch", &[words]);
}

#[test]
fn the_user_name_of_another_image() {
    let stage = stage("wrong-user");
    let report = stage.home.diagnose(&format!("ec2-user@{}", stage.world.instance), &stage.world, &stage.key);
    report.finds("wrong-user-name proven", 1).blocked(&["auth"]).names("wrong-user-name", &["ec2-user", "root"]);
    assert_eq!(
        (&report.json["target"]["user"], &report.json["symptom"]),
        (&"ec2-user".into(), &"permission_denied".into())
    );
    assert_eq!(report.check("user-name").0, "fail");
    // One question for each name, and no more.
    assert!(stage.sshd.wait_for("userauth-request for user", 2), "{}", stage.sshd.text());
    assert!(stage.sshd.lines("Connection from") <= 2, "{}", stage.sshd.text());
}

#[test]
fn the_user_name_that_only_the_image_knows_is_likely() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let silent = crate::host::silent();
    let world = moto.build(&Spec::new("user-likely", silent.place).image("ubuntu").key(&key));
    let report = home.report(
        &format!("ec2-user@{}", world.instance),
        &world,
        &["-i", &key.display().to_string(), "--symptom", "permission_denied"],
    );
    let found = report.causes();
    assert!(found.contains(&"wrong-user-name likely".to_owned()), "{}", report.brief());
    report.names("wrong-user-name", &["ubuntu"]);
}

#[test]
fn another_key_than_the_launch_key() {
    let stage = stage("mismatch");
    let other = stage.home.key("other.pem");
    let report = stage.with(&other);
    // The pair tells what was put there at the first boot, not what is there now.
    report.finds("key-mismatch likely", 1).blocked(&["auth"]);
    report.names("key-mismatch", &[&other.display().to_string(), "mismatch", &stage.key.display().to_string()]);
    assert_eq!((report.check("key-matches").0, report.check("server-takes-key").0), ("fail", "fail"));
    assert_eq!(report.json["symptom"], "permission_denied");
}

#[test]
fn a_key_pair_made_after_the_instance_proves_nothing_about_the_key() {
    let stage = staged("namesake", false);
    let other = stage.home.key("other.pem");
    let report = stage.with(&other);
    report.finds("keypair-name-reused likely", 1).blocked(&["auth"]);
    assert!(!report.causes().iter().any(|c| c.starts_with("key-mismatch")), "{:?}", report.causes());
}

#[test]
fn an_rsa_key_is_compared_with_the_pair_too() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = keygen(home.path(), "rsa.pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"], "");
    let (_sshd, place) = sshd(&[&key]);
    let world = moto.build(&Spec::new("rsa", place).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    assert_eq!((report.exit, report.check("key-matches").0), (0, "pass"), "{}", report.brief());
}

#[test]
fn the_right_key_is_refused_because_of_what_is_inside() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let (_sshd, place) = sshd(&[]);
    let world = moto.build(&Spec::new("inside", place).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    report.blocked(&["auth"]);
    assert_eq!(report.exit, 1, "{}", report.brief());
    for cause in ["home-perms", "ssh-dir-perms", "authkeys-perms"] {
        assert!(report.causes().contains(&format!("{cause} likely")), "{:?}", report.causes());
    }
    assert!(report.causes().iter().all(|c| !c.ends_with("proven")), "nobody looked inside: {:?}", report.causes());
    assert_eq!(report.check("login-files").0, "cannot_tell");
}

#[test]
fn a_key_that_others_may_read() {
    let stage = stage("open-key");
    fs::set_permissions(&stage.key, fs::Permissions::from_mode(0o644)).expect("a mode");
    let report = stage.blames(&stage.key, "key-perms-open", "unprotected_key");
    report.names("key-perms-open", &["0644"]);
    assert_eq!(report.check("key-permissions").0, "fail");
    assert_eq!(report.json["causes"][0]["fixes"][0]["id"], "key-chmod");
}

#[test]
fn a_key_that_is_not_there() {
    let stage = stage("missing-key");
    let missing = stage.home.path().join("nowhere.pem");
    let report = stage.blames(&missing, "key-file-missing", "key_file_missing");
    assert_eq!(report.check("key-file").0, "fail");
}

#[test]
fn a_putty_key() {
    let stage = stage("ppk");
    let ppk = stage.home.file("k.ppk", include_bytes!("../keys/rsa_v3.ppk"));
    let report = stage.blames(&ppk, "key-format-ppk-with-openssh", "invalid_key_format");
    assert_eq!(report.check("key-format").0, "fail");
}

#[test]
fn the_public_half() {
    let stage = stage("public-half");
    let public = PathBuf::from(format!("{}.pub", stage.key.display()));
    fs::set_permissions(&public, fs::Permissions::from_mode(0o600)).expect("a mode");
    stage.blames(&public, "key-file-is-public", "permission_denied");
}

#[test]
fn a_damaged_key() {
    let stage = stage("damaged");
    let whole = fs::read_to_string(&stage.key).expect("the key");
    let cut = stage.home.file("cut.pem", &whole[..whole.len() / 2]);
    stage.blames(&cut, "key-file-damaged", "invalid_key_format");
}

#[test]
fn a_key_with_a_passphrase_and_no_agent() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = keygen(home.path(), "locked.pem", &["-t", "ed25519"], "a passphrase");
    let (_sshd, place) = sshd(&[&key]);
    let world = moto.build(&Spec::new("locked", place).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    report.finds("key-passphrase-needed proven", 1).names("key-passphrase-needed", &[&key.display().to_string()]);
    assert_eq!(report.check("key-passphrase").0, "fail");
    assert_eq!(report.hop("auth"), "blocked");
}

#[test]
fn a_changed_host_key() {
    let stage = stage("host-key");
    let old = keygen(stage.home.path(), "old_host", &["-t", "ed25519"], "");
    let public = fs::read_to_string(format!("{}.pub", old.display())).expect("a public key");
    let Place { ip, port } = stage.world.place;
    fs::write(stage.home.path().join("known_hosts"), format!("[{ip}]:{port} {public}")).expect("known_hosts");
    let report = stage.with(&stage.key);
    report.finds("host-key-changed-unverified proven", 1);
    assert_eq!(report.check("host-key").0, "fail");
}

#[test]
fn something_else_than_ssh_answers() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let ip = crate::host::address();
    let listener = std::net::TcpListener::bind((ip, 0)).expect("a free port");
    let place = Place { ip, port: listener.local_addr().expect("its address").port() };
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            let _ = std::io::Read::read(&mut stream, &mut [0; 512]);
        }
    });
    let world = moto.build(&Spec::new("http", place).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    report
        .finds("non-ssh-service-on-port proven", 1)
        .blocked(&["sshd"])
        .names("non-ssh-service-on-port", &["HTTP/1.1 400"]);
}

#[test]
fn the_user_is_named_as_ssh_has_it() {
    let stage = stage("named-user");
    let key = stage.key.display().to_string();
    let at = |name: &str| format!("{name}@{}", stage.world.instance);
    let lines: [(&str, String, &[&str]); 4] = [
        ("guest-a", stage.world.instance.clone(), &["-l", "guest-a"]),
        ("guest-b", stage.world.instance.clone(), &["-o", "User=guest-b"]),
        ("guest-c", at("guest-c"), &["-l", "guest-a"]),
        ("guest-d", at("guest-d"), &["-o", "User=guest-b"]),
    ];
    let users = |(_, target, more): &(&str, String, &[&str])| {
        let report = stage.home.report(target, &stage.world, &[*more, &["-i", &key]].concat());
        report.json["target"]["user"].as_str().unwrap_or_default().to_owned()
    };
    let found: Vec<String> = lines.iter().map(users).collect();
    assert_eq!(found, lines.map(|(user, _, _)| user));
}

#[test]
fn the_own_name_is_used_when_it_is_asked_for() {
    // `ssh -G` prints the own name for "nothing said" too; only here does the image's default user not apply.
    let moto = Moto::shared();
    let world = moto.build(&Spec::new("own-name", crate::host::closed()).image("al2023"));
    let user = |home: &Home, more: &[&str]| home.report(&world.instance, &world, more).json["target"]["user"].clone();
    assert_eq!(user(&Home::with(moto), &[]), "ec2-user");
    let home = Home::with(moto);
    fs::write(home.path().join("ssh_config"), format!("Host *\n  User {}\n", me())).expect("ssh_config");
    assert_eq!(user(&home, &[]), me().as_str(), "by the configuration");
    assert_eq!(user(&Home::with(moto), &["-o", &format!("User={}", me())]), me().as_str(), "by -o");
}

#[test]
fn a_record_is_replayed_without_any_probe() {
    let stage = stage("record");
    let facts = stage.home.path().join("facts.json").display().to_string();
    let other = stage.home.key("other.pem").display().to_string();
    let first = stage.home.report(&stage.world.instance, &stage.world, &["-i", &other, "--record", &facts]);
    let asked = stage.sshd.lines("Connection from");
    let again = Report::read(Home::new().run(&["diagnose", "--replay", &facts, "--json"]));
    assert_eq!((again.causes(), again.exit, &again.json["path"]), (first.causes(), first.exit, &first.json["path"]));
    assert_eq!(stage.sshd.lines("Connection from"), asked);
    let secret = fs::read_to_string(&stage.key).expect("the key");
    let record = fs::read_to_string(&facts).expect("the record");
    let line = secret.lines().nth(2).expect("a line of the key");
    assert!(!record.contains(line) && !record.contains("PRIVATE KEY"), "a private key in the record");
}

//! The SSH probe against a real OpenSSH server, and against things that are none.

mod agent;
mod foreign;

use crate::sshd::{Sshd, fingerprint, keygen, me};
use port22::core::facts::Facts;
use port22::core::facts::wire::{Answer, Offer, SshServer};
use port22::edge::known_hosts;
use port22::edge::ssh::{self, SshKey, SshRequest};
use port22::edge::tcp;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A key as the key-file probe hands it over.
fn key(path: &Path, encrypted: bool) -> SshKey {
    let public = fs::read_to_string(format!("{}.pub", path.display())).ok();
    SshKey { path: path.display().to_string(), public, private: fs::read(path).ok(), encrypted, held: false }
}

fn request(port: u16, users: &[&str], keys: &[&Path]) -> SshRequest {
    let mut request = SshRequest::new(HERE, port);
    request.users = users.iter().map(|user| (*user).to_owned()).collect();
    request.keys = keys.iter().map(|path| key(path, false)).collect();
    request.banner_limit = Duration::from_secs(20);
    request.total_limit = Duration::from_mins(1);
    request
}

fn answers(offers: &[Offer]) -> Vec<(&str, &Answer)> {
    offers.iter().map(|offer| (offer.user.as_str(), &offer.answer)).collect()
}

/// Attempts as the server counts them, and connections.
fn counted(sshd: &Sshd) -> (usize, usize) {
    (sshd.lines("userauth-request for user"), sshd.lines("Connection from"))
}

#[tokio::test]
async fn a_known_key_is_taken_without_a_login() {
    let dir = dir();
    let known = keygen(dir.path(), "known", &["-t", "ed25519"], "");
    let Some(sshd) = Sshd::start(&[&known], "") else {
        return;
    };
    let me = me();
    let (server, offers, budget) = ssh::probe(request(sshd.port, &[&me, "nobody-here"], &[&known])).await;
    assert_eq!(server.source(), format!("SSH to 127.0.0.1:{}", sshd.port));
    let Some(SshServer::Ready { banner, host_key_type, host_key }) = server.value() else { panic!("{server:?}") };
    assert!(banner.starts_with("SSH-2.0-OpenSSH"), "{banner}");
    assert_eq!((host_key_type.as_str(), host_key), ("ssh-ed25519", &fingerprint(&sshd.host_key("ed25519"))));
    assert_eq!(answers(&offers), [(me.as_str(), &Answer::WouldAccept)]);
    assert_eq!(offers[0].fingerprint.as_deref(), Some(fingerprint(&known).as_str()));
    assert_eq!((budget.used, budget.cap), (1, 3));
    assert!(sshd.wait_for("port22 has seen enough", 1), "no orderly end:\n{}", sshd.text());
    assert_eq!(sshd.lines("Accepted publickey"), 0, "{}", sshd.text());
    assert_eq!(counted(&sshd), (1, 1), "{}", sshd.text());
}

#[tokio::test]
async fn every_kind_of_key_is_asked_about_and_can_log_in() {
    let dir = dir();
    let kinds: [(&str, &[&str]); 6] = [
        ("ed25519", &["-t", "ed25519"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("rsa.pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]),
        ("ecdsa256", &["-t", "ecdsa", "-b", "256"]),
        ("ecdsa521", &["-t", "ecdsa", "-b", "521"]),
    ];
    let keys: Vec<_> = kinds.iter().map(|(name, options)| keygen(dir.path(), name, options, "")).collect();
    let all: Vec<&Path> = keys.iter().map(AsRef::as_ref).collect();
    let Some(sshd) = Sshd::start(&all, "") else {
        return;
    };
    let me = me();
    for (at, key) in all.iter().enumerate() {
        let mut asked = request(sshd.port, &[&me], &[key]);
        asked.sign = true;
        let (_, offers, _) = ssh::probe(asked).await;
        assert_eq!(answers(&offers), [(me.as_str(), &Answer::LoggedIn)], "{}\n{}", key.display(), sshd.text());
        assert!(sshd.wait_for("Accepted publickey", at + 1));
    }
    assert_eq!(sshd.lines("Starting session"), 0, "{}", sshd.text());
}

#[tokio::test]
async fn refused_keys_share_one_connection_per_user_within_the_cap() {
    let dir = dir();
    let strange: Vec<_> = (0..4).map(|n| keygen(dir.path(), &format!("strange{n}"), &["-t", "ed25519"], "")).collect();
    let all: Vec<&Path> = strange.iter().map(AsRef::as_ref).collect();
    let Some(sshd) = Sshd::start(&[], "") else {
        return;
    };
    let me = me();
    let (_, offers, budget) = ssh::probe(request(sshd.port, &[&me, "ec2-user"], &all[..2])).await;
    assert_eq!(
        answers(&offers),
        [(me.as_str(), &Answer::Refused), (me.as_str(), &Answer::Refused), ("ec2-user", &Answer::Refused)]
    );
    assert_eq!(offers[2].key.as_deref(), Some(all[0].to_str().unwrap()));
    assert!(offers.iter().all(|offer| offer.methods == ["publickey"]), "{offers:?}");
    assert_eq!(budget.used, 3);
    assert!(sshd.wait_for("port22 has seen enough", 2));
    assert_eq!(counted(&sshd), (3, 2), "{}", sshd.text());

    let (_, offers, budget) = ssh::probe(request(sshd.port, &[&me, "ec2-user"], &all)).await;
    assert_eq!((offers.len(), budget.used), (3, 3), "{offers:?}");
    assert!(offers.iter().all(|offer| offer.user == me), "{offers:?}");
    assert!(sshd.wait_for("port22 has seen enough", 3));
    assert_eq!(counted(&sshd), (6, 3), "{}", sshd.text());
}

#[tokio::test]
async fn the_alternative_user_is_asked_only_after_a_refusal() {
    let dir = dir();
    let known = keygen(dir.path(), "known", &["-t", "ed25519"], "");
    let strange = keygen(dir.path(), "strange", &["-t", "rsa", "-b", "2048"], "");
    let Some(sshd) = Sshd::start(&[&known], "") else {
        return;
    };
    let me = me();
    let (_, offers, _) = ssh::probe(request(sshd.port, &["wrong-name", &me], &[&known])).await;
    assert_eq!(answers(&offers), [("wrong-name", &Answer::Refused), (me.as_str(), &Answer::WouldAccept)]);
    let (_, offers, _) = ssh::probe(request(sshd.port, &[&me, "wrong-name"], &[&strange, &known])).await;
    assert_eq!(answers(&offers), [(me.as_str(), &Answer::Refused), (me.as_str(), &Answer::WouldAccept)]);
    let (_, offers, budget) =
        ssh::probe(request(sshd.port, &["wrong-name", "wrong-name"], &[&strange, &strange])).await;
    assert_eq!((offers.len(), budget.used), (1, 1), "the same key or user is not asked twice: {offers:?}");
}

#[tokio::test]
async fn the_public_half_is_enough_to_ask() {
    let dir = dir();
    let locked = keygen(dir.path(), "locked", &["-t", "ed25519"], "a passphrase");
    let lone = keygen(dir.path(), "lone", &["-t", "ed25519"], "");
    let Some(sshd) = Sshd::start(&[&locked, &lone], "") else {
        return;
    };
    let me = me();
    let mut asked = request(sshd.port, &[&me], &[]);
    asked.sign = true;
    asked.keys = vec![key(&locked, true)];
    assert_eq!(answers(&ssh::probe(asked.clone()).await.1), [(me.as_str(), &Answer::WouldAccept)]);
    asked.keys = vec![SshKey { private: None, ..key(&lone, false) }];
    assert_eq!(answers(&ssh::probe(asked.clone()).await.1), [(me.as_str(), &Answer::WouldAccept)]);
    // A private half that belongs to another public key must not sign.
    asked.keys = vec![SshKey { private: fs::read(&lone).ok(), ..key(&locked, false) }];
    assert_eq!(answers(&ssh::probe(asked.clone()).await.1), [(me.as_str(), &Answer::WouldAccept)]);
    assert_eq!(sshd.lines("Accepted publickey"), 0);
    asked.keys = vec![SshKey { public: None, ..key(&lone, false) }];
    assert_eq!(answers(&ssh::probe(asked).await.1), [(me.as_str(), &Answer::LoggedIn)]);
}

#[tokio::test]
async fn a_login_that_needs_more_than_the_key_is_told() {
    let dir = dir();
    let known = keygen(dir.path(), "known", &["-t", "ed25519"], "");
    let banner = dir.path().join("banner");
    fs::write(&banner, "Authorised \u{1b}[31muse only\n").unwrap();
    let more =
        format!("AuthenticationMethods publickey,password\nPasswordAuthentication yes\nBanner {}", banner.display());
    let Some(sshd) = Sshd::start(&[&known], &more) else {
        return;
    };
    let me = me();
    let mut asked = request(sshd.port, &[&me], &[&known]);
    asked.sign = true;
    let (_, offers, _) = ssh::probe(asked).await;
    let [offer] = offers.as_slice() else { panic!("{offers:?}") };
    assert_eq!(
        offer.answer,
        Answer::AcceptedThenRefused { reason: "the server wants more than the key: password".to_owned() }
    );
    assert_eq!(offer.methods, ["password"]);
    assert_eq!(offer.banner.as_deref(), Some("Authorised use only"));
}

#[tokio::test]
async fn without_any_key_the_methods_are_learned() {
    let Some(sshd) = Sshd::start(&[], "PasswordAuthentication yes") else {
        return;
    };
    let (_, offers, budget) = ssh::probe(request(sshd.port, &["someone", "else"], &[])).await;
    let [offer] = offers.as_slice() else { panic!("{offers:?}") };
    assert_eq!((&offer.answer, &offer.key, budget.used), (&Answer::Refused, &None, 1));
    assert_eq!(offer.methods, ["publickey", "password"]);
}

#[tokio::test]
async fn a_server_without_public_keys_is_asked_once() {
    let dir = dir();
    let keys: Vec<_> = (0..2).map(|n| keygen(dir.path(), &format!("k{n}"), &["-t", "ed25519"], "")).collect();
    let all: Vec<&Path> = keys.iter().map(AsRef::as_ref).collect();
    let Some(sshd) = Sshd::start(&all, "PubkeyAuthentication no\nPasswordAuthentication yes") else {
        return;
    };
    let (_, offers, budget) = ssh::probe(request(sshd.port, &[&me()], &all)).await;
    assert_eq!((offers.len(), budget.used), (1, 1), "{offers:?}");
    assert_eq!(
        (&offers[0].answer, offers[0].methods.as_slice()),
        (&Answer::Refused, ["password".to_owned()].as_slice())
    );
}

#[tokio::test]
async fn no_method_at_all_is_a_refusal_with_no_methods() {
    let dir = dir();
    let known = keygen(dir.path(), "known", &["-t", "ed25519"], "");
    let Some(sshd) = Sshd::start(&[&known], "PubkeyAuthentication no") else {
        return;
    };
    let (_, offers, _) = ssh::probe(request(sshd.port, &[&me()], &[&known])).await;
    assert_eq!((&offers[0].answer, offers[0].methods.len()), (&Answer::Refused, 0), "{offers:?}");
}

#[tokio::test]
async fn a_server_that_has_enough_ends_the_questions() {
    let dir = dir();
    let keys: Vec<_> = (0..3).map(|n| keygen(dir.path(), &format!("k{n}"), &["-t", "ed25519"], "")).collect();
    let all: Vec<&Path> = keys.iter().map(AsRef::as_ref).collect();
    let Some(sshd) = Sshd::start(&[], "MaxAuthTries 2") else {
        return;
    };
    let (_, offers, budget) = ssh::probe(request(sshd.port, &[&me(), "other"], &all)).await;
    assert_eq!((offers.len(), budget.used), (2, 2), "{offers:?}");
    assert_eq!(offers[0].answer, Answer::Refused);
    assert_eq!(offers[1].answer, Answer::Failed { reason: "Too many authentication failures".to_owned() });
    assert_eq!(sshd.lines("Connection from"), 1);
}

#[tokio::test]
async fn host_key_types_of_known_hosts_are_asked_for_first() {
    let Some(sshd) = Sshd::start(&[], "") else {
        return;
    };
    let mut asked = request(sshd.port, &[], &[]);
    asked.known_types = vec!["ecdsa-sha2-nistp256".to_owned()];
    let (server, offers, budget) = ssh::probe(asked).await;
    let Some(SshServer::Ready { host_key_type, host_key, .. }) = server.value() else { panic!("{server:?}") };
    assert_eq!((host_key_type.as_str(), host_key), ("ecdsa-sha2-nistp256", &fingerprint(&sshd.host_key("ecdsa"))));
    assert_eq!((offers.len(), budget.used), (0, 0));
}

#[tokio::test]
async fn old_and_odd_algorithms_are_spoken() {
    for more in [
        "KexAlgorithms diffie-hellman-group14-sha1",
        "KexAlgorithms ecdh-sha2-nistp256",
        "Ciphers aes128-cbc\nMACs hmac-sha1",
        "Ciphers aes128-gcm@openssh.com",
        "KexAlgorithms diffie-hellman-group-exchange-sha1",
    ] {
        let Some(sshd) = Sshd::start(&[], more) else {
            return;
        };
        let (server, _, _) = ssh::probe(request(sshd.port, &[], &[])).await;
        assert!(matches!(server.value(), Some(SshServer::Ready { .. })), "{more}: {server:?}");
    }
}

#[tokio::test]
async fn a_failed_key_exchange_keeps_the_banner() {
    let Some(sshd) = Sshd::start(&[], "MACs umac-64@openssh.com\nCiphers aes128-ctr") else {
        return;
    };
    let (server, _, _) = ssh::probe(request(sshd.port, &["x"], &[])).await;
    let Some(SshServer::KexFailed { banner, reason }) = server.value() else { panic!("{server:?}") };
    assert!(banner.starts_with("SSH-2.0-OpenSSH"));
    assert_eq!(reason, "no matching MAC found; their offer: umac-64@openssh.com");
}

#[tokio::test]
async fn an_open_connection_is_used_first() {
    let dir = dir();
    let known = keygen(dir.path(), "known", &["-t", "ed25519"], "");
    let Some(sshd) = Sshd::start(&[&known], "") else {
        return;
    };
    let (_, stream) = tcp::connect(HERE, sshd.port, Duration::from_secs(5)).await;
    let heard = ssh::probe_over(stream.map(ssh::over_tcp), request(sshd.port, &[&me()], &[&known])).await;
    assert_eq!(heard.offers[0].answer, Answer::WouldAccept);
    assert!(sshd.wait_for("port22 has seen enough", 1));
    assert_eq!(sshd.lines("Connection from"), 1, "{}", sshd.text());
}

#[tokio::test]
async fn the_algorithms_that_the_server_offers_are_noted() {
    let more = "Ciphers aes256-cbc\nMACs hmac-sha2-256,umac-64@openssh.com\nKexAlgorithms ecdh-sha2-nistp256";
    let Some(sshd) = Sshd::start(&[], more) else {
        return;
    };
    let heard = ssh::probe_over(None, request(sshd.port, &[], &[])).await;
    assert!(matches!(heard.server.value(), Some(SshServer::Ready { .. })), "{heard:?}");
    let lists = heard.lists.expect("the first packet");
    assert_eq!(lists.kex, ["ecdh-sha2-nistp256"], "markers of extensions are no algorithms");
    assert_eq!(
        (&lists.ciphers.to_server, &lists.ciphers.to_client),
        (&vec!["aes256-cbc".to_owned()], &vec!["aes256-cbc".to_owned()])
    );
    assert_eq!(lists.macs.to_client, ["hmac-sha2-256", "umac-64@openssh.com"]);
    assert!(lists.host_keys.contains(&"ssh-ed25519".to_owned()), "{lists:?}");
    assert!(lists.compression.to_server.contains(&"none".to_owned()), "{lists:?}");
}

#[tokio::test]
async fn a_failed_key_exchange_tells_the_algorithms_too() {
    let Some(sshd) = Sshd::start(&[], "MACs umac-64@openssh.com\nCiphers aes128-ctr") else {
        return;
    };
    let heard = ssh::probe_over(None, request(sshd.port, &[], &[])).await;
    assert!(matches!(heard.server.value(), Some(SshServer::KexFailed { .. })), "{heard:?}");
    assert_eq!(heard.lists.expect("the first packet").macs.to_server, ["umac-64@openssh.com"]);
}

#[tokio::test]
async fn no_script_is_run_where_known_hosts_revokes_the_host_key_or_has_another() {
    let dir = dir();
    let known = keygen(dir.path(), "known", &["-t", "ed25519"], "");
    let Some(sshd) = Sshd::start(&[&known], "") else {
        return;
    };
    let public = |path: &Path| {
        let line = fs::read_to_string(format!("{}.pub", path.display())).unwrap();
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
    };
    let host_key = public(&sshd.host_key("ed25519"));
    let at = format!("[127.0.0.1]:{}", sshd.port);
    let lines = [
        (format!("@revoked * {host_key}\n{at} {host_key}\n"), false),
        (format!("{at} {}\n", public(&known)), false),
        (format!("{at} {host_key}\n"), true),
    ];
    for (text, runs) in lines {
        let file = dir.path().join("known_hosts");
        fs::write(&file, &text).unwrap();
        let mut facts = Facts::default();
        let files = [file.display().to_string()];
        facts.local.known_hosts = known_hosts::lookup(&["127.0.0.1".to_owned()], sshd.port, &files).await;
        let mut asked = request(sshd.port, &[], &[&known]);
        asked.expect_known(&facts);
        let before = sshd.lines("Accepted publickey");
        let result = ssh::run_script(asked, &me(), "echo inside").await;
        if runs {
            // Root needs no sudo; who else runs the tests may have none.
            assert!(sshd.wait_for("Accepted publickey", before + 1), "{result:?}\n{}", sshd.text());
        } else {
            assert_eq!(result.unwrap_err().text(), "needs a host key that agrees with known_hosts", "{text}");
            assert!(sshd.wait_for("do_cleanup", 1), "{}", sshd.text());
            assert_eq!(sshd.lines("userauth-request"), 0, "nothing is asked: {}", sshd.text());
        }
    }
}

//! The lessons as a whole: what they teach, and that a look inside shows what sshd acts by.

use std::collections::{BTreeMap, BTreeSet};

use super::{Try, address, knock_at, login};
use crate::lab::scenario::{self, Daemon};
use crate::lab::{Lab, LabOptions, inside, scenario_list};

#[test]
fn there_are_lessons_of_every_kind() {
    let all = scenario_list().unwrap();
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for one in &all {
        *groups.entry(&one.group).or_default() += 1;
        assert!(!one.also.contains(&one.cause), "{}: the second cause is the first", one.id);
    }
    assert!(all.len() >= 60, "{}", all.len());
    assert!(groups.values().all(|count| *count >= 3), "{groups:?}");
    assert!(groups["healthy"] >= 5, "{groups:?}");
    assert!(all.iter().filter(|one| !one.also.is_empty()).count() >= 4);
    let causes: BTreeSet<_> = all.iter().flat_map(|one| one.also.iter().chain([&one.cause])).collect();
    assert!(causes.len() > 90, "{}", causes.len());
    // The list goes from easy to hard within a group.
    for pair in all.windows(2) {
        assert!(pair[0].group != pair[1].group || pair[0].difficulty <= pair[1].difficulty, "{}", pair[1].id);
    }
}

/// What the lesson says answers, before any repair.
#[tokio::test]
async fn every_host_answers_as_its_lesson_says() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    let mut tries = tokio::task::JoinSet::new();
    let config = std::fs::read_to_string(lab.config_file()).unwrap();
    for spec in scenario::all().unwrap() {
        let instance = spec.instance.unwrap();
        // Behind a jump host; or what is told happened to a client elsewhere.
        if instance.client.jump.is_some() || !spec.said.is_empty() {
            continue;
        }
        let block = config
            .split("\nHost ")
            .find(|block| block.lines().next().unwrap().contains(&format!(" {} ", instance.name)));
        let value = |name: &str| {
            let block = block.unwrap();
            block.split_once(&format!("\n  {name} ")).unwrap().1.lines().next().unwrap().to_owned()
        };
        let place = format!("{}:{}", value("HostName"), value("Port"));
        tries.spawn(async move { (spec.id, spec.symptom, spec.cause, instance.sshd.daemon, knock_at(place).await) });
    }
    let mut wrong = Vec::new();
    while let Some(done) = tries.join_next().await {
        let (id, symptom, cause, daemon, heard) = done.unwrap();
        // Without a door of their own these hosts cannot be reached; the others only lack the pushed key.
        let private = cause.starts_with("eice-");
        let good = match (symptom.as_str(), daemon, &heard) {
            ("timeout" | "rdp_error" | "ssm_not_connected", _, Try::TimedOut) => true,
            ("eic_error", _, Try::TimedOut) => private,
            ("connection_refused", _, heard) => *heard == Try::Refused || id == "web-override",
            ("banner_timeout", Daemon::Silent, Try::Silent) => true,
            ("connection_reset", Daemon::Closed, Try::Said(text)) => text.is_empty(),
            ("connection_reset", Daemon::Http, Try::Said(text)) => text.starts_with("HTTP/"),
            // PAM hangs up after a good key.
            ("connection_reset", Daemon::Up, Try::Said(text)) if id == "web-pam" => text.starts_with("SSH-2.0-"),
            ("connection_reset", Daemon::Penalty, Try::Said(text)) => text == "Not allowed at this time",
            ("timeout" | "rdp_error" | "ssm_not_connected", ..) => false,
            ("connection_reset", ..) => false,
            (_, _, Try::Said(text)) => text.starts_with("SSH-2.0-"),
            _ => false,
        };
        if !good {
            wrong.push(format!("{id}: {symptom} and {heard:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    lab.stop().await;
}

#[tokio::test]
async fn sshd_acts_by_what_a_look_shows() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    let look = |name: &str, user: &str| {
        let world = lab.shared.world();
        let instance = world.instances.iter().find(|instance| instance.name == name).unwrap();
        let pair = &world.key_pairs.iter().find(|known| known.pair.name == "practice").unwrap().pair;
        let script = format!(
            "P22_USER='{user}'\nP22_ADDR='203.0.113.10'\nP22_PORT='22'\nP22_KEY1='{}'\n# port22-inside",
            pair.public_line()
        );
        inside::look(&world, instance, &script)
    };
    let home = "/home/ec2-user";
    // Name, a line that the look shows, whether the key of the account gets in.
    for (name, line, good) in [
        ("web-healthy", format!("path 8180 1000 1000 90 1756711841 {home}/.ssh/authorized_keys"), true),
        ("web-perms", format!("path 41fd 1000 1000 4096 1756711841 {home}"), false),
        ("web-unreadable", format!("access no {home}/.ssh/authorized_keys"), false),
        ("web-traverse", "path 41c0 0 0 4096 1756711841 /home".to_owned(), false),
        ("web-nofile", format!("path - {home}/.ssh/authorized_keys"), false),
        ("web-emptyfile", "ak.file 0 - -".to_owned(), false),
        ("web-notafile", format!("path 41ed 1000 1000 6 1756711841 {home}/.ssh/authorized_keys"), false),
        ("web-selinux", format!("label unconfined_u:object_r:default_t:s0 {home}/.ssh/authorized_keys"), false),
        ("web-locked", "shadow !! 20332 99999 - -".to_owned(), false),
        ("web-deny", "T denyusers ec2-user".to_owned(), false),
        ("web-allowusers", "T allowusers deploy".to_owned(), false),
        ("web-nopubkey", "T pubkeyauthentication no".to_owned(), false),
        ("web-movedkeys", "akf 0 /etc/ssh/keys/ec2-user".to_owned(), false),
        ("web-movedkeys", format!("akf.unused 1 {home}/.ssh/authorized_keys"), false),
        ("web-noshell", "path - /usr/bin/zsh".to_owned(), false),
        ("web-fips", "fips 1".to_owned(), false),
        ("web-homemount", "fstab unmounted /dev/sdf xfs defaults,nofail /home".to_owned(), false),
        ("web-renamed", "passwd.nss -".to_owned(), false),
        ("web-twofiles", format!("attr ----i---------e------- {home}/.ssh/authorized_keys"), false),
        ("web-nologinshell", format!("passwd.nss ec2-user:1000:1000:{home}:/sbin/nologin"), true),
        ("web-chage", "shadow !! 0 99999 - -".to_owned(), true),
    ] {
        let text = look(name, "ec2-user");
        assert!(text.lines().any(|known| known == line), "{name} does not show {line}:\n{text}");
        let lines = text.lines().count() - 2;
        assert!(
            text.starts_with("port22-inside 1\n") && text.ends_with(&format!("\nport22-inside-end {lines} 0 whole\n"))
        );
        assert!(text.len() < 24_000, "{name}");
        assert_eq!(login(&lab, name, "ec2-user", "practice.pem").await, good, "{name}");
    }
    for (name, line) in [
        ("web-joined", "joined,near1"),
        ("web-wrapped", "near1"),
        ("web-from", "from=198.51.100.0/24"),
        ("web-keyexpired", "expiry-time=20250901"),
        ("web-rfc", "rfc4716"),
    ] {
        let text = look(name, "ec2-user");
        let shown = text.lines().any(|known| known.starts_with("ak 0 ") && known.contains(line));
        assert!(shown, "{name} does not show {line}:\n{text}");
        assert!(!login(&lab, name, "ec2-user", "practice.pem").await, "{name}");
    }
    for (name, line) in [
        ("web-config", "sshd.says /etc/ssh/sshd_config: line 18: Bad configuration option: Portt"),
        ("web-hostkeys", "sshd.says sshd: no hostkeys available -- exiting."),
        ("web-hostkeymode", "path 81b6 0 0 399 1756711841 /etc/ssh/ssh_host_ed25519_key"),
        ("web-privsep", "path - /run/sshd"),
        ("web-masked", "unit sshd.service masked inactive dead masked success 0 0 sshd.service"),
        ("web-otherport", "listen 0.0.0.0 2200 sshd 1871"),
        ("web-hostsdeny", "hosts deny sshd: ALL"),
        ("web-guestfw", "fw iptables -A INPUT -p tcp -m tcp --dport 22 -j DROP"),
        ("web-banned", "fail2ban sshd 1 yes"),
        ("web-nologin", "nologin 1 /etc/nologin"),
        ("web-expired", "shadow !! 20332 99999 - 20300"),
        ("web-pam", "access.line - : ALL EXCEPT root : ALL"),
        ("web-diskfull", "df 100 0 /"),
    ] {
        let text = look(name, "ec2-user");
        assert!(text.lines().any(|known| known == line), "{name} does not show {line}:\n{text}");
    }
    assert_ne!(address(&lab, "web-healthy").await, address(&lab, "web-fips").await);
    lab.stop().await;
}

#[tokio::test]
async fn a_pushed_key_opens_where_the_helper_is() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    let headers =
        "X-Amz-Target: AWSEC2InstanceConnectService.SendSSHPublicKey\r\nContent-Type: application/x-amz-json-1.1\r\n";
    let key = {
        let world = lab.shared.world();
        world.key_pairs.iter().find(|known| known.pair.name == "practice").unwrap().pair.public_line()
    };
    for (name, user, pushed_for, good) in [
        ("web-nokeypair", "ec2-user", "ec2-user", true),
        ("web-keyabsent", "ec2-user", "root", false),
        ("web-perms", "ec2-user", "ec2-user", true),
        ("web-authkeys", "admin", "admin", false),
        ("web-deny", "ec2-user", "ec2-user", false),
    ] {
        assert!(!login(&lab, name, user, "practice.pem").await, "{name}");
        let xml = super::describe(&lab, name).await;
        let id = super::element(&xml, "<instancesSet>", "instanceId");
        let body = serde_json::json!({ "InstanceId": id, "InstanceOSUser": pushed_for, "SSHPublicKey": key });
        let (status, answer) = super::send(&lab, headers, &body.to_string()).await;
        assert!(status == 200 && answer.contains("\"Success\":true"), "{answer}");
        assert_eq!(login(&lab, name, user, "practice.pem").await, good, "{name}");
    }
    let body = serde_json::json!({ "InstanceId": "i-0", "InstanceOSUser": "a", "SSHPublicKey": "short" });
    assert!(super::send(&lab, headers, &body.to_string()).await.1.contains("InvalidArgsException"));
    lab.stop().await;
}

#[tokio::test]
async fn a_jump_host_leads_on_where_the_group_lets_it() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    let text = std::fs::read_to_string(lab.home().join("keys/practice.pem")).unwrap();
    let key = std::sync::Arc::new(russh::keys::decode_secret_key(&text, None).unwrap());
    let config = std::sync::Arc::new(russh::client::Config::default());
    for (gate, target, good) in [("web-gate", "web-behind", true), ("web-lock", "web-jumpinner", false)] {
        let place = (address(&lab, gate).await, lab.ssh_port());
        let mut outer = russh::client::connect(config.clone(), place, super::Client).await.unwrap();
        let hash = russh::keys::PrivateKeyWithHashAlg::new(key.clone(), None);
        assert!(outer.authenticate_publickey("ec2-user", hash.clone()).await.unwrap().success());
        let xml = super::describe(&lab, target).await;
        let inner = super::element(&xml, "<instanceId>", "privateIpAddress").to_owned();
        let port = u32::from(lab.ssh_port());
        let opened = outer.channel_open_direct_tcpip(inner, port, "127.0.0.1", 0);
        let opened = tokio::time::timeout(super::SOON, opened).await;
        assert_eq!(opened.as_ref().is_ok_and(Result::is_ok), good, "{target}");
        if let Ok(Ok(channel)) = opened {
            let stream = channel.into_stream();
            let mut session = russh::client::connect_stream(config.clone(), stream, super::Client).await.unwrap();
            assert!(session.authenticate_publickey("ec2-user", hash).await.unwrap().success());
        }
    }
    lab.stop().await;
}

#[tokio::test]
async fn pam_ends_the_connection_after_a_good_key() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    for name in ["web-expired", "web-nologin", "web-pam"] {
        let place = (address(&lab, name).await, lab.ssh_port());
        let text = std::fs::read_to_string(lab.home().join("keys/practice.pem")).unwrap();
        let key = std::sync::Arc::new(russh::keys::decode_secret_key(&text, None).unwrap());
        let config = std::sync::Arc::new(russh::client::Config::default());
        let mut session = russh::client::connect(config, place, super::Client).await.unwrap();
        let key = russh::keys::PrivateKeyWithHashAlg::new(key, None);
        let answer = session.authenticate_publickey("ec2-user", key).await;
        assert!(!answer.is_ok_and(|answer| answer.success()), "{name}");
        assert!(session.is_closed(), "{name}: sshd hangs up");
    }
    lab.stop().await;
}

/// What holds for a whole VPC must not change what is true of another lesson's hosts.
#[test]
fn endpoints_and_blocks_stand_in_a_vpc_of_their_own() {
    for spec in scenario::all().unwrap() {
        let own = |vpc: &str| spec.vpc.iter().any(|known| known.name == vpc);
        let of = |subnet: &str| spec.subnet.iter().find(|known| known.name == subnet).map(|known| known.vpc.as_str());
        assert!(spec.vpc_endpoint.iter().all(|endpoint| own(&endpoint.vpc)), "{}", spec.id);
        assert!(spec.connect_endpoint.iter().all(|endpoint| of(&endpoint.subnet).is_some_and(own)), "{}", spec.id);
        assert!(spec.gateway.iter().all(|gateway| gateway.vpc.as_deref().is_none_or(own)), "{}", spec.id);
    }
}

#[tokio::test]
async fn windows_listens_for_remote_desktop_and_not_for_ssh() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    for (name, open) in [("web-windows", true), ("web-winpass", true), ("web-winkey", true), ("web-winrdp", false)] {
        let host = address(&lab, name).await;
        assert_eq!(knock_at(format!("{host}:{}", lab.ssh_port())).await, Try::TimedOut, "{name}");
        let desktop = knock_at(format!("{host}:3389")).await;
        // A server of Remote Desktop speaks when it was asked.
        assert_eq!(desktop, if open { Try::Silent } else { Try::TimedOut }, "{name}");
    }
    let mut stream = tokio::net::TcpStream::connect((address(&lab, "web-windows").await, 3389)).await.unwrap();
    stream.write_all(&[3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0]).await.unwrap();
    let mut heard = [0_u8; 19];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!((heard[0], heard[3], heard[5]), (3, 19, 0xd0));
    lab.stop().await;
}

#[tokio::test]
async fn a_pair_of_the_same_name_is_younger_than_the_host_and_another_key() {
    let lab = super::lab("web-namesake").await;
    {
        let world = lab.shared.world();
        let host = world.instances.iter().find(|instance| instance.name == "web-namesake").unwrap();
        let pair = world.key_pairs.iter().find(|known| Some(&known.pair.name) == host.key.as_ref()).unwrap();
        assert!(!pair.deleted && pair.created > host.first_launched);
        assert!(host.users.iter().all(|user| !user.keys.contains(&pair.pair.blob())));
        assert!(!host.console.contains(&pair.pair.sha256_colons()));
        // Its name at the first boot.
        assert!(host.console.contains("| webteam |") && !host.console.contains("webteam-old"), "{}", host.console);
    }
    assert!(!login(&lab, "web-namesake", "ec2-user", "webteam.pem").await);
    lab.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_suspended_master_takes_connections_and_says_nothing() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let lab = super::lab("web-control").await;
    let path = lab.home().join("cm-web-control");
    let config = std::fs::read_to_string(lab.config_file()).unwrap();
    assert!(config.contains(&format!("ControlPath \"{}\"", path.display())));
    let mut master = tokio::net::UnixStream::connect(&path).await.unwrap();
    // MUX_MSG_HELLO of version 4.
    master.write_all(&[0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 4]).await.unwrap();
    assert!(tokio::time::timeout(super::SOON, master.read_u8()).await.is_err());
    assert!(login(&lab, "web-control", "ec2-user", "practice.pem").await, "without it the login works");
    lab.stop().await;
}

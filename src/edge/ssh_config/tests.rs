//! Effective configuration by OpenSSH, where it is installed, and by the parser.

use super::*;
use std::fs;
use tempfile::TempDir;

const FILE: &str = "
Host web web-*
    HostName 203.0.113.7
    User ubuntu
    Port 2222
    IdentityFile /keys/web.pem
    IdentitiesOnly yes
    HostKeyAlias i-0a1b2c3d4e5f60718
    UserKnownHostsFile /keys/known_hosts

Host inside
    HostName 10.0.0.5
    ProxyJump jump@bastion

Host tunnel
    ProxyCommand aws ssm start-session --target %h

Host *
    ServerAliveInterval 60
";

/// The configuration as a file, and a target that names it.
fn target(text: &str, name: &str) -> (TempDir, Target) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    fs::write(&path, text).unwrap();
    let config_file = Some(path.to_str().unwrap().to_owned());
    (dir, Target { name: name.to_owned(), config_file, ..Target::default() })
}

fn ssh() -> Option<PathBuf> {
    let found = find("ssh", std::env::var_os("PATH"));
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "ssh is needed: install openssh-client");
    found
}

/// Both ways to the settings must agree.
async fn both(text: &str, name: &str) -> Vec<SshConfig> {
    let (_dir, target) = target(text, name);
    let mut out = Vec::new();
    for ssh in [ssh(), None] {
        let fact = effective_by(ssh.as_deref(), &target).await;
        out.push(fact.value().unwrap_or_else(|| panic!("{fact:?}")).clone());
    }
    out
}

#[tokio::test]
async fn settings_of_a_host_block_are_found() {
    for config in both(FILE, "web-7").await {
        assert_eq!(
            (config.hostname.as_deref(), config.user.as_deref(), config.port),
            (Some("203.0.113.7"), Some("ubuntu"), Some(2222))
        );
        assert_eq!(config.identity_files, ["/keys/web.pem"]);
        assert!(config.identities_only && config.matched);
        assert_eq!(config.host_key_alias.as_deref(), Some("i-0a1b2c3d4e5f60718"));
        assert_eq!(config.known_hosts_files[0], "/keys/known_hosts");
    }
}

#[tokio::test]
async fn defaults_are_no_settings() {
    for config in both(FILE, "203.0.113.9").await {
        assert_eq!((config.hostname, config.user, config.port), (None, None, None));
        assert!(config.identity_files.is_empty(), "{:?}", config.identity_files);
        assert!(!config.identities_only && !config.matched);
        assert_eq!((config.proxy_jump, config.proxy_command, config.host_key_alias), (None, None, None));
    }
}

#[tokio::test]
async fn ways_through_other_hosts_are_found() {
    for config in both(FILE, "inside").await {
        assert_eq!((config.proxy_jump.as_deref(), config.proxy_command), (Some("jump@bastion"), None));
        assert!(config.matched);
    }
    for config in both(FILE, "tunnel").await {
        assert_eq!(config.proxy_command.as_deref(), Some("aws ssm start-session --target %h"));
    }
}

#[tokio::test]
async fn a_set_value_that_is_the_default_is_still_set() {
    let me = String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let me = me.trim();
    for config in both(&format!("Host web\n  User {me}\n  Port 22\n"), "web").await {
        assert_eq!((config.user.as_deref(), config.port, config.matched), (Some(me), Some(22), true));
    }
}

#[tokio::test]
async fn options_count_and_the_command_line_is_not_repeated() {
    let Some(ssh) = ssh() else { return };
    let (_dir, mut target) = target(FILE, "web");
    target.options = vec!["HostName=198.51.100.4".to_owned(), "IdentitiesOnly no".to_owned()];
    target.user = Some("admin".to_owned());
    target.port = Some(22022);
    let fact = effective_by(Some(&ssh), &target).await;
    let config = fact.value().unwrap();
    assert_eq!((config.hostname.as_deref(), config.identities_only), (Some("198.51.100.4"), false));
    assert_eq!((config.user.as_deref(), config.port), (None, None));
    assert!(fact.source().starts_with("ssh -G -F "), "{}", fact.source());
}

#[tokio::test]
async fn a_broken_file_is_named_with_its_line() {
    let Some(ssh) = ssh() else { return };
    let (dir, target) = target("Host web\n  Prot 22\n", "web");
    let why = effective_by(Some(&ssh), &target).await.why_not().unwrap().text();
    assert!(
        why.contains(&format!("{}: line 2: Bad configuration option: prot", dir.path().join("config").display())),
        "{why}"
    );
}

#[tokio::test]
async fn names_that_are_options_or_text_are_never_passed_on() {
    for name in ["-oProxyCommand=x", "a b", "a\u{7}b", ""] {
        let target = Target { name: name.to_owned(), ..Target::default() };
        let why = effective_by(Some(Path::new("/nonexistent/ssh")), &target).await.why_not().unwrap();
        assert_eq!(why, Why::failed("reading the ssh configuration", "the target is no host name"), "{name:?}");
    }
    let target = Target { name: "web".to_owned(), ..Target::default() };
    let why = effective_by(Some(Path::new("/nonexistent/ssh")), &target).await.why_not().unwrap().text();
    assert_eq!(why, "starting ssh failed: No such file or directory");
}

#[tokio::test]
async fn included_files_are_read_and_a_missing_file_is_told() {
    let (dir, mut target) = target("", "web");
    fs::write(dir.path().join("more"), "Host web\n  User admin\n").unwrap();
    fs::write(dir.path().join("config"), format!("Include {}\n", dir.path().join("more").display())).unwrap();
    let config = effective_by(None, &target).await;
    assert_eq!(config.value().unwrap().user.as_deref(), Some("admin"));
    target.config_file = Some("/nonexistent/config".to_owned());
    assert_eq!(
        effective_by(None, &target).await.why_not().unwrap().text(),
        "there is no configuration file /nonexistent/config"
    );
    target.config_file = Some("none".to_owned());
    assert_eq!(effective_by(None, &target).await.value(), Some(&SshConfig::default()));
}

#[tokio::test]
async fn the_client_tells_its_version() {
    if ssh().is_some() {
        let fact = client_version().await;
        assert!(fact.value().is_some_and(|line| line.starts_with("OpenSSH_")), "{fact:?}");
    }
    assert_eq!(find("ssh", Some("/nonexistent".into())), None);
    assert_eq!(find("ssh", None), None);
}

#[tokio::test]
async fn settings_that_change_a_login_are_found() {
    let text = "Host web\n  StrictHostKeyChecking no\n  PubkeyAuthentication no\n  IdentityAgent /run/other\n";
    for config in both(text, "web").await {
        assert_eq!(config.strict_host_key_checking.as_deref(), Some("no"));
        assert!(config.pubkey_off);
        assert_eq!(config.identity_agent.as_deref(), Some("/run/other"));
    }
    for config in both("Host web\n  StrictHostKeyChecking accept-new\n", "web").await {
        assert_eq!((config.strict_host_key_checking.as_deref(), config.pubkey_off), (Some("accept-new"), false));
        assert_eq!((config.identity_agent, config.control_path), (None, None));
    }
}

#[tokio::test]
async fn ssh_itself_expands_the_control_path_and_tells_its_signatures() {
    let Some(ssh) = ssh() else { return };
    let (_dir, first) = target(
        "Host web\n  ControlPath /run/cm-%r@%h:%p\n  User me\n  Port 2222\n  PubkeyAcceptedAlgorithms +ssh-rsa\n",
        "web",
    );
    let fact = effective_by(Some(&ssh), &first).await;
    let config = fact.value().unwrap();
    assert_eq!(config.control_path.as_deref(), Some("/run/cm-me@web:2222"));
    assert_eq!(config.sha1_signatures, Some(true));
    let (_dir, second) = target("Host web\n  IdentityAgent none\n  PubkeyAcceptedAlgorithms ssh-ed25519\n", "web");
    let fact = effective_by(Some(&ssh), &second).await;
    let config = fact.value().unwrap();
    assert_eq!((config.identity_agent.as_deref(), config.sha1_signatures), (Some("none"), Some(false)));
}

#[tokio::test]
async fn the_lists_that_ssh_would_offer_are_told() {
    let Some(ssh) = ssh() else { return };
    let text = "Host web\n  Ciphers aes256-cbc\n  MACs +hmac-md5\n";
    let (_dir, first) = target(text, "web");
    let fact = effective_by(Some(&ssh), &first).await;
    let lists = &fact.value().unwrap().algorithms;
    assert_eq!(lists.ciphers, ["aes256-cbc"]);
    // What nobody set is told too, and a change of the defaults as the whole list.
    assert!(lists.macs.contains(&"hmac-md5".to_owned()) && lists.macs.len() > 3, "{lists:?}");
    assert!(lists.kex.iter().any(|name| name == "curve25519-sha256"), "{lists:?}");
    assert!(lists.host_keys.iter().any(|name| name == "ssh-ed25519"), "{lists:?}");
    // Without ssh nobody knows them.
    let fact = effective_by(None, &first).await;
    assert_eq!(fact.value().unwrap().algorithms, ClientAlgorithms::default());
}

#[test]
fn lists_that_are_not_whole_count_as_not_told() {
    let told = |text: &str| algorithms(&Settings::read(text));
    assert_eq!(told("ciphers +aes256-cbc\nmacs ^x\nkexalgorithms \n"), ClientAlgorithms::default());
    let kerberos = "gssapikeyexchange yes\ngssapikexalgorithms gss-gex-sha1-\nkexalgorithms a,b\n";
    assert_eq!(told(kerberos).kex, ["a", "b", "gss-gex-sha1-"]);
    assert_eq!(told(&kerberos.replace("yes", "no")).kex, ["a", "b"]);
    assert!(told(kerberos).host_keys.is_empty(), "a list that ssh did not tell stays unknown");
    assert_eq!(told(&format!("{kerberos}hostkeyalgorithms ssh-ed25519\n")).host_keys, ["ssh-ed25519", "null"]);
}

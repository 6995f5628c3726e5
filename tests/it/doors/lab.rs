//! The doors in the practice account: pushed keys, a tunnel that groups open and close, the serial console.

use super::{soon, type_line, until};
use port22::core::facts::Facts;
use port22::core::facts::wire::{Answer, Tcp};
use port22::core::probe::ProbeId;
use port22::edge::aws::AwsSettings;
use port22::edge::{RealWorld, Settings};
use port22::engine::failure::Failure;
use port22::engine::terminal::{Door, Opened, Wish};
use port22::engine::world::World as _;
use port22::lab::{Lab, LabOptions};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

struct Account {
    lab: Lab,
    world: RealWorld,
}

async fn account(scenario: &str) -> Account {
    let lab = Lab::start(LabOptions { scenario: Some(scenario.to_owned()), ..LabOptions::default() }).await;
    let lab = lab.expect("the practice account");
    let aws = AwsSettings {
        profile: None,
        regions: vec!["us-east-1".to_owned()],
        endpoint: Some(lab.endpoint()),
        keys: Some(("practice".to_owned(), "practice".to_owned())),
    };
    let world = RealWorld::new(Settings { aws, ..Settings::default() }).await;
    Account { lab, world }
}

impl Account {
    fn facts(&self, name: &str) -> Facts {
        let mut facts = Facts::default();
        facts.target.name = name.to_owned();
        facts.target.config_file = Some(self.lab.config_file().display().to_string());
        facts
    }

    async fn open(&self, door: Door, name: &str, command: Option<&str>) -> Result<Opened, Failure> {
        let size = command.is_none().then_some((80, 24));
        let command = command.map(str::to_owned);
        let wish = Wish { door, facts: Arc::new(self.facts(name)), size, command, plugin: false };
        soon("a terminal", self.world.terminal(wish)).await
    }

    /// Asks the account itself, as another program would.
    async fn ask(&self, form: &str) -> String {
        let endpoint = self.lab.endpoint();
        let place = endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(place).await.expect("the account");
        let form = format!("{form}&Version=2016-11-15");
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {place}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            form.len()
        );
        stream.write_all((head + &form).as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }
}

async fn output(mut opened: Opened) -> (String, Option<u32>) {
    let mut out = String::new();
    soon("output", opened.output.read_to_string(&mut out)).await.expect("output");
    (out, soon("end", opened.control.ended()).await.status)
}

#[tokio::test]
async fn a_pushed_key_and_the_own_key_log_in() {
    let account = account("web-healthy").await;
    for door in [Door::Eic, Door::Ssh] {
        let opened = account.open(door, "web-healthy", Some("whoami")).await;
        let opened = opened.unwrap_or_else(|failure| panic!("{door:?}: {failure}"));
        assert_eq!(output(opened).await, ("ec2-user\n".to_owned(), Some(0)), "{door:?}");
    }
    let mut opened = account.open(Door::Eic, "web-healthy", None).await.expect("a terminal");
    until(&mut opened.output, "practice host").await;
    opened.input.write_all(b"exit 3\r").await.expect("keys");
    assert_eq!(soon("end", opened.control.ended()).await.status, Some(3));
    // A user that the image does not have: the service takes the key, and sshd does not.
    let mut facts = account.facts("web-healthy");
    facts.target.user = Some("nobody-here".to_owned());
    let wish = Wish { door: Door::Eic, facts: Arc::new(facts), size: None, command: None, plugin: false };
    let failure = soon("no terminal", account.world.terminal(wish)).await.expect_err("no such user");
    assert!(failure.reason.contains("did not take the pushed key"), "{failure}");
    account.lab.stop().await;
}

#[tokio::test]
async fn a_tunnel_is_closed_until_the_groups_let_it_pass() {
    let account = account("web-eiceblocked").await;
    let failure = account.open(Door::Eice, "web-eiceblocked", Some("whoami")).await.expect_err("closed groups");
    assert!(failure.reason.contains("Unable to connect to target"), "{failure}");
    let groups = account.ask("Action=DescribeSecurityGroups").await;
    let group = groups.split("<item>").find(|item| item.contains("tunnel-host")).expect("the group");
    let id = group.split_once("<groupId>").and_then(|(_, rest)| rest.split_once('<')).expect("its id").0;
    let answer = account
        .ask(&format!(
            "Action=AuthorizeSecurityGroupIngress&GroupId={id}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=65000&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0"
        ))
        .await;
    assert!(answer.contains("200 OK"), "{answer}");
    let opened = account.open(Door::Eice, "web-eiceblocked", Some("whoami")).await;
    let opened = opened.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(output(opened).await, ("ec2-user\n".to_owned(), Some(0)));
    account.lab.stop().await;
}

#[tokio::test]
async fn a_proxy_command_of_aws_is_gone_through_without_running_it() {
    let account = account("web-healthy").await;
    let told = account.ask("Action=DescribeInstances&Filter.1.Name=tag:Name&Filter.1.Value.1=web-healthy").await;
    let id = told.split_once("<instanceId>").and_then(|(_, rest)| rest.split_once('<')).expect("its id").0.to_owned();
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("config");
    let key = account.lab.home().join("keys/practice.pem");
    let known = dir.path().join("known_hosts");
    let text = format!(
        "Host i-*\n  User ec2-user\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
         ProxyCommand sh -c \"aws ssm start-session --target %h --document-name AWS-StartSSHSession --parameters 'portNumber=%p'\"\n",
        key.display(),
        known.display()
    );
    std::fs::write(&config, text).expect("config");
    let mut facts = account.facts(&id);
    facts.target.config_file = Some(config.display().to_string());
    for probe in [
        ProbeId::SshConfig,
        ProbeId::Instance,
        ProbeId::Keys,
        ProbeId::Image,
        ProbeId::Tcp,
        ProbeId::KnownHosts,
        ProbeId::Ssh,
    ] {
        for observation in soon("a probe", account.world.observe(probe, Arc::new(facts.clone()))).await {
            observation.apply(&mut facts);
        }
    }
    let tcp = &facts.wire.tcp;
    assert!(matches!(tcp.value(), Some(Tcp::Connected { .. })) && tcp.source().contains("Session Manager"), "{tcp:?}");
    assert!(
        facts.wire.offers.iter().any(|o| o.answer == Answer::LoggedIn),
        "{:?} {:?}",
        facts.wire.ssh,
        facts.wire.offers
    );
    let wish =
        Wish { door: Door::Ssh, facts: Arc::new(facts), size: None, command: Some("whoami".to_owned()), plugin: false };
    let opened = soon("a terminal", account.world.terminal(wish)).await.unwrap_or_else(|f| panic!("{f}"));
    let notice = soon("a notice", opened.control.notice()).await.expect("the host key is new");
    assert!(notice.contains("new to known_hosts"), "{notice}");
    assert_eq!(output(opened).await, ("ec2-user\n".to_owned(), Some(0)));
    account.lab.stop().await;
}

#[tokio::test]
async fn the_serial_console_shows_a_login_and_has_one_session() {
    let account = account("web-serialpw").await;
    let mut opened = account.open(Door::Serial, "web-serialpw", None).await.unwrap_or_else(|f| panic!("{f}"));
    assert!(opened.title.contains("Serial console"), "{opened:?}");
    type_line(&mut opened, "").await;
    until(&mut opened.output, " login: ").await;
    type_line(&mut opened, "ec2-user").await;
    until(&mut opened.output, "Password: ").await;
    type_line(&mut opened, "guess").await;
    until(&mut opened.output, "Login incorrect").await;
    let failure = account.open(Door::Serial, "web-serialpw", None).await.expect_err("one session only");
    assert!(failure.reason.contains("somebody is at this serial console"), "{failure}");
    let failure = account.open(Door::Serial, "web-serialpw", Some("whoami")).await.expect_err("no commands");
    assert!(failure.reason.contains("runs no command"), "{failure}");
    opened.control.hang_up();
    soon("end", opened.control.ended()).await;
    account.lab.stop().await;
}

#[tokio::test]
async fn a_serial_console_that_cannot_be_is_told_before_anything_is_pushed() {
    for (scenario, cause) in
        [("web-serialoff", "serial-console-disabled"), ("web-serialxen", "serial-console-unsupported-type")]
    {
        let account = account(scenario).await;
        let failure = account.open(Door::Serial, scenario, None).await.expect_err("no console");
        assert!(failure.reason.contains(cause), "{failure}");
        account.lab.stop().await;
    }
}

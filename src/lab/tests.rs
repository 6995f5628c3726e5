//! The lab from outside: its endpoint over plain HTTP, its hosts over TCP and SSH.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Lab, LabOptions, scenario_list};

mod answers;
mod lessons;

/// Longer than anything takes that works, TCP's second try after one second included.
const SOON: Duration = Duration::from_millis(1500);

async fn lab(scenario: &str) -> Lab {
    let transition = Duration::from_millis(40);
    let scenario = Some(scenario.to_owned());
    Lab::start(LabOptions { scenario, transition, ..LabOptions::default() }).await.unwrap()
}

/// One Query request; status and body of the answer.
async fn post(lab: &Lab, form: &str) -> (u16, String) {
    send(lab, "Content-Type: application/x-www-form-urlencoded\r\n", &format!("{form}&Version=2016-11-15")).await
}

async fn send(lab: &Lab, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(lab.endpoint.trim_start_matches("http://")).await.unwrap();
    let text = format!(
        "POST / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The text of the first element of this name after `from`.
fn element<'a>(xml: &'a str, from: &str, name: &str) -> &'a str {
    let rest = &xml[xml.find(from).unwrap()..];
    let rest = rest.split_once(&format!("<{name}>")).unwrap().1;
    rest.split_once('<').unwrap().0
}

async fn describe(lab: &Lab, name: &str) -> String {
    let form = format!("Action=DescribeInstances&Filter.1.Name=tag%3AName&Filter.1.Value.1={name}");
    post(lab, &form).await.1
}

async fn address(lab: &Lab, name: &str) -> String {
    element(&describe(lab, name).await, "<instanceId>", "ipAddress").to_owned()
}

/// How a connection to a host goes, and its first bytes.
#[derive(Debug, PartialEq, Eq)]
enum Try {
    TimedOut,
    Refused,
    Said(String),
    Silent,
}

async fn knock(lab: &Lab, address: &str) -> Try {
    knock_at(format!("{address}:{}", lab.ssh_port())).await
}

async fn knock_at(place: String) -> Try {
    match tokio::time::timeout(SOON, TcpStream::connect(&place)).await {
        Err(_) => Try::TimedOut,
        Ok(Err(_)) => Try::Refused,
        Ok(Ok(mut stream)) => {
            let mut heard = [0_u8; 64];
            match tokio::time::timeout(SOON, stream.read(&mut heard)).await {
                Ok(Ok(length)) => Try::Said(String::from_utf8_lossy(&heard[..length]).trim_end().to_owned()),
                _ => Try::Silent,
            }
        }
    }
}

fn opensshd() -> Try {
    Try::Said("SSH-2.0-OpenSSH_8.7".to_owned())
}

/// Knocks until sshd answers; the lab follows a change within a fraction of a second.
async fn answers_soon(lab: &Lab, address: &str) -> bool {
    for _ in 0..5 {
        if knock(lab, address).await == opensshd() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_blocked_host_times_out_until_a_rule_lets_it_answer() {
    let lab = lab("web-timeout").await;
    let host = address(&lab, "web-timeout").await;
    assert_eq!(knock(&lab, &address(&lab, "web-healthy").await).await, opensshd());
    assert_eq!(knock(&lab, &host).await, Try::TimedOut);
    let group = {
        let xml = describe(&lab, "web-timeout").await;
        element(&xml, "<groupSet><item>", "groupId").to_owned()
    };
    let rule = |from: &str| {
        format!(
            "GroupId={group}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort={0}&IpPermissions.1.ToPort={0}&IpPermissions.1.IpRanges.1.CidrIp={from}%2F32",
            lab.ssh_port()
        )
    };
    let mine = rule("203.0.113.10");
    let (status, xml) = post(&lab, &format!("Action=AuthorizeSecurityGroupIngress&DryRun=true&{mine}")).await;
    assert_eq!((status, element(&xml, "<Errors>", "Code")), (412, "DryRunOperation"));
    let (status, _) = post(&lab, &format!("Action=AuthorizeSecurityGroupIngress&{}", rule("203.0.113.99"))).await;
    assert_eq!(status, 200);
    assert_eq!(knock(&lab, &host).await, Try::TimedOut, "neither a dry run nor another's rule opens the port");
    let (status, xml) = post(&lab, &format!("Action=AuthorizeSecurityGroupIngress&{mine}")).await;
    assert_eq!(status, 200, "{xml}");
    let id = element(&xml, "<securityGroupRuleSet>", "securityGroupRuleId").to_owned();
    assert!(answers_soon(&lab, &host).await);
    let (status, xml) = post(&lab, &format!("Action=AuthorizeSecurityGroupIngress&{mine}")).await;
    assert_eq!((status, element(&xml, "<Errors>", "Code")), (400, "InvalidPermission.Duplicate"));
    let form = format!("Action=RevokeSecurityGroupIngress&GroupId={group}&SecurityGroupRuleId.1={id}");
    assert_eq!(post(&lab, &form).await.0, 200);
    let mut closed = false;
    for _ in 0..10 {
        closed = knock(&lab, &host).await == Try::TimedOut;
        if closed {
            break;
        }
    }
    assert!(closed);
    lab.stop().await;
}

#[tokio::test]
async fn faults_look_as_they_should() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    let wanted = [
        ("web-refused", Try::Refused),
        ("web-silent", Try::Silent),
        ("web-http", Try::Said("HTTP/1.1 400 Bad Request".to_owned())),
        ("web-reset", Try::Said(String::new())),
        ("web-nacl", Try::TimedOut),
        ("web-ephemeral", Try::TimedOut),
        ("web-noroute", Try::TimedOut),
        ("web-noigw", Try::TimedOut),
        ("web-moved", Try::TimedOut),
        ("web-denied", Try::TimedOut),
        ("web-windows", Try::TimedOut),
        ("web-perms", opensshd()),
    ];
    let mut tries = tokio::task::JoinSet::new();
    for (name, wanted) in wanted {
        let place = format!("{}:{}", address(&lab, name).await, lab.ssh_port());
        tries.spawn(async move { (name, wanted, knock_at(place).await) });
    }
    while let Some(done) = tries.join_next().await {
        let (name, wanted, heard) = done.unwrap();
        let heard = match heard {
            Try::Said(text) => Try::Said(text.lines().next().unwrap_or_default().to_owned()),
            other => other,
        };
        assert_eq!(heard, wanted, "{name}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn network_repairs_open_the_way() {
    let ssh = |lab: &Lab| lab.ssh_port();
    let lab_ = lab("web-nacl").await;
    let (_, xml) = post(&lab_, "Action=DescribeNetworkAcls&Filter.1.Name=default&Filter.1.Value.1=false").await;
    let form = format!(
        "Action=CreateNetworkAclEntry&NetworkAclId={}&RuleNumber=40&Egress=false&Protocol=6&RuleAction=allow&CidrBlock=203.0.113.10%2F32&PortRange.From={1}&PortRange.To={1}",
        element(&xml, "<networkAclSet>", "networkAclId"),
        ssh(&lab_)
    );
    assert_eq!(post(&lab_, &form).await.0, 200);
    assert!(answers_soon(&lab_, &address(&lab_, "web-nacl").await).await);
    lab_.stop().await;

    let lab_ = lab("web-noigw").await;
    let (_, xml) = post(&lab_, "Action=DescribeInternetGateways").await;
    let free = xml.split("<item>").find(|item| item.contains("<attachmentSet></attachmentSet>")).unwrap();
    let vpc = element(&describe(&lab_, "web-noigw").await, "<instanceId>", "vpcId").to_owned();
    let gateway = element(free, "<", "internetGatewayId");
    let (_, xml) =
        post(&lab_, &format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}")).await;
    assert!(xml.contains("<state>blackhole</state>"));
    let form = format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}");
    assert_eq!(post(&lab_, &form).await.0, 200);
    assert!(answers_soon(&lab_, &address(&lab_, "web-noigw").await).await);
    lab_.stop().await;

    let lab_ = lab("web-nopublicip").await;
    let xml = describe(&lab_, "web-nopublicip").await;
    assert!(!xml.contains("<ipAddress>"));
    assert_eq!(knock(&lab_, element(&xml, "<instanceId>", "privateIpAddress")).await, Try::TimedOut);
    let (_, new) = post(&lab_, "Action=AllocateAddress&Domain=vpc").await;
    let form = format!(
        "Action=AssociateAddress&AllocationId={}&InstanceId={}",
        element(&new, "<publicIp>", "allocationId"),
        element(&xml, "<instancesSet>", "instanceId")
    );
    assert_eq!(post(&lab_, &form).await.0, 200);
    assert!(answers_soon(&lab_, element(&new, "<requestId>", "publicIp")).await);
    lab_.stop().await;
}

#[tokio::test]
async fn a_stopped_instance_starts_with_a_visible_delay() {
    let lab = lab("web-stopped").await;
    let xml = describe(&lab, "web-stopped").await;
    let (id, host) =
        (element(&xml, "<instancesSet>", "instanceId"), element(&xml, "<instancesSet>", "ipAddress").to_owned());
    assert!(xml.contains("<name>stopped</name>"));
    assert_eq!(knock(&lab, &host).await, Try::TimedOut);
    let (_, answer) = post(&lab, &format!("Action=StartInstances&InstanceId.1={id}")).await;
    assert_eq!(element(&answer, "<currentState>", "name"), "pending");
    assert!(answers_soon(&lab, &host).await);
    assert!(describe(&lab, "web-stopped").await.contains("<name>running</name>"));
    lab.stop().await;
}

#[tokio::test]
async fn pages_errors_and_denials() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    let count = |xml: &str| xml.matches("<reservationId>").count();
    let (_, whole) = post(&lab, "Action=DescribeInstances").await;
    // Some lessons bring a neighbour along.
    assert!(count(&whole) >= scenario_list().unwrap().len());
    let (mut seen, mut token) = (0, String::new());
    for _ in 0..whole.len() {
        let (_, page) = post(&lab, &format!("Action=DescribeInstances&MaxResults=50{token}")).await;
        assert!((1..=20).contains(&count(&page)));
        seen += count(&page);
        if !page.contains("<nextToken>") {
            break;
        }
        token = format!("&NextToken={}", element(&page, "<nextToken>", "nextToken"));
    }
    assert_eq!(seen, count(&whole));
    for (form, status, code) in [
        ("Action=DescribeInstances&InstanceId.1=i-0123456789abcdef0", 400, "InvalidInstanceID.NotFound"),
        ("Action=DescribeInstances&InstanceId.1=web", 400, "InvalidInstanceID.Malformed"),
        ("Action=DescribeInstances&Filter.1.Name=colour&Filter.1.Value.1=red", 400, "InvalidParameterValue"),
        ("Action=TerminateEverything", 400, "InvalidAction"),
        ("Action=DescribeKeyPairs&KeyName.1=none", 400, "InvalidKeyPair.NotFound"),
    ] {
        let (got, xml) = post(&lab, form).await;
        assert_eq!((got, element(&xml, "<Errors>", "Code")), (status, code), "{form}");
    }
    let group = element(&describe(&lab, "web-denied").await, "<groupSet><item>", "groupId").to_owned();
    let (status, xml) = post(&lab, &format!("Action=DescribeSecurityGroups&GroupId.1={group}")).await;
    assert_eq!((status, element(&xml, "<Errors>", "Code")), (403, "UnauthorizedOperation"));
    let (status, xml) = post(&lab, "Action=DescribeSecurityGroups").await;
    assert!(status == 200 && !xml.contains(&group));
    let headers = "X-Amz-Target: AmazonSSM.DescribeInstanceInformation\r\nContent-Type: application/x-amz-json-1.1\r\n";
    let (status, json) = send(&lab, headers, "{}").await;
    assert!(status == 200 && json.contains("\"PingStatus\":\"Online\""), "{json}");
    lab.stop().await;
}

#[tokio::test]
async fn the_same_seed_gives_the_same_account() {
    let start = |seed| Lab::start(LabOptions { seed, scenario: Some("web-user".to_owned()), ..LabOptions::default() });
    let (first, second, other) = (start(7).await.unwrap(), start(7).await.unwrap(), start(8).await.unwrap());
    let key = |lab: &Lab| std::fs::read(lab.home().join("keys/practice.pem")).unwrap();
    let ids = |lab: &Lab| lab.scenarios().into_iter().map(|info| info.instance_id).collect::<Vec<_>>();
    assert_eq!((key(&first), ids(&first)), (key(&second), ids(&second)));
    assert_ne!(key(&first), key(&other));
    assert_ne!(ids(&first), ids(&other));
    assert_eq!(ids(&first)[1], element(&describe(&first, "web-user").await, "<instancesSet>", "instanceId"));
    assert_ne!(address(&first, "web-user").await, address(&second, "web-user").await, "labs keep apart");
    let home = first.home().to_owned();
    first.stop().await;
    assert!(!home.exists());
}

#[tokio::test]
async fn an_unknown_scenario_is_one_sentence() {
    let options = LabOptions { scenario: Some("web-none".to_owned()), ..LabOptions::default() };
    assert!(Lab::start(options).await.err().unwrap().contains("web-none"));
}

struct Client;

impl russh::client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &russh::keys::PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn login(lab: &Lab, name: &str, user: &str, file: &str) -> bool {
    let place = (address(lab, name).await, lab.ssh_port());
    let text = std::fs::read_to_string(lab.home().join("keys").join(file)).unwrap();
    let key = Arc::new(russh::keys::decode_secret_key(&text, None).unwrap());
    let config = Arc::new(russh::client::Config::default());
    let mut session = russh::client::connect(config, place, Client).await.unwrap();
    let hash = session.best_supported_rsa_hash().await.unwrap().flatten();
    let key = russh::keys::PrivateKeyWithHashAlg::new(key, hash);
    session.authenticate_publickey(user, key).await.unwrap().success()
}

#[tokio::test]
async fn sshd_judges_as_openssh_does() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    for (host, user, file, wanted) in [
        ("web-healthy", "ec2-user", "practice.pem", true),
        ("web-healthy", "root", "practice.pem", true),
        ("web-healthy", "nobody", "practice.pem", false),
        ("web-user", "ec2-user", "practice.pem", false),
        ("web-user", "ubuntu", "practice.pem", true),
        ("web-key", "ec2-user", "practice.pem", false),
        ("web-key", "ec2-user", "backup-2024.pem", true),
        ("web-ppk", "ec2-user", "web-ppk.ppk", true),
        ("web-nokeypair", "ec2-user", "practice.pem", false),
        ("web-keyabsent", "ec2-user", "practice.pem", false),
        ("web-allowusers", "ec2-user", "practice.pem", false),
        ("web-perms", "ec2-user", "practice.pem", false),
        ("web-sshdir", "ec2-user", "practice.pem", false),
        ("web-authkeys", "admin", "practice.pem", false),
        ("web-healthy", "ec2-user", "legacy.pem", false),
    ] {
        assert_eq!(login(&lab, host, user, file).await, wanted, "{user}@{host} with {file}");
    }
    lab.stop().await;
}

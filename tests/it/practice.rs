//! Practice as a whole: the same account from the same seed, boto3 and the real ssh against a served account, a repair by
//! hand that is seen, and what was solved, kept over runs.

use crate::lab_cli::{Serving, serve};
use crate::program::Home;
use serde_json::Value;
use std::process::Command;

/// Python with boto3; `tests/run` installs it.
fn python() -> String {
    let bin = std::env::var("PORT22_TEST_MOTO").ok();
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/target/moto-venv/bin").to_owned();
    format!("{}/python", bin.unwrap_or(default))
}

/// Runs lines of Python with an EC2 client as `ec2`; what they print, as JSON.
fn boto3(lab: &Serving, lines: &str) -> Value {
    let head = "import boto3, json\nec2 = boto3.client('ec2')\nssm = boto3.client('ssm')\n";
    let run = lab.home.run_other(&python(), &["-c", &format!("{head}{lines}")]);
    assert_eq!(run.exit, 0, "{run:#?}");
    serde_json::from_str(run.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {run:#?}"))
}

/// The real ssh with the account's configuration; its exit status and words.
fn ssh(lab: &Serving, host: &str) -> (i32, String) {
    let words =
        ["-F", &lab.config, "-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "-l", "ec2-user", host, "id", "-un"];
    let run = lab.home.run_other("ssh", &words);
    (run.exit, run.stdout + &run.stderr)
}

const WHOLE: &str = "
def plain(answer):
    answer.pop('ResponseMetadata')
    return json.loads(json.dumps(answer, default=str))
print(json.dumps({
    'instances': plain(ec2.describe_instances()),
    'groups': plain(ec2.describe_security_groups()),
    'keys': plain(ec2.describe_key_pairs()),
    'console': [plain(ec2.get_console_output(InstanceId=i['InstanceId']))
                for r in ec2.describe_instances()['Reservations'] for i in r['Instances']],
}))
";

#[test]
fn the_same_seed_gives_the_same_account_and_another_seed_another() {
    // One after the other: two accounts at the same time keep apart by their addresses.
    let account = |seed: &str| {
        let lab = serve(&["--seed", seed, "--scenario", "web-user"]);
        let key = std::fs::read_to_string(lab.key_file("practice.pem")).expect("a key");
        let place = std::path::Path::new(&lab.config).parent().expect("a directory").to_owned();
        let known = std::fs::read_to_string(place.join("known_hosts")).expect("known_hosts");
        // The console's host key is listed by the port of the endpoint, which is any free one.
        let known: String = known.lines().filter(|line| !line.starts_with("[127.0.0.1]")).collect();
        (boto3(&lab, WHOLE), key, known)
    };
    let (first, second, other) = (account("4711"), account("4711"), account("4712"));
    assert_eq!(first.0, second.0);
    assert_eq!((&first.1, &first.2), (&second.1, &second.2));
    assert!(first.0 != other.0 && first.1 != other.1 && first.2 != other.2);
    let id = |all: &Value| all["instances"]["Reservations"][0]["Instances"][0]["InstanceId"].to_string();
    assert_ne!(id(&first.0), id(&other.0));
}

#[test]
fn a_repair_by_boto3_is_seen_by_ssh_and_by_the_check_and_is_kept() {
    let lab = serve(&["--scenario", "web-timeout", "--transition", "100"]);
    let begun = std::time::Instant::now();
    let (status, words) = ssh(&lab, "web-timeout");
    assert!(status == 255 && words.contains("timed out"), "{status} {words}");
    assert!(begun.elapsed().as_secs() >= 3, "a time-out is a real one");
    assert_eq!(ssh(&lab, "web-healthy"), (0, "ec2-user\n".to_owned()));
    let before = lab.home.run(&["lab", "check", "-l", "ec2-user", "--json"]).exits(1).json();
    assert_eq!((&before["scenario"], &before["solved"]), (&"web-timeout".into(), &false.into()), "{before}");
    assert_eq!((&before["login"]["works"], &before["goal"]), (&false.into(), &"login".into()), "{before}");
    assert!(before["causes_left"].to_string().contains("sg-no-rule"), "{before}");
    assert_eq!(before["best"], Value::Null);
    lab.home.run(&["lab", "check", "-l", "ec2-user", "--cause", "nonsense"]).exits(2).one_sentence();
    let told = lab.home.run(&["lab", "check", "-l", "ec2-user", "--cause", "nacl-inbound-deny"]).exits(1).stdout;
    assert!(told.contains("that is not the cause"), "{told}");

    let allow = |block: &str| {
        let lines = format!(
            "
i = ec2.describe_instances(Filters=[{{'Name': 'tag:Name', 'Values': ['web-timeout']}}])['Reservations'][0]['Instances'][0]
ec2.authorize_security_group_ingress(GroupId=i['SecurityGroups'][0]['GroupId'], IpPermissions=[
    {{'IpProtocol': 'tcp', 'FromPort': int(PORT), 'ToPort': int(PORT), 'IpRanges': [{{'CidrIp': '{block}'}}]}}])
print('null')"
        );
        // Where port 22 cannot be bound, the hosts listen on 2222.
        let port = if std::fs::read_to_string(&lab.config).expect("the configuration").contains("Port 2222") {
            2222
        } else {
            22
        };
        boto3(&lab, &lines.replace("PORT", &port.to_string()));
    };
    allow(&format!("{}/32", lab.source));
    assert_eq!(ssh(&lab, "web-timeout"), (0, "ec2-user\n".to_owned()));
    let after = lab.home.run(&["lab", "check", "-l", "ec2-user", "web-timeout", "--json"]).exits(0).json();
    assert_eq!((&after["solved"], &after["login"]["by"]), (&true.into(), &"ssh".into()), "{after}");
    assert_eq!((&after["score"]["points"], &after["score"]["safest"]), (&100.into(), &true.into()), "{after}");
    assert_eq!(after["calls"][0]["action"], "ec2:AuthorizeSecurityGroupIngress", "{after}");
    // The same run of the account counts once.
    let again = lab.home.run(&["lab", "check", "-l", "ec2-user", "--json"]).exits(0).json();
    assert_eq!((&again["best"]["times"], &again["best"]["points"]), (&1.into(), &100.into()), "{again}");
    // What is open to everybody is no safe repair.
    allow("0.0.0.0/0");
    let open = lab.home.run(&["lab", "check", "-l", "ec2-user"]).exits(0).stdout;
    assert!(open.contains("let the whole world in") && open.contains("more risk than needed"), "{open}");

    let list = lab.home.run(&["lab", "list"]).exits(0).stdout;
    let line = list.lines().find(|line| line.contains("web-timeout")).expect("the lesson");
    assert!(line.contains("✓ 100"), "{line}");
    let all = lab.home.run(&["lab", "list", "--json"]).exits(0).json();
    let one = all["scenarios"].as_array().expect("scenarios").iter().find(|s| s["id"] == "web-timeout").expect("it");
    assert_eq!((&one["progress"]["points"], &one["goal"]), (&100.into(), &"login".into()), "{one}");
    let progress = lab.home.run(&["lab", "progress", "--json"]).exits(0).json();
    assert_eq!((&progress["solved"], &progress["points"]), (&1.into(), &100.into()), "{progress}");
    lab.home.run(&["lab", "progress", "--reset"]).exits(0);
    assert_eq!(lab.home.run(&["lab", "progress", "--json"]).exits(0).json()["solved"], 0);
}

#[test]
fn a_key_file_mended_by_chmod_is_seen_too() {
    let lab = serve(&["--scenario", "web-keymode"]);
    lab.home.run(&["lab", "check", "-l", "ec2-user"]).exits(1);
    let config = std::fs::read_to_string(&lab.config).expect("the configuration");
    let block = config.split("\nHost ").find(|block| block.contains(" web-keymode ")).expect("its block");
    let key = block.split("IdentityFile \"").nth(1).and_then(|rest| rest.split('"').next()).expect("its key");
    assert!(Command::new("chmod").args(["600", key]).status().is_ok_and(|status| status.success()));
    let told = lab.home.run(&["lab", "check", "-l", "ec2-user"]).exits(0).stdout;
    assert!(told.contains("the login works (ssh)") && told.contains("100 of 100"), "{told}");
}

#[test]
fn what_no_plan_mends_is_solved_by_naming_its_cause_and_nothing_else() {
    let home = Home::new();
    // No account is needed for it.
    let told = home.run(&["lab", "check", "-l", "ec2-user", "web-terminated", "--cause", "sg-no-rule"]).exits(2);
    told.fails_with("no endpoint");
    let right = home.run(&["lab", "list", "--json"]).exits(0).json();
    let one =
        right["scenarios"].as_array().expect("all").iter().find(|s| s["id"] == "web-terminated").expect("it").clone();
    assert_eq!(one["goal"], "named");
    let cause = one["cause"].as_str().expect("a cause");
    let done =
        home.run(&["lab", "check", "-l", "ec2-user", "web-terminated", "--cause", cause, "--json"]).exits(0).json();
    assert_eq!((&done["solved"], &done["cause"]["right"]), (&true.into(), &true.into()), "{done}");
    home.run(&["lab", "check", "-l", "ec2-user", "web-nonsense"]).exits(2).one_sentence();
    home.run(&["lab", "check", "-l", "ec2-user"]).exits(2).one_sentence();
    home.run(&["lab", "check", "-l", "ec2-user", "web-timeout", "--endpoint", "https://ec2.us-east-1.amazonaws.com"])
        .exits(2)
        .one_sentence();
    // A host on which nothing is wrong could be logged in to from the beginning: that solves nothing.
    let lab = serve(&["--scenario", "web-healthy"]);
    lab.home.run(&["lab", "check", "-l", "ec2-user"]).exits(1);
    lab.home.run(&["lab", "check", "-l", "ec2-user", "--cause", "none"]).exits(0);
}

#[test]
fn transitions_take_the_time_that_is_asked_for() {
    let lab = serve(&["--scenario", "web-stopped", "--transition", "1500"]);
    let lines = "
import time
i = ec2.describe_instances(Filters=[{'Name': 'tag:Name', 'Values': ['web-stopped']}])['Reservations'][0]['Instances'][0]['InstanceId']
state = lambda: ec2.describe_instances(InstanceIds=[i])['Reservations'][0]['Instances'][0]['State']['Name']
seen = [state()]
ec2.start_instances(InstanceIds=[i])
begun = time.monotonic()
while time.monotonic() - begun < 30:
    now = state()
    if now != seen[-1]: seen.append(now)
    if now == 'running': break
    time.sleep(0.05)
print(json.dumps({'seen': seen, 'seconds': time.monotonic() - begun}))";
    let told = boto3(&lab, lines);
    assert_eq!(told["seen"], serde_json::json!(["stopped", "pending", "running"]));
    assert!((1.3..15.0).contains(&told["seconds"].as_f64().expect("a number")), "{told}");
}

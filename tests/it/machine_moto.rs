//! What AWS tells of the machine and its role, over real HTTP from moto: metrics, credits, policies; and records.

use crate::host::{Place, address, closed};
use crate::moto::{Moto, REGION, Spec, World};
use crate::program::{Home, Report};
use serde_json::{Value, json};
use std::net::TcpListener;

/// A port that takes connections and never says a word.
fn mute() -> (Place, TcpListener) {
    let ip = address();
    let listener = TcpListener::bind((ip, 0)).expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    (Place { ip, port }, listener)
}

fn call(moto: &Moto, service: &str, operation: &str, arguments: &Value) -> Value {
    moto.ask(&json!({"do": "call", "service": service, "operation": operation, "arguments": arguments}))
}

/// Puts values of the last half hour, oldest first, as EC2 itself would.
fn measured(moto: &Moto, world: &World, metric: &str, values: &[f64]) {
    let data: Vec<Value> = values
        .iter()
        .enumerate()
        .map(|(nth, value)| {
            let back = (values.len() - nth) * 300;
            json!({"MetricName": metric, "Value": value, "minutes_ago": back / 60,
                   "Dimensions": [{"Name": "InstanceId", "Value": world.instance}]})
        })
        .collect();
    moto.ask(&json!({"do": "metrics", "namespace": "AWS/EC2", "data": data}));
}

#[test]
fn a_burstable_machine_without_credits_that_greets_nobody() {
    let moto = Moto::shared();
    let (place, _kept) = mute();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("credits", place).key(&key));
    measured(moto, &world, "CPUCreditBalance", &[3.0, 0.4, 0.0, 0.0]);
    measured(moto, &world, "CPUUtilization", &[38.0, 12.0, 10.1, 10.0]);
    let report = home.diagnose(&world.instance, &world, &key);
    assert!(report.first().starts_with("cpu-credits-exhausted"), "{:?}\n{}", report.causes(), report.brief());
    assert_eq!(report.check("cpu-credits").0, "fail", "{}", report.brief());
}

#[test]
fn a_busy_machine_with_credits_left_is_no_credit_trouble() {
    let moto = Moto::shared();
    let (place, _kept) = mute();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("busy", place).key(&key));
    measured(moto, &world, "CPUCreditBalance", &[500.0, 499.0, 498.0]);
    measured(moto, &world, "CPUUtilization", &[99.0, 100.0, 99.7]);
    let report = home.diagnose(&world.instance, &world, &key);
    assert!(report.first().starts_with("cpu-or-memory-overload"), "{:?}\n{}", report.causes(), report.brief());
    assert!(!report.causes().iter().any(|c| c.starts_with("cpu-credits")), "{:?}", report.causes());
}

#[test]
fn a_role_without_the_policy_keeps_session_manager_closed() {
    // moto alone answers nothing for Systems Manager; the double knows that the agent never came.
    let moto = Moto::of("guest.py");
    let home = Home::with(&moto).in_network_of(moto.process());
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("role", closed()).key(&key));
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]});
    let iam = |operation: &str, arguments: Value| call(&moto, "iam", operation, &arguments);
    iam("create_role", json!({"RoleName": "web", "AssumeRolePolicyDocument": trust.to_string()}));
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "*"}]});
    iam("put_role_policy", json!({"RoleName": "web", "PolicyName": "files", "PolicyDocument": policy.to_string()}));
    iam("create_instance_profile", json!({"InstanceProfileName": "web"}));
    iam("add_role_to_instance_profile", json!({"InstanceProfileName": "web", "RoleName": "web"}));
    moto.ec2(
        "associate_iam_instance_profile",
        &json!({"InstanceId": world.instance, "IamInstanceProfile": {"Name": "web"}}),
    );
    let report =
        home.report(&world.instance, &world, &["-i", &key.display().to_string(), "--symptom", "ssm_not_connected"]);
    assert!(report.first().starts_with("ssm-role-lacks-policy"), "{:?}\n{}", report.causes(), report.brief());
    assert_eq!(report.check("ssm-role").0, "fail", "{}", report.brief());
    let door = report.list("doors").iter().find(|d| d["id"] == "ssm").cloned().unwrap_or_default();
    assert_eq!(door["state"], "closed", "{door}");
}

#[test]
fn a_record_is_judged_alike_elsewhere_and_holds_no_key() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("recorded", closed()).faults(&["sg"]).key(&key));
    let record = home.path().join("record.json");
    let file = record.display().to_string();
    let live = home.report(&world.instance, &world, &["-i", &key.display().to_string(), "--record", &file]);
    let text = std::fs::read_to_string(&record).expect("the record");
    let private = std::fs::read_to_string(&key).expect("the key");
    for line in private.lines().filter(|l| l.len() > 20) {
        assert!(!text.contains(line), "the record holds a line of the private key");
    }
    // Offline: no endpoint, no credentials, no key file.
    let elsewhere = Home::new();
    let copy = elsewhere.file("record.json", &text);
    let replayed = Report::read(elsewhere.run(&["diagnose", "--replay", &copy.display().to_string(), "--json"]));
    for field in ["target", "symptom", "verdict", "causes", "path", "tree", "doors"] {
        assert_eq!(replayed.json[field], live.json[field], "{field}");
    }
    let verdicts = |r: &Report| -> Vec<(String, String)> {
        r.list("checks").iter().map(|c| (c["id"].to_string(), c["verdict"].to_string())).collect()
    };
    assert_eq!(verdicts(&replayed), verdicts(&live));
    assert_eq!(live.json["target"]["region"], REGION);
}

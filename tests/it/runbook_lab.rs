//! AWS's own runbook against the practice account: looked at, applied, failed, killed and found again, stopped.

use crate::kills_lab::id_of;
use crate::kills_lab::{Moment, entry, kill_after, says_how};
use crate::lab_cli::{Serving, serve};
use crate::rescue_lab::ask;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const FIX: &str = "troubleshoot-ssh-runbook";
const REPAIR: &[&str] = &["--choose", "action=fix", "--yes", "--json", "--timeout", "6"];

/// Asks Systems Manager itself, as another program would.
fn tell(lab: &Serving, action: &str, request: &Value) -> Value {
    let endpoint = lab.home.value("AWS_ENDPOINT_URL").expect("an endpoint");
    let place = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let form = request.to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {place}\r\nX-Amz-Target: AmazonSSM.{action}\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        form.len()
    );
    let mut stream = TcpStream::connect(place).expect("the account");
    stream.write_all((head + &form).as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The runs of the account: document, status and id, the latest first.
fn runs(lab: &Serving) -> Vec<(String, String, String)> {
    let all = tell(lab, "DescribeAutomationExecutions", &json!({}));
    let text = |run: &Value, name: &str| run[name].as_str().unwrap_or_default().to_owned();
    let all = all["AutomationExecutionMetadataList"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|run| {
            (text(run, "DocumentName"), text(run, "AutomationExecutionStatus"), text(run, "AutomationExecutionId"))
        })
        .collect()
}

fn statuses(lab: &Serving) -> Vec<String> {
    runs(lab).into_iter().map(|(_, status, _)| status).collect()
}

fn causes(lab: &Serving, name: &str) -> Vec<String> {
    lab.diagnose_with(name, &["--timeout", "6"]).causes()
}

/// Waits until the account is so.
#[track_caller]
fn wait(what: &str, mut good: impl FnMut() -> bool) {
    let began = Instant::now();
    while !good() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what} never came");
        std::thread::sleep(Duration::from_millis(30));
    }
}

#[test]
fn a_run_that_only_looks_changes_nothing() {
    let lab = serve(&["--scenario", "web-perms", "--transition", "100"]);
    let before = causes(&lab, "web-perms");
    let plan = lab.fix(FIX, "web-perms", &["--dry-run", "--json"]).exits(0).json();
    crate::contract::check_plan(&plan);
    assert_eq!(statuses(&lab), Vec::<String>::new(), "a preview starts nothing");
    let done = lab.fix(FIX, "web-perms", &["--yes", "--json", "--timeout", "6"]).exits(0).json();
    let said = done["steps"][1]["result"].as_str().unwrap_or_default();
    assert!(
        said.contains("[FAILURE] Improper configuration") && said.contains("sudo chmod 755 /home/ec2-user"),
        "{done:#}"
    );
    assert_eq!((statuses(&lab), causes(&lab, "web-perms")), (vec!["Success".to_owned()], before));
    assert!(entry(&lab)["back"].is_null(), "{}", entry(&lab));
    let text = lab.fix(FIX, "web-perms", &["--yes", "--timeout", "6"]).exits(0).stdout;
    assert!(text.contains("[FAILURE]") && !text.contains("port22 undo"), "{text}");
}

#[test]
fn a_run_repairs_the_login_and_is_not_taken_back() {
    let lab = serve(&["--scenario", "web-perms", "--transition", "100"]);
    let done = lab.fix(FIX, "web-perms", REPAIR).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done:#}");
    assert!(done["steps"][1]["result"].as_str().is_some_and(|t| t.contains("FIXED")), "{done:#}");
    let refused = lab.home.run(&["undo", "--yes"]).exits(4);
    for words in ["troubleshootSSH has run", "/var/tmp/ec2rl", "get-automation-execution", &runs(&lab)[0].2] {
        assert!(refused.stderr.contains(words), "{words}: {refused:#?}");
    }
    assert_eq!(lab.diagnose("web-perms").exit, 0);
    // Host keys are made; but nothing starts sshd, and that is not called a success.
    let lab = serve(&["--scenario", "web-hostkeys", "--transition", "100"]);
    let run = lab.fix(FIX, "web-hostkeys", REPAIR).exits(1).json();
    assert_eq!((&run["applied"], &run["verified"]), (&true.into(), &false.into()), "{run:#}");
    assert!(run["steps"][1]["result"].as_str().is_some_and(|t| t.contains("FIXED Missing hostkey files")), "{run:#}");
}

#[test]
fn what_may_not_be_started_or_fails_is_said() {
    let lab = serve(&["--scenario", "web-ssmdenied", "--transition", "100"]);
    let denied = lab.fix(FIX, "web-ssmdenied", REPAIR).exits(1);
    assert!(
        denied.stderr.contains("ssm:StartAutomationExecution") && denied.stderr.contains("nothing was changed"),
        "{denied:#?}"
    );
    assert!(entry(&lab)["back"].is_null(), "{}", entry(&lab));

    // EC2Rescue has no package for Debian.
    let lab = serve(&["--scenario", "web-authkeys", "--transition", "100"]);
    let failed = lab.fix(FIX, "web-authkeys", REPAIR).exits(1);
    assert!(failed.stderr.contains("Failed at step installEC2Rescue"), "{failed:#?}");
    says_how(&entry(&lab), "a run that failed");
    lab.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(statuses(&lab), ["Failed"]);

    // Somebody stops it.
    let lab = serve(&["--scenario", "web-perms", "--transition", "1500"]);
    let words = lab.fix_arguments(FIX, "web-perms", REPAIR);
    let mut child = lab.home.start(&words);
    wait("a run", || !runs(&lab).is_empty());
    tell(&lab, "StopAutomationExecution", &json!({ "AutomationExecutionId": runs(&lab)[0].2, "Type": "Cancel" }));
    assert_eq!(child.wait().expect("its end").code(), Some(1));
    assert!(entry(&lab)["text"].as_str().is_some_and(|t| t.contains("Cancelled at step")), "{}", entry(&lab));
    says_how(&entry(&lab), "a run that was stopped");
}

#[test]
fn a_run_is_found_again_after_a_kill_and_not_started_twice() {
    let lab = serve(&["--scenario", "web-perms", "--transition", "4000"]);
    let before = causes(&lab, "web-perms");
    let words = lab.fix_arguments(FIX, "web-perms", REPAIR);
    let begun = |count: usize| {
        let lab = &lab;
        move || runs(lab).len() > count
    };
    // begun; step 1 begun and done; step 2 begun and done.
    let mut earlier = 0;
    for (lines, moment) in
        [(1, Moment::AtOnce), (2, Moment::AtOnce), (2, Moment::DeedDone), (3, Moment::AtOnce), (4, Moment::AtOnce)]
    {
        let what = format!("killed after {lines} lines, {moment:?}");
        assert!(kill_after(&lab, &words, lines, moment, &begun(earlier)) >= lines, "{what}");
        says_how(&entry(&lab), &what);
        if !entry(&lab)["back"].is_null() {
            lab.home.run(&["undo", "--yes"]).exits(0);
            assert_eq!(entry(&lab)["state"], "undone", "{what}");
        }
        assert!(runs(&lab).len() <= earlier + 1, "{what}: {:?}", runs(&lab));
        earlier = runs(&lab).len();
        assert!(statuses(&lab).iter().all(|status| status == "Cancelled"), "{what}: {:?}", runs(&lab));
        assert_eq!(causes(&lab, "web-perms"), before, "{what}, taken back");
    }
    for (lines, moment) in [(2, Moment::AtOnce), (2, Moment::DeedDone), (3, Moment::AtOnce), (4, Moment::AtOnce)] {
        let what = format!("killed after {lines} lines, {moment:?}");
        let lab = serve(&["--scenario", "web-perms", "--transition", "400"]);
        let words = lab.fix_arguments(FIX, "web-perms", REPAIR);
        assert!(kill_after(&lab, &words, lines, moment, &|| !runs(&lab).is_empty()) >= lines, "{what}");
        let resumed = lab.home.run(&["resume", "--yes", "--json", "--timeout", "6"]).exits(0).json();
        assert_eq!(
            (&resumed["verified"], &resumed["login_works"]),
            (&true.into(), &true.into()),
            "{what}: {resumed:#}"
        );
        assert_eq!(statuses(&lab), ["Success"], "{what}");
    }
}

/// Takes the role from the instance, so that it has no agent.
fn without_agent(lab: &Serving, id: &str) {
    let told = ask(lab, "DescribeIamInstanceProfileAssociations", &[]);
    let mine = told.split("<item>").find(|item| item.contains(id)).unwrap_or_default();
    let association = mine.split_once("<associationId>").and_then(|(_, rest)| rest.split_once('<')).map(|(id, _)| id);
    ask(lab, "DisassociateIamInstanceProfile", &[("AssociationId", association.expect("an association"))]);
}

#[test]
fn without_an_agent_it_stops_the_instance_only_where_that_is_agreed_to() {
    let lab = serve(&["--scenario", "web-perms", "--transition", "150"]);
    without_agent(&lab, &id_of(&lab, "web-perms"));
    lab.fix(FIX, "web-perms", REPAIR).exits(4).fails_with("agent is not online");
    assert_eq!(statuses(&lab), Vec::<String>::new());
    let offline = [REPAIR, &["--choose", "offline=yes"]].concat();
    let words = lab.fix_arguments(FIX, "web-perms", &offline);
    // In the middle it has the root volume: an undo waits for its end.
    let inner = || runs(&lab).iter().any(|(document, ..)| document == "AWSSupport-ExecuteEC2Rescue");
    assert!(kill_after(&lab, &words, 4, Moment::DeedDone, &inner) >= 4);
    let refused = lab.home.run(&["undo", "--yes"]).exits(4);
    assert!(refused.stderr.contains("root volume") && refused.stderr.contains("port22 resume"), "{refused:#?}");
    let done = lab.home.run(&["resume", "--yes", "--json", "--timeout", "6"]).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done:#}");
    assert_eq!(statuses(&lab), ["Success", "Success"]);
    let snapshots = ask(&lab, "DescribeSnapshots", &[]);
    assert_eq!(snapshots.matches("<snapshotId>").count(), 1, "the backup is left behind: {snapshots}");
}

#[test]
fn a_run_that_breaks_off_with_the_volume_in_its_hands_says_so() {
    let lab = serve(&["--scenario", "web-perms", "--transition", "150"]);
    let id = id_of(&lab, "web-perms");
    without_agent(&lab, &id);
    let offline = [REPAIR, &["--choose", "offline=yes"]].concat();
    let mut child = lab.home.start(&lab.fix_arguments(FIX, "web-perms", &offline));
    wait("the volume taken off", || {
        ask(&lab, "DescribeInstances", &[("InstanceId.1", &id)]).matches("<volumeId>").count() == 0
    });
    let outer = runs(&lab).into_iter().find(|(document, ..)| document == "AWSSupport-TroubleshootSSH").expect("a run");
    tell(&lab, "StopAutomationExecution", &json!({ "AutomationExecutionId": outer.2, "Type": "Cancel" }));
    assert_eq!(child.wait().expect("its end").code(), Some(1));
    let told = entry(&lab);
    assert!(told["text"].as_str().is_some_and(|t| t.contains("Cancelled at step troubleshootSSHOffline")), "{told}");
    let report = lab.diagnose_with("web-perms", &["--timeout", "6"]);
    assert!(report.causes().iter().any(|c| c.starts_with("root-volume-detached")), "{}", report.brief());
    // Its way out is the repair that puts the volume back.
    lab.fix("root-volume-rescue", "web-perms", &["--yes", "--timeout", "6"]).exits(0);
}

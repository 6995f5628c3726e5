//! Start, reboot, stop and start on moto: gates, what must be out of the way, and cuts in the middle.

use crate::moto::Moto;
use crate::net_moto::{Stage, stage};
use serde_json::{Value, json};

fn state(stage: &Stage) -> String {
    stage.look()["instances"][0]["Instances"][0]["State"]["Name"].as_str().expect("a state").to_owned()
}

/// Asks Auto Scaling itself.
pub fn ask_scaling(moto: &Moto, operation: &str, arguments: &Value) -> Value {
    moto.ask(&json!({"do": "call", "service": "autoscaling", "operation": operation, "arguments": arguments}))
}

/// Puts an instance into an Auto Scaling group that must not go below `min`.
pub fn join_group(moto: &Moto, instance: &str, name: &str, min: u32) {
    let seen = moto.ec2("describe_instances", &json!({"InstanceIds": [instance]}));
    let seen = &seen["Reservations"][0]["Instances"][0];
    let launch = json!({"LaunchConfigurationName": name, "ImageId": seen["ImageId"], "InstanceType": "t3.micro"});
    ask_scaling(moto, "create_launch_configuration", &launch);
    let group = json!({"AutoScalingGroupName": name, "LaunchConfigurationName": name, "MinSize": 0, "MaxSize": 3,
        "DesiredCapacity": 0, "VPCZoneIdentifier": seen["SubnetId"]});
    ask_scaling(moto, "create_auto_scaling_group", &group);
    ask_scaling(moto, "attach_instances", &json!({"InstanceIds": [instance], "AutoScalingGroupName": name}));
    ask_scaling(moto, "update_auto_scaling_group", &json!({"AutoScalingGroupName": name, "MinSize": min}));
}

/// State of a member in its group.
pub fn lifecycle_of(moto: &Moto, instance: &str) -> String {
    let answer = ask_scaling(moto, "describe_auto_scaling_instances", &json!({"InstanceIds": [instance]}));
    answer["AutoScalingInstances"][0]["LifecycleState"].as_str().expect("a state").to_owned()
}

fn scaling(stage: &Stage, operation: &str, arguments: &Value) -> Value {
    ask_scaling(stage.moto, operation, arguments)
}

fn grouped(stage: &Stage, name: &str, min: u32) {
    join_group(stage.moto, &stage.world.instance, name, min);
}

fn lifecycle(stage: &Stage) -> String {
    lifecycle_of(stage.moto, &stage.world.instance)
}

fn suspended(stage: &Stage, name: &str) -> Vec<String> {
    let answer = scaling(stage, "describe_auto_scaling_groups", &json!({"AutoScalingGroupNames": [name]}));
    let all = answer["AutoScalingGroups"][0]["SuspendedProcesses"].as_array().expect("processes").clone();
    let mut names: Vec<String> = all.iter().filter_map(|p| p["ProcessName"].as_str().map(str::to_owned)).collect();
    names.sort();
    names
}

#[test]
fn a_stopped_instance_is_started_and_logged_in_to() {
    let stage = stage("start", &["stopped"]);
    stage.fix("instance-reboot", &["--yes"]).exits(4).fails_with("only a running one");
    stage.fix("instance-stop-start", &["--yes"]).exits(4).fails_with("instance-start");
    let done = stage.fix("instance-start", &["--yes", "--json"]).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    assert_eq!(state(&stage), "running");
    let again = stage.plan("instance-start", &[]);
    assert!(again["steps"].as_array().is_some_and(Vec::is_empty), "{again}");
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(state(&stage), "stopped");
}

#[test]
fn a_start_that_was_cut_short_is_gone_on_with_or_taken_back() {
    let stage = stage("start-cut", &["stopped"]);
    for (started, resume) in [(true, true), (true, false), (false, true), (false, false)] {
        stage.forget_journal();
        stage.fix("instance-start", &["--yes"]).exits(0);
        stage.cut("step_begun", 0);
        if !started {
            stage.moto.ec2("stop_instances", &json!({"InstanceIds": [stage.world.instance]}));
        }
        if resume {
            stage.home.run(&["resume", "--yes", "--address", &stage.world.place.ip.to_string()]).exits(0);
            assert_eq!(state(&stage), "running");
        }
        stage.home.run(&["undo", "--yes"]).exits(0);
        assert_eq!(state(&stage), "stopped", "{started} {resume}");
    }
}

#[test]
fn a_reboot_leaves_nothing_to_take_back() {
    let stage = stage("reboot", &[]);
    let plan = stage.plan("instance-reboot", &[]);
    assert_eq!((&plan["reversible"], &plan["downtime"]), (&false.into(), &true.into()));
    let done = stage.fix("instance-reboot", &["--yes", "--json"]).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    stage.home.run(&["undo", "--yes"]).exits(2);
}

#[test]
fn a_stop_and_start_asks_for_the_id_and_ends_running() {
    let stage = stage("stop-start", &[]);
    stage.fix("instance-stop-start", &[]).exits(5);
    let plan = stage.plan("instance-stop-start", &[]);
    assert_eq!((&plan["risk"], &plan["downtime"]), (&"high".into(), &true.into()));
    let gates = plan["gates"].to_string();
    assert!(gates.contains("Elastic IP address") && gates.contains("capacity"), "{gates}");
    let done = stage.fix("instance-stop-start", &["--yes", "--json"]).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    assert_eq!(state(&stage), "running");
}

#[test]
fn a_stop_and_start_that_was_cut_short_never_stays_stopped() {
    let stage = stage("stop-cut", &[]);
    let stop = || stage.moto.ec2("stop_instances", &json!({"InstanceIds": [stage.world.instance]}));
    for (event, step, stopped) in [
        ("step_begun", 0, false),
        ("step_begun", 0, true),
        ("step_done", 0, true),
        ("step_begun", 1, true),
        ("step_begun", 1, false),
    ] {
        for resume in [true, false] {
            stage.forget_journal();
            stage.fix("instance-stop-start", &["--yes"]).exits(0);
            stage.cut(event, step);
            if stopped {
                stop();
            }
            if resume {
                stage.home.run(&["resume", "--yes", "--address", &stage.world.place.ip.to_string()]).exits(0);
            } else {
                stage.home.run(&["undo", "--yes"]);
            }
            assert_eq!(state(&stage), "running", "{event} {step} {stopped} {resume}");
        }
    }
}

#[test]
fn stop_protection_refuses_and_is_lifted_and_set_again() {
    let stage = stage("protected", &[]);
    let id = stage.world.instance.clone();
    let protected = || {
        let question = json!({"InstanceId": id, "Attribute": "disableApiStop"});
        stage.moto.ec2("describe_instance_attribute", &question)["DisableApiStop"]["Value"].clone()
    };
    stage.moto.ec2("modify_instance_attribute", &json!({"InstanceId": id, "DisableApiStop": {"Value": true}}));
    assert_eq!(protected(), true);
    stage.fix("instance-stop-start", &["--yes"]).exits(4).fails_with("stop protection");
    let lift = ["--choose", "stop-protection=lift", "--yes", "--json"];
    let done = stage.fix("instance-stop-start", &lift).exits(0).json();
    assert_eq!(done["steps"].as_array().map(Vec::len), Some(5), "{done}");
    assert_eq!((protected(), state(&stage)), (true.into(), "running".to_owned()));
    // Cut while it is off and the instance is stopped: an undo brings both back.
    stage.cut("step_done", 1);
    stage.moto.ec2("modify_instance_attribute", &json!({"InstanceId": id, "DisableApiStop": {"Value": false}}));
    stage.moto.ec2("stop_instances", &json!({"InstanceIds": [id]}));
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!((protected(), state(&stage)), (true.into(), "running".to_owned()));
}

#[test]
fn a_member_of_a_group_is_in_standby_meanwhile() {
    let stage = stage("standby", &[]);
    grouped(&stage, "web-standby", 0);
    let plan = stage.plan("instance-stop-start", &[]);
    let texts: Vec<&str> = plan["steps"].as_array().expect("steps").iter().filter_map(|s| s["text"].as_str()).collect();
    assert!(texts[0].contains("standby") && texts[3].contains("serve again"), "{texts:?}");
    let done = stage.fix("instance-stop-start", &["--yes", "--json"]).exits(0).json();
    assert_eq!(done["verified"], true, "{done}");
    assert_eq!((lifecycle(&stage), state(&stage)), ("InService".to_owned(), "running".to_owned()));

    let place = json!({"InstanceIds": [stage.world.instance], "AutoScalingGroupName": "web-standby", "ShouldDecrementDesiredCapacity": true});
    for (event, step, standby, stopped) in [
        ("step_begun", 0, true, false),
        ("step_begun", 0, false, false),
        ("step_done", 1, true, true),
        ("step_done", 2, true, false),
        ("step_begun", 3, true, false),
    ] {
        for resume in [true, false] {
            stage.forget_journal();
            stage.fix("instance-stop-start", &["--yes"]).exits(0);
            stage.cut(event, step);
            if standby {
                scaling(&stage, "enter_standby", &place);
            }
            if stopped {
                stage.moto.ec2("stop_instances", &json!({"InstanceIds": [stage.world.instance]}));
            }
            if resume {
                stage.home.run(&["resume", "--yes", "--address", &stage.world.place.ip.to_string()]).exits(0);
            } else {
                stage.home.run(&["undo", "--yes"]);
            }
            assert_eq!(
                (lifecycle(&stage), state(&stage)),
                ("InService".to_owned(), "running".to_owned()),
                "{event} {step} {resume}"
            );
        }
    }
}

#[test]
fn a_group_without_room_has_its_processes_suspended_and_resumed() {
    let stage = stage("suspend", &[]);
    grouped(&stage, "web-suspend", 1);
    let processes = json!({"AutoScalingGroupName": "web-suspend", "ScalingProcesses": ["AZRebalance"]});
    scaling(&stage, "suspend_processes", &processes);
    let plan = stage.plan("instance-stop-start", &[]);
    let command = plan["steps"][0]["command"].as_str().expect("a command");
    assert!(command.contains("suspend-processes") && !command.contains("AZRebalance"), "{command}");
    stage.fix("instance-stop-start", &["--yes"]).exits(0);
    assert_eq!(suspended(&stage, "web-suspend"), ["AZRebalance"], "what others suspended stays so");
    // Cut after the stop: both are taken back.
    stage.cut("step_done", 1);
    let own = json!({"AutoScalingGroupName": "web-suspend", "ScalingProcesses": ["HealthCheck", "ReplaceUnhealthy", "Terminate"]});
    scaling(&stage, "suspend_processes", &own);
    stage.moto.ec2("stop_instances", &json!({"InstanceIds": [stage.world.instance]}));
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(
        (suspended(&stage, "web-suspend"), state(&stage)),
        (vec!["AZRebalance".to_owned()], "running".to_owned())
    );
}

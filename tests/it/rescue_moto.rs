//! The rescue of a root volume on moto, whose helpers run the real script on real file systems. Needs root for the loop
//! devices; elsewhere it says so.

use crate::contract::check_plan;
use crate::moto::{Moto, Spec, World};
use crate::power_moto::{join_group, lifecycle_of};
use crate::program::{Home, Run};
use serde_json::{Value, json};

const FIX: &str = "root-volume-rescue";

struct Stage {
    moto: Moto,
    home: Home,
    key: String,
    world: World,
    volume: String,
    _sshd: crate::sshd::Sshd,
}

/// The stage, or nothing where this machine cannot attach images as disks.
fn stage(name: &str) -> Option<Stage> {
    let root = std::process::Command::new("losetup").arg("-f").output();
    if !root.is_ok_and(|out| out.status.success()) {
        eprintln!("not tried: loop devices need root");
        return None;
    }
    let moto = Moto::of("rescue.py");
    let home = Home::with(&moto);
    let key = home.key("k.pem");
    let (sshd, place) = crate::host::sshd(&[&key]);
    let world = moto.build(&Spec::new(name, place).key(&key));
    let volume =
        moto.ask(&json!({"do": "disk", "instance": world.instance, "fstab": "/dev/sdf /data ext4 defaults 0 2\n"}));
    let volume = volume.as_str().expect("a volume").to_owned();
    Some(Stage { moto, home, key: key.display().to_string(), world, volume, _sshd: sshd })
}

impl Stage {
    fn fix(&self, more: &[&str]) -> Run {
        self.home.fix(FIX, &self.world, &[&["-i", &self.key], more].concat())
    }

    fn refuse(&self, operation: &str, on: bool) {
        self.moto.ask(&json!({"do": "refuse", "instance": self.world.instance, "operation": operation, "on": on}));
    }

    fn call(&self, operation: &str, arguments: &Value) -> Value {
        self.moto.ask(&json!({"do": "call", "service": "ec2", "operation": operation, "arguments": arguments}))
    }

    /// Who has the volume.
    fn holder(&self) -> Value {
        let told = self.call("describe_volumes", &json!({"VolumeIds": [self.volume]}));
        told["Volumes"][0]["Attachments"][0]["InstanceId"].clone()
    }

    fn places(&self) -> Value {
        self.moto.ask(&json!({"do": "places", "instance": self.world.instance}))
    }

    fn read(&self, path: &str) -> (String, String) {
        let read = self.moto.ask(&json!({"do": "read", "volume": self.volume, "path": path}));
        let part = |at: usize| read[at].as_str().unwrap_or_default().to_owned();
        (part(0), part(1))
    }
}

#[test]
fn a_key_is_added_on_the_disk_and_everything_is_back() {
    let Some(stage) = stage("rescue") else { return };
    let before = stage.places();
    assert_eq!(before["mappings"][0][0], "/dev/xvda", "{before}");
    let plan = stage.fix(&["--dry-run", "--json"]).exits(0).json();
    check_plan(&plan);
    assert_eq!(stage.places(), before, "a preview changes nothing");
    stage.fix(&["--json"]).exits(5);
    assert_eq!(stage.places(), before, "nothing without consent");
    let done = stage.fix(&["--yes", "--json"]).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    let after = stage.places();
    assert_eq!((&after["state"], &after["mappings"]), (&before["state"], &before["mappings"]));
    assert_eq!((&after["helpers"], &after["snapshots"]), (&json!(["terminated"]), &json!(1)));
    let public = std::fs::read_to_string(format!("{}.pub", stage.key)).expect("the public half");
    let wanted: String = public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let (keys, mode) = stage.read("/root/.ssh/authorized_keys");
    assert_eq!((keys, mode.as_str()), (format!("ssh-rsa AAAAold old\n{wanted} added-by-port22\n"), "0600"));
    assert_eq!((stage.read("/root").1, stage.read("/root/.ssh").1), ("0755".to_owned(), "0700".to_owned()));
}

#[test]
fn a_member_of_a_group_is_in_standby_while_its_disk_is_away() {
    let Some(stage) = stage("rescue-fleet") else { return };
    join_group(&stage.moto, &stage.world.instance, "rescue-fleet", 0);
    let before = stage.places();
    // It ends while the disk is at the helper, and is taken back: it serves again.
    let failed = stage.fix(&["-l", "nobody-here", "--yes"]).exits(1);
    assert!(failed.stderr.contains("nobody-here"), "{failed:#?}");
    assert_eq!(lifecycle_of(&stage.moto, &stage.world.instance), "Standby");
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(stage.places()["state"], before["state"]);
    assert_eq!(lifecycle_of(&stage.moto, &stage.world.instance), "InService");
    stage.fix(&["--yes"]).exits(0);
    assert_eq!((&stage.places()["state"], &stage.places()["mappings"]), (&before["state"], &before["mappings"]));
    assert_eq!(lifecycle_of(&stage.moto, &stage.world.instance), "InService");
}

#[test]
fn a_mount_may_fail_afterwards_and_the_former_table_is_kept() {
    let Some(stage) = stage("rescue-fstab") else { return };
    let done = stage.fix(&["--choose", "repair=fstab", "--yes", "--json"]).exits(0).json();
    assert_eq!(done["applied"], true, "{done}");
    assert_eq!(stage.read("/etc/fstab").0, "/dev/sdf /data ext4 defaults,nofail 0 2\n");
    let journal = std::fs::read_to_string(stage.home.path().join("state/port22/journal.jsonl")).expect("the journal");
    let (_, rest) = journal.split_once("the former file is kept as ").expect("the place of the former file");
    let saved = rest.split(['"', ';', ' ']).next().expect("a path");
    assert_eq!(stage.read(saved).0, "/dev/sdf /data ext4 defaults 0 2\n", "{saved}");
}

#[test]
fn what_the_script_refuses_leaves_a_way_back() {
    let Some(stage) = stage("rescue-refused") else { return };
    let before = stage.places();
    let failed = stage.fix(&["-l", "nobody-here", "--yes"]).exits(1);
    assert!(failed.stderr.contains("nobody-here") && failed.stderr.contains("port22 undo"), "{failed:#?}");
    let between = stage.places();
    assert_eq!((&between["state"], &between["helpers"]), (&json!("stopped"), &json!(["running"])), "{between}");
    stage.home.run(&["undo", "--yes"]).exits(0);
    let after = stage.places();
    assert_eq!((&after["state"], &after["mappings"]), (&before["state"], &before["mappings"]));
    assert_eq!(after["helpers"], json!(["terminated"]));
    // The mark of a volume that is away is gone with it.
    let tags = stage.moto.ask(&json!({
        "do": "call", "service": "ec2", "operation": "describe_tags",
        "arguments": {"Filters": [{"Name": "resource-id", "Values": [stage.volume]}]}
    }));
    assert!(!tags.to_string().contains("port22-root-of"), "{tags}");
}

#[test]
fn a_volume_that_outlives_its_instance_does_not_hold_up_the_start() {
    let Some(stage) = stage("rescue-kept") else { return };
    let before = stage.places();
    stage.refuse("ModifyInstanceAttribute", true);
    stage.fix(&["--yes"]).exits(0);
    let after = stage.places();
    assert_eq!((&after["state"], &after["mappings"][0][1]), (&before["state"], &before["mappings"][0][1]), "{after}");
    let journal = std::fs::read_to_string(stage.home.path().join("state/port22/journal.jsonl")).expect("the journal");
    assert!(journal.contains("DeleteOnTermination could not be set to true"), "{journal}");
}

#[test]
fn what_is_half_done_goes_back_even_when_the_helper_is_gone() {
    let Some(stage) = stage("rescue-half") else { return };
    let before = stage.places();
    stage.refuse("AttachVolume", true);
    let failed = stage.fix(&["--yes"]).exits(1);
    assert!(failed.stderr.contains("the key is added") || failed.stderr.contains("port22 undo"), "{failed:#?}");
    assert_eq!((stage.places()["state"].clone(), stage.holder()), (json!("stopped"), Value::Null));
    let by_tag = json!({"Filters": [{"Name": "tag:port22-rescues", "Values": [stage.world.instance]}]});
    let helper = stage.call("describe_instances", &by_tag)["Reservations"][0]["Instances"][0]["InstanceId"].clone();
    // Taken from where it was found, and not attached at its place: it goes back to where it was found.
    let at_helper = json!({"VolumeId": stage.volume, "InstanceId": helper, "Device": "/dev/sdf"});
    stage.call("attach_volume", &at_helper);
    let halfway = stage.fix(&["--yes"]).exits(1);
    halfway.fails_with("Nobody knows whether step 1 was done");
    assert_eq!(stage.holder(), Value::Null);
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(stage.holder(), helper);
    // The helper ends itself, and lets the volume go.
    stage.call("detach_volume", &at_helper);
    stage.call("terminate_instances", &json!({"InstanceIds": [helper]}));
    stage.refuse("AttachVolume", false);
    stage.home.run(&["undo", "--yes"]).exits(0);
    let after = stage.places();
    assert_eq!((&after["state"], &after["mappings"]), (&before["state"], &before["mappings"]));
}

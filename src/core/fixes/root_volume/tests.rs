//! Plans of the rescue: what refuses, what is chosen, and in which order things happen.

use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::{Instance, SsmAgent};
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::facts::prepared::net::{PowerFacts, ScalingMember};
use crate::core::facts::prepared::{HelperImage, LostRoot, Rescue, RootVolume};
use crate::core::fixes;
use crate::core::key;
use crate::core::plan::volume::{Put, RescueJob, VolumeAction};
use crate::core::plan::{Action, Choices, GateState, Plan};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDh4T9C8zFgGfB6uF6yT0YcPpXp5vYdQ9q0m3E0pC3yq";

fn facts() -> Facts {
    let mut facts = Facts::default();
    facts.target.user = Some("ec2-user".to_owned());
    facts.aws.instance = Fact::known(
        Instance {
            id: "i-0victim".to_owned(),
            region: "eu-west-1".to_owned(),
            state: "running".to_owned(),
            image_id: Some("ami-1".to_owned()),
            subnet_id: Some("subnet-1".to_owned()),
            groups: vec![("sg-1".to_owned(), "web".to_owned())],
            root_device_type: Some("ebs".to_owned()),
            root_device_name: Some("/dev/xvda".to_owned()),
            root_volume: Some("vol-1".to_owned()),
            ..Instance::default()
        },
        "DescribeInstances",
    );
    facts.prepared.power = PowerFacts {
        stop_protected: Fact::known(false, "DescribeInstanceAttribute"),
        local_disks: Fact::known(Vec::new(), "DescribeInstanceTypes"),
        scaling: Fact::known(None, "DescribeAutoScalingInstances"),
        ..PowerFacts::default()
    };
    facts.prepared.rescue = Fact::known(
        Rescue {
            zone: "eu-west-1a".to_owned(),
            root: Some(RootVolume { id: "vol-1".to_owned(), size: 8, delete_with: true, ..RootVolume::default() }),
            image: Fact::known(
                HelperImage {
                    id: "ami-2".to_owned(),
                    parameter: "/p".to_owned(),
                    instance_type: "t3.micro".to_owned(),
                    same_as_instance: false,
                },
                "GetParameter",
            ),
            ..Rescue::default()
        },
        "DescribeInstances",
    );
    facts
}

fn instance(facts: &mut Facts, change: impl FnOnce(&mut Instance)) {
    if let Fact::Known { value, .. } = &mut facts.aws.instance {
        change(value);
    }
}

fn ground(facts: &mut Facts, change: impl FnOnce(&mut Rescue)) {
    if let Fact::Known { value, .. } = &mut facts.prepared.rescue {
        change(value);
    }
}

fn with_key(facts: &mut Facts) {
    facts.local.keys = vec![KeyProbe {
        path: "new.pub".to_owned(),
        origin: "-i".to_owned(),
        file: Fact::known(
            KeyFileState::Read {
                mode: 0o400,
                owner: 1,
                me: 1,
                modeless_fs: None,
                key: Box::new(key::inspect(KEY.as_bytes())),
                pub_file: None,
            },
            "read",
        ),
    }];
}

fn plan(facts: &Facts, choices: &[(&str, &str)]) -> Plan {
    let choices: Choices = choices.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    fixes::plan("root-volume-rescue", facts, &choices).unwrap()
}

fn deeds(plan: &Plan) -> Vec<VolumeAction> {
    let volume = |a: &Action| if let Action::Volume(deed) = a { Some(deed.clone()) } else { None };
    plan.steps.iter().filter_map(|s| s.action.as_ref()).filter_map(volume).collect()
}

fn names(plan: &Plan) -> Vec<String> {
    let word = |a: &Action| serde_json::to_value(a).unwrap()["what"].as_str().unwrap_or_default().to_owned();
    plan.steps.iter().filter_map(|s| s.action.as_ref()).map(word).collect()
}

fn refusal(facts: &Facts) -> String {
    let plan = plan(facts, &[]);
    let gate = plan.refused().expect("a refusal").clone();
    assert!(plan.steps.iter().all(|s| s.action.is_none()), "{plan:#?}");
    gate.why
}

fn said(plan: &Plan, id: &str) -> Vec<(GateState, String)> {
    plan.gates.iter().filter(|g| g.id == id).map(|g| (g.state, g.why.clone())).collect()
}

#[test]
fn nothing_is_stopped_before_helper_and_snapshot_are_ready_and_everything_goes_back() {
    let mut facts = facts();
    with_key(&mut facts);
    let plan = plan(&facts, &[]);
    assert_eq!(
        names(&plan),
        [
            "snapshot",
            "create-role",
            "attach-policy",
            "create-profile",
            "add-role",
            "launch",
            "await-helper",
            "await-snapshot",
            "power",
            "put",
            "put",
            "repair",
            "put",
            "put",
            "power",
            "terminate"
        ]
    );
    let deeds = deeds(&plan);
    let puts: Vec<&Put> =
        deeds.iter().filter_map(|d| if let VolumeAction::Put(p) = d { Some(p) } else { None }).collect();
    let back = puts[0].back.as_ref().expect("a way back");
    let home = back.to.as_ref().expect("home");
    assert_eq!((home.instance.as_str(), home.device.as_str()), ("i-0victim", "/dev/xvda"));
    assert_eq!((back.from.as_slice(), back.delete_with), (["${helper}".to_owned()].as_slice(), Some(true)));
    assert_eq!((puts[3].to.as_ref(), puts[3].delete_with), (Some(home), Some(true)));
    // One way back is enough: the steps after it leave nothing of their own.
    assert!(puts[1..].iter().all(|p| p.back.is_none()));
    let job = deeds.iter().find_map(|d| if let VolumeAction::Repair(r) = d { Some(r.job.clone()) } else { None });
    assert_eq!(job, Some(RescueJob::Login { user: "ec2-user".to_owned(), key: Some(KEY.to_owned()) }));
    for wanted in ["ec2:CreateSnapshot", "ec2:RunInstances", "iam:PassRole", "iam:CreateRole", "ssm:SendCommand"] {
        assert!(plan.permissions.iter().any(|p| p == wanted), "{wanted}");
    }
    assert!(plan.refused().is_none() && plan.promises_login, "{plan:#?}");
}

#[test]
fn an_instance_that_stands_is_not_stopped_and_an_undo_leaves_it_so() {
    let mut facts = facts();
    instance(&mut facts, |i| i.state = "stopped".to_owned());
    let plan = plan(&facts, &[]);
    let powers: Vec<VolumeAction> =
        deeds(&plan).into_iter().filter(|d| matches!(d, VolumeAction::Power { .. })).collect();
    assert!(matches!(powers.as_slice(), [VolumeAction::Power { up: true, .. }]), "{powers:?}");
    let first = deeds(&plan).into_iter().find_map(|d| if let VolumeAction::Put(p) = d { p.back } else { None });
    assert_eq!(first.expect("a way back").stop.as_deref(), Some("i-0victim"));
}

#[test]
fn what_forbids_a_rescue_refuses_it() {
    let refused = |change: &dyn Fn(&mut Facts)| {
        let mut facts = facts();
        change(&mut facts);
        refusal(&facts)
    };
    for (word, change) in [
        (
            "instance store",
            (|f| instance(f, |i| i.root_device_type = Some("instance-store".to_owned()))) as fn(&mut Facts),
        ),
        ("terminated", |f| instance(f, |i| i.state = "terminated".to_owned())),
        ("Windows", |f| instance(f, |i| i.platform = Some("windows".to_owned()))),
        ("stopping", |f| instance(f, |i| i.state = "stopping".to_owned())),
        ("hibernates", |f| {
            instance(f, |i| {
                (i.state, i.state_reason) = ("stopped".to_owned(), Some("Client.UserInitiatedHibernate".to_owned()));
            });
        }),
        ("group g", |f| {
            instance(f, |i| {
                i.tags.insert("aws:autoscaling:groupName".to_owned(), "g".to_owned());
            });
            f.prepared.power.scaling = Fact::unknown(Why::needs("a permission"));
        }),
        ("Marketplace", |f| ground(f, |g| g.product_codes = vec!["abc".to_owned()])),
    ] {
        let why = refused(&change);
        assert!(why.contains(word), "{word}: {why}");
    }
}

#[test]
fn what_is_not_known_is_a_sentence_and_no_guess() {
    let fails = |change: &dyn Fn(&mut Facts)| {
        let mut facts = facts();
        change(&mut facts);
        fixes::plan("root-volume-rescue", &facts, &Choices::new()).unwrap_err()
    };
    let denied = || Why::Denied { action: "ssm:GetParameter".to_owned(), reason: String::new() };
    assert!(fails(&|f| f.prepared.rescue = Fact::unknown(denied())).contains("ssm:GetParameter"));
    assert!(fails(&|f| ground(f, |g| g.image = Fact::unknown(denied()))).contains("no image"));
    assert!(fails(&|f| instance(f, |i| i.subnet_id = None)).contains("subnet"));
    assert!(fails(&|f| f.target.user = None).contains("login user"));
    assert!(fails(&|f| f.target.user = Some("o'neil".to_owned())).contains("o'neil"));
    assert!(fails(&|f| f.aws.instance = Fact::NotAsked).contains("not known"));
}

#[test]
fn open_doors_that_cost_less_are_named_first() {
    let mut facts = facts();
    let quiet = plan(&facts, &[]);
    assert_eq!(said(&quiet, "cheaper").len(), 1, "{:?}", quiet.gates);
    facts.aws.ssm =
        Fact::known(Some(SsmAgent { ping: "Online".to_owned(), ..SsmAgent::default() }), "DescribeInstanceInformation");
    let loud = plan(&facts, &[]);
    let seen = said(&loud, "cheaper");
    assert!(seen.iter().any(|(state, why)| *state == GateState::Warn && why.contains("remote-add-key")), "{seen:?}");
    assert!(loud.refused().is_none());
}

#[test]
fn an_encrypted_volume_names_its_key() {
    let mut facts = facts();
    ground(&mut facts, |g| {
        g.root = Some(RootVolume {
            encrypted: true,
            kms_key: Some("arn:aws:kms:k".to_owned()),
            ..g.root.clone().unwrap_or_default()
        });
    });
    let plan = plan(&facts, &[]);
    assert!(said(&plan, "encryption")[0].1.contains("arn:aws:kms:k"));
    assert!(plan.permissions.iter().any(|p| p == "kms:CreateGrant"));
}

fn lost(id: &str, sure: bool, holder: Option<&str>) -> LostRoot {
    LostRoot {
        id: id.to_owned(),
        size: 8,
        holder: holder.map(|h| (h.to_owned(), "/dev/sdf".to_owned())),
        because: vec!["it is made of the root snapshot".to_owned()],
        sure,
    }
}

fn bare(volumes: Vec<LostRoot>) -> Facts {
    let mut facts = facts();
    instance(&mut facts, |i| {
        i.state = "stopped".to_owned();
        i.root_volume = None;
    });
    ground(&mut facts, |g| {
        g.root = None;
        g.lost = Fact::known(volumes, "DescribeVolumes");
    });
    facts
}

#[test]
fn a_lost_root_is_put_back_where_there_is_no_doubt() {
    let facts = bare(vec![lost("vol-9", true, Some("i-0helper")), lost("vol-8", false, None)]);
    let plan = plan(&facts, &[]);
    assert_eq!(names(&plan), ["put", "power"]);
    let VolumeAction::Put(put) = &deeds(&plan)[0] else { panic!("{plan:#?}") };
    assert_eq!((put.volume.as_str(), put.from.as_slice()), ("vol-9", ["i-0helper".to_owned()].as_slice()));
    assert_eq!(put.to.as_ref().map(|s| s.device.as_str()), Some("/dev/xvda"));
    let back = put.back.as_ref().expect("a way back");
    assert_eq!(back.to.as_ref().map(|s| (s.instance.as_str(), s.device.as_str())), Some(("i-0helper", "/dev/sdf")));
}

#[test]
fn a_lost_root_in_doubt_is_asked_for() {
    for volumes in
        [vec![], vec![lost("vol-8", false, None)], vec![lost("vol-8", true, None), lost("vol-9", true, None)]]
    {
        let facts = bare(volumes.clone());
        refusal(&facts);
        if let Some(one) = volumes.last() {
            let named = plan(&facts, &[("volume", &one.id)]);
            assert!(named.refused().is_none(), "{named:#?}");
            let VolumeAction::Put(put) = &deeds(&named)[0] else { panic!("{named:#?}") };
            assert_eq!(put.volume, one.id);
        }
        // A volume that nothing speaks for is not taken, whoever names it.
        assert!(plan(&facts, &[("volume", "vol-other")]).refused().is_some());
    }
}

#[test]
fn group_and_stop_protection_make_room_for_the_stop_alone() {
    let mut facts = facts();
    let member =
        ScalingMember { group: "web".to_owned(), lifecycle: "InService".to_owned(), ..ScalingMember::default() };
    facts.prepared.power.scaling = Fact::known(Some(member), "DescribeAutoScalingInstances");
    facts.prepared.power.stop_protected = Fact::known(true, "DescribeInstanceAttribute");
    let kept = plan(&facts, &[]);
    assert_eq!(kept.refused().map(|g| g.id.as_str()), Some("stop-protection"));
    assert!(kept.choices.iter().any(|c| c.id == "stop-protection"), "{kept:#?}");
    let lifted = plan(&facts, &[("stop-protection", "lift")]);
    assert_eq!(lifted.refused(), None);
    let all = names(&lifted);
    let at = |name: &str| all.iter().position(|n| n == name).expect(name);
    let last = |name: &str| all.iter().rposition(|n| n == name).expect(name);
    // Helper and snapshot are ready first; what stood in the way is back before the helper ends.
    assert!(at("await-snapshot") < at("stop-protection") && at("enter-standby") < at("power"), "{all:?}");
    assert!(last("power") < at("exit-standby") && last("stop-protection") < at("terminate"), "{all:?}");
}

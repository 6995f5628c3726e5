use super::*;
use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::Instance;
use crate::core::facts::prepared::SavedUserData;
use crate::core::facts::prepared::net::{ElasticAddress, PowerFacts, ScalingMember};
use crate::core::fixes::user_data_restore;
use crate::core::plan::{Action, PowerAction};

fn facts() -> Facts {
    let instance = Instance {
        id: "i-0a1b2c3d4e5f60718".to_owned(),
        region: "eu-west-1".to_owned(),
        state: "running".to_owned(),
        root_device_type: Some("ebs".to_owned()),
        root_device_name: Some("/dev/xvda".to_owned()),
        root_volume: Some("vol-1".to_owned()),
        public_ip: "203.0.113.9".parse().ok(),
        imds_enabled: Some(true),
        ..Instance::default()
    };
    let mut facts = Facts::default();
    facts.target.user = Some("ec2-user".to_owned());
    facts.aws.instance = Fact::known(instance, "DescribeInstances");
    facts.prepared.power = PowerFacts {
        stop_protected: Fact::known(false, "DescribeInstanceAttribute"),
        local_disks: Fact::known(Vec::new(), "DescribeInstanceTypes"),
        scaling: Fact::known(None, "DescribeAutoScalingInstances"),
        ..PowerFacts::default()
    };
    let state = UserDataState {
        directory: "/state".to_owned(),
        sha256: "aa".to_owned(),
        bytes: 40,
        ..UserDataState::default()
    };
    facts.prepared.user_data = Fact::known(state, "DescribeInstanceAttribute");
    facts.prepared.net.addresses = Fact::known(Vec::new(), "DescribeAddresses");
    facts
}

fn change(facts: &mut Facts, change: impl FnOnce(&mut Instance)) {
    if let Fact::Known { value, .. } = &mut facts.aws.instance {
        change(value);
    }
}

fn set(facts: &mut Facts, change: impl FnOnce(&mut UserDataState)) {
    if let Fact::Known { value, .. } = &mut facts.prepared.user_data {
        change(value);
    }
}

/// The deeds by a letter each: save, down, Up (capital where an undo takes it back), set, wait, restore.
fn deeds(plan: &Plan) -> String {
    let letter = |action: &Action| match action {
        Action::UserData(UserDataAction::Save { .. }) => 's',
        Action::UserData(UserDataAction::Set { .. }) => 'x',
        Action::UserData(UserDataAction::Await { .. }) => 'w',
        Action::UserData(UserDataAction::Restore { .. }) => 'r',
        Action::UserData(UserDataAction::Power { up: false, back, .. }) => {
            if *back {
                'D'
            } else {
                'd'
            }
        }
        Action::UserData(UserDataAction::Power { up: true, back, .. }) => {
            if *back {
                'U'
            } else {
                'u'
            }
        }
        Action::Power(PowerAction::EnterStandby { .. }) => '(',
        Action::Power(PowerAction::ExitStandby { reopens, .. }) => {
            if *reopens {
                ']'
            } else {
                ')'
            }
        }
        Action::Power(PowerAction::SuspendProcesses { .. }) => '<',
        Action::Power(PowerAction::ResumeProcesses { .. }) => '>',
        Action::Power(PowerAction::StopProtection { on: false, .. }) => '{',
        Action::Power(PowerAction::StopProtection { on: true, .. }) => '}',
        _ => '?',
    };
    plan.steps.iter().filter_map(|s| s.action.as_ref()).map(letter).collect()
}

#[test]
fn an_undo_ends_in_the_state_of_before_without_needless_stops() {
    let later = Choices::from([("restore".to_owned(), "later".to_owned())]);
    let mut facts = facts();
    assert_eq!(deeds(&plan(&facts, &Choices::new()).unwrap()), "sDxuwdru");
    assert_eq!(deeds(&plan(&facts, &later).unwrap()), "sDxuw");
    change(&mut facts, |i| i.state = "stopped".to_owned());
    assert_eq!(deeds(&plan(&facts, &Choices::new()).unwrap()), "sxUwdrU");
    assert_eq!(deeds(&plan(&facts, &later).unwrap()), "sxUw");
}

#[test]
fn what_stands_in_the_way_refuses_and_what_is_lost_is_said() {
    let refused = |facts: &Facts| plan(facts, &Choices::new()).unwrap().refused().map(|g| g.id.clone());
    let gate = |facts: &Facts, id: &str| {
        plan(facts, &Choices::new()).unwrap().gates.iter().find(|g| g.id == id).map(|g| g.state)
    };
    assert_eq!(refused(&facts()), None);
    assert_eq!(gate(&facts(), "public-address"), Some(GateState::Warn));
    let with = |edit: &dyn Fn(&mut Instance)| {
        let mut facts = facts();
        change(&mut facts, edit);
        facts
    };
    let cases = vec![
        ("root", with(&|i| i.root_device_type = Some("instance-store".to_owned()))),
        ("scaling", {
            let mut facts = with(&|i| drop(i.tags.insert("aws:autoscaling:groupName".to_owned(), "web".to_owned())));
            facts.prepared.power.scaling = Fact::unknown(Why::needs("a permission"));
            facts
        }),
        ("metadata-service", with(&|i| i.imds_enabled = Some(false))),
        ("system", with(&|i| i.platform = Some("windows".to_owned()))),
        ("state", with(&|i| i.state = "pending".to_owned())),
        ("root", with(&|i| (i.state, i.root_volume) = ("stopped".to_owned(), None))),
        (
            "hibernated",
            with(&|i| {
                (i.state, i.state_reason) = ("stopped".to_owned(), Some("Client.UserInitiatedHibernate".to_owned()));
            }),
        ),
    ];
    for (id, bad) in cases {
        assert_eq!(refused(&bad).as_deref(), Some(id));
    }
    // Near misses: a tag of the user's own, a plain stop, an Elastic IP.
    assert_eq!(refused(&with(&|i| drop(i.tags.insert("group".to_owned(), "web".to_owned())))), None);
    let stopped =
        with(&|i| (i.state, i.state_reason) = ("stopped".to_owned(), Some("Client.UserInitiatedShutdown".to_owned())));
    assert_eq!((refused(&stopped), gate(&stopped, "hibernated")), (None, None));
    let mut elastic = facts();
    let address = ElasticAddress {
        allocation: "eipalloc-1".to_owned(),
        address: "203.0.113.9".parse().unwrap(),
        name: None,
        private: None,
        interface: None,
        in_use: true,
        managed_by: None,
        border_group: None,
    };
    elastic.prepared.net.addresses = Fact::known(vec![address], "DescribeAddresses");
    assert_eq!(gate(&elastic, "public-address"), Some(GateState::Ok));
    elastic.prepared.net.addresses = Fact::unknown(Why::needs("a permission"));
    assert_eq!(gate(&elastic, "public-address"), Some(GateState::Warn), "a denial is no proof");
}

#[test]
fn nothing_is_replaced_that_was_not_read_or_is_a_repair_already() {
    let mut facts = facts();
    facts.target.user = Some("a b".to_owned());
    assert_eq!(plan(&facts, &Choices::new()).unwrap().refused().map(|g| g.id.as_str()), Some("script"));
    facts.target.user = None;
    assert!(plan(&facts, &Choices::new()).unwrap_err().contains("login user"));
    facts.target.user = Some("admin".to_owned());
    set(&mut facts, |s| s.repair = Some("a1".to_owned()));
    assert_eq!(plan(&facts, &Choices::new()).unwrap().refused().map(|g| g.id.as_str()), Some("user-data"));
    facts.prepared.user_data =
        Fact::unknown(Why::Denied { action: "ec2:DescribeInstanceAttribute".to_owned(), reason: String::new() });
    assert!(plan(&facts, &Choices::new()).unwrap_err().contains("ec2:DescribeInstanceAttribute"));
}

#[test]
fn only_the_repairs_own_user_data_is_replaced_by_the_saved_one() {
    let restore = |facts: &Facts| user_data_restore::plan(facts, &Choices::new()).unwrap();
    let mut facts = facts();
    assert_eq!(restore(&facts).refused().map(|g| g.id.clone()).as_deref(), Some("saved"));
    let kept =
        SavedUserData { entry: "e".to_owned(), file: "/f".to_owned(), sha256: "bb".to_owned(), nonce: "a1".to_owned() };
    // A repair that was taken back has put it back already; what somebody set since is not overwritten.
    set(&mut facts, |s| s.taken_back = Some(kept.clone()));
    let refused = restore(&facts).refused().map(|g| g.why.clone()).unwrap();
    assert!(refused.contains("e was taken back") && refused.contains("/f"), "{refused}");
    set(&mut facts, |s| s.sha256 = "bb".to_owned());
    assert_eq!((deeds(&restore(&facts)).as_str(), restore(&facts).refused()), ("", None));
    assert!(restore(&facts).gates[0].why.contains("byte for byte"));
    set(&mut facts, |s| s.sha256 = "aa".to_owned());
    set(&mut facts, |s| (s.saved, s.repair) = (Some(kept), Some("a1".to_owned())));
    assert_eq!((deeds(&restore(&facts)).as_str(), restore(&facts).refused()), ("Dru", None));
    assert_eq!((restore(&facts).verify, restore(&facts).promises_login), (vec!["instance-running".to_owned()], false));
    change(&mut facts, |i| i.state = "stopped".to_owned());
    assert_eq!((deeds(&restore(&facts)).as_str(), restore(&facts).downtime), ("r", false));
    set(&mut facts, |s| s.repair = None);
    assert_eq!(restore(&facts).refused().map(|g| g.id.clone()).as_deref(), Some("user-data"));
    set(&mut facts, |s| s.sha256 = "bb".to_owned());
    assert_eq!((deeds(&restore(&facts)).as_str(), restore(&facts).refused()), ("", None));
}

#[test]
fn a_group_and_stop_protection_are_out_of_the_way_from_the_first_stop_to_the_last_start() {
    let plan = |facts: &Facts, chosen: &[(&str, &str)]| {
        let chosen = chosen.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        plan(facts, &chosen).unwrap()
    };
    let member = |lifecycle: &str| {
        let member = ScalingMember {
            group: "web".to_owned(),
            lifecycle: lifecycle.to_owned(),
            min: Some(0),
            desired: Some(1),
            suspended: Vec::new(),
        };
        Fact::known(Some(member), "DescribeAutoScalingInstances")
    };
    let mut facts = facts();
    facts.prepared.power.scaling = member("InService");
    let standby = plan(&facts, &[]);
    assert_eq!((deeds(&standby).as_str(), standby.refused()), ("s(Dxuwdru)", None));
    assert!(standby.permissions.iter().any(|p| p == "autoscaling:EnterStandby"));
    // Whoever puts the user data back later stops it once more: an undo makes room first.
    assert_eq!(deeds(&plan(&facts, &[("restore", "later")])), "s(Dxuw]");
    assert_eq!(deeds(&plan(&facts, &[("scaling", "suspend")])), "s<Dxuwdru>");
    facts.prepared.power.stop_protected = Fact::known(true, "DescribeInstanceAttribute");
    assert_eq!(plan(&facts, &[]).refused().map(|g| g.id.as_str()), Some("stop-protection"));
    assert_eq!(deeds(&plan(&facts, &[("stop-protection", "lift")])), "s{(Dxuwdru)}");
    // One that stands in standby is left there; one of a warm pool is the group's own.
    facts.prepared.power.stop_protected = Fact::known(false, "DescribeInstanceAttribute");
    change(&mut facts, |i| i.state = "stopped".to_owned());
    facts.prepared.power.scaling = member("Standby");
    assert_eq!(deeds(&plan(&facts, &[])), "sxUwdrU");
    facts.prepared.power.scaling = member("Warmed:Stopped");
    assert_eq!(plan(&facts, &[]).refused().map(|g| g.id.as_str()), Some("scaling"));
    // The second stop meets stop protection too.
    facts.prepared.power.scaling = Fact::known(None, "DescribeAutoScalingInstances");
    facts.prepared.power.stop_protected = Fact::known(true, "DescribeInstanceAttribute");
    assert_eq!(plan(&facts, &[]).refused().map(|g| g.id.as_str()), Some("stop-protection"));
    assert_eq!(plan(&facts, &[("restore", "later")]).refused(), None, "nothing is stopped then");
}

#[test]
fn a_restore_keeps_the_group_away_as_well() {
    let mut facts = facts();
    let kept =
        SavedUserData { entry: "e".to_owned(), file: "/f".to_owned(), sha256: "bb".to_owned(), nonce: "a1".to_owned() };
    set(&mut facts, |s| (s.saved, s.repair) = (Some(kept), Some("a1".to_owned())));
    let member =
        ScalingMember { group: "web".to_owned(), lifecycle: "InService".to_owned(), ..ScalingMember::default() };
    facts.prepared.power.scaling = Fact::known(Some(member), "DescribeAutoScalingInstances");
    assert_eq!(deeds(&user_data_restore::plan(&facts, &Choices::new()).unwrap()), "(Dru)");
    change(&mut facts, |i| i.state = "stopped".to_owned());
    assert_eq!(deeds(&user_data_restore::plan(&facts, &Choices::new()).unwrap()), "r");
}

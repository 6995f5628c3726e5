use super::*;
use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::Instance;
use crate::core::facts::prepared::SavedUserData;
use crate::core::fixes::user_data_restore;
use crate::core::plan::Action;

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
    facts.host.stop_protected = Fact::known(false, "DescribeInstanceAttribute");
    let state = UserDataState {
        directory: "/state".to_owned(),
        sha256: "aa".to_owned(),
        bytes: 40,
        ..UserDataState::default()
    };
    facts.prepared.user_data = Fact::known(state, "DescribeInstanceAttribute");
    facts.prepared.elastic = Fact::known(false, "DescribeAddresses");
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
    assert_eq!(gate(&facts(), "address"), Some(GateState::Warn));
    let with = |edit: &dyn Fn(&mut Instance)| {
        let mut facts = facts();
        change(&mut facts, edit);
        facts
    };
    let cases = vec![
        ("stop", with(&|i| i.root_device_type = Some("instance-store".to_owned()))),
        ("stop", with(&|i| drop(i.tags.insert("aws:autoscaling:groupName".to_owned(), "web".to_owned())))),
        ("metadata-service", with(&|i| i.imds_enabled = Some(false))),
        ("system", with(&|i| i.platform = Some("windows".to_owned()))),
        ("state", with(&|i| i.state = "pending".to_owned())),
        ("root-volume", with(&|i| (i.state, i.root_volume) = ("stopped".to_owned(), None))),
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
    assert_eq!((refused(&stopped), gate(&stopped, "address")), (None, None));
    let mut elastic = facts();
    elastic.prepared.elastic = Fact::known(true, "DescribeAddresses");
    assert_eq!(gate(&elastic, "address"), Some(GateState::Ok));
    elastic.prepared.elastic = Fact::unknown(Why::needs("a permission"));
    assert_eq!(gate(&elastic, "address"), Some(GateState::Warn), "a denial is no proof");
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
    set(&mut facts, |s| (s.saved, s.repair) = (Some(kept), Some("a1".to_owned())));
    assert_eq!((deeds(&restore(&facts)).as_str(), restore(&facts).refused()), ("Dru", None));
    change(&mut facts, |i| i.state = "stopped".to_owned());
    assert_eq!((deeds(&restore(&facts)).as_str(), restore(&facts).downtime), ("r", false));
    set(&mut facts, |s| s.repair = None);
    assert_eq!(restore(&facts).refused().map(|g| g.id.clone()).as_deref(), Some("user-data"));
    set(&mut facts, |s| s.sha256 = "bb".to_owned());
    assert_eq!((deeds(&restore(&facts)).as_str(), restore(&facts).refused()), ("", None));
}

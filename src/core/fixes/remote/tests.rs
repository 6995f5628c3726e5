use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::{Instance, KeyPair, SsmAgent};
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::facts::wire::{Answer, Offer, SshServer, Tcp};
use crate::core::fixes;
use crate::core::key;
use crate::core::plan::{Action, Choices, Door, GateState, Job, Plan, RemoteAction};

const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnzMHvZSx6ugfHAtjJ8Xl2FLGhDlUDCcq8yLzDCVFGA mia's laptop";
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBMHvZSx6ugfHAtjJ8Xl2FLGhDlUDCcq8yLzDCVFGA old";

fn known<T>(value: T) -> Fact<T> {
    Fact::known(value, "a test")
}

/// A running instance, a user, a public key file, and an agent that is online.
fn facts() -> Facts {
    let mut facts = Facts::default();
    facts.aws.instance = known(Instance {
        id: "i-0a1b2c3d4e5f60718".to_owned(),
        region: "eu-west-1".to_owned(),
        state: "running".to_owned(),
        private_ip: Some("10.0.0.7".parse().unwrap()),
        ..Instance::default()
    });
    facts.target.user = Some("ec2-user".to_owned());
    facts.aws.ssm = known(Some(SsmAgent { ping: "Online".to_owned(), ..SsmAgent::default() }));
    facts.local.keys.push(probe("/keys/mia.pub", PUBLIC));
    facts
}

fn probe(path: &str, text: &str) -> KeyProbe {
    let file = KeyFileState::Read {
        mode: 0o600,
        owner: 1000,
        me: 1000,
        modeless_fs: None,
        key: Box::new(key::inspect(format!("{text}\n").as_bytes())),
        pub_file: None,
    };
    KeyProbe { path: path.to_owned(), origin: "-i".to_owned(), file: known(file) }
}

fn plan(fix: &str, facts: &Facts) -> Result<Plan, String> {
    fixes::plan(fix, facts, &Choices::new())
}

fn run(plan: &Plan) -> (&[Door], &Job) {
    match plan.steps[0].action.as_ref() {
        Some(Action::Remote(RemoteAction::Run { doors, job, .. })) => (doors, job),
        other => panic!("{other:?}"),
    }
}

const ALL: [&str; 3] = ["remote-repair-permissions", "remote-sshd-repair", "remote-add-key"];

#[test]
fn an_agent_that_is_online_is_the_door() {
    for fix in ALL {
        let plan = plan(fix, &facts()).unwrap();
        assert!(plan.refused().is_none(), "{fix}: {:?}", plan.gates);
        assert_eq!(run(&plan).0, [Door::Agent]);
        assert!(
            plan.steps[0].command.starts_with("aws ssm send-command --region eu-west-1"),
            "{}",
            plan.steps[0].command
        );
        assert!(plan.steps[0].undo.is_some() && plan.reversible && !plan.downtime);
        assert_eq!(plan.permissions, ["ssm:SendCommand", "ssm:GetCommandInvocation"]);
    }
}

#[test]
fn without_a_way_in_it_is_refused_with_the_reason() {
    for fix in ALL {
        for (ssm, words) in [
            (known(None), "no SSM agent has registered"),
            (known(Some(SsmAgent { ping: "ConnectionLost".to_owned(), ..SsmAgent::default() })), "ConnectionLost"),
            (
                Fact::unknown(Why::Denied {
                    action: "ssm:DescribeInstanceInformation".to_owned(),
                    reason: String::new(),
                }),
                "cannot tell whether the SSM agent is online: not allowed to call ssm:DescribeInstanceInformation",
            ),
        ] {
            let mut facts = facts();
            facts.aws.ssm = ssm;
            let plan = plan(fix, &facts).unwrap();
            assert!(plan.refused().is_some_and(|g| g.why.contains(words)), "{fix}: {:?}", plan.gates);
        }
    }
}

#[test]
fn what_stops_a_repair() {
    for fix in ALL {
        let mut stopped = facts();
        if let Fact::Known { value, .. } = &mut stopped.aws.instance {
            value.state = "stopped".to_owned();
        }
        assert!(plan(fix, &stopped).unwrap().refused().is_some_and(|g| g.why.contains("stopped")), "{fix}");
        let mut windows = facts();
        if let Fact::Known { value, .. } = &mut windows.aws.instance {
            value.platform = Some("windows".to_owned());
        }
        assert!(plan(fix, &windows).is_err_and(|e| e.contains("Windows")), "{fix}");
        let mut nowhere = facts();
        nowhere.aws.instance = Fact::NotAsked;
        assert!(plan(fix, &nowhere).is_err(), "{fix}");
    }
    for user in ["a;b", "Mia", "x y", "$(reboot)"] {
        let mut odd = facts();
        odd.target.user = Some(user.to_owned());
        for fix in ["remote-repair-permissions", "remote-add-key", "eic-push-key"] {
            assert!(plan(fix, &odd).is_err(), "{fix} {user}");
        }
    }
}

#[test]
fn a_login_that_works_needs_nothing() {
    let mut facts = facts();
    facts.wire.offers.push(Offer {
        user: "ec2-user".to_owned(),
        key: Some("/keys/mia.pub".to_owned()),
        fingerprint: None,
        answer: Answer::LoggedIn,
        methods: Vec::new(),
        banner: None,
    });
    for fix in ALL {
        let plan = plan(fix, &facts).unwrap();
        assert!(plan.refused().is_none() && plan.steps.iter().all(|s| s.action.is_none()), "{fix}: {plan:?}");
    }
    // That another user gets in says nothing about this one.
    facts.wire.offers[0].user = "root".to_owned();
    assert!(ALL.iter().all(|fix| plan(fix, &facts).unwrap().steps[0].action.is_some()));
}

#[test]
fn the_first_named_key_is_installed_with_a_harmless_comment() {
    let mut facts = facts();
    facts.local.keys.push(probe("/keys/other.pub", OTHER));
    let plan = plan("remote-add-key", &facts).unwrap();
    let Job::AddKey { user, key, replace, .. } = run(&plan).1 else { panic!("{plan:?}") };
    assert_eq!(user, "ec2-user");
    assert!(key.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnzMH") && !key.contains('\''), "{key}");
    assert_eq!(replace, &None);
    assert!(plan.choices.is_empty() && !plan.promises_login, "a .pub alone cannot prove a login");
    assert!(plan.gates.iter().any(|g| g.id == "access" && g.state == GateState::Warn));
    facts.local.keys.clear();
    assert!(fixes::plan("remote-add-key", &facts, &Choices::new()).is_err_and(|e| e.contains("-i")));
}

#[test]
fn the_key_of_the_launch_goes_only_when_that_is_chosen() {
    let mut facts = facts();
    let pair = KeyPair { name: "prod".to_owned(), public_key: Some(OTHER.to_owned()), ..KeyPair::default() };
    facts.aws.key_pair = known(Some(pair));
    let plan = plan("remote-add-key", &facts).unwrap();
    assert!(matches!(run(&plan).1, Job::AddKey { replace: None, .. }));
    let choices = Choices::from([("keys".to_owned(), "replace".to_owned())]);
    let plan = fixes::plan("remote-add-key", &facts, &choices).unwrap();
    let Job::AddKey { replace: Some(old), .. } = run(&plan).1 else { panic!("{plan:?}") };
    assert!(OTHER.contains(old.as_str()) && old.starts_with("AAAA"));
    assert!(plan.gates.iter().any(|g| g.id == "replaces"));
}

#[test]
fn settings_about_users_are_left_when_that_is_chosen() {
    let facts = facts();
    let Job::Sshd { let_in, port, own, .. } = run(&plan("remote-sshd-repair", &facts).unwrap()).1.clone() else {
        panic!()
    };
    assert_eq!((let_in, port, own), (true, 22, Some("10.0.0.7".parse().unwrap())));
    let choices = Choices::from([("settings".to_owned(), "leave".to_owned())]);
    let plan = fixes::plan("remote-sshd-repair", &facts, &choices).unwrap();
    assert!(matches!(run(&plan).1, Job::Sshd { let_in: false, .. }));
    // A rule of the packet filter only where something speaks for one, and for one address.
    assert!(matches!(run(&plan).1, Job::Sshd { firewall: false, .. }), "{plan:#?}");
    let mut refused = facts.clone();
    refused.target.source_ip = Some("203.0.113.10".parse().unwrap());
    refused.wire.address = Some("198.51.100.7".parse().unwrap());
    if let Fact::Known { value, .. } = &mut refused.aws.instance {
        value.public_ip = refused.wire.address;
    }
    refused.wire.tcp = known(Tcp::Refused { millis: 3 });
    let plan = fixes::plan("remote-sshd-repair", &refused, &choices).unwrap();
    assert!(matches!(run(&plan).1, Job::Sshd { firewall: true, .. }), "{plan:#?}");
    assert!(plan.steps[0].command.contains("-s 203.0.113.10 -p tcp --dport 22 -j ACCEPT"), "{plan:#?}");
}

#[test]
fn a_key_is_pushed_only_where_sshd_answers() {
    let mut facts = facts();
    let refused = plan("eic-push-key", &facts).unwrap();
    assert!(refused.refused().is_some_and(|g| g.id == "way"), "{:?}", refused.gates);
    facts.wire.address = Some("203.0.113.7".parse().unwrap());
    facts.wire.tcp = known(Tcp::Connected { millis: 5 });
    facts.wire.ssh = known(SshServer::Ready {
        banner: "SSH-2.0-OpenSSH_8.7".to_owned(),
        host_key: "SHA256:x".to_owned(),
        host_key_type: "ssh-ed25519".to_owned(),
    });
    let plan = plan("eic-push-key", &facts).unwrap();
    assert!(plan.refused().is_none(), "{:?}", plan.gates);
    let Some(Action::Remote(RemoteAction::PushKey { key, .. })) = &plan.steps[0].action else { panic!("{plan:?}") };
    // A .pub cannot log in: a key is made for the login, which the diagnosis afterwards does not have.
    assert_eq!((key, plan.promises_login), (&None, false));
}

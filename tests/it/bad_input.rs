//! What is wrong from the start: one clear sentence, exit 2, nothing changed. And text from others, which
//! must not reach the terminal as it is.

use crate::host::{closed, silent, sshd};
use crate::moto::{CLIENT, Moto, Spec, World};
use crate::program::{Home, Run};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn names_that_nobody_has() {
    let home = Home::with(Moto::shared());
    for target in ["i-0123456789abcdef0", "no-such-name", "root@no-such-name"] {
        let run = home.run(&["diagnose", target, "--source-ip", CLIENT]).exits(2);
        assert!(run.one_sentence().contains(target.trim_start_matches("root@")), "{run:#?}");
        assert_eq!(run.stdout, "");
        let json = home.run(&["diagnose", target, "--json", "--source-ip", CLIENT]).exits(2).json();
        assert_eq!(json["schema"], 1);
        assert!(json["error"].is_object(), "{json}");
    }
}

#[test]
fn a_name_that_two_instances_have() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let ids = moto.ask(&json!({"do": "named", "name": "twins", "states": ["running", "running", "terminated"]}));
    let id = |at: usize| ids[at].as_str().expect("an id").to_owned();
    let before = moto.ec2("describe_instances", &json!({"InstanceIds": ids}));
    for arguments in [vec!["diagnose", "twins"], vec!["fix", "sg-allow-my-ip", "twins", "--yes"]] {
        let run = home.run(&[&arguments[..], &["--source-ip", CLIENT]].concat()).exits(2);
        let text = run.one_sentence();
        assert!(text.contains(&id(0)) && text.contains(&id(1)) && !text.contains(&id(2)), "{text}");
    }
    assert_eq!(moto.ec2("describe_instances", &json!({"InstanceIds": ids})), before);
}

#[test]
fn a_name_that_is_also_a_command() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let names = ["proxy", "shell", "fleet", "identify", "lab"];
    let found: Vec<String> = names
        .iter()
        .map(|name| {
            let world = moto.build(&Spec::new(name, closed()));
            let port = world.place.port.to_string();
            let run = home.run(&["diagnose", name, "-p", &port, "--json", "--source-ip", CLIENT]);
            format!("{name} {}", run.json()["target"]["instance_id"] == world.instance.as_str())
        })
        .collect();
    assert_eq!(found, names.map(|name| format!("{name} true")));
}

#[test]
fn targets_of_no_form() {
    let home = Home::with(Moto::shared());
    let targets = [
        "999.1.2.3",
        "203.0.113",
        "1.2.3.4.5",
        "i-0a1b2c3d4e5f6071",
        "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-1",
        "arn:aws:s3:::bucket",
        "arn:aws:ec2:us-east-1:111122223333:instance/web",
        "2001:db8::g",
        "",
        "root@",
        "@web",
        "a\u{1b}[2Jb",
    ];
    for target in targets {
        for command in [&["diagnose", target][..], &["fix", "sg-allow-my-ip", target, "--yes"]] {
            let run = home.run(command).exits(2);
            run.one_sentence();
            assert_eq!(run.stdout, "", "{target}");
        }
    }
}

#[test]
fn options_of_no_form() {
    let home = Home::with(Moto::shared());
    let lines: [&[&str]; 9] = [
        &["diagnose"],
        &["diagnose", "web", "--no-such-option"],
        &["diagnose", "web", "--source-ip", "300.1.1.1"],
        &["diagnose", "web", "--source-ip", "203.0.113.0/24"],
        &["diagnose", "web", "-p", "0"],
        &["diagnose", "web", "-p", "70000"],
        &["diagnose", "web", "--symptom", "sadness"],
        &["diagnose", "web", "-F", "/nowhere/ssh_config"],
        &["diagnose", "--replay", "/nowhere.json"],
    ];
    for line in lines {
        let run = home.run(line).exits(2);
        assert!(!run.stderr.trim().is_empty() && !run.stderr.contains("panicked"), "{line:?}: {run:#?}");
        assert_eq!(run.stdout, "", "{line:?}");
    }
}

/// Runs the three commands with a key file that is none.
fn hopeless(home: &Home, key: &str) -> Vec<Run> {
    let place = closed();
    let (ip, port) = (place.ip.to_string(), place.port.to_string());
    let lines: [&[&str]; 2] = [
        &["diagnose", &ip, "-p", &port, "-i", key, "--source-ip", CLIENT],
        &["fix", "key-chmod", &ip, "-p", &port, "-i", key, "--yes", "--source-ip", CLIENT],
    ];
    lines.iter().map(|line| home.run(line)).collect()
}

#[test]
fn key_files_that_cannot_be_one() {
    let home = Home::new();
    let empty = home.file("empty.pem", "");
    let huge = home.file("huge.pem", "");
    fs::File::options().write(true).open(&huge).and_then(|f| f.set_len(100 << 20)).expect("a sparse file");
    let directory = home.path().join("directory.pem");
    fs::create_dir(&directory).expect("a directory");
    let socket = home.path().join("socket.pem");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    for path in [&empty, &huge, &directory, &socket] {
        let mode = fs::metadata(path).expect("the file").permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o044)).expect("a mode");
        for run in hopeless(&home, &path.display().to_string()) {
            let run = run.exits(2);
            assert!(run.one_sentence().contains(&path.display().to_string()), "{run:#?}");
            assert_eq!(run.stdout, "");
        }
        assert_eq!(
            fs::metadata(path).expect("the file").permissions().mode(),
            mode | 0o044,
            "{} was changed",
            path.display()
        );
    }
}

#[test]
fn a_key_file_that_may_not_be_read() {
    let home = Home::new();
    let key = home.key("k.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).expect("a mode");
    if fs::File::open(&key).is_ok() {
        // root reads everything: a path through a file cannot be read by anybody.
        let through = home.path().join("k.pem.pub").join("k.pem");
        for run in hopeless(&home, &through.display().to_string()) {
            assert!(matches!(run.exit, 1 | 2 | 4) && !run.stderr.contains("panicked"), "{run:#?}");
        }
        return;
    }
    let [diagnose, fix] = &hopeless(&home, &key.display().to_string())[..] else { panic!("two runs") };
    assert_eq!((diagnose.exit, fix.exit), (2, 2), "{diagnose:#?} {fix:#?}");
    diagnose.one_sentence();
}

#[test]
fn noise_as_a_key_is_a_damaged_key() {
    let home = Home::new();
    let noise: Vec<u8> =
        (0..3000u32).map(|n| u8::try_from((n.wrapping_mul(2_654_435_761) >> 11) & 0xff).unwrap_or(0)).collect();
    let key = home.file("noise.pem", noise);
    let (_sshd, place) = sshd(&[]);
    let report = home.diagnose(&format!("root@{}", place.ip), &World::unknown(place), &key);
    report.finds("key-file-damaged proven", 1);
}

#[test]
fn standard_input_of_noise_is_passed_over() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let world = moto.build(&Spec::new("noise", closed()));
    let port = world.place.port.to_string();
    let noise: Vec<u8> =
        (0..100_000u32).map(|n| u8::try_from((n.wrapping_mul(2_654_435_761) >> 11) & 0xff).unwrap_or(0)).collect();
    let run = home.run_with(&["diagnose", &world.instance, "-p", &port, "--json", "--source-ip", CLIENT], &noise);
    assert!(matches!(run.exit, 1 | 2), "{run:#?}");
    assert!(!run.stderr.contains("panicked"), "{run:#?}");
}

#[test]
fn what_is_pasted_is_used() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let (_sshd, place) = sshd(&[&key]);
    let world = moto.build(&Spec::new("pasted", place).key(&key));
    let config = home.path().join("ssh_config").display().to_string();
    let paste = format!(
        "$ ssh -i {} -p {} ec2-user@{}\nec2-user@{2}: Permission denied (publickey).\n",
        key.display(),
        place.port,
        place.ip
    );
    let run =
        home.run_with(&["diagnose", &world.instance, "--json", "-F", &config, "--source-ip", CLIENT], paste.as_bytes());
    let report = crate::program::Report::read(run);
    report.finds("wrong-user-name proven", 1);
    let target = &report.json["target"];
    assert_eq!(
        (&target["user"], &target["port"], &target["keys"][0]),
        (&"ec2-user".into(), &place.port.into(), &key.display().to_string().into())
    );
}

#[test]
fn control_sequences_of_tags_and_rules_stay_out() {
    // What XML lets through: the one-character introducer (CSI), next line, a carriage return, and the turn of the reading direction.
    const EVIL: &str = "web\u{9b}2J\u{9b}31m\u{85}\r\u{202e}";
    let moto = Moto::shared();
    let home = Home::with(moto);
    let host = silent();
    let key = home.key("k.pem").display().to_string();
    let world = moto.build(&Spec::new("evil", host.place).rules(&[("203.0.113.77/32", "my laptop")]));
    moto.ec2("create_tags", &json!({"Resources": [world.instance], "Tags": [{"Key": "Name", "Value": EVIL}]}));
    // AWS takes no such description; an emulator, or a change of the rules, may.
    moto.ec2(
        "update_security_group_rule_descriptions_ingress",
        &json!({"GroupId": world.group, "IpPermissions": [{
        "IpProtocol": "tcp", "FromPort": host.place.port, "ToPort": host.place.port,
        "IpRanges": [{"CidrIp": "203.0.113.77/32", "Description": format!("my laptop{EVIL}")}]}]}),
    );
    let port = host.place.port.to_string();
    let common = ["-p", &port, "-i", &key, "--source-ip", CLIENT];
    let lines: [&[&str]; 5] = [
        &["diagnose", &world.instance],
        &["diagnose", &world.instance, "--markdown"],
        &["diagnose", &world.instance, "--json"],
        &["fix", "sg-allow-my-ip", &world.instance, "--dry-run"],
        &["fix", "sg-allow-my-ip", &world.instance],
    ];
    for line in lines {
        let run = home.run(&[line, &common].concat());
        for text in [&run.stdout, &run.stderr] {
            let evil = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            assert_eq!(evil, None, "{line:?}: {text:?}");
        }
        assert!(run.stdout.contains("web") || run.stderr.contains("web"), "{line:?}: {run:#?}");
        if line.contains(&"--json") {
            crate::contract::no_controls(&run.json());
        }
    }
}

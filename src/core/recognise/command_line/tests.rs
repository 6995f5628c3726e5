//! Command lines as people paste them.

use super::*;

fn parse(text: &str) -> SshCommand {
    command_line(text).unwrap_or_default()
}

#[test]
fn plain_and_behind_prompts() {
    for prompt in [
        "",
        "$ ",
        "taro@laptop:~$ ",
        "[taro@laptop ~]$ ",
        "PS C:\\Users\\taro> ",
        "➜  ~ ",
        "C:\\Users\\taro>",
        "sudo ",
        "% ",
    ] {
        let c = parse(&format!("hello\n{prompt}ssh -i k.pem -p 2222 ubuntu@203.0.113.7\nssh: connect to host x"));
        assert_eq!(c.target.as_deref(), Some("203.0.113.7"), "{prompt:?}");
        assert_eq!((c.user.as_deref(), c.port, c.keys), (Some("ubuntu"), Some(2222), vec!["k.pem".to_owned()]));
    }
}

#[test]
fn every_spelling_of_options() {
    let c = parse(
        "ssh -vvv -ik.pem -lroot -o Port=22022 -oUser=a -F cfg -J b@bastion -o StrictHostKeyChecking=no web uptime -i x",
    );
    assert_eq!(c.target.as_deref(), Some("web"));
    assert_eq!((c.user.as_deref(), c.port), (Some("a"), Some(22022)));
    assert_eq!((c.config.as_deref(), c.jump.as_deref()), (Some("cfg"), Some("b@bastion")));
    assert_eq!((c.keys, c.options), (vec!["k.pem".to_owned()], vec!["StrictHostKeyChecking=no".to_owned()]));
    assert_eq!(parse("ssh ubuntu@2001:db8::1 -i 'my key.pem'").target.as_deref(), Some("2001:db8::1"));
    assert_eq!(parse("ssh \\\n  -i a.pem \\\n  ec2-user@host.example").user.as_deref(), Some("ec2-user"));
    assert_eq!(parse("ssh ssh://u@h.example:2200").port, Some(2200));
}

#[test]
fn relatives_of_ssh() {
    let c = parse("scp -P 2222 -i k.pem a.txt ubuntu@203.0.113.7:/tmp/");
    assert_eq!((c.target.as_deref(), c.port, c.user.as_deref()), (Some("203.0.113.7"), Some(2222), Some("ubuntu")));
    let c = parse("rsync -avz -e \"ssh -i k.pem -p 2222\" dir/ ec2-user@web:/srv");
    assert_eq!((c.target.as_deref(), c.port, c.keys.len()), (Some("web"), Some(2222), 1));
    let c = parse("C:\\>plink.exe -ssh -P 2222 -i k.ppk ec2-user@203.0.113.7 uptime");
    assert_eq!((c.target.as_deref(), c.port, c.keys.len()), (Some("203.0.113.7"), Some(2222), 1));
    assert_eq!(parse("pscp -i k.ppk a ec2-user@203.0.113.7:").target.as_deref(), Some("203.0.113.7"));
    assert_eq!(parse("git clone git@git.example.com:a/b.git").target.as_deref(), Some("git.example.com"));
    assert_eq!(parse("sftp web.example").target.as_deref(), Some("web.example"));
}

#[test]
fn commands_that_reach_a_host_otherwise() {
    let c = parse("ansible all -i 203.0.113.7, -u ubuntu --private-key=k.pem -m ping");
    assert_eq!((c.target.as_deref(), c.user.as_deref()), (Some("203.0.113.7"), Some("ubuntu")));
    assert_eq!(c.keys, ["k.pem"]);
    let c = parse("ansible web -u ubuntu -e 'ansible_port=2222 ansible_ssh_private_key_file=k.pem' -m ping");
    assert_eq!((c.user.as_deref(), c.port, c.keys.len()), (Some("ubuntu"), Some(2222), 1));
    assert_eq!(
        parse("$ aws ssm start-session --region us-east-1 --target i-0123456789abcdef0").target.as_deref(),
        Some("i-0123456789abcdef0")
    );
    let c = parse("aws ec2-instance-connect ssh --instance-id=i-0123456789abcdef0 --os-user ubuntu");
    assert_eq!((c.target.as_deref(), c.user.as_deref()), (Some("i-0123456789abcdef0"), Some("ubuntu")));
    let c = parse("curl -u ubuntu: sftp://203.0.113.7:2222/home/ubuntu/");
    assert_eq!((c.target.as_deref(), c.user.as_deref(), c.port), (Some("203.0.113.7"), Some("ubuntu"), Some(2222)));
    let c = parse("nc -vz -w 3 203.0.113.7 22");
    assert_eq!((c.target.as_deref(), c.port), (Some("203.0.113.7"), Some(22)));
    let c = parse("PS C:\\> Test-NetConnection -ComputerName web.example.com -Port 2222");
    assert_eq!((c.target.as_deref(), c.port), (Some("web.example.com"), Some(2222)));
    // What was pinged afterwards says less than the login.
    let c = parse("$ ssh -i k.pem ubuntu@203.0.113.7\nssh: connect to host x\n$ ping 203.0.113.8");
    assert_eq!((c.target.as_deref(), c.keys.len()), (Some("203.0.113.7"), 1));
    assert_eq!(parse("aws ec2 describe-instances --instance-ids i-0123456789abcdef0"), SshCommand::default());
}

#[test]
fn prose_is_no_command() {
    for text in [
        "I tried to ssh into the box",
        "ssh: connect to host a port 22: Connection refused",
        "usage: ssh [-4] destination",
        "my ssh client is old",
        "Please ssh first",
        "the ssh server said no",
        "aws is down",
        "ping me when it works",
        "telnet works but ssh does not",
        "docker is not involved",
        "ssh",
    ] {
        assert_eq!(command_line(text), None, "{text}");
    }
}

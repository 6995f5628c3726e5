use super::*;
use proptest::prelude::*;

fn hide() -> Hide {
    let mut hide = Hide::new([
        (Kind::Ip, "203.0.113.7".to_owned()),
        (Kind::Name, "web".to_owned()),
        (Kind::Name, "web-1".to_owned()),
        (Kind::User, "alice".to_owned()),
        (Kind::User, "ec2-user".to_owned()),
        (Kind::Name, "22".to_owned()),
        (Kind::Name, "ssh".to_owned()),
    ]);
    hide.know_id("i-0a1b2c3d");
    hide.know_file("~/.ssh/deploy.pem");
    hide
}

#[test]
fn the_same_thing_has_the_same_placeholder_and_ports_stay() {
    let hide = hide();
    for (text, wanted) in [
        ("tcp/22 from 203.0.113.7 to 203.0.113.7:22", "tcp/22 from IP-1 to IP-1:22"),
        ("web-1 (i-0a1b2c3d) in web", "NAME-2 (INSTANCE-1) in NAME-1"),
        ("website WEB web2", "website NAME-1 web2"),
        ("ssh -i ~/.ssh/deploy.pem -p 2222 ec2-user@203.0.113.7", "ssh -i KEY-1 -p 2222 ec2-user@IP-1"),
        ("deploy.pem: 0644, /home/alice/.ssh/id_rsa", "KEY-1: 0644, /home/USER-1/.ssh/id_rsa"),
        ("0.0.0.0/0 and ::/0 and 169.254.169.254", "0.0.0.0/0 and ::/0 and 169.254.169.254"),
        ("allows 198.51.100.4/32", "allows IP-2/32"),
        ("[2001:db8::1]:22 and 2001:DB8:0::1", "[IP-3]:22 and IP-3"),
        ("::ffff:203.0.113.7.", "IP-1."),
        ("agent 3.2.2303.0, OpenSSH_9.6p1, 12:34:56", "agent 3.2.2303.0, OpenSSH_9.6p1, 12:34:56"),
        ("chacha20-poly1305@openssh.com", "chacha20-poly1305@openssh.com"),
        ("sshd@3.service, ssh USER@ADDRESS", "sshd@3.service, ssh USER@ADDRESS"),
        ("arn:aws:iam::111122223333:role/path/app", "arn:aws:iam::ACCOUNT-1:role/NAME-3"),
        (
            "arn:aws:ec2:eu-west-1:111122223333:instance/i-0a1b2c3d.",
            "arn:aws:ec2:eu-west-1:ACCOUNT-1:instance/INSTANCE-1.",
        ),
        (
            "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
            "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
        ),
        ("account 111122223333 sg-0f3a0f3a sg-0f3a0f3b", "account ACCOUNT-1 SG-1 SG-2"),
        ("ec2-203-0-113-7.eu-west-1.compute.amazonaws.com", "HOST-1"),
        ("at ip-10-0-0-1 via ssm.eu-west-1.amazonaws.com", "at HOST-2 via ssm.eu-west-1.amazonaws.com"),
        ("bob@laptop.lan", "USER-2@HOST-3"),
    ] {
        assert_eq!(hide.text(text), wanted);
    }
}

proptest! {
    #[test]
    fn any_text_is_taken_and_no_known_name_survives(
        name in "[A-Za-z][A-Za-z0-9_ .'-]{3,14}[a-z]",
        before in "\\PC{0,30}",
        after in "\\PC{0,30}",
    ) {
        let hide = Hide::new([(Kind::Name, name.clone())]);
        let said = hide.text(&format!("{before} {name}: {after} ({name})"));
        // A secret that begins before it may have taken it along; the name itself is never there as a word.
        prop_assert!(is_common(&name) || !said.contains(&format!(" {name}:")), "{said}");
        prop_assert!(is_common(&name) || !said.contains(&format!("({name})")), "{said}");
    }

    #[test]
    fn no_address_survives(a in any::<[u8; 4]>(), b in any::<[u16; 8]>()) {
        let hide = Hide::default();
        for ip in [IpAddr::from(a), IpAddr::from(b)] {
            if !means_everybody(ip.to_canonical()) {
                let said = hide.text(&format!("dial {ip}, [{ip}]:22, {ip}/32, {ip}."));
                prop_assert!(!said.contains(&ip.to_string()), "{said}");
            }
        }
    }
}

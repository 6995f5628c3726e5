//! The repair through user data with a real cloud-init: a Debian guest that is really broken, the fix by the program,
//! a real login with the ssh client, and the owner's user data back byte for byte.
//!
//! `cloudinit.py` makes the guest (see there), which needs root as the guests of `guest.rs` do; `PORT22_TEST_NO_GUESTS=1`
//! leaves these tests out.

use crate::host::Place;
use crate::moto::{Moto, World};
use crate::program::Home;
use crate::sshd::keygen;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

/// A first-boot script that counts how often it ran.
const OWN: &[u8] = b"#!/bin/sh\necho run >> /var/lib/owner-ran\n# \xc3\xa9\r\n";

/// How a guest is broken; `$U` and `$H` are its user and home.
const FAULTS: &[(&str, &str)] = &[
    ("modes", "chmod 777 $H; chmod 775 $H/.ssh; chmod 666 $H/.ssh/authorized_keys"),
    ("owners", "chown root:root $H $H/.ssh $H/.ssh/authorized_keys"),
    ("no-directory", "rm -rf $H/.ssh"),
    (
        "lost-key",
        "printf 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMtUb/5YQ2O+0J9bWfTqkx1ZpZsV1v1m8XoKQJqfVv6P other' > $H/.ssh/authorized_keys",
    ),
    ("closed-home", "chmod 000 $H; chmod 700 /home"),
];

struct Cloud {
    moto: Moto,
    home: Home,
}

struct Guest {
    world: World,
    address: String,
}

impl Cloud {
    fn start() -> Self {
        let moto = Moto::of("cloudinit.py");
        let home = Home::with(&moto).in_network_of(moto.process());
        Self { moto, home }
    }

    /// A guest after its first boot, with this key pair.
    fn stage(&self, name: &str, pair: &Path) -> Guest {
        let public = fs::read_to_string(format!("{}.pub", pair.display())).expect("a public key");
        let ids =
            self.moto.ask(&json!({"do": "stage", "name": name, "public": public, "user_data": STANDARD.encode(OWN)}));
        let id = |name: &str| ids[name].as_str().expect(name).to_owned();
        let place = Place { ip: Ipv4Addr::LOCALHOST, port: 22 };
        let (group, vpc, acl, table, interface) = (id("group"), id("vpc"), id("acl"), id("table"), id("interface"));
        let world = World { place, instance: id("instance"), group, vpc, acl, table, interface };
        // Another guest, another host key.
        let _ = fs::remove_file(self.home.path().join("known_hosts"));
        Guest { world, address: id("address") }
    }

    fn sh(&self, script: &str) -> String {
        let said = self.moto.ask(&json!({"do": "sh", "script": format!("U=admin H=/home/admin; {script}")}));
        assert_eq!(said[2], 0, "{script}: {said}");
        said[0].as_str().unwrap_or_default().to_owned()
    }

    fn address(&self, guest: &Guest) -> String {
        let state = self.moto.ask(&json!({"do": "state_of", "instance": guest.world.instance}));
        assert_eq!(state[0], "running");
        state[1].as_str().expect("an address").to_owned()
    }

    /// One login with the ssh client.
    fn login(&self, address: &str, key: &Path) -> Value {
        let key = key.display().to_string();
        self.moto.ask(&json!({"do": "login", "address": address, "port": 22, "user": "admin", "key": key}))
    }

    fn user_data(&self, guest: &Guest) -> Vec<u8> {
        let text = self.moto.ask(&json!({"do": "user_data_of", "instance": guest.world.instance}));
        STANDARD.decode(text.as_str().expect("base64")).expect("base64")
    }
}

fn left_out() -> bool {
    let out = std::env::var_os("PORT22_TEST_NO_GUESTS").is_some();
    if out {
        eprintln!("left out: PORT22_TEST_NO_GUESTS is set");
    }
    out
}

#[test]
fn a_broken_login_is_repaired_by_a_real_cloud_init() {
    if left_out() {
        return;
    }
    let cloud = Cloud::start();
    let key = keygen(cloud.home.path(), "k", &["-t", "ed25519"], "");
    for (nth, (name, fault)) in FAULTS.iter().enumerate() {
        let guest = cloud.stage(name, &key);
        let before = cloud.login(&guest.address, &key);
        assert_eq!(before["works"], true, "{name}: {before}");
        assert_eq!(cloud.sh("cat /var/lib/owner-ran"), "run\n");
        cloud.sh("mkdir -p $H/data && chown root $H/data && touch $H/data/tool && chmod 4755 $H/data/tool");
        cloud.sh(fault);
        assert_eq!(cloud.login(&guest.address, &key)["works"], false, "{name} breaks nothing");
        // One of them puts its own user data back later.
        let later = nth == 1;
        let choice: &[&str] = if later { &["--choose", "restore=later"] } else { &[] };
        let path = key.display().to_string();
        let run =
            cloud.home.fix("user-data-repair", &guest.world, &[&["-i", &path, "--yes", "--json"], choice].concat());
        let console = cloud.moto.ask(&json!({"do": "console", "instance": guest.world.instance}));
        assert_eq!(run.exit, 0, "{name}: {run:#?}\n{}", console.as_str().unwrap_or_default());
        assert_eq!(run.json()["login_works"], true, "{name}: {run:#?}");
        let address = cloud.address(&guest);
        assert_ne!(address, guest.address, "the address changes");
        let after = cloud.login(&address, &key);
        assert_eq!(after["works"], true, "{name}: {after}\n{}", console.as_str().unwrap_or_default());
        if later {
            assert!(cloud.user_data(&guest).starts_with(b"#cloud-boothook\n"));
            assert_eq!(cloud.home.fix("user-data-restore", &guest.world, &["-i", &path, "--yes"]).exit, 0);
            // It promises no login, and does not wait for the boot.
            let until = Instant::now() + Duration::from_secs(90);
            while cloud.login(&cloud.address(&guest), &key)["works"] != true {
                assert!(Instant::now() < until, "{name}: nobody is let in after the restore");
            }
        }
        assert_eq!(cloud.user_data(&guest), OWN, "{name}: byte for byte");
        // The owner's first-boot script has not run again, and nothing below the home was touched.
        assert_eq!(cloud.sh("cat /var/lib/owner-ran"), "run\n", "{name}");
        assert_eq!(cloud.sh("stat -c '%a %U' $H/data $H/data/tool"), "755 root\n4755 root\n", "{name}");
        assert_eq!(cloud.sh("ls /var/lib/sshfix | wc -l").trim(), "1", "{name}: it ran once");
    }
}

#[test]
fn what_the_repair_cannot_do_is_said_and_taken_back() {
    if left_out() {
        return;
    }
    let cloud = Cloud::start();
    let key = keygen(cloud.home.path(), "k", &["-t", "ed25519"], "");
    let path = key.display().to_string();
    let guest = cloud.stage("link", &key);
    // Root must not follow a link that a user has made.
    cloud.sh("mv $H/.ssh $H/keys && ln -s $H/keys $H/.ssh && chmod 777 $H/keys $H");
    let run = cloud.home.fix("user-data-repair", &guest.world, &["-i", &path, "--yes"]);
    assert_eq!(run.exit, 1, "{run:#?}");
    run.fails_with("user-data-repair-ineffective");
    run.fails_with("FAIL symlink");
    assert_eq!(cloud.sh("stat -c %a $H/keys"), "777\n");
    let undone = cloud.home.run(&["undo", "--yes"]);
    assert_eq!(undone.exit, 0, "{undone:#?}");
    assert_eq!(cloud.user_data(&guest), OWN);
    assert_eq!(cloud.sh("cat /var/lib/owner-ran"), "run\n");
}

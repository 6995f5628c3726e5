//! What EC2Rescue's `openssh` module finds and puts right on a practice host.
//!
//! It looks at all users under /home, at sshd's configuration, its directory and its host keys; it starts no service and
//! knows nothing of SELinux, firewalls, shells or user names. Source: aws-ec2rescue-linux, `mod.d/openssh.yaml` and
//! `docs/modules/openssh.md`. Used by `automation`.

use crate::lab::scenario::{HostKeys, KeyFile, Unit};
use crate::lab::world::{Instance, Node, World};

/// Write rights of the group and of others.
const OTHERS_WRITE: u32 = 0o022;

/// What is found, in the tool's words, with what would put it right.
#[derive(Default)]
struct Findings {
    fix: bool,
    lines: Vec<String>,
    failed: bool,
}

impl Findings {
    /// Notes one fault; true if it is to be put right now.
    fn fault(&mut self, what: &str, item: &str, way: &str) -> bool {
        if self.fix {
            self.lines.push(format!("-- FIXED       {what}: {item}"));
        } else {
            self.lines.push(format!("-- FAILURE     {what}: {item}"));
            self.lines.push(format!("--             {way}"));
            self.failed = true;
        }
        self.fix
    }

    fn stuck(&mut self, what: &str, item: &str, way: &str) {
        let state = if self.fix { "FIX_FAILED" } else { "FAILURE" };
        self.lines.push(format!("-- {state:12.10}{what}: {item}"));
        self.lines.push(format!("--             {way}"));
        self.failed = true;
    }

    fn text(&self) -> String {
        let verdict = match (self.failed, self.fix) {
            (false, _) => "[SUCCESS] All configuration checks passed or all detected problems fixed.",
            (true, false) => "[FAILURE] Improper configuration of one or more OpenSSH components.",
            (true, true) => "[FAILURE] Failed to remediate one or more problems.",
        };
        let mut out = format!("----------[Diagnostic Results]----------\nmodule run/openssh            {verdict}\n");
        for line in &self.lines {
            out.push_str(line);
            out.push('\n');
        }
        out + "\nPlease view /var/tmp/ec2rl for additional details.\n"
    }
}

/// Runs it on a host, or on the disk of one; its output.
pub(in crate::lab) fn run(world: &mut World, id: &str, fix: bool) -> String {
    // The launch key, as the metadata service gives it.
    let key = world.instance(id).and_then(|instance| instance.key.as_deref());
    let known = key.and_then(|name| world.key_pairs.iter().find(|known| known.pair.name == name));
    let launch_key = known.map(|known| known.pair.blob());
    let mut found = Findings { fix, ..Findings::default() };
    let Some(instance) = world.instance_mut(id) else { return found.text() };
    server(instance, &mut found);
    if instance.os.unit != Unit::Absent {
        logins(instance, launch_key.as_deref(), &mut found);
    }
    found.text()
}

fn server(instance: &mut Instance, found: &mut Findings) {
    let os = &mut instance.os;
    if os.unit == Unit::Absent {
        found.stuck(
            "Missing sshd executable or it is not in $PATH",
            "sshd",
            "Reinstall OpenSSH or correct PATH environment variable.",
        );
        return;
    }
    let config = "/etc/ssh/sshd_config";
    if os.config_error.is_some()
        && found.fault("Bad lines in configuration file", config, "Comment out the malformed lines.")
    {
        os.config_error = None;
    }
    let way = "Create privilege separation directory";
    if os.no_privsep && found.fault("Missing privilege separation directory", "/usr/share/empty.sshd", way) {
        os.no_privsep = false;
    }
    let key = "/etc/ssh/ssh_host_ed25519_key";
    let repaired = match os.host_keys {
        HostKeys::Good => false,
        HostKeys::Missing => found.fault("Missing hostkey files", key, "Create hostkey files."),
        HostKeys::Open => {
            let what = "Permission mode includes permissions for groups and/or other users";
            found.fault(what, key, &format!("Adjust permissions:   sudo chmod 600 {key}"))
        }
    };
    if repaired {
        os.host_keys = HostKeys::Good;
    }
}

/// The way to the keys of every user under /home, and /home itself.
fn logins(instance: &mut Instance, launch_key: Option<&[u8]>, found: &mut Findings) {
    let mut parent = Node { owner: "root".to_owned(), mode: instance.parent_mode };
    part(&mut parent, "root", "/home", false, found);
    instance.parent_mode = parent.mode;
    if instance.os.home_unmounted {
        return;
    }
    for user in instance.users.iter_mut().filter(|user| user.uid != 0) {
        let home = format!("/home/{}", user.name);
        let (ssh, file) = (format!("{home}/.ssh"), format!("{home}/.ssh/authorized_keys"));
        part(&mut user.home, &user.name, &home, false, found);
        part(&mut user.ssh, &user.name, &ssh, false, found);
        match user.form {
            KeyFile::Absent if user.added.is_empty() => {
                let way = format!("Create {file} and add a key.");
                let Some(key) = launch_key else {
                    found.stuck("Missing authorized key file", &file, &way);
                    continue;
                };
                if found.fault("Missing authorized key file", &file, &way) {
                    (user.form, user.keys) = (KeyFile::Good, vec![key.to_vec()]);
                    user.file = Node { owner: user.name.clone(), mode: 0o600 };
                }
            }
            KeyFile::Directory => {
                found.stuck("Missing authorized key file", &file, &format!("Create {file} and add a key."));
            }
            _ => part(&mut user.file, &user.name, &file, true, found),
        }
    }
}

/// Mode and owner of one part of a path.
fn part(node: &mut Node, owner: &str, path: &str, file: bool, found: &mut Findings) {
    if node.mode & OTHERS_WRITE != 0 {
        let wanted = if file { node.mode & !0o100 } else { node.mode | 0o700 } & !OTHERS_WRITE;
        let what = "Permission mode includes write for groups and/or other users";
        if found.fault(what, path, &format!("Adjust permissions:   sudo chmod {wanted:o} {path}")) {
            node.mode = wanted;
        }
    }
    if node.owner != owner {
        let what = format!("Not owned by user {owner}");
        if found.fault(&what, path, &format!("Adjust ownership:     sudo chown {owner} {path}")) {
            owner.clone_into(&mut node.owner);
        }
    }
}

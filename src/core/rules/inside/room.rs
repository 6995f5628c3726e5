//! Room to work in: disks, memory, load; and what matters to other doors than ssh.

use super::Look;
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::wire::SshServer;

/// Load per processor above which a machine hardly answers.
const LOAD: f64 = 8.0;

pub(super) fn findings(look: &Look<'_>) -> Vec<Finding> {
    let mut out: Vec<Finding> = Vec::new();
    let stuck = matches!(
        look.view.facts.wire.ssh.value(),
        Some(SshServer::BannerTimeout { .. } | SshServer::ClosedBeforeBanner { .. })
    );
    if let Some(text) = full(look) {
        // A full disk is seen for sure; that it stops the login is sure only when sshd does not even greet.
        let certainty = match (stuck, look.answered) {
            (true, _) => Certainty::Proven,
            (false, false) => Certainty::Likely,
            (false, true) => Certainty::Possible,
        };
        let finding = look.finding("disk-full", certainty, text, "df");
        out.push(if certainty == Certainty::Proven {
            finding
        } else {
            finding.would_prove("a login that works once room was made")
        });
    }
    if let Some(text) = overload(look) {
        let certainty = if stuck { Certainty::Proven } else { Certainty::Possible };
        let finding = look.finding("cpu-or-memory-overload", certainty, text, "/proc/meminfo, /proc/loadavg");
        out.push(if stuck { finding } else { finding.would_prove("sshd accepts the connection and stays silent") });
    }
    out.extend(other_doors(look));
    out
}

fn full(look: &Look<'_>) -> Option<String> {
    let room = &look.inside.resources;
    // An image that is read-only by design is always full.
    let by_design = |at: &str| {
        at == "/" && room.root_read_only == Some(true)
            || room
                .home_on
                .as_ref()
                .is_some_and(|(kind, _, on)| on == at && matches!(kind.as_str(), "squashfs" | "erofs" | "iso9660"))
    };
    if let Some((at, used, _)) =
        room.disks.iter().find(|(at, used, free)| (*used >= 100 || *free == 0) && !by_design(at))
    {
        return Some(format!("{at} is {used} % full: no block is free"));
    }
    let (at, used) = room.inodes.iter().find(|(at, used)| *used >= 100 && !by_design(at))?;
    Some(format!("{at} has no free inode ({used} % used)"))
}

fn overload(look: &Look<'_>) -> Option<String> {
    let room = &look.inside.resources;
    if let Some((all, free)) = room.memory.filter(|(all, _)| *all > 0)
        && free * 50 < all
        && room.swap.is_none_or(|(swap, left)| left * 20 <= swap)
    {
        return Some(format!("{} MB of {} MB of memory are available, and no swap is left", free / 1024, all / 1024));
    }
    let processors = f64::from(room.processors.unwrap_or(1).max(1));
    let (one, five) = room.load?;
    (one > processors * LOAD && five > processors * LOAD)
        .then(|| format!("load is {one:.1} on {processors} processors, and was {five:.1} on average over 5 minutes"))
}

/// Causes that stop another door than ssh, raised only for who asked about that door.
fn other_doors(look: &Look<'_>) -> Vec<Finding> {
    let facts = look.view.facts;
    let told = |id: &str| facts.paste.as_ref().is_some_and(|p| p.causes.iter().any(|c| c == id));
    let mut out = Vec::new();
    let command = look.inside.sshd.setting("authorizedkeyscommand");
    let eic = facts.symptom() == Some("eic_error") || told("eic-agent-missing");
    if eic && look.inside.ec2.instance_connect.is_none() && command == Some("none") {
        let lines = look.inside.sshd.unit_lines.iter().chain(&look.inside.sshd.daemons);
        if !lines.into_iter().any(|l| l.contains("eic_run_authorized_keys")) {
            out.push(look.finding(
                "eic-agent-missing",
                Certainty::Proven,
                "EC2 Instance Connect's key command is not installed, and sshd has no AuthorizedKeysCommand",
                "sshd -T",
            ));
        }
    }
    out
}

pub(super) fn summary(look: &Look<'_>) -> Result<String, String> {
    let room = &look.inside.resources;
    if room.disks.is_empty() {
        return Err("disks were not seen".to_owned());
    }
    if room.root_read_only == Some(true) && look.inside.os.id != "bottlerocket" {
        return Err("the root file system is mounted read-only".to_owned());
    }
    if let Some(text) = full(look).or_else(|| overload(look)) {
        return Err(text);
    }
    let fullest = room.disks.iter().max_by_key(|(_, used, _)| *used);
    let disk = fullest.map_or_else(String::new, |(at, used, _)| format!("{at} is the fullest disk with {used} %"));
    let memory = room
        .memory
        .map_or_else(String::new, |(all, free)| format!(", {} of {} MB of memory available", free / 1024, all / 1024));
    Ok(format!("{disk}{memory}"))
}

//! What stands between the port and sshd inside the guest: packet filter, TCP wrappers, bans.

use super::Look;
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::wire::Tcp;
use crate::core::inside::packet::{self, Fate};
use crate::core::inside::patterns::wrapper;

pub(super) fn findings(look: &Look<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    if !look.answered {
        out.extend(hosts(look));
        out.extend(banned(look));
    }
    // A connection that was made went through every filter.
    if !look.connected {
        out.extend(filter(look));
    }
    out
}

fn client(look: &Look<'_>) -> String {
    look.address.map_or_else(|| "any client".to_owned(), |a| a.to_string())
}

fn filter(look: &Look<'_>) -> Option<Finding> {
    let port = look.port;
    let (backend, fate) = packet::fate(look.inside, look.address, port)?;
    let failed = matches!(
        look.view.facts.wire.tcp.value(),
        Some(Tcp::TimedOut { .. } | Tcp::Unreachable { .. } | Tcp::Refused { .. })
    );
    match fate {
        // fail2ban's chains hold bans, nothing else.
        Fate::Block { rule }
            if rule.contains("-A f2b-")
                || look.inside.firewall.nft.iter().any(|l| l.contains(" f2b-") && l.ends_with(rule.as_str())) =>
        {
            Some(look.finding(
                "fail2ban-ban",
                Certainty::Proven,
                format!("a rule of fail2ban keeps {} out: {rule}", client(look)),
                backend,
            ))
        }
        Fate::Block { rule } => Some(look.finding(
            "guest-firewall",
            Certainty::Proven,
            format!("{backend} keeps TCP {port} from {} out: {rule}", client(look)),
            backend,
        )),
        Fate::Unclear { rule } if failed => Some(
            look.finding(
                "guest-firewall",
                Certainty::Possible,
                format!("{backend} has rules that may keep TCP {port} out: {rule}"),
                backend,
            )
            .would_prove("the counters of the rules while you connect"),
        ),
        _ => None,
    }
}

fn hosts(look: &Look<'_>) -> Option<Finding> {
    let fw = &look.inside.firewall;
    if look.inside.sshd.libwrap != Some(true) {
        return None;
    }
    let answers = |lines: &[String]| -> Vec<(Option<bool>, String)> {
        lines.iter().map(|l| (wrapper(l, look.address), l.clone())).filter(|(a, _)| *a != Some(false)).collect()
    };
    let (allow, deny) = (answers(&fw.hosts_allow), answers(&fw.hosts_deny));
    if allow.iter().any(|(a, line)| *a == Some(true) && !denies(line)) {
        return None;
    }
    let refusing = allow.iter().find(|(a, line)| *a == Some(true) && denies(line));
    let rule = refusing.map(|(_, l)| ("hosts.allow", true, l)).or_else(|| {
        let sure = deny.iter().find(|(a, _)| *a == Some(true));
        sure.or(deny.first()).map(|(a, l)| ("hosts.deny", *a == Some(true), l))
    })?;
    let certainty = match (rule.1, refusing.is_none() && !allow.is_empty()) {
        (true, false) => Certainty::Proven,
        // Whether hosts.allow lets the client in depends on a name.
        (true, true) => Certainty::Likely,
        (false, _) => Certainty::Possible,
    };
    let text = format!("/etc/{} refuses {}: {}", rule.0, client(look), rule.2);
    let finding = look
        .finding("hosts-deny", certainty, text, "TCP wrappers")
        .and("this sshd is built with TCP wrappers (libwrap)", look.by("sshd program"));
    Some(if certainty == Certainty::Proven {
        finding
    } else {
        finding.would_prove("sshd's log: refused connect from your address")
    })
}

/// Whether a line of hosts.allow ends with the option that refuses.
fn denies(line: &str) -> bool {
    line.rsplit(':').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("deny"))
}

fn banned(look: &Look<'_>) -> Option<Finding> {
    let (jail, count, _) = look.inside.firewall.fail2ban.iter().find(|(_, _, mine)| *mine)?;
    let text = format!("fail2ban's jail {jail} has banned {} (one of {count})", client(look));
    Some(look.finding("fail2ban-ban", Certainty::Proven, text, "fail2ban-client status"))
}

pub(super) fn summary(look: &Look<'_>) -> Result<String, String> {
    let port = look.port;
    match packet::fate(look.inside, look.address, port) {
        Some((backend, Fate::Unclear { rule })) if !look.connected => {
            Err(format!("{backend} has a rule that cannot be judged from here: {rule}"))
        }
        Some((backend, Fate::Accept)) => Ok(format!("{backend} lets TCP {port} from {} in", client(look))),
        _ if look.connected => Ok("a connection from here reached the port".to_owned()),
        Some((backend, _)) => Err(format!("{backend} was not judged")),
        None if look.inside.uid == Some(0) && look.inside.end == crate::core::facts::inside::End::Whole => {
            Ok("the guest has no packet filter rules".to_owned())
        }
        None => Err("packet filter rules were not seen".to_owned()),
    }
}

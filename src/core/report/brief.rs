//! The answer in a few lines, for somebody who sees it under the error of their own ssh.

use super::{certainty, check_title, fill, ssh_command, ssh_command_as, target_words};
use crate::core::catalogue;
use crate::core::check::Verdict;
use crate::core::diagnosis::{Diagnosis, Overall, recommended};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::fixes;
use crate::core::rules;

/// At most five lines: whom it is about and the likely cause, why, what to do, the team's page about it, a way in.
pub fn brief(facts: &Facts, diagnosis: &Diagnosis) -> Vec<String> {
    let label = facts.instance().map_or_else(|| facts.target.name.clone(), Instance::label);
    let words = catalogue::get();
    let Some(first) = diagnosis.causes.first().filter(|_| diagnosis.overall != Overall::Healthy) else {
        return match diagnosis.overall {
            Overall::Healthy => vec![format!("{label}: the login works now:"), format!("  {}", ssh_command(facts))],
            _ => {
                let open = diagnosis.checks.iter().find(|c| c.verdict == Verdict::CannotTell);
                let missing = open.map(|c| format!("; {}: {}", check_title(&c.id), c.reason)).unwrap_or_default();
                vec![format!("{label}: no cause could be found{missing}")]
            }
        };
    };
    let cause = words.causes.get(&first.id);
    let title = cause.map_or(first.id.as_str(), |w| w.title.as_str());
    let mut out = vec![format!("{label}: {title} ({}, {})", certainty(first.certainty), first.id)];
    out.extend(first.evidence.first().map(|e| format!("  {}", e.text)));
    let fix = cause.and_then(|w| w.fixes.iter().find(|id| fixes::applicable(id)));
    let user = rules::suggested_user(facts).filter(|_| first.id == "wrong-user-name");
    if let Some(user) = user {
        out.push(format!("  log in as {user}:  {}", ssh_command_as(facts, Some(&user))));
    } else if let Some(fix) = fix {
        let title = words.fixes.get(fix).map_or(fix.as_str(), |w| w.title.as_str());
        out.push(format!("  {title}:  port22 fix {fix} {}", target_words(facts)));
    } else if let Some(line) = cause.and_then(|w| w.by_hand.first()) {
        out.push(format!("  by hand:  {}", fill(line, facts)));
    }
    out.extend(cause.and_then(|w| w.added.runbook.as_ref()).map(|link| format!("  runbook:  {link}")));
    if let Some(door) = recommended(&diagnosis.doors).filter(|d| d.id != "ssh" && d.cost.starts_with("no ")) {
        out.push(format!("  meanwhile:  {} is open ({})", super::door_name(&door.id), door.why));
    }
    out
}

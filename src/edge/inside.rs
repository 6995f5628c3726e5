//! The look inside: the read-only script goes through the first open door, and what comes back is read.
//!
//! Only after the user's consent, which the engine has asked for. Must not judge.

use super::real_world::RealWorld;
use super::remote::Errand;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::inside::Inside;
use crate::core::inside::doors::doors;
use crate::core::plan::Door;
use crate::core::{inside, redact, rules};

/// Seconds that the script may run; it bounds itself as well.
const RUN_LIMIT: u64 = 75;

impl RealWorld {
    /// Runs the script through the first door that opens.
    pub(super) async fn inside(&self, facts: &Facts) -> Fact<Inside> {
        let Some(instance) = facts.instance() else { return Fact::unknown(Why::needs("the instance")) };
        let user = rules::login_user(facts);
        let script = match inside::script(&inside::params(facts, user.as_deref())) {
            Ok(script) => script,
            Err(reason) => return Fact::unknown(Why::failed("make the read-only script", reason)),
        };
        let errand = Errand {
            what: "the read-only script",
            comment: "port22: read-only look at sshd and the login files",
            limit: RUN_LIMIT,
        };
        let mut first: Option<Why> = None;
        // A key that is pushed is a change, if only for 60 seconds.
        let pushes = |door: &Door| matches!(door, Door::Push { .. });
        for door in doors(facts).into_iter().filter(|door| !(self.read_only() && pushes(door))) {
            match self.enter((&instance.region, &instance.id), &door, errand, &script, self.through(facts)).await {
                Ok(output) => {
                    let how = match &door {
                        Door::Agent => "by Run Command".to_owned(),
                        Door::Login { user, .. } => format!("as {user} over SSH"),
                        Door::Push { user, .. } => format!("as {user} with a key of 60 seconds"),
                    };
                    return known(&output, format!("read-only script inside {}, {how}", instance.id));
                }
                Err(unrun) => first = first.or(Some(unrun.why)),
            }
        }
        Fact::unknown(first.unwrap_or_else(|| {
            Why::needs("an open door: an SSM agent that is online, a login that works, or EC2 Instance Connect")
        }))
    }
}

fn known(output: &str, source: String) -> Fact<Inside> {
    // Log lines may hold what a script printed by mistake.
    Fact::known(inside::parse(&redact::secrets(output)), source)
}

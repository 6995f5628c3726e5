//! The look inside: which open door the read-only script takes, and what comes back.
//!
//! Only after the user's consent, which the engine has asked for. The order is that of disturbance: Systems Manager
//! (no login at all), a login that works, a key of 60 seconds by EC2 Instance Connect. Must not judge.

use super::real_world::RealWorld;
use super::ssh::{self, SshKey, SshRequest};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::inside::Inside;
use crate::core::facts::wire::{Answer, SshServer, Tcp};
use crate::core::rules::offering::Candidate;
use crate::core::{inside, redact, rules};
use russh::keys::ssh_key::{Algorithm, LineEnding, PrivateKey};
use std::time::Duration;

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
        let mut whys: Vec<Why> = Vec::new();
        if facts.agent_is_online() {
            match self.aws().run_script(instance, &script, RUN_LIMIT).await {
                Ok(output) => {
                    return known(&output, format!("read-only script inside {}, by Run Command", instance.id));
                }
                Err(why) => whys.push(why),
            }
        }
        if let Some((user, key)) = working_login(facts) {
            match self.by_login(facts, &user, key, &script).await {
                Ok(output) => {
                    return known(&output, format!("read-only script inside {}, as {user} over SSH", instance.id));
                }
                Err(why) => whys.push(why),
            }
        }
        if may_push(facts) {
            match self.by_push(facts, instance, &script).await {
                Ok((user, output)) => {
                    let source = format!("read-only script inside {}, as {user} with a key of 60 seconds", instance.id);
                    return known(&output, source);
                }
                Err(why) => whys.push(why),
            }
        }
        Fact::unknown(whys.into_iter().next().unwrap_or_else(|| {
            Why::needs("an open door: an SSM agent that is online, a login that works, or EC2 Instance Connect")
        }))
    }

    async fn by_login(&self, facts: &Facts, user: &str, key: SshKey, script: &str) -> Result<String, Why> {
        let Some(request) = self.request_of(facts, key) else { return Err(Why::needs("an address to dial")) };
        ssh::run_script(request, user, script).await
    }

    fn request_of(&self, facts: &Facts, key: SshKey) -> Option<SshRequest> {
        facts.wire.tcp.value().filter(|tcp| matches!(tcp, Tcp::Connected { .. }))?;
        let port = facts.wire.port.unwrap_or(crate::core::target::SSH_PORT);
        let mut request = SshRequest::new(facts.wire.address?, port);
        request.keys = vec![key];
        request.total_limit = Duration::from_secs(RUN_LIMIT + 10);
        request.banner_limit = request.total_limit;
        request.expect_known(facts);
        request.through = self.through(facts);
        Some(request)
    }

    /// A key made for this one login and forgotten with it.
    async fn by_push(&self, facts: &Facts, instance: &Instance, script: &str) -> Result<(String, String), Why> {
        let doing = "push a key of 60 seconds";
        let user = rules::default_user(facts)
            .or_else(|| rules::login_user(facts))
            .ok_or_else(|| Why::needs("the login user of the image"))?;
        let fresh =
            PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(|e| Why::failed(doing, e.to_string()))?;
        let public = fresh.public_key().to_openssh().map_err(|e| Why::failed(doing, e.to_string()))?;
        let private = fresh.to_openssh(LineEnding::LF).map_err(|e| Why::failed(doing, e.to_string()))?;
        self.aws().push_key(instance, &user, &public).await?;
        let key = SshKey {
            path: "the pushed key".to_owned(),
            public: Some(public),
            private: Some(private.as_bytes().to_vec()),
            encrypted: false,
            held: false,
        };
        let output = self.by_login(facts, &user, key, script).await?;
        Ok((user, output))
    }
}

fn known(output: &str, source: String) -> Fact<Inside> {
    // Log lines may hold what a script printed by mistake.
    Fact::known(inside::parse(&redact::secrets(output)), source)
}

/// A user who was let in or would be, and the key file that does it without a passphrase.
fn working_login(facts: &Facts) -> Option<(String, SshKey)> {
    let offer = facts
        .wire
        .offers
        .iter()
        .find(|o| matches!(o.answer, Answer::LoggedIn | Answer::WouldAccept) && o.key.is_some())?;
    let probe = facts.local.keys.iter().find(|k| Some(&k.path) == offer.key.as_ref())?;
    let key = RealWorld::ssh_key(Candidate::File(probe)).filter(|key| key.private.is_some())?;
    Some((offer.user.clone(), key))
}

/// Whether a pushed key can be tried: the server talks, and the image may carry the package.
fn may_push(facts: &Facts) -> bool {
    matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })) && rules::may_carry_instance_connect(facts)
}

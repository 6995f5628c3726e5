//! What a login needs to know and nobody has asked yet: the missing probes of a diagnosis, asked here.
//!
//! Must not ask again what is known, and must not judge.

use crate::core::facts::Facts;
use crate::core::probe::ProbeId;
use crate::edge::RealWorld;
use crate::engine::failure::Failure;
use crate::engine::world::World as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for one probe.
const LIMIT: Duration = Duration::from_secs(20);

/// The facts with these probes, as far as nothing has asked them before.
pub(super) async fn complete(world: &RealWorld, facts: &Facts, probes: &[ProbeId]) -> Facts {
    let mut facts = facts.clone();
    for probe in probes {
        if !is_missing(&facts, *probe) {
            continue;
        }
        let seen = timeout(LIMIT, world.observe(*probe, Arc::new(facts.clone()))).await;
        for observation in seen.unwrap_or_default() {
            observation.apply(&mut facts);
        }
    }
    facts
}

fn is_missing(facts: &Facts, probe: ProbeId) -> bool {
    !match probe {
        ProbeId::SshConfig => facts.local.config.is_asked(),
        ProbeId::Dns => facts.local.dns.is_asked(),
        ProbeId::Keys => !facts.local.keys.is_empty(),
        ProbeId::Agent => facts.local.agent.is_asked(),
        ProbeId::Instance => facts.aws.instance.is_asked(),
        ProbeId::Image => facts.aws.image.is_asked() || facts.instance().is_none(),
        ProbeId::Console => facts.aws.console.is_asked() || facts.instance().is_none(),
        ProbeId::Machine => facts.host.machine.is_asked() || facts.instance().is_none(),
        ProbeId::SerialAccess => facts.doors.serial.is_asked() || facts.instance().is_none(),
        ProbeId::ConnectEndpoints => facts.doors.connect_endpoints.is_asked() || facts.instance().is_none(),
        _ => true,
    }
}

/// The failure when the instance is not known.
pub(super) fn no_instance(facts: &Facts, doing: &str) -> Failure {
    let why = facts.aws.instance.why_not().map_or_else(|| "the instance is not known".to_owned(), |why| why.text());
    Failure::usage(doing, why, "give the instance id, and its Region with --region")
}

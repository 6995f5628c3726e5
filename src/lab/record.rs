//! What was changed in the account, for a program that asks whether a lesson is solved: `GET /practice`.
//!
//! Used by `http` and `api`. AWS has nothing like it. It holds no key material: what is longer than a name, an address
//! or an id (scripts, user data, public keys) is left out, and the files are told by their path alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};

use super::api::{self, Params};
use super::world::World;
use super::{LabOptions, REGION, Shared};

/// Where it is asked for.
pub(super) const PATH: &str = "/practice";

/// Values that are longer are no name, address or id.
const LONGEST: usize = 100;

/// More calls than any lesson takes; the first ones are kept.
const MOST: usize = 2000;

/// A call that changed something.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Made {
    /// Service and action, as in `ec2:StopInstances`.
    action: String,
    /// What was asked for, by the names of the wire.
    parameters: BTreeMap<String, String>,
    /// Names of the instances that it is about.
    instances: Vec<String>,
}

impl Made {
    /// Of an answered request. Where no instance is named, it is about all in the VPC that is.
    pub fn of(world: &World, action: &str, params: &Params) -> Self {
        let about = |wide| {
            let all = world.instances.iter().filter(|instance| api::is_about(world, params, instance, wide));
            all.map(|instance| instance.name.clone()).collect::<Vec<_>>()
        };
        let named = about(false);
        let parameters = params
            .all()
            .filter(|(name, value)| value.len() <= LONGEST && !matches!(*name, "Action" | "Version"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { action: action.to_owned(), parameters, instances: if named.is_empty() { about(true) } else { named } }
    }
}

impl Shared {
    /// Keeps a call.
    pub(super) fn record(&self, made: Made) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() < MOST {
            calls.push(made);
        }
    }
}

/// What does not change while the account is there.
pub(super) fn about(options: &LabOptions, config: &Path, source: IpAddr) -> Value {
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    json!({
        "schema": 1,
        "seed": options.seed,
        "scenario": options.scenario,
        "region": REGION,
        "config": config.display().to_string(),
        "source_ip": source.to_string(),
        "begun": begun,
    })
}

/// The answer.
pub(super) fn answer(shared: &Shared) -> String {
    let mut all = shared.about.clone();
    let calls = shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
    all["calls"] = serde_json::to_value(&*calls).unwrap_or_default();
    all.to_string()
}

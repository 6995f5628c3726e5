//! EC2 Instance Connect: a public key that the guest's helper takes for 60 seconds.
//!
//! As the service does, it says "success" whether or not the guest has the helper (EC2 Instance Connect API).

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::ssm::{Reply, text};
use super::{Problem, unknown};
use crate::lab::ids;
use crate::lab::world::{State, World};

/// How long the key is good for.
const LIFE: Duration = Duration::from_mins(1);

pub(super) fn run(world: &mut World, action: &str, body: &str) -> Reply {
    if !["SendSSHPublicKey", "SendSerialConsoleSSHPublicKey"].contains(&action) {
        return Err(unknown(action));
    }
    let request: Value = serde_json::from_str(body)
        .map_err(|error| Problem::new("SerializationException", format!("the request is no JSON: {error}")))?;
    let id = text(&request, "InstanceId")?;
    let key = text(&request, "SSHPublicKey")?;
    let blob = key.split_whitespace().nth(1).and_then(|data| STANDARD.decode(data).ok());
    let Some(blob) = blob.filter(|_| (80..=4096).contains(&key.len())) else {
        return Err(Problem::new("InvalidArgsException", "The SSH public key is not valid."));
    };
    if action == "SendSerialConsoleSSHPublicKey" {
        return serial(world, id, blob);
    }
    let user = text(&request, "InstanceOSUser")?.to_owned();
    let Some(instance) = world.instance_mut(id) else {
        return Err(Problem::new("EC2InstanceNotFoundException", "Instance not found"));
    };
    if instance.state != State::Running {
        let message = format!("{id} is not running: {}", instance.state.words().1);
        return Err(Problem::new("EC2InstanceStateInvalidException", message));
    }
    let now = Instant::now();
    instance.pushed.retain(|(.., until)| *until > now);
    instance.pushed.push((user, blob, now + LIFE));
    let number = world.fresh_id("push");
    Ok(json!({ "RequestId": ids::request_id(world.seed, u64::from(number.as_bytes()[6])), "Success": true }))
}

/// A key for the serial console: what must be there first is looked at in the service's order.
fn serial(world: &mut World, id: &str, blob: Vec<u8>) -> Reply {
    let Some(instance) = world.instance(id) else {
        return Err(Problem::new("EC2InstanceNotFoundException", "Instance not found"));
    };
    if !world.serial_console {
        let message = "Serial Console access is not enabled for this account in this region.";
        return Err(Problem::new("SerialConsoleAccessDisabledException", message));
    }
    if !super::machine::is_nitro(instance.kind()) {
        let message = format!("Instance type {} is not supported for the serial console.", instance.kind());
        return Err(Problem::new("EC2InstanceTypeInvalidException", message));
    }
    if instance.state != State::Running {
        let message = format!("{id} is not running: {}", instance.state.words().1);
        return Err(Problem::new("EC2InstanceStateInvalidException", message));
    }
    if world.serial_sessions.contains(id) {
        let message = "There is already an active session for this serial port.";
        return Err(Problem::new("SerialConsoleSessionLimitExceededException", message));
    }
    let now = Instant::now();
    world.serial_keys.retain(|(.., until)| *until > now);
    world.serial_keys.push((id.to_owned(), blob, now + LIFE));
    let number = world.fresh_id("push");
    Ok(json!({ "RequestId": ids::request_id(world.seed, u64::from(number.as_bytes()[6])), "Success": true }))
}

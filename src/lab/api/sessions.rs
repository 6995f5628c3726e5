//! Session Manager's own calls: StartSession, ResumeSession, TerminateSession, DescribeSessions.
//!
//! The data channel that they lead to is served by `session`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::Problem;
use super::ssm::{DOCUMENTS, Reply, seconds, text};
use crate::lab::ids;
use crate::lab::managed;
use crate::lab::session::{PATH, SessionRecord};
use crate::lab::world::World;

/// Sessions that are remembered; one that nobody joins would stay for ever.
const KEPT: usize = 200;

pub(super) fn start(world: &mut World, request: &Value) -> Reply {
    let target = text(request, "Target")?;
    let connected = world.instance(target).is_some_and(|instance| managed::connected(world, instance));
    if !connected {
        return Err(Problem::new("TargetNotConnected", format!("{target} is not connected.")));
    }
    let document = request["DocumentName"].as_str();
    let parameters = parameters(document, &request["Parameters"])?;
    let tail = world.fresh_id("s");
    let id = format!("practice-{}", tail.trim_start_matches("s-"));
    let record = SessionRecord {
        instance: target.to_owned(),
        document: document.map(str::to_owned),
        parameters,
        reason: request["Reason"].as_str().unwrap_or_default().to_owned(),
        token: None,
        begun: SystemTime::now(),
        joined: false,
    };
    world.sessions.insert(id.clone(), record);
    while world.sessions.len() > KEPT {
        let forgotten =
            world.sessions.iter().filter(|(_, record)| !record.joined).min_by_key(|(_, record)| record.begun);
        let Some(oldest) = forgotten.map(|(id, _)| id.clone()) else { break };
        world.sessions.remove(&oldest);
    }
    Ok(grant(world, &id))
}

/// The parameters of a session document, checked: names, lists of one text, and what must be there.
fn parameters(document: Option<&str>, given: &Value) -> Result<BTreeMap<String, String>, Problem> {
    let name = document.unwrap_or("SSM-SessionManagerRunShell");
    let Some((_, "Session", known)) = DOCUMENTS.iter().find(|(known, ..)| *known == name) else {
        return Err(Problem::new("InvalidDocument", format!("Document with name {name} does not exist.")));
    };
    let mut out = BTreeMap::new();
    for (name, values) in given.as_object().into_iter().flatten() {
        if !known.iter().any(|(known, ..)| known == name) {
            let message = format!("Parameter {name} is not defined in the document.");
            return Err(Problem::new("InvalidParameters", message));
        }
        let one = match values.as_array().map(Vec::as_slice) {
            Some([Value::String(one)]) => one,
            Some(_) => return Err(Problem::new("InvalidParameters", format!("Parameter {name} takes one value."))),
            None => return Err(Problem::new("SerializationException", "Expected list or null")),
        };
        let port = name.ends_with("portNumber") || name.ends_with("PortNumber");
        if port && one.parse::<u16>().is_err() {
            let message = format!("Parameter \"{name}\" has value \"{one}\" not matching a port number.");
            return Err(Problem::new("InvalidParameters", message));
        }
        out.insert(name.clone(), one.clone());
    }
    let missing = known.iter().find(|(name, _, default, _)| default.is_none() && !out.contains_key(*name));
    match missing {
        Some((name, ..)) => Err(Problem::new("InvalidParameters", format!("Parameter {name} is required."))),
        None => Ok(out),
    }
}

/// A new right to open the channel.
fn grant(world: &mut World, id: &str) -> Value {
    let fresh = world.fresh_id("token");
    let token = ids::hex(&ids::bytes(world.seed, "session", &fresh));
    let url = format!("{}{PATH}{id}?role=publish_subscribe&cell-number=practice+{}/=", world.channel, &token[..8]);
    if let Some(record) = world.sessions.get_mut(id) {
        record.token = Some(token.clone());
    }
    json!({ "SessionId": id, "TokenValue": token, "StreamUrl": url })
}

pub(super) fn resume(world: &mut World, request: &Value) -> Reply {
    let id = text(request, "SessionId")?;
    if !world.sessions.contains_key(id) {
        return Err(Problem::new("DoesNotExistException", format!("Session {id} does not exist.")));
    }
    Ok(grant(world, id))
}

/// Ends a session; its agent sees that it is gone.
pub(super) fn terminate(world: &mut World, request: &Value) -> Reply {
    let id = text(request, "SessionId")?;
    world.sessions.remove(id);
    Ok(json!({ "SessionId": id }))
}

/// Sessions that are open; ended ones are not remembered.
pub(super) fn describe(world: &World, request: &Value) -> Reply {
    let active = text(request, "State")? == "Active";
    let all = world.sessions.iter().filter(|_| active).map(|(id, record)| {
        json!({
            "SessionId": id,
            "Target": record.instance,
            "Status": if record.joined { "Connected" } else { "Connecting" },
            "StartDate": seconds(record.begun),
            "DocumentName": record.document.as_deref().unwrap_or("SSM-SessionManagerRunShell"),
            "Owner": world.caller,
            "Reason": record.reason,
        })
    });
    Ok(json!({ "Sessions": all.collect::<Vec<_>>() }))
}

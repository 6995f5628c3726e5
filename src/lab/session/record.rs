//! What the service knows of a session. Plain data.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// One session, from its start to its end.
#[derive(Clone, Debug)]
pub(in crate::lab) struct SessionRecord {
    pub instance: String,
    pub document: Option<String>,
    pub parameters: BTreeMap<String, String>,
    pub reason: String,
    /// Opens the data channel, once.
    pub token: Option<String>,
    pub begun: SystemTime,
    /// Somebody has opened the data channel.
    pub joined: bool,
}

impl SessionRecord {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The `sessionType` of its document.
    pub fn kind(&self) -> &'static str {
        match self.document.as_deref() {
            None | Some("SSM-SessionManagerRunShell") => "Standard_Stream",
            Some("AWS-StartInteractiveCommand") => "InteractiveCommands",
            Some("AWS-StartNonInteractiveCommand") => "NonInteractiveCommands",
            Some(_) => "Port",
        }
    }

    /// Whether many connections go through it.
    pub fn forwards(&self) -> bool {
        self.document.as_deref().is_some_and(|name| name.starts_with("AWS-StartPortForwardingSession"))
    }

    /// Whether the agent asks the client something first.
    pub fn shakes_hands(&self) -> bool {
        matches!(self.kind(), "Port" | "NonInteractiveCommands")
    }

    /// The properties that the agent names in its first question.
    pub fn properties(&self) -> Value {
        let mut out: Map<String, Value> =
            self.parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        if self.kind() == "Port" {
            out.entry("portNumber").or_insert_with(|| json!("22"));
            if self.forwards() {
                out.insert("type".to_owned(), json!("LocalPortForwarding"));
                out.entry("localPortNumber").or_insert_with(|| json!("0"));
            }
        }
        Value::Object(out)
    }
}

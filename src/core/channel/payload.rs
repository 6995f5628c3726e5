//! The JSON payloads of the data channel: handshake, acknowledgement, close, terminal size.
//!
//! Reads are forgiving about fields that are not needed, and never panic. Text from the other side is untrusted: it
//! leaves here without control characters. Source: aws/amazon-ssm-agent `agent/session/datachannel/datachannel.go`,
//! `contracts/model.go`.

use crate::core::recognise::strip_controls;
use crate::core::text::shorten;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The version that is claimed: the first official one that signs the upgrade request, and above every threshold at
/// which the agent behaves otherwise (Systems Manager User Guide, plugin version history).
pub const CLIENT_VERSION: &str = "1.2.764.0";
/// Longest text from the other side that is shown, in characters.
const LONGEST_TEXT: usize = 2000;

/// What the agent asks for before data may flow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandshakeRequest {
    /// Version of the agent; empty when it names none.
    pub agent: String,
    /// The actions, in order.
    pub actions: Vec<Action>,
}

/// One requested action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// What kind of session it is.
    SessionType {
        /// `Standard_Stream`, `Port`, `InteractiveCommands`, `NonInteractiveCommands`.
        name: String,
        /// `type` of a port session's properties; empty when absent.
        port_type: String,
    },
    /// The session is to be encrypted with a KMS key.
    KmsEncryption,
    /// Something that is not known here.
    Other(String),
}

#[derive(Deserialize)]
struct RawRequest {
    #[serde(rename = "AgentVersion", default)]
    agent: Option<String>,
    #[serde(rename = "RequestedClientActions", default)]
    actions: Option<Vec<RawAction>>,
}

#[derive(Deserialize)]
struct RawAction {
    #[serde(rename = "ActionType", default)]
    name: String,
    #[serde(rename = "ActionParameters", default)]
    parameters: Value,
}

/// Untrusted text as it may be shown.
pub(super) fn shown(text: &str) -> String {
    shorten(strip_controls(text).trim(), LONGEST_TEXT)
}

impl HandshakeRequest {
    /// Reads the payload; `None` when it is no request.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let raw: RawRequest = serde_json::from_slice(payload).ok()?;
        let action = |raw: RawAction| match raw.name.as_str() {
            "SessionType" => {
                let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
                let properties = raw.parameters.get("Properties");
                Action::SessionType {
                    name: text(raw.parameters.get("SessionType")),
                    port_type: text(properties.and_then(|p| p.get("type"))),
                }
            }
            "KMSEncryption" => Action::KmsEncryption,
            other => Action::Other(other.to_owned()),
        };
        let actions = raw.actions.unwrap_or_default().into_iter().map(action).collect();
        Some(Self { agent: shown(&raw.agent.unwrap_or_default()), actions })
    }

    /// The answer to every action: encryption is refused, and what is not known is unsupported.
    pub fn response(&self) -> Bytes {
        let actions: Vec<Value> = self
            .actions
            .iter()
            .map(|action| {
                let (name, status, error) = match action {
                    Action::SessionType { .. } => ("SessionType", 1, String::new()),
                    Action::KmsEncryption => ("KMSEncryption", 2, "this client does not encrypt with KMS".to_owned()),
                    Action::Other(name) => (name.as_str(), 3, format!("Unsupported action {name}")),
                };
                json!({ "ActionType": name, "ActionStatus": status, "ActionResult": null, "Error": error })
            })
            .collect();
        let answer = json!({ "ClientVersion": CLIENT_VERSION, "ProcessedClientActions": actions, "Errors": null });
        Bytes::from(answer.to_string())
    }

    /// Whether the account wants sessions encrypted.
    pub fn wants_kms(&self) -> bool {
        self.actions.contains(&Action::KmsEncryption)
    }
}

fn string_of(payload: &[u8], name: &str) -> String {
    let fields: Map<String, Value> = serde_json::from_slice(payload).unwrap_or_default();
    shown(fields.get(name).and_then(Value::as_str).unwrap_or_default())
}

/// The text for the user in a completed handshake; mostly empty.
pub fn customer_message(payload: &[u8]) -> String {
    string_of(payload, "CustomerMessage")
}

/// The text for the user in `channel_closed`; mostly empty.
pub fn closed_output(payload: &[u8]) -> String {
    string_of(payload, "Output")
}

/// The number of the message that an acknowledgement is for.
pub fn acknowledged(payload: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Ack {
        #[serde(rename = "AcknowledgedMessageSequenceNumber")]
        number: i64,
    }
    serde_json::from_slice::<Ack>(payload).ok().map(|ack| ack.number)
}

/// Exit status of a command that was run with separate streams: `EXIT_CODE: n`.
pub fn exit_code(payload: &[u8]) -> Option<i32> {
    std::str::from_utf8(payload).ok()?.trim().strip_prefix("EXIT_CODE:")?.trim().parse().ok()
}

/// The terminal's size; `None` for a size of 0, which the agent must not get.
pub fn size(columns: u16, rows: u16) -> Option<Bytes> {
    (columns > 0 && rows > 0).then(|| Bytes::from(json!({ "cols": columns, "rows": rows }).to_string()))
}

/// Whether a version is above another, part by part as numbers; one that does not parse is old.
pub fn newer(version: &str, than: [u32; 4]) -> bool {
    let parts: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    let Some(parts) = parts.filter(|p| !p.is_empty()) else { return false };
    let mut four = [0; 4];
    four.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    four > than
}

/// The first frame after the upgrade, a text: who opens the channel, and the token that lets it.
pub fn open_message(token: &str, request_id: &[u8; 16], client_id: &[u8; 16]) -> String {
    json!({
        "MessageSchemaVersion": "1.0",
        "RequestId": super::message::uuid_text(request_id),
        "TokenValue": token,
        "ClientId": super::message::uuid_text(client_id),
        "ClientVersion": CLIENT_VERSION,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_every_action_answered() {
        let text = br#"{"AgentVersion":"3.3.987.0","RequestedClientActions":[
            {"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"22","type":"LocalPortForwarding"}}},
            {"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"arn"}},{"ActionType":"Dance"}]}"#;
        let request = HandshakeRequest::read(text).expect("a request");
        assert_eq!(request.agent, "3.3.987.0");
        let session = Action::SessionType { name: "Port".to_owned(), port_type: "LocalPortForwarding".to_owned() };
        assert_eq!(request.actions, [session, Action::KmsEncryption, Action::Other("Dance".to_owned())]);
        let answer: Value = serde_json::from_slice(&request.response()).expect("json");
        let statuses: Vec<_> = answer["ProcessedClientActions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|a| a["ActionStatus"].clone())
            .collect();
        assert_eq!(statuses, [json!(1), json!(2), json!(3)]);
        assert!(answer["Errors"].is_null() && answer["ClientVersion"] == CLIENT_VERSION);
    }

    #[test]
    fn odd_requests_are_read_as_far_as_they_go() {
        assert_eq!(HandshakeRequest::read(b"null"), None);
        assert_eq!(HandshakeRequest::read(b"{}"), Some(HandshakeRequest::default()));
        let properties = br#"{"RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":null}}]}"#;
        let expected = Action::SessionType { name: "Port".to_owned(), port_type: String::new() };
        assert_eq!(HandshakeRequest::read(properties).map(|r| r.actions), Some(vec![expected]));
        let deep = "[".repeat(60_000);
        assert_eq!(HandshakeRequest::read(deep.as_bytes()), None);
    }

    #[test]
    fn text_for_the_user_has_no_control_characters() {
        assert_eq!(closed_output(b"{\"Output\":\"\\u001b[31mred\\u0007 \"}"), "red");
        assert_eq!(closed_output(b"garbage"), "");
        assert_eq!(customer_message(br#"{"HandshakeTimeToComplete":5,"CustomerMessage":"hello"}"#), "hello");
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(newer("3.1.1512.0", [3, 1, 1511, 0]) && newer("3.10.0.0", [3, 9, 0, 0]));
        assert!(!newer("3.1.1511.0", [3, 1, 1511, 0]) && !newer("3.0.196.0", [3, 0, 196, 0]));
        assert!(!newer("new", [0, 0, 0, 0]) && !newer("", [0, 0, 0, 0]) && !newer("4.x", [3, 0, 0, 0]));
    }

    #[test]
    fn small_payloads() {
        assert_eq!(acknowledged(br#"{"AcknowledgedMessageSequenceNumber":7,"IsSequentialMessage":true}"#), Some(7));
        assert_eq!(acknowledged(br#"{"AcknowledgedMessageSequenceNumber":"7"}"#), None);
        assert_eq!(exit_code(b"EXIT_CODE: 3\n"), Some(3));
        assert_eq!(exit_code(b"3"), None);
        assert_eq!(size(120, 40).as_deref(), Some(br#"{"cols":120,"rows":40}"#.as_slice()));
        assert_eq!(size(0, 40), None);
    }
}

//! The Instance Connect Endpoints of the practice account: a WebSocket at the endpoint's port that leads to a host.
//!
//! Used by `http`, which hands over connections that ask for `/openTunnel`. As AWS's own: a request that may not be is
//! refused with a JSON document, and a host that does not answer is told by the close frame. Signatures are not computed,
//! but there must be one, for this service, and not an old one.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::reach::{self, Mode};
use super::world::World;
use super::{Shared, api, ids, sshd};

/// How a request for a tunnel begins.
pub(super) const BEGINNING: &[u8] = b"GET /openTunnel";
/// How long the endpoint waits for a host that does not answer.
const LOST_FOR: Duration = Duration::from_secs(3);
/// Between two looks whether the host still has power.
const LOOK: Duration = Duration::from_millis(100);

/// Serves one tunnel until either side ends it.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut found = None;
    // The library's own type, which is large.
    #[expect(clippy::result_large_err, reason = "the callback's signature is the library's")]
    let judge = |request: &Request, response: Response| match judge(&shared, request.uri().query().unwrap_or_default())
    {
        Ok(target) => {
            found = Some(target);
            Ok(response)
        }
        Err((status, code, message)) => Err(refusal(status, code, &message)),
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, judge).await else {
        return;
    };
    let (mode, instance) = found.unwrap_or((Mode::Blocked, String::new()));
    if mode != Mode::Sshd {
        if mode == Mode::Blocked {
            tokio::time::sleep(LOST_FOR).await;
        }
        let frame = CloseFrame { code: CloseCode::Error, reason: "Unable to connect to target".into() };
        let _ = socket.close(Some(frame)).await;
        return;
    }
    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
    let (off, power) = watch::channel(false);
    let serving = tokio::spawn(sshd::serve(theirs, shared.clone(), instance.clone(), power));
    let mut buffer = vec![0; 16 * 1024];
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    if ours.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => break,
            },
            read = ours.read(&mut buffer) => match read {
                Ok(count @ 1..) => {
                    if socket.send(Message::Binary(buffer[..count].to_vec().into())).await.is_err() {
                        break;
                    }
                }
                _ => {
                    let _ = socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).await;
                    break;
                }
            },
            _ = look.tick() => {
                if !shared.world().instance(&instance).is_some_and(super::world::Instance::up) {
                    let _ = off.send(true);
                }
            }
        }
    }
    serving.abort();
}

fn refusal(status: u16, code: &str, message: &str) -> ErrorResponse {
    let document = serde_json::json!({ "ErrorCode": code, "Message": message }).to_string();
    let mut answer = ErrorResponse::new(Some(document));
    *answer.status_mut() = status.try_into().unwrap_or_default();
    answer
}

type Refusal = (u16, &'static str, String);

/// Where the tunnel leads, or why there is none.
fn judge(shared: &Shared, query: &str) -> Result<(Mode, String), Refusal> {
    let params = api::Params::parse(query);
    let value = |name: &str| params.get(name).unwrap_or_default();
    let signed = value("X-Amz-Credential").split('/').nth(3) == Some("ec2-instance-connect")
        && value("X-Amz-Algorithm") == "AWS4-HMAC-SHA256"
        && value("X-Amz-SignedHeaders") == "host"
        && value("X-Amz-Signature").len() == 64;
    if !signed {
        return Err((403, "MissingAuthenticationToken", "Missing Authentication Token".to_owned()));
    }
    let now = shared.now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()).cast_signed();
    let holds = value("X-Amz-Expires").parse::<i64>().unwrap_or_default();
    if ids::signed_seconds(value("X-Amz-Date")).is_none_or(|date| (now - date).abs() > holds.min(300)) {
        return Err((403, "InvalidSignatureException", "Signature expired".to_owned()));
    }
    let world = shared.world();
    if let Some(message) = api::refusal(&world, "ec2-instance-connect:OpenTunnel", &params) {
        return Err((403, "AccessDenied", message));
    }
    lead(&world, value("instanceConnectEndpointId"), value("privateIpAddress"), value("remotePort"))
}

fn lead(world: &World, id: &str, address: &str, port: &str) -> Result<(Mode, String), Refusal> {
    let usable = ["create-complete", "update-in-progress", "update-complete", "update-failed"];
    let endpoint = world.connect_endpoints.iter().find(|e| e.id == id && usable.contains(&e.state.as_str()));
    let Some(endpoint) = endpoint else {
        let text = format!("The specified InstanceConnectEndpoint {id} does not exist or is not available.");
        return Err((404, "ResourceNotFound", text));
    };
    let port = match port.parse::<u16>() {
        // Where this machine lends no port 22, the story's port 22 is another one.
        Ok(22) => world.ssh_port,
        Ok(port) if port == 3389 || port == world.ssh_port => port,
        _ => {
            let text = "The specified RemotePort is not valid. Specify either 22 or 3389 as the RemotePort and retry your request.";
            return Err((400, "InvalidParameter", text.to_owned()));
        }
    };
    let Ok(address) = address.parse() else {
        return Err((400, "InvalidParameter", "The specified PrivateIpAddress is not valid.".to_owned()));
    };
    Ok(reach::from_endpoint(world, endpoint, address, port).unwrap_or((Mode::Blocked, String::new())))
}

//! Sessions of an AWS account: StartSession, ResumeSession, TerminateSession, and the signature of the upgrade.
//!
//! A session is started once and never sent twice. Must not judge why a target is not connected: the doors' rules do.
//! Source: Systems Manager API reference; aws/session-manager-plugin `communicator/websocketchannel.go` (signature).

use super::handle::{Ports, Shell};
use super::service::{Grant, Service, ServiceError, Token};
use super::{Timing, start, under_way};
use crate::core::channel::wire::Wanted;
use crate::core::fact::Why;
use crate::edge::aws::{Aws, error};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_ssm::operation::resume_session::ResumeSessionError;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use std::fmt;
use std::time::SystemTime;
use tokio::sync::oneshot;

/// What a port session leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortTarget {
    /// One connection to a port of the instance, for SSH (`AWS-StartSSHSession`).
    Ssh {
        /// Port on the instance.
        port: u16,
    },
    /// Any number of connections to a port (`AWS-StartPortForwardingSession`, `…ToRemoteHost`).
    Forward {
        /// Host as the instance names it; the instance itself when absent.
        host: Option<String>,
        /// Its port.
        port: u16,
    },
}

/// Why no session was started.
#[derive(Debug, Clone)]
pub enum Failed {
    /// `TargetNotConnected`: the agent is not there. Right after a boot that may pass within two minutes.
    NotConnected {
        /// The target.
        target: String,
    },
    /// Anything else.
    Why(Why),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected { target } => write!(
                f,
                "{target} is not connected to Session Manager: its agent is not registered or not running, its role is missing, it has no way to ssmmessages, or it is not running at all"
            ),
            Self::Why(why) => f.write_str(&why.text()),
        }
    }
}

/// One session of an account.
struct AwsSession {
    aws: Aws,
    region: String,
    id: String,
}

/// What a shell session runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program<'a> {
    /// The account's default document: a login shell in a terminal. Many policies allow only that.
    Login,
    /// A command in a terminal (`AWS-StartInteractiveCommand`): its exit status is told by nobody.
    Terminal(&'a str),
    /// A command without a terminal and without standard input (`AWS-StartNonInteractiveCommand`): standard error comes
    /// apart, and the exit status is told. The agent splits the text into words itself and runs no shell
    /// (amazon-ssm-agent, `agent/session/shell/shell_unix.go`).
    Plain(&'a str),
}

impl Program<'_> {
    fn request(self) -> (Option<&'static str>, Vec<(&'static str, String)>) {
        match self {
            Self::Login => (None, Vec::new()),
            Self::Terminal(command) => (Some("AWS-StartInteractiveCommand"), vec![("command", command.to_owned())]),
            Self::Plain(command) => (
                Some("AWS-StartNonInteractiveCommand"),
                vec![("command", command.to_owned()), ("separateOutputStream", "True".to_owned())],
            ),
        }
    }
}

/// Opens a terminal on a target (instance id, or `mi-…`), or runs a command there.
pub async fn open_shell(aws: &Aws, region: &str, target: &str, program: Program<'_>) -> Result<Shell, Failed> {
    let Started { id, grant, .. } = start_session(aws, region, target, program).await?;
    let session = AwsSession { aws: aws.clone(), region: region.to_owned(), id };
    let handle = start(Wanted::Shell, session, grant, Timing::default());
    Shell::of(handle).map_err(|e| Failed::Why(Why::failed("open a shell", e.to_string())))
}

/// Opens a port session on a target (instance id, or `mi-…`).
pub async fn open_port(aws: &Aws, region: &str, target: &str, port: &PortTarget) -> Result<Ports, Failed> {
    let (document, parameters) = match port {
        PortTarget::Ssh { port } => ("AWS-StartSSHSession", vec![("portNumber", port.to_string())]),
        PortTarget::Forward { host: None, port } => {
            ("AWS-StartPortForwardingSession", vec![("portNumber", port.to_string())])
        }
        PortTarget::Forward { host: Some(host), port } => (
            "AWS-StartPortForwardingSessionToRemoteHost",
            vec![("host", host.clone()), ("portNumber", port.to_string())],
        ),
    };
    let Started { id, grant, .. } = begin(aws, region, target, Some(document), parameters).await?;
    let session = AwsSession { aws: aws.clone(), region: region.to_owned(), id };
    Ok(Ports::of(start(Wanted::Port, session, grant, Timing::default())))
}

/// A session that nobody has joined yet.
#[derive(Debug)]
pub struct Started {
    /// Its id.
    pub id: String,
    /// Opens its data channel, once.
    pub grant: Grant,
    /// What was asked for, as the API names it.
    pub request: serde_json::Value,
}

/// Starts a shell session that another program will join.
pub async fn start_session(aws: &Aws, region: &str, target: &str, program: Program<'_>) -> Result<Started, Failed> {
    let (document, parameters) = program.request();
    begin(aws, region, target, document, parameters).await
}

/// Ends a session. What the service answers changes nothing.
pub async fn terminate_session(aws: &Aws, region: &str, id: &str) {
    let _ = aws.ssm_once(region).terminate_session().session_id(id).send().await;
}

/// Starts a session for a caller who may be gone before the answer comes: what nobody takes is ended again.
async fn begin(
    aws: &Aws,
    region: &str,
    target: &str,
    document: Option<&'static str>,
    parameters: Vec<(&'static str, String)>,
) -> Result<Started, Failed> {
    let (tell, told) = oneshot::channel();
    let here = under_way::call();
    let (aws, region, on) = (aws.clone(), region.to_owned(), target.to_owned());
    tokio::spawn(async move {
        let started = ask(&aws, &region, &on, document, parameters).await;
        let id = started.as_ref().ok().map(|started| started.id.clone());
        let (take, taken) = oneshot::channel::<()>();
        let _ = tell.send((started, take));
        if let (Some(id), Err(_)) = (id, taken.await) {
            terminate_session(&aws, &region, &id).await;
        }
        drop(here);
    });
    match told.await {
        Ok((started, take)) => {
            let _ = take.send(());
            started
        }
        Err(_) => Err(Failed::Why(Why::failed(format!("open a session on {target}"), "the call came to no end"))),
    }
}

async fn ask(
    aws: &Aws,
    region: &str,
    target: &str,
    document: Option<&str>,
    parameters: Vec<(&str, String)>,
) -> Result<Started, Failed> {
    let doing = format!("open a Session Manager session on {target}");
    let mut request = serde_json::json!({ "Target": target, "Reason": "port22" });
    let mut call = aws.ssm_once(region).start_session().target(target).reason("port22");
    if let Some(document) = document {
        request["DocumentName"] = document.into();
        call = call.document_name(document);
    }
    for (name, value) in parameters {
        request["Parameters"][name] = serde_json::json!([value]);
        call = call.parameters(name, vec![value]);
    }
    let answer = call.send().await.map_err(|e| match error::code(&e) {
        "TargetNotConnected" => Failed::NotConnected { target: target.to_owned() },
        _ => Failed::Why(error::why(&e, "ssm:StartSession", &doing)),
    })?;
    let (Some(id), Some(url), Some(token)) = (answer.session_id(), answer.stream_url(), answer.token_value()) else {
        return Err(Failed::Why(Why::failed(doing, "the answer names no session")));
    };
    let grant = Grant { url: url.to_owned(), token: Token::new(token.to_owned()) };
    Ok(Started { id: id.to_owned(), grant, request })
}

impl Service for AwsSession {
    async fn resume(&self) -> Result<Grant, ServiceError> {
        let answer = self.aws.ssm_once(&self.region).resume_session().session_id(&self.id).send().await;
        let answer = answer.map_err(|e| {
            let gone = matches!(e.as_service_error(), Some(ResumeSessionError::DoesNotExistException(_)));
            let why = error::why(&e, "ssm:ResumeSession", "take the session up again");
            let text = match &why {
                _ if gone => "the session does not exist any more".to_owned(),
                Why::Credentials { .. } => format!("{}; the session waits for a new login", why.text()),
                _ => why.text(),
            };
            ServiceError { text, last: gone || matches!(why, Why::Denied { .. }) }
        })?;
        match answer.token_value() {
            Some(token) if !token.is_empty() => Ok(Grant {
                url: answer.stream_url().unwrap_or_default().to_owned(),
                token: Token::new(token.to_owned()),
            }),
            _ => Err(ServiceError { text: "the session has timed out or was terminated".to_owned(), last: true }),
        }
    }

    async fn terminate(&self) {
        terminate_session(&self.aws, &self.region, &self.id).await;
    }

    async fn sign(&self, url: &str) -> Result<Vec<(String, String)>, ServiceError> {
        let failed = |text: String| ServiceError { text, last: false };
        let Some(provider) = self.aws.credentials() else { return Ok(Vec::new()) };
        let credentials = provider.provide_credentials().await;
        let credentials = credentials.map_err(|_| failed("the credential chain gives none".to_owned()))?;
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ssmmessages")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| failed(e.to_string()))?
            .into();
        let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(b""));
        let signed = request.and_then(|request| sign(request, &params)).map_err(|e| failed(e.to_string()))?;
        let (headers, _) = signed.into_parts().0.into_parts();
        Ok(headers.iter().map(|h| (h.name().to_owned(), h.value().to_owned())).collect())
    }

    fn is_custom(&self) -> bool {
        self.aws.is_ssm_custom()
    }
}

//! A script run by Systems Manager's Run Command, and the proof that a session opens.
//!
//! Both happen only with the user's consent: the engine asks for it before it calls. The script is read-only and is
//! given; nothing here makes one. Source: Systems Manager API reference, SendCommand, GetCommandInvocation, StartSession.

use super::client::Aws;
use super::error;
use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::Instance;
use crate::core::facts::doors::SessionProof;
use crate::core::probe::ProbeId;
use crate::core::recognise::strip_controls;
use crate::core::text::shorten;
use aws_sdk_ssm::types::CommandInvocationStatus;
use std::time::Duration;
use tokio::time::Instant;

/// Seconds in which the agent must take the command: 30 is the least that the API takes.
const DELIVERY: i32 = 30;
/// First and longest pause between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

impl Aws {
    /// Runs a shell script as root and gives its standard output. `run_limit` in seconds is the script's own limit.
    pub async fn run_script(&self, instance: &Instance, script: &str, run_limit: u64) -> Result<String, Why> {
        let doing = format!("run the read-only script inside {}", instance.id);
        let sent = self
            .ssm_once(&instance.region)
            .send_command()
            .instance_ids(&instance.id)
            .document_name("AWS-RunShellScript")
            .comment("port22: read-only look at sshd and the login files")
            .timeout_seconds(DELIVERY)
            .parameters("commands", script.lines().map(str::to_owned).collect())
            .parameters("executionTimeout", vec![run_limit.to_string()])
            .send()
            .await;
        let id = match sent {
            Ok(sent) => sent.command().and_then(|c| c.command_id()).unwrap_or_default().to_owned(),
            Err(e) => return Err(error::why(&e, ProbeId::Inside.action().unwrap_or_default(), &doing)),
        };
        self.outcome(instance, &id, &doing).await
    }

    async fn outcome(&self, instance: &Instance, command: &str, doing: &str) -> Result<String, Why> {
        let client = self.ssm(&instance.region);
        let mut pause = FIRST_LOOK;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            let look = client.get_command_invocation().command_id(command).instance_id(&instance.id).send().await;
            let answer = match look {
                Ok(answer) => answer,
                // The invocation is registered a moment after SendCommand answers.
                Err(e) if error::code(&e) == "InvocationDoesNotExist" => continue,
                Err(e) => return Err(error::why(&e, "ssm:GetCommandInvocation", doing)),
            };
            match answer.status() {
                Some(
                    CommandInvocationStatus::Pending
                    | CommandInvocationStatus::InProgress
                    | CommandInvocationStatus::Delayed
                    | CommandInvocationStatus::Cancelling,
                )
                | None => {}
                Some(CommandInvocationStatus::Success) => {
                    return Ok(answer.standard_output_content().unwrap_or_default().to_owned());
                }
                Some(other) => {
                    let details = answer.status_details().unwrap_or(other.as_str());
                    let words = shorten(&strip_controls(answer.standard_error_content().unwrap_or_default()), 200);
                    return Err(Why::failed(doing, format!("Run Command says {details} {words}").trim_end()));
                }
            }
        }
    }

    /// Pushes a public key that sshd may accept for 60 seconds (EC2 Instance Connect API, SendSSHPublicKey).
    pub(crate) async fn push_key(&self, instance: &Instance, user: &str, public: &str) -> Result<(), Why> {
        let doing = format!("push a key of 60 seconds for {user} to {}", instance.id);
        let call = self
            .instance_connect(&instance.region)
            .send_ssh_public_key()
            .instance_id(&instance.id)
            .instance_os_user(user)
            .ssh_public_key(public);
        match call.send().await {
            Ok(answer) if answer.success() => Ok(()),
            Ok(_) => Err(Why::failed(doing, "the service did not take the key")),
            Err(e) => Err(error::why(&e, "ec2-instance-connect:SendSSHPublicKey", &doing)),
        }
    }

    /// Opens a session and ends it at once: the proof that the caller's rights and the agent's way both work.
    pub(crate) async fn prove_session(&self, instance: &Instance) -> Fact<SessionProof> {
        let doing = format!("open a Session Manager session on {}", instance.id);
        let begun = Instant::now();
        let client = self.ssm_once(&instance.region);
        match client.start_session().target(&instance.id).reason("port22: proof that a session opens").send().await {
            Ok(session) => {
                let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                let id = session.session_id().unwrap_or_default().to_owned();
                // A session that nobody joins ends by itself; ending it is only tidy.
                let _ = client.terminate_session().session_id(&id).send().await;
                Fact::known(SessionProof { id, millis }, format!("StartSession {}", instance.id))
            }
            Err(e) => error::fact(&e, ProbeId::Session, &doing),
        }
    }
}

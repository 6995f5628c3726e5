//! A script run by Systems Manager's Run Command, and the proof that a session opens.
//!
//! Both happen only with the user's consent: the engine asks for it before it calls. The script is given; nothing here
//! makes one. Source: Systems Manager API reference, SendCommand, GetCommandInvocation, StartSession.

use super::client::Aws;
use super::error;
use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::Instance;
use crate::core::facts::doors::SessionProof;
use crate::core::probe::ProbeId;
use crate::core::recognise::strip_controls;
use crate::core::text::shorten;
use crate::edge::remote::{Errand, Unrun};
use aws_sdk_ssm::error::SdkError;
use aws_sdk_ssm::types::CommandInvocationStatus;
use std::time::Duration;
use tokio::time::Instant;

/// Seconds in which the agent must take the command: 30 is the least that the API takes.
const DELIVERY: i32 = 30;
/// First and longest pause between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Looks without an answer that are passed over.
const MISSED: u32 = 3;

impl Aws {
    /// Runs a shell script as root and gives its standard output.
    pub(in crate::edge) async fn run_script(
        &self,
        region: &str,
        instance: &str,
        script: &str,
        errand: Errand<'_>,
    ) -> Result<String, Unrun> {
        let doing = format!("run {} inside {instance}", errand.what);
        let sent = self
            .ssm_once(region)
            .send_command()
            .instance_ids(instance)
            .document_name("AWS-RunShellScript")
            .comment(errand.comment.chars().take(100).collect::<String>())
            .timeout_seconds(DELIVERY)
            .parameters("commands", script.lines().map(str::to_owned).collect())
            .parameters("executionTimeout", vec![errand.limit.to_string()])
            .send()
            .await;
        let id = match sent {
            Ok(sent) => sent.command().and_then(|c| c.command_id()).unwrap_or_default().to_owned(),
            Err(e) => {
                let answered = matches!(e, SdkError::ServiceError(_) | SdkError::ConstructionFailure(_));
                let why = error::why(&e, ProbeId::Inside.action().unwrap_or_default(), &doing);
                return Err(Unrun { why, begun: !answered });
            }
        };
        let all = Duration::from_secs(u64::from(DELIVERY.unsigned_abs()) + errand.limit + 30);
        self.outcome(region, instance, &id, &doing, all).await
    }

    async fn outcome(
        &self,
        region: &str,
        instance: &str,
        command: &str,
        doing: &str,
        all: Duration,
    ) -> Result<String, Unrun> {
        let client = self.ssm(region);
        let (mut pause, begun) = (FIRST_LOOK, Instant::now());
        let mut missed = 0;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            if begun.elapsed() > all {
                let after_ms = u64::try_from(all.as_millis()).unwrap_or(u64::MAX);
                return Err(Unrun::perhaps(Why::TimedOut { doing: doing.to_owned(), after_ms }));
            }
            let look = client.get_command_invocation().command_id(command).instance_id(instance).send().await;
            let answer = match look {
                Ok(answer) => answer,
                // The invocation is registered a moment after SendCommand answers.
                Err(e) if error::code(&e) == "InvocationDoesNotExist" => continue,
                // One look that fails is passed over: the command runs all the same.
                Err(e) if !matches!(e, SdkError::ServiceError(_)) && missed < MISSED => {
                    missed += 1;
                    continue;
                }
                Err(e) => return Err(Unrun::perhaps(error::why(&e, "ssm:GetCommandInvocation", doing))),
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
                    let why = Why::failed(doing, format!("Run Command says {details} {words}").trim_end());
                    let never = ["DeliveryTimedOut", "Undeliverable", "AccessDenied", "InvalidPlatform"];
                    return Err(Unrun { why, begun: !never.contains(&details) });
                }
            }
        }
    }

    /// Pushes a public key that sshd may accept for 60 seconds (EC2 Instance Connect API, SendSSHPublicKey).
    pub(crate) async fn push_key(&self, region: &str, instance: &str, user: &str, public: &str) -> Result<(), Why> {
        let doing = format!("push a key of 60 seconds for {user} to {instance}");
        let call = self
            .instance_connect(region)
            .send_ssh_public_key()
            .instance_id(instance)
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

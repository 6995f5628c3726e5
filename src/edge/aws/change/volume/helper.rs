//! The helper instance: launched, waited for, made to run the rescue script, terminated.

use super::{PAUSE, by_step, done, keep_repair, made, tag, tags};
use crate::core::plan::volume::{Helper, Repair, VolumeAction as Deed};
use crate::core::recognise::strip_controls;
use crate::core::rescue;
use crate::core::text::shorten;
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::world::{Performed, StepContext};
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    Filter, HttpTokensState, IamInstanceProfileSpecification, InstanceMetadataOptionsRequest,
    InstanceNetworkInterfaceSpecification, InstanceType, ResourceType, ShutdownBehavior,
};
use aws_sdk_ssm::types::CommandInvocationStatus as Status;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::time::Duration;
use tokio::time::Instant;

/// What a helper does by itself: whoever forgets it does not pay for it for long.
const ALARM: &str = "#!/bin/sh\nshutdown -P +360 'port22: this helper was forgotten'\n";
/// How long a new instance profile may take until EC2 knows it (IAM User Guide: changes are not visible at once).
const SPREAD: Duration = Duration::from_secs(90);
/// Seconds that the script may run: a file system check of a large disk takes long.
const RUN: u64 = 900;
/// Seconds in which the agent must take the command.
const DELIVERY: i32 = 120;

/// A helper that was launched.
pub(super) fn launched(region: &str, id: &str) -> Performed {
    let undo = Deed::Terminate { region: region.to_owned(), helper: id.to_owned() };
    let mut out = made(format!("helper {id} is launched"), undo);
    out.outputs.insert("helper".to_owned(), id.to_owned());
    out
}

impl Aws {
    /// The helper that a step has launched and that lives.
    pub(super) async fn helper_of(&self, region: &str, step: &StepContext) -> Result<Option<String>, Failure> {
        let lives = ["pending", "running", "stopping", "stopped"].map(str::to_owned).to_vec();
        let states = Filter::builder().name("instance-state-name").set_values(Some(lives)).build();
        let call = self.ec2(region).describe_instances().filters(by_step(step)).filters(states);
        let answer = call
            .send()
            .await
            .map_err(|e| error::failure(&e, "ec2:DescribeInstances", "look for a helper that was launched"))?;
        let found = answer
            .reservations()
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances)
            .find_map(|i| i.instance_id());
        Ok(found.map(str::to_owned))
    }

    /// The call that launches a helper; the token makes it the same one when it is repeated.
    pub(super) fn launch_call(&self, helper: &Helper, step: &StepContext) -> RunInstancesFluentBuilder {
        let interface = InstanceNetworkInterfaceSpecification::builder()
            .device_index(0)
            .subnet_id(&helper.subnet)
            .set_groups((!helper.groups.is_empty()).then(|| helper.groups.clone()))
            .set_associate_public_ip_address(helper.public.then_some(true))
            .delete_on_termination(true)
            .build();
        let name = format!("port22 helper for {}", helper.instance);
        let more = [("Name", name.as_str()), ("port22-rescues", helper.instance.as_str())];
        self.ec2_once(&helper.region)
            .run_instances()
            .image_id(&helper.image)
            .instance_type(InstanceType::from(helper.instance_type.as_str()))
            .min_count(1)
            .max_count(1)
            .client_token(&step.token)
            .network_interfaces(interface)
            .iam_instance_profile(IamInstanceProfileSpecification::builder().name(&helper.profile).build())
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
            .metadata_options(InstanceMetadataOptionsRequest::builder().http_tokens(HttpTokensState::Required).build())
            .user_data(STANDARD.encode(ALARM))
            .tag_specifications(tags(ResourceType::Instance, step, &more))
            .tag_specifications(tags(ResourceType::Volume, step, &more[..1]))
    }

    pub(super) async fn launch(&self, helper: &Helper, step: &StepContext) -> Result<Performed, Failure> {
        let region = &helper.region;
        if let Some(id) = self.helper_of(region, step).await? {
            return Ok(launched(region, &id));
        }
        let doing = format!("launch a helper instance in {}", helper.subnet);
        let began = Instant::now();
        loop {
            match self.launch_call(helper, step).send().await {
                Ok(answer) => {
                    let id = answer.instances().first().and_then(|i| i.instance_id()).ok_or_else(|| {
                        Failure::failed(&doing, "the answer names no instance", "look for it in the console")
                    })?;
                    return Ok(launched(region, id));
                }
                // A profile that was just made is not known everywhere at once.
                Err(e) if new_profile(&e) && began.elapsed() < SPREAD => {
                    step.say(format!("EC2 does not know profile {} yet", helper.profile));
                    tokio::time::sleep(PAUSE).await;
                }
                Err(e) if error::code(&e) == "IdempotentInstanceTerminated" => {
                    return Err(Failure::failed(
                        doing,
                        "the helper that this step had launched is terminated",
                        "take the rescue back and begin anew",
                    ));
                }
                Err(e) => return Err(error::failure(&e, "ec2:RunInstances", &doing)),
            }
        }
    }

    /// Whether a helper starts or runs. One that AWS has forgotten (an hour or so after its end) does not.
    pub(super) async fn helper_lives(&self, region: &str, helper: &str) -> Result<bool, Failure> {
        match self.ec2(region).describe_instances().instance_ids(helper).send().await {
            Ok(answer) => {
                let mut all = answer.reservations().iter().flat_map(aws_sdk_ec2::types::Reservation::instances);
                let state = all.find_map(|i| i.state()?.name().map(|name| name.as_str().to_owned()));
                Ok(matches!(state.as_deref(), Some("pending" | "running")))
            }
            Err(e) if error::code(&e) == "InvalidInstanceID.NotFound" => Ok(false),
            Err(e) => Err(error::failure(&e, "ec2:DescribeInstances", &format!("look at the helper {helper}"))),
        }
    }

    /// Terminates a helper, if it is one of ours.
    pub(super) async fn terminate(&self, region: &str, helper: &str, step: &StepContext) -> Result<Performed, Failure> {
        let doing = format!("terminate the helper {helper}");
        let asked = self.ec2(region).describe_instances().instance_ids(helper).send().await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(e) if error::code(&e) == "InvalidInstanceID.NotFound" => return Ok(done(format!("{helper} is gone"))),
            Err(e) => return Err(error::failure(&e, "ec2:DescribeInstances", &doing)),
        };
        let Some(seen) = answer.reservations().iter().flat_map(aws_sdk_ec2::types::Reservation::instances).next()
        else {
            return Ok(done(format!("{helper} is gone")));
        };
        let state = seen.state().and_then(|s| s.name()).map(|n| n.as_str().to_owned()).unwrap_or_default();
        if matches!(state.as_str(), "terminated" | "shutting-down") {
            return Ok(done(format!("{helper} is {state}")));
        }
        if !seen.tags().contains(&tag(super::TAG.0, super::TAG.1)) {
            return Err(Failure::new(
                FailureKind::Refused,
                doing,
                format!("{helper} does not carry the tag of a helper"),
                "look at it in the console, and end it by hand if it is one",
            ));
        }
        // What is not its root goes with nobody: the volume of the instance must be away before.
        let root = seen.root_device_name();
        if let Some(other) = seen.block_device_mappings().iter().find(|m| m.device_name() != root) {
            return Err(Failure::failed(
                doing,
                format!("it still has a volume as {}", other.device_name().unwrap_or_default()),
                "the volume goes back to its instance first",
            ));
        }
        let asked = self.ec2(region).terminate_instances().instance_ids(helper).send().await;
        asked.map_err(|e| error::failure(&e, "ec2:TerminateInstances", &doing))?;
        step.say(format!("{helper} is being terminated"));
        Ok(done(format!("helper {helper} is terminated")))
    }

    pub(super) async fn await_helper(
        &self,
        region: &str,
        helper: &str,
        minutes: u64,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("wait until the helper {helper} runs");
        self.wait_for_state(region, helper, "running", &doing, step).await?;
        self.await_agent(region, helper, minutes, step).await.map_err(|mut failure| {
            failure.next = "the instance still runs and nothing is stopped: undo ends the helper; look for a way out to Systems Manager on port 443 from its subnet (checks ssm-path)".to_owned();
            failure
        })
    }

    /// Runs the rescue script on the helper. It may be run again: what is right already is left alone.
    pub(super) async fn repair_disk(&self, repair: &Repair, step: &StepContext) -> Result<Performed, Failure> {
        let doing = format!("repair {} on the helper {}", repair.volume, repair.helper);
        let stay = "the volume is still at the helper, and the instance is stopped";
        let mark: String = step.token.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let script = rescue::script(&repair.volume, &repair.job, &mark)
            .map_err(|why| Failure::usage(&doing, why, "run the diagnosis again"))?;
        let sent = self
            .ssm_once(&repair.region)
            .send_command()
            .instance_ids(&repair.helper)
            .document_name("AWS-RunShellScript")
            .comment(shorten(&format!("port22: rescue of {}", repair.volume), 100))
            .timeout_seconds(DELIVERY)
            .parameters("commands", script.lines().map(str::to_owned).collect())
            .parameters("executionTimeout", vec![RUN.to_string()])
            .send()
            .await
            .map_err(|e| error::failure(&e, "ssm:SendCommand", &doing))?;
        let command = sent.command().and_then(|c| c.command_id()).unwrap_or_default();
        let output = self.command_output(repair, command, &doing, step).await?;
        let report = rescue::read(&strip_lines(&output)).map_err(|why| Failure::failed(&doing, why, stay))?;
        Ok(made(format!("{}: {}", repair.volume, shorten(&report.text(), 1500)), keep_repair(repair)))
    }

    async fn command_output(
        &self,
        repair: &Repair,
        command: &str,
        doing: &str,
        step: &StepContext,
    ) -> Result<String, Failure> {
        let client = self.ssm(&repair.region);
        let began = Instant::now();
        let limit = Duration::from_secs(RUN + 120);
        let mut pause = Duration::from_millis(300);
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(PAUSE);
            let late = began.elapsed() > limit;
            let look = client.get_command_invocation().command_id(command).instance_id(&repair.helper).send().await;
            match look {
                Ok(answer) => match answer.status() {
                    Some(Status::Pending | Status::InProgress | Status::Delayed | Status::Cancelling) | None => {
                        step.say("the rescue script is at work");
                    }
                    Some(Status::Success) => {
                        return Ok(answer.standard_output_content().unwrap_or_default().to_owned());
                    }
                    Some(other) => {
                        let words = shorten(&strip_controls(answer.standard_error_content().unwrap_or_default()), 300);
                        return Err(Failure::failed(
                            doing,
                            format!("Run Command says {} {words}", other.as_str()).trim_end().to_owned(),
                            "the volume is still at the helper, and the instance is stopped",
                        ));
                    }
                },
                // The invocation is registered a moment after SendCommand answers.
                Err(e) if error::code(&e) == "InvocationDoesNotExist" && !late => {}
                Err(e) if late => return Err(error::failure(&e, "ssm:GetCommandInvocation", doing)),
                Err(_) => {}
            }
            if late {
                return Err(Failure::failed(
                    doing,
                    "the script has not ended after 17 minutes",
                    "the volume is still at the helper, and the instance is stopped",
                ));
            }
        }
    }
}

/// The output without what could steer a terminal, line by line.
fn strip_lines(output: &str) -> String {
    output.lines().map(|line| strip_controls(line) + "\n").collect()
}

/// Whether EC2 does not know the instance profile yet.
fn new_profile<R>(
    failed: &aws_sdk_ec2::error::SdkError<aws_sdk_ec2::operation::run_instances::RunInstancesError, R>,
) -> bool {
    use aws_sdk_ec2::error::ProvideErrorMetadata as _;
    error::code(failed) == "InvalidParameterValue"
        && failed
            .as_service_error()
            .and_then(|e| e.message())
            .is_some_and(|m| m.to_ascii_lowercase().contains("profile"))
}

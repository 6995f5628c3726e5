//! Instances started and stopped.
//!
//! Must not force anything, and must not call a state reached that was not seen.

use crate::core::plan::Action;
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, Settled, StepContext};
use std::time::Duration;
use tokio::time::Instant;

/// How long a start or stop may take.
const LIMIT: Duration = Duration::from_mins(10);
/// Pause between looks at the state.
const PAUSE: Duration = Duration::from_millis(1500);

impl Aws {
    /// The state of an instance, such as `running`.
    pub(super) async fn state_of(&self, region: &str, instance: &str) -> Result<String, Failure> {
        let doing = format!("read the state of {instance} in {region}");
        let answer = self.ec2(region).describe_instances().instance_ids(instance).send().await;
        let answer = answer.map_err(|e| error::failure(&e, "ec2:DescribeInstances", &doing))?;
        let state = answer
            .reservations()
            .first()
            .and_then(|r| Some(r.instances().first()?.state()?.name()?.as_str().to_owned()));
        state.ok_or_else(|| Failure::failed(doing, "the answer names no state", "look at the instance in the console"))
    }

    /// What became of a start or stop of which no answer is known.
    pub(super) async fn settle_power(&self, region: &str, instance: &str, run: bool) -> Settled {
        let state = match self.state_of(region, instance).await {
            Ok(state) => state,
            Err(failure) => return Settled::CannotTell(failure.reason),
        };
        let done = match state.as_str() {
            "pending" | "running" => run,
            "stopping" | "stopped" => !run,
            _ => return Settled::CannotTell(format!("{instance} is {state}")),
        };
        if done {
            Settled::Done(Performed {
                text: format!("{instance} is {state}"),
                undo: Some(opposite(region, instance, run)),
                changed: true,
                ..Performed::default()
            })
        } else {
            Settled::NotDone
        }
    }

    /// Starts or stops an instance and waits until it is so. One that is so already is left alone.
    pub(super) async fn set_running(
        &self,
        region: &str,
        instance: &str,
        run: bool,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let (word, wanted, action) =
            if run { ("start", "running", "ec2:StartInstances") } else { ("stop", "stopped", "ec2:StopInstances") };
        let doing = format!("{word} {instance} in {region}");
        let before = self.state_of(region, instance).await?;
        if before == wanted {
            return Ok(Performed { text: format!("{instance} is {wanted} already"), ..Performed::default() });
        }
        let client = self.ec2_once(region);
        if run {
            let asked = client.start_instances().instance_ids(instance).send().await;
            asked.map_err(|e| error::failure(&e, action, &doing))?;
        } else {
            let asked = client.stop_instances().instance_ids(instance).send().await;
            asked.map_err(|e| error::failure(&e, action, &doing))?;
        }
        self.wait_for_state(region, instance, wanted, &doing, step).await?;
        Ok(Performed {
            text: format!("{instance} is {wanted}"),
            undo: Some(opposite(region, instance, run)),
            changed: true,
            ..Performed::default()
        })
    }

    /// Waits until an instance is in a state; one failed look is passed over.
    pub(super) async fn wait_for_state(
        &self,
        region: &str,
        instance: &str,
        wanted: &str,
        doing: &str,
        step: &StepContext,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let mut told = String::new();
        loop {
            let state = self.state_of(region, instance).await;
            match &state {
                Ok(state) if state == wanted => return Ok(()),
                Ok(state) if matches!(state.as_str(), "terminated" | "shutting-down") => {
                    return Err(Failure::failed(
                        doing,
                        format!("the instance is {state}: somebody, or its Auto Scaling group, terminated it"),
                        "its volumes may still be there: look at them in the console",
                    ));
                }
                Ok(state) if *state != told => {
                    told.clone_from(state);
                    step.say(format!("{instance} is {state}"));
                }
                _ => {}
            }
            if began.elapsed() > LIMIT {
                let seen = state.unwrap_or_else(|f| f.reason);
                return Err(Failure::failed(
                    doing,
                    format!("it is not {wanted} after 10 minutes ({seen})"),
                    "look at the instance's state reason in the console",
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The deed that takes a start or stop back.
fn opposite(region: &str, instance: &str, run: bool) -> Action {
    let (region, instance) = (region.to_owned(), instance.to_owned());
    if run { Action::StopInstance { region, instance } } else { Action::StartInstance { region, instance } }
}

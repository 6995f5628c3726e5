//! Instances started and stopped.
//!
//! Must not force anything, and must not call a state reached that was not seen.

use crate::core::plan::Action;
use crate::core::recognise::strip_controls;
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
/// How long AWS may go on to show the state before a change (EC2 API reference, "Eventual consistency").
const STALE: Duration = Duration::from_secs(30);

/// An instance as it is now.
struct Seen {
    state: String,
    /// `StateReason`: code and words.
    reason: String,
    public: Option<String>,
}

impl Aws {
    /// The state of an instance, such as `running`.
    pub(super) async fn state_of(&self, region: &str, instance: &str) -> Result<String, Failure> {
        self.seen(region, instance).await.map(|seen| seen.state)
    }

    async fn seen(&self, region: &str, instance: &str) -> Result<Seen, Failure> {
        let doing = format!("read the state of {instance} in {region}");
        let answer = self.ec2(region).describe_instances().instance_ids(instance).send().await;
        let answer = answer.map_err(|e| error::failure(&e, "ec2:DescribeInstances", &doing))?;
        let seen = answer.reservations().first().and_then(|r| {
            let instance = r.instances().first()?;
            let reason = instance.state_reason();
            let words = [reason.and_then(|r| r.code()), reason.and_then(|r| r.message())];
            Some(Seen {
                state: instance.state()?.name()?.as_str().to_owned(),
                reason: strip_controls(words.into_iter().flatten().max_by_key(|w| w.len()).unwrap_or_default()),
                public: instance.public_ip_address().map(str::to_owned),
            })
        });
        seen.ok_or_else(|| Failure::failed(doing, "the answer names no state", "look at the instance in the console"))
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
            gone if is_gone(gone) => {
                let text = format!("{instance} is {state}: nothing of a start or stop is left to take back");
                return Settled::Done(Performed { text, ..Performed::default() });
            }
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
        let before = self.seen(region, instance).await?;
        if is_gone(&before.state) {
            // Asked for by an earlier attempt at most.
            return Err(Failure { outcome_unknown: step.again, ..gone(&before.state, &doing) });
        }
        let on_its_way = before.state == if run { "pending" } else { "stopping" };
        if before.state == wanted || on_its_way {
            if on_its_way {
                self.wait_for_state(region, instance, wanted, &doing, step).await?;
            }
            // An attempt of this step that was cut short may have done it; else somebody else did.
            return Ok(Performed {
                text: format!("{instance} is {wanted} already"),
                undo: step.again.then(|| opposite(region, instance, run)),
                changed: step.again,
                ..Performed::default()
            });
        }
        if run && before.state == "stopping" {
            self.wait_for_state(region, instance, "stopped", &doing, step).await?;
        }
        let client = self.ec2_once(region);
        if run {
            let asked = client.start_instances().instance_ids(instance).send().await;
            asked.map_err(|e| advised(error::failure(&e, action, &doing), error::code(&e), run))?;
        } else {
            let asked = client.stop_instances().instance_ids(instance).send().await;
            asked.map_err(|e| advised(error::failure(&e, action, &doing), error::code(&e), run))?;
        }
        self.wait_for_state(region, instance, wanted, &doing, step).await?;
        let public = if run { self.seen(region, instance).await.ok().and_then(|s| s.public) } else { None };
        let at = public.map(|p| format!(" at {p}")).unwrap_or_default();
        Ok(Performed {
            text: format!("{instance} is {wanted}{at}"),
            undo: Some(opposite(region, instance, run)),
            changed: true,
            ..Performed::default()
        })
    }

    /// Stops an instance so that its memory is kept, and waits until it is stopped.
    pub(super) async fn hibernate(
        &self,
        region: &str,
        instance: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("hibernate {instance} in {region}");
        if self.state_of(region, instance).await? != "running" {
            return self.set_running(region, instance, false, step).await;
        }
        let asked = self.ec2_once(region).stop_instances().instance_ids(instance).hibernate(true).send().await;
        asked.map_err(|e| advised(error::failure(&e, "ec2:StopInstances", &doing), error::code(&e), false))?;
        self.wait_for_state(region, instance, "stopped", &doing, step).await?;
        Ok(Performed {
            text: format!("{instance} is stopped, its memory kept"),
            undo: Some(opposite(region, instance, false)),
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
        let mut started = false;
        loop {
            let seen = self.seen(region, instance).await;
            match &seen {
                Ok(seen) if seen.state == wanted => return Ok(()),
                Ok(seen) if is_gone(&seen.state) => return Err(gone(&seen.state, doing)),
                // It came up and fell back: nothing more will come.
                Ok(seen) if wanted == "running" && seen.state == "stopped" && (started || began.elapsed() > STALE) => {
                    let reason = if seen.reason.is_empty() { "AWS gives no reason" } else { &seen.reason };
                    let failure = Failure::failed(doing, format!("it stopped again: {reason}"), String::new());
                    return Err(advised(failure, &seen.reason, true));
                }
                Ok(seen) => {
                    started |= seen.state == "pending";
                    if seen.state != told {
                        told.clone_from(&seen.state);
                        step.say(format!("{instance} is {}", seen.state));
                    }
                }
                Err(_) => {}
            }
            if began.elapsed() > LIMIT {
                let seen = seen.map_or_else(|f| f.reason, |s| s.state);
                return Err(Failure {
                    // It was asked for, and may still come.
                    outcome_unknown: true,
                    ..Failure::failed(
                        doing,
                        format!("it is not {wanted} after 10 minutes ({seen})"),
                        "look at the instance's state reason in the console",
                    )
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn is_gone(state: &str) -> bool {
    matches!(state, "terminated" | "shutting-down")
}

/// An instance that was terminated: what became of a start or stop that was asked for nobody can see any more.
fn gone(state: &str, doing: &str) -> Failure {
    Failure {
        outcome_unknown: true,
        ..Failure::failed(
            doing,
            format!("the instance is {state}: somebody, or its Auto Scaling group, terminated it"),
            "nothing brings it back; its volumes and snapshots may still be there: look at them in the console",
        )
    }
}

/// What to do next where AWS says why it cannot start or stop (EC2 API reference, "Error codes"; EC2 User Guide,
/// "Troubleshoot instance launch issues").
fn advised(mut failure: Failure, code: &str, run: bool) -> Failure {
    let next = if code.contains("InsufficientInstanceCapacity") || code.contains("InsufficientHostCapacity") {
        "AWS has no room for this type in its zone now, and the instance stays stopped: try again in some minutes, or change its type (aws ec2 modify-instance-attribute --instance-type) and start it"
    } else if code.contains("LimitExceeded") {
        "a quota of the account is used up, and the instance stays as it is: stop something else, or ask for more (Service Quotas)"
    } else if code.contains("InternalError") && run {
        "often the KMS key of its encrypted root volume is disabled or may not be used: look at the key, then start it again"
    } else if code.contains("IncorrectSpotRequestState") {
        "AWS alone starts a Spot Instance again that the Spot service stopped: launch another one, on demand where it must be now"
    } else if code == "OperationNotPermitted" && !run {
        "stop protection may be on: plan again, and choose stop-protection=lift when its owner agrees"
    } else if code.contains("UnsupportedHibernationConfiguration") {
        "it is not ready to hibernate (the agent needs some minutes after a boot): wait, or choose a plain stop"
    } else {
        return failure;
    };
    next.clone_into(&mut failure.next);
    failure
}

/// The deed that takes a start or stop back.
fn opposite(region: &str, instance: &str, run: bool) -> Action {
    let (region, instance) = (region.to_owned(), instance.to_owned());
    if run { Action::StopInstance { region, instance } } else { Action::StartInstance { region, instance } }
}

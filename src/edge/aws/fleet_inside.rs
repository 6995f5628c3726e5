//! A read-only script on many hosts: Run Command's own spreading, never a loop of single commands.
//!
//! One SendCommand for a tag, else one for fifty ids (the most that a target takes), with MaxConcurrency and MaxErrors.
//! The answers come by ListCommandInvocations, page by page. That call cuts an output after 2,500 characters, so one of
//! which the end is missing is read whole by GetCommandInvocation. Source: Systems Manager API reference.

use super::client::Aws;
use super::error;
use crate::core::fact::{Fact, Why};
use crate::core::recognise::strip_controls;
use crate::core::text::shorten;
use crate::engine::fleet::Whom;
use aws_sdk_ssm::types::{CommandInvocation, CommandInvocationStatus, Target};
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// Ids of one target (API: Target.Values).
const IDS: usize = 50;
/// Commands at once, and hosts that each of them runs on at once.
const COMMANDS: usize = 4;
const HOSTS: u64 = 25;
/// Hosts that may fail before Run Command stops sending: a script that only reads harms none of the rest.
const ERRORS: &str = "100%";
/// Seconds in which an agent must take the command: 30 is the least that the API takes.
const DELIVERY: i32 = 30;
/// First and longest pause between two looks.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Looks without an answer that are passed over.
const MISSED: u32 = 3;
/// Whole outputs that are read at once.
const READS: usize = 8;

/// What to run, and how its output ends when it is whole.
pub(crate) struct Script<'a> {
    /// The script.
    pub text: &'a str,
    /// Words in its last line.
    pub end: &'a str,
    /// Seconds that it may run.
    pub limit: u64,
    /// Comment of the command.
    pub comment: &'a str,
}

impl Aws {
    /// Runs a script on these instances, and tells the output of each as it comes.
    pub(crate) async fn run_on_many(
        &self,
        region: &str,
        ids: &[String],
        whom: &Whom,
        script: &Script<'_>,
        out: &UnboundedSender<(String, Fact<String>)>,
    ) {
        let commands = match whom {
            Whom::Tag(..) => vec![ids.to_vec()],
            Whom::Everyone => ids.chunks(IDS).map(<[String]>::to_vec).collect(),
        };
        stream::iter(commands)
            .for_each_concurrent(COMMANDS, |some| async move {
                let sent = self.send_to(region, some, whom, script, out).await;
                stream::iter(sent)
                    .for_each_concurrent(COMMANDS, |(some, command)| self.follow(region, some, command, script, out))
                    .await;
            })
            .await;
    }

    /// Sends to all of these at once. One instance that the caller may not touch has the whole command refused, and
    /// nothing run: then each half is tried, until both halves of something are refused.
    async fn send_to(
        &self,
        region: &str,
        ids: Vec<String>,
        whom: &Whom,
        script: &Script<'_>,
        out: &UnboundedSender<(String, Fact<String>)>,
    ) -> Vec<(Vec<String>, String)> {
        let mut sent = Vec::new();
        let mut rest = ids;
        let mut answer = self.send(region, &rest, whom, script).await;
        loop {
            let why = match answer {
                Ok(command) => {
                    sent.push((rest, command));
                    return sent;
                }
                Err(why) => why,
            };
            let refused = matches!(why, Why::Denied { .. }) && *whom == Whom::Everyone;
            if !refused || rest.len() < 2 {
                tell(out, &rest, &why);
                return sent;
            }
            let second = rest.split_off(rest.len() / 2);
            let halves = tokio::join!(self.send(region, &rest, whom, script), self.send(region, &second, whom, script));
            match halves {
                (Ok(command), other) => {
                    sent.push((std::mem::replace(&mut rest, second), command));
                    answer = other;
                }
                (other, Ok(command)) => {
                    sent.push((second, command));
                    answer = other;
                }
                (Err(why), Err(also)) => {
                    tell(out, &rest, &why);
                    tell(out, &second, &also);
                    return sent;
                }
            }
        }
    }

    async fn send(&self, region: &str, ids: &[String], whom: &Whom, script: &Script<'_>) -> Result<String, Why> {
        let target = match whom {
            Whom::Tag(key, value) => Target::builder().key(format!("tag:{key}")).values(value),
            Whom::Everyone => Target::builder().key("InstanceIds").set_values(Some(ids.to_vec())),
        };
        let sent = self
            .ssm_once(region)
            .send_command()
            .targets(target.build())
            .document_name("AWS-RunShellScript")
            .comment(script.comment)
            .timeout_seconds(DELIVERY)
            .max_concurrency(HOSTS.to_string())
            .max_errors(ERRORS)
            .parameters("commands", script.text.lines().map(str::to_owned).collect())
            .parameters("executionTimeout", vec![script.limit.to_string()])
            .send()
            .await;
        match sent {
            Ok(sent) => Ok(sent.command().and_then(|c| c.command_id()).unwrap_or_default().to_owned()),
            Err(e) => Err(error::why(&e, "ssm:SendCommand", &doing(region))),
        }
    }

    /// Tells the answers of a command as they come.
    async fn follow(
        &self,
        region: &str,
        ids: Vec<String>,
        command: String,
        script: &Script<'_>,
        out: &UnboundedSender<(String, Fact<String>)>,
    ) {
        let doing = doing(region);
        // Hosts take their turn, a number of them at once.
        let turns = ids.len() as u64 / HOSTS + 1;
        let all = Duration::from_secs(u64::from(DELIVERY.unsigned_abs()) + script.limit * turns + 30);
        let mut waiting: BTreeSet<String> = ids.into_iter().collect();
        let (mut pause, mut missed, begun) = (FIRST_LOOK, 0, Instant::now());
        while !waiting.is_empty() {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            if begun.elapsed() > all {
                let after_ms = u64::try_from(all.as_millis()).unwrap_or(u64::MAX);
                return tell(out, &waiting, &Why::TimedOut { doing, after_ms });
            }
            let ended = match self.invocations(region, &command, &doing).await {
                Ok(found) => found.into_iter().filter(has_ended),
                Err(_) if missed < MISSED => {
                    missed += 1;
                    continue;
                }
                Err(why) => return tell(out, &waiting, &why),
            };
            let news: Vec<(String, CommandInvocation)> = ended
                .filter_map(|i| Some((i.instance_id()?.to_owned(), i)))
                .filter(|(id, _)| waiting.remove(id))
                .collect();
            stream::iter(news)
                .for_each_concurrent(READS, |(id, invocation)| {
                    let (command, doing) = (&command, &doing);
                    async move {
                        let output = self.output_of(region, command, &id, &invocation, script, doing).await;
                        let _ = out.send((id, output));
                    }
                })
                .await;
        }
    }

    async fn invocations(&self, region: &str, command: &str, doing: &str) -> Result<Vec<CommandInvocation>, Why> {
        let call = self.ssm(region).list_command_invocations().command_id(command).details(true);
        let mut pages = call.into_paginator().page_size(50).send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| error::why(&e, "ssm:ListCommandInvocations", doing))?;
            found.extend(page.command_invocations().iter().cloned());
        }
        Ok(found)
    }

    /// The output of an invocation that has ended.
    async fn output_of(
        &self,
        region: &str,
        command: &str,
        id: &str,
        invocation: &CommandInvocation,
        script: &Script<'_>,
        doing: &str,
    ) -> Fact<String> {
        let source = format!("Run Command {command} on {id}");
        if invocation.status() != Some(&CommandInvocationStatus::Success) {
            let status = invocation.status().map(CommandInvocationStatus::as_str).unwrap_or_default();
            let words = shorten(&strip_controls(invocation.status_details().unwrap_or(status)), 200);
            return Fact::unknown(Why::failed(doing, format!("Run Command says {words}")));
        }
        let short = invocation.command_plugins().iter().find_map(|p| p.output()).unwrap_or_default();
        if short.lines().any(|line| line.starts_with(script.end)) {
            return Fact::known(short.to_owned(), source);
        }
        match self.ssm(region).get_command_invocation().command_id(command).instance_id(id).send().await {
            Ok(whole) => Fact::known(whole.standard_output_content().unwrap_or_default().to_owned(), source),
            Err(e) => Fact::unknown(error::why(&e, "ssm:GetCommandInvocation", doing)),
        }
    }
}

fn doing(region: &str) -> String {
    format!("run the read-only script in {region}")
}

/// Tells that nothing is known of these, and why.
fn tell<'a>(out: &UnboundedSender<(String, Fact<String>)>, ids: impl IntoIterator<Item = &'a String>, why: &Why) {
    for id in ids {
        let _ = out.send((id.clone(), Fact::unknown(why.clone())));
    }
}

fn has_ended(invocation: &CommandInvocation) -> bool {
    !matches!(
        invocation.status(),
        None | Some(
            CommandInvocationStatus::Pending
                | CommandInvocationStatus::InProgress
                | CommandInvocationStatus::Delayed
                | CommandInvocationStatus::Cancelling
        )
    )
}

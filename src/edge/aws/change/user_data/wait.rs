//! Waits for a repair by user data: for its mark on the console, or for the login itself.
//!
//! Must not log in: keys are asked about without a signature, seldom, and only where the address is the instance's.

use crate::core::facts::local::KeyProbe;
use crate::core::facts::wire::{Answer, SshServer};
use crate::core::plan::Login;
use crate::core::recognise::strip_controls;
use crate::core::rules::gates;
use crate::core::rules::offering::Candidate;
use crate::core::text::shorten;
use crate::edge::aws::client::Aws;
use crate::edge::aws::{convert, error};
use crate::edge::real_world::RealWorld;
use crate::edge::{keys, ssh};
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, StepContext};
use base64::Engine as _;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

const CONSOLE: &str = "ec2:GetConsoleOutput";
/// Seconds that the mark may take (a snapshot of the console can be that late), as `rules::gates` has it.
const LIMIT: Duration = Duration::from_mins(10);
/// Seconds that the login may take once the repair has said that it worked: sshd starts after it.
const AFTERWARDS: Duration = Duration::from_secs(90);
/// Pause between looks at the console.
const PAUSE: Duration = Duration::from_secs(3);
/// Pause between questions to the SSH server: servers count those who only ask (OpenSSH PerSourcePenalties).
const ASK: Duration = Duration::from_secs(15);

impl Aws {
    /// Waits until the repair has left its mark, or the login is let in. Fails with the cause
    /// `user-data-repair-ineffective` where the mark says so, or where neither is seen in ten minutes.
    pub(super) async fn await_repair(
        &self,
        region: &str,
        instance: &str,
        nonce: &str,
        live: bool,
        login: Option<&Login>,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("repair {instance} through user data");
        let began = Instant::now();
        let keys = match login {
            Some(login) => {
                let paths: Vec<(String, String)> = login.keys.iter().map(|k| (k.clone(), "-i".to_owned())).collect();
                keys::probe(&paths).await
            }
            None => Vec::new(),
        };
        let (mut asked, mut marked) = (began, None::<(Instant, String)>);
        let mut told = String::new();
        loop {
            let console = self.console_text(region, instance, live).await;
            if marked.is_none()
                && let Some(said) = console.as_ref().ok().and_then(|text| mark(text, nonce))
            {
                if said.starts_with("FAIL") {
                    return Err(ineffective(&doing, &format!("the repair says: {said}")));
                }
                step.say(format!("the repair says: {said}"));
                marked = Some((Instant::now(), said));
            }
            // Right after the mark, and then seldom.
            let due = asked.elapsed() >= ASK || marked.as_ref().is_some_and(|(at, _)| *at > asked);
            if let Some(login) = login.filter(|_| due) {
                asked = Instant::now();
                match self.lets_in(region, instance, login, &keys).await {
                    Asked::In(address) => {
                        let said = marked.map(|(_, said)| format!(" (it says: {said})")).unwrap_or_default();
                        return Ok(done(format!("the server at {address} lets {} in again{said}", login.user)));
                    }
                    Asked::Not(why) => {
                        if why != told {
                            step.say(format!("not let in yet: {why}"));
                            told = why;
                        }
                    }
                    Asked::CannotAsk => {
                        if let Some((_, said)) = &marked {
                            return Ok(done(format!("the repair says: {said}")));
                        }
                    }
                }
            }
            if let Some((at, said)) = &marked
                && (login.is_none() || at.elapsed() > AFTERWARDS)
            {
                let not = if login.is_some() { "; the login is not let in yet" } else { "" };
                return Ok(done(format!("the repair says: {said}{not}")));
            }
            if began.elapsed() >= LIMIT {
                let text = console.as_ref().ok().filter(|t| !t.is_empty()).map(String::as_str);
                let seconds = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
                if let Some(finding) = gates::repair_left_no_mark(text, nonce, 0, seconds) {
                    let said = finding.evidence.first().map(|e| e.text.clone()).unwrap_or_default();
                    return Err(ineffective(&doing, &said));
                }
                let why = console.err().unwrap_or_else(|| "the console log is empty".to_owned());
                return Err(Failure::failed(
                    doing,
                    format!(
                        "ten minutes after the start the login is not let in, and it cannot be told whether the repair ran: {why}"
                    ),
                    "read /var/log/cloud-init-output.log inside, by Session Manager or the serial console",
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The console's text; the reason where it cannot be read.
    async fn console_text(&self, region: &str, instance: &str, live: bool) -> Result<String, String> {
        let doing = format!("read the console of {instance}");
        let call = |latest: bool| {
            let call = self.ec2(region).get_console_output().instance_id(instance);
            if latest { call.latest(true) } else { call }
        };
        let mut answer = call(live).send().await;
        // The type shows no live console after all.
        if live && answer.as_ref().is_err_and(|e| error::code(e) == "UnsupportedOperation") {
            answer = call(false).send().await;
        }
        let answer = answer.map_err(|e| error::why(&e, CONSOLE, &doing).text())?;
        let encoded: String = answer.output().unwrap_or_default().split_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(encoded);
        bytes.map(|b| String::from_utf8_lossy(&b).into_owned()).map_err(|_| "the answer is not base64".to_owned())
    }

    /// Whether the SSH server would let the login in, at the address that the instance has now.
    async fn lets_in(&self, region: &str, instance: &str, login: &Login, keys: &[KeyProbe]) -> Asked {
        let keys: Vec<ssh::SshKey> =
            keys.iter().filter_map(|probe| RealWorld::ssh_key(Candidate::File(probe))).collect();
        if keys.is_empty() {
            return Asked::CannotAsk;
        }
        let found = self.ec2(region).describe_instances().instance_ids(instance).send().await.ok();
        let found = found
            .and_then(|answer| Some(convert::instance(answer.reservations().first()?.instances().first()?, region)));
        let Some(address) = found.and_then(|i| i.best_address()) else { return Asked::CannotAsk };
        // As for every other probe: an address of an endpoint that is not AWS's own may belong to a stranger.
        if self.is_emulated() && !address.is_loopback() {
            return Asked::CannotAsk;
        }
        let mut request = ssh::SshRequest::new(address, login.port);
        request.users = vec![login.user.clone()];
        request.keys = keys;
        let (server, offers, _) = ssh::probe(request).await;
        if offers.iter().any(|o| matches!(o.answer, Answer::WouldAccept | Answer::LoggedIn)) {
            return Asked::In(address);
        }
        Asked::Not(match server.value() {
            Some(SshServer::Ready { .. }) => "the server refuses the key".to_owned(),
            Some(_) => "no SSH server answers yet".to_owned(),
            None => server.why_not().map(|w| w.text()).unwrap_or_default(),
        })
    }
}

/// What asking the server told.
enum Asked {
    /// It would let the key in.
    In(IpAddr),
    /// It would not, for this reason.
    Not(String),
    /// It cannot be asked from here.
    CannotAsk,
}

/// What the repair said last, cleaned for a screen.
fn mark(console: &str, nonce: &str) -> Option<String> {
    let mark = format!("sshfix[{nonce}] ");
    let said = console.lines().rev().find_map(|line| {
        let words = line.split_once(&mark)?.1;
        // What it says on its way is no end.
        (words.starts_with("OK") || words.starts_with("FAIL")).then_some(words)
    })?;
    Some(shorten(strip_controls(said).trim(), 200))
}

fn done(text: String) -> Performed {
    Performed { text, ..Performed::default() }
}

fn ineffective(doing: &str, reason: &str) -> Failure {
    Failure::failed(
        doing,
        reason,
        "port22 explain user-data-repair-ineffective lists the other ways: Session Manager, the serial console, the root volume",
    )
    .caused_by("user-data-repair-ineffective")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_this_repair_is_read_and_no_other() {
        let console = "sshfix[aa] FAIL symlink\r\n[   12.3] cloud-init[301]: sshfix[bb] key-added\r\n\
                       [   12.4] cloud-init[301]: sshfix[bb] OK drwx------:1000:1000:/home/admin \r\nDebian login:";
        assert_eq!(mark(console, "bb").as_deref(), Some("OK drwx------:1000:1000:/home/admin"));
        assert_eq!(mark(console, "aa").as_deref(), Some("FAIL symlink"));
        assert_eq!(mark(console, "b"), None);
        assert_eq!(mark("sshfix[cc] key-added\n", "cc"), None, "it has not ended yet");
    }
}

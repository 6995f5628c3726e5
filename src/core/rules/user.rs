//! The login's user name: what the image, the server and the message say about it.
//!
//! Pure judgement; which names to try is limited in [`super::users_to_try`].

use super::View;
use super::auth::for_user;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::facts::Facts;
use crate::core::facts::wire::Answer;

/// Whether root's key is taken by an image that lets root in only to name the right user (cloud-init,
/// disable_root): that the server knows the key says then nothing about a shell.
pub(super) fn forced_root(view: &View<'_>, user: &str) -> bool {
    // With consent a session was opened as root and listened to: a forced command would have spoken.
    let heard = view.facts.inside_agreed
        && view.facts.wire.offers.iter().any(|o| o.user == "root" && o.answer == Answer::LoggedIn);
    user == "root" && !heard && view.family.as_ref().is_some_and(|f| !f.family.users.iter().any(|u| u == "root"))
}

/// Whether the image's own user was asked about and refused: then root's login is no forced command's.
pub(super) fn others_refused(facts: &Facts) -> bool {
    let mut others = facts.wire.offers.iter().filter(|o| o.user != "root" && o.key.is_some()).peekable();
    others.peek().is_some() && others.all(|o| o.answer == Answer::Refused)
}

/// The user to use instead, when there is evidence that the name is the trouble.
pub fn better_user(view: &View<'_>) -> Option<String> {
    let facts = view.facts;
    let user = view.user()?;
    let (_, known) = for_user(facts, &user);
    if let Some(hint) = told_user(facts).filter(|h| *h != user && (!known || user == "root")) {
        return Some(hint);
    }
    if let Some(other) = facts.wire.offers.iter().find(|o| o.user != user && o.answer.key_is_known()) {
        // A cloud image lets root in only to name the right user (cloud-init's forced command).
        return (!known || user == "root").then(|| other.user.clone());
    }
    let default = view.expected_user().filter(|d| *d != user)?;
    let names_it = view.names_user(&user) && user != "root";
    let refused_both = facts.wire.offers.iter().any(|o| o.user == default && o.answer == Answer::Refused);
    let logged_in = facts.wire.offers.iter().any(|o| o.user == user && o.answer == Answer::LoggedIn);
    let unknown = !known || (forced_root(view, &user) && !(logged_in && others_refused(facts)));
    (!names_it && unknown && !refused_both && view.knows_users()).then_some(default)
}

/// The user that the server itself named: in the paste, or when root's key was taken (cloud-init's forced command).
fn told_user(facts: &Facts) -> Option<String> {
    let pasted = facts.paste.as_ref().and_then(|p| p.login_user_hint.clone());
    let live = facts.wire.offers.iter().find_map(|o| match &o.answer {
        Answer::AcceptedThenRefused { reason } => reason.strip_prefix("Please login as the user \"")?.split('"').next(),
        _ => None,
    });
    // Some images print NONE where a name should be.
    pasted.or_else(|| live.map(str::to_owned)).filter(|u| u != "NONE" && !u.is_empty())
}

pub(super) fn user_name(view: &View<'_>) -> CheckResult {
    let id = "user-name";
    let facts = view.facts;
    let Some(user) = view.user() else {
        return CheckResult::unclear(id, "no user name is given, and the image does not tell its default one");
    };
    let about = view.about_users();
    let (_, because, source) =
        about.clone().unwrap_or_else(|| (String::new(), String::new(), facts.aws.image.source().to_owned()));
    let (_, known) = for_user(facts, &user);
    if known && user != "root" {
        return CheckResult::pass(id, format!("the server knows your key for {user}"));
    }
    if let Some(other) = better_user(view) {
        let seen = facts.wire.offers.iter().any(|o| o.user == other && o.answer.key_is_known());
        let how = if seen {
            format!("the server takes your key for {other}")
        } else {
            format!("the image's user is {other}")
        };
        return CheckResult::fail(id, format!("{user} is not the user of this image: {how}")).seen(because, source);
    }
    match about {
        Some((title, ..)) if view.names_user(&user) => {
            CheckResult::pass(id, format!("{user} is the default user of {title}")).seen(because, source)
        }
        Some((title, ..)) => {
            CheckResult::unclear(id, format!("{user} is not the default user of {title}, but may have been added"))
        }
        None => CheckResult::unclear(id, format!("the image does not tell whether {user} is right")),
    }
}

pub(super) fn user_finding(view: &View<'_>, refused: bool) -> Option<Finding> {
    let facts = view.facts;
    let user = view.user()?;
    let other = better_user(view)?;
    let about = view.about_users();
    let hinted = told_user(facts).as_ref() == Some(&other);
    let offer = facts.wire.offers.iter().find(|o| o.user == other && o.answer.key_is_known());
    let finding = match (&offer, hinted) {
        (Some(_), _) => {
            let text = if forced_root(view, &user) {
                format!("the server takes your key for {other}; cloud images let root in only to name that user")
            } else {
                format!("the server takes your key for {other}, not for {user}")
            };
            // A question that was not answered (connection lost) is no refusal.
            if for_user(facts, &user).0.iter().any(|o| o.answer == Answer::Refused) {
                Finding::new("wrong-user-name", Certainty::Proven, text, facts.wire.ssh.source())
            } else {
                Finding::new("wrong-user-name", Certainty::Likely, text, facts.wire.ssh.source())
                    .would_prove(format!("a refusal of the key for {user}"))
            }
        }
        (None, true) => Finding::new(
            "wrong-user-name",
            Certainty::Proven,
            format!("the server says: log in as {other}, not as {user}"),
            if facts.wire.ssh.is_known() { facts.wire.ssh.source() } else { "pasted text" },
        ),
        (None, false) => {
            let certainty = if refused || forced_root(view, &user) { Certainty::Likely } else { Certainty::Possible };
            Finding::new(
                "wrong-user-name",
                certainty,
                format!("the image's default user is {other}, not {user}"),
                about.as_ref().map_or(facts.aws.image.source(), |(.., source)| source.as_str()),
            )
            .would_prove(format!("a login as {other}"))
        }
    };
    Some(match about {
        Some((_, because, source)) => finding.and(because, source),
        None => finding,
    })
}

/// Login as root, where the image's own user is root or not known: `PermitRootLogin` may forbid it.
pub(super) fn root_refused(view: &View<'_>) -> Option<Finding> {
    let facts = view.facts;
    let user = view.user().filter(|user| user == "root")?;
    let refused = for_user(facts, &user).0.iter().any(|o| o.key.is_some() && o.answer == Answer::Refused);
    if !refused || better_user(view).is_some() {
        return None;
    }
    let text = "the server refuses the key for root: PermitRootLogin may be no";
    Some(
        Finding::new("root-login-refused", Certainty::Possible, text, facts.wire.ssh.source())
            .would_prove("sshd's log inside: ROOT LOGIN REFUSED FROM"),
    )
}

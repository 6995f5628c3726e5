//! A plan: what a fix would do, step by step, before anything is done.
//!
//! Plans are built from facts by `fixes`. They are data: shown, confirmed, journaled, applied by
//! `engine::repair`. Nothing here performs anything.

pub mod access;
mod action;
mod edit;
mod key_pair;
mod local;
mod network;
mod power;
mod remote;
mod user_data;
pub mod volume;

pub use action::{Action, Allowed, Outputs, filled};
pub use edit::Edit;
pub use key_pair::KeyPairAction;
pub use local::{KeyForm, LocalAction};
pub use network::{AclPass, NetworkAction};
pub use power::PowerAction;
pub use remote::{Dial, Door, Job, Over, RemoteAction};
pub use user_data::{Login, UserDataAction};

use crate::core::target::Target;
use crate::core::words::phrase;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the user chose among the ways that a fix offers: option id by choice id.
pub type Choices = BTreeMap<String, String>;

/// How much a plan may harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Reversible, no interruption.
    Low,
    /// Security posture, or a brief interruption.
    Medium,
    /// Stop and start; data or identity may be lost.
    High,
}

impl Risk {
    /// In a word: `low`, `medium`, `high`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => phrase("low"),
            Self::Medium => phrase("medium"),
            Self::High => phrase("high"),
        }
    }
}

/// State of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateState {
    /// Nothing in the way.
    Ok,
    /// Worth knowing before saying yes.
    Warn,
    /// The plan must not be applied.
    Refuse,
}

/// A condition that is looked at before a plan may be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Short id.
    pub id: String,
    /// Its state.
    pub state: GateState,
    /// The reason.
    pub why: String,
}

impl Gate {
    /// A gate with its state and reason.
    pub fn new(id: &str, state: GateState, why: impl Into<String>) -> Self {
        Self { id: id.to_owned(), state, why: why.into() }
    }
}

/// One step of a plan.
///
/// Where a step needs what an earlier one made (an id that is not known yet), `command` and `action` hold
/// `${name}` of an [output](Outputs).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What happens, in words.
    pub text: String,
    /// The same as a command to copy (aws CLI or shell).
    pub command: String,
    /// How to take it back, as a command or in words; `None` when it cannot be taken back.
    pub undo: Option<String>,
    /// The deed; `None` for steps that only look (verify).
    pub action: Option<Action>,
}

impl Step {
    /// A step that changes something, with its undo in words or as a command.
    pub fn deed(
        text: impl Into<String>,
        command: impl Into<String>,
        undo: Option<String>,
        action: impl Into<Action>,
    ) -> Self {
        Self { text: text.into(), command: command.into(), undo, action: Some(action.into()) }
    }

    /// A step that only looks: the checks that run after everything is done.
    pub fn look(text: impl Into<String>, command: impl Into<String>) -> Self {
        Self { text: text.into(), command: command.into(), undo: None, action: None }
    }
}

/// What the user must do to say yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Press `y`, or `--yes`.
    Yes,
    /// Type this word (the instance id), or `--yes`.
    Type(String),
}

/// A way of doing it that the user may choose before saying yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Short id, as in `--choose ID=OPTION`.
    pub id: String,
    /// What is to be chosen, as a question.
    pub text: String,
    /// Options: id and words. The first is the default.
    pub options: Vec<(String, String)>,
    /// Option that this plan was built for.
    pub chosen: String,
}

impl Choice {
    /// A choice among options, with what the user chose if it is one of them, else the first.
    pub fn new(id: &str, text: impl Into<String>, options: &[(&str, &str)], choices: &Choices) -> Self {
        let options: Vec<(String, String)> = options.iter().map(|(o, t)| ((*o).to_owned(), (*t).to_owned())).collect();
        let asked = choices.get(id).filter(|c| options.iter().any(|(o, _)| o == *c)).cloned();
        let chosen = asked.or_else(|| options.first().map(|(o, _)| o.clone())).unwrap_or_default();
        Self { id: id.to_owned(), text: text.into(), options, chosen }
    }

    /// Words of the option that is chosen.
    pub fn text_of_chosen(&self) -> &str {
        self.options.iter().find(|(id, _)| *id == self.chosen).map_or("", |(_, text)| text)
    }
}

/// What a fix would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Fix id.
    pub fix: String,
    /// One line: what it does to what.
    pub title: String,
    /// Instance id, or the file for a local fix: what is locked while it runs.
    pub subject: String,
    /// Name and id for people.
    pub target: String,
    /// Gates; one `refuse` stops the plan.
    pub gates: Vec<Gate>,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// Risk.
    pub risk: Risk,
    /// Whether logins or services are interrupted.
    pub downtime: bool,
    /// Whether every step can be taken back.
    pub reversible: bool,
    /// Checks that must pass afterwards.
    pub verify: Vec<String>,
    /// What the user must do to say yes.
    pub consent: Consent,
    /// IAM actions that the plan needs.
    pub permissions: Vec<String>,
    /// Account that the plan was made for; an undo in another one is refused.
    #[serde(default)]
    pub account: Option<String>,
    /// Whether it promises that the login works afterwards, not only that its own checks pass.
    #[serde(default)]
    pub promises_login: bool,
    /// What it costs in money and minutes, in words; empty when nothing.
    #[serde(default)]
    pub cost: String,
    /// Ways that the user may choose among.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// Files that it makes for the user, by their full paths.
    #[serde(default)]
    pub created: Vec<String>,
    /// Whom the repair is for: needed to verify it after the process that began it is gone.
    #[serde(default)]
    pub login: Option<Target>,
    /// When what it opens should be closed again, seconds since 1970. Nobody closes it by itself: the journal tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// The key file whose passphrase the user has to type before it can be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<String>,
}

/// A deed without the words in which a time may stand: a plan that is made again a minute later does the same.
fn timeless(mut action: Action) -> Action {
    if let Action::AuthorizeIngress { description, .. } = &mut action {
        description.clear();
    }
    action
}

impl Plan {
    /// A plan of a fix without gates and steps: low risk, reversible, to be confirmed by `y`.
    pub fn new(fix: &str, title: impl Into<String>, subject: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            fix: fix.to_owned(),
            title: title.into(),
            subject: subject.into(),
            target: target.into(),
            gates: Vec::new(),
            steps: Vec::new(),
            risk: Risk::Low,
            downtime: false,
            reversible: true,
            verify: Vec::new(),
            consent: Consent::Yes,
            permissions: Vec::new(),
            account: None,
            promises_login: false,
            cost: String::new(),
            choices: Vec::new(),
            created: Vec::new(),
            login: None,
            expires: None,
            passphrase: None,
        }
    }

    /// What the plan was built for, by choice.
    pub fn chosen(&self) -> Choices {
        self.choices.iter().map(|c| (c.id.clone(), c.chosen.clone())).collect()
    }

    /// What of a user's choices this plan does not know, in words; a default that is taken instead would be a surprise.
    /// A plan that does nothing offers nothing to choose.
    pub fn stranger_among(&self, choices: &Choices) -> Option<String> {
        let acts = self.refused().is_none() && self.steps.iter().any(|s| s.action.is_some());
        choices.iter().find_map(|(id, option)| match self.choices.iter().find(|c| c.id == *id) {
            Some(choice) if choice.options.iter().any(|(known, _)| known == option) => None,
            Some(choice) => {
                let known: Vec<&str> = choice.options.iter().map(|(known, _)| known.as_str()).collect();
                Some(format!("'{option}' is no way of '{id}' here: {}", known.join(", ")))
            }
            None if acts => {
                let known: Vec<&str> = self.choices.iter().map(|c| c.id.as_str()).collect();
                let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
                Some(format!("'{id}' is nothing to be chosen here, but {known}"))
            }
            None => None,
        })
    }

    /// Whether it does the same as another: the same deeds in the same order, and refused or not alike.
    pub fn does_as(&self, other: &Self) -> bool {
        let deeds = |p: &Self| p.steps.iter().filter_map(|s| s.action.clone()).map(timeless).collect::<Vec<_>>();
        deeds(self) == deeds(other) && self.refused().is_some() == other.refused().is_some()
    }

    /// Whether the operating system boots because of it: then a login takes its time.
    pub fn boots(&self) -> bool {
        self.steps.iter().filter_map(|s| s.action.as_ref()).any(Action::boots)
    }

    /// The first gate that refuses.
    pub fn refused(&self) -> Option<&Gate> {
        self.gates.iter().find(|g| g.state == GateState::Refuse)
    }
}

/// A plan that the user has seen and said yes to. Only [`Confirmed::after_consent`] builds one.
#[derive(Debug, Clone)]
pub struct Confirmed(Plan);

impl Confirmed {
    /// Turns a shown plan into a confirmed one; `typed` is what the user typed where the plan asks for it.
    /// Fails with the reason when a gate refuses or the typed word is another.
    pub fn after_consent(plan: Plan, typed: Option<&str>) -> Result<Self, String> {
        if let Some(gate) = plan.refused() {
            return Err(gate.why.clone());
        }
        match &plan.consent {
            Consent::Yes => Ok(Self(plan)),
            Consent::Type(word) if typed.is_some_and(|t| t.trim() == word) => Ok(Self(plan)),
            Consent::Type(word) => Err(format!("type {word} to confirm")),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0
    }
}

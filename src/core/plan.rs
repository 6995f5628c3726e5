//! A plan: what a fix would do, step by step, before anything is done.
//!
//! Plans are built from facts by `fixes`. They are data: shown, confirmed, journaled, applied by
//! `engine::repair`. Nothing here performs anything.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

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
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
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

/// One deed, as data. The only things that `engine` may ask the world to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Sets the permission bits of a file, if they still are `from`.
    Chmod {
        /// File.
        path: String,
        /// Bits that were seen when the plan was made.
        from: u32,
        /// Bits to set.
        to: u32,
    },
    /// `ec2:AuthorizeSecurityGroupIngress`, one address.
    AuthorizeIngress {
        /// Region.
        region: String,
        /// `sg-…`.
        group: String,
        /// `tcp` or `icmp`.
        protocol: String,
        /// First port.
        from_port: i32,
        /// Last port.
        to_port: i32,
        /// One `/32` or `/128`.
        cidr: IpNet,
        /// Description of the rule.
        description: String,
    },
    /// `ec2:RevokeSecurityGroupIngress` by rule id.
    RevokeIngress {
        /// Region.
        region: String,
        /// `sg-…`.
        group: String,
        /// `sgr-…`.
        rule: String,
    },
    /// Takes back an `AuthorizeIngress` of which nobody knows whether it was done: removes the rule that
    /// has exactly this address and these ports and carries our tag, if there is one.
    RevokeOwn {
        /// Region.
        region: String,
        /// `sg-…`.
        group: String,
        /// `tcp` or `icmp`.
        protocol: String,
        /// First port.
        from_port: i32,
        /// Last port.
        to_port: i32,
        /// The address.
        cidr: IpNet,
    },
    /// `ec2:ModifySecurityGroupRules`: another address in the same rule.
    ModifyIngress {
        /// Region.
        region: String,
        /// `sg-…`.
        group: String,
        /// `sgr-…`.
        rule: String,
        /// `tcp`, `-1`, ….
        protocol: String,
        /// First port.
        from_port: i32,
        /// Last port.
        to_port: i32,
        /// Address that was seen when the plan was made.
        from: IpNet,
        /// Address to set.
        to: IpNet,
        /// Description that the rule keeps (the API drops it when it is not repeated).
        description: Option<String>,
    },
    /// `ec2:StartInstances`, and wait until it runs.
    StartInstance {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
    },
    /// `ec2:StopInstances`, and wait until it is stopped.
    StopInstance {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
    },
}

impl Action {
    /// The deed that takes this one back when nobody knows whether it was done. Each looks first, so
    /// that it changes nothing where there is nothing to take back. `None` where that cannot be told.
    pub fn reverse(&self) -> Option<Self> {
        match self {
            Self::Chmod { path, from, to } => Some(Self::Chmod { path: path.clone(), from: *to, to: *from }),
            Self::AuthorizeIngress { region, group, protocol, from_port, to_port, cidr, .. } => Some(Self::RevokeOwn {
                region: region.clone(),
                group: group.clone(),
                protocol: protocol.clone(),
                from_port: *from_port,
                to_port: *to_port,
                cidr: *cidr,
            }),
            Self::ModifyIngress { from, to, .. } => {
                let mut back = self.clone();
                if let Self::ModifyIngress { from: f, to: t, .. } = &mut back {
                    (*f, *t) = (*to, *from);
                }
                Some(back)
            }
            Self::RevokeIngress { .. }
            | Self::RevokeOwn { .. }
            | Self::StartInstance { .. }
            | Self::StopInstance { .. } => None,
        }
    }
}

/// One step of a plan.
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

/// What the user must do to say yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Press `y`, or `--yes`.
    Yes,
    /// Type this word (the instance id), or `--yes`.
    Type(String),
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
}

impl Plan {
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

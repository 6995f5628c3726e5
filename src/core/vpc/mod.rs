//! The way of one packet through a VPC, evaluated from what AWS says.
//!
//! [`evaluate`] answers for one [`Flow`] what each hop does with it and which rule, entry or route
//! decides. It knows nothing of probes: what a TCP answer adds is said in `rules::network`, which is
//! also where decisions become causes. A missing fact makes its decision unknown, never open.
//!
//! Source of the semantics: the Amazon VPC User Guide (security groups, network ACLs, route
//! tables, internet gateways, Block Public Access) and the EC2 API reference.

pub mod flow;
pub mod hops;
pub mod nacl;
pub mod owner;
pub mod path;
pub mod route;
pub mod security_group;
pub mod toward;
pub mod types;

pub use flow::{Family, Flow, Protocol, Sources, flow_of, is_private, jump_peer, through_jump};
pub use nacl::AclDecision;
pub use path::{BlockDecision, IgwDecision, Owner, PathResult, PublicDecision, Role, Way, evaluate};
pub use route::RouteDecision;
pub use security_group::{RuleRef, SgDecision};

#[cfg(test)]
mod tests;

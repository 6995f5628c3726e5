//! The instance list, as it arrives.

use crate::core::facts::aws::Instance;
use crate::engine::failure::Failure;

/// A part of the instance list.
#[derive(Debug, Clone)]
pub enum InventoryEvent {
    /// Who is asking and where, as soon as it is known.
    Caller {
        /// Account id.
        account: String,
        /// Region(s).
        regions: Vec<String>,
    },
    /// The client's own public address.
    SourceIp(std::net::IpAddr),
    /// A page of instances.
    Page(Vec<Instance>),
    /// For running instances: a hint such as `ssh no-sg`, `ssh ok`, `ssm`, by instance id.
    Hints(Vec<(String, String)>),
    /// For running instances: what Systems Manager says of the agent (`online`, `lost`, `inactive`), or `none`
    /// where it knows of none; by instance id. Not sent when it could not be asked.
    Agents(Vec<(String, String)>),
    /// One region could not be listed.
    Failed(Failure),
    /// Nothing more comes.
    Done,
}

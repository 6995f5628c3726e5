//! Which deed of the network is done where, what became of one, and whether the caller may do it.

use super::{Dry, dry, step_tags};
use crate::core::plan::{Action, Gate, GateState, NetworkAction};
use crate::edge::aws::client::Aws;
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, Settled, StepContext};
use aws_sdk_ec2::types::ResourceType;

impl Aws {
    /// Performs a deed of the network.
    pub(super) async fn network(&self, action: &NetworkAction, step: &StepContext) -> Result<Performed, Failure> {
        match action {
            NetworkAction::CreateEntry { region, acl, entry } => self.create_entry(region, acl, entry, step).await,
            NetworkAction::DeleteEntry { region, acl, entry } => self.delete_entry(region, acl, entry).await,
            NetworkAction::PutRoute { .. } => self.put_route(action, step).await,
            NetworkAction::TakeRoute { .. } => self.take_route(action).await,
            NetworkAction::CreateGateway { region } => self.create_gateway(region, step).await,
            NetworkAction::DeleteGateway { region, gateway } => self.delete_gateway(region, gateway).await,
            NetworkAction::AttachGateway { region, gateway, vpc } => {
                self.attach_gateway(region, gateway, vpc, step).await
            }
            NetworkAction::DetachGateway { region, gateway, vpc } => self.detach_gateway(region, gateway, vpc).await,
            NetworkAction::AllocateAddress { region } => self.allocate_address(region, step).await,
            NetworkAction::ReleaseAddress { region, allocation } => self.release_address(region, allocation).await,
            NetworkAction::AssociateAddress { .. } => self.associate_address(action, step).await,
            NetworkAction::DisassociateAddress { .. } => self.disassociate_address(action).await,
        }
    }

    /// Looks what became of a deed of the network.
    pub(super) async fn settle_network(&self, action: &NetworkAction, step: &StepContext) -> Settled {
        let found = match action {
            NetworkAction::CreateEntry { region, acl, entry } => self.entry_done(region, acl, entry).await,
            NetworkAction::PutRoute { .. } => self.route_done(action).await,
            NetworkAction::CreateGateway { region } => self.gateway_made(region, step).await,
            NetworkAction::AttachGateway { region, gateway, vpc } => self.gateway_attached(region, gateway, vpc).await,
            NetworkAction::AllocateAddress { region } => self.address_made(region, step).await,
            NetworkAction::AssociateAddress { .. } => self.address_associated(action).await,
            NetworkAction::DeleteEntry { .. }
            | NetworkAction::TakeRoute { .. }
            | NetworkAction::DeleteGateway { .. }
            | NetworkAction::DetachGateway { .. }
            | NetworkAction::ReleaseAddress { .. }
            | NetworkAction::DisassociateAddress { .. } => {
                return Settled::CannotTell("an undo is not looked at but done again".to_owned());
            }
        };
        match found {
            Ok(Some(done)) => Settled::Done(done),
            Ok(None) => Settled::NotDone,
            Err(failure) => Settled::CannotTell(failure.reason),
        }
    }

    /// Whether the caller may do a deed of the network.
    pub(super) async fn dry_run_network(&self, action: &NetworkAction) -> Option<Gate> {
        // What an earlier step makes does not exist yet, so that nothing can be asked about it.
        let unmade = serde_json::to_string(action).is_ok_and(|text| text.contains("${"));
        if unmade {
            return None;
        }
        let (name, answer): (&str, Dry) = match action {
            NetworkAction::CreateEntry { region, acl, entry } => {
                let name = "ec2:CreateNetworkAclEntry";
                if let Some(gate) = self.no_dry_run(name) {
                    return Some(gate);
                }
                let call = self.entry_call(region, acl, entry).dry_run(true);
                (name, dry(call.send().await.map(drop), name))
            }
            NetworkAction::PutRoute { region, table, destination, gateway, before } => {
                let name = if before.is_some() { "ec2:ReplaceRoute" } else { "ec2:CreateRoute" };
                if let Some(gate) = self.no_dry_run(name) {
                    return Some(gate);
                }
                let answer = if before.is_some() {
                    let call = self.replace_call(region, table, *destination, gateway).dry_run(true);
                    dry(call.send().await.map(drop), name)
                } else {
                    let call = self.create_call(region, table, *destination, gateway).dry_run(true);
                    dry(call.send().await.map(drop), name)
                };
                (name, answer)
            }
            NetworkAction::CreateGateway { region } => {
                let name = "ec2:CreateInternetGateway";
                let tags = step_tags(ResourceType::InternetGateway, &StepContext::default());
                let call = self.ec2_once(region).create_internet_gateway().tag_specifications(tags).dry_run(true);
                (name, dry(call.send().await.map(drop), name))
            }
            NetworkAction::AttachGateway { region, gateway, vpc } => {
                let name = "ec2:AttachInternetGateway";
                let call = self.ec2_once(region).attach_internet_gateway().dry_run(true);
                (name, dry(call.internet_gateway_id(gateway).vpc_id(vpc).send().await.map(drop), name))
            }
            NetworkAction::AllocateAddress { region } => {
                let name = "ec2:AllocateAddress";
                let tags = step_tags(ResourceType::ElasticIp, &StepContext::default());
                let call = self.ec2_once(region).allocate_address().tag_specifications(tags).dry_run(true);
                let answer = call.domain(aws_sdk_ec2::types::DomainType::Vpc).send().await;
                (name, dry(answer.map(drop), name))
            }
            NetworkAction::AssociateAddress { region, allocation, interface, private } => {
                let name = "ec2:AssociateAddress";
                let call = self.associate_call(region, allocation, interface, *private).dry_run(true);
                (name, dry(call.send().await.map(drop), name))
            }
            _ => return None,
        };
        Some(answer.gate(name))
    }

    /// Emulators are known to carry out some changes that are only asked about: nothing of the kind is sent to one.
    fn no_dry_run(&self, name: &str) -> Option<Gate> {
        self.is_emulated().then(|| {
            let why = format!("not asked whether you may call {name}: the endpoint is not AWS's own");
            Gate::new("permission", GateState::Warn, why)
        })
    }
}

/// The undo as an action.
pub(super) fn undo(action: NetworkAction) -> Action {
    Action::Network(action)
}

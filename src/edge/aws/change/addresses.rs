//! Elastic IP addresses: allocated, associated, and taken away again.
//!
//! Must not take an address from what uses it, and must not release one that port22 did not allocate.

use super::network::undo;
use super::{step_filter, step_tags};
use crate::core::plan::NetworkAction;
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, StepContext};
use aws_sdk_ec2::operation::associate_address::builders::AssociateAddressFluentBuilder;
use aws_sdk_ec2::types::{Address, DomainType, ResourceType};
use std::net::IpAddr;

/// Where an address is to lead.
struct Wanted<'a> {
    region: &'a str,
    allocation: &'a str,
    interface: &'a str,
    private: IpAddr,
}

impl<'a> Wanted<'a> {
    fn of(action: &'a NetworkAction) -> Result<Self, Failure> {
        match action {
            NetworkAction::AssociateAddress { region, allocation, interface, private }
            | NetworkAction::DisassociateAddress { region, allocation, interface, private } => {
                Ok(Self { region, allocation, interface, private: *private })
            }
            _ => Err(Failure::usage("associate an address", "another action was given", "report this as a bug")),
        }
    }

    fn here(&self, address: &Address) -> bool {
        let private = address.private_ip_address().and_then(|a| a.parse().ok());
        address.network_interface_id() == Some(self.interface) && private == Some(self.private)
    }

    fn done(&self, public: &str, association: Option<&str>) -> Performed {
        Performed {
            text: format!("{public} ({}) leads to {} of {}", self.allocation, self.private, self.interface),
            undo: Some(undo(NetworkAction::DisassociateAddress {
                region: self.region.to_owned(),
                allocation: self.allocation.to_owned(),
                interface: self.interface.to_owned(),
                private: self.private,
            })),
            changed: true,
            // Named by the command that takes it back by hand.
            outputs: association.map(|id| ("association".to_owned(), id.to_owned())).into_iter().collect(),
        }
    }
}

impl Aws {
    /// What was done, if this step's address is there.
    pub(super) async fn address_made(&self, region: &str, step: &StepContext) -> Result<Option<Performed>, Failure> {
        let doing = format!("look for the Elastic IP address of this step in {region}");
        let call = self.ec2(region).describe_addresses().filters(step_filter(step));
        let answer = call.send().await.map_err(|e| error::failure(&e, "ec2:DescribeAddresses", &doing))?;
        let found = answer.addresses().first().and_then(|a| Some((a.allocation_id()?, a.public_ip()?)));
        Ok(found.map(|(allocation, address)| made(region, allocation, address)))
    }

    pub(super) async fn allocate_address(&self, region: &str, step: &StepContext) -> Result<Performed, Failure> {
        if let Some(done) = self.address_made(region, step).await? {
            return Ok(done);
        }
        let doing = format!("allocate an Elastic IP address in {region}");
        let call = self
            .ec2_once(region)
            .allocate_address()
            .domain(DomainType::Vpc)
            .tag_specifications(step_tags(ResourceType::ElasticIp, step));
        match call.send().await {
            Ok(answer) => match (answer.allocation_id(), answer.public_ip()) {
                (Some(allocation), Some(address)) => Ok(made(region, allocation, address)),
                _ => Err(Failure {
                    outcome_unknown: true,
                    ..Failure::failed(doing, "the answer names no address", "go on or back: both look first")
                }),
            },
            Err(e) if error::code(&e) == "AddressLimitExceeded" => Err(Failure::failed(
                doing,
                "the quota of Elastic IP addresses in this Region is used up (default 5)",
                "associate a free one (--choose address=eipalloc-…), or release one that nobody needs",
            )),
            Err(e) => Err(error::failure(&e, "ec2:AllocateAddress", &doing)),
        }
    }

    pub(super) async fn release_address(&self, region: &str, allocation: &str) -> Result<Performed, Failure> {
        let doing = format!("release {allocation} in {region}");
        match self.ec2_once(region).release_address().allocation_id(allocation).send().await {
            Ok(_) => Ok(Performed { text: format!("{allocation} released"), changed: true, ..Performed::default() }),
            Err(e) if error::code(&e) == "InvalidAllocationID.NotFound" => {
                Ok(Performed { text: format!("{allocation} is already gone"), ..Performed::default() })
            }
            Err(e) => Err(error::failure(&e, "ec2:ReleaseAddress", &doing)),
        }
    }

    pub(super) fn associate_call(
        &self,
        region: &str,
        allocation: &str,
        interface: &str,
        private: IpAddr,
    ) -> AssociateAddressFluentBuilder {
        self.ec2_once(region)
            .associate_address()
            .allocation_id(allocation)
            .network_interface_id(interface)
            .private_ip_address(private.to_string())
            .allow_reassociation(false)
    }

    async fn address_now(&self, region: &str, allocation: &str) -> Result<Address, Failure> {
        let doing = format!("read {allocation} in {region}");
        let answer = self.ec2(region).describe_addresses().allocation_ids(allocation).send().await;
        let answer = answer.map_err(|e| error::failure(&e, "ec2:DescribeAddresses", &doing))?;
        let found = answer.addresses().iter().find(|a| a.allocation_id() == Some(allocation)).cloned();
        found.ok_or_else(|| Failure::failed(doing, "it is not in the answer", "run the diagnosis again"))
    }

    pub(super) async fn associate_address(
        &self,
        action: &NetworkAction,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let wanted = Wanted::of(action)?;
        let now = self.address_now(wanted.region, wanted.allocation).await?;
        let public = now.public_ip().unwrap_or_default();
        let doing = format!("associate {public} with {} in {}", wanted.interface, wanted.region);
        if wanted.here(&now) {
            return Ok(Performed { changed: step.again, ..wanted.done(public, now.association_id()) });
        }
        if now.association_id().is_some_and(|id| !id.is_empty()) {
            let other = now.instance_id().or(now.network_interface_id()).unwrap_or("something else");
            return Err(Failure::failed(
                doing,
                format!("{other} uses it now: somebody took it after the plan was made"),
                "run the diagnosis again for a fresh plan",
            ));
        }
        let call = self.associate_call(wanted.region, wanted.allocation, wanted.interface, wanted.private);
        match call.send().await {
            Ok(answer) => Ok(wanted.done(public, answer.association_id())),
            Err(e) => Err(error::failure(&e, "ec2:AssociateAddress", &doing)),
        }
    }

    pub(super) async fn disassociate_address(&self, action: &NetworkAction) -> Result<Performed, Failure> {
        let wanted = Wanted::of(action)?;
        let now = match self.address_now(wanted.region, wanted.allocation).await {
            Ok(now) => now,
            Err(failure) if failure.reason.contains("InvalidAllocationID.NotFound") => {
                return Ok(Performed { text: format!("{} is gone", wanted.allocation), ..Performed::default() });
            }
            Err(failure) => return Err(failure),
        };
        let public = now.public_ip().unwrap_or_default();
        let doing = format!("take {public} from {} in {}", wanted.interface, wanted.region);
        let association = now.association_id().filter(|id| !id.is_empty());
        let Some(association) = association else {
            return Ok(Performed { text: format!("{public} leads nowhere any more"), ..Performed::default() });
        };
        if !wanted.here(&now) {
            let other = now.instance_id().or(now.network_interface_id()).unwrap_or("something else");
            let reason = format!("{other} uses it now: it was moved after the repair");
            return Err(Failure::failed(doing, reason, "look at the address in the console"));
        }
        match self.ec2_once(wanted.region).disassociate_address().association_id(association).send().await {
            Ok(_) => Ok(Performed {
                text: format!("{public} is taken from {}", wanted.interface),
                changed: true,
                ..Performed::default()
            }),
            Err(e) => Err(error::failure(&e, "ec2:DisassociateAddress", &doing)),
        }
    }

    /// What was done, if the address leads where it should.
    pub(super) async fn address_associated(&self, action: &NetworkAction) -> Result<Option<Performed>, Failure> {
        let wanted = Wanted::of(action)?;
        let now = self.address_now(wanted.region, wanted.allocation).await?;
        Ok(wanted.here(&now).then(|| wanted.done(now.public_ip().unwrap_or_default(), now.association_id())))
    }
}

fn made(region: &str, allocation: &str, address: &str) -> Performed {
    Performed {
        text: format!("{address} ({allocation}) allocated"),
        undo: Some(undo(NetworkAction::ReleaseAddress {
            region: region.to_owned(),
            allocation: allocation.to_owned(),
        })),
        changed: true,
        outputs: [("allocation".to_owned(), allocation.to_owned()), ("address".to_owned(), address.to_owned())].into(),
    }
}

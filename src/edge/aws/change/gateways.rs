//! Internet gateways: made, attached, and taken away again.
//!
//! Must not detach or delete a gateway of anybody else.

use super::network::undo;
use super::{step_filter, step_tags};
use crate::core::plan::NetworkAction;
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, StepContext};
use aws_sdk_ec2::types::ResourceType;

impl Aws {
    /// What was done, if this step's gateway is there.
    pub(super) async fn gateway_made(&self, region: &str, step: &StepContext) -> Result<Option<Performed>, Failure> {
        let doing = format!("look for the internet gateway of this step in {region}");
        let call = self.ec2(region).describe_internet_gateways().filters(step_filter(step));
        let answer = call.send().await.map_err(|e| error::failure(&e, "ec2:DescribeInternetGateways", &doing))?;
        let found = answer.internet_gateways().first().and_then(|g| g.internet_gateway_id());
        Ok(found.map(|id| made(region, id)))
    }

    pub(super) async fn create_gateway(&self, region: &str, step: &StepContext) -> Result<Performed, Failure> {
        if let Some(done) = self.gateway_made(region, step).await? {
            return Ok(done);
        }
        let doing = format!("make an internet gateway in {region}");
        let call = self
            .ec2_once(region)
            .create_internet_gateway()
            .tag_specifications(step_tags(ResourceType::InternetGateway, step));
        match call.send().await {
            Ok(answer) => match answer.internet_gateway().and_then(|g| g.internet_gateway_id()) {
                Some(id) => Ok(made(region, id)),
                None => Err(Failure {
                    outcome_unknown: true,
                    ..Failure::failed(doing, "the answer names no gateway", "go on or back: both look first")
                }),
            },
            Err(e) if error::code(&e) == "InternetGatewayLimitExceeded" => Err(Failure::failed(
                doing,
                "the quota of internet gateways in this Region is used up (default 5)",
                "choose a free one (--choose gateway=igw-…), or delete one that nobody needs",
            )),
            Err(e) => Err(error::failure(&e, "ec2:CreateInternetGateway", &doing)),
        }
    }

    pub(super) async fn delete_gateway(&self, region: &str, gateway: &str) -> Result<Performed, Failure> {
        let doing = format!("delete {gateway} in {region}");
        match self.ec2_once(region).delete_internet_gateway().internet_gateway_id(gateway).send().await {
            Ok(_) => Ok(Performed { text: format!("{gateway} deleted"), changed: true, ..Performed::default() }),
            Err(e) if error::code(&e) == "InvalidInternetGatewayID.NotFound" => {
                Ok(Performed { text: format!("{gateway} is already gone"), ..Performed::default() })
            }
            Err(e) => Err(error::failure(&e, "ec2:DeleteInternetGateway", &doing)),
        }
    }

    /// VPC that a gateway is attached to.
    async fn attachment(&self, region: &str, gateway: &str) -> Result<Option<String>, Failure> {
        let doing = format!("read {gateway} in {region}");
        let answer = self.ec2(region).describe_internet_gateways().internet_gateway_ids(gateway).send().await;
        let answer = answer.map_err(|e| error::failure(&e, "ec2:DescribeInternetGateways", &doing))?;
        let found = answer.internet_gateways().first();
        let found =
            found.ok_or_else(|| Failure::failed(doing, "it is not in the answer", "run the diagnosis again"))?;
        let live = found
            .attachments()
            .iter()
            .find(|a| a.state().is_none_or(|s| !matches!(s.as_str(), "detached" | "detaching")));
        Ok(live.and_then(|a| a.vpc_id()).map(str::to_owned))
    }

    pub(super) async fn attach_gateway(
        &self,
        region: &str,
        gateway: &str,
        vpc: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("attach {gateway} to {vpc} in {region}");
        match self.attachment(region, gateway).await? {
            Some(now) if now == vpc => Ok(Performed { changed: step.again, ..attached(region, gateway, vpc) }),
            Some(other) => Err(Failure::failed(
                doing,
                format!("it is attached to {other} now: somebody took it after the plan was made"),
                "run the diagnosis again for a fresh plan",
            )),
            None => {
                let call = self.ec2_once(region).attach_internet_gateway();
                match call.internet_gateway_id(gateway).vpc_id(vpc).send().await {
                    Ok(_) => Ok(attached(region, gateway, vpc)),
                    Err(e) => Err(error::failure(&e, "ec2:AttachInternetGateway", &doing)),
                }
            }
        }
    }

    pub(super) async fn detach_gateway(&self, region: &str, gateway: &str, vpc: &str) -> Result<Performed, Failure> {
        let doing = format!("detach {gateway} from {vpc} in {region}");
        let gone =
            || Performed { text: format!("{gateway} is not attached to {vpc} any more"), ..Performed::default() };
        let call = self.ec2_once(region).detach_internet_gateway();
        match call.internet_gateway_id(gateway).vpc_id(vpc).send().await {
            Ok(_) => {
                Ok(Performed { text: format!("{gateway} detached from {vpc}"), changed: true, ..Performed::default() })
            }
            Err(e) if matches!(error::code(&e), "Gateway.NotAttached" | "InvalidInternetGatewayID.NotFound") => {
                Ok(gone())
            }
            Err(e) if error::code(&e) == "DependencyViolation" => {
                let mapped = self.mapped_addresses(region, vpc).await.value().cloned().unwrap_or_default();
                let names = if mapped.is_empty() { String::new() } else { format!(" ({})", mapped.join(", ")) };
                Err(Failure::failed(
                    doing,
                    format!(
                        "AWS detaches no gateway while public addresses are mapped in its VPC, and {vpc} has some{names}"
                    ),
                    "stop the instances with automatic ones (aws ec2 stop-instances) and disassociate Elastic IP addresses (aws ec2 disassociate-address), then undo again",
                ))
            }
            Err(e) => Err(error::failure(&e, "ec2:DetachInternetGateway", &doing)),
        }
    }

    /// What was done, if the gateway is attached to the VPC.
    pub(super) async fn gateway_attached(
        &self,
        region: &str,
        gateway: &str,
        vpc: &str,
    ) -> Result<Option<Performed>, Failure> {
        let now = self.attachment(region, gateway).await?;
        Ok((now.as_deref() == Some(vpc)).then(|| attached(region, gateway, vpc)))
    }
}

fn made(region: &str, gateway: &str) -> Performed {
    Performed {
        text: format!("{gateway} made"),
        undo: Some(undo(NetworkAction::DeleteGateway { region: region.to_owned(), gateway: gateway.to_owned() })),
        changed: true,
        outputs: [("gateway".to_owned(), gateway.to_owned())].into(),
    }
}

fn attached(region: &str, gateway: &str, vpc: &str) -> Performed {
    Performed {
        text: format!("{gateway} is attached to {vpc}"),
        undo: Some(undo(NetworkAction::DetachGateway {
            region: region.to_owned(),
            gateway: gateway.to_owned(),
            vpc: vpc.to_owned(),
        })),
        changed: true,
        ..Performed::default()
    }
}

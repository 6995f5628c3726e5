//! Routes to an internet gateway: created, or put in the place of a blackhole.
//!
//! Must not replace a route that works, or one that is another than the plan saw.

use super::network::undo;
use crate::core::plan::NetworkAction;
use crate::edge::aws::client::Aws;
use crate::edge::aws::{convert, error};
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, StepContext};
use aws_sdk_ec2::operation::create_route::builders::CreateRouteFluentBuilder;
use aws_sdk_ec2::operation::replace_route::builders::ReplaceRouteFluentBuilder;
use aws_sdk_ec2::types::{Route, RouteState};
use ipnet::IpNet;

/// A route as it is now.
struct Now {
    target: String,
    active: bool,
}

struct Wanted<'a> {
    region: &'a str,
    table: &'a str,
    destination: IpNet,
    gateway: &'a str,
    before: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(action: &'a NetworkAction) -> Result<Self, Failure> {
        match action {
            NetworkAction::PutRoute { region, table, destination, gateway, before }
            | NetworkAction::TakeRoute { region, table, destination, gateway, before } => {
                Ok(Self { region, table, destination: *destination, gateway, before: before.as_deref() })
            }
            _ => Err(Failure::usage("change a route", "another action was given", "report this as a bug")),
        }
    }

    fn done(&self) -> Performed {
        Performed {
            text: format!("{} leads {} to {}", self.table, self.destination, self.gateway),
            undo: Some(undo(NetworkAction::TakeRoute {
                region: self.region.to_owned(),
                table: self.table.to_owned(),
                destination: self.destination,
                gateway: self.gateway.to_owned(),
                before: self.before.map(str::to_owned),
            })),
            changed: true,
            ..Performed::default()
        }
    }
}

impl Aws {
    pub(super) fn create_call(&self, region: &str, table: &str, to: IpNet, gateway: &str) -> CreateRouteFluentBuilder {
        let call = self.ec2_once(region).create_route().route_table_id(table).gateway_id(gateway);
        match to {
            IpNet::V4(net) => call.destination_cidr_block(net.to_string()),
            IpNet::V6(net) => call.destination_ipv6_cidr_block(net.to_string()),
        }
    }

    pub(super) fn replace_call(&self, region: &str, table: &str, to: IpNet, target: &str) -> ReplaceRouteFluentBuilder {
        let call = self.ec2_once(region).replace_route().route_table_id(table);
        let call = match to {
            IpNet::V4(net) => call.destination_cidr_block(net.to_string()),
            IpNet::V6(net) => call.destination_ipv6_cidr_block(net.to_string()),
        };
        match target.split('-').next().unwrap_or_default() {
            "nat" => call.nat_gateway_id(target),
            "tgw" => call.transit_gateway_id(target),
            "pcx" => call.vpc_peering_connection_id(target),
            "eni" => call.network_interface_id(target),
            "i" => call.instance_id(target),
            "eigw" => call.egress_only_internet_gateway_id(target),
            "vpce" => call.vpc_endpoint_id(target),
            "lgw" => call.local_gateway_id(target),
            "cagw" => call.carrier_gateway_id(target),
            _ if target.starts_with("arn:") => call.core_network_arn(target),
            _ => call.gateway_id(target),
        }
    }

    async fn route_now(&self, wanted: &Wanted<'_>) -> Result<Option<Now>, Failure> {
        let doing = format!("read {} in {}", wanted.table, wanted.region);
        let answer = self.ec2(wanted.region).describe_route_tables().route_table_ids(wanted.table).send().await;
        let answer = answer.map_err(|e| error::failure(&e, "ec2:DescribeRouteTables", &doing))?;
        let table = answer.route_tables().first();
        let table =
            table.ok_or_else(|| Failure::failed(doing, "it is not in the answer", "run the diagnosis again"))?;
        let here = |r: &&Route| {
            let net = convert::cidr(r.destination_cidr_block());
            net.or_else(|| convert::cidr(r.destination_ipv6_cidr_block())) == Some(wanted.destination)
        };
        Ok(table
            .routes()
            .iter()
            .find(here)
            .map(|r| Now { target: target(r), active: r.state() == Some(&RouteState::Active) }))
    }

    pub(super) async fn put_route(&self, action: &NetworkAction, step: &StepContext) -> Result<Performed, Failure> {
        let wanted = Wanted::of(action)?;
        let doing = format!("lead {} of {} to {}", wanted.destination, wanted.table, wanted.gateway);
        let changed = |seen: String| {
            let reason = format!("{seen}: the table was changed after the plan was made");
            Err(Failure::failed(doing.clone(), reason, "run the diagnosis again for a fresh plan"))
        };
        let Wanted { region, table, destination, gateway, before } = wanted;
        match (self.route_now(&wanted).await?, before) {
            (Some(now), _) if now.target == gateway => Ok(Performed { changed: step.again, ..wanted.done() }),
            (None, None) => match self.create_call(region, table, destination, gateway).send().await {
                Ok(_) => Ok(wanted.done()),
                Err(e) => Err(error::failure(&e, "ec2:CreateRoute", &doing)),
            },
            (Some(now), Some(old)) if now.target == old && !now.active => {
                match self.replace_call(region, table, destination, gateway).send().await {
                    Ok(_) => Ok(wanted.done()),
                    Err(e) => Err(error::failure(&e, "ec2:ReplaceRoute", &doing)),
                }
            }
            (Some(now), _) if now.active => changed(format!("it leads to {}, which works", now.target)),
            (Some(now), _) => changed(format!("it leads to {}", now.target)),
            (None, Some(old)) => changed(format!("the route to {old} is gone")),
        }
    }

    /// Puts the former target back where AWS still takes it, else takes the route out: in both cases packets are dropped
    /// again as before.
    pub(super) async fn take_route(&self, action: &NetworkAction) -> Result<Performed, Failure> {
        let wanted = Wanted::of(action)?;
        let Wanted { region, table, destination, gateway, before } = wanted;
        let doing = format!("take the route {destination} of {table} back");
        match self.route_now(&wanted).await? {
            None => {
                return Ok(Performed {
                    text: format!("{table} has no route {destination} any more"),
                    ..Performed::default()
                });
            }
            Some(now) if before == Some(now.target.as_str()) => {
                return Ok(Performed {
                    text: format!("{destination} leads to {} already", now.target),
                    ..Performed::default()
                });
            }
            Some(now) if now.target != gateway => {
                let reason = format!("it leads to {} now, which is not what we set", now.target);
                return Err(Failure::failed(doing, reason, "look at the route table in the console"));
            }
            Some(_) => {}
        }
        let mut gone = String::new();
        if let Some(old) = before {
            match self.replace_call(region, table, destination, old).send().await {
                Ok(_) => {
                    let text = format!("{table} leads {destination} to {old} again, which is gone");
                    return Ok(Performed { text, changed: true, ..Performed::default() });
                }
                // Only a clear word of AWS that the target is none any more lets us take the other way.
                Err(e) if no_target(error::code(&e)) => {
                    gone = format!(" ({old} is gone, and AWS takes no route to it)");
                }
                Err(e) => return Err(error::failure(&e, "ec2:ReplaceRoute", &doing)),
            }
        }
        let call = self.ec2_once(region).delete_route().route_table_id(table);
        let call = match destination {
            IpNet::V4(net) => call.destination_cidr_block(net.to_string()),
            IpNet::V6(net) => call.destination_ipv6_cidr_block(net.to_string()),
        };
        match call.send().await {
            Ok(_) => Ok(Performed {
                text: format!("the route {destination} is taken out of {table}{gone}"),
                changed: true,
                ..Performed::default()
            }),
            Err(e) => Err(error::failure(&e, "ec2:DeleteRoute", &doing)),
        }
    }

    /// What was done, if the route is there.
    pub(super) async fn route_done(&self, action: &NetworkAction) -> Result<Option<Performed>, Failure> {
        let wanted = Wanted::of(action)?;
        let now = self.route_now(&wanted).await?;
        Ok(now.filter(|n| n.target == wanted.gateway).map(|_| wanted.done()))
    }
}

/// Codes that say that a target is gone or is none of this VPC (EC2 API reference, "Error codes").
fn no_target(code: &str) -> bool {
    code.ends_with(".NotFound") && code != "InvalidRouteTableID.NotFound" && code != "InvalidRoute.NotFound"
        || code.ends_with(".Malformed")
        || matches!(code, "InvalidParameterValue" | "InvalidGatewayID.NotFound" | "Gateway.NotAttached")
}

/// Id of a route's target.
fn target(route: &Route) -> String {
    [
        route.gateway_id(),
        route.nat_gateway_id(),
        route.transit_gateway_id(),
        route.vpc_peering_connection_id(),
        route.egress_only_internet_gateway_id(),
        route.network_interface_id(),
        route.instance_id(),
        route.local_gateway_id(),
        route.carrier_gateway_id(),
        route.core_network_arn(),
    ]
    .into_iter()
    .flatten()
    .find(|id| !id.is_empty())
    .unwrap_or_default()
    .to_owned()
}

//! The door "eice": SSH through the VPC's EC2 Instance Connect Endpoint, with a pushed key, then with the user's own.
//!
//! The key is pushed only when the server has answered through the tunnel. Must not make an endpoint: that is a change.

use super::eic::{denied, push, pushable};
use super::gather::{complete, no_instance};
use super::login::{self, Place, Who, tells_why};
use super::ssh::{NEEDS, label, user};
use crate::core::fact::Why;
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::jump::AwsWay;
use crate::core::probe::ProbeId;
use crate::core::rules;
use crate::core::target::{RDP_PORT, SSH_PORT, Target};
use crate::core::trust::Vouch;
use crate::edge::RealWorld;
use crate::edge::channel::eice::{self, Lead, Tunnel};
use crate::edge::real_world::host_names;
use crate::engine::failure::Failure;
use crate::engine::terminal::{Opened, Wish};
use std::net::IpAddr;

/// Opens the terminal.
pub(super) async fn open(world: &RealWorld, wish: &Wish) -> Result<Opened, Failure> {
    let facts = complete(world, &wish.facts, &NEEDS).await;
    let facts = complete(world, &facts, &[ProbeId::ConnectEndpoints, ProbeId::Image]).await;
    let user = user(&facts);
    let lead = lead(world, &facts, facts.port(), None)?;
    let (own, agent) = login::own_keys(&facts).await;
    let possible = pushable(&facts, "push a key");
    let possible = match possible {
        Err(failure) if own.is_empty() => return Err(failure),
        possible => possible,
    };
    let tunnel = eice::open(world.aws(), &lead).await.map_err(|why| refused(&lead, &why, &facts))?;
    let mut names = host_names(&facts);
    names.extend(facts.instance().map(|i| i.id.clone()));
    names.push(lead.address.to_string());
    let alias = facts.local.config.value().is_some_and(|c| c.host_key_alias.is_some());
    let place = Place {
        stream: Box::new(tunnel),
        at: (lead.address, lead.port),
        names,
        port: if alias { SSH_PORT } else { lead.port },
        vouch: Vouch::Nothing,
        published: None,
        jump: None,
    };
    let title = format!("Instance Connect Endpoint, {}", label(&facts));
    let (facts, place) = Box::pin(login::greeted(world, facts, place, &title)).await?;
    let pushed = match possible {
        Ok(()) => push(world, &facts, &user).await,
        Err(failure) => Err(failure),
    };
    let (keys, unpushed) = match pushed {
        Ok(key) => (std::iter::once(key).chain(own).collect(), None),
        // The tunnel carries any login: the user's own key may do.
        Err(failure) if !own.is_empty() => (own, Some(failure.reason)),
        Err(failure) => return Err(failure),
    };
    let opened =
        Box::pin(login::open(world, facts, wish, place, Who { user, keys, agent, none_taken: None }, title)).await;
    opened.map_err(|mut failure| {
        if let Some(why) = unpushed {
            failure.reason.push_str(&format!("; and no key was pushed: {why}"));
        }
        failure
    })
}

impl RealWorld {
    /// Where a tunnel to a port of the target goes. Asks AWS for what is not known yet.
    pub async fn tunnel_lead(&self, facts: &Facts, port: u16) -> Result<Lead, Failure> {
        let facts = complete(self, facts, &[ProbeId::SshConfig, ProbeId::Instance]).await;
        let facts = complete(self, &facts, &[ProbeId::ConnectEndpoints]).await;
        lead(self, &facts, port, None)
    }

    /// Where the tunnel of a ProxyCommand goes: to the instance, in the Region and at the endpoint that it names.
    pub(in crate::edge) async fn tunnel_of(&self, facts: &Facts, way: &AwsWay) -> Result<Lead, Why> {
        let facts = complete(self, facts, &[ProbeId::SshConfig, ProbeId::Instance]).await;
        facts.instance().map_or(Ok(()), |instance| way.leads_to(instance))?;
        let facts = complete(self, &facts, &[ProbeId::ConnectEndpoints]).await;
        let doing = format!("open a tunnel to {}", way.target);
        lead(self, &facts, way.port, way.endpoint.as_deref()).map_err(|failure| Why::failed(doing, failure.reason))
    }

    /// Opens a tunnel: one connection. The address is signed anew for each.
    pub async fn tunnel(&self, lead: &Lead, target: &str) -> Result<Tunnel, Failure> {
        let facts = Facts { target: Target { name: target.to_owned(), ..Target::default() }, ..Facts::default() };
        eice::open(self.aws(), lead).await.map_err(|why| refused(lead, &why, &facts))
    }
}

/// Where a tunnel to a port of the instance goes: at the endpoint of this id, else at the one that the AWS CLI would choose.
fn lead(world: &RealWorld, facts: &Facts, port: u16, endpoint: Option<&str>) -> Result<Lead, Failure> {
    let doing = format!("open a tunnel to port {port} of {}", label(facts));
    let Some(instance) = facts.instance() else { return Err(no_instance(facts, &doing)) };
    // An emulator says itself which ports it has.
    if port != SSH_PORT && port != RDP_PORT && !world.aws().is_emulated() {
        let why = "an EC2 Instance Connect Endpoint leads to ports 22 and 3389 only";
        return Err(Failure::usage(doing, why, "take Session Manager: port22 forward, or --door ssm"));
    }
    if instance.state != "running" {
        return Err(Failure::failed(doing, format!("it is {}", instance.state), "port22 fix instance-start"));
    }
    let address = private(instance).ok_or_else(|| Failure::failed(&doing, "it has no private address", ""))?;
    let endpoint = match endpoint {
        Some(id) => rules::named_endpoint(facts, id),
        None => rules::connect_endpoint(facts),
    };
    let endpoint = endpoint.map_err(|(why, next)| Failure::failed(&doing, why, next))?;
    let fips = world.aws().wants_fips();
    let dns = if fips { endpoint.fips_dns.clone() } else { endpoint.dns.clone() };
    let dns = dns.ok_or_else(|| {
        let what = if fips { "FIPS DNS name" } else { "DNS name" };
        Failure::failed(&doing, format!("{} has no {what}", endpoint.id), "take another way in")
    })?;
    Ok(Lead { endpoint: endpoint.id.clone(), dns, region: instance.region.clone(), address, port })
}

fn private(instance: &Instance) -> Option<IpAddr> {
    instance.private_ip.or_else(|| instance.interfaces.iter().find_map(|i| i.ipv6.first().copied()))
}

fn refused(lead: &Lead, why: &Why, facts: &Facts) -> Failure {
    let doing = format!("open a tunnel to {} port {} at {}", lead.address, lead.port, lead.endpoint);
    match why {
        Why::Denied { .. } => denied(&doing, why),
        // Its text says already what was being done.
        Why::Failed { reason, .. } => Failure::failed(doing, reason.clone(), tells_why(facts)),
        _ => Failure::failed(doing, why.text(), tells_why(facts)),
    }
}

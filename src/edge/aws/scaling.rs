//! Auto Scaling: membership of an instance, standby, suspended processes. By signed query calls: there is no client for it.
//!
//! Reads and sends; what a membership means is judged by the plans. Source: Auto Scaling API reference, 2011-01-01.

use super::client::Aws;
use super::query::{self, Service};
use crate::core::fact::{Fact, Why};
use crate::core::facts::prepared::net::ScalingMember;
use crate::engine::failure::Failure;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};

const AUTO_SCALING: Service = Service { signing_name: "autoscaling", id: "AUTO_SCALING", host: "autoscaling" };

/// A group, as far as it is needed here.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Group {
    pub min: Option<i32>,
    pub desired: Option<i32>,
    pub suspended: Vec<String>,
}

/// A member and its group's name.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Member {
    pub instance: String,
    pub group: String,
    pub lifecycle: String,
}

async fn call(aws: &Aws, region: &str, action: &str, form: Vec<(String, String)>, doing: &str) -> Result<String, Why> {
    let mut all = vec![("Action".to_owned(), action.to_owned()), ("Version".to_owned(), "2011-01-01".to_owned())];
    all.extend(form);
    query::call(aws, &AUTO_SCALING, region, &all, &format!("autoscaling:{action}"), doing).await
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The membership of an instance; `None` when it is in no group.
pub(super) async fn member(aws: &Aws, region: &str, instance: &str, doing: &str) -> Result<Option<Member>, Why> {
    let form = vec![pair("InstanceIds.member.1", instance)];
    let xml = call(aws, region, "DescribeAutoScalingInstances", form, doing).await?;
    let all = members(&xml).map_err(|e| Why::failed(doing, format!("the answer could not be read ({e})")))?;
    Ok(all.into_iter().find(|m| m.instance == instance))
}

/// A group; `None` when there is none of that name.
pub(super) async fn group(aws: &Aws, region: &str, name: &str, doing: &str) -> Result<Option<Group>, Why> {
    let form = vec![pair("AutoScalingGroupNames.member.1", name)];
    let xml = call(aws, region, "DescribeAutoScalingGroups", form, doing).await?;
    groups(&xml)
        .map(|all| all.into_iter().find(|(n, _)| n == name).map(|(_, g)| g))
        .map_err(|e| Why::failed(doing, format!("the answer could not be read ({e})")))
}

/// What a plan needs to know of the membership.
pub(super) async fn read(aws: &Aws, region: &str, instance: &str) -> Fact<Option<ScalingMember>> {
    let doing = format!("read the Auto Scaling group of {instance} in {region}");
    let found = match member(aws, region, instance, &doing).await {
        Ok(Some(found)) => found,
        Ok(None) => return Fact::known(None, format!("DescribeAutoScalingInstances {instance}")),
        Err(why) => return Fact::unknown(why),
    };
    match group(aws, region, &found.group, &doing).await {
        Ok(group) => {
            let group = group.unwrap_or_default();
            let member = ScalingMember {
                group: found.group,
                lifecycle: found.lifecycle,
                min: group.min,
                desired: group.desired,
                suspended: group.suspended,
            };
            Fact::known(Some(member), format!("DescribeAutoScalingInstances {instance}"))
        }
        Err(why) => Fact::unknown(why),
    }
}

/// Asks to put an instance in standby, with one less wanted by the group.
pub(super) async fn enter_standby(
    aws: &Aws,
    region: &str,
    instance: &str,
    group: &str,
    doing: &str,
) -> Result<(), Failure> {
    let form = vec![
        pair("InstanceIds.member.1", instance),
        pair("AutoScalingGroupName", group),
        pair("ShouldDecrementDesiredCapacity", "true"),
    ];
    change(aws, region, "EnterStandby", form, doing).await
}

/// Asks to let an instance serve again.
pub(super) async fn exit_standby(
    aws: &Aws,
    region: &str,
    instance: &str,
    group: &str,
    doing: &str,
) -> Result<(), Failure> {
    let form = vec![pair("InstanceIds.member.1", instance), pair("AutoScalingGroupName", group)];
    change(aws, region, "ExitStandby", form, doing).await
}

/// Suspends processes of a group, or resumes them.
pub(super) async fn processes(
    aws: &Aws,
    region: &str,
    group: &str,
    names: &[String],
    suspend: bool,
    doing: &str,
) -> Result<(), Failure> {
    let mut form = vec![pair("AutoScalingGroupName", group)];
    form.extend(names.iter().enumerate().map(|(n, name)| pair(&format!("ScalingProcesses.member.{}", n + 1), name)));
    change(aws, region, if suspend { "SuspendProcesses" } else { "ResumeProcesses" }, form, doing).await
}

async fn change(
    aws: &Aws,
    region: &str,
    action: &str,
    form: Vec<(String, String)>,
    doing: &str,
) -> Result<(), Failure> {
    call(aws, region, action, form, doing).await.map(drop).map_err(|why| failure(why, doing))
}

/// A call that failed, as the user sees it. Without an answer nobody knows whether a change was done.
pub(super) fn failure(why: Why, doing: &str) -> Failure {
    let next = match &why {
        Why::Denied { action, .. } => format!("ask for the permission {action} (port22 policy prints it)"),
        Why::Credentials { .. } => "log in to AWS again and repeat; nothing was changed by this step".to_owned(),
        _ => "run the diagnosis again; port22 journal shows what was changed".to_owned(),
    };
    let unknown = matches!(why, Why::TimedOut { .. } | Why::Endpoint { .. });
    let reason = match why {
        Why::Failed { reason, .. } => reason,
        other => other.text(),
    };
    Failure { outcome_unknown: unknown, ..Failure::failed(doing, reason, next) }
}

/// Calls a function for every `member` of the list of this name in an answer's result.
fn each(
    xml: &str,
    list: &str,
    mut visit: impl FnMut(&mut ScopedDecoder<'_, '_>) -> Result<(), XmlDecodeError>,
) -> Result<(), XmlDecodeError> {
    let mut document = Document::new(xml);
    let mut root = document.root_element()?;
    while let Some(mut result) = root.next_tag() {
        if !result.start_el().local().ends_with("Result") {
            continue;
        }
        while let Some(mut found) = result.next_tag() {
            if !found.start_el().matches(list) {
                continue;
            }
            while let Some(mut member) = found.next_tag() {
                visit(&mut member)?;
            }
        }
    }
    Ok(())
}

fn members(xml: &str) -> Result<Vec<Member>, XmlDecodeError> {
    let mut out = Vec::new();
    each(xml, "AutoScalingInstances", |member| {
        let mut one = Member::default();
        while let Some(mut tag) = member.next_tag() {
            match tag.start_el().local() {
                "InstanceId" => one.instance = try_data(&mut tag)?.into_owned(),
                "AutoScalingGroupName" => one.group = try_data(&mut tag)?.into_owned(),
                "LifecycleState" => one.lifecycle = try_data(&mut tag)?.into_owned(),
                _ => {}
            }
        }
        out.push(one);
        Ok(())
    })?;
    Ok(out)
}

fn groups(xml: &str) -> Result<Vec<(String, Group)>, XmlDecodeError> {
    let mut out = Vec::new();
    each(xml, "AutoScalingGroups", |member| {
        let (mut name, mut one) = (String::new(), Group::default());
        while let Some(mut tag) = member.next_tag() {
            match tag.start_el().local() {
                "AutoScalingGroupName" => name = try_data(&mut tag)?.into_owned(),
                "MinSize" => one.min = try_data(&mut tag)?.parse().ok(),
                "DesiredCapacity" => one.desired = try_data(&mut tag)?.parse().ok(),
                "SuspendedProcesses" => {
                    while let Some(mut process) = tag.next_tag() {
                        while let Some(mut field) = process.next_tag() {
                            if field.start_el().matches("ProcessName") {
                                one.suspended.push(try_data(&mut field)?.into_owned());
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        out.push((name, one));
        Ok(())
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_groups_are_read() {
        let xml = "<DescribeAutoScalingInstancesResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\">\
<DescribeAutoScalingInstancesResult><AutoScalingInstances><member><InstanceId>i-1</InstanceId>\
<LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId></LaunchTemplate>\
<AutoScalingGroupName>web &amp; more</AutoScalingGroupName><LifecycleState>InService</LifecycleState></member>\
</AutoScalingInstances></DescribeAutoScalingInstancesResult><ResponseMetadata/></DescribeAutoScalingInstancesResponse>";
        let member =
            Member { instance: "i-1".to_owned(), group: "web & more".to_owned(), lifecycle: "InService".to_owned() };
        assert_eq!(members(xml).unwrap(), [member]);
        assert!(groups(xml).unwrap().is_empty());
        let xml = "<R><DescribeAutoScalingGroupsResult><AutoScalingGroups><member><AutoScalingGroupName>web\
</AutoScalingGroupName><MinSize>1</MinSize><DesiredCapacity>2</DesiredCapacity><Instances><member><InstanceId>i-1\
</InstanceId></member></Instances><SuspendedProcesses><member><ProcessName>AZRebalance</ProcessName>\
<SuspensionReason>User suspended</SuspensionReason></member></SuspendedProcesses></member></AutoScalingGroups>\
</DescribeAutoScalingGroupsResult></R>";
        let group = Group { min: Some(1), desired: Some(2), suspended: vec!["AZRebalance".to_owned()] };
        assert_eq!(groups(xml).unwrap(), [("web".to_owned(), group)]);
        assert!(members("<html>").is_err() || members("<html></html>").unwrap().is_empty());
    }

    #[test]
    fn without_an_answer_nobody_knows() {
        let gone = Why::Endpoint { doing: "x".to_owned(), reason: "reset".to_owned() };
        assert!(failure(gone, "x").outcome_unknown);
        assert!(!failure(Why::failed("x", "ValidationError: no"), "x").outcome_unknown);
    }
}

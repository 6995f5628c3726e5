//! The endpoint's answers about machines, roles, doors and numbers, and what changes them.

use serde_json::{Value, json};

use super::{Try, answers_soon, describe, element, knock, lab, post, send};
use crate::lab::{Lab, LabOptions};

async fn id(lab: &Lab, name: &str) -> String {
    element(&describe(lab, name).await, "<instancesSet>", "instanceId").to_owned()
}

async fn form(lab: &Lab, version: &str, form: &str) -> (u16, String) {
    send(lab, "Content-Type: application/x-www-form-urlencoded\r\n", &format!("{form}&Version={version}")).await
}

async fn ssm(lab: &Lab, action: &str, body: &Value) -> (u16, Value) {
    let headers = format!("X-Amz-Target: AmazonSSM.{action}\r\nContent-Type: application/x-amz-json-1.1\r\n");
    let (status, body) = send(lab, &headers, &body.to_string()).await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn ping(lab: &Lab, id: &str) -> Option<String> {
    let body = json!({ "Filters": [{ "Key": "InstanceIds", "Values": [id] }] });
    let (_, answer) = ssm(lab, "DescribeInstanceInformation", &body).await;
    answer["InstanceInformationList"][0]["PingStatus"].as_str().map(str::to_owned)
}

/// Runs a script and waits for its end.
async fn command(lab: &Lab, id: &str, lines: &[&str]) -> Value {
    let body =
        json!({ "DocumentName": "AWS-RunShellScript", "InstanceIds": [id], "Parameters": { "commands": lines } });
    let (status, answer) = ssm(lab, "SendCommand", &body).await;
    assert_eq!(status, 200, "{answer}");
    let ask = json!({ "CommandId": answer["Command"]["CommandId"], "InstanceId": id });
    for _ in 0..100 {
        let (_, answer) = ssm(lab, "GetCommandInvocation", &ask).await;
        if answer["Status"] != "InProgress" {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the command does not end");
}

#[tokio::test]
async fn credits_show_in_the_numbers_and_unlimited_ones_help() {
    let lab = lab("web-credits").await;
    let host = id(&lab, "web-credits").await;
    let (_, xml) = post(&lab, &format!("Action=DescribeInstanceCreditSpecifications&InstanceId.1={host}")).await;
    assert_eq!(element(&xml, "<", "cpuCredits"), "standard");
    let now = crate::lab::ids::time_text(std::time::SystemTime::now());
    let query = |metric: &str| {
        format!(
            "Action=GetMetricData&StartTime=2025-09-02T00%3A00%3A00Z&EndTime={}&MetricDataQueries.member.1.Id=m&MetricDataQueries.member.1.MetricStat.Metric.Namespace=AWS%2FEC2&MetricDataQueries.member.1.MetricStat.Metric.MetricName={metric}&MetricDataQueries.member.1.MetricStat.Metric.Dimensions.member.1.Name=InstanceId&MetricDataQueries.member.1.MetricStat.Metric.Dimensions.member.1.Value={host}&MetricDataQueries.member.1.MetricStat.Period=300&MetricDataQueries.member.1.MetricStat.Stat=Maximum",
            now.replace(':', "%3A")
        )
    };
    // The last hour only: the first request asks for more than a day and gets its first part.
    let hour = crate::lab::ids::time_text(std::time::SystemTime::now() - std::time::Duration::from_hours(1));
    let recent = |metric: &str| query(metric).replace("2025-09-02T00%3A00%3A00Z", &hour.replace(':', "%3A"));
    let (status, xml) = form(&lab, "2010-08-01", &recent("CPUCreditBalance")).await;
    assert_eq!(status, 200, "{xml}");
    let values: Vec<&str> = xml
        .split("<Values>")
        .nth(1)
        .unwrap()
        .split("<member>")
        .skip(1)
        .map(|one| one.split('<').next().unwrap())
        .collect();
    assert_eq!((values.first().copied(), values.last().copied(), values.len()), (Some("0"), Some("41"), 12), "{xml}");
    let (_, xml) = form(&lab, "2010-08-01", &recent("mem_used_percent")).await;
    assert!(xml.contains("<Values></Values>"));
    let (status, xml) = form(&lab, "2010-08-01", "Action=PutMetricData").await;
    assert_eq!((status, element(&xml, "<", "Code")), (400, "InvalidAction"));

    let address = element(&describe(&lab, "web-credits").await, "<instanceId>", "ipAddress").to_owned();
    assert_eq!(knock(&lab, &address).await, Try::Silent);
    let change = "Action=ModifyInstanceCreditSpecification&InstanceCreditSpecification.1.CpuCredits=unlimited";
    let (status, xml) = post(&lab, &format!("{change}&InstanceCreditSpecification.1.InstanceId={host}")).await;
    assert_eq!((status, element(&xml, "<successful", "instanceId")), (200, host.as_str()));
    assert!(answers_soon(&lab, &address).await);
    lab.stop().await;
}

#[tokio::test]
async fn machines_are_told_with_all_that_is_wrong() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    let (system, protected) = (id(&lab, "web-system").await, id(&lab, "web-protected").await);
    let (_, xml) = post(&lab, &format!("Action=DescribeInstanceStatus&InstanceId.1={system}")).await;
    assert_eq!(element(&xml, "<systemStatus>", "status"), "impaired");
    assert_eq!(element(&xml, "<instanceStatus>", "status"), "ok");
    assert_eq!(element(&xml, "<eventsSet>", "code"), "instance-retirement");
    let asked = format!("Action=DescribeInstanceAttribute&InstanceId={protected}&Attribute=disableApiStop");
    assert_eq!(element(&post(&lab, &asked).await.1, "<disableApiStop>", "value"), "true");
    let (status, xml) = post(&lab, &format!("Action=StopInstances&InstanceId.1={protected}")).await;
    assert_eq!((status, element(&xml, "<", "Code")), (400, "OperationNotPermitted"));

    let spot = describe(&lab, "web-spot").await;
    let request = element(&spot, "<instanceLifecycle>spot", "spotInstanceRequestId").to_owned();
    let (_, xml) = post(&lab, &format!("Action=DescribeSpotInstanceRequests&SpotInstanceRequestId.1={request}")).await;
    assert_eq!(element(&xml, "<status>", "code"), "instance-stopped-no-capacity");

    let old = id(&lab, "web-serialxen").await;
    let (_, xml) = post(&lab, "Action=DescribeInstanceTypes&InstanceType.1=t2.micro").await;
    assert_eq!(element(&xml, "<", "hypervisor"), "xen");
    let (_, xml) = post(&lab, &format!("Action=GetConsoleOutput&InstanceId={old}&Latest=true")).await;
    assert_eq!(element(&xml, "<", "Code"), "UnsupportedOperation");
    let (_, xml) = post(&lab, &format!("Action=GetConsoleScreenshot&InstanceId={old}")).await;
    assert_eq!(element(&xml, "<", "Code"), "UnsupportedOperation");

    let gone = describe(&lab, "web-terminated").await;
    assert!(gone.contains("<name>terminated</name>") && !gone.contains("<networkInterfaceSet>"));
    let (_, xml) = post(&lab, "Action=DescribeVpcBlockPublicAccessOptions").await;
    assert_eq!(element(&xml, "<", "internetGatewayBlockMode"), "block-bidirectional");
    let (_, xml) =
        post(&lab, "Action=DescribeInstanceConnectEndpoints&Filter.1.Name=state&Filter.1.Value.1=create-failed").await;
    assert!(xml.contains("<stateMessage>"));
    let interface = element(&xml, "<networkInterfaceIdSet>", "item").to_owned();
    let (status, xml) = post(&lab, &format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={interface}")).await;
    assert_eq!((status, element(&xml, "<", "interfaceType")), (200, "ec2_instance_connect_endpoint"));
    for action in [
        "DescribeNatGateways",
        "DescribeVpcPeeringConnections",
        "DescribeTransitGatewayAttachments",
        "DescribeEgressOnlyInternetGateways",
        "DescribeVpcEndpoints",
        "DescribeVolumes",
        "DescribeManagedPrefixLists",
        "GetSerialConsoleAccessStatus",
        "DescribeVpcBlockPublicAccessExclusions",
        "DescribeIamInstanceProfileAssociations",
    ] {
        assert_eq!(post(&lab, &format!("Action={action}")).await.0, 200, "{action}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_lost_disk_is_found_and_put_back() {
    let lab = lab("web-detached").await;
    let xml = describe(&lab, "web-detached").await;
    let host = id(&lab, "web-detached").await;
    assert!(xml.contains("<blockDeviceMapping></blockDeviceMapping>"));
    let start = format!("Action=StartInstances&InstanceId.1={host}");
    let (status, answer) = post(&lab, &start).await;
    assert!(status == 400 && answer.contains("volume attached at root (/dev/xvda)"), "{answer}");
    let (_, answer) = post(&lab, "Action=DescribeVolumes&Filter.1.Name=status&Filter.1.Value.1=available").await;
    let volume = element(&answer, "<", "volumeId").to_owned();
    let attach = |device: &str| {
        format!("Action=AttachVolume&VolumeId={volume}&InstanceId={host}&Device={}", device.replace('/', "%2F"))
    };
    assert_eq!(post(&lab, &attach("/dev/xvda")).await.0, 200);
    assert_eq!(post(&lab, &attach("/dev/xvda")).await.0, 400, "it is in use now");
    assert_eq!(post(&lab, &start).await.0, 200);
    assert!(answers_soon(&lab, element(&xml, "<instanceId>", "ipAddress")).await);
    lab.stop().await;
}

#[tokio::test]
async fn a_role_makes_the_agent_appear() {
    let lab = lab("web-ssmnorole").await;
    let host = id(&lab, "web-ssmnorole").await;
    assert_eq!(ping(&lab, &host).await, None);
    let (_, answer) = ssm(&lab, "GetConnectionStatus", &json!({ "Target": host })).await;
    assert_eq!(answer["Status"], "notconnected");
    let (status, answer) = ssm(&lab, "StartSession", &json!({ "Target": host })).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("TargetNotConnected")));
    let body =
        json!({ "DocumentName": "AWS-RunShellScript", "InstanceIds": [host], "Parameters": { "commands": ["id"] } });
    assert_eq!(ssm(&lab, "SendCommand", &body).await.1["__type"], "InvalidInstanceId");
    let associate =
        format!("Action=AssociateIamInstanceProfile&InstanceId={host}&IamInstanceProfile.Name=practice-ssm");
    assert_eq!(post(&lab, &associate).await.0, 200);
    assert_eq!(ping(&lab, &host).await.as_deref(), Some("Online"));
    let (status, xml) = post(&lab, &associate).await;
    assert_eq!((status, element(&xml, "<", "Code")), (400, "IncorrectState"));
    let (status, answer) = ssm(&lab, "StartSession", &json!({ "Target": host })).await;
    assert_eq!(status, 200);
    for field in ["SessionId", "TokenValue", "StreamUrl"] {
        assert!(answer[field].as_str().is_some_and(|text| text.len() > 20), "{answer}");
    }
    let end = json!({ "SessionId": answer["SessionId"] });
    assert_eq!(ssm(&lab, "TerminateSession", &end).await, (200, end));
    lab.stop().await;
}

#[tokio::test]
async fn a_policy_added_to_a_role_makes_the_agent_appear() {
    let lab = lab("web-ssmpolicy").await;
    let host = id(&lab, "web-ssmpolicy").await;
    assert_eq!(ping(&lab, &host).await, None);
    let iam = |form_: &str| format!("{form_}&RoleName=backup-only");
    let (_, xml) = form(&lab, "2010-05-08", "Action=GetInstanceProfile&InstanceProfileName=backup-only").await;
    assert_eq!(element(&xml, "<Roles>", "RoleName"), "backup-only");
    let (_, xml) = form(&lab, "2010-05-08", &iam("Action=ListRolePolicies")).await;
    assert_eq!(element(&xml, "<PolicyNames>", "member"), "backups");
    let (_, xml) = form(&lab, "2010-05-08", &iam("Action=GetRolePolicy&PolicyName=backups")).await;
    assert!(element(&xml, "<", "PolicyDocument").contains("s3%3APutObject"), "{xml}");
    let simulate = "Action=SimulatePrincipalPolicy&PolicySourceArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fbackup-only&ActionNames.member.1=ssm%3AUpdateInstanceInformation";
    let (_, xml) = form(&lab, "2010-05-08", simulate).await;
    assert_eq!(element(&xml, "<", "EvalDecision"), "implicitDeny");
    let attach = "Action=AttachRolePolicy&PolicyArn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FAmazonSSMManagedInstanceCore";
    assert_eq!(form(&lab, "2010-05-08", &iam(attach)).await.0, 200);
    let (_, xml) = form(&lab, "2010-05-08", &iam("Action=ListAttachedRolePolicies")).await;
    assert_eq!(element(&xml, "<", "PolicyName"), "AmazonSSMManagedInstanceCore");
    assert_eq!(element(&form(&lab, "2010-05-08", simulate).await.1, "<", "EvalDecision"), "allowed");
    assert_eq!(ping(&lab, &host).await.as_deref(), Some("Online"));
    let (status, xml) = form(&lab, "2010-05-08", "Action=GetInstanceProfile&InstanceProfileName=none").await;
    assert_eq!((status, element(&xml, "<", "Code")), (404, "NoSuchEntity"));
    lab.stop().await;
}

#[tokio::test]
async fn systems_manager_tells_of_its_other_things() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    for (name, wanted) in [
        ("web-healthy", Some("Online")),
        ("web-ssmagent", Some("ConnectionLost")),
        ("web-ssmimds", Some("ConnectionLost")),
        ("web-ssmegress", None),
        ("web-ssmendpoint", None),
        ("web-ssmboundary", None),
        ("web-nat", Some("Online")),
        ("web-stopped", None),
    ] {
        assert_eq!(ping(&lab, &id(&lab, name).await).await.as_deref(), wanted, "{name}");
    }
    let setting = json!({ "SettingId": "/ssm/managed-instance/default-ec2-instance-management-role" });
    assert_eq!(ssm(&lab, "GetServiceSetting", &setting).await.1["ServiceSetting"]["Status"], "Default");
    assert_eq!(
        ssm(&lab, "GetServiceSetting", &json!({ "SettingId": "/other" })).await.1["__type"],
        "ServiceSettingNotFound"
    );
    let bad = json!({ "Filters": [{ "Key": "ExecutionStatus", "Values": ["Failed", "Cancelled", "TimedOut"] }] });
    let (_, answer) = ssm(&lab, "DescribeAutomationExecutions", &bad).await;
    assert_eq!(answer["AutomationExecutionMetadataList"][0]["DocumentName"], "AWSSupport-ExecuteEC2Rescue");
    assert_eq!(answer["AutomationExecutionMetadataList"][0]["Target"], id(&lab, "web-rescue").await);
    let (_, answer) = ssm(&lab, "DescribeDocument", &json!({ "Name": "AWSSupport-TroubleshootSSH" })).await;
    assert_eq!(answer["Document"]["Parameters"][2]["DefaultValue"], "False");
    assert_eq!(ssm(&lab, "DescribeDocument", &json!({ "Name": "None" })).await.1["__type"], "InvalidDocument");
    assert_eq!(ssm(&lab, "PutParameter", &json!({})).await.1["__type"], "UnknownOperationException");
    let oom = id(&lab, "web-oom").await;
    let (_, xml) =
        form(&lab, "2011-01-01", &format!("Action=DescribeAutoScalingInstances&InstanceIds.member.1={oom}")).await;
    assert_eq!(element(&xml, "<", "AutoScalingGroupName"), "web-fleet");

    let host = id(&lab, "web-healthy").await;
    let done = command(&lab, &host, &["#!/bin/sh", "whoami", "hostname"]).await;
    assert_eq!((&done["Status"], &done["ResponseCode"]), (&json!("Success"), &json!(0)));
    assert!(done["StandardOutputContent"].as_str().unwrap().starts_with("root\nip-127-"), "{done}");
    let done = command(&lab, &host, &["shutdown now", "whoami"]).await;
    assert_eq!((&done["Status"], &done["StandardOutputContent"]), (&json!("Failed"), &json!("")));
    assert!(done["StandardErrorContent"].as_str().unwrap().contains("not simulated"), "{done}");
    lab.stop().await;
}

#[tokio::test]
async fn a_busy_a_forbidding_and_an_expired_account() {
    let lab_ = lab("web-throttled").await;
    let ask = "Action=DescribeVpcs";
    assert_eq!(post(&lab_, ask).await.0, 200, "each action has a limit of its own");
    // Two kinds of request share the two refusals, and a diagnosis meets them once.
    for (number, wanted) in [503, 503, 200, 200, 200].into_iter().enumerate() {
        let filter = if number % 2 == 0 { "" } else { "&Filter.1.Name=group-name&Filter.1.Value.1=web" };
        let (status, xml) = post(&lab_, &format!("Action=DescribeSecurityGroups{filter}")).await;
        assert_eq!(status, wanted);
        assert_eq!(status == 503, xml.contains("<Code>RequestLimitExceeded</Code>"));
    }
    lab_.stop().await;

    let lab_ = lab("web-scp").await;
    let (status, xml) = post(&lab_, "Action=DescribeNetworkAcls").await;
    assert!(status == 403 && xml.contains("explicit deny in a service control policy"), "{xml}");
    lab_.stop().await;

    let lab_ = lab("web-expiredtoken").await;
    assert!(post(&lab_, ask).await.1.contains("<Code>RequestExpired</Code>"));
    let (status, xml) = form(&lab_, "2011-06-15", "Action=GetCallerIdentity").await;
    assert!(status == 403 && xml.contains("<Code>ExpiredToken</Code>"), "{xml}");
    let (_, answer) = ssm(&lab_, "GetServiceSetting", &json!({})).await;
    assert_eq!(answer["__type"], "ExpiredTokenException");
    lab_.stop().await;

    let lab_ = lab("web-clock").await;
    let at = |ahead: u64| {
        let time = std::time::SystemTime::now() + std::time::Duration::from_secs(ahead);
        format!("X-Amz-Date: {}\r\n", crate::lab::ids::signed_time(time))
    };
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let (status, xml) = send(&lab_, &at(0), body).await;
    assert!(status == 403 && xml.contains("Signature expired"), "{xml}");
    assert_eq!(send(&lab_, &at(1200), body).await.0, 200, "a client that corrects its clock gets through");
    lab_.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_nobody_serves() {
    let lab = lab("web-offline").await;
    let place = lab.endpoint().trim_start_matches("http://").to_owned();
    assert!(place.starts_with("127.") && tokio::net::TcpStream::connect(place).await.is_err());
    lab.stop().await;
}

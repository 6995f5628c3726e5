//! Sessions through AWS's own client: what is asked of the control plane, and how the upgrade is signed.

use super::*;
use port22::core::channel::end::End;
use port22::edge::aws::{Aws, AwsSettings};
use port22::edge::channel::{Failed, PortTarget, Program, open_port, open_shell};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const REGION: &str = "eu-west-1";

async fn aws(fake: &Fake) -> Aws {
    let settings = AwsSettings {
        regions: vec![REGION.to_owned()],
        endpoint: Some(fake.endpoint.clone()),
        keys: Some(("AKIDEXAMPLE".to_owned(), "secret".to_owned())),
        ..AwsSettings::default()
    };
    Aws::load(&settings).await
}

fn started(fake: &Fake) -> Value {
    fake.seen(|seen| seen.starts[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_names_no_document_and_a_command_its_own() {
    let script = "printf 'hi\\n'";
    let fake = service(Opening::Plain, Backend::Shell(script.to_owned()), Faults::default()).await;
    let shell = within(10, open_shell(&aws(&fake).await, REGION, "i-0a", Program::Login)).await.expect("a shell");
    let (mut stream, _, handle) = shell.into_parts();
    let mut text = String::new();
    within(10, stream.read_to_string(&mut text)).await.expect("the output");
    assert_eq!(text, "hi\n");
    assert_eq!(within(10, handle.wait()).await.end, End::Closed { output: String::new() });
    assert_eq!(started(&fake), json!({ "Target": "i-0a", "Reason": "port22" }));

    let fake = service(Opening::Plain, Backend::Shell(script.to_owned()), Faults::default()).await;
    let shell =
        within(10, open_shell(&aws(&fake).await, REGION, "i-0a", Program::Plain("id"))).await.expect("a command");
    within(10, shell.wait()).await;
    let parameters = json!({ "command": ["id"], "separateOutputStream": ["True"] });
    assert_eq!(started(&fake)["DocumentName"], "AWS-StartNonInteractiveCommand");
    assert_eq!(started(&fake)["Parameters"], parameters);
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_name_their_documents() {
    let host = Some("db.internal".to_owned());
    for (target, document, parameters) in [
        (PortTarget::Ssh { port: 22 }, "AWS-StartSSHSession", json!({ "portNumber": ["22"] })),
        (
            PortTarget::Forward { host: None, port: 80 },
            "AWS-StartPortForwardingSession",
            json!({ "portNumber": ["80"] }),
        ),
        (
            PortTarget::Forward { host, port: 5432 },
            "AWS-StartPortForwardingSessionToRemoteHost",
            json!({ "host": ["db.internal"], "portNumber": ["5432"] }),
        ),
    ] {
        let fake = service(raw(), Backend::Echo, Faults::default()).await;
        let ports = within(10, open_port(&aws(&fake).await, REGION, "i-0a", &target)).await.expect("a session");
        assert_eq!((&started(&fake)["DocumentName"], &started(&fake)["Parameters"]), (&document.into(), &parameters));
        within(10, ports.close()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_upgrade_is_signed_anew_for_ssmmessages() {
    let faults = Faults { cuts: vec![6], code: Some(1000), ..Faults::default() };
    let fake = service(smux(), Backend::Smux(echo().await), faults).await;
    let target = PortTarget::Forward { host: None, port: 80 };
    let ports = within(10, open_port(&aws(&fake).await, REGION, "i-0a", &target)).await.expect("a session");
    within(30, round_trip(ports.open().expect("a connection"), 100_000)).await;
    assert_eq!(within(10, ports.close()).await.end, End::Ours);
    fake.seen(|seen| {
        assert_eq!(seen.calls, ["StartSession", "ResumeSession"]);
        assert_eq!(seen.upgrades.len(), 2);
        let mut signatures = BTreeSet::new();
        for (_, headers) in &seen.upgrades {
            let authorization = &headers["authorization"];
            assert!(authorization.contains("/eu-west-1/ssmmessages/aws4_request"), "{authorization}");
            assert!(authorization.contains("SignedHeaders=host;x-amz-date"), "{authorization}");
            assert!(headers["x-amz-date"].len() == 16);
            signatures.insert(authorization.rsplit_once("Signature=").expect("a signature").1.to_owned());
        }
        assert_eq!(signatures.len(), 2);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_control_plane_refuses_is_said() {
    let fake = service(smux(), Backend::Echo, Faults::default()).await;
    let failed =
        within(10, open_shell(&aws(&fake).await, REGION, "i-away", Program::Login)).await.err().expect("refused");
    assert!(matches!(&failed, Failed::NotConnected { target } if target == "i-away"), "{failed}");
    for (kind, words) in [
        ("", "timed out or was terminated"),
        ("DoesNotExistException", "does not exist any more"),
        ("AccessDeniedException", "ssm:ResumeSession"),
    ] {
        let faults = Faults { cuts: vec![2], resume: Some(kind.to_owned()), ..Faults::default() };
        let fake = service(Opening::Plain, Backend::Echo, faults).await;
        let shell = within(10, open_shell(&aws(&fake).await, REGION, "i-0a", Program::Login)).await.expect("a shell");
        shell.resize(80, 24);
        let outcome = within(20, shell.wait()).await;
        assert!(outcome.end.to_string().contains(words), "{kind}: {}", outcome.end);
    }
}

use super::{Answer, Says, may, says};
use crate::core::facts::doors::RolePolicies;

const ASKED: &str = "ssm:UpdateInstanceInformation";

fn statement(text: &str) -> String {
    format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{text}]}}")
}

#[test]
fn documents_are_read_as_iam_reads_them() {
    let cases = [
        (r#"{"Effect":"Allow","Action":"ssm:*","Resource":"*"}"#, Says::Allow),
        (r#"{"Effect":"Allow","Action":["s3:Get*","SSM:updateinstance*"],"Resource":["*"]}"#, Says::Allow),
        (r#"{"Effect":"Allow","Action":"ssm:UpdateInstance?nformation","Resource":"*"}"#, Says::Allow),
        (r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#, Says::Allow),
        (r#"{"Effect":"Allow","NotAction":["iam:*"],"Resource":"*"}"#, Says::Allow),
        (r#"{"Effect":"Allow","NotAction":["ssm:*"],"Resource":"*"}"#, Says::Nothing),
        (r#"{"Effect":"Allow","Action":"ssm:Describe*","Resource":"*"}"#, Says::Nothing),
        (r#"{"Effect":"Allow","Action":"ssm:*","Resource":"arn:aws:ec2:*:*:instance/i-1"}"#, Says::PerhapsAllow),
        (
            r#"{"Effect":"Allow","Action":"ssm:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}"#,
            Says::PerhapsAllow,
        ),
        (r#"{"Effect":"Allow","Action":"ssm:*","NotResource":"arn:aws:ssm:*:*:parameter/x"}"#, Says::PerhapsAllow),
        (
            r#"{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"ssm:*","Resource":"*"}"#,
            Says::Deny,
        ),
        (
            r#"{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","NotAction":"s3:*","Resource":"*"}"#,
            Says::Deny,
        ),
        (
            r#"{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}}"#,
            Says::PerhapsDeny,
        ),
        (r#"{"Effect":"Maybe","Action":"*","Resource":"*"}"#, Says::Unreadable),
        (r#"{"Effect":"Allow","Resource":"*"}"#, Says::Unreadable),
    ];
    for (text, expected) in cases {
        assert_eq!(says(&statement(text), ASKED), expected, "{text}");
    }
    assert_eq!(says("no json", ASKED), Says::Unreadable);
    assert_eq!(says(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#, ASKED), Says::Allow);
    let encoded = "%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22ssm%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%7D";
    assert_eq!(says(encoded, ASKED), Says::Allow);
}

fn attached(name: &str, account: &str) -> RolePolicies {
    let arn = format!("arn:aws:iam::{account}:policy/{name}");
    RolePolicies { attached: vec![(name.to_owned(), arn)], ..RolePolicies::default() }
}

#[test]
fn a_policy_that_was_not_read_never_decides() {
    let allowed = |p: &RolePolicies| matches!(may(p, ASKED), Answer::Allowed(_));
    let refused = |p: &RolePolicies| matches!(may(p, ASKED), Answer::Refused(_));
    assert!(allowed(&attached("AmazonSSMManagedInstanceCore", "aws")));
    assert!(refused(&attached("AmazonS3ReadOnlyAccess", "aws")));
    assert!(refused(&RolePolicies::default()));
    // The name of an AWS policy on one's own proves nothing.
    assert!(matches!(may(&attached("AmazonSSMManagedInstanceCore", "111122223333"), ASKED), Answer::Unknown(_)));
    assert!(matches!(may(&attached("SomethingNewFromAws", "aws"), ASKED), Answer::Unknown(_)));
    let mut both = attached("AmazonSSMManagedInstanceCore", "aws");
    both.attached.push(("mine".to_owned(), "arn:aws:iam::111122223333:policy/mine".to_owned()));
    assert!(matches!(may(&both, ASKED), Answer::Unknown(_)), "the own policy may deny it");
    both.documents.push((
        "arn:aws:iam::111122223333:policy/mine".to_owned(),
        statement(r#"{"Effect":"Deny","Action":"ssm:*","Resource":"*"}"#),
    ));
    assert!(refused(&both));
}

#[test]
fn the_simulator_comes_first_except_where_it_lacks_the_request() {
    let answer = |allowed: bool, inline: &str| {
        let mut policies = RolePolicies::default();
        policies.simulated.insert(ASKED.to_owned(), allowed);
        if !inline.is_empty() {
            policies.inline.push(("inline".to_owned(), statement(inline)));
        }
        may(&policies, ASKED)
    };
    assert!(matches!(answer(true, ""), Answer::Allowed(_)));
    assert!(matches!(answer(false, ""), Answer::Refused(_)));
    assert!(matches!(answer(false, r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#), Answer::Refused(_)));
    let conditional = r#"{"Effect":"Allow","Action":"ssm:*","Resource":"*","Condition":{"StringEquals":{"a":"b"}}}"#;
    assert!(matches!(answer(false, conditional), Answer::Unknown(_)));
    assert!(matches!(answer(false, r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#), Answer::Doubtful(_)));
    let mut unread = attached("mine", "111122223333");
    unread.simulated.insert(ASKED.to_owned(), false);
    assert!(matches!(may(&unread, ASKED), Answer::Doubtful(_)));
    let mut other = RolePolicies::default();
    other.simulated.insert("ssmmessages:OpenDataChannel".to_owned(), false);
    assert!(matches!(may(&other, ASKED), Answer::Unknown(_)), "it was asked about something else");
}

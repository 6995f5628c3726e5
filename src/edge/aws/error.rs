//! From SDK errors to reasons: denied, credentials, timed out, failed.
//!
//! EC2's errors are all "unhandled" in the SDK, so they are told apart by code strings
//! (EC2 API reference, "Error codes").

use crate::core::fact::{Fact, Why};
use crate::core::probe::ProbeId;
use crate::core::recognise::strip_controls;
use crate::core::rules::looking;
use crate::core::text::shorten;
use crate::engine::failure::Failure;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use std::error::Error;

/// Signatures are refused when the clock is off by more than 5 minutes (IAM User Guide, "Troubleshoot signed requests").
const CLOCK_TOLERANCE: i64 = 240;

const DENIED: &[&str] = &[
    "UnauthorizedOperation",
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedException",
    "Client.UnauthorizedOperation",
];
const CREDENTIALS: &[&str] = &[
    "AuthFailure",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "OptInRequired",
    "InvalidAccessKeyId",
];
pub(super) const THROTTLED: &[&str] =
    &["RequestLimitExceeded", "Throttling", "ThrottlingException", "EC2ThrottledException", "TooManyRequestsException"];

/// What an SDK error says, told apart by kind.
pub fn why<E, R>(error: &SdkError<E, R>, action: &str, doing: &str) -> Why
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let code = context.err().code().unwrap_or_default();
            let message = clean(context.err().message().unwrap_or_default());
            let ahead = raw(error).and_then(|r| r.0).and_then(|date| seconds_ahead(&date));
            if let (true, Some(ahead_s)) = (CREDENTIALS.contains(&code), ahead.filter(|s| s.abs() > CLOCK_TOLERANCE)) {
                return Why::Clock { ahead_s, reason: format!("{code}: {message}") };
            }
            by_code(code, &message, raw(error).map_or(0, |r| r.1), action, doing)
        }
        SdkError::TimeoutError(_) => Why::TimedOut { doing: doing.to_owned(), after_ms: 12_000 },
        SdkError::DispatchFailure(failure) => {
            let text = chain(error);
            if is_about_credentials(&text) {
                return Why::Credentials { reason: credential_words(&text) };
            }
            if failure.is_timeout() {
                return Why::TimedOut { doing: format!("{doing}: connecting to the endpoint"), after_ms: 3000 };
            }
            Why::Endpoint { doing: doing.to_owned(), reason: last_cause(error) }
        }
        _ => {
            let text = chain(error);
            if is_about_credentials(&text) {
                return Why::Credentials { reason: credential_words(&text) };
            }
            if matches!(error, SdkError::ResponseError(_)) {
                return Why::failed(doing, "the service's answer could not be read");
            }
            Why::failed(doing, shorten(&clean(&text), 200))
        }
    }
}

/// The unknown fact behind an error of a probe.
pub(super) fn fact<T, E, R>(error: &SdkError<E, R>, probe: ProbeId, doing: &str) -> Fact<T>
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    Fact::unknown(why(error, probe.action().unwrap_or_default(), doing))
}

/// What a service's error code says.
pub(crate) fn by_code(code: &str, message: &str, status: u16, action: &str, doing: &str) -> Why {
    if DENIED.contains(&code) || (code.is_empty() && status == 403) {
        return Why::Denied { action: action.to_owned(), reason: clause(message) };
    }
    if CREDENTIALS.contains(&code) {
        return Why::Credentials { reason: format!("{code}: {message}") };
    }
    if THROTTLED.contains(&code) {
        return Why::Throttled { doing: doing.to_owned(), code: code.to_owned() };
    }
    if code.is_empty() {
        return Why::failed(doing, "the service answered with an error that names no code");
    }
    Why::failed(doing, format!("{code}: {message}"))
}

/// Date header and HTTP status of the answer behind an error.
fn raw<E, R: std::fmt::Debug + 'static>(error: &SdkError<E, R>) -> Option<(Option<String>, u16)> {
    let response = (error.raw_response()? as &dyn std::any::Any).downcast_ref::<HttpResponse>()?;
    Some((response.headers().get("date").map(str::to_owned), response.status().as_u16()))
}

/// How far this machine's clock is ahead of a Date header (RFC 9110, section 5.6.7), in seconds.
fn seconds_ahead(date: &str) -> Option<i64> {
    let theirs = DateTime::from_str(date, aws_smithy_types::date_time::Format::HttpDate).ok()?.secs();
    let ours = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(ours).ok().map(|ours| ours - theirs)
}

/// The service's error code, empty when there is none.
pub fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default()
}

/// A change that failed, as the user sees it.
pub fn failure<E, R>(error: &SdkError<E, R>, action: &str, doing: &str) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let why = why(error, action, doing);
    let next = match &why {
        Why::Denied { action, .. } => {
            format!("ask for the permission {action} (port22 policy prints it), or hand the plan to someone who has it")
        }
        Why::Credentials { .. } => "log in to AWS again and repeat; nothing was changed by this step".to_owned(),
        Why::TimedOut { .. } => {
            "the outcome is not known: run the diagnosis again and look before you repeat".to_owned()
        }
        _ => "run the diagnosis again; port22 journal shows what was changed".to_owned(),
    };
    let reason = match &why {
        Why::Failed { reason, .. } => reason.clone(),
        other => other.text(),
    };
    let mut failure = Failure::failed(doing, reason, next);
    if let Why::Denied { action, reason } = &why {
        failure.cause = Some(looking::denied_fix(action, reason).id);
    }
    failure.outcome_unknown = !matches!(error, SdkError::ServiceError(_) | SdkError::ConstructionFailure(_))
        && !matches!(why, Why::Credentials { .. });
    failure
}

fn chain(error: &dyn Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push_str(": ");
        out.push_str(&cause.to_string());
        source = cause.source();
    }
    out
}

pub(super) fn last_cause(error: &dyn Error) -> String {
    let mut last = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        last = cause.to_string();
        source = cause.source();
    }
    shorten(&clean(&last), 120)
}

fn is_about_credentials(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["credential", "identity", "no providers in chain", "sso", "token provider"].iter().any(|word| text.contains(word))
}

fn credential_words(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if lower.contains("expired") {
        return "they have expired".to_owned();
    }
    if lower.contains("no providers in chain")
        || lower.contains("not loaded")
        || lower.contains("not enabled")
        || lower.contains("imds")
    {
        return "no profile, environment variable or instance role gives any".to_owned();
    }
    let words = text.rsplit(": ").next().unwrap_or(text);
    shorten(&clean(words), 160)
}

/// Takes control sequences, and the encoded authorization message, which can hold account details, out of a message.
fn clean(message: &str) -> String {
    let text = strip_controls(message);
    let text = text.split("Encoded authorization failure message").next().unwrap_or_default();
    text.trim().trim_end_matches('.').to_owned()
}

/// "because no identity-based policy allows …", "with an explicit deny in …": the part that helps.
fn clause(message: &str) -> String {
    ["because ", "with an explicit deny"]
        .iter()
        .find_map(|start| message.find(start).map(|at| message[at..].to_owned()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_messages_are_cut_and_the_reason_is_kept() {
        let message = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/a is not authorized to perform: ec2:DescribeSecurityGroups because no identity-based policy allows the ec2:DescribeSecurityGroups action. Encoded authorization failure message: AAAA";
        assert_eq!(
            clause(&clean(message)),
            "because no identity-based policy allows the ec2:DescribeSecurityGroups action"
        );
        assert!(!clean(message).contains("AAAA"));
    }

    #[test]
    fn a_missing_credential_chain_reads_as_such() {
        let text = "dispatch failure: other: the credential provider was not enabled: no providers in chain provided credentials";
        assert!(is_about_credentials(text));
        assert_eq!(credential_words(text), "no profile, environment variable or instance role gives any");
    }
}

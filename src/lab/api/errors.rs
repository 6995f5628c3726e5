//! Errors in the words and forms of each service.
//!
//! EC2 wraps its errors otherwise than the other Query services, Systems Manager sends JSON.

use std::time::UNIX_EPOCH;

use super::{Problem, Service};
use crate::lab::Shared;
use crate::lab::http::{Answer, Call};
use crate::lab::ids;
use crate::lab::scenario::Reason;
use crate::lab::world::{Denial, World};
use crate::lab::xml::escape;

/// How far a signature may be from AWS's clock, in seconds (SigV4).
const SKEW: i64 = 300;

/// The answer that says what went wrong.
pub(super) fn answer(service: Service, problem: &Problem, request_id: &str) -> Answer {
    let mut message = String::new();
    escape(&mut message, &problem.message);
    let code = code(service, problem.code);
    match service {
        Service::Ec2 => Answer {
            status: problem.status,
            content_type: "text/xml;charset=UTF-8",
            body: format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
            ),
        },
        Service::Ssm | Service::Connect | Service::MetricsJson => Answer {
            status: 400,
            content_type: "application/x-amz-json-1.1",
            body: serde_json::json!({ "__type": code, "message": problem.message }).to_string(),
        },
        Service::Sts | Service::Iam | Service::Scaling | Service::Metrics => Answer {
            status: problem.status,
            content_type: "text/xml",
            body: format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
            ),
        },
    }
}

/// The same thing has other names elsewhere.
fn code(service: Service, code: &'static str) -> &'static str {
    match (service, code) {
        (Service::Ssm | Service::Connect | Service::MetricsJson, "UnauthorizedOperation") => "AccessDeniedException",
        (Service::Ssm | Service::Connect | Service::MetricsJson, "InvalidAction") => "UnknownOperationException",
        (Service::Ec2 | Service::Ssm | Service::Connect, code) => code,
        (_, "UnauthorizedOperation") => "AccessDenied",
        (_, code) => code,
    }
}

/// What a service says to a caller that asks too often.
pub(super) fn throttling(service: Service) -> Problem {
    match service {
        Service::Ec2 => {
            Problem { status: 503, code: "RequestLimitExceeded", message: "Request limit exceeded.".to_owned() }
        }
        Service::Ssm | Service::Connect | Service::MetricsJson => Problem::new("ThrottlingException", "Rate exceeded"),
        _ => Problem::new("Throttling", "Rate exceeded"),
    }
}

/// What is wrong with a request's credentials or its time, if the story wants it so.
pub(super) fn signature(shared: &Shared, service: Service, call: &Call<'_>) -> Option<Problem> {
    if shared.api.expired_credentials {
        let text = "The security token included in the request is expired";
        return Some(match service {
            Service::Ec2 => Problem::new("RequestExpired", "Request has expired."),
            Service::Ssm | Service::Connect | Service::MetricsJson => Problem::new("ExpiredTokenException", text),
            _ => Problem { status: 403, code: "ExpiredToken", message: text.to_owned() },
        });
    }
    if shared.api.clock_ahead == 0 {
        return None;
    }
    let signed = call.date?;
    let now = shared.now();
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()).cast_signed();
    if (ids::signed_seconds(signed)? - seconds).abs() <= SKEW {
        return None;
    }
    let (here, limit) = (ids::signed_time(now), ids::signed_time(now - std::time::Duration::from_mins(5)));
    let text = if ids::signed_seconds(signed)? < seconds {
        format!("Signature expired: {signed} is now earlier than {limit} ({here} - 5 min.)")
    } else {
        let limit = ids::signed_time(now + std::time::Duration::from_mins(5));
        format!("Signature not yet current: {signed} is still later than {limit} ({here} + 5 min.)")
    };
    Some(match service {
        Service::Ec2 => Problem::new("RequestExpired", "Request has expired."),
        Service::Ssm | Service::Connect | Service::MetricsJson => Problem::new("InvalidSignatureException", text),
        _ => Problem { status: 403, code: "SignatureDoesNotMatch", message: text },
    })
}

/// Why the caller may not do something, in IAM's words.
pub(super) fn denial(world: &World, denial: &Denial) -> Problem {
    let (action, caller) = (&denial.action, &world.caller);
    let (service, _) = action.split_once(':').unwrap_or(("ec2", ""));
    let because = match denial.reason {
        Reason::Identity => format!("because no identity-based policy allows the {action} action"),
        Reason::Organization => "with an explicit deny in a service control policy".to_owned(),
        Reason::Boundary => format!("because no permissions boundary allows the {action} action"),
    };
    let sentence = format!(
        "User: {caller} is not authorized to perform: {action} on resource: arn:aws:{service}:{}:{}:* {because}",
        world.region, world.account
    );
    let message = if service == "ec2" {
        format!(
            "You are not authorized to perform this operation. {sentence}. Encoded authorization failure message: {}",
            ids::hex(&ids::bytes(world.seed, "denied", action)).repeat(3)
        )
    } else {
        sentence
    };
    Problem { status: 403, code: "UnauthorizedOperation", message }
}

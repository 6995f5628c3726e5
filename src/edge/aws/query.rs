//! A signed request in AWS's query protocol (form in, XML out), for a service without a client here.
//!
//! Sends one attempt and reads the answer; the caller knows what the XML means. Nothing here asks whether a change was
//! done: who sends one looks before and, where no answer comes, afterwards. Source: IAM User Guide, "Create a signed AWS API request".

use super::client::Aws;
use crate::core::fact::Why;
use crate::core::recognise::strip_controls;
use crate::core::text::shorten;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use std::time::{Duration, SystemTime};

/// Longest answer that is read, in bytes.
const LONGEST: usize = 1 << 20;
/// Limit of the attempt, as the other clients have it.
const LIMIT: Duration = Duration::from_secs(12);
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Where a service is and how it is signed.
pub(super) struct Service {
    /// Name in the signature, such as `monitoring`.
    pub signing_name: &'static str,
    /// Name in `AWS_ENDPOINT_URL_…` and in the profile's services section, such as `CLOUDWATCH`.
    pub id: &'static str,
    /// Host without the domain, such as `monitoring`.
    pub host: &'static str,
}

impl Service {
    /// The endpoint: the environment's or profile's, as the SDKs take it, else AWS's own of the Region.
    fn endpoint(&self, aws: &Aws, region: &str) -> String {
        aws.endpoint_of(self.id).unwrap_or_else(|| {
            let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://{}.{region}.{domain}/", self.host)
        })
    }
}

/// Calls an operation with its parameters; gives the XML of a good answer.
pub(super) async fn call(
    aws: &Aws,
    service: &Service,
    region: &str,
    form: &[(String, String)],
    action: &str,
    doing: &str,
) -> Result<String, Why> {
    let sent = tokio::time::timeout(LIMIT, send(aws, service, region, form, doing)).await;
    let limit = || Why::TimedOut { doing: doing.to_owned(), after_ms: 12_000 };
    let (status, body) = sent.unwrap_or_else(|_| Err(limit()))?;
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let code = between(&body, "<Code>", "</Code>").unwrap_or_default();
    let message = strip_controls(between(&body, "<Message>", "</Message>").unwrap_or_default());
    Err(super::error::by_code(code, &shorten(&message, 300), status, action, doing))
}

async fn send(
    aws: &Aws,
    service: &Service,
    region: &str,
    form: &[(String, String)],
    doing: &str,
) -> Result<(u16, String), Why> {
    let failed = |what: String| Why::failed(doing, what);
    let Some(provider) = aws.credentials() else {
        return Err(Why::Credentials {
            reason: "no profile, environment variable or instance role gives any".to_owned(),
        });
    };
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|_| Why::Credentials { reason: "the credential chain gives none".to_owned() })?;
    let identity = credentials.into();
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let url = service.endpoint(aws, region);
    let settings = SigningSettings::default();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service.signing_name)
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .map_err(|e| failed(e.to_string()))?
        .into();
    let headers = [("content-type", FORM)];
    let signable = SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))
        .map_err(|e| failed(e.to_string()))?;
    let (instructions, _) = sign(signable, &params).map_err(|e| failed(e.to_string()))?.into_parts();
    let (signed, _) = instructions.into_parts();
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST").map_err(|e| failed(e.to_string()))?;
    request.set_uri(url).map_err(|e| failed(e.to_string()))?;
    request.headers_mut().insert("content-type", FORM);
    for header in signed {
        request.headers_mut().insert(header.name(), header.value().to_owned());
    }
    let connector = aws_smithy_http_client::Connector::builder()
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build();
    aws.count();
    let unreachable = |reason: String| Why::Endpoint { doing: doing.to_owned(), reason };
    let response = connector.call(request).await.map_err(|e| unreachable(super::error::last_cause(&e)))?;
    let status = response.status().as_u16();
    let mut stream = ByteStream::new(response.into_body());
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.map_err(|e| unreachable(super::error::last_cause(&e)))?);
        if bytes.len() > LONGEST {
            return Err(failed("the answer is too long".to_owned()));
        }
    }
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let at = text.find(start)? + start.len();
    Some(&text[at..at + text[at..].find(end)?])
}

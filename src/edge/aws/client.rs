//! Clients for the profile and regions, made once, with a count of every request sent.

use crate::core::probe::ProbeId;
use crate::edge::profiles;
use crate::engine::scope::ProfileKind;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::{RetryConfig, RetryMode};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_sdk_ec2::config::retry::RetryPartition;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::BoxError;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What the user chose.
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// `--profile`.
    pub profile: Option<String>,
    /// `--region`, repeatable; empty means the profile's region.
    pub regions: Vec<String>,
    /// Endpoint instead of the environment's one (the practice account).
    pub endpoint: Option<String>,
    /// Access key id and secret instead of the credential chain (the practice account).
    pub keys: Option<(String, String)>,
}

/// A client of a service in a region. The settings of each SDK crate are a type of its own.
macro_rules! client {
    ($sdk:ident, $aws:ident, $region:expr, $retry:ident($how:expr)) => {{
        let config = $sdk::config::Builder::from(&$aws.config).region(Region::new($region.to_owned()));
        $sdk::Client::from_conf(config.$retry($how).interceptor($aws.counter.clone()).build())
    }};
}

tokio::task_local! {
    /// The probe on whose behalf a request is sent.
    pub(crate) static PROBE: ProbeId;
}

/// Counts requests as they leave, retries included, and notes which probes AWS asked to slow down.
#[derive(Debug, Clone, Default)]
struct Counter {
    sent: Arc<AtomicU64>,
    slowed: Arc<Mutex<BTreeSet<ProbeId>>>,
}

impl Counter {
    fn note(&self, slowed: bool) {
        let Ok(probe) = PROBE.try_with(|probe| *probe) else { return };
        let mut all = self.slowed.lock().unwrap_or_else(PoisonError::into_inner);
        if slowed {
            all.insert(probe);
        } else {
            all.remove(&probe);
        }
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "count requests"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.note(false);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let failed = context.response().filter(|answer| answer.status().as_u16() >= 400);
        let body = failed.and_then(|answer| answer.body().bytes()).unwrap_or_default();
        // The codes stand in the first lines of every protocol's error document.
        let start = String::from_utf8_lossy(&body[..body.len().min(2000)]);
        if super::error::THROTTLED.iter().any(|code| start.contains(code)) {
            self.note(true);
        }
        Ok(())
    }
}

/// AWS, for one profile and its regions.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    regions: Vec<String>,
    counter: Counter,
    custom: bool,
}

impl Aws {
    /// Loads profile, region and credential chain exactly as the aws CLI finds them. Sends nothing.
    pub async fn load(settings: &AwsSettings) -> Self {
        let timeouts = aws_sdk_ec2::config::timeout::TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(12))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = settings.regions.first() {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some((id, secret)) = &settings.keys {
            loader = loader.credentials_provider(aws_sdk_ec2::config::Credentials::new(
                id,
                secret,
                None,
                None,
                "practice account",
            ));
        }
        if let Some(provider) = Box::pin(own_credentials(settings)).await {
            loader = loader.credentials_provider(provider);
        }
        let config = loader.load().await;
        let config = config.to_builder().retry_config(patient(config.retry_config())).build();
        let mut regions = settings.regions.clone();
        if regions.is_empty() {
            regions.extend(config.region().map(ToString::to_string));
        }
        let custom = [
            of_service(&config, "ec2"),
            std::env::var("AWS_ENDPOINT_URL_EC2").ok(),
            config.endpoint_url().map(str::to_owned),
        ]
        .into_iter()
        .flatten()
        .any(|url| !is_aws(&url));
        Self { config, regions, counter: Counter::default(), custom }
    }

    /// Regions that are asked; empty when none is configured.
    pub fn regions(&self) -> &[String] {
        &self.regions
    }

    /// Whether the EC2 endpoint is not AWS's own: an emulator, or a test. The addresses that it reports
    /// then belong to strangers on the real internet, so only loopback ones may be dialled.
    pub fn is_emulated(&self) -> bool {
        self.custom
    }

    /// Requests sent so far.
    pub fn calls(&self) -> u64 {
        self.counter.sent.load(Ordering::Relaxed)
    }

    /// Probes that AWS asked to slow down and that wait for their next attempt.
    pub fn slowed(&self) -> Vec<ProbeId> {
        self.counter.slowed.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Calls of one kind share a rate limiter, as AWS has a token bucket for each API, and no other's: one that is
    /// asked to slow down must not hold up the rest (EC2 developer guide, "Request throttling").
    fn partition(service: &str, region: &str) -> RetryPartition {
        let probe = PROBE.try_with(|probe| format!("{probe:?}")).unwrap_or_default();
        RetryPartition::new(format!("{service} {region} {probe}"))
    }

    /// EC2 in a region.
    pub fn ec2(&self, region: &str) -> aws_sdk_ec2::Client {
        client!(aws_sdk_ec2, self, region, retry_partition(Self::partition("ec2", region)))
    }

    /// EC2 in a region, for changes: never sent twice. A repeated change would answer "duplicate", and
    /// nobody could tell whose it was.
    pub fn ec2_once(&self, region: &str) -> aws_sdk_ec2::Client {
        client!(aws_sdk_ec2, self, region, retry_config(RetryConfig::disabled()))
    }

    /// SSM in a region.
    pub fn ssm(&self, region: &str) -> aws_sdk_ssm::Client {
        client!(aws_sdk_ssm, self, region, retry_partition(Self::partition("ssm", region)))
    }

    /// IAM; a global service.
    pub fn iam(&self, region: &str) -> aws_sdk_iam::Client {
        client!(aws_sdk_iam, self, region, retry_partition(Self::partition("iam", region)))
    }

    /// IAM, for changes: never sent twice. A repeated one would answer that the entity exists, or that a quota is
    /// reached, and nobody could tell whose it was.
    pub fn iam_once(&self, region: &str) -> aws_sdk_iam::Client {
        client!(aws_sdk_iam, self, region, retry_config(RetryConfig::disabled()))
    }

    /// EC2 Instance Connect in a region. A push is a change: it is never sent twice.
    pub fn instance_connect(&self, region: &str) -> aws_sdk_ec2instanceconnect::Client {
        client!(aws_sdk_ec2instanceconnect, self, region, retry_config(RetryConfig::disabled()))
    }

    /// SSM in a region, for what must not happen twice: a command, a session.
    pub fn ssm_once(&self, region: &str) -> aws_sdk_ssm::Client {
        client!(aws_sdk_ssm, self, region, retry_config(RetryConfig::disabled()))
    }

    /// Endpoint that environment or profile set for a service (`id` as in `AWS_ENDPOINT_URL_…`), or for all.
    pub(super) fn endpoint_of(&self, id: &str) -> Option<String> {
        of_service(&self.config, &id.to_ascii_lowercase().replace('_', " "))
            .or_else(|| std::env::var(format!("AWS_ENDPOINT_URL_{id}")).ok())
            .or_else(|| self.config.endpoint_url().map(str::to_owned))
    }

    /// Whether the SSM endpoint is not AWS's own.
    pub(crate) fn is_ssm_custom(&self) -> bool {
        self.endpoint_of("SSM").is_some_and(|url| !is_aws(&url))
    }

    /// The address of SSM in a region, for a program that asks it itself; empty when it cannot be told.
    pub(crate) async fn ssm_endpoint(&self, region: &str) -> String {
        use aws_sdk_ssm::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
        if let Some(url) = self.endpoint_of("SSM") {
            return url;
        }
        let params = Params::builder()
            .region(region)
            .set_use_fips(self.config.use_fips())
            .set_use_dual_stack(self.config.use_dual_stack())
            .build();
        let Ok(params) = params else { return String::new() };
        let endpoint = DefaultResolver::new().resolve_endpoint(&params).await;
        endpoint.map(|endpoint| endpoint.url().to_owned()).unwrap_or_default()
    }

    /// Whether the profile or the environment asks for FIPS endpoints.
    pub(crate) fn wants_fips(&self) -> bool {
        self.config.use_fips().unwrap_or(false)
    }

    /// Endpoint of EC2 Instance Connect, where it is not AWS's own.
    pub(crate) fn custom_instance_connect(&self) -> Option<String> {
        self.endpoint_of("EC2_INSTANCE_CONNECT").filter(|url| !is_aws(url))
    }

    /// The credential chain.
    pub(crate) fn credentials(&self) -> Option<aws_credential_types::provider::SharedCredentialsProvider> {
        self.config.credentials_provider()
    }

    /// Counts a request that no client of the SDK sends.
    pub(super) fn count(&self) {
        self.counter.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// STS.
    pub fn sts(&self) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::config::Builder::from(&self.config).interceptor(self.counter.clone());
        aws_sdk_sts::Client::from_conf(config.build())
    }
}

/// The profile's and environment's retries, with a rate limiter of the client's own: a diagnosis shares the
/// account's token buckets with everybody (EC2 developer guide, "Request throttling"). More attempts than the
/// SDK's three only where nobody has said how many.
fn patient(configured: Option<&RetryConfig>) -> RetryConfig {
    let found = configured.cloned().unwrap_or_else(RetryConfig::standard);
    let attempts = match found.max_attempts() {
        3 if std::env::var_os("AWS_MAX_ATTEMPTS").is_none() => 5,
        said => said,
    };
    found.with_retry_mode(RetryMode::Adaptive).with_max_attempts(attempts)
}

/// The credentials of a profile that was named, where the environment holds others: a name that is given by hand
/// outranks them, as in the aws CLI (AWS CLI User Guide, "Configuration settings and precedence"). The SDK's own chain
/// would take the environment's, and the instances of another account would be listed under the profile's name.
async fn own_credentials(settings: &AwsSettings) -> Option<ProfileFileCredentialsProvider> {
    let name = settings.profile.as_ref().filter(|_| settings.keys.is_none())?;
    let profile = profiles::named(name).await.ok().flatten();
    // One that is not there, or cannot be read, has no credentials, and nobody else's are taken for them: the chain would
    // go on to those of the environment or the machine.
    if let Some(profile) = &profile {
        let others = std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|id| !id.is_empty());
        if profile.kind == ProfileKind::None || !others {
            return None;
        }
    }
    let region = settings.regions.first().cloned().or_else(|| profile?.region);
    let config = match region {
        Some(region) => ProviderConfig::without_region().with_region(Some(Region::new(region))),
        None => ProviderConfig::with_default_region().await,
    };
    Some(ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build())
}

/// Endpoint that the profile or the environment sets for one service.
fn of_service(config: &SdkConfig, id: &str) -> Option<String> {
    let key = aws_types::service_config::ServiceConfigKey::builder()
        .service_id(id)
        .profile("endpoint_url")
        .env("AWS_ENDPOINT_URL")
        .build()
        .ok()?;
    config.service_config()?.load_config(key)
}

/// Whether an endpoint URL is one of AWS's own domains (AWS General Reference, service endpoints).
fn is_aws(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_ascii_lowercase();
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".amazonwebservices.com.cn", ".c2s.ic.gov", ".sc2s.sgov.gov"]
        .iter()
        .any(|domain| host.ends_with(domain))
}

#[cfg(test)]
mod tests {
    use super::is_aws;

    #[test]
    fn emulators_are_told_from_aws() {
        for url in [
            "http://127.0.0.1:5601",
            "http://localhost.localstack.cloud:4566/",
            "https://[::1]:1/x",
            "http://moto:5000",
            "https://ec2.amazonaws.com.example.org",
        ] {
            assert!(!is_aws(url), "{url}");
        }
        for url in [
            "https://ec2.eu-west-1.amazonaws.com",
            "https://vpce-1-2.ec2.eu-west-1.vpce.amazonaws.com:443/",
            "https://ec2.cn-north-1.amazonaws.com.cn",
            "https://ec2.eu-west-1.api.aws",
        ] {
            assert!(is_aws(url), "{url}");
        }
    }
}

//! The fleet's world: several profiles and Regions, short connections to ports, Run Command on many hosts.
//!
//! Must not judge, and dials nothing beyond loopback while the endpoint is an emulated one: the addresses that it
//! reports belong to strangers. Nothing is sent to a port but an identification string.

use super::aws::{Aws, AwsSettings, FleetScript};
use super::{source_ip, ssh, ssh_config, tcp};
use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::{Caller, Instance};
use crate::core::facts::inside::Inside;
use crate::core::facts::local::SshConfig;
use crate::core::facts::wire::Tcp;
use crate::core::fleet::{Greeting, Knock, Place, RegionFacts};
use crate::core::{inside, redact, vpc};
use crate::engine::failure::Failure;
use crate::engine::fleet::{FleetWorld, Whom};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Limit of a connect: half of what a diagnosis waits, for silent addresses are many.
const CONNECT: Duration = Duration::from_secs(3);
/// Limit of the greeting.
const GREETING: Duration = Duration::from_secs(5);
/// Seconds that the script may run; it bounds itself as well.
const RUN_LIMIT: u64 = 75;

/// What the user chose.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// Profiles; empty for the one that the environment names.
    pub profiles: Vec<String>,
    /// `--region`, repeatable; empty means each profile's own Region.
    pub regions: Vec<String>,
    /// Every Region that is switched on in the account.
    pub all_regions: bool,
    /// ssh configuration file (`-F`).
    pub config_file: Option<String>,
    /// `--timeout`: shortens the limits of a probe.
    pub limit: Option<Duration>,
}

/// One profile.
struct Account {
    profile: Option<String>,
    aws: Aws,
    regions: Vec<String>,
    caller: OnceCell<Fact<Caller>>,
}

/// Profiles and Regions, and this machine.
pub struct RealFleet {
    accounts: Vec<Account>,
    configs: ssh_config::Files,
    limit: Option<Duration>,
    checkip: OnceCell<Fact<IpAddr>>,
}

impl RealFleet {
    /// Loads each profile exactly as the aws CLI finds it, roles to assume included. Sends nothing, unless the Regions
    /// themselves have to be asked for.
    pub async fn load(chosen: &Chosen) -> Result<Self, Failure> {
        let names: Vec<Option<String>> = match chosen.profiles.as_slice() {
            [] => vec![None],
            named => named.iter().cloned().map(Some).collect(),
        };
        let loaded = join_all(names.into_iter().map(|profile| async {
            let settings =
                AwsSettings { profile: profile.clone(), regions: chosen.regions.clone(), ..AwsSettings::default() };
            let aws = Aws::load(&settings).await;
            let regions = if chosen.all_regions { aws.enabled_regions().await } else { Ok(aws.regions().to_vec()) };
            let who = profile.as_ref().map(|p| format!(" of profile {p}")).unwrap_or_default();
            match regions {
                Ok(regions) if regions.is_empty() => Err(Failure::usage(
                    format!("list instances{who}"),
                    "no region is chosen",
                    "pass --region or --all-regions, or set one for the profile (aws configure)",
                )),
                Ok(regions) => Ok(Account { profile, aws, regions, caller: OnceCell::new() }),
                Err(why) => Err(Failure::usage(
                    format!("list the Regions{who}"),
                    why.text(),
                    "name them with --region, or choose another --profile",
                )),
            }
        }));
        let accounts = loaded.await.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Self::with(accounts, chosen.config_file.as_deref(), chosen.limit))
    }

    /// The fleet of one loaded profile and its Regions.
    pub(super) fn of(aws: &Aws, profile: Option<String>, config_file: Option<&str>, limit: Option<Duration>) -> Self {
        let account = Account { profile, aws: aws.clone(), regions: aws.regions().to_vec(), caller: OnceCell::new() };
        Self::with(vec![account], config_file, limit)
    }

    fn with(accounts: Vec<Account>, config_file: Option<&str>, limit: Option<Duration>) -> Self {
        Self { accounts, configs: ssh_config::Files::read(config_file), limit, checkip: OnceCell::new() }
    }

    fn account(&self, place: &Place) -> Option<&Account> {
        self.accounts.iter().find(|a| a.profile == place.profile)
    }

    fn is_emulated(&self) -> bool {
        self.accounts.iter().any(|a| a.aws.is_emulated())
    }

    fn limit(&self, own: Duration) -> Duration {
        self.limit.map_or(own, |l| own.min(l * 4 / 5))
    }

    async fn own_address(&self, target: Option<IpAddr>) -> Fact<IpAddr> {
        // As in a diagnosis: only the internet sees another address than that of the own interface.
        if let Some(address) = target.filter(|a| vpc::is_private(*a) || a.is_loopback()) {
            return match source_ip::local_address_towards(address) {
                Some(own) => Fact::known(own, "the own interface towards the target"),
                None => Fact::unknown(Why::failed("find the own address", "there is no route to the target")),
            };
        }
        if self.is_emulated() {
            let what = "--source-ip: the EC2 endpoint is not AWS's own, so nothing outside is asked";
            return Fact::unknown(Why::needs(what));
        }
        if let Some(address) = target.filter(IpAddr::is_ipv6) {
            return source_ip::own_ipv6(address);
        }
        let found = self.checkip.get_or_init(|| source_ip::checkip(None)).await.clone();
        match found.value() {
            Some(own) if target.is_some_and(|t| t.is_ipv4() != own.is_ipv4()) => Fact::unknown(Why::needs(format!(
                "--source-ip: requests leave from {own} here, and the target's address is of the other family"
            ))),
            _ => found,
        }
    }

    async fn knock(&self, address: IpAddr, port: u16) -> Knock {
        let (tcp, stream) = tcp::connect(address, port, self.limit(CONNECT)).await;
        let greeting = match stream {
            Some(mut stream) if matches!(tcp.value(), Some(Tcp::Connected { .. })) => {
                let heard = ssh::greeting(&mut stream, self.limit(GREETING)).await;
                // An orderly end, so that it is one in the server's log as well.
                let _ = stream.shutdown().await;
                Some(heard.map_or_else(Greeting::Other, Greeting::Ssh))
            }
            _ => None,
        };
        Knock { tcp, greeting }
    }

    async fn look(
        &self,
        place: Place,
        ids: Vec<String>,
        whom: Whom,
        script: String,
        out: UnboundedSender<(String, Fact<Inside>)>,
    ) {
        let Some(account) = self.account(&place) else { return };
        let (told, mut outputs) = unbounded_channel();
        let script = FleetScript {
            text: &script,
            end: inside::END_LINE,
            limit: RUN_LIMIT,
            comment: "port22: read-only look at sshd and the login files",
        };
        let running = async {
            account.aws.run_on_many(&place.region, &ids, &whom, &script, &told).await;
            drop(told);
        };
        let reading = async {
            while let Some((id, output)) = outputs.recv().await {
                // Log lines may hold what a script printed by mistake.
                let seen = output.map(|text| inside::parse(&redact::secrets(&text)));
                let _ = out.send((id, seen));
            }
        };
        tokio::join!(running, reading);
    }
}

impl FleetWorld for RealFleet {
    fn places(&self) -> Vec<Place> {
        let of = |a: &Account| {
            let profile = a.profile.clone();
            a.regions
                .iter()
                .map(move |region| Place { profile: profile.clone(), region: region.clone() })
                .collect::<Vec<_>>()
        };
        self.accounts.iter().flat_map(of).collect()
    }

    fn lists(&self, place: Place) -> BoxFuture<'_, RegionFacts> {
        async move {
            let Some(account) = self.account(&place) else { return RegionFacts::default() };
            let caller = account.caller.get_or_init(|| account.aws.caller());
            let lists = account.aws.region_facts(&place.region, Fact::NotAsked);
            let (caller, lists) = tokio::join!(caller, lists);
            RegionFacts { caller: caller.clone(), ..lists }
        }
        .boxed()
    }

    fn instances(&self, place: Place, out: UnboundedSender<Vec<Instance>>) -> BoxFuture<'_, Result<(), Why>> {
        async move {
            match self.account(&place) {
                Some(account) => account.aws.instance_pages(&place.region, &out).await,
                None => Ok(()),
            }
        }
        .boxed()
    }

    fn source_ip(&self, target: Option<IpAddr>) -> BoxFuture<'_, Fact<IpAddr>> {
        self.own_address(target).boxed()
    }

    fn config(&self, instance: &Instance) -> Fact<SshConfig> {
        let address = instance.best_address().or(instance.private_ip).map(|a| a.to_string());
        let names = [instance.name.as_deref(), Some(&instance.id), address.as_deref()];
        self.configs.of(&names.into_iter().flatten().collect::<Vec<_>>())
    }

    fn may_knock(&self, address: IpAddr) -> bool {
        !self.is_emulated() || address.is_loopback()
    }

    fn knock(&self, address: IpAddr, port: u16) -> BoxFuture<'_, Knock> {
        RealFleet::knock(self, address, port).boxed()
    }

    fn look(
        &self,
        place: Place,
        ids: Vec<String>,
        whom: Whom,
        script: String,
        out: UnboundedSender<(String, Fact<Inside>)>,
    ) -> BoxFuture<'_, ()> {
        RealFleet::look(self, place, ids, whom, script, out).boxed()
    }

    fn api_calls(&self) -> u64 {
        self.accounts.iter().map(|a| a.aws.calls()).sum()
    }
}

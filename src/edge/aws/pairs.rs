//! The key pairs of the instance's Region, for a plan that adds or deletes one. Reads only.

use super::client::Aws;
use super::{convert, error};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::own_files::KeyPairs;
use crate::edge::keys::expand;

impl Aws {
    /// Every key pair with its public half, and the names in `~/.ssh`.
    pub async fn key_pairs(&self, facts: &Facts) -> Fact<KeyPairs> {
        let Some(instance) = facts.instance() else { return Fact::unknown(Why::needs("the instance")) };
        let doing = format!("read the key pairs of {}", instance.region);
        let answer = self.ec2(&instance.region).describe_key_pairs().include_public_key(true).send().await;
        let pairs = match answer {
            Ok(answer) => answer.key_pairs().iter().map(convert::key_pair).collect(),
            Err(e) => return Fact::unknown(error::why(&e, "ec2:DescribeKeyPairs", &doing)),
        };
        let directory = expand("~/.ssh");
        let names = std::fs::read_dir(&directory)
            .map(|all| all.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
            .unwrap_or_default();
        let ssh_dir = if directory.is_absolute() { directory.display().to_string() } else { String::new() };
        Fact::known(KeyPairs { pairs, ssh_dir, names }, "DescribeKeyPairs")
    }
}

//! The practising user's home: key files, ssh_config, known_hosts and AWS settings in a directory
//! of their own, removed when the lab ends.
//!
//! Used by `Lab`. Must not write anywhere else.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::keys::{self, Pair};
use super::scenario::{FileSpec, InstanceSpec, PublicSpec};
use super::world::World;

/// The directory; dropping it removes it.
pub(super) struct Home {
    path: PathBuf,
    /// Sockets at which connections queue up and nobody answers.
    stuck: Vec<Stuck>,
}

/// What stands for a suspended master.
#[cfg(unix)]
type Stuck = std::os::unix::net::UnixListener;
#[cfg(not(unix))]
type Stuck = ();

impl Home {
    /// A new directory under the system's place for temporary files, for the owner alone.
    pub fn create() -> Result<Self, String> {
        let base = std::env::temp_dir();
        for _ in 0..64 {
            let path = base.join(format!("port22-lab-{:08x}", rand::random::<u32>()));
            match private_directory(&path) {
                Ok(()) => {
                    let home = Self { path, stuck: Vec::new() };
                    private_directory(&home.keys()).map_err(|error| problem(&home.keys(), &error))?;
                    return Ok(home);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(problem(&path, &error)),
            }
        }
        Err(format!("cannot make a directory in {}", base.display()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    pub fn config(&self) -> PathBuf {
        self.path.join("ssh_config")
    }

    /// Writes a key file as a scenario wants it.
    pub fn key_file(&self, world: &World, spec: &FileSpec) -> Result<(), String> {
        let pair = match spec.pair.strip_prefix("local:") {
            Some(name) => Pair::ed25519(world.seed, name)?,
            None => world
                .key_pairs
                .iter()
                .find(|known| known.pair.name == spec.pair)
                .map(|known| known.pair.clone())
                .ok_or_else(|| format!("key file {}: no key pair {}", spec.name, spec.pair))?,
        };
        Self::write(&self.keys().join(&spec.name), &pair.file(spec.format)?, spec.mode)
    }

    /// Writes ssh_config and known_hosts for these instances. `alone` is true if one lesson runs by itself.
    pub fn client_files(&mut self, world: &World, instances: &[&InstanceSpec], alone: bool) -> Result<(), String> {
        let known_path = self.path.join("known_hosts");
        let mut config = String::from("# The practice account's hosts.\n");
        let mut known = String::new();
        let here = self.path.display().to_string();
        // The first value wins, so these come first.
        for spec in instances.iter().filter(|spec| !spec.client.before.is_empty()) {
            let _ = write!(config, "\nHost {}\n", spec.name);
            for line in &spec.client.before {
                let _ = writeln!(config, "  {}", line.replace("@HOME@", &here));
            }
        }
        for spec in instances {
            let Some(instance) = world.instances.iter().find(|instance| instance.name == spec.name) else {
                continue;
            };
            // A stopped or private host: the address by which the user knew it.
            let own = super::build::public_for(world, &spec.address)?;
            let private_only = spec.public == PublicSpec::None || spec.client.private;
            let address = match &spec.client.address {
                Some(old) => super::build::public_for(world, old)?,
                None if private_only => instance.private,
                None => instance.public.unwrap_or(own),
            };
            let client = &spec.client;
            let port = client.port.unwrap_or(world.ssh_port);
            let key = client.key_file.as_deref().unwrap_or("practice.pem");
            let _ = write!(
                config,
                "\nHost {} {} {address}\n  HostName {address}\n  Port {port}\n",
                instance.id, instance.name
            );
            if let Some(user) = &client.user {
                let _ = writeln!(config, "  User {user}");
            }
            for file in client.first_files.iter().map(String::as_str).chain([key]) {
                let _ = writeln!(config, "  IdentityFile \"{}\"", self.keys().join(file).display());
            }
            if let Some(jump) = &client.jump {
                let _ = writeln!(config, "  ProxyJump {jump}");
            }
            if let Some(name) = &client.stuck_socket {
                let socket = self.path.join(name);
                self.stuck.push(stuck_socket(&socket)?);
                let _ = writeln!(config, "  ControlPath \"{}\"", socket.display());
            }
            for line in client.lines.iter().chain(client.broken.iter().filter(|_| alone)) {
                let _ = writeln!(config, "  {}", line.replace("@HOME@", &here));
            }
            let _ = write!(
                config,
                "  IdentitiesOnly yes\n  UserKnownHostsFile \"{}\"\n  GlobalKnownHostsFile /dev/null\n",
                known_path.display()
            );
            if instance.users.is_empty() {
                continue;
            }
            let host = if port == 22 { address.to_string() } else { format!("[{address}]:{port}") };
            let stale = client.stale_host_key.then(|| keys::host_key(world.seed, "the host before")).transpose()?;
            let key = stale.as_ref().unwrap_or(&instance.host_key);
            let _ = writeln!(known, "{host} {} {}", key.algorithm(), STANDARD.encode(key.blob()));
        }
        Self::write(&self.config(), &config, 0o600)?;
        Self::write(&known_path, &known, 0o600)
    }

    /// Adds the serial console's host key, as the user has compared it with what is published.
    pub fn know_console(&self, key: &Pair, at: SocketAddr) -> Result<(), String> {
        let path = self.path.join("known_hosts");
        let mut known = fs::read_to_string(&path).map_err(|error| problem(&path, &error))?;
        let _ = writeln!(known, "[{}]:{} {} {}", at.ip(), at.port(), key.algorithm(), STANDARD.encode(key.blob()));
        Self::write(&path, &known, 0o600)
    }

    /// Settings that keep the AWS tools away from the user's own files.
    pub fn aws_files(&self, region: &str) -> Result<(PathBuf, PathBuf), String> {
        let (config, credentials) = (self.path.join("aws_config"), self.path.join("aws_credentials"));
        Self::write(&config, &format!("[default]\nregion = {region}\n"), 0o600)?;
        Self::write(
            &credentials,
            "[default]\naws_access_key_id = practice\naws_secret_access_key = practice\n",
            0o600,
        )?;
        Ok((config, credentials))
    }

    fn write(path: &Path, text: &str, mode: u32) -> Result<(), String> {
        // The directory is the owner's alone, so nobody can read the file before its mode is set.
        fs::write(path, text).map_err(|error| problem(path, &error))?;
        set_mode(path, mode)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and nothing secret is left behind.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn problem(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// The socket of a suspended ssh: the kernel takes connections to it, and the process that is to answer does not run.
#[cfg(unix)]
fn stuck_socket(path: &Path) -> Result<Stuck, String> {
    std::os::unix::net::UnixListener::bind(path).map_err(|error| problem(path, &error))
}

#[cfg(not(unix))]
fn stuck_socket(_path: &Path) -> Result<Stuck, String> {
    Ok(())
}

/// A directory that is the owner's alone from its first moment.
#[cfg(unix)]
fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| problem(path, &error))
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> Result<(), String> {
    Ok(())
}

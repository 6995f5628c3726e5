//! One or two sentences per symptom: what the message proves, and which layer to look at.
//!
//! Words only. Used by the recognisers.

/// What a symptom of a client's output proves.
pub fn ssh(symptom: &str) -> &'static str {
    match symptom {
        "timeout" => {
            "No answer came back at all. Look at the network: security group, NACL, route, public address, and whether the instance is running."
        }
        "connection_refused" => {
            "The packet arrived and was answered with a refusal: security group, NACL and route are fine. Nothing listens on that port, or the address belongs to another machine."
        }
        "connection_reset" => {
            "The connection was accepted and then dropped, so the network path works. Look at the SSH server: MaxStartups, penalties, hosts.deny, fail2ban, or a crash."
        }
        "no_route" => {
            "The address cannot be reached from here. Look at the client's network (VPN, private address) or at a firewall on the instance that rejects."
        }
        "dns_failure" => {
            "The name has no address, so nothing was sent. Check the spelling and the DNS record, or use the instance's current address."
        }
        "host_key_changed" => {
            "Another host key than the remembered one answered. Verify it before you trust it: a new instance on a reused address is normal, an impostor is not."
        }
        "host_key_unknown" => {
            "The client does not know this server's host key yet. Compare the fingerprint with the console output, then accept it."
        }
        "refused_key" => {
            "Network and SSH server work and the key file was readable: the server does not accept this key for this user. Check the user name and the key pair."
        }
        "too_many_failures" => {
            "The server gave up after too many attempts, often because an agent offered other keys first. Offer only the right key (IdentitiesOnly)."
        }
        "no_supported_auth" => {
            "Network and SSH server work, but the client had nothing to offer that the server accepts. Select the private key."
        }
        "permission_denied" => {
            "Network and SSH server work; the login was refused. Look at the user name, the key, and the account's authorized_keys."
        }
        "unprotected_key" => {
            "The client ignored the private key because others may read its file. Only the local file's permissions need a change."
        }
        "invalid_key_format" => {
            "The client cannot read the private-key file: wrong format or a damaged file. Nothing about the server is proven."
        }
        "passphrase_needed" => {
            "The private key is encrypted and its passphrase was missing or wrong. Enter it, or load the key into an agent."
        }
        "wrong_login_user" => "The key is right, the user name is not: log in as the user that the message names.",
        "algorithm_mismatch" => {
            "Client and server share no algorithm. The network works; update the older side, or allow the algorithm for this host."
        }
        "account_locked_or_expired" => {
            "The login itself succeeded, then the account was refused: locked, expired, or its password must be changed."
        }
        "booting_nologin" => {
            "The system is still booting or going down and admits only root. Wait a minute; if it stays, remove the nologin file."
        }
        "shell_or_home_missing" => "The login was accepted, but the account's shell or home directory is not usable.",
        "ssm_not_connected" => {
            "Session Manager has no connection to this instance: agent, instance role, outbound HTTPS, or another Region or account."
        }
        "ssm_plugin_missing" => {
            "The Session Manager plugin is not installed on this machine. Install it, or use another door."
        }
        "aws_credentials" => {
            "AWS refused or lacked your credentials or permission, so nothing about the instance is proven. Log in again or ask for the named permission."
        }
        "eic_error" => {
            "EC2 Instance Connect could not open the way. Look at its endpoint, the security groups, and the instance's state."
        }
        "proxy_failure" => {
            "The jump host or ProxyCommand failed, so the target was never reached. Diagnose the first hop."
        }
        "rdp_error" => {
            "This is a Remote Desktop message (TCP 3389), not SSH. Check that path, the instance's platform and its password."
        }
        "ping_failure" => {
            "Ping got no answer. This says nothing about SSH: security groups drop ICMP unless a rule allows it."
        }
        "banner_timeout" => {
            "The connection was accepted but the SSH server stayed silent: overload, a full disk, or another program behind the port."
        }
        "not_ssh_server" => {
            "Something answers on this port, but it does not speak SSH. Use the port that sshd listens on."
        }
        "key_file_missing" => "The private-key file does not exist at that path. Point to the right file.",
        "config_error" => {
            "The client's own configuration stopped it before any packet was sent. Correct the named file or option."
        }
        "agent_error" => {
            "The SSH agent is absent, empty or refused to sign. Start it and add the key, or name the key file."
        }
        "session_dropped" => {
            "A working session ended. The login path is fine; look at idle timeouts (ServerAliveInterval), reboots and memory."
        }
        "success" => "The login worked.",
        _ => "This is not a login failure that can be told from the text.",
    }
}

/// What a symptom of a console log proves.
pub fn console(symptom: &str) -> &'static str {
    match symptom {
        "kernel_panic" => {
            "The kernel stopped. The instance cannot be reached until it boots another kernel or its volume is repaired offline."
        }
        "fstab_emergency" => {
            "The boot stopped in emergency or maintenance mode, usually for a file system in /etc/fstab that is missing or damaged. No network, no SSH."
        }
        "disk_full" => "A file system is full. Services cannot write, and logins may hang or fail.",
        "oom" => "The kernel ran out of memory and killed processes. The instance may answer slowly or not at all.",
        "cloud_init_failure" => {
            "cloud-init or the user data failed. Keys or settings may be missing; the login itself may still work."
        }
        "sshd_failed" => {
            "The SSH server did not start, so connections are refused. Its configuration or host keys need a repair from inside."
        }
        "network_failure" => "The guest did not get its network up, so no packet reaches the SSH server.",
        "bootloader" => {
            "The system did not find its boot loader, root device or init. The volume or its boot configuration needs a repair."
        }
        "healthy" => "The boot went through; nothing in this log speaks against a login.",
        "selinux_relabel" => "SELinux relabels the file system, which takes minutes and ends in a reboot. Wait.",
        _ => "The log shows no fault that can be named.",
    }
}

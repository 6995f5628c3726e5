//! The console text of a host's first boot, in the words of systemd and cloud-init.
//!
//! Used by `build`. Shapes: cloud-init `cc_ssh_authkey_fingerprints.py` (table of authorized keys,
//! SHA-256 as hexadecimal with colons) and `cc_keys_to_console.py` (host keys between markers).

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::keys::Pair;
use super::scenario::{ImageSpec, MachineSpec};

/// What the serial port shows now: a scenario's own text, or a good boot and what came after it.
pub(super) fn text(machine: &MachineSpec, good: &str) -> String {
    let lines = |text: &str| text.trim_start_matches('\n').replace('\n', "\r\n");
    match (&machine.console, &machine.console_more) {
        (Some(own), _) => lines(own),
        (None, Some(more)) => format!("{good}\r\n{}", lines(more)),
        (None, None) => good.to_owned(),
    }
}

/// The text as the serial port shows it at a good first boot.
///
/// `injected` is the key pair of the launch and the name that it had then; `baked` are those that the image brought.
pub(super) fn first_boot(
    image: &ImageSpec,
    private: Ipv4Addr,
    injected: Option<(&Pair, &str)>,
    baked: &[Pair],
    host: &Pair,
) -> String {
    let mut out = String::new();
    if image.windows {
        let _ = write!(
            out,
            "2025/09/01 07:31:02Z: Windows sysprep configuration complete.\r\n2025/09/01 07:31:40Z: OS: Microsoft Windows NT 10.0.20348\r\n2025/09/01 07:31:41Z: OsBuildLabEx: 20348.1.amd64fre.fe_release.210507-1500\r\n2025/09/01 07:31:58Z: Message: Windows is Ready to use\r\n"
        );
        return out;
    }
    let host_name = format!("ip-{}", private.to_string().replace('.', "-"));
    let unit = if matches!(image.family.as_str(), "ubuntu" | "debian") {
        "ssh.service - OpenBSD Secure Shell server"
    } else {
        "sshd.service - OpenSSH server daemon"
    };
    let _ = write!(
        out,
        "[    0.000000] Linux version 6.1.147-172.266 (mockbuild@localhost) #1 SMP PREEMPT_DYNAMIC\r\n\
         [    0.000000] Command line: BOOT_IMAGE=/boot/vmlinuz root=UUID=6f2a3b1c-8f4e-4a0e-9d5b-b1f1d2c3a4e5 ro console=tty0 console=ttyS0,115200n8\r\n\
         [    1.412906] systemd[1]: Detected virtualization amazon.\r\n\
         [    6.204511] cloud-init[1542]: Cloud-init v. 24.1.3 running 'init' at Mon, 01 Sep 2025 07:30:31 +0000. Up 6.18 seconds.\r\n\
         [    6.251733] cloud-init[1542]: ci-info: ++++++++++++++++++++++++++Net device info+++++++++++++++++++++++++++\r\n\
         [    6.251989] cloud-init[1542]: ci-info: | ens5 | True | {private} | 255.255.255.0 | global |\r\n"
    );
    let column = "Fingerprint (sha256)";
    let installed: Vec<_> = baked.iter().map(|pair| (pair, pair.name.as_str())).chain(injected).collect();
    if installed.is_empty() {
        let _ = write!(out, "ci-info: no authorized SSH keys fingerprints found for user {}.\r\n", image.user);
    } else {
        let prints: Vec<String> = installed.iter().map(|(pair, _)| pair.sha256_colons()).collect();
        let titles = ("Keytype", column, "Options", "Comment");
        let shown = installed.iter().zip(&prints);
        let shown = shown.map(|((pair, name), print)| (pair.algorithm(), print.as_str(), "-", *name));
        let rows: Vec<_> = std::iter::once(titles).chain(shown).collect();
        let widest = |cell: fn(&(&'static str, &str, &str, &str)) -> usize| rows.iter().map(cell).max().unwrap_or(0);
        let widths = [widest(|r| r.0.len()), widest(|r| r.1.len()), 7, widest(|r| r.3.len())];
        let title = format!("Authorized keys from /home/{0}/.ssh/authorized_keys for user {0}", image.user);
        let rule = format!(
            "+{}+{}+{}+{}+",
            "-".repeat(widths[0] + 2),
            "-".repeat(widths[1] + 2),
            "-".repeat(widths[2] + 2),
            "-".repeat(widths[3] + 2)
        );
        let _ = write!(out, "ci-info: {title:+^0$}\r\nci-info: {rule}\r\n", rule.len());
        for (number, (kind, print, options, comment)) in rows.into_iter().enumerate() {
            let _ = write!(
                out,
                "ci-info: | {kind:^0$} | {print:^1$} | {options:^2$} | {comment:^3$} |\r\n",
                widths[0], widths[1], widths[2], widths[3]
            );
            if number == 0 {
                let _ = write!(out, "ci-info: {rule}\r\n");
            }
        }
        let _ = write!(out, "ci-info: {rule}\r\n");
    }
    let line = format!("{} {} root@{host_name}", host.algorithm(), STANDARD.encode(host.blob()));
    let _ = write!(
        out,
        "[   11.730041] systemd[1]: Started {unit}.\r\n\
         <14>Sep  1 07:30:41 cloud-init: #############################################################\r\n\
         <14>Sep  1 07:30:41 cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n\
         <14>Sep  1 07:30:41 cloud-init: 256 SHA256:{} root@{host_name} (ED25519)\r\n\
         <14>Sep  1 07:30:41 cloud-init: -----END SSH HOST KEY FINGERPRINTS-----\r\n\
         <14>Sep  1 07:30:41 cloud-init: #############################################################\r\n\
         -----BEGIN SSH HOST KEY KEYS-----\r\n{line}\r\n-----END SSH HOST KEY KEYS-----\r\n\
         [   12.094418] cloud-init[1688]: Cloud-init v. 24.1.3 finished at Mon, 01 Sep 2025 07:30:41 +0000. Datasource DataSourceEc2.  Up 12.08 seconds\r\n\
         \r\n{}\r\nKernel 6.1.147-172.266 on an x86_64 (-)\r\n\r\n{host_name} login: ",
        host.sha256(),
        image.pretty
    );
    out
}

//! The words of boots that went well, or that went on.
//!
//! Data only; patterns: see `flat::Flat::find`.

/// Signs that the boot went through.
pub const GOOD: &[&str] = &[
    " login: ",
    " login:$",
    "reached target multi-user",
    "reached target cloud-init.target",
    "reached target cloud-init target",
    "reached target graphical",
    "cloud-init v. * finished at",
    "started openssh server daemon",
    "started openssh daemon",
    "started ssh.service",
    "started sshd.service",
    "started openbsd secure shell server",
    "starting sshd: [ ok ]",
    "starting crond: [ ok ]",
    "starting sshd ... [ ok ]",
    "starting sshd.",
    "starting cron: ok",
    "begin ssh host key fingerprints",
    "begin ssh host key keys",
    "startup finished in",
    "reached target login prompts",
    "reached target getty.target",
    "authorized keys from /",
    "wrote ssh authorized keys file for user",
    "windows is ready to use",
    "meta-data is now available",
    "welcome to alpine linux",
    "<<< welcome to nixos",
    "freebsd/amd64 (",
    "freebsd/arm64 (",
];

/// Signs that a boot came to its end: what it waited for before did not stop it.
pub const FINISHED: &[&str] = &[
    " login: ",
    " login:$",
    "reached target multi-user",
    "reached target graphical",
    "cloud-init v. * finished at",
    "begin ssh host key fingerprints",
    "windows is ready to use",
];

/// Signs that the root was found after all; the second systemd of a boot runs on it.
pub const ROOT_FOUND: &[&str] = &[
    "reached target switch root",
    "starting switch root",
    "switching root",
    "starting initrd-switch-root",
    "running in system mode (",
];

/// Signs that a kernel runs.
pub const KERNEL_RUNS: &[&str] =
    &["] linux version ", "^linux version ", "] systemd[1]:", "[ ok ]", "] booting linux on"];

/// Signs that an SSH server runs.
pub const SSHD_RUNS: &[&str] = &[
    "started openssh server daemon",
    "started openssh daemon",
    "started openssh server",
    "started openbsd secure shell server",
    "started ssh.serv",
    "started sshd.serv",
    "server listening on",
    "starting sshd: [ ok ]",
    "starting sshd ... [ ok ]",
];

/// Signs that the guest has an address, or that its metadata was read.
pub const NETWORK_RUNS: &[&str] = &[
    "dhcpack",
    "|bound to ",
    "lease of * obtained",
    "datasource datasourceec2",
    "meta-data is now available",
    "state change: ip-config -> ip-check",
    "device activated",
    "device (*: activation: successful",
];

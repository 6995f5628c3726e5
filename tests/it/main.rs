//! All integration tests in one binary, so that the AWS SDK is linked once.

mod bad_input;
mod broken_lab;
mod catalogue;
mod contract;
mod cut_short;
mod diagnose_moto;
mod doors;
#[cfg(target_os = "linux")]
mod elsewhere;
mod fix_lab;
mod fix_moto;
mod fleet;
#[cfg(target_os = "linux")]
mod guest;
mod host;
mod identify_cli;
mod jump;
mod kills_lab;
mod lab_cli;
mod layers;
mod lessons_fixed;
mod local_fixes;
mod login_moto;
mod machine_moto;
mod moto;
mod net_moto;
mod power_moto;
mod practice;
mod program;
mod readme;
mod reports;
mod rescue_disk;
mod rescue_lab;
mod rescue_moto;
mod runbook_lab;
mod settings;
mod ssh_probe;
mod sshd;
mod ssm;
mod team;
mod tui;
#[cfg(target_os = "linux")]
mod user_data_guest;
mod user_data_lab;
mod user_data_moto;
mod waves;
mod words;
#[cfg(unix)]
mod wrapper;

//! The arguments, as clap reads them. Help, completions and the manual page come from here.

use crate::core::settings::{InForce, Settings, ThemeName};
use crate::core::words;
use crate::engine::failure::Failure;
use clap::builder::{BoolishValueParser, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;

/// Finds out why SSH to an Amazon EC2 instance fails, and fixes it.
#[derive(Debug, Parser)]
#[command(name = "port22", version, subcommand_precedence_over_arg = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Instance id, Name tag, IP, DNS name or ssh_config alias, optionally user@.
    pub target: Option<String>,
    #[command(flatten)]
    pub ssh: SshArgs,
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What the full screen says when it opens.
    #[arg(skip)]
    pub notice: Option<String>,
}

const EXIT_CODES: &str =
    "Exit status: diagnose 0 login works, 1 cause found, 2 bad usage or could not run, 3 inconclusive.
identify 0 recognised, 3 not recognised, 2 usage.
fix, undo 0 applied and verified, 1 failed or not verified, 2 usage, 4 refused by a safety gate, 5 not confirmed.
check-assets 0 no errors, 2 errors.";

/// Options as ssh has them.
#[derive(Debug, Clone, Default, Args)]
pub struct SshArgs {
    /// Private key file; repeatable.
    #[arg(short = 'i', value_name = "FILE")]
    pub identity: Vec<String>,
    /// Port.
    #[arg(short = 'p', value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Login user.
    #[arg(short = 'l', value_name = "USER")]
    pub login: Option<String>,
    /// Jump host.
    #[arg(short = 'J', value_name = "HOST")]
    pub jump: Option<String>,
    /// ssh_config file.
    #[arg(short = 'F', value_name = "FILE")]
    pub config: Option<String>,
    /// ssh option; repeatable.
    #[arg(short = 'o', value_name = "OPTION")]
    pub option: Vec<String>,
}

/// Heading of the options that only the full screen has.
const FULL_SCREEN: &str = "Full screen";

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// AWS profile; for fleet repeatable, or several with commas between them.
    #[arg(long, global = true, value_delimiter = ',')]
    pub profile: Vec<String>,
    /// AWS Region; repeatable.
    #[arg(long, global = true)]
    pub region: Vec<String>,
    /// Consent to look inside the operating system where a door is open (read-only).
    #[arg(long, global = true)]
    pub inside: bool,
    /// Probe this address.
    #[arg(long, global = true, value_name = "IP")]
    pub address: Option<IpAddr>,
    /// The client address that the instance sees.
    #[arg(long, global = true, value_name = "IP")]
    pub source_ip: Option<IpAddr>,
    /// Refuse every change.
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Longest time for any probe.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
    /// No colours (also NO_COLOR): --theme none.
    #[arg(long, global = true, conflicts_with = "theme")]
    pub no_color: bool,
    /// Plain ASCII instead of symbols.
    #[arg(long = "ascii", global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_name = "BOOL", hide_possible_values = true, value_parser = BoolishValueParser::new())]
    pub ascii_said: Option<bool>,
    /// Whether ASCII is in force.
    #[arg(skip)]
    pub ascii: bool,
    /// Settings file instead of $XDG_CONFIG_HOME/port22/config.toml (also PORT22_CONFIG); port22 settings shows what is in force.
    #[arg(long, global = true, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Colours.
    #[arg(long, global = true, help_heading = FULL_SCREEN, hide_possible_values = false,
        value_parser = PossibleValuesParser::new(ThemeName::ALL.map(ThemeName::name)))]
    pub theme: Option<String>,
    /// How a diagnosis begins: everything at once, or one question at a time.
    #[arg(long, global = true, help_heading = FULL_SCREEN, value_parser = PossibleValuesParser::new(["triage", "guided"]))]
    pub mode: Option<String>,
    /// Columns of the instance list, with commas between them; port22 settings --schema names them.
    #[arg(long, global = true, help_heading = FULL_SCREEN, value_delimiter = ',')]
    pub columns: Vec<String>,
    /// What the instance list is sorted by: a column, with - before it the greatest first; arrival leaves it as it comes.
    #[arg(long, global = true, help_heading = FULL_SCREEN, value_name = "COLUMN", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// Let the mouse wheel move, or not.
    #[arg(long, global = true, help_heading = FULL_SCREEN, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "BOOL", hide_possible_values = true,
        value_parser = BoolishValueParser::new())]
    pub mouse: Option<bool>,
    /// How the end of something long is told: a bell when you look elsewhere, never, a bell, a message (OSC 9).
    #[arg(long, global = true, help_heading = FULL_SCREEN,
        value_parser = PossibleValuesParser::new(["away", "off", "bell", "terminal"]))]
    pub notify: Option<String>,
    /// Directory of your team's own words, trees, user names and links; none takes none. See port22 check-assets.
    #[arg(long, global = true, value_name = "DIR")]
    pub assets: Option<PathBuf>,
    /// What is in force, by meaning; filled in before a command runs.
    #[arg(skip)]
    pub chosen: Settings,
    /// The same by key, with the sources.
    #[arg(skip)]
    pub in_force: Option<InForce>,
    /// Language of the words; auto is the locale's (LC_ALL, LC_MESSAGES, LANG). JSON is always English.
    #[arg(long, global = true, value_enum)]
    pub lang: Option<Lang>,
    /// Write a log to this file (also PORT22_LOG).
    #[arg(long, global = true, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

impl Global {
    /// The profile, where there can be only one.
    pub fn one_profile(&self) -> Result<Option<String>, Failure> {
        match self.profile.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            several => Err(Failure::usage(
                "read --profile",
                format!("{} profiles are named, and only fleet takes several", several.len()),
                "name one profile",
            )),
        }
    }
}

/// Languages of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// The locale's.
    Auto,
    /// English.
    En,
    /// Japanese.
    Ja,
}

impl Lang {
    /// The language that is asked for by name.
    pub fn named(self) -> Option<words::Lang> {
        match self {
            Self::Auto => None,
            Self::En => Some(words::Lang::En),
            Self::Ja => Some(words::Lang::Ja),
        }
    }
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Recognise pasted client output or an EC2 console log.
    Identify(IdentifyArgs),
    /// Find out why the login fails.
    Diagnose(DiagnoseArgs),
    /// Plan, confirm, apply and verify a fix.
    Fix(FixArgs),
    /// List what was changed.
    Journal(JournalArgs),
    /// Take a change back.
    Undo(UndoArgs),
    /// Go on with a repair that was cut short.
    Resume(UndoArgs),
    /// A terminal on the instance, through the cheapest open door; works in pipes, as ssh does.
    Shell(ShellArgs),
    /// A port's bytes on standard input and output, for ssh's ProxyCommand; through Session Manager, without a plug-in.
    Proxy(ProxyArgs),
    /// A local port that leads to one of the instance, or of a host that it reaches; prints the address it listens on.
    Forward(ForwardArgs),
    /// Your own ssh with these arguments, untouched; where the login to an instance fails, says why in a few lines.
    Ssh(WrapArgs),
    /// Every instance of Regions and profiles: who can be reached by SSH from here, by which door, and why not.
    Fleet(FleetArgs),
    /// The practice account: nothing real is touched.
    Lab(LabArgs),
    /// A cause, check, symptom, fix or word on one page, offline.
    Explain(ExplainArgs),
    /// The IAM policy that the checks (and fixes) need.
    Policy(PolicyArgs),
    /// The settings in force and where each comes from; the schema of the settings file; whether a file is right.
    Settings(SettingsArgs),
    /// Check a directory of your team's own words, trees, user names and links: every error with file, line and column.
    CheckAssets(CheckAssetsArgs),
    /// Completions for a shell.
    Completions {
        /// Shell.
        shell: clap_complete::Shell,
    },
    /// The manual page, or that of a command.
    Man {
        /// Command, such as diagnose.
        command: Option<String>,
    },
}

/// What kind of text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextKind {
    /// Client output.
    Ssh,
    /// EC2 console log.
    Console,
}

#[derive(Debug, Args)]
pub struct IdentifyArgs {
    /// File, or - for standard input.
    pub file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// What kind of text it is; found out when not said.
    #[arg(long = "as", value_enum)]
    pub kind: Option<TextKind>,
}

#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// Instance id, Name tag, IP, DNS name or ssh_config alias, optionally user@.
    #[arg(required_unless_present = "replay")]
    pub target: Option<String>,
    #[command(flatten)]
    pub ssh: SshArgs,
    /// Print JSON.
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Print Markdown.
    #[arg(long)]
    pub markdown: bool,
    /// Put placeholders in the place of account ids, addresses, resource ids, names, users and key files.
    #[arg(long)]
    pub redact: bool,
    /// Tell what changed since an earlier diagnosis: a file of --record, or a JSON report.
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// What you saw: a symptom id.
    #[arg(long)]
    pub symptom: Option<String>,
    /// Write every fact to this file.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Diagnose from recorded facts, without any probe.
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct FixArgs {
    /// Fix id.
    pub fix: String,
    /// Instance id, Name tag, IP, DNS name or ssh_config alias, optionally user@.
    pub target: String,
    #[command(flatten)]
    pub ssh: SshArgs,
    /// Choose among the ways that a plan offers; repeatable.
    #[arg(long, value_name = "ID=OPTION")]
    pub choose: Vec<String>,
    /// Show the plan and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Consent to everything in the plan.
    #[arg(long)]
    pub yes: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct JournalArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct UndoArgs {
    /// Journal entry; the latest in force when not said.
    pub entry: Option<String>,
    /// Consent.
    #[arg(long)]
    pub yes: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Ways in that give a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TerminalDoor {
    /// Session Manager.
    Ssm,
    /// EC2 Instance Connect: a key that is good for 60 seconds.
    Eic,
    /// EC2 Instance Connect Endpoint, for private instances.
    Eice,
    /// The serial console.
    Serial,
    /// SSH with your own key.
    Ssh,
}

impl From<TerminalDoor> for crate::engine::terminal::Door {
    fn from(door: TerminalDoor) -> Self {
        match door {
            TerminalDoor::Ssm => Self::Ssm,
            TerminalDoor::Eic => Self::Eic,
            TerminalDoor::Eice => Self::Eice,
            TerminalDoor::Serial => Self::Serial,
            TerminalDoor::Ssh => Self::Ssh,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = SHELL_HELP)]
pub struct ShellArgs {
    /// Instance id, Name tag, IP, DNS name or ssh_config alias, optionally user@.
    pub target: String,
    #[command(flatten)]
    pub ssh: SshArgs,
    /// The way in; the cheapest open one, found by a diagnosis, when not said.
    #[arg(long, value_enum)]
    pub door: Option<TerminalDoor>,
    /// Run AWS's session-manager-plugin instead of the built-in client.
    #[arg(long)]
    pub use_plugin: bool,
    /// Open nothing: print the command line that takes this way in elsewhere.
    #[arg(long, conflicts_with_all = ["use_plugin", "command"])]
    pub print: bool,
    /// A terminal for the command, too.
    #[arg(short = 't')]
    pub tty: bool,
    /// No terminal.
    #[arg(short = 'T', conflicts_with = "tty")]
    pub no_tty: bool,
    /// Command instead of a shell, after --.
    #[arg(last = true)]
    pub command: Vec<String>,
}

const SHELL_HELP: &str =
    "Exit status: that of the remote command or shell where the door tells it (Session Manager: of commands without a
terminal), 255 when the connection failed, 2 for bad usage. In a terminal, ~. after Enter leaves. Session Manager gives
commands no standard input. With --read-only the ways in that push a key (eic, eice, serial) are not taken.";

/// Ways in that carry a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Door {
    /// Session Manager.
    Ssm,
    /// EC2 Instance Connect Endpoint.
    Eice,
}

#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// Instance id, Name tag, IP, DNS name or ssh_config alias.
    pub target: String,
    /// Port on the instance.
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// The way in; Session Manager when not said.
    #[arg(long, value_enum)]
    pub door: Option<Door>,
}

#[derive(Debug, Args)]
pub struct ForwardArgs {
    /// Instance id, Name tag, IP, DNS name or ssh_config alias.
    pub target: String,
    /// The way in; Session Manager when not said. The endpoint leads to ports 22 and 3389 of the instance itself.
    #[arg(long, value_enum)]
    pub door: Option<Door>,
    /// Local port (any free one when not said), host as the instance names it (itself when not said), and port.
    #[arg(value_name = "[LOCALPORT:][HOST:]PORT")]
    pub way: String,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct WrapArgs {
    /// ssh's own arguments; options of port22 stand before the word ssh.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "SSH ARGUMENTS")]
    pub words: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = FLEET_HELP)]
pub struct FleetArgs {
    /// Print JSON lines: an object for each instance, as it is settled.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV with the same columns.
    #[arg(long)]
    pub csv: bool,
    /// Try the port of every running instance that has an address to dial (the default).
    #[arg(long, overrides_with = "no_probe")]
    pub probe: bool,
    /// Judge by the lists of AWS alone; dial nobody.
    #[arg(long, overrides_with = "probe")]
    pub no_probe: bool,
    /// Every profile of the AWS configuration.
    #[arg(long, conflicts_with = "profile")]
    pub all_profiles: bool,
    /// Every Region that is switched on in the account.
    #[arg(long, conflicts_with = "region")]
    pub all_regions: bool,
    /// Consent to look inside the instances with this tag, by one command (--inside: inside all of them).
    #[arg(long, value_name = "KEY=VALUE")]
    pub inside_tag: Option<String>,
    /// Port.
    #[arg(short = 'p', value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Login user, for the look inside.
    #[arg(short = 'l', value_name = "USER")]
    pub login: Option<String>,
    /// ssh_config file.
    #[arg(short = 'F', value_name = "FILE")]
    pub config: Option<String>,
}

const FLEET_HELP: &str = "Exit status: 0 it could be looked, 2 bad usage or nothing could be listed, 3 stopped before the end.
Terminated instances are left out. A Region that cannot be listed is an object with \"error\" in JSON, and said on stderr.
Ports are tried 50 at once and 50 a second: one connection each, which reads the greeting and leaves.";

impl FleetArgs {
    /// The ssh options among them.
    pub fn ssh(&self) -> SshArgs {
        SshArgs { port: self.port, login: self.login.clone(), config: self.config.clone(), ..SshArgs::default() }
    }
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LabArgs {
    /// Begin with this scenario.
    pub scenario: Option<String>,
    /// Ask one question at a time, for learning.
    #[arg(long)]
    pub guided: bool,
    #[command(flatten)]
    pub account: AccountArgs,
    #[command(subcommand)]
    pub command: Option<LabCommand>,
}

/// How the practice account is to be.
#[derive(Debug, Clone, Args)]
pub struct AccountArgs {
    /// Port of the endpoint.
    #[arg(long)]
    pub port: Option<u16>,
    /// How long every answer of the endpoint takes at least.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub delay: Option<u64>,
    /// How long an instance is starting or stopping [default: 1500].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub transition: Option<u64>,
    /// Ids, keys, host keys and addresses follow from this number.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// List the scenarios by symptom and difficulty, with what was solved.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Of the account with this seed.
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
    },
    /// Offer the endpoint and the hosts alone, for the aws CLI and ssh.
    Serve {
        /// Only this scenario.
        #[arg(long)]
        scenario: Option<String>,
        #[command(flatten)]
        account: AccountArgs,
    },
    /// Try a login in a running practice account: is the scenario solved, however it was mended?
    Check(CheckArgs),
    /// What was solved, and how well.
    Progress {
        /// Begin anew; the old record is kept beside it.
        #[arg(long)]
        reset: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Scenario; that of the running account when it has one alone.
    pub scenario: Option<String>,
    /// The cause that you found: a cause id, or none where nothing is wrong.
    #[arg(long, value_name = "ID")]
    pub cause: Option<String>,
    /// Endpoint of the running account, instead of AWS_ENDPOINT_URL.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    #[command(flatten)]
    pub ssh: SshArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Id or word; all of them are listed when not said.
    pub id: Option<String>,
}

#[derive(Debug, Args)]
pub struct CheckAssetsArgs {
    /// Directory; that of --assets or PORT22_ASSETS when not said.
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// Fix id; repeatable.
    #[arg(long)]
    pub fix: Vec<String>,
    /// A way in that is taken (`shell`, `proxy`, `forward`); repeatable.
    #[arg(long, value_enum)]
    pub door: Vec<TerminalDoor>,
}

#[derive(Debug, Args)]
pub struct SettingsArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Print the JSON Schema of the settings file.
    #[arg(long, conflicts_with_all = ["json", "check"])]
    pub schema: bool,
    /// Read this file and tell every error by line and column; exit status 2 when there is one.
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
}

impl Cli {
    /// Whether the output is read by programs.
    pub fn is_for_programs(&self) -> bool {
        self.wants_json() || matches!(&self.command, Some(Command::Fleet(a)) if a.csv)
    }

    /// Whether errors are to be printed as JSON.
    pub fn wants_json(&self) -> bool {
        match &self.command {
            Some(Command::Diagnose(a)) => a.json,
            Some(Command::Fix(a)) => a.json,
            Some(Command::Identify(a)) => a.json,
            Some(Command::Fleet(a)) => a.json,
            Some(Command::Journal(a)) => a.json,
            Some(Command::Settings(a)) => a.json,
            Some(Command::Undo(a) | Command::Resume(a)) => a.json,
            Some(Command::CheckAssets(a)) => a.json,
            Some(Command::Lab(LabArgs { command: Some(LabCommand::Check(a)), .. })) => a.json,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_target_and_a_command_are_told_apart() {
        let cli = Cli::try_parse_from(["port22", "ubuntu@web-1", "-i", "a.pem", "-i", "b.pem", "-p", "2222"]).unwrap();
        assert_eq!(cli.target.as_deref(), Some("ubuntu@web-1"));
        assert_eq!(cli.ssh.identity, ["a.pem", "b.pem"]);
        let cli =
            Cli::try_parse_from(["port22", "diagnose", "web-1", "--json", "--region", "eu-west-1", "-l", "admin"])
                .unwrap();
        assert!(cli.wants_json() && cli.target.is_none());
        assert_eq!(cli.global.region, ["eu-west-1"]);
        assert!(Cli::try_parse_from(["port22", "diagnose", "web-1", "--no-such-option"]).is_err());
        assert!(Cli::try_parse_from(["port22", "diagnose"]).is_err());
        assert!(Cli::try_parse_from(["port22", "--region", "eu-west-1", "fix", "key-chmod", "web-1", "--yes"]).is_ok());
    }
}

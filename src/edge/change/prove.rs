//! Asks the user's ssh what it would do. Connects to nothing, changes nothing.

use crate::edge::ssh_config::{find, run};
use crate::engine::failure::Failure;
use crate::engine::world::Performed;
use std::ffi::OsString;

/// Runs `ssh -G` and compares; fails with the first setting that is another.
pub(super) async fn config(file: Option<&str>, name: &str, wants: &[(String, String)]) -> Result<Performed, Failure> {
    let doing = format!("ask ssh what it would do for {name}");
    let told = |text: String| Ok(Performed { text, ..Performed::default() });
    let Some(ssh) = find("ssh", std::env::var_os("PATH")) else {
        return told("there is no ssh here that could be asked".to_owned());
    };
    let mut arguments: Vec<OsString> = vec!["-G".into()];
    arguments.extend(file.into_iter().flat_map(|f| [OsString::from("-F"), f.into()]));
    arguments.extend(["--".into(), name.into()]);
    let failed = |reason: String| {
        Err(Failure::failed(&doing, reason, "look for the line in your ssh configuration that comes before"))
    };
    let done = match run(&ssh, &arguments).await {
        Ok(done) if done.success => done,
        Ok(done) => return failed(done.errors.trim().replace('\n', "; ")),
        Err(why) => return failed(why.text()),
    };
    for (keyword, value) in wants {
        let mut found = done.output.lines().filter_map(|l| l.trim_end().split_once(' ')).filter(|(k, _)| k == keyword);
        // Identity files add up; of everything else there is one value.
        if !found.clone().any(|(_, v)| v.eq_ignore_ascii_case(value)) {
            let now = found.next().map_or("nothing", |(_, v)| v);
            return failed(format!("ssh takes {keyword} {now}, and not {value}"));
        }
    }
    told(format!("ssh -G {name} says so"))
}

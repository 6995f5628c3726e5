//! Scripts that root runs on a practice host: by Run Command, or by sudo after a login.
//!
//! Nothing is run on this machine. A look inside gets what `inside` makes of the host's state, a repair is told by
//! `mend`; of other scripts only lines are understood that the practice shell knows.

use super::shell::Shell;
use super::world::World;
use super::{inside, mend, rescue};

/// Output, errors and exit status of a script on an instance.
pub(super) fn run(world: &mut World, id: &str, script: &str) -> (String, String, i32) {
    if let Some(asked) = mend::Asked::read(script) {
        return (mend::run(world, id, &asked), String::new(), 0);
    }
    if rescue::is_rescue(script) {
        return (rescue::run(world, id, script), String::new(), 0);
    }
    let Some(instance) = world.instance(id) else {
        return (String::new(), "no such host\n".to_owned(), 1);
    };
    if inside::is_look(script) {
        return (inside::look(world, instance, script), String::new(), 0);
    }
    let shell = Shell::of_root(world, instance);
    let (mut out, mut err) = (String::new(), String::new());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let done = shell.run(line);
        out.push_str(&done.out);
        err.push_str(&done.err);
        let code = done.exit.unwrap_or(0);
        if code == 127 {
            err.push_str("practice host: this command is not simulated, and nothing after it was run\n");
        }
        if code != 0 || line.split_whitespace().next() == Some("exit") {
            return (out, err, code.cast_signed());
        }
    }
    (out, err, 0)
}

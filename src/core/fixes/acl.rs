//! `key-chmod` on Windows: the access list of a key file, by `icacls`.
//!
//! Pure: builds commands and reads what `icacls` prints. OpenSSH for Windows asks that nobody but the owner, SYSTEM and
//! Administrators has any right to the file (Win32-OpenSSH, "secure key file permissions").

use crate::core::facts::local::KeyProbe;
use crate::core::plan::{Action, Gate, GateState, LocalAction, Plan, Step};

/// Accounts whose rights ssh does not mind, in English and by their security ids.
const ALLOWED: [&str; 4] = ["NT AUTHORITY\\SYSTEM", "BUILTIN\\Administrators", "S-1-5-18", "S-1-5-32-544"];

/// Arguments of `icacls` that leave one user a right to read, in the order in which they are run: the list is saved, what
/// was set on the file itself goes, what is inherited goes, the user comes.
pub fn commands(path: &str, user: &str, backup: &str) -> [Vec<String>; 4] {
    let words = |all: &[&str]| all.iter().map(|w| (*w).to_owned()).collect();
    [
        words(&[path, "/save", backup]),
        words(&[path, "/reset"]),
        words(&[path, "/inheritance:r"]),
        words(&[path, "/grant:r", &format!("{user}:R")]),
    ]
}

/// Arguments of `icacls` that put a saved list back: it names the file, so the directory is what is given.
pub fn restore_command(path: &str, backup: &str) -> Vec<String> {
    let directory = path.rfind(['\\', '/']).map_or(".", |at| &path[..at]);
    // `C:` would be the current directory of that drive.
    let directory = if directory.ends_with(':') { format!("{directory}\\") } else { directory.to_owned() };
    vec![directory, "/restore".to_owned(), backup.to_owned()]
}

/// Accounts other than the user's that have a right, as `icacls FILE` prints them.
pub fn others(printed: &str, path: &str, user: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in printed.lines() {
        let entry = line.strip_prefix(path).unwrap_or(line).trim();
        let Some((account, rights)) = entry.rsplit_once(":(").or_else(|| entry.split_once(":(")) else { continue };
        // Flags of inheritance stand in brackets of their own before the right: `me:(I)(R)`.
        let account = account.split(":(").next().unwrap_or(account);
        let fine = account.eq_ignore_ascii_case(user) || ALLOWED.iter().any(|a| a.eq_ignore_ascii_case(account));
        if !fine && rights.contains(')') {
            out.push(account.to_owned());
        }
    }
    out
}

/// A command for a person: `icacls` with quoted words.
fn shown(words: &[String]) -> String {
    let quote = |word: &String| if word.contains([' ', '&', '(', ')']) { format!("\"{word}\"") } else { word.clone() };
    format!("icacls {}", words.iter().map(quote).collect::<Vec<_>>().join(" "))
}

/// Plans to leave the user alone with a right to every key file of the login.
pub fn plan(keys: &[&KeyProbe], user: &str) -> Plan {
    let path = |probe: &KeyProbe| probe.path.clone();
    let what = keys.first().map(|k| path(k)).unwrap_or_default();
    let mut plan = Plan {
        verify: vec!["key-permissions".to_owned()],
        ..Plan::new("key-chmod", format!("make {what} readable by {user} only"), format!("file {what}"), what)
    };
    for probe in keys {
        let backup = format!("{}.acl-before-port22", probe.path);
        let commands = commands(&probe.path, user, &backup);
        plan.steps.push(Step::deed(
            format!("take the rights of everybody but {user} from {}", probe.path),
            commands.iter().map(|c| shown(c)).collect::<Vec<_>>().join(" && "),
            Some(shown(&restore_command(&probe.path, &backup))),
            Action::Local(LocalAction::SetAcl { path: path(probe), user: user.to_owned(), backup }),
        ));
    }
    plan.gates.push(Gate::new("owner", GateState::Ok, "only access lists change, and the former ones are saved"));
    plan.steps.push(Step::look("look at the lists again", shown(&[plan.target.clone()])));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = r"C:\Users\Jo Doe\web.pem";

    #[test]
    fn the_list_is_saved_first_and_the_user_comes_last() {
        let all = commands(KEY, r"PC\jo", r"C:\b.acl");
        assert_eq!(all[0], [KEY, "/save", r"C:\b.acl"]);
        assert_eq!(all[3], [KEY, "/grant:r", r"PC\jo:R"]);
        assert_eq!(shown(&all[2]), r#"icacls "C:\Users\Jo Doe\web.pem" /inheritance:r"#);
        assert_eq!(restore_command(KEY, "b"), [r"C:\Users\Jo Doe", "/restore", "b"]);
        assert_eq!(restore_command(r"C:\k", "b")[0], "C:\\");
    }

    #[test]
    fn whoever_else_has_a_right_is_named() {
        let printed = "C:\\Users\\Jo Doe\\web.pem NT AUTHORITY\\SYSTEM:(I)(F)\n                        BUILTIN\\Administrators:(I)(F)\n                        PC\\jo:(I)(F)\n                        BUILTIN\\Users:(I)(RX)\n                        Everyone:(R)\n\nSuccessfully processed 1 files; Failed processing 0 files\n";
        assert_eq!(others(printed, KEY, r"pc\JO"), [r"BUILTIN\Users", "Everyone"]);
        assert_eq!(others("C:\\Users\\Jo Doe\\web.pem PC\\jo:(R)\n", KEY, r"PC\jo"), Vec::<String>::new());
    }
}

//! Windows: the access list of a key file, by `icacls`. Compiled elsewhere for its tests only.
//!
//! Must not change a list that was not saved before.

use crate::core::fixes::acl;
use crate::core::plan::{Action, LocalAction};
use crate::engine::failure::Failure;
use crate::engine::world::Performed;
use std::path::Path;

/// Runs `icacls` with these arguments: what it printed, or why it failed.
type Icacls<'a> = &'a dyn Fn(&[String]) -> Result<String, String>;

/// The system's own `icacls`.
#[cfg(windows)]
pub(super) fn icacls(arguments: &[String]) -> Result<String, String> {
    let done = std::process::Command::new("icacls").args(arguments).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()) }
}

fn failed(path: &str, reason: String) -> Failure {
    Failure::failed(format!("set the access list of {path}"), reason, "copy the key to your profile directory")
}

/// Leaves the user alone with a right to read; a file where that is so already is left alone.
pub(super) fn set(run: Icacls<'_>, path: &str, user: &str, backup: &str) -> Result<Performed, Failure> {
    let look = || run(&[path.to_owned()]).map_err(|reason| failed(path, reason));
    let undo = LocalAction::RestoreAcl { path: path.to_owned(), backup: backup.to_owned() };
    let done = |text: String, changed: bool| {
        let undo = changed.then(|| Action::Local(undo.clone()));
        Ok(Performed { text, undo, changed, ..Performed::default() })
    };
    let saved = Path::new(backup).exists();
    if acl::others(&look()?, path, user).is_empty() {
        return done(format!("nobody but {user} has a right to {path} already"), saved);
    }
    let [save, rest @ ..] = acl::commands(path, user, backup);
    // An attempt that was cut short has saved the list before it changed it: that one counts.
    if !saved {
        run(&save).map_err(|reason| failed(path, reason))?;
    }
    for command in rest {
        run(&command).map_err(|reason| failed(path, reason))?;
    }
    match acl::others(&look()?, path, user) {
        left if left.is_empty() => done(format!("{path} may be read by {user} only"), true),
        left => Err(failed(path, format!("{} still has a right", left.join(", ")))),
    }
}

/// Puts a saved list back.
pub(super) fn restore(run: Icacls<'_>, path: &str, backup: &str) -> Result<Performed, Failure> {
    if !Path::new(backup).exists() {
        let reason = format!("its saved list {backup} is gone");
        return Err(failed(path, reason));
    }
    run(&acl::restore_command(path, backup)).map_err(|reason| failed(path, reason))?;
    let _ = std::fs::remove_file(backup);
    Ok(Performed { text: format!("{path} has its former access list"), changed: true, ..Performed::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_list_is_saved_changed_looked_at_and_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let (path, backup) = (r"C:\k.pem", dir.path().join("saved"));
        let backup = backup.to_str().unwrap();
        // What Windows would keep: who has a right.
        let list = RefCell::new(vec!["PC\\jo", "Everyone"]);
        let ran = RefCell::new(Vec::new());
        let fake = |arguments: &[String]| -> Result<String, String> {
            ran.borrow_mut().push(arguments.get(1).cloned().unwrap_or_default());
            match arguments.get(1).map(String::as_str) {
                Some("/save") => std::fs::write(backup, "Everyone").map_err(|e| e.to_string())?,
                Some("/inheritance:r") => list.borrow_mut().clear(),
                Some("/grant:r") => list.borrow_mut().push("PC\\jo"),
                Some("/restore") => *list.borrow_mut() = vec!["PC\\jo", "Everyone"],
                _ => {}
            }
            Ok(list.borrow().iter().fold(String::new(), |all, a| all + &format!("{path} {a}:(F)\n")))
        };
        let done = set(&fake, path, "PC\\jo", backup).unwrap();
        assert!(done.changed && *list.borrow() == ["PC\\jo"], "{done:?}");
        assert_eq!(*ran.borrow(), ["", "/save", "/reset", "/inheritance:r", "/grant:r", ""]);
        let again = set(&fake, path, "PC\\jo", backup).unwrap();
        assert!(again.changed && again.undo == done.undo, "an attempt that was cut short can still be taken back");
        restore(&fake, path, backup).unwrap();
        assert!(list.borrow().contains(&"Everyone"));
        assert!(restore(&fake, path, backup).is_err(), "there is no saved list any more");
    }

    #[test]
    fn a_right_that_stays_is_a_failure() {
        let stubborn = |_: &[String]| Ok(r"C:\k.pem Everyone:(F)".to_owned());
        let dir = tempfile::tempdir().unwrap();
        let failure = set(&stubborn, r"C:\k.pem", "PC\\jo", dir.path().join("b").to_str().unwrap()).unwrap_err();
        assert!(failure.reason.contains("Everyone"), "{failure}");
    }
}

//! Whether a paste ends inside: at the prompt of a shell on another machine.
//!
//! A prompt that names the machine at which ssh was typed is the person's own. Must not look at
//! messages; the tables know the greetings. Used by `ssh.rs`.

use super::command_line;
use super::flat::Flat;
use super::ssh::Hit;

/// Adds what prompts say.
pub fn hits(flat: &Flat, hits: &mut Vec<Hit>) {
    let mut own: Option<&str> = None;
    let mut typed = false;
    let mut inside: Option<usize> = None;
    let mut last: Option<(usize, &str)> = None;
    let mut two_lines: Option<&str> = None;
    for (pos, line) in flat.lines().filter(|(_, line)| !line.is_empty()) {
        let head = line.find(['$', '#', '%', '>']).map_or(line, |at| &line[..=at]);
        let host = prompt(head);
        if command_line::is_typed(line) && reaches_out(line) {
            typed = true;
            own = host.or(own);
            inside = None;
        } else if let Some(host) = host {
            let other = own.is_some_and(|own| !own.eq_ignore_ascii_case(host));
            inside = inside.or(other.then_some(pos));
        }
        two_lines = if matches!(line, "$" | "#") { last.and_then(|(_, before)| prompt(before)) } else { None };
        last = Some((pos, line));
    }
    if let Some(pos) = inside {
        hits.push(Hit { symptom: "success", rank: 48, pos, also: &[] });
        return;
    }
    let Some((pos, line)) = last else { return };
    let Some(host) = prompt(line).or(two_lines) else { return };
    let known = host.to_ascii_lowercase();
    let ec2 = known.starts_with("ip-") || known.starts_with("ec2amaz-");
    // Without the person's own prompt, a name alone does not tell whose machine it is.
    let about_ssh =
        typed || ["known hosts", "post-quantum", "password:", "passphrase for"].iter().any(|w| flat.contains(w));
    if own.is_none() && (ec2 || about_ssh) {
        hits.push(Hit { symptom: "success", rank: 44, pos, also: &[] });
    }
}

/// Whether the command is one that opens a shell elsewhere.
fn reaches_out(line: &str) -> bool {
    ["ssh ", "ssh.exe ", "mosh ", "plink", "mssh ", "start-session", "dbclient "].iter().any(|w| line.contains(w))
        && !line.contains("ssh-keygen")
}

/// The machine of a prompt `[user@host dir]$`, `user@host:dir#`, `user@host dir %`, `user@host:~>` with
/// nothing behind it.
fn prompt(line: &str) -> Option<&str> {
    let line = line.trim();
    // Kali's prompt has two lines: `┌──(kali㉿web)-[~]`, whose box the reader of lines takes off.
    if let Some((user, host)) = line
        .strip_suffix(']')
        .and_then(|l| l.strip_prefix('(')?.split_once(")-["))
        .and_then(|(login, _)| login.split_once(['㉿', '💀']))
    {
        return (!user.is_empty() && !host.is_empty()).then_some(host);
    }
    let end = line.chars().next_back().filter(|c| "$#%>".contains(*c))?;
    let body = line.strip_suffix(end)?.trim_end();
    let body = body.strip_prefix('(').and_then(|b| b.split_once(") ")).map_or(body, |(_, b)| b);
    let body = body.strip_prefix('[').unwrap_or(body);
    let body = body.strip_suffix(']').unwrap_or(body);
    let (user, rest) = body.split_once('@')?;
    let cut = rest.find([':', ' ', ']']).unwrap_or(rest.len());
    let (host, dir) = rest.split_at(cut);
    let name =
        |s: &str| !s.is_empty() && s.len() < 64 && s.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let place = dir.trim_start_matches([':', ' ']);
    let fits = name(user)
        && name(host)
        && body.len() < 100
        && (place.is_empty() && matches!(end, '$' | '#') || place.starts_with(['~', '/']) || is_place(place));
    fits.then_some(host)
}

/// One word, or a Windows directory.
fn is_place(text: &str) -> bool {
    text.get(1..3) == Some(":\\")
        || !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "._-~/".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_name_their_machine() {
        for (line, host) in [
            ("[ec2-user@web ~]$ ", "web"),
            ("admin@web:~$", "web"),
            ("ec2-user@ip-10-0-4-24:~>", "ip-10-0-4-24"),
            ("ec2-user@mac1 ~ %", "mac1"),
            ("[root@nixos:~]#", "nixos"),
            ("administrator@EC2AMAZ-1A2B C:\\Users\\Administrator>", "EC2AMAZ-1A2B"),
            ("(kali㉿web)-[~]", "web"),
            ("(base) taro@laptop:~/src$", "laptop"),
        ] {
            assert_eq!(prompt(line), Some(host), "{line}");
        }
        for line in ["Taro <taro@example.com>", "cost: a@b 5%", "$", "100%", "user@host says hello to you #", ""] {
            assert_eq!(prompt(line), None, "{line}");
        }
    }
}

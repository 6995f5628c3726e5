//! File systems that have no modes: there, chmod changes nothing.
//!
//! Must name a file system only when it is certain; a repair that was not offered is better than one
//! that is said to be impossible and is not.

use std::path::Path;

/// Type of the file system that a path is on, if modes mean nothing there.
#[cfg(target_os = "linux")]
pub(super) fn filesystem_of(path: &Path, device: u64) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    in_mounts(&mounts, &path, &device)
}

/// Elsewhere there is no list of mounts to read.
#[cfg(not(target_os = "linux"))]
pub(super) fn filesystem_of(_path: &Path, _device: u64) -> Option<String> {
    None
}

/// Finds the mount of a path in the text of /proc/self/mountinfo (proc_pid_mountinfo(5)): by device,
/// and where several mounts have the same, by the longest mount point.
#[cfg(any(target_os = "linux", test))]
fn in_mounts(mounts: &str, path: &Path, device: &str) -> Option<String> {
    let mount = mounts
        .lines()
        .filter_map(Mount::read)
        .filter(|mount| mount.device == device && path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.len())?;
    mount.is_modeless().then(|| mount.kind.to_owned())
}

#[cfg(any(target_os = "linux", test))]
struct Mount<'a> {
    device: &'a str,
    point: String,
    kind: &'a str,
    options: Vec<&'a str>,
}

#[cfg(any(target_os = "linux", test))]
impl<'a> Mount<'a> {
    /// `36 35 98:0 / /point rw,noatime master:1 - ext3 /dev/sda1 rw,errors=continue`
    fn read(line: &'a str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ');
        let device = mount.nth(2)?;
        let point = unescape(mount.nth(1)?);
        let options = mount.next()?;
        let mut filesystem = filesystem.split(' ');
        let kind = filesystem.next()?;
        let super_options = filesystem.nth(1).unwrap_or_default();
        // drvfs of WSL 2 puts its options after semicolons within one 9p option.
        let options = options.split(',').chain(super_options.split([',', ';'])).collect();
        Some(Self { device, point, kind, options })
    }

    fn is_modeless(&self) -> bool {
        let has = |option: &str| self.options.contains(&option);
        match self.kind {
            // Linux keeps a single read-only bit of these.
            "vfat" | "msdos" | "exfat" | "vboxsf" | "fuse.vmhgfs-fuse" | "vmhgfs" | "prl_fs" => true,
            // Windows drives in WSL 1 and 2: modes only with the option `metadata`.
            "drvfs" => !has("metadata"),
            "9p" => has("aname=drvfs") && !has("metadata"),
            // Windows shares: modes only with POSIX extensions or when modes are kept in ACLs.
            "cifs" | "smb3" => has("nounix") && !["posix", "cifsacl", "modefromsid"].iter().any(|option| has(option)),
            _ => false,
        }
    }
}

#[cfg(any(target_os = "linux", test))]
/// mountinfo writes blanks and backslashes in octal.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, c)| text.replace(code, c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = r"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 8:17 / /media/a\040stick rw,nosuid - vfat /dev/sdb1 rw,uid=1000,fmask=0022
41 22 0:50 / /mnt/c rw,noatime - 9p C:\134 rw,dirsync,aname=drvfs;path=C:\;uid=1000;gid=1000;symlinkroot=/mnt/,mmap,access=client
42 22 0:51 / /mnt/d rw,noatime - 9p D:\134 rw,dirsync,aname=drvfs;path=D:\;uid=1000;gid=1000;metadata;symlinkroot=/mnt/,mmap
43 22 0:52 / /srv/share rw - cifs //nas/share rw,vers=3.1.1,nounix,file_mode=0755
44 22 0:53 / /srv/posix rw - cifs //nas/posix rw,vers=3.1.1,posix,file_mode=0755
45 22 0:54 / /mnt/virt rw - 9p hostshare rw,trans=virtio
46 22 8:1 /home /home rw - ext4 /dev/sda1 rw
nonsense";

    #[test]
    fn only_file_systems_without_modes_are_named() {
        let of = |path: &str, device: &str| in_mounts(MOUNTS, Path::new(path), device);
        assert_eq!(of("/home/me/.ssh/key.pem", "8:1"), None);
        assert_eq!(of("/media/a stick/key.pem", "8:17").as_deref(), Some("vfat"));
        assert_eq!(of("/mnt/c/Users/me/key.pem", "0:50").as_deref(), Some("9p"));
        assert_eq!(of("/mnt/d/key.pem", "0:51"), None);
        assert_eq!(of("/srv/share/key.pem", "0:52").as_deref(), Some("cifs"));
        assert_eq!(of("/srv/posix/key.pem", "0:53"), None);
        assert_eq!(of("/mnt/virt/key.pem", "0:54"), None);
        assert_eq!(of("/elsewhere/key.pem", "9:9"), None);
    }

    #[test]
    fn this_directory_has_modes() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let device = std::fs::metadata(dir.path()).unwrap().dev();
        assert_eq!(filesystem_of(dir.path(), device), None);
    }
}

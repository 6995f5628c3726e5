"""The disk images that the machines of tests/boot start from: Debian, its kernel, cloud-init and sshd.

Made by debootstrap, once, and kept under target/boot: one disk for each file system of FORMATS, partitioned as cloud
images are, the root found by its UUID. A machine boots from a copy of its own, with kernel and initial ramdisk handed
to qemu, so that no boot loader is needed.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "it"))
import guest  # noqa: E402  the archive that apt uses here

CACHE = os.environ.get("PORT22_TEST_BOOT") or os.path.normpath(os.path.join(HERE, "..", "..", "target", "boot"))
SUITE = "bookworm"
PACKAGES = (
    "linux-image-cloud-amd64", "initramfs-tools", "systemd-sysv", "udev", "dbus", "openssh-server", "cloud-init", "ifupdown",
    "isc-dhcp-client", "iproute2", "netbase", "procps", "e2fsprogs", "sudo", "passwd", "login", "util-linux", "kmod", "gdisk",
    # What runs the scripts that are sent to an instance, in place of Amazon's agent.
    "qemu-guest-agent",
    # Wanted by cloud-init under a virtual name, which debootstrap does not resolve.
    "python3-cffi-backend",
)
# As it is in two disks of one image: a helper sees it twice.
UUID = "0f5b2c1e-7a46-4f0b-9c39-6d1e8a2b3c4d"
FORMATS = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-U", UUID, "-d", "{root}", "{disk}"),
    "xfs": ("mkfs.xfs", "-q", "-f", "-m", f"uuid={UUID}", "-p", "{list}", "{disk}"),
    "btrfs": ("mkfs.btrfs", "-q", "-f", "-U", UUID, "--rootdir", "{root}", "{disk}"),
}
# Bytes of the root, and where it begins on the disk.
SIZE, BEGIN = 1536 << 20, 4 << 20
PARTS = "label: gpt\n14 : start=2048, size=6144, type=21686148-6449-6E6F-744E-656564454649\n1 : start=8192, type=linux\n"

# As Debian's cloud images have it: nobody can log in but by the key that the metadata service gives.
SHAPE = r"""
set -e
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/man/* /usr/share/doc/* /usr/share/info/*
rm -f /etc/ssh/ssh_host_* /etc/machine-id && : > /etc/machine-id
printf 'datasource_list: [ Ec2, None ]\n' > /etc/cloud/cloud.cfg.d/90_dpkg.cfg
# Emulated processors are slow: a service that takes its time is no failure.
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\nDefaultTimeoutStartSec=300s\nDefaultTimeoutStopSec=60s\n' > /etc/systemd/system.conf.d/slow.conf
printf 'victim\n' > /etc/hostname
printf '127.0.0.1 localhost\n' > /etc/hosts
printf 'MODULES=most\nCOMPRESS=gzip\n' > /etc/initramfs-tools/conf.d/boot
systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer systemd-timesyncd.service >/dev/null 2>&1 || true
passwd -q -l root
"""


def run(*arguments, **more):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, **{"input": "", **more})
    if done.returncode != 0:
        raise guest.Unable(f"{' '.join(arguments[:3])} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def listed(root):
    """A directory as mkfs.xfs takes it (mkfs.xfs(8), protofile); names with blanks in it cannot be said, and are left out."""

    def entry(path, name):
        found = os.lstat(path)
        kind = stat.filemode(found.st_mode)[0]
        if kind == "s":
            return
        mode = kind + ("u" if found.st_mode & stat.S_ISUID else "-") + ("g" if found.st_mode & stat.S_ISGID else "-")
        words = [name, f"{mode}{found.st_mode & 0o777:03o}", str(found.st_uid), str(found.st_gid)]
        if kind == "-":
            words.append(path)
        elif kind == "l":
            words.append(os.readlink(path))
        elif kind in "bc":
            words += [str(os.major(found.st_rdev)), str(os.minor(found.st_rdev))]
        lines.append(" ".join(word for word in words if word))
        if kind == "d":
            for one in sorted(os.listdir(path)):
                if one.split() == [one]:
                    entry(os.path.join(path, one), one)
            lines.append("$")

    lines = ["none", "0 0"]
    entry(root, "")
    return "\n".join(lines) + "\n"


def make(directory):
    """Debootstraps, and puts the disks, the kernel and the ramdisk into `directory`."""
    site, proxy = guest.mirror()
    environment = dict(os.environ, LC_ALL="C", PATH=guest.PATH, DEBIAN_FRONTEND="noninteractive")
    if proxy:
        environment["http_proxy"] = proxy
    root = os.path.join(directory, "root")
    # In a mount namespace of its own: a debootstrap that fails leaves a /proc behind.
    apart = ("unshare", "--mount", "--propagation", "private")
    run(*apart, "debootstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES), SUITE, root, site, env=environment)
    run("chroot", root, "/bin/sh", "-c", SHAPE, env=environment)
    for name in os.listdir(os.path.join(root, "boot")):
        for kind in ("vmlinuz", "initrd.img"):
            if name.startswith(kind + "-"):
                shutil.move(os.path.join(root, "boot", name), os.path.join(directory, kind))
    files, part = os.path.join(directory, "list"), os.path.join(directory, "part")
    for name, words in FORMATS.items():
        with open(os.path.join(root, "etc", "fstab"), "w", encoding="ascii") as file:
            file.write(f"UUID={UUID} / {name} defaults 0 1\n")
        with open(files, "w", encoding="utf-8") as file:
            file.write(listed(root))
        run("truncate", "-s", str(SIZE), part)
        # Filled from the directory: no loop device, no mount.
        run(*(word.format(root=root, disk=part, list=files) for word in words), env=environment)
        disk = os.path.join(directory, name)
        run("truncate", "-s", str(BEGIN + SIZE + (1 << 20)), disk)
        run("sfdisk", "--quiet", disk, input=PARTS, env=environment)
        run("dd", f"if={part}", f"of={disk}", "bs=4M", "oflag=seek_bytes", f"seek={BEGIN}", "conv=sparse,notrunc")
        os.unlink(part)
    os.unlink(files)
    shutil.rmtree(root)


def base():
    """The directory with `vmlinuz`, `initrd.img` and a disk for each of FORMATS; made if this recipe was never made here."""
    recipe = hashlib.sha256(repr((SUITE, PACKAGES, SHAPE, SIZE, FORMATS, PARTS)).encode()).hexdigest()[:12]
    path = os.path.join(CACHE, f"{SUITE}-{recipe}")
    if not os.path.isdir(path):
        if os.geteuid() != 0:
            raise guest.Unable("making the disk images needs root (debootstrap)")
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as directory:
            part = os.path.join(directory, "image")
            os.mkdir(part)
            make(part)
            os.rename(part, path)
    return path


if __name__ == "__main__":
    print(base())

"""The disk image that every machine of tests/boot starts from: Debian, its kernel, cloud-init and sshd.

Made by debootstrap, once, and kept under target/boot. A machine boots from a copy of its own, with kernel and initial
ramdisk handed to qemu, so that no boot loader is needed.
"""

import hashlib
import os
import shutil
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
    # Wanted by cloud-init under a virtual name, which debootstrap does not resolve.
    "python3-cffi-backend",
)
SIZE = "1536M"

# As Debian's cloud images have it: nobody can log in but by the key that the metadata service gives.
SHAPE = r"""
set -e
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/man/* /usr/share/doc/* /usr/share/info/*
rm -f /etc/ssh/ssh_host_* /etc/machine-id && : > /etc/machine-id
printf 'datasource_list: [ Ec2, None ]\n' > /etc/cloud/cloud.cfg.d/90_dpkg.cfg
# Emulated processors are slow: a service that takes its time is no failure.
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\nDefaultTimeoutStartSec=300s\nDefaultTimeoutStopSec=60s\n' > /etc/systemd/system.conf.d/slow.conf
printf '/dev/vda / ext4 defaults 0 1\n' > /etc/fstab
printf 'victim\n' > /etc/hostname
printf '127.0.0.1 localhost\n' > /etc/hosts
printf 'MODULES=most\nCOMPRESS=gzip\n' > /etc/initramfs-tools/conf.d/boot
systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer systemd-timesyncd.service >/dev/null 2>&1 || true
passwd -q -l root
"""


def run(*arguments, **more):
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise guest.Unable(f"{' '.join(arguments[:3])} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def make(directory):
    """Debootstraps, and puts the disk, the kernel and the ramdisk into `directory`."""
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
    disk = os.path.join(directory, "disk")
    run("truncate", "-s", SIZE, disk)
    # Filled from the directory: no loop device, no mount.
    run("mkfs.ext4", "-q", "-F", "-L", "root", "-d", root, disk, env=environment)
    shutil.rmtree(root)


def base():
    """The directory with `disk`, `vmlinuz` and `initrd.img`; made if this recipe was never made here."""
    recipe = hashlib.sha256(repr((SUITE, PACKAGES, SHAPE, SIZE)).encode()).hexdigest()[:12]
    path = os.path.join(CACHE, f"{SUITE}-{recipe}")
    if not os.path.isdir(path):
        if os.geteuid() != 0:
            raise guest.Unable("making the disk image needs root (debootstrap)")
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as directory:
            part = os.path.join(directory, "image")
            os.mkdir(part)
            make(part)
            os.rename(part, path)
    return path


if __name__ == "__main__":
    print(base())

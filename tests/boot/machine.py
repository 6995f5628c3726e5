"""A virtual machine in qemu, without KVM: its volumes are image files, its metadata service is imds.py."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# The machine's own address; the whole network is link-local, so that the metadata service is in it.
PRIVATE = "169.254.0.15"
QEMU = "qemu-system-x86_64"
# What joins a connection to the metadata service.
SERVICE = os.path.normpath(os.path.join(HERE, "..", "it", "imds.py"))
# An emulated Debian is down in half of it.
PATIENCE = 240


class Machine:
    """One machine. `volumes` are image files by device letter; the root is the one at `root`."""

    def __init__(self, directory, base, ident, imds_port):
        self.directory, self.base, self.ident, self.imds = directory, base, ident, imds_port
        os.makedirs(directory, exist_ok=True)
        self.console = os.path.join(directory, "console")
        self.monitor = os.path.join(directory, "monitor")
        # What is attached: device letter -> file.
        self.volumes = {}
        self.root = "a"
        self.process = None
        open(self.console, "ab").close()
        digest = ident.encode().hex()[-6:]
        self.mac = "02:00:00:" + ":".join(digest[i : i + 2] for i in (0, 2, 4))

    def new_root(self):
        """A volume that is a copy of the image."""
        path = os.path.join(self.directory, "root.img")
        subprocess.run(["cp", "--sparse=always", os.path.join(self.base, "disk"), path], check=True)
        self.volumes["a"] = path
        return path

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, address):
        """Boots; port 22 of `address` is the machine's."""
        assert not self.running()
        forward = f"hostfwd=tcp:{address}:22-{PRIVATE}:22" if address else ""
        join = f"{sys.executable} -S -E {SERVICE} {self.imds}"
        net = f"user,id=n,net=169.254.0.0/16,host=169.254.0.2,dns=169.254.0.3,dhcpstart={PRIVATE},guestfwd=tcp:169.254.169.254:80-cmd:{join}"
        uuid = "ec2" + self.ident.encode().hex()[:5] + "-1111-2222-3333-" + self.ident.encode().hex()[-12:]
        # The kernel names disks in the order of their slots.
        letters = sorted(self.volumes)
        drives = [part for letter in letters for part in ("-drive", f"file={self.volumes[letter]},format=raw,if=virtio,cache=unsafe")]
        device = "/dev/vd" + chr(ord("a") + letters.index(self.root))
        if os.path.exists(self.monitor):
            os.unlink(self.monitor)
        with open(self.console, "ab") as console:
            console.write(b"\n")
        self.process = subprocess.Popen([  # pylint: disable=consider-using-with
            QEMU, "-accel", "tcg", "-cpu", "max", "-m", "512", "-display", "none", "-no-reboot", "-nodefaults",
            "-kernel", os.path.join(self.base, "vmlinuz"), "-initrd", os.path.join(self.base, "initrd.img"),
            "-append", f"root={device} ro console=ttyS0 net.ifnames=0 biosdevname=0 systemd.show_status=1", *drives,
            "-netdev", net + ("," + forward if forward else ""), "-device", f"virtio-net-pci,netdev=n,mac={self.mac}",
            "-smbios", f"type=1,manufacturer=Amazon EC2,product=t3.micro,uuid={uuid},serial={uuid}", "-device", "virtio-rng-pci",
            "-chardev", f"file,id=c,path={self.console},append=on", "-serial", "chardev:c", "-monitor", f"unix:{self.monitor},server=on,wait=off",
        ], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(os.path.join(self.directory, "qemu.log"), "ab"))

    def stop(self):
        """Presses the power button, waits for the system to go down, and at last takes the current away."""
        if not self.running():
            return
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(self.monitor)
            link.sendall(b"system_powerdown\n")
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.wait()

    def log(self):
        """What it wrote to its serial console, the last 64 kB as EC2 keeps them."""
        with open(self.console, "rb") as file:
            return file.read()[-65536:].decode(errors="replace")

    def says(self, text, seconds):
        """Waits for a text on the console."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if text in self.log():
                return True
            if not self.running():
                return False
            time.sleep(1)
        return False


def missing():
    """The packages that this machine needs."""
    return [package for program, package in ((QEMU, "qemu-system-x86"), ("debootstrap", "debootstrap")) if not shutil.which(program)]

"""A virtual machine in qemu, without KVM: its volumes are image files, its metadata service is imds.py.

Volumes are NVMe disks with the volume's id as serial number, as on Nitro, and come and go while it runs. What runs
scripts inside, as Amazon's agent does, is the guest agent of qemu.
"""

import base64
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "it"))
import guest  # noqa: E402
import image  # noqa: E402

# The machine's own address; the whole network is link-local, so that the metadata service is in it.
PRIVATE = "169.254.0.15"
QEMU = "qemu-system-x86_64"
# What joins a connection to the metadata service.
SERVICE = os.path.normpath(os.path.join(HERE, "..", "it", "imds.py"))
# An emulated Debian is down in half of it, and lets go of a disk in seconds.
PATIENCE, UNPLUG = 240, 60


class Machine:
    """One machine, known by its instance id."""

    def __init__(self, directory, base, ident, imds_port):
        self.directory, self.base, self.ident, self.imds = directory, base, ident, imds_port
        os.makedirs(directory, exist_ok=True)
        self.console, self.monitor, self.agent = (os.path.join(directory, name) for name in ("console", "monitor", "agent"))
        self.process = None
        # Seconds that a system may take to go down.
        self.patience = PATIENCE
        # One question at a time for each.
        self.asking, self.speaking, self.numbers = threading.Lock(), threading.Lock(), itertools.count(1)
        open(self.console, "ab").close()
        digest = ident.encode().hex()[-6:]
        self.mac = "02:00:00:" + ":".join(digest[i : i + 2] for i in (0, 2, 4))

    def running(self):
        return self.process is not None and self.process.poll() is None

    @staticmethod
    def disk(volume, path):
        """A volume as qemu takes it: what is behind it, and the device."""
        file = {"driver": "file", "filename": path, "cache": {"no-flush": True}}
        return (
            {"driver": "raw", "node-name": volume, "file": file},
            {"driver": "nvme", "id": "dev-" + volume, "drive": volume, "serial": volume.replace("-", "")},
        )

    def start(self, address, volumes):
        """Boots from the root on one of `volumes` (files by volume id); port 22 of `address` is the machine's."""
        assert not self.running()
        forward = f",hostfwd=tcp:{address}:22-{PRIVATE}:22" if address else ""
        join = f"{sys.executable} -S -E {SERVICE} {self.imds}"
        net = f"user,id=n,net=169.254.0.0/16,host=169.254.0.2,dns=169.254.0.3,dhcpstart={PRIVATE},guestfwd=tcp:169.254.169.254:80-cmd:{join}"
        uuid = "ec2" + self.ident.encode().hex()[:5] + "-1111-2222-3333-" + self.ident.encode().hex()[-12:]
        disks = [self.disk(*one) for one in volumes.items()]
        drives = [part for node, device in disks for part in ("-blockdev", json.dumps(node), "-device", json.dumps(device))]
        for one in (self.monitor, self.agent):
            if os.path.exists(one):
                os.unlink(one)
        with open(self.console, "ab") as console:
            console.write(b"\n")
        with open(os.path.join(self.directory, "qemu.log"), "ab") as log:
            self.process = subprocess.Popen([  # pylint: disable=consider-using-with
                QEMU, "-accel", "tcg", "-cpu", "max,la57=off", "-smp", "1", "-m", "512", "-display", "none", "-no-reboot", "-nodefaults",
                "-kernel", os.path.join(self.base, "vmlinuz"), "-initrd", os.path.join(self.base, "initrd.img"),
                "-append", f"root=UUID={image.UUID} ro console=ttyS0 net.ifnames=0 biosdevname=0 systemd.show_status=1 mitigations=off", *drives,
                "-netdev", net + forward, "-device", f"virtio-net-pci,netdev=n,mac={self.mac}",
                "-smbios", f"type=1,manufacturer=Amazon EC2,product=t3.micro,uuid={uuid},serial={uuid}", "-device", "virtio-rng-pci",
                "-chardev", f"file,id=c,path={self.console},append=on", "-serial", "chardev:c", "-qmp", f"unix:{self.monitor},server=on,wait=off",
                "-chardev", f"socket,id=a,path={self.agent},server=on,wait=off", "-device", "virtio-serial-pci",
                "-device", "virtserialport,chardev=a,name=org.qemu.guest_agent.0",
            ], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)

    def ask(self, command, **arguments):
        """One command to qemu itself; its answer."""
        with self.asking, socket.socket(socket.AF_UNIX) as link:
            link.settimeout(30)
            link.connect(self.monitor)
            lines = link.makefile("r")
            lines.readline()
            for one in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                link.sendall(json.dumps(one).encode())
                answer = json.loads(lines.readline())
                # Events come in between.
                while "event" in answer:
                    answer = json.loads(lines.readline())
            if "error" in answer:
                raise OSError(f"{command}: {answer['error']['desc']}")
            return answer["return"]

    def plug(self, volume, path):
        """Attaches a volume while it runs."""
        node, device = self.disk(volume, path)
        self.ask("blockdev-add", **node)
        self.ask("device_add", **device)

    def unplug(self, volume):
        """Detaches a volume while it runs, and waits until the system inside has let it go."""
        self.ask("device_del", id="dev-" + volume)
        end = time.monotonic() + UNPLUG
        while True:
            time.sleep(0.3)
            try:
                # The device goes when the system inside has let it go, and its file a moment after.
                if all(one["name"] != "dev-" + volume for one in self.ask("qom-list", path="/machine/peripheral")):
                    self.ask("blockdev-del", **{"node-name": volume})
                    return
            except OSError:
                pass
            if time.monotonic() >= end:
                raise TimeoutError(f"{self.ident} does not let go of {volume}")

    def stop(self):
        """Presses the power button, waits for the system to go down, and at last takes the current away."""
        if not self.running():
            return
        self.ask("system_powerdown")
        try:
            self.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.wait()

    def speak(self, command, seconds=120.0, **arguments):
        """One command to the agent inside."""
        number = next(self.numbers)
        with self.speaking, socket.socket(socket.AF_UNIX) as link:
            link.settimeout(seconds)
            link.connect(self.agent)
            link.sendall(b"\xff" + json.dumps({"execute": "guest-sync-delimited", "arguments": {"id": number}}).encode() + b"\n")
            heard = link.makefile("rb")
            answer = None
            while answer != {"return": number}:
                line = heard.readline()
                if not line:
                    raise OSError("the agent is gone")
                _, mark, said = line.rpartition(b"\xff")
                answer = json.loads(said) if mark else None
            link.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            answer = json.loads(heard.readline())
        if "error" in answer:
            raise OSError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def online(self):
        """Whether its agent answers, which it does once the system has booted so far."""
        try:
            return self.running() and self.speak("guest-ping", seconds=5.0) == {}
        except (OSError, ValueError):
            return False

    def execute(self, script, seconds=300.0):
        """Runs a script as the SSM agent does: from a file of its own, as root, with an environment of its own."""
        at = f"/run/amazon-ssm/{self.ident}/{time.monotonic_ns()}"
        # The agent keeps it under /var/lib/amazon; /run is where it does not fill the disk that a fault has filled.
        words = ["env", "-i", "PATH=" + guest.PATH, f"AWS_SSM_INSTANCE_ID={self.ident}", "AWS_SSM_REGION_NAME=us-east-1", "PWD=/"]
        command = f"umask 077; mkdir -p {at} && cat > {at}/_script.sh && cd / && umask 022 && exec {' '.join(words)} /bin/sh {at}/_script.sh"
        run = {"path": "/bin/sh", "arg": ["-c", command], "input-data": base64.b64encode(script.encode()).decode(), "capture-output": True}
        pid = self.speak("guest-exec", **run)["pid"]
        end = time.monotonic() + seconds
        while True:
            done = self.speak("guest-exec-status", pid=pid)
            if done["exited"]:
                out, err = (base64.b64decode(done.get(name, "")).decode(errors="replace") for name in ("out-data", "err-data"))
                return out, err, done.get("exitcode", -1)
            if time.monotonic() >= end:
                raise TimeoutError(f"{self.ident}: a script has no end")
            time.sleep(0.5)

    def log(self):
        """What it wrote to its serial console, the last 64 kB as EC2 keeps them."""
        with open(self.console, "rb") as file:
            return file.read()[-65536:].decode(errors="replace")

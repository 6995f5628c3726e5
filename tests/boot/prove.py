"""Drives port22 against machines that really boot, and looks with the ssh client whether they can be logged in to.

EC2 is moto in this process, with stop and start tied to qemu (machine.py); everything is in a network namespace of
its own, which has only a loopback. A scenario is a function of `Stage`; it fails by an assertion.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "it")]
import guest  # noqa: E402
import image  # noqa: E402
import imds  # noqa: E402
import machine  # noqa: E402

PORT22 = os.environ.get("PORT22", "port22")
USER = "debian"
# Seconds that a boot may take here, all of it: emulated processors of a busy machine.
BOOT = float(os.environ.get("PORT22_TEST_BOOT_SECONDS", "900"))
# A first-boot script that counts its runs, with what an editor would change (cloud-init runs only what is UTF-8).
OWN = b"#!/bin/sh\necho run >> /var/lib/owner-ran\nexit 0\n# \xc3\xa9 \t \r\n# end without a line end"


def enter():
    """Runs this program again in namespaces of its own; returns once that is so. Its machines end with it, however it ends."""
    if os.getpid() == 1:
        guest.loopback()
        return
    if os.geteuid() != 0:
        raise guest.Unable("this needs root: namespaces, and debootstrap for the image")
    # Before the network is gone.
    image.base()
    flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    os.execvp("unshare", ["unshare", *flags, "--", sys.executable, *sys.argv])


class Consoles(dict):
    """Console texts of machines, at the moment of the question."""

    def get(self, key, default=None):
        return self[key].log() if key in self else default


class Stage:
    """The endpoint, a user's home, and machines behind instances."""

    def __init__(self, directory):
        import cloud
        import power
        from world import World, start

        self.directory, self.power, self.cloud = directory, power, cloud
        self.world = World(start())
        cloud.patch()
        power.patch()
        cloud.CONSOLES = Consoles()
        self.home = os.path.join(directory, "home")
        os.makedirs(self.home)
        with open(os.path.join(self.home, "ssh_config"), "w", encoding="ascii") as file:
            file.write(f"UserKnownHostsFile {self.home}/known_hosts\nStrictHostKeyChecking accept-new\n")
        self.machines = []

    def key(self, name):
        path = os.path.join(self.home, name)
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-C", name, "-f", path], check=True)
        return path

    def launch(self, name, key, user_data=b""):
        """An instance whose machine boots for the first time; its id."""
        from moto.ec2.models import ec2_backends
        from moto.ec2.utils import parse_user_data

        with open(key + ".pub", encoding="ascii") as file:
            public = file.read()
        ids = self.world.build(name, 22, None, image="debian", key=public)
        backend, ident = ec2_backends["123456789012"]["us-east-1"], ids["instance"]
        instance = backend.get_instance(ident)
        if user_data:
            instance.user_data = parse_user_data(base64.b64encode(user_data).decode())
        address = self.power.floating(backend, ident)

        def facts():
            return {
                "id": ident, "mac": this.mac, "private": machine.PRIVATE, "public": instance.public_ip or "", "host": "victim",
                "zone": instance.placement.zone, "key": public.strip(),
            }

        # What the metadata service gives is what was set when the machine was started.
        given = {"raw": user_data}
        service = imds.Service(facts, lambda: given["raw"])
        this = machine.Machine(os.path.join(self.directory, ident), image.base(), ident, service.port)
        this.new_root()
        self.machines.append(this)
        self.cloud.CONSOLES[ident] = this

        def boot(raw, at):
            given["raw"] = raw
            self.say(f"{ident} boots at {at}")
            this.start(at)

        self.power.BOOTS[ident], self.power.HALTS[ident] = boot, this.stop
        boot(user_data, address)
        return ident

    def look(self, ident):
        """State and public address."""
        found = self.world.client("ec2").describe_instances(InstanceIds=[ident])["Reservations"][0]["Instances"][0]
        return found["State"]["Name"], found.get("PublicIpAddress")

    def user_data(self, ident):
        shown = self.world.client("ec2").describe_instance_attribute(InstanceId=ident, Attribute="userData")
        return base64.b64decode(shown["UserData"].get("Value", ""))

    def ssh(self, ident, key, command, wait=0.0):
        """Runs a command inside by the ssh client; its output, or `None` when nobody is let in. Waits for the login so long."""
        end = time.monotonic() + wait
        while True:
            _, address = self.look(ident)
            done = subprocess.run(
                [
                    "ssh", "-F", os.path.join(self.home, "ssh_config"), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
                    "-o", "ConnectTimeout=30", "-i", key, f"{USER}@{address}", command,
                ],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env={"PATH": guest.PATH, "HOME": self.home, "LC_ALL": "C"},
            )
            if done.returncode != 255:
                assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
                return done.stdout
            if time.monotonic() >= end:
                self.said = done.stderr
                return None
            time.sleep(5)

    def environment(self):
        at = self.home
        return {
            "PATH": guest.PATH, "HOME": at, "XDG_STATE_HOME": at + "/state", "LC_ALL": "C", "AWS_ENDPOINT_URL": self.world.endpoint,
            "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": at + "/none", "AWS_SHARED_CREDENTIALS_FILE": at + "/none",
        }

    def begin(self, *arguments):
        """Starts port22; what it says goes into a file."""
        self.say("port22 " + " ".join(arguments))
        with open(os.path.join(self.directory, "port22.log"), "ab") as log:
            return subprocess.Popen([PORT22, *arguments], env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def port22(self, *arguments):
        """Runs port22 to its end; its exit status."""
        status = self.begin(*arguments).wait()
        self.say(f"exit status {status}")
        return status

    def fix(self, name, ident, key, *more):
        config = os.path.join(self.home, "ssh_config")
        return ["fix", name, f"{USER}@{ident}", "-F", config, "-i", key, "--source-ip", guest.CLIENT, "--yes", *more]

    def journal(self):
        path = os.path.join(self.home, "state", "port22", "journal.jsonl")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def kill_when(self, process, event, step):
        """Kills it as soon as the journal says so."""
        end = time.monotonic() + BOOT
        while not any(line["event"] == event and line.get("step") == step for line in self.journal()):
            assert process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.01)
        process.kill()
        process.wait()
        self.say(f"killed: {event} of step {step + 1}")

    def log(self):
        with open(os.path.join(self.directory, "port22.log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-4000:]

    def say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    def end(self):
        for one in self.machines:
            one.kill()


def user_data_repair(stage):
    """A lost key and a home that is open to all; the process is killed while the instance is down; the owner's user data
    comes back byte for byte, and the address changes with each start."""
    old, new = stage.key("old"), stage.key("new")
    ident = stage.launch("victim", old, OWN)
    assert stage.ssh(ident, old, "true", BOOT) is not None, stage.said
    stage.say("the first boot lets the first key in; waiting for its last modules")
    # `cloud-init status --wait` ends early where any module has failed.
    stage.ssh(ident, old, "until [ -e /var/lib/cloud/instance/boot-finished ]; do sleep 2; done")
    assert stage.ssh(ident, old, "cat /var/lib/owner-ran") == "run\n", "the owner's script has run at the first boot"
    first = stage.look(ident)[1]
    stage.say("broken: no .ssh, a home that everybody may write")
    stage.ssh(ident, old, "rm -rf .ssh; sudo chmod 777 /home/debian; sync")
    assert stage.ssh(ident, old, "true") is None and stage.ssh(ident, new, "true") is None

    process = stage.begin(*stage.fix("user-data-repair", ident, new, "--choose", "restore=later"))
    stage.kill_when(process, "step_done", 2)
    assert stage.look(ident)[0] == "stopped"
    assert stage.user_data(ident).startswith(b"#cloud-boothook\n")
    assert stage.port22("resume", "--yes") == 0, stage.log()
    assert stage.ssh(ident, new, "stat -c %a /home/debian .ssh .ssh/authorized_keys") == "755\n700\n600\n", "repaired"
    second = stage.look(ident)[1]
    assert second != first
    stage.say("the login works with the new key")

    assert stage.port22(*stage.fix("user-data-restore", ident, new)) == 0, stage.log()
    assert stage.user_data(ident) == OWN, "byte for byte"
    assert stage.ssh(ident, new, "cat /var/lib/owner-ran", BOOT) == "run\n", "the owner's script has not run again"
    assert stage.look(ident)[1] not in (first, second)
    for name in os.listdir(os.path.join(stage.home, "state", "port22", "kept")):
        path = os.path.join(stage.home, "state", "port22", "kept", name, "user-data.b64")
        assert os.stat(path).st_mode & 0o777 == 0o600


SCENARIOS = {"user-data-repair": user_data_repair}


def main():
    names = sys.argv[1:] or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        sys.exit(f"no scenario {unknown[0]}; there are: {' '.join(SCENARIOS)}")
    try:
        enter()
    except guest.Unable as error:
        sys.exit(f"tests/boot: {error}")
    for name in names:
        directory = tempfile.mkdtemp(prefix=f"port22-boot-{name}-")
        stage = Stage(directory)
        begun = time.monotonic()
        try:
            stage.say(f"{name}: {' '.join(SCENARIOS[name].__doc__.split())}")
            SCENARIOS[name](stage)
        except BaseException:
            print(f"FAILED {name}; what port22 said and the consoles are in {directory}", flush=True)
            raise
        finally:
            stage.end()
        print(f"ok {name} ({time.monotonic() - begun:.0f} s)", flush=True)
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    try:
        STATUS = main()
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        STATUS = 1
    # Threads of moto's server must not hold the end up.
    os._exit(STATUS)

"""An endpoint, a user's home, and machines behind instances; port22 is run against it as a user runs it.

EC2 is moto in this process, with its instances tied to qemu (machine.py) and its volumes to image files (volumes.py).
"""

import base64
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "it")]
import guest  # noqa: E402
import image  # noqa: E402
import imds  # noqa: E402
import machine  # noqa: E402
import volumes  # noqa: E402

PORT22 = os.environ.get("PORT22", "port22")
USER = "debian"
# Seconds that a boot may take here, all of it: emulated processors of a busy machine.
BOOT = float(os.environ.get("PORT22_TEST_BOOT_SECONDS", "900"))
# The device name of a root, as the images of these instances have it.
ROOT = "/dev/xvda"


class Consoles(dict):
    """Console texts of machines, at the moment of the question."""

    def get(self, key, default=None):
        return self[key].log() if key in self else default


class Stage:
    """All of a scenario. `directory` is its own; the images are those of image.py."""

    def __init__(self, directory):
        # moto reads it while it is imported: a helper's profile needs a policy of AWS.
        os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
        import cloud
        import power
        from world import World, start

        self.directory, self.power, self.cloud = directory, power, cloud
        self.world = World(start())
        cloud.patch()
        power.patch()
        volumes.patch(directory, self.adopt)
        cloud.CONSOLES, cloud.tag = Consoles(), self.tag
        self.home = os.path.join(directory, "home")
        os.makedirs(self.home)
        with open(os.path.join(self.home, "ssh_config"), "w", encoding="ascii") as file:
            file.write(f"UserKnownHostsFile {self.home}/known_hosts\nStrictHostKeyChecking accept-new\n")
        # Machines by instance id, and those instances that have a role with Systems Manager.
        self.machines, self.managed = volumes.MACHINES, set()
        # The file system of every image.
        self.format = "ext4"

    def tag(self, instance, name):
        """Systems Manager has an instance online when its agent answers."""
        if name == "test:ssm":
            return "Online" if instance.id in self.managed and self.machines[instance.id].online() else None
        return next((one["value"] for one in instance.get_tags() if one["key"] == name), None)

    def key(self, name):
        path = os.path.join(self.home, name)
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-C", name, "-f", path], check=True)
        return path

    def furnish(self, instance, public=""):
        """Gives an instance a machine, and its root volume a copy of the image; it is booted by `power.BOOTS`."""
        from moto.core.utils import utcnow

        ident, given = instance.id, {}

        def facts():
            return {
                "id": ident, "mac": this.mac, "private": machine.PRIVATE, "public": instance.public_ip or "", "host": "victim",
                "zone": instance.placement.zone, "key": public,
            }

        # What the metadata service gives is what was set when the machine was started.
        service = imds.Service(facts, lambda: given["raw"])
        this = machine.Machine(os.path.join(self.directory, ident), image.base(), ident, service.port)
        root = volumes.root(instance)
        volumes.FILES[root] = volumes.copied(os.path.join(image.base(), self.format), os.path.join(self.directory, root))
        self.machines[ident] = self.cloud.CONSOLES[ident] = this
        self.cloud.GUESTS[ident] = this.execute

        def boot(raw, at):
            given["raw"] = raw
            # As EC2 has it: the last start.
            instance.launch_time = utcnow()
            self.say(f"{ident} boots" + (f" at {at}" if at else ""))
            this.start(at, volumes.attached(instance))

        self.power.BOOTS[ident], self.power.HALTS[ident] = boot, this.stop

    def adopt(self, instance):
        """A helper that port22 launches: it boots by itself, nobody can dial it, and it has a role."""
        if any(one["key"] == "port22-rescues" for one in instance.get_tags()):
            self.furnish(instance)
            self.managed.add(instance.id)
            self.power.BOOTS[instance.id](self.power.raw_user_data(instance), None)

    def launch(self, name, key, user_data=b"", managed=False):
        """An instance whose machine boots for the first time; its id."""
        from moto.ec2.models import ec2_backends
        from moto.ec2.utils import parse_user_data

        with open(key + ".pub", encoding="ascii") as file:
            public = file.read()
        ident = self.world.build(name, 22, None, image="debian", key=public, root=ROOT)["instance"]
        backend = ec2_backends["123456789012"]["us-east-1"]
        instance = backend.get_instance(ident)
        if user_data:
            instance.user_data = parse_user_data(base64.b64encode(user_data).decode())
        address = self.power.floating(backend, ident)
        self.furnish(instance, public.strip())
        if managed:
            self.managed.add(ident)
        self.power.BOOTS[ident](user_data, address)
        return ident

    def booted(self, ident, key):
        """Waits until a first boot has come to its end."""
        assert self.ssh(ident, key, "true", BOOT) is not None, self.said
        self.say("the first boot lets the first key in; waiting for its last modules")
        # `cloud-init status --wait` ends early where any module has failed.
        self.ssh(ident, key, "until [ -e /var/lib/cloud/instance/boot-finished ]; do sleep 2; done")

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

    @staticmethod
    def until(holds, what, seconds=BOOT):
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"not in time: {what}"
            time.sleep(1)

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

    def kill_when(self, process, event, what, turn=0):
        """Kills it as soon as the journal says so of the step with this deed (its name there), the `turn`th of them."""
        end = time.monotonic() + BOOT
        while True:
            lines = self.journal()
            begun = [line for line in lines if line["event"] == "step_begun" and line["action"].get("what") == what]
            if any(line["event"] == event and line["step"] == begun[turn]["step"] for line in lines if begun[turn:] and "step" in line):
                break
            assert process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.01)
        process.kill()
        process.wait()
        self.say(f"killed by signal 9: {event} of step {begun[turn]['step'] + 1}, {what}")

    def log(self):
        with open(os.path.join(self.directory, "port22.log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-4000:]

    def say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    def end(self):
        for one in self.machines.values():
            one.kill()

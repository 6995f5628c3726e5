"""moto with helpers whose disks are real: for the tests of root-volume-rescue.

Speaks as world.py does. A volume that was given a disk (`disk`) is an image file with an ext4 file system. A helper
instance is online at once; a script that is sent to it runs as root in a mount namespace of its own, where lsblk
shows the image files of the volumes that are attached to the helper, as loop devices with their serial numbers.
Nothing outside the image files is changed. Needs root.
"""

import os
import subprocess
import tempfile

os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"

import cloud  # noqa: E402
import world  # noqa: E402

DIRECTORY = tempfile.TemporaryDirectory(prefix="port22-rescue-")
# Image files by volume id.
DISKS = {}
PASSWD = "root:x:0:0:root:/root:/bin/bash\nec2-user:x:1234:1235::/home/ec2-user:/bin/bash\n"

LSBLK = """#!/bin/sh
case "$*" in
  *SERIAL*) for d in $DISKS; do echo "${d%%=*} ${d#*=}"; done ;;
  *) for last; do :; done; echo "$last 67108864" ;;
esac
"""


def run(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, errors="replace", **more).stdout


def tag(instance, name):
    tags = {one["key"]: one["value"] for one in instance.get_tags()}
    # A helper comes online.
    return "Online" if name == "test:ssm" and "port22-rescues" in tags else tags.get(name)


class Guests:
    """Every instance can be asked to run something."""

    def __contains__(self, instance):
        return True

    def __getitem__(self, instance):
        return lambda script, seconds: inside(instance, script, seconds)


def attached(instance):
    from moto.ec2.models import ec2_backends

    for account in ec2_backends.values():
        for backend in account.values():
            for volume in backend.volumes.values():
                at = volume.attachment
                if at is not None and at.instance.id == instance and volume.id in DISKS:
                    yield volume.id


def inside(instance, script, seconds):
    tools = os.path.join(DIRECTORY.name, "tools")
    os.makedirs(tools, exist_ok=True)
    with open(os.path.join(tools, "lsblk"), "w") as file:
        file.write(LSBLK)
    os.chmod(os.path.join(tools, "lsblk"), 0o755)
    loops = {}
    try:
        for volume in attached(instance):
            loops[run("losetup", "-f", "--show", DISKS[volume]).strip()] = volume.replace("-", "")
        env = {"PATH": tools + ":" + os.environ["PATH"], "DISKS": " ".join(f"{d}={s}" for d, s in loops.items())}
        done = subprocess.run(
            ["unshare", "-m", "sh"], input=script, env=env, capture_output=True, text=True, timeout=min(seconds, 60),
        )
        return done.stdout, done.stderr, done.returncode
    finally:
        for loop in loops:
            run("losetup", "-d", loop)


class World(world.World):
    def build(self, **more):
        return super().build(root="/dev/xvda", **more)

    def disk(self, instance, fstab=""):
        """Gives the root volume of an instance a file system on which nobody can log in."""
        volume = self.root(instance)
        tree = os.path.join(DIRECTORY.name, volume)
        for part, mode in (("", 0o755), ("etc", 0o755), ("root", 0o777), ("root/.ssh", 0o755)):
            os.makedirs(os.path.join(tree, part), exist_ok=True)
            os.chmod(os.path.join(tree, part), mode)
        for name, text in (("etc/passwd", PASSWD), ("etc/fstab", fstab), ("root/.ssh/authorized_keys", "ssh-rsa AAAAold old")):
            with open(os.path.join(tree, name), "w") as file:
                file.write(text)
        os.chmod(os.path.join(tree, "root/.ssh/authorized_keys"), 0o666)
        image = os.path.join(DIRECTORY.name, volume + ".img")
        run("truncate", "-s", "64M", image)
        run("mkfs.ext4", "-q", "-d", tree, image)
        DISKS[volume] = image
        return volume

    def root(self, instance):
        found = self.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return found["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]

    def read(self, volume, path):
        """A file of a disk, and its mode."""
        text = run("debugfs", "-R", f"cat {path}", DISKS[volume])
        stat = run("debugfs", "-R", f"stat {path}", DISKS[volume])
        return [text, stat.split("Mode:")[1].split()[0]]

    @staticmethod
    def refuse(instance, operation, on):
        """Whether an operation about an instance is refused from now on."""
        (REFUSED.add if on else REFUSED.discard)((operation, instance))

    def places(self, instance):
        """The instance's state and mappings, helpers that live, snapshots."""
        ec2 = self.client("ec2")
        found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        helpers = ec2.describe_instances(Filters=[{"Name": "tag:port22-rescues", "Values": [instance]}])["Reservations"]
        states = [one["State"]["Name"] for reservation in helpers for one in reservation["Instances"]]
        snapshots = ec2.describe_snapshots(Filters=[{"Name": "tag:created-by", "Values": ["port22"]}])["Snapshots"]
        return {
            "state": found["State"]["Name"],
            "mappings": [
                [one["DeviceName"], one["Ebs"]["VolumeId"], one["Ebs"].get("DeleteOnTermination")]
                for one in found["BlockDeviceMappings"]
            ],
            "helpers": states, "snapshots": len(snapshots),
        }


# Operations that are refused, and the instance that they are about.
REFUSED = set()


def patch():
    from moto.core.exceptions import ServiceException
    from moto.ec2.responses import EC2Response

    def refusing(name, operation):
        kept = getattr(EC2Response, name)

        def answer(self):
            if (operation, self._get_param("InstanceId")) in REFUSED and not self._get_bool_param("DryRun", False):
                # moto finds the service, and with it the form of the answer, by the exception's module.
                kind = type("Refusal", (ServiceException,), {"__module__": type(self).__module__})
                raise kind("UnauthorizedOperation", "You are not authorized to perform this operation.")
            return kept(self)

        setattr(EC2Response, name, answer)

    refusing("attach_volume", "AttachVolume")
    refusing("modify_instance_attribute", "ModifyInstanceAttribute")


def make():
    made = World(world.start())
    cloud.patch()
    patch()
    cloud.tag, cloud.GUESTS = tag, Guests()
    return made


if __name__ == "__main__":
    world.serve(make)

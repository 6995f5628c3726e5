"""Drives port22 against machines that really boot, and looks with the ssh client whether they can be logged in to.

Everything is in a network namespace of its own, which has only a loopback. A scenario is a function of `Stage`
(stage.py); it fails by an assertion.
"""

import difflib
import os
import shutil
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "it")]
import guest  # noqa: E402
import image  # noqa: E402
import volumes  # noqa: E402
from stage import BOOT, ROOT, Stage  # noqa: E402

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


# The repair through user data.

def locked_out(stage):
    """An instance with user data of its own, whose key is lost and whose home is open to all; its id and both keys."""
    old, new = stage.key("old"), stage.key("new")
    ident = stage.launch("victim", old, OWN)
    stage.booted(ident, old)
    assert stage.ssh(ident, old, "cat /var/lib/owner-ran") == "run\n", "the owner's script has run at the first boot"
    stage.say("broken: no .ssh, a home that everybody may write")
    stage.ssh(ident, old, "rm -rf .ssh; sudo chmod 777 /home/debian; sync")
    assert stage.ssh(ident, old, "true") is None and stage.ssh(ident, new, "true") is None
    return ident, old, new


def let_in(stage, ident, new, addresses):
    """The new key opens, nothing else is changed, and the owner's script has not run again; notes the address of now."""
    shown = stage.ssh(ident, new, "stat -c %a /home/debian .ssh .ssh/authorized_keys; cat /var/lib/owner-ran; wc -l < .ssh/authorized_keys", BOOT)
    assert shown == "755\n700\n600\nrun\n1\n", shown
    address = stage.look(ident)[1]
    assert address not in addresses, "the address changes with each start"
    addresses.append(address)
    stage.say("the login works with the new key")


def kept_apart(stage):
    """Saved user data is nobody else's to read."""
    kept = os.path.join(stage.home, "state", "port22", "kept")
    for name in os.listdir(kept):
        assert os.stat(os.path.join(kept, name, "user-data.b64")).st_mode & 0o777 == 0o600


def user_data_later(stage):
    """A lost key and a home that is open to all; the process is killed while the instance is down; the owner's user data
    comes back byte for byte at a stop of its own, and the address changes with each start."""
    ident, _, new = locked_out(stage)
    addresses = [stage.look(ident)[1]]
    process = stage.begin(*stage.fix("user-data-repair", ident, new, "--choose", "restore=later"))
    stage.kill_when(process, "step_done", "set")
    assert stage.look(ident)[0] == "stopped"
    assert stage.user_data(ident).startswith(b"#cloud-boothook\n")
    assert stage.port22("resume", "--yes") == 0, stage.log()
    let_in(stage, ident, new, addresses)
    assert stage.port22(*stage.fix("user-data-restore", ident, new)) == 0, stage.log()
    assert stage.user_data(ident) == OWN, "byte for byte"
    let_in(stage, ident, new, addresses)
    kept_apart(stage)


def user_data_now(stage):
    """The same with the second stop in the repair itself; the process is killed while the repair runs at the boot."""
    ident, _, new = locked_out(stage)
    addresses = [stage.look(ident)[1]]
    process = stage.begin(*stage.fix("user-data-repair", ident, new))
    stage.kill_when(process, "step_begun", "await")
    assert stage.user_data(ident).startswith(b"#cloud-boothook\n")
    assert stage.port22("resume", "--yes") == 0, stage.log()
    assert stage.user_data(ident) == OWN, "byte for byte"
    let_in(stage, ident, new, addresses)
    kept_apart(stage)


# The rescue of a root volume.

def listing(stage, ident, key):
    """Every file of the homes, with mode, owner, size and content, but for the one that a rescue adds a key to."""
    find = "find /home /root -xdev ! -name authorized_keys ! -name '.ssh' ! -path '/root/.*/*'"
    return stage.ssh(ident, key, f"sudo sh -c \"{find} -printf '%p %y %m %U:%G %s %l\\n' | sort; {find} -type f -exec sha256sum {{}} + | sort\"")


def mapping(stage, ident):
    """Where the volumes of an instance are, and whether they are deleted with it."""
    found = stage.world.client("ec2").describe_instances(InstanceIds=[ident])["Reservations"][0]["Instances"][0]
    return [(one["DeviceName"], one["Ebs"]["VolumeId"], one["Ebs"].get("DeleteOnTermination")) for one in found["BlockDeviceMappings"]]


def helpers(stage, ident):
    """State of each helper that was launched for an instance, by id."""
    found = stage.world.client("ec2").describe_instances(Filters=[{"Name": "tag:port22-rescues", "Values": [ident]}])["Reservations"]
    return {one["InstanceId"]: one["State"]["Name"] for reservation in found for one in reservation["Instances"]}


def rescue(stage):
    """A lost key, and a home that everybody may write, on a root of xfs that has the UUID of its helper's own root; the
    process is killed while its script runs on the helper, and resumed."""
    stage.format = "xfs"
    old, new = stage.key("old"), stage.key("new")
    ident = stage.launch("victim", old)
    stage.booted(ident, old)
    stage.ssh(ident, old, "echo mine > notes; chmod 640 notes")
    files, before, address = listing(stage, ident, old), mapping(stage, ident), stage.look(ident)[1]
    (device, volume, _), = before
    assert device == ROOT
    stage.say("broken: a home that everybody may write")
    stage.ssh(ident, old, "sudo chmod 777 /home/debian; sync")
    assert stage.ssh(ident, old, "true") is None and stage.ssh(ident, new, "true") is None

    process = stage.begin(*stage.fix("root-volume-rescue", ident, new))
    stage.kill_when(process, "step_begun", "repair")
    (helper, state), = helpers(stage, ident).items()
    assert (stage.look(ident)[0], state) == ("stopped", "running")
    assert [one[1:] for one in mapping(stage, helper)][1:] == [(volume, False)] and mapping(stage, ident) == []
    # Its agent is online before the last modules of its first boot have run.
    asked = stage.machines[helper].execute
    stage.until(lambda: "MODE=poweroff" in asked("cat /run/systemd/shutdown/scheduled")[0], "a helper that is forgotten ends by itself")
    assert asked("lsblk -rno FSTYPE,UUID")[0].split("\n").count(f"xfs {image.UUID}") == 2, "both roots have one UUID"
    assert stage.port22("resume", "--yes") == 0, stage.log()
    assert mapping(stage, ident) == before, "under the same name, and deleted with it as before"
    assert helpers(stage, ident) == {helper: "terminated"} and not stage.machines[helper].running()
    assert list(volumes.COPIES) and all(os.path.getsize(one) for one in volumes.COPIES.values()), "the snapshot is kept"
    moves = [(one[0], one[2], one[3]) for one in volumes.MOVES if one[1] == volume]
    assert moves == [
        ("DetachVolume", ident, ROOT), ("AttachVolume", helper, "/dev/sdf"), ("DetachVolume", helper, "/dev/sdf"), ("AttachVolume", ident, ROOT),
    ], moves
    shown = stage.ssh(ident, new, "stat -c %a /home/debian .ssh .ssh/authorized_keys; wc -l < .ssh/authorized_keys", BOOT)
    assert shown == "755\n700\n600\n2\n", shown
    assert stage.ssh(ident, old, "true") is not None, "the key that was there still opens"
    assert stage.look(ident)[1] != address
    assert listing(stage, ident, new) == files, "nothing else is changed"
    stage.say("the login works with the new key")


def rescue_undone(stage):
    """The same on a root of ext4; the process is killed when the helper has the volume, and the rescue is taken back."""
    old, new = stage.key("old"), stage.key("new")
    ident = stage.launch("victim", old)
    stage.booted(ident, old)
    files, before = listing(stage, ident, old), mapping(stage, ident)
    process = stage.begin(*stage.fix("root-volume-rescue", ident, new))
    stage.kill_when(process, "step_done", "put", 1)
    (helper, state), = helpers(stage, ident).items()
    assert (stage.look(ident)[0], state, mapping(stage, ident)) == ("stopped", "running", [])
    assert stage.port22("undo", "--yes") == 0, stage.log()
    assert mapping(stage, ident) == before and stage.look(ident)[0] == "running"
    assert helpers(stage, ident) == {helper: "terminated"}
    assert stage.ssh(ident, old, "true", BOOT) is not None, stage.said
    assert stage.ssh(ident, new, "true") is None, "no key was added"
    assert listing(stage, ident, old) == files
    stage.say("it is as it was")


def rescue_fstab(stage):
    """A mount that is gone keeps the system from booting, on a root of btrfs; the rescue lets the mount fail."""
    stage.format = "btrfs"
    old = stage.key("old")
    ident = stage.launch("victim", old)
    stage.booted(ident, old)
    stage.say("broken: /etc/fstab has a volume that is not there; rebooting into the emergency mode")
    line = "/dev/sdz9 /data ext4 defaults,x-systemd.device-timeout=20s 0 2"
    stage.ssh(ident, old, f"sudo mkdir /data; echo {line} | sudo tee -a /etc/fstab; sync")
    stage.world.client("ec2").stop_instances(InstanceIds=[ident])
    stage.until(lambda: stage.look(ident)[0] == "stopped", "it stands")
    stage.world.client("ec2").start_instances(InstanceIds=[ident])
    stage.until(lambda: "You are in emergency mode" in stage.machines[ident].log(), "the emergency mode")
    # Nobody there hears the power button.
    stage.machines[ident].patience = 15
    assert stage.ssh(ident, old, "true") is None
    assert stage.port22(*stage.fix("root-volume-rescue", ident, old, "--choose", "repair=fstab")) == 0, stage.log()
    shown = stage.ssh(ident, old, "grep /data /etc/fstab; sudo grep -h /data /etc/fstab.port22-*", BOOT)
    assert shown == line.replace("20s", "20s,nofail") + "\n" + line + "\n", shown
    stage.say("it boots, and the login works")


# Repairs inside, by Run Command.

# How sshd's service and the files stand, as far as a repair changes them.
STANDS = r"""
for one in ssh.service ssh.socket; do
    up=$(systemctl is-active -q $one && echo up || echo down)
    # Behind a socket that listens each login starts the service: that it runs then is nobody's change.
    [ $one = ssh.service ] && systemctl is-active -q ssh.socket && up="as its socket wants"
    echo "$one $(systemctl is-enabled $one 2>/dev/null) $up"
done
find /etc/ssh /etc/systemd/system /home \( -type l -o -name 'sshd_config*' -o -name 'ssh_host_*' -o -path '/home/*' -o -path '*/ssh.socket.d/*' \) \
    -printf '%p %m %U:%G %l\n' | sort
cat /etc/ssh/sshd_config /etc/ssh/sshd_config.d/* 2>/dev/null | sha256sum
"""
# A fault of a really booted system: its name, the fix, what breaks it, and what mends it by hand.
FAULTS = (
    (
        "systemd listens for sshd, at another port", "remote-sshd-repair",
        "systemctl -q disable --now ssh; mkdir /etc/systemd/system/ssh.socket.d"
        "; printf '[Socket]\\nListenStream=\\nListenStream=2222\\n' > /etc/systemd/system/ssh.socket.d/port.conf"
        "; systemctl daemon-reload; systemctl -q enable --now ssh.socket",
        "systemctl -q disable --now ssh.socket; rm -r /etc/systemd/system/ssh.socket.d; systemctl daemon-reload; systemctl -q enable --now ssh",
    ),
    ("masked", "remote-sshd-repair", "systemctl -q disable --now ssh; systemctl -q mask ssh", "systemctl -q unmask ssh; systemctl -q enable --now ssh"),
    (
        "a line that sshd does not know, and a service that gave up starting", "remote-sshd-repair",
        "echo Portt 22 >> /etc/ssh/sshd_config; for i in 1 2 3 4 5 6; do systemctl restart ssh; done 2>/dev/null",
        "sed -i /Portt/d /etc/ssh/sshd_config; systemctl reset-failed ssh; systemctl start ssh",
    ),
    (
        "no host keys", "remote-sshd-repair", "mkdir /root/keys; mv /etc/ssh/ssh_host_* /root/keys; systemctl restart ssh",
        "mv /root/keys/* /etc/ssh/; rmdir /root/keys; systemctl reset-failed ssh; systemctl start ssh",
    ),
    (
        "a home, .ssh and keys that everybody may write", "remote-repair-permissions",
        "chmod 777 /home/debian /home/debian/.ssh; chmod 666 /home/debian/.ssh/authorized_keys",
        "chmod 755 /home/debian; chmod 700 /home/debian/.ssh; chmod 600 /home/debian/.ssh/authorized_keys",
    ),
)


def inside(stage):
    """A booted system under Systems Manager, whose sshd systemd runs: each of FAULTS is repaired by Run Command, and taken
    back; at last sshd is masked and disabled, repaired, and the system booted anew."""
    key = stage.key("key")
    ident = stage.launch("victim", key, managed=True)
    stage.booted(ident, key)
    this = stage.machines[ident]

    def root(script):
        out, err, status = this.execute(script)
        assert status == 0, f"{script}: {out}{err}"
        return out

    def repair(fix):
        # A host key that is made anew is not the one that the client knows.
        known = os.path.join(stage.home, "known_hosts")
        if os.path.exists(known):
            os.unlink(known)
        assert stage.port22(*stage.fix(fix, ident, key)) == 0, stage.log()
        assert stage.ssh(ident, key, "true") is not None, stage.said

    for name, fix, breaks, mends in FAULTS:
        stage.say(f"broken: {name}")
        root(f"{breaks}\nsync")
        before = root(STANDS)
        assert stage.ssh(ident, key, "true") is None, "it is really broken"
        repair(fix)
        stage.say("repaired: " + ", ".join(root(STANDS).splitlines()[:2]))
        assert stage.port22("undo", "--yes") == 0, stage.log()
        after = root(STANDS)
        assert after == before, "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), "broken", "undone", n=0))
        root(f"{mends}\nsync")
        assert stage.ssh(ident, key, "true") is not None, stage.said
    masked = next(one for one in FAULTS if one[0] == "masked")
    stage.say(f"broken: {masked[0]}; its repair stays")
    root(masked[2])
    repair(masked[1])
    ec2 = stage.world.client("ec2")
    ec2.stop_instances(InstanceIds=[ident])
    stage.until(lambda: stage.look(ident)[0] == "stopped", "it stands")
    ec2.start_instances(InstanceIds=[ident])
    stage.until(lambda: stage.look(ident)[0] == "running", "it runs")
    assert stage.ssh(ident, key, "systemctl is-enabled ssh", BOOT) == "enabled\n", stage.said
    stage.say("sshd comes up at the next boot")


SCENARIOS = {
    "user-data-later": user_data_later, "user-data-now": user_data_now, "rescue": rescue, "rescue-undone": rescue_undone,
    "rescue-fstab": rescue_fstab, "inside": inside,
}


def prove(name):
    """Runs one scenario; whether it held."""
    directory = tempfile.mkdtemp(prefix=f"port22-boot-{name}-")
    stage, begun = Stage(directory), time.monotonic()
    try:
        stage.say(f"{name}: {' '.join(SCENARIOS[name].__doc__.split())}")
        SCENARIOS[name](stage)
    except BaseException:  # pylint: disable=broad-except
        traceback.print_exc()
        print(f"FAILED {name}; what port22 said and the consoles are in {directory}", flush=True)
        return False
    finally:
        stage.end()
    print(f"ok {name} ({time.monotonic() - begun:.0f} s)", flush=True)
    shutil.rmtree(directory)
    return True


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
        # In a process of its own: moto is patched in it, and threads of its server must not hold the end up.
        child = os.fork()
        if child == 0:
            held = False
            try:
                held = prove(name)
            finally:
                sys.stdout.flush()
                os._exit(0 if held else 1)
        if os.waitpid(child, 0)[1] != 0:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

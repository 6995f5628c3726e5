"""A guest whose user data is read by a real cloud-init (Debian's package) at every StartInstances.

Speaks as guest.py does, whose guest, sshd and namespaces these are. A stop ends sshd; a start gives the
user data of that moment to cloud-init by a metadata service of its own, lets it go through its stages as its four units
do, and starts sshd. What cloud-init prints is the console. With `bare` there is no guest: the start only
says on the console what the repair would say, for tests of the calls alone.
"""

import os
import re
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import guest  # noqa: E402
import imds  # noqa: E402

# The second is wanted by cloud-init under a virtual name, which debootstrap does not resolve.
CLOUD = ("cloud-init", "python3-cffi-backend")

# Only modules whose work is inside: there are no disks and no network to set up in a guest.
CONFIG = """\
datasource_list: [ Ec2 ]
datasource:
  Ec2: {{ strict_id: false, metadata_urls: [ "http://127.0.0.1:{port}" ], timeout: 5, max_wait: 10 }}
network: {{ config: disabled }}
system_info:
  default_user: {{ name: admin, lock_passwd: true, shell: /bin/bash }}
cloud_init_modules: [ bootcmd, write-files, users-groups, ssh ]
cloud_config_modules: [ runcmd ]
cloud_final_modules: [ scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, ssh-authkey-fingerprints, keys-to-console, final-message ]
"""

# What cloud-init-local, cloud-init, cloud-config and cloud-final do, with a /run that is new at every boot.
STAGES = r"""
rm -rf /run/cloud-init
mkdir -p /run/cloud-init
cloud-init init --local
cloud-init init
cloud-init modules --mode=config
cloud-init modules --mode=final
"""


def world():
    import cloud
    import power
    from world import World, start

    class CloudGuests(World):
        """One guest at a time; instances without one are bare."""

        def __init__(self, endpoint):
            super().__init__(endpoint)
            self.base, self.guest, self.service, self.instance = None, None, None, None
            self.user_data = b""
            self.ready = threading.Event()

        # Words of the tests.

        def stage(self, name, public, user_data, port=22):
            """An instance behind whose changing address a guest has had its first boot, with this user data (base64)."""
            if self.base is None:
                self.base = guest.Base(CLOUD)
            self.unstage()
            self.guest = guest.Guest(self.base)
            ids = self.bare(name, public, user_data, port)
            self.service = imds.Service(lambda: self.facts(public), lambda: self.user_data)
            config = CONFIG.format(port=self.service.port)
            done = self.guest.sh(f"cat > /etc/cloud/cloud.cfg.d/99-test.cfg <<'END'\n{config}END\n")
            assert done.returncode == 0, done.stderr
            self.instance = ids["instance"]
            power.BOOTS[self.instance], power.HALTS[self.instance] = self.boot, self.halt
            self.boot(power.raw_user_data(self.backend().get_instance(self.instance)), ids["address"])
            return ids

        def bare(self, name, public, user_data, port=22, addresses=(), tags=None, protect=False, imds=None, **more):
            """An instance without anything behind it."""
            ids = self.build(name, port, None, image="debian", key=public, **more)
            backend, ec2, one = self.backend(), self.client("ec2"), ids["instance"]
            ids["address"] = power.floating(backend, one, addresses)
            if user_data:
                self.overwrite(one, user_data)
            if tags:
                # AWS lets nobody set tags that begin with aws:.
                backend.tags[one].update(tags)
            if protect:
                ec2.modify_instance_attribute(InstanceId=one, DisableApiStop={"Value": True})
            if imds:
                ec2.modify_instance_metadata_options(InstanceId=one, HttpEndpoint=imds)
            power.BOOTS[one] = lambda raw, address: self.mutter(one, raw)
            # What made it is no change of the test's.
            power.CHANGES[:] = [change for change in power.CHANGES if change[1] != one]
            return ids

        @staticmethod
        def backend():
            from moto.ec2.models import ec2_backends

            return ec2_backends["123456789012"]["us-east-1"]

        def overwrite(self, instance, user_data):
            """Somebody else sets user data (base64), whatever the state."""
            from moto.ec2.utils import parse_user_data

            self.backend().get_instance(instance).user_data = parse_user_data(user_data)

        @staticmethod
        def fails(instance):
            """From now on the repair says that it failed."""
            power.BOOTS[instance] = lambda raw, address: CloudGuests.mutter(instance, raw, "FAIL no-such-user admin")

        @staticmethod
        def mutter(instance, raw, says="OK drwxr-xr-x:1000:1000:/home/admin"):
            nonce = re.search(rb" N='([a-z0-9]+)'", raw)
            text = f"sshfix[{nonce.group(1).decode()}] {says}\n" if nonce else "nothing to repair\n"
            cloud.CONSOLES[instance] = cloud.CONSOLES.get(instance, "") + text

        def user_data_of(self, instance):
            """As EC2 shows it: base64, or nothing."""
            shown = self.client("ec2").describe_instance_attribute(InstanceId=instance, Attribute="userData")
            return shown["UserData"].get("Value", "")

        def state_of(self, instance):
            found = self.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
            return [found["State"]["Name"], found.get("PublicIpAddress")]

        @staticmethod
        def changes_of(instance):
            """Every change of an instance so far that was not only asked about by DryRun, by operation."""
            return [operation for operation, one in power.CHANGES if one == instance]

        @staticmethod
        def fail_once(instance, operation, code, message):
            power.FAILURES[operation, instance] = (code, message)

        @staticmethod
        def blind(instance, on):
            """Whether its attributes cannot be read any more once one was changed."""
            power.BLIND.pop(instance, None)
            if on:
                power.BLIND[instance] = False

        def sh(self, script):
            """Runs a script in the guest; its output and status."""
            done = self.guest.sh(script)
            return [done.stdout, done.stderr, done.returncode]

        @staticmethod
        def login(address, port, user, key):
            return guest.login(address, port, user, key)

        @staticmethod
        def console(instance):
            return cloud.CONSOLES.get(instance, "")

        # The machine behind it.

        def unstage(self):
            if self.guest:
                self.guest.end()
                self.guest = None

        def facts(self, public):
            return {
                "id": self.instance or "i-00000000000000000", "mac": "02:00:00:00:00:01", "private": "127.0.0.1", "public": "127.0.0.1",
                "host": "guest", "zone": "us-east-1a", "key": public.strip(),
            }

        def boot(self, raw, address):
            self.user_data = raw
            if address:
                self.base.address(address)
            # cloud-init swallows what a boothook prints; only the console itself shows it.
            done = self.guest.sh(": > /dev/console\n" + STAGES, seconds=120)
            said = self.guest.sh("cat /dev/console").stdout
            text = cloud.CONSOLES.get(self.instance, "") + done.stdout + done.stderr + said
            cloud.CONSOLES[self.instance] = text[-65536:]
            self.guest.start()

        def halt(self):
            self.guest.sh("pkill -x sshd; sleep 0.2; pkill -9 -x sshd; rm -f /run/sshd.pid; true")

    endpoint = start()
    cloud.patch()
    power.patch()
    return CloudGuests(endpoint)


def main():
    if sys.argv[1:2] == ["bare"]:
        pass
    else:
        try:
            guest.enter(CLOUD)
        except guest.Unable as error:
            if sys.argv[1:]:
                sys.exit(f"cloudinit.py: {error}")
            import json

            print(json.dumps({"error": str(error)}))
            return 1
        if sys.argv[1:2] == ["make"]:
            return 0
    from world import serve

    serve(world)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What moto lacks for a stop and a start: phases, an address that changes, user data that is set only while an instance
stands, and somebody who boots and halts what is behind an instance.

Patches the moto of this process. `BOOTS[instance](raw user data, address)` is called at StartInstances, and
`HALTS[instance]()` at StopInstances, each in a thread of its own; the instance is `pending` and `stopping` until then.
"""

import base64
import itertools
import threading
import time

# By instance id: what runs it, and what halts it.
BOOTS, HALTS = {}, {}
# Every change that was asked for, in order: the operation, and the instance.
CHANGES = []
# Calls by operation and instance that fail once: (code, message).
FAILURES = {}
# Instances whose attributes cannot be read once one was changed; true from then on.
BLIND = {}
# Addresses of instances that get a new one at every start: those of the instance in turn, or ever new ones.
POOL, TURNS = itertools.count(10), {}
PHASE_SECONDS = 0.4


def raw_user_data(instance):
    """What the metadata service gives."""
    return base64.b64decode(str(instance.user_data or ""))


def floating(backend, instance, addresses=()):
    """From now on the instance gets another public address of 127.0.0.0/8 at every start; returns the first."""
    nic = backend.get_instance(instance).nics[0]
    nic.public_ip_auto_assign = True
    TURNS[nic.id] = itertools.cycle(addresses) if addresses else (f"127.9.{n // 250}.{n % 250 + 1}" for n in POOL)
    nic.check_auto_public_ip()
    return nic.public_ip


def patch():
    from moto.core.exceptions import ServiceException
    from moto.core.responses import EmptyResult
    from moto.core.types import Base64EncodedString
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface
    from moto.ec2.models.instances import Instance
    from moto.ec2.responses import EC2Response

    def refuse(response, code, message):
        # moto finds the service, and with it the form of the answer, by the exception's module.
        kind = type("Refusal", (ServiceException,), {"__module__": type(response).__module__})
        raise kind(code, message)

    def check_auto_public_ip(self):
        if str(self.public_ip_auto_assign).lower() == "true" and self.id in TURNS:
            self.public_ip = next(TURNS[self.id])

    # moto's own are addresses of the internet.
    NetworkInterface.check_auto_public_ip = check_auto_public_ip

    def ids(response):
        return response._get_param("InstanceIds", []) or [response._get_param("InstanceId")]

    def before(response, operation):
        if response._get_bool_param("DryRun", False):
            return
        for one in ids(response):
            CHANGES.append([operation, one])
            if (operation, one) in FAILURES:
                refuse(response, *FAILURES.pop((operation, one)))

    start, stop, modify = EC2Response.start_instances, EC2Response.stop_instances, EC2Response.modify_instance_attribute

    def start_instances(self):
        before(self, "StartInstances")
        wrong = [one for one in ids(self) if self.ec2_backend.get_instance(one).state not in ("stopped", "running")]
        if wrong:
            refuse(self, "IncorrectInstanceState", f"The instance '{wrong[0]}' is not in a state from which it can be started.")
        return start(self)

    def stop_instances(self):
        before(self, "StopInstances")
        return stop(self)

    def modify_instance_attribute(self):
        before(self, "ModifyInstanceAttribute")
        # moto decodes the blob of the wire, and then takes it for base64 once more.
        raw = self._get_param("UserData.Value")
        if raw is None or self._get_bool_param("DryRun", False):
            return modify(self)
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        raw = raw if isinstance(raw, bytes) else base64.b64decode(raw, validate=True)
        if instance.state != "stopped":
            refuse(self, "IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state.")
        if len(raw) > 16384:
            refuse(self, "InvalidParameterValue", "User data is limited to 16384 bytes")
        instance.user_data = Base64EncodedString(base64.b64encode(raw).decode()) if raw else None
        if instance.id in BLIND:
            BLIND[instance.id] = True
        return EmptyResult()

    describe = EC2Response.describe_instance_attribute

    def describe_instance_attribute(self):
        if BLIND.get(self._get_param("InstanceId")):
            refuse(self, "UnauthorizedOperation", "You are not authorized to perform this operation.")
        return describe(self)

    EC2Response.start_instances, EC2Response.stop_instances = start_instances, stop_instances
    EC2Response.modify_instance_attribute = modify_instance_attribute
    EC2Response.describe_instance_attribute = describe_instance_attribute

    begin, end = Instance.start, Instance.stop

    def phase(instance, name, code, work, last):
        instance._state.name, instance._state.code = name, code

        def run():
            time.sleep(PHASE_SECONDS)
            work()
            instance._state.name, instance._state.code = last

        threading.Thread(target=run, daemon=True).start()

    def started(self):
        if self.state == "running":
            return begin(self)
        previous = begin(self)
        boot = BOOTS.get(self.id)
        # The boot itself goes on while the instance runs.
        go = (lambda: threading.Thread(target=boot, args=(raw_user_data(self), self.public_ip), daemon=True).start()) if boot else (lambda: None)
        phase(self, "pending", 0, go, ("running", 16))
        return previous

    def stopped(self):
        if self.state in ("stopped", "stopping"):
            return end(self) if self.state == "stopped" else self._state
        previous = end(self)
        phase(self, "stopping", 64, HALTS.get(self.id, lambda: None), ("stopped", 80))
        return previous

    Instance.start, Instance.stop = started, stopped

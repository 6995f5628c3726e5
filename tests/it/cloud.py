"""What moto lacks for a look inside: an SSM agent that runs commands in a guest, and some EC2 answers.

Patches the moto of this process. An instance is under Systems Manager when its tag `test:ssm` says how
(`Online`, `ConnectionLost`); `test:status` and `test:system` give its status checks (`impaired`,
`initializing`). Operations that moto has not are a clear 400, and are kept in `GAPS`. A public key that is
sent by EC2 Instance Connect is handed to the guest, which moto does not do.
"""

import threading
import time
import uuid

# What was asked for and is not here; ids of the commands that were sent.
GAPS, SENT = [], []
# By instance id: what runs a script inside, as (stdout, stderr, exit status); and console texts.
GUESTS, CONSOLES = {}, {}
# By instance id: what hands a pushed key to the guest, as (user, public key); and what was pushed, as (instance, user).
PLANTS, PUSHED = {}, []
# An invocation is not known at once.
UNKNOWN_SECONDS, PENDING_SECONDS = 0.3, 0.4
STDOUT, STDERR, CUT = 24000, 8000, "---Output truncated---"


class Invocation:
    """One command on one instance."""

    def __init__(self, command, instance, document, parameters, timeout):
        self.command, self.instance, self.document = command, instance, document
        self.begun = time.monotonic()
        self.script = "\n".join(parameters.get("commands", []))
        self.seconds = float((parameters.get("executionTimeout") or [timeout])[0] or timeout)
        self.answer = None
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        time.sleep(PENDING_SECONDS)
        try:
            out, err, status = GUESTS[self.instance](self.script, self.seconds)
        except TimeoutError:
            self.answer = ("TimedOut", "ExecutionTimedOut", "", "", -1)
            return
        state = "Success" if status == 0 else "Failed"
        self.answer = (state, state, cut(out, STDOUT), cut(err, STDERR), status)

    def describe(self):
        age = time.monotonic() - self.begun
        waiting = "Pending" if age < PENDING_SECONDS else "InProgress"
        state, details, out, err, status = self.answer or (waiting, waiting, "", "", -1)
        return {
            "CommandId": self.command, "InstanceId": self.instance, "Comment": "", "DocumentName": self.document,
            "DocumentVersion": "$DEFAULT", "PluginName": "aws:runShellScript", "ResponseCode": status, "Status": state,
            "StatusDetails": details, "StandardOutputContent": out, "StandardErrorContent": err,
            "StandardOutputUrl": "", "StandardErrorUrl": "",
        }


def cut(text, most):
    """As the agent cuts: the text and its note together are not longer than what may be sent."""
    return text if len(text) <= most else text[: most - len(CUT)] + CUT


def tag(instance, name):
    for one in instance.get_tags():
        if one["key"] == name:
            return one["value"]
    return None


def patch():
    """After the server has started, and before it is asked."""
    from moto.core.exceptions import ServiceException
    from moto.ssm.exceptions import SSMException
    from moto.core.responses import ActionResult, BaseResponse
    from moto.ec2.models import ec2_backends
    from moto.ec2.responses import EC2Response
    from moto.ec2instanceconnect.responses import Ec2InstanceConnectResponse as Connect
    from moto.ssm.responses import SimpleSystemManagerResponse as Ssm

    invocations = {}
    plain = BaseResponse.call_action

    def call_action(self):
        try:
            return plain(self)
        except NotImplementedError as error:
            GAPS.append(str(error))
            # moto finds the service, and with it the form of the answer, by the exception's module.
            kind = type("Refusal", (ServiceException,), {"__module__": type(self).__module__})
            refusal = kind("UnsupportedOperation", f"Not in this double: {error}")
            status, headers, body = self.serialized(ActionResult(refusal))
            return 400 if status >= 500 else status, headers, body

    BaseResponse.call_action = call_action

    # EC2

    def describe_instance_status(self):
        instances = self.ec2_backend.describe_instance_status(
            self._get_param("InstanceIds", []), self._get_bool_param("IncludeAllInstances", False),
            [{"name": k, "values": v} for k, v in self._filters_from_querystring().items()],
        )
        return ActionResult({"InstanceStatuses": [status_of(one) for one in instances]})

    def get_console_output(self):
        import base64

        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        text = CONSOLES.get(instance.id, "")
        return ActionResult({"InstanceId": instance.id, "Output": base64.b64encode(text.encode()).decode()})

    EC2Response.describe_instance_status = describe_instance_status
    EC2Response.get_console_output = get_console_output
    EC2Response.describe_instance_connect_endpoints = lambda self: ActionResult({"InstanceConnectEndpoints": []})
    EC2Response.get_serial_console_access_status = lambda self: ActionResult({"SerialConsoleAccessEnabled": False})

    # EC2 Instance Connect

    def send_ssh_public_key(self):
        import json

        instance, user = self._get_param("InstanceId"), self._get_param("InstanceOSUser")
        PUSHED.append((instance, user))
        PLANTS[instance](user, self._get_param("SSHPublicKey"))
        return json.dumps({"RequestId": str(uuid.uuid4()), "Success": True})

    Connect.send_ssh_public_key = send_ssh_public_key

    # Systems Manager

    def managed(self):
        backend = ec2_backends[self.current_account][self.region]
        return {one.id: one for one in backend.all_instances() if tag(one, "test:ssm") and one.state == "running"}

    def describe_instance_information(self):
        asked = self._get_param("Filters", []) or []
        wanted = [value for one in asked if one["Key"] == "InstanceIds" for value in one["Values"]]
        found = managed(self)
        return ActionResult({"InstanceInformationList": [
            {
                "InstanceId": instance.id, "PingStatus": tag(instance, "test:ssm"), "LastPingDateTime": time.time(),
                "AgentVersion": "3.3.1957.0", "IsLatestVersion": True, "PlatformType": "Linux", "PlatformName": "Debian GNU/Linux",
                "PlatformVersion": "12", "ResourceType": "EC2Instance", "IPAddress": instance.private_ip, "ComputerName": "guest",
            }
            for instance in found.values() if not wanted or instance.id in wanted
        ]})

    def get_connection_status(self):
        target = self._get_param("Target")
        instance = managed(self).get(target)
        online = instance is not None and tag(instance, "test:ssm") == "Online"
        return ActionResult({"Target": target, "Status": "connected" if online else "notconnected"})

    def send_command(self):
        document, ids = self._get_param("DocumentName"), self._get_param("InstanceIds", [])
        parameters, timeout = self._get_param("Parameters", {}), self._get_int_param("TimeoutSeconds") or 3600
        if document != "AWS-RunShellScript":
            raise SSMException("InvalidDocument", f"Document with name {document} does not exist.")
        here = managed(self)
        if not ids or any(one not in here or tag(here[one], "test:ssm") != "Online" or one not in GUESTS for one in ids):
            raise SSMException("InvalidInstanceId", "Instances not in a valid state for account")
        command = str(uuid.uuid4())
        SENT.append(command)
        for one in ids:
            invocations[command, one] = Invocation(command, one, document, parameters, timeout)
        return ActionResult({"Command": {
            "CommandId": command, "DocumentName": document, "DocumentVersion": "$DEFAULT", "Comment": "", "Parameters": parameters,
            "InstanceIds": ids, "Targets": [], "RequestedDateTime": time.time(), "ExpiresAfter": time.time() + timeout,
            "Status": "Pending", "StatusDetails": "Pending", "TimeoutSeconds": timeout, "TargetCount": len(ids), "CompletedCount": 0,
            "ErrorCount": 0, "DeliveryTimedOutCount": 0, "MaxConcurrency": "50", "MaxErrors": "0",
        }})

    def get_service_setting(self):
        """Default Host Management is off, which is all that is asked for."""
        name = self._get_param("SettingId")
        return ActionResult({"ServiceSetting": {
            "SettingId": name, "SettingValue": "$None", "Status": "Default", "LastModifiedUser": "System",
            "ARN": f"arn:aws:ssm:{self.region}:{self.current_account}:servicesetting{name}",
        }})

    def get_command_invocation(self):
        command, instance = self._get_param("CommandId"), self._get_param("InstanceId")
        found = invocations.get((command, instance))
        if found is None or time.monotonic() - found.begun < UNKNOWN_SECONDS:
            raise SSMException("InvocationDoesNotExist", "")
        return ActionResult(found.describe())

    Ssm.describe_instance_information = describe_instance_information
    Ssm.get_connection_status = get_connection_status
    Ssm.send_command = send_command
    Ssm.get_service_setting = get_service_setting
    Ssm.get_command_invocation = get_command_invocation


def status_of(instance):
    def summary(word):
        word = word or "ok"
        details = {"ok": "passed", "impaired": "failed"}.get(word, word)
        return {"Status": word, "Details": [{"Name": "reachability", "Status": details}]}

    return {
        "InstanceId": instance.id, "AvailabilityZone": instance.placement.zone,
        "InstanceState": {"Code": instance.state_code, "Name": instance.state},
        "InstanceStatus": summary(tag(instance, "test:status")), "SystemStatus": summary(tag(instance, "test:system")),
    }

"""What moto lacks for volumes of machines that really run: files behind them, phases, a helper that boots when it is
launched, and snapshots with a content.

Patches the moto of this process, on top of power.py. Refusals are those of EC2.
"""

import os
import subprocess
import threading
import time

# Image files by volume id and by snapshot id; machines by instance id.
FILES, COPIES, MACHINES = {}, {}, {}
# What was asked for, in order: the operation, the volume, the instance, the device.
MOVES = []
PHASE_SECONDS = 0.4


def copied(source, target):
    """A sparse copy, as it is now."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    return target


def root(instance):
    """The volume that an instance boots from: the one under exactly its root device name."""
    mapped = instance.block_device_mapping.get(instance.root_device_name)
    return mapped.volume_id if mapped else None


def attached(instance):
    """Files of the volumes of an instance, its root first."""
    ids = sorted((one.volume_id for one in instance.block_device_mapping.values()), key=lambda one: one != root(instance))
    return {one: FILES[one] for one in ids}


def patch(directory, adopt):
    """`adopt(instance)` gives an instance that was launched its machine, and boots it."""
    from moto.core.exceptions import ServiceException
    from moto.core.responses import ActionResult
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.instances import Instance
    from moto.ec2.responses import EC2Response

    def refuse(response, code, message):
        # moto finds the service, and with it the form of the answer, by the exception's module.
        raise type("Refusal", (ServiceException,), {"__module__": type(response).__module__})(code, message)

    def asked(response, operation):
        """What both operations have in common: volume, instance and device."""
        volume = response.ec2_backend.get_volume(response._get_param("VolumeId"))
        named = response._get_param("InstanceId") or (volume.attachment.instance.id if volume.attachment else "")
        response.error_on_dryrun()
        instance = response.ec2_backend.get_instance(named)
        MOVES.append([operation, volume.id, instance.id, response._get_param("Device") or ""])
        return volume, instance

    def answer(attachment, state):
        return ActionResult({
            "VolumeId": attachment.volume.id, "InstanceId": attachment.instance.id, "Device": attachment.device,
            "State": state, "AttachTime": attachment.attach_time,
        })

    def later(work):
        def run():
            time.sleep(PHASE_SECONDS)
            work()

        threading.Thread(target=run, daemon=True).start()

    def attach_volume(self):
        volume, instance = asked(self, "AttachVolume")
        device = self._get_param("Device")
        if volume.attachment:
            refuse(self, "VolumeInUse", f"{volume.id} is already attached to an instance")
        if volume.availability_zone != instance.placement.zone:
            refuse(self, "InvalidVolume.ZoneMismatch", f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'")
        if instance.state not in ("running", "stopped"):
            refuse(self, "IncorrectState", f"Instance '{instance.id}' is not 'running'.")
        if device in instance.block_device_mapping:
            refuse(self, "InvalidParameterValue", f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use")
        attachment = self.ec2_backend.attach_volume(volume.id, instance.id, device)
        attachment.status = "attaching"

        def work():
            if MACHINES[instance.id].running():
                MACHINES[instance.id].plug(volume.id, FILES[volume.id])
            attachment.status = "attached"

        later(work)
        return answer(attachment, "attaching")

    def detach_volume(self):
        volume, instance = asked(self, "DetachVolume")
        attachment = volume.attachment
        if attachment is None or attachment.instance is not instance:
            refuse(self, "IncorrectState", f"Volume '{volume.id}' is in the 'available' state.")
        if root(instance) == volume.id and instance.state != "stopped":
            refuse(self, "OperationNotPermitted", f"Unable to detach root volume '{volume.id}' from instance '{instance.id}'")
        attachment.status = "detaching"

        def work():
            if MACHINES[instance.id].running():
                MACHINES[instance.id].unplug(volume.id)
            self.ec2_backend.detach_volume(volume.id, instance.id, attachment.device)

        later(work)
        return answer(attachment, "detaching")

    EC2Response.attach_volume, EC2Response.detach_volume = attach_volume, detach_volume

    start = EC2Response.start_instances

    def start_instances(self):
        for one in self._get_param("InstanceIds", []):
            instance = self.ec2_backend.get_instance(one)
            if root(instance) is None:
                device = instance.root_device_name
                refuse(self, "InvalidParameterValue", f"Invalid value '{one}' for instanceId. Instance does not have a volume attached at root ({device})")
        return start(self)

    EC2Response.start_instances = start_instances

    launch, snapshot, terminate = EC2Backend.run_instances, EC2Backend.create_snapshot, Instance.terminate

    def run_instances(self, *arguments, **more):
        reservation = launch(self, *arguments, **more)
        for instance in reservation.instances:
            # Its image says what its root is called.
            instance.root_device_name = next(iter(instance.block_device_mapping))
            adopt(instance)
        return reservation

    def create_snapshot(self, volume_id, *arguments, **more):
        made = snapshot(self, volume_id, *arguments, **more)
        # Those that images have been made of have no content.
        if volume_id in FILES:
            made.status = "pending"

            def work():
                COPIES[made.id] = copied(FILES[volume_id], os.path.join(directory, made.id))
                made.status = "completed"

            later(work)
        return made

    def terminated(self):
        if self.id in MACHINES:
            MACHINES[self.id].kill()
        return terminate(self)

    EC2Backend.run_instances, EC2Backend.create_snapshot, Instance.terminate = run_instances, create_snapshot, terminated

"""moto for the tests: serves EC2 over HTTP on loopback and builds small worlds in it.

One JSON object a line on standard input, one answer a line on standard output; the first line that
is written names the endpoint. Ends with its standard input, so that a test that dies leaves nothing
behind. Instances get no address of their own but an elastic one in 127.0.0.0/8: whatever a test
dials stays on this machine.
"""

import json
import os
import sys
import tempfile
import traceback
import urllib.request

CLIENT, FORMER = "203.0.113.10/32", "203.0.113.77/32"

# Families by publisher and name, as port22 tells them apart. NixOS logs in as root, the one
# account that every Unix has: a real sshd can answer for it.
IMAGES = {
    "nixos": ("ami-0000000000000a001", "427812963091", "nixos/24.05.1234.abcdef-x86_64-linux"),
    "al2023": ("ami-0000000000000a002", "137112412989", "al2023-ami-2023.5.20240903.0-kernel-6.1-x86_64"),
    "debian": ("ami-0000000000000a004", "136693071363", "debian-12-amd64-20250316-2053"),
    "ubuntu": ("ami-0000000000000a003", "099720109477", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20240801"),
}


def image(ami_id, owner, name):
    return {
        "ami_id": ami_id, "name": name, "description": name, "owner_id": owner, "public": True,
        "virtualization_type": "hvm", "architecture": "x86_64", "state": "available", "platform": None,
        "image_type": "machine", "hypervisor": "xen", "root_device_name": "/dev/xvda",
        "root_device_type": "ebs", "sriov": "simple",
    }


def start():
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        json.dump([image(*one) for one in IMAGES.values()], file)
    # moto reads it while its EC2 part is imported.
    os.environ["MOTO_AMIS_PATH"] = file.name
    import logging

    import moto.ec2  # noqa: F401
    from moto.server import ThreadedMotoServer

    os.unlink(file.name)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    return "http://%s:%d" % server.get_host_and_port()


class World:
    """Builds in one endpoint."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.clients = {}

    def client(self, service, region="us-east-1"):
        import boto3

        if (service, region) not in self.clients:
            self.clients[service, region] = boto3.client(
                service, region_name=region, endpoint_url=self.endpoint,
                aws_access_key_id="testing", aws_secret_access_key="testing",
            )
        return self.clients[service, region]

    def call(self, service, operation, arguments, region="us-east-1"):
        """Any call, as boto3 names it."""
        answer = getattr(self.client(service, region), operation)(**arguments)
        answer.pop("ResponseMetadata", None)
        return answer

    def build(self, name, port, address=None, faults=(), image="nixos", key=None, rules=None, young=False, region="us-east-1", root=None):
        """One instance in a VPC of its own, reachable from the client on `port` but for its faults."""
        ec2 = self.client("ec2", region)
        vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.1.0/24")["Subnet"]["SubnetId"]
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False})
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        if "no-route" not in faults:
            ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        acls = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]
        acl = acls[0]["NetworkAclId"]
        if "nacl-in" in faults:
            self.deny(ec2, acl, port, port, egress=False)
        if "nacl-out" in faults:
            self.deny(ec2, acl, 1024, 65535, egress=True)
        group = ec2.create_security_group(GroupName=name, Description="test", VpcId=vpc)["GroupId"]
        if rules is None:
            source = [FORMER, "my laptop"] if "sg-changed" in faults else [CLIENT, "the client of the test"]
            rules = [] if "sg" in faults else [source]
        for cidr, description in rules:
            permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr, "Description": description}]}
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        launch = {"ImageId": IMAGES[image][0], "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
        if root:
            launch["BlockDeviceMappings"] = [{"DeviceName": root, "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}}]
        if key:
            ec2.import_key_pair(KeyName=name, PublicKeyMaterial=key.encode())
            launch["KeyName"] = name
        interface = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group], "AssociatePublicIpAddress": False}
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]
        instance = ec2.run_instances(NetworkInterfaces=[interface], TagSpecifications=tags, **launch)["Instances"][0]
        instance_id = instance["InstanceId"]
        # An instance that was started a minute ago may still boot, which is another diagnosis.
        if not young:
            ec2.modify_instance_attribute(InstanceId=instance_id, Attribute="launchTime", Value="2024-01-01T00:00:00Z")
        interface = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
        if address and "no-eip" not in faults:
            allocation = ec2.allocate_address(Domain="vpc", Address=address)["AllocationId"]
            ec2.associate_address(AllocationId=allocation, InstanceId=instance_id)
        if "igw-detached" in faults:
            ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        if "stopped" in faults:
            ec2.stop_instances(InstanceIds=[instance_id])
        return {"instance": instance_id, "group": group, "vpc": vpc, "subnet": subnet, "acl": acl, "table": table, "gateway": gateway, "interface": interface}

    @staticmethod
    def deny(ec2, acl, low, high, egress):
        ec2.create_network_acl_entry(
            NetworkAclId=acl, RuleNumber=50, Protocol="6", RuleAction="deny", Egress=egress,
            CidrBlock="0.0.0.0/0", PortRange={"From": low, "To": high},
        )

    def look(self, vpc, region="us-east-1"):
        """Everything of a VPC that a fix could have changed."""
        ec2 = self.client("ec2", region)
        of = [{"Name": "vpc-id", "Values": [vpc]}]
        groups = ec2.describe_security_groups(Filters=of)["SecurityGroups"]
        ids = [group["GroupId"] for group in groups]
        answer = {
            "groups": groups,
            "rules": ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": ids}])["SecurityGroupRules"],
            "acls": ec2.describe_network_acls(Filters=of)["NetworkAcls"],
            "tables": ec2.describe_route_tables(Filters=of)["RouteTables"],
            "instances": ec2.describe_instances(Filters=of)["Reservations"],
            "interfaces": ec2.describe_network_interfaces(Filters=of)["NetworkInterfaces"],
        }
        answer["gateways"] = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}])["InternetGateways"]
        return answer

    def herd(self, count, region="us-east-1"):
        """So many instances in one VPC that leads to the internet; half of them in a group without a rule."""
        ec2 = self.client("ec2", region)
        vpc = ec2.create_vpc(CidrBlock="10.80.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.80.0.0/20")["Subnet"]["SubnetId"]
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        groups = [ec2.create_security_group(GroupName=n, Description=n, VpcId=vpc)["GroupId"] for n in ("open", "none")]
        ec2.authorize_security_group_ingress(GroupId=groups[0], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp=CLIENT)
        for group in groups:
            ec2.run_instances(
                ImageId=IMAGES["nixos"][0], InstanceType="t3.micro", MinCount=count // 2, MaxCount=count // 2,
                SubnetId=subnet, SecurityGroupIds=[group],
                TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "herd"}]}],
            )
        return vpc

    def named(self, name, states, region="us-east-1"):
        """Instances of one Name, each in a reservation of its own; returns their ids."""
        ec2 = self.client("ec2", region)
        vpc = ec2.create_vpc(CidrBlock="10.78.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.78.0.0/20")["Subnet"]["SubnetId"]
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False})
        ids = []
        for _ in states:
            answer = ec2.run_instances(
                ImageId=IMAGES["nixos"][0], InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=subnet,
                TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
            )
            ids.append(answer["Instances"][0]["InstanceId"])
        gone = [one for one, state in zip(ids, states) if state == "terminated"]
        if gone:
            ec2.terminate_instances(InstanceIds=gone)
        return ids

    def enforce(self, denied):
        """From now on signatures and policies count. Returns keys that may do all but `denied`."""
        iam = self.client("iam")
        iam.create_user(UserName="tester")
        statements = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
        if denied:
            statements.append({"Effect": "Deny", "Action": denied, "Resource": "*"})
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_user_policy(UserName="tester", PolicyName="tester", PolicyDocument=document)
        key = iam.create_access_key(UserName="tester")["AccessKey"]
        self.moto("reset-auth", b"0")
        return [key["AccessKeyId"], key["SecretAccessKey"]]

    def metrics(self, namespace, data, region="us-east-1"):
        """Puts CloudWatch data whose times are said in minutes before now."""
        import datetime

        now = datetime.datetime.now(datetime.timezone.utc)
        for one in data:
            one["Timestamp"] = now - datetime.timedelta(minutes=one.pop("minutes_ago"))
        self.client("cloudwatch", region).put_metric_data(Namespace=namespace, MetricData=data)

    def relax(self):
        """Nobody is asked for a policy any more."""
        self.moto("reset-auth", b"inf")

    def moto(self, path, data):
        request = urllib.request.Request(self.endpoint + "/moto-api/" + path, data=data, headers={"Content-Type": "text/plain"})
        urllib.request.urlopen(request).read()


def serve(make):
    """Answers questions with what `make` makes, until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # What a library prints must not stand between the answers.
    os.dup2(2, 1)
    try:
        world = make()
    except Exception as error:  # pylint: disable=broad-except
        print(json.dumps({"error": f"{error}\n{traceback.format_exc()}"}), file=answers)
        return
    print(json.dumps({"ok": world.endpoint}), file=answers)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"ok": getattr(world, question.pop("do"))(**question)}
        except Exception:  # pylint: disable=broad-except
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer, default=str), file=answers)


if __name__ == "__main__":
    serve(lambda: World(start()))

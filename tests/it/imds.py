"""The metadata service of one machine: IMDSv2 and v1, as cloud-init's Ec2 data source reads it.

`imds.py PORT` joins standard input and output with that port of 127.0.0.1: qemu runs it for each connection
that a machine makes to 169.254.169.254.
"""

import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def tree(facts):
    """The metadata of an instance, as directories."""
    mac = facts["mac"]
    interface = {
        "device-number": "0", "interface-id": "eni-" + facts["id"][2:], "local-hostname": facts["host"], "local-ipv4s": facts["private"],
        "mac": mac, "owner-id": "123456789012", "security-groups": "default", "subnet-ipv4-cidr-block": "169.254.0.0/16",
        "vpc-ipv4-cidr-block": "169.254.0.0/16",
    }
    shown = {
        "ami-id": "ami-0000000000000a004", "ami-launch-index": "0", "hostname": facts["host"], "instance-action": "none",
        "instance-id": facts["id"], "instance-type": "t3.micro", "local-hostname": facts["host"], "local-ipv4": facts["private"], "mac": mac,
        "network": {"interfaces": {"macs": {mac: interface}}}, "placement": {"availability-zone": facts["zone"], "region": facts["zone"][:-1]},
        "public-ipv4": facts["public"], "reservation-id": "r-1", "security-groups": "default",
    }
    if facts["key"]:
        shown["public-keys"] = {"0": {"openssh-key": facts["key"]}}
    return shown


def listing(at):
    """A directory as the service prints it; the keys have a form of their own."""
    if set(at) == {"0"}:
        return "0=key"
    return "\n".join(name + ("/" if isinstance(value, dict) else "") for name, value in at.items())


class Service:
    """Serves what `facts()` says at the moment of the question; `user_data()` gives the raw bytes."""

    def __init__(self, facts, user_data):
        service = self
        self.facts, self.user_data, self.asked = facts, user_data, []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body=b""):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def do_PUT(self):  # noqa: N802
                if self.path == "/latest/api/token":
                    self.answer(200, b"TOKEN")
                else:
                    self.answer(404)

            def do_GET(self):  # noqa: N802
                service.asked.append(self.path)
                self.answer(*service.get([part for part in self.path.split("/") if part]))

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def get(self, path):
        """Status and body of a path, whatever version it begins with."""
        if len(path) < 2:
            return 200, b"dynamic\nmeta-data\nuser-data\n" if path else b"2016-09-02\n2018-09-24\nlatest\n"
        kind, rest = path[1], path[2:]
        if kind == "user-data":
            raw = self.user_data()
            return (200, raw) if raw else (404, b"")
        if kind == "meta-data":
            at = tree(self.facts())
            for name in rest:
                if not isinstance(at, dict) or name not in at:
                    return 404, b""
                at = at[name]
            return 200, (listing(at) if isinstance(at, dict) else at).encode()
        if kind == "dynamic" and rest == ["instance-identity"]:
            return 200, b"document"
        if kind == "dynamic" and rest[:2] == ["instance-identity", "document"]:
            facts = self.facts()
            return 200, ('{"instanceId": "%s", "region": "%s", "accountId": "123456789012"}' % (facts["id"], facts["zone"][:-1])).encode()
        return 404, b""


def join(port):
    with socket.create_connection(("127.0.0.1", port)) as link:

        def up():
            while data := os.read(0, 65536):
                link.sendall(data)
            link.shutdown(socket.SHUT_WR)

        threading.Thread(target=up, daemon=True).start()
        while data := link.recv(65536):
            os.write(1, data)
    os._exit(0)


if __name__ == "__main__":
    join(int(sys.argv[1]))

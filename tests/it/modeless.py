"""Runs a program beside a file system that has no modes.

    modeless.py DIRECTORY FILE PROGRAM [ARGUMENT...]

Serves a copy of FILE over FUSE, mounted at DIRECTORY as VMware's shared folders are (fuse.vmhgfs-fuse): everything has
mode 0777, and a chmod succeeds and changes nothing. Is to be run in a mount namespace of its own (unshare -rm). Ends as
PROGRAM does; with 77, and a sentence, where it cannot mount. Needs nothing but Python.
"""

import ctypes
import os
import stat
import struct
import subprocess
import sys
import threading

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, STATFS, RELEASE, FLUSH = 1, 2, 3, 4, 14, 15, 17, 18, 25
INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS, DESTROY, BATCH_FORGET = 26, 27, 28, 29, 34, 38, 42
ENOENT, ENOSYS = 2, 38
ROOT, ENTRY = 1, 2


def skip(words):
    print(f"modeless.py: {words}", file=sys.stderr)
    sys.exit(77)


def attributes(node, size):
    """struct fuse_attr of linux/fuse.h."""
    mode = (stat.S_IFDIR if node == ROOT else stat.S_IFREG) | 0o777
    size = 0 if node == ROOT else size
    return struct.pack("<6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)


def answer(opcode, node, body, name, content):
    """The payload of an answer, or an error number."""
    valid = struct.pack("<QII", 1, 0, 0)
    if opcode == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 4, 3, 65536, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    if opcode == LOOKUP:
        if node != ROOT or body.rstrip(b"\0") != name:
            return ENOENT
        return struct.pack("<4Q2I", ENTRY, 0, 1, 1, 0, 0) + attributes(ENTRY, len(content))
    if opcode in (GETATTR, SETATTR):
        return valid + attributes(node, len(content))
    if opcode in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 0, 0, 0)
    if opcode == READ:
        _, offset, size = struct.unpack_from("<QQI", body)
        return content[offset : offset + size]
    if opcode == READDIR:
        return b""
    if opcode == STATFS:
        return struct.pack("<5Q4I6I", 1, 0, 0, 1, 0, 4096, 255, 4096, 0, 0, 0, 0, 0, 0, 0)
    if opcode in (RELEASE, RELEASEDIR, FLUSH, ACCESS, DESTROY):
        return b""
    return ENOSYS


def serve(device, name, content):
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError:
            return
        if not request:
            return
        length, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode in (FORGET, BATCH_FORGET):
            continue
        given = answer(opcode, node, request[40:length], name, content)
        error, payload = (-given, b"") if isinstance(given, int) else (0, given)
        try:
            os.write(device, struct.pack("<IiQ", 16 + len(payload), error, unique) + payload)
        except OSError:
            return


def main():
    directory, source, *program = sys.argv[1:]
    with open(source, "rb") as file:
        content = file.read()
    name = os.path.basename(source).encode()
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        skip(f"no FUSE here: {error}")
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    flags = 2 | 4  # nosuid, nodev
    if libc.mount(b"shared", directory.encode(), b"fuse.vmhgfs-fuse", flags, options.encode()) != 0:
        skip(f"it cannot be mounted: {os.strerror(ctypes.get_errno())}")
    threading.Thread(target=serve, args=(device, name, content), daemon=True).start()
    path = os.path.join(directory, os.path.basename(source))
    os.chmod(path, 0o600)
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode != 0o777:
        sys.exit(f"modeless.py: after a chmod the mode is {mode:o}")
    ended = subprocess.run(program).returncode
    # The mount ends with the namespace.
    os._exit(ended)


main()

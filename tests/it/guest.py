"""A real Debian guest with a real sshd, broken for real, behind moto: for the tests of `--inside`.

Speaks as world.py does (one JSON object a line in, one answer a line out) and has its words besides
those of a guest. Everything runs in a network and a mount namespace of its own, which has only a
loopback: no packet leaves it, port 22 is free in it, and at its end every mount is gone. A guest is
an overlay over the unpacked root, with its own processes, host name and /proc; its files, accounts
and processes are its own, nothing of the host is seen in it or changed by it.

`guest.py make` only makes the root that all guests share, and keeps it under target/guest.
`guest.py prove [NAME...]` breaks one guest after the other as tests/cases/guest/faults.toml says, and
proves with the ssh client alone that the login then fails, or works, as the table has it.
"""

import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get("PORT22_TEST_GUESTS") or os.path.normpath(os.path.join(HERE, "..", "..", "target", "guest"))
SUITE = "bookworm"
PACKAGES = (
    "openssh-server", "passwd", "procps", "iproute2", "iptables", "nftables", "e2fsprogs", "acl",
    "rsyslog", "systemd", "busybox", "login", "util-linux", "libpam-modules", "ncurses-base",
)
# Where the client comes from, as the guest sees it: the address that the tests tell the program.
CLIENT = "203.0.113.10"
USER, SECOND = "admin", "deploy"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE = 10.0


class Unable(Exception):
    """This machine cannot run a guest; the text says why and what to do."""


# The root, made once.

SHAPE = r"""
set -e
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/man/* /usr/share/doc/* /usr/share/info/*
find /usr/share/locale -mindepth 1 -maxdepth 1 ! -name locale.alias -exec rm -rf {} +
# The log of a guest is its own: not the kernel's of this machine.
sed -i '/imklog/d; /^module(load="imuxsock"/d' /etc/rsyslog.conf
sed -i '1i module(load="imuxsock" SysSock.Name="/dev/log")' /etc/rsyslog.conf
# As Debian's cloud images have it.
printf 'PasswordAuthentication no\n' > /etc/ssh/sshd_config.d/50-cloud-init.conf
rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -A
groupadd -g 1000 admin && useradd -u 1000 -g 1000 -m -k /etc/skel -c Debian -s /bin/bash admin
groupadd -g 1001 deploy && useradd -u 1001 -g 1001 -m -k /etc/skel -s /bin/sh deploy
groupadd -g 1500 staff2
passwd -q -l admin && passwd -q -l deploy
for one in admin deploy; do
    mkdir -m 700 /home/$one/.ssh && chown $one: /home/$one/.ssh
done
printf 'guest\n' > /etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 guest\n' > /etc/hosts
"""


def apt_config(*arguments):
    try:
        answer = subprocess.run(arguments, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unable(f"a guest is made from the Debian archive of this machine's apt, and {arguments[0]} fails: {error}") from error
    return [line for line in answer.stdout.splitlines() if line.strip()]


def mirror():
    """The archive that apt uses here, and its proxy."""
    site = os.environ.get("PORT22_TEST_DEBIAN")
    if not site:
        lines = apt_config("apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
        rows = [line.split(None, 2) for line in lines]
        sites = [row[2] for row in rows if len(row) == 3 and row[0] == SUITE and row[1] == "main"]
        if not sites:
            raise Unable(f"apt knows no archive of Debian {SUITE} here: name one by PORT22_TEST_DEBIAN=http://...")
        site = sites[0]
    proxy = apt_config("apt-config", "shell", "P", "Acquire::http::Proxy")
    return site, proxy[0].split("'")[1] if proxy else None


def make_root(archive, packages):
    """Debootstraps into a temporary directory and packs it."""
    if not shutil.which("debootstrap", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        raise Unable("debootstrap is needed for the guests: install it, or run tests/run")
    site, proxy = mirror()
    environment = dict(os.environ, LC_ALL="C", PATH=PATH, DEBIAN_FRONTEND="noninteractive")
    if proxy:
        environment["http_proxy"] = proxy
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as directory:
        root = os.path.join(directory, "root")
        steps = (
            ["debootstrap", "--variant=minbase", "--include=" + ",".join(packages), SUITE, root, site],
            ["chroot", root, "/bin/sh", "-c", SHAPE],
            ["tar", "-C", root, "--numeric-owner", "-cf", archive + ".part", "."],
        )
        for step in steps:
            done = subprocess.run(step, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Unable(f"making the guest's root: {step[0]} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-1500:]}")
    os.rename(archive + ".part", archive)


def archive(more=()):
    """The packed root, which is made if this recipe (with `more` packages) was never made here."""
    os.makedirs(CACHE, exist_ok=True)
    packages = PACKAGES + tuple(more)
    recipe = hashlib.sha256(repr((SUITE, packages, SHAPE)).encode()).hexdigest()[:12]
    path = os.path.join(CACHE, f"{SUITE}-{recipe}.tar")
    with open(os.path.join(CACHE, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            make_root(path, packages)
    return path


# The namespaces that all of this process lives in.

def enter(more=()):
    """Runs this program again, in namespaces of its own; returns once that is so."""
    if os.environ.get("PORT22_TEST_ENTERED") == str(os.getpid()):
        return
    if os.geteuid() != 0:
        raise Unable("the guests need root (namespaces, accounts of their own): run as root, or leave them out by PORT22_TEST_NO_GUESTS=1")
    flags = ("unshare", "--net", "--mount", "--propagation", "private")
    try:
        tried = subprocess.run([*flags, "true"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unable(f"the guests need unshare (util-linux): {error}") from error
    if tried.returncode != 0:
        raise Unable(f"the guests need namespaces, which this machine or container refuses (docker: --privileged): {tried.stderr.strip()}")
    # Before the network is gone.
    archive(more)
    # The process stays the same, so that whoever started it can name its namespaces by its id.
    os.environ["PORT22_TEST_ENTERED"] = str(os.getpid())
    os.execvp("unshare", [*flags, "--", sys.executable, *sys.argv])


def loopback():
    """Raises the namespace's only interface and gives it the client's address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sh14x", b"lo", 0x1 | 0x40)
        fcntl.ioctl(any_socket, 0x8914, up)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def run(arguments, text_in=None, **more):
    given = {"input": text_in} if text_in is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run(arguments, capture_output=True, text=True, errors="replace", check=False, **given, **more)


class Base:
    """The unpacked root, in memory of this namespace."""

    def __init__(self, more=()):
        self.mounted = os.path.join(CACHE, "mnt")
        os.makedirs(self.mounted, exist_ok=True)
        self.root = os.path.join(self.mounted, "root")
        for step in (
            ["mount", "-t", "tmpfs", "-o", "mode=755", "guests", self.mounted],
            ["mkdir", self.root],
            ["tar", "-C", self.root, "--numeric-owner", "-xpf", archive(more)],
        ):
            done = run(step)
            if done.returncode != 0:
                raise Unable(f"unpacking the guest's root: {' '.join(step)}: {done.stderr.strip()}")
        loopback()
        self.tool("ip", "addr", "add", CLIENT + "/32", "dev", "lo")

    def tool(self, *arguments):
        done = run(["chroot", self.root, *arguments], env={"PATH": PATH})
        if done.returncode != 0:
            raise Unable(f"{' '.join(arguments)}: {done.stderr.strip()}")

    def address(self, address):
        """Whoever dials this address comes from the client's."""
        self.tool("ip", "route", "replace", "table", "local", "local", address, "dev", "lo", "src", CLIENT)

    def calm(self):
        """No packet filter of the guest before; a kernel without nftables has none."""
        run(["chroot", self.root, "nft", "flush", "ruleset"], env={"PATH": PATH})


# One guest.

BOOT = r"""
set -e
mount -t tmpfs -o mode=755,size="$SIZE" guest "$AT"
mkdir "$AT/upper" "$AT/work" "$AT/root"
if [ -n "$COPY" ] || ! mount -t overlay -o "lowerdir=$BASE,upperdir=$AT/upper,workdir=$AT/work" overlay "$AT/root" 2>/dev/null; then
    mount -o remount,size=90% "$AT"
    cp -a "$BASE/." "$AT/root/"
    mount --bind "$AT/root" "$AT/root"
fi
cd "$AT/root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t tmpfs -o mode=755,nosuid,nodev run run
mkdir -m 1777 run/lock
mkdir -m 700 run/amazon-ssm
mount -t tmpfs -o mode=1777,nosuid,nodev tmp tmp
mount -t tmpfs -o mode=755,nosuid dev dev
mkdir dev/pts dev/shm
for one in null zero full random urandom tty; do
    major=1
    case $one in null) minor=3;; zero) minor=5;; full) minor=7;; random) minor=8;; urandom) minor=9;; tty) major=5; minor=0;; esac
    mknod -m 666 "dev/$one" c $major $minor || { : > "dev/$one"; mount --bind "/dev/$one" "dev/$one"; }
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
hostname guest
mkdir old
pivot_root . old
exec chroot . /usr/bin/env -i "PATH=$PATH" /bin/sh -c '
    umount -l /old && rmdir /old && rsyslogd -i /run/rsyslogd.pid && echo booted || exit 1
    exec >/dev/null 2>&1
    while :; do sleep 3600 & wait $!; done'
"""

# What ssh.service does: its directory under /run, the check, the server.
START = r"""
[ -x /usr/sbin/sshd ] && [ ! -e /etc/ssh/sshd_not_to_be_run ] || exit 0
[ "$(readlink -f /etc/systemd/system/ssh.service)" != /dev/null ] || exit 0
mkdir -p -m 755 /run/sshd
/usr/sbin/sshd -t && /usr/sbin/sshd || exit 0
# It listens when it has written its process id, and not yet when its parent returns.
for i in 1 2 3 4 5 6 7 8 9 10; do
    [ ! -s /run/sshd.pid ] && pgrep -x sshd >/dev/null || break
    sleep 0.05
done
"""


class Guest:
    """A running guest. `end` ends all of it."""

    def __init__(self, base, copy=False):
        self.base = base
        base.calm()
        at = os.path.join(base.mounted, "guest")
        os.makedirs(at, exist_ok=True)
        environment = {"PATH": PATH, "AT": at, "BASE": base.root, "SIZE": "64m", "COPY": "1" if copy else ""}
        flags = ("--mount", "--pid", "--fork", "--uts", "--ipc", "--kill-child", "--propagation", "private")
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["unshare", *flags, "/bin/sh", "-c", BOOT], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent,
        )
        if self.process.stdout.readline().strip() != b"booted":
            raise Unable("a guest does not boot: " + self.process.stderr.read().decode(errors="replace").strip())
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children, encoding="ascii") as file:
            self.init = file.read().split()[0]

    def enter(self, *command):
        return ["nsenter", "--target", self.init, "--mount", "--uts", "--ipc", "--pid", "--root", "--wd", "--", *command]

    def sh(self, script, environment=None, seconds=60.0):
        """Runs a script as root inside; whatever it left running stays."""
        pairs = [f"{name}={value}" for name, value in {"PATH": PATH, **(environment or {})}.items()]
        command = self.enter("/usr/bin/env", "-i", *pairs, "/bin/sh", "-c", script)
        # Files, not pipes: those of a process that stays would never end.
        with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=seconds, check=False)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, out.read(), err.read())

    def start(self):
        """Starts sshd as its service does; says what it wrote."""
        done = self.sh(START)
        return (done.stdout + done.stderr).strip()

    def listing(self):
        """Every file with its kind, mode, owner, size, link and times; not what lives in /proc, /dev and /run."""
        form = "%p %y %m %U %G %s %l %T@ %C@\\n"
        return self.sh(f"find / -xdev -printf '{form}' | sort").stdout

    def end(self):
        # The first process takes all others of the guest with it, and its mounts; unshare then ends by itself.
        os.kill(int(self.init), signal.SIGKILL)
        self.process.wait(PATIENCE)


# The cloud around it, and the words of the tests.

def environment(public, other, user=USER, port=22):
    """What a fault's script may use."""
    home = "/root" if user == "root" else "/home/" + user
    return {
        "U": user, "H": home, "D": home + "/.ssh", "A": home + "/.ssh/authorized_keys", "C": "/etc/ssh/sshd_config.d/10-test.conf",
        "KEY": public.strip(), "OTHER": other.strip(), "P": str(port), "FROM": CLIENT,
    }


INSTALL = r"""
set -e
for one in /home/admin /home/deploy /root; do
    mkdir -p -m 700 $one/.ssh
    printf '%s\n' "$KEY" > $one/.ssh/authorized_keys
    chmod 600 $one/.ssh/authorized_keys
done
chown -R admin: /home/admin/.ssh
chown -R deploy: /home/deploy/.ssh
"""


def stage(base, fault, public, other, copy=False):
    """Boots a guest, lets the key in, breaks it, starts sshd and breaks what can only be broken then."""
    guest = Guest(base, copy)
    try:
        words = environment(public, other, fault.get("user", USER), fault.get("port", 22))
        steps = [("the key", INSTALL), ("the fault", "set -e\n" + fault.get("break", ""))]
        for what, script in steps:
            done = guest.sh(script, words)
            if done.returncode != 0:
                raise Unable(f"{fault['name']}: {what} cannot be made: {(done.stdout + done.stderr).strip()}")
        guest.said = guest.start()
        if fault.get("after"):
            done = guest.sh("set -e\n" + fault["after"], words)
            if done.returncode != 0:
                raise Unable(f"{fault['name']}: what comes after the start cannot be made: {(done.stdout + done.stderr).strip()}")
    except BaseException:
        guest.end()
        raise
    return guest


def login(address, port, user, key):
    """One login with the ssh client, as a script would do it."""
    options = [
        "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "GlobalKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "ConnectTimeout=3",
        "-o", "LogLevel=INFO", "-i", key, "-p", str(port),
    ]
    begun = time.monotonic()
    try:
        done = run(["ssh", *options, f"{user}@{address}", "echo login-works"], env={"PATH": PATH, "LC_ALL": "C"}, timeout=20)
    except subprocess.TimeoutExpired:
        return {"works": False, "exit": 255, "text": "(no end)", "millis": 20000}
    works = done.returncode == 0 and "login-works" in done.stdout
    return {
        "works": works, "exit": done.returncode, "text": done.stdout + done.stderr,
        "millis": int((time.monotonic() - begun) * 1000),
    }


def world():
    """The endpoint with an SSM agent, and the words of the tests."""
    sys.path.insert(0, HERE)
    import cloud
    from world import World, start

    class Guests(World):
        """One guest at a time, each with an instance of its own."""

        def __init__(self, base, endpoint):
            super().__init__(endpoint)
            self.base, self.guest, self.made = base, None, 0

        def stage(self, fault, public, other, address, ssm="Online", copy=False, image="debian"):
            """Ends the guest before, and makes one with this fault; ids of its instance, and what sshd said at its start."""
            self.unstage()
            port = fault.get("port", 22)
            self.base.address(address)
            # EC2 takes no ECDSA key pair: whoever uses one has put it there by hand.
            pair = None if public.startswith("ecdsa") else public
            self.made += 1
            ids = self.build(f"{fault['name']}-{self.made}", port, address, image=image, key=pair)
            tags = [{"Key": "test:ssm", "Value": ssm}] if ssm else []
            if tags:
                self.client("ec2").create_tags(Resources=[ids["instance"]], Tags=tags)
            self.guest = stage(self.base, fault, public, other, copy)
            cloud.GUESTS[ids["instance"]] = lambda script, seconds: agent(self.guest, ids["instance"], script, seconds)
            cloud.PLANTS[ids["instance"]] = lambda user, key: plant(self.guest, user, key)
            return {**ids, "said": self.guest.said}

        def unstage(self):
            cloud.GUESTS.clear()
            cloud.PLANTS.clear()
            if self.guest:
                self.guest.end()
                self.guest = None

        def sh(self, script):
            """Runs a script in the guest; its output and status."""
            done = self.guest.sh(script)
            return [done.stdout, done.stderr, done.returncode]

        def listing(self):
            return self.guest.listing()

        @staticmethod
        def login(address, port, user, key):
            return login(address, port, user, key)

        @staticmethod
        def console(instance, text):
            cloud.CONSOLES[instance] = text

        @staticmethod
        def commands():
            """How many commands were sent to instances."""
            return len(cloud.SENT)

        @staticmethod
        def pushed():
            """The users for whom a key was pushed, in order."""
            return [user for _, user in cloud.PUSHED]

        @staticmethod
        def gaps():
            """What was asked of the double, and it has not."""
            return sorted(set(cloud.GAPS))

    base, endpoint = Base(), start()
    # Not before: moto reads its images while it is imported.
    cloud.patch()
    return Guests(base, endpoint)


def agent(guest, instance, script, seconds):
    """Runs a script as the SSM agent does: from a file of its own, as root, with an environment of its own."""
    directory = f"/run/amazon-ssm/{instance}/{time.monotonic_ns()}"
    # The agent keeps it under /var/lib/amazon; /run is where it does not fill the disk that a fault has filled.
    done = run(guest.enter("/bin/sh", "-c", f"umask 077; mkdir -p {directory} && cat > {directory}/_script.sh"), text_in=script)
    if done.returncode != 0:
        return "", done.stderr, 1
    pairs = ["PATH=" + PATH, f"AWS_SSM_INSTANCE_ID={instance}", "AWS_SSM_REGION_NAME=us-east-1", "PWD=/"]
    try:
        done = run(guest.enter("/usr/bin/env", "-i", *pairs, "/bin/sh", directory + "/_script.sh"), timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    return done.stdout, done.stderr, done.returncode


def plant(guest, user, key):
    """Puts a pushed key where the metadata service of an instance has it: there the package's command finds it."""
    script = "umask 022; mkdir -p /run/eic && cat > \"/run/eic/$0\""
    done = run(guest.enter("/bin/sh", "-c", script, user), text_in=key.strip() + "\n")
    if done.returncode != 0:
        raise OSError(done.stderr)


# By hand.

def prove(names):
    """Every fault of the table, or those named, against the ssh client. Status 1 if one is not as the table says."""
    import tomllib

    with open(os.path.join(HERE, "..", "cases", "guest", "faults.toml"), "rb") as file:
        table = tomllib.load(file)["fault"]
    base, wrong = Base(), 0
    with tempfile.TemporaryDirectory() as directory:
        keys = Keys(directory)
        for number, fault in enumerate(one for one in table if not names or one["name"] in names):
            begun = time.monotonic()
            address = f"127.1.{number // 250 + 1}.{number % 250 + 1}"
            base.address(address)
            key = keys.get(fault.get("key", "ed25519"))
            try:
                guest = stage(base, fault, keys.public(key), keys.public(keys.get("other")))
            except Unable as error:
                print(f"WRONG {fault['name']}: {error}")
                wrong += 1
                continue
            try:
                found = login(address, fault.get("port", 22), fault.get("user", USER), key)
                log = guest.sh("tail -n 4 /var/log/auth.log | cut -c1-180").stdout if "-v" in sys.argv or "--log" in sys.argv else ""
            finally:
                guest.end()
            right = found["works"] == (fault["ssh"] == "works") and fault.get("says", "") in found["text"]
            wrong += not right
            print(
                f"{'ok   ' if right else 'WRONG'} {fault['name']}: {'works' if found['works'] else 'fails'} exit {found['exit']}"
                f" ({time.monotonic() - begun:.1f} s) {found['text'].strip()[-200:]!r} {guest.said[-200:]!r}\n{log}".rstrip(),
                flush=True,
            )
    print(f"{wrong} wrong")
    return 1 if wrong else 0


class Keys:
    """Key pairs of a run by hand."""

    def __init__(self, directory):
        self.directory = directory

    def get(self, kind):
        path = os.path.join(self.directory, kind)
        if not os.path.exists(path):
            options = {"rsa": ["-t", "rsa", "-b", "2048"], "ecdsa": ["-t", "ecdsa"]}.get(kind, ["-t", "ed25519"])
            subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", kind, *options, "-f", path], check=True)
        return path

    @staticmethod
    def public(path):
        with open(path + ".pub", encoding="ascii") as file:
            return file.read()


def main():
    try:
        enter()
    except Unable as error:
        if sys.argv[1:]:
            sys.exit(f"guest.py: {error}")
        print(json.dumps({"error": str(error)}))
        return 1
    if sys.argv[1:2] == ["make"]:
        return 0
    if sys.argv[1:2] == ["prove"]:
        return prove([one for one in sys.argv[2:] if not one.startswith("-")])
    sys.path.insert(0, HERE)
    from world import serve

    serve(world)
    return 0


if __name__ == "__main__":
    sys.exit(main())

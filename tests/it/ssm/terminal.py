"""Runs a program on a terminal of its own and reports what came of it.

Arguments: JSON list of steps, then the program and its arguments. Steps: ["wait", TEXT], ["type", TEXT], ["size", ROWS,
COLUMNS], ["signal", NAME], ["freeze", SECONDS], ["given", SECONDS]: waits until the terminal is as it was before, without
reading what is shown. Prints JSON: what was shown, the exit status, whether the terminal was
raw after the first step, and whether it is at the end as it was before (and at "given").
"""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

LIMIT = 40


def main():
    steps, program = json.loads(sys.argv[1]), sys.argv[2:]
    master, slave = pty.openpty()
    resize(slave, 30, 100)
    before = termios.tcgetattr(slave)
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for number in range(3):
            os.dup2(slave, number)
        os.execvp(program[0], program)
    seen, looked, raw, given, end = b"", 0, None, None, time.time() + LIMIT

    def read(limit):
        nonlocal seen
        ready, _, _ = select.select([master], [], [], limit)
        if ready:
            seen += os.read(master, 65536)

    for step in steps:
        if step[0] == "wait":
            text = step[1].encode()
            while seen.find(text, looked) < 0 and time.time() < end:
                read(0.1)
            at = seen.find(text, looked)
            if at < 0:
                break
            looked = at + len(text)
        elif step[0] == "type":
            os.write(master, step[1].encode())
        elif step[0] == "size":
            resize(slave, step[1], step[2])
        elif step[0] == "signal":
            os.kill(child, getattr(signal, "SIG" + step[1]))
        elif step[0] == "freeze":
            time.sleep(step[1])
        elif step[0] == "given":
            until = time.time() + step[1]
            while termios.tcgetattr(slave) != before and time.time() < until:
                time.sleep(0.1)
            given = termios.tcgetattr(slave) == before
        if raw is None:
            raw = termios.tcgetattr(slave) != before
    status = None
    while status is None and time.time() < end:
        read(0.1)
        pid, code = os.waitpid(child, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(code)
    read(0.2)
    if status is None:
        os.kill(child, signal.SIGKILL)
    restored = termios.tcgetattr(slave) == before
    shown = seen.decode(errors="replace")
    print(json.dumps({"shown": shown, "status": status, "raw": raw, "restored": restored, "given": given}))


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


main()

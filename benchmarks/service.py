"""A daemon to measure, and what its process has used."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

GIB = 1 << 30


class Daemon:
    """A fresh daemon on a free port of loopback, with an empty data directory."""

    def __init__(self, program, directory, *arguments):
        self.log_path = os.path.join(directory, "daemon.log")
        data = os.path.join(directory, "data")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, "--init", "--data", data, "--listen", "127.0.0.1:0", *arguments],
                stdout=log, stderr=log)
        self.address = self._wait_for_address()
        self.url = "http://" + self.address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait_for_address(self):
        for _ in range(300):
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                text = log.read()
            # Another line names the port for peers.
            found = re.search(r"address=[^/]*/([0-9.]+:[0-9]+).* listening$", text, re.M)
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit("the daemon did not start:\n" + text)

    def processor_seconds(self):
        """User and system time so far."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) * 1024

    def get_lines(self, path):
        """The JSON values of an answer, one a line."""
        with urllib.request.urlopen(self.url + path) as answer:
            return [json.loads(line) for line in answer if line.strip()]

    @property
    def id(self):
        return self.get_lines("/id")[0]["id"]

    def up_count(self):
        """Members that it lists as up."""
        return sum(peer["storage"]["state"] == "up" for peer in self.get_lines("/peers"))

    def used_bytes(self):
        return self.get_lines("/id")[0]["storage"]["used_bytes"]

    def unpin(self, *roots):
        """Removes the roots and waits until their shards are gone from the disk."""
        for root in set(roots):
            request = urllib.request.Request(self.url + "/pins/" + root, method="DELETE")
            urllib.request.urlopen(request).close()
        self.wait_until_empty()

    def wait_until_empty(self):
        deadline = time.monotonic() + 120
        while self.used_bytes() != 0:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.used_bytes()} bytes are still used after the last unpin")
            time.sleep(0.05)


def note(text):
    print(text, file=sys.stderr, flush=True)


def describe_machine(directory):
    """One line: processor, cores, memory, kernel, file system."""
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*:\s*(.*)", file.read())
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s+(\d+)", file.read())[1]) / (1 << 20)
    system = output("findmnt", "-no", "FSTYPE", "-T", directory).strip()
    return (f"{model[1] if model else 'unknown processor'}, {os.cpu_count()} cores, "
            f"{memory:.0f} GiB, Linux {os.uname().release}, {system}")


def describe_commit():
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        commit = output("git", "-C", here, "rev-parse", "--short", "HEAD").strip()
        changes = output("git", "-C", here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + (" with changes" if changes.strip() else "")


def output(*command, **options):
    """What a command prints; one that fails ends the run with its message."""
    result = subprocess.run(command, capture_output=True, text=True, **options)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit {result.returncode}\n"
                         + result.stdout[-500:] + result.stderr[-2000:])
    return result.stdout


def release_program(name):
    """Where `swift build -c release` puts a program of the service."""
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.join(here, "..", ".build", "release", name)

"""Three daemons and an etcd on one machine, to measure what they do together."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

from service import Daemon, note, output

sys.path.append(str(pathlib.Path(__file__).parent.parent / "Tests/EndToEnd"))
from ports import free_port


class Etcd:
    """An etcd of one member."""

    def __init__(self, directory):
        if shutil.which("etcd") is None:
            note("installing etcd-server")
            output("apt-get", "install", "-y", "--no-install-recommends", "etcd-server")
        os.mkdir(directory, mode=0o700)
        self.url, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.log_path = os.path.join(directory, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["etcd", "--name", "one", "--data-dir", os.path.join(directory, "data"),
                 "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", "one=" + peer, "--logger", "zap", "--log-outputs", "stderr"],
                stdout=log, stderr=log)

    def wait(self):
        for _ in range(300):
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                with urllib.request.urlopen(self.url + "/health", timeout=1):
                    return
            time.sleep(0.1)
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            raise SystemExit("etcd does not answer:\n" + log.read()[-2000:])

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Cluster:
    """Fresh daemons that know each other, with empty data directories."""

    def __init__(self, program, directory, count=3):
        self.stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            etcd = Etcd(os.path.join(directory, "etcd"))
            stack.callback(etcd.stop)
            etcd.wait()
            secret = os.path.join(directory, "secret")
            with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(output(program, "secret"))
            self.daemons = []
            for number in range(count):
                home = os.path.join(directory, f"peer-{number}")
                os.mkdir(home)
                self.daemons.append(stack.enter_context(Daemon(
                    program, home, "--name", f"peer-{number}", "--cluster-secret", secret,
                    "--etcd", etcd.url, "--peer-listen", "127.0.0.1:0")))
            self._wait_until_all_are_up()
            self.stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _wait_until_all_are_up(self):
        deadline = time.monotonic() + 60
        for daemon in self.daemons:
            while daemon.up_count() != len(self.daemons):
                if time.monotonic() > deadline:
                    raise SystemExit(
                        f"{daemon.url} lists {daemon.up_count()} of {len(self.daemons)} as up")
                time.sleep(0.1)

    def processor_seconds(self):
        """User and system time of all daemons so far."""
        return sum(daemon.processor_seconds() for daemon in self.daemons)

    def shard_holders(self, through):
        """IDs of the peers that have a shard, as a daemon lists them."""
        pins = through.get_lines("/allocations?filter=shard-pin")
        return {peer for pin in pins for peer in pin["allocations"]}

    def unpin(self, root):
        """Removes the root and waits until its shards are gone from all disks."""
        self.daemons[0].unpin(root)
        for daemon in self.daemons:
            daemon.wait_until_empty()

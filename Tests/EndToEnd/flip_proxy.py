#!/usr/bin/env python3
"""Checks that ingest-cli notices when one byte of an upload changes on the way.

A proxy forwards everything between client and daemon and flips one bit of one byte of the request's
body. The daemon stores what it got and names the root of that; the client must exit with 4 and name
both roots. Without the flip, the same proxy must let the same upload pass.

usage: flip_proxy.py --cli PATH (--daemon PATH | --api http://HOST:PORT)
"""

import argparse
import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

CONTENT_BYTES = 5_000_000
CID = re.compile(rb"\bbafy[a-z2-7]{55}\b")


class FlipProxy:
    """Forwards connections; flips a bit of byte `body_offset` of each request's body."""

    def __init__(self, target, body_offset):
        self.target, self.body_offset = target, body_offset
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.server.getsockname()[1]
        self.flips = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.target)
            for source, sink, flips in ((client, upstream, True), (upstream, client, False)):
                threading.Thread(
                    target=self.forward, args=(source, sink, flips), daemon=True).start()

    def forward(self, source, sink, flips):
        head, position = b"", -1  # position in the body, -1 before it
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if flips and position < 0:
                    head += data
                    end = head.find(b"\r\n\r\n")
                    if end < 0:
                        sink.sendall(data)
                        continue
                    body_start = end + 4 - (len(head) - len(data))
                    data = data[:body_start] + self.flip(data[body_start:], 0)
                    position = len(data) - body_start
                elif flips:
                    data, position = self.flip(data, position), position + len(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def flip(self, data, position):
        index = (self.body_offset or -1) - position
        if not 0 <= index < len(data):
            return data
        self.flips += 1
        return data[:index] + bytes([data[index] ^ 1]) + data[index + 1:]

    def close(self):
        self.server.close()


def add(cli, url, path):
    return subprocess.run(
        [cli, "add", "-Q", "--no-progress", "--api", url, path], capture_output=True)


def check(cli, api):
    host, port = re.fullmatch(r"http://([^:/]+):(\d+)", api).groups()
    failures = []
    with tempfile.NamedTemporaryFile() as file:
        file.write(os.urandom(CONTENT_BYTES))
        file.flush()
        ours = subprocess.run(
            [cli, "add", "-Q", "--only-hash", file.name], capture_output=True, check=True)
        root = ours.stdout.strip()

        honest = FlipProxy((host, int(port)), None)
        passed = add(cli, honest.url, file.name)
        honest.close()
        if passed.returncode != 0 or passed.stdout.strip() != root:
            failures.append(f"an untouched upload ended with {passed}")

        proxy = FlipProxy((host, int(port)), CONTENT_BYTES // 2)
        flipped = add(cli, proxy.url, file.name)
        proxy.close()
        named = set(CID.findall(flipped.stderr))
        if proxy.flips != 1:
            failures.append(f"the proxy flipped {proxy.flips} bytes")
        if flipped.returncode != 4:
            failures.append(f"a changed upload ended with {flipped.returncode}, not 4")
        if root not in named or len(named) != 2:
            failures.append(f"both roots should be named: {flipped.stderr!r}")
        if flipped.stdout:
            failures.append(f"a root was reported all the same: {flipped.stdout!r}")
        for pin in named | {root}:
            subprocess.run([cli, "pin", "rm", "--api", api, pin], capture_output=True)
    return failures


@contextlib.contextmanager
def running(daemon):
    with tempfile.TemporaryDirectory() as data, socket.create_server(("127.0.0.1", 0)) as probe:
        address = "127.0.0.1:%d" % probe.getsockname()[1]
        probe.close()
        process = subprocess.Popen(
            [daemon, "--init", "--data", data + "/data", "--listen", address],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"http://{address}/readyz", timeout=5).read()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit("the daemon does not come up")
                    time.sleep(0.1)
            yield "http://" + address
        finally:
            process.terminate()
            process.wait(timeout=60)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cli", required=True)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--daemon")
    group.add_argument("--api")
    arguments = parser.parse_args()
    if arguments.api:
        failures = check(arguments.cli, arguments.api)
    else:
        with running(arguments.daemon) as api:
            failures = check(arguments.cli, api)
    for failure in failures:
        print("FAILED:", failure)
    print("flip_proxy:", "failed" if failures else "ok")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""Ports for programs that cannot choose their own."""
import contextlib
import random
import socket

_given = set()


def free_port():
    """A loopback port nobody has, and nobody was given before: who was may not listen yet. It is below those that
    outgoing connections get: a client that tries again and again to reach an etcd that is down could be given the very
    port, connect to itself and keep etcd from it."""
    while True:
        port = random.choice([port for port in range(15_000, 32_000) if port not in _given])
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(('127.0.0.1', port))
            _given.add(port)
            return port

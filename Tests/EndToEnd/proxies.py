"""Connections that pass through the check on their way: spread over several servers, or with answers that come late."""
import contextlib
import itertools
import queue
import socket
import threading
import time

from wire import API


class Proxy:
    """Passes each connection on to the next of its targets in turn.

    With `delay`, what a target sends comes so many seconds late; nothing is lost, and nothing else waits for it.
    """

    def __init__(self, targets, delay=0):
        """`targets`: what has a host and a port."""
        self._targets, self._delay = itertools.cycle([(target.host, target.port) for target in targets]), delay
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=128)
        self.api = API('127.0.0.1', self._listener.getsockname()[1])
        # Connections so far.
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.count += 1
                threading.Thread(target=self._connect, args=(client, next(self._targets)), daemon=True).start()

    def _connect(self, client, target):
        try:
            server = socket.create_connection(target)
        except OSError:
            return client.close()
        passing = [
            threading.Thread(target=self._pass, args=(client, server), daemon=True),
            threading.Thread(target=self._pass_late if self._delay else self._pass, args=(server, client), daemon=True)]
        for thread in passing:
            thread.start()
        for thread in passing:
            thread.join()
        client.close()
        server.close()

    @staticmethod
    def _pass(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def _pass_late(self, source, sink):
        held = queue.SimpleQueue()
        sender = threading.Thread(target=self._send_late, args=(held, sink), daemon=True)
        sender.start()
        data = b'.'
        while data:
            try:
                data = source.recv(1 << 18)
            except OSError:
                data = b''
            held.put((time.monotonic() + self._delay, data))
        sender.join()

    @staticmethod
    def _send_late(held, sink):
        with contextlib.suppress(OSError):
            while True:
                due, data = held.get()
                time.sleep(max(0, due - time.monotonic()))
                if not data:
                    return sink.shutdown(socket.SHUT_WR)
                sink.sendall(data)

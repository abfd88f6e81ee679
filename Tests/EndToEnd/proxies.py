"""Connections that pass through the check on their way: spread over several servers, or with answers that come late."""
import collections
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


# ---- what passes

class Messages:
    """Follows one direction of a connection of HTTP/1.1. Heads are read, bodies counted."""

    def __init__(self, begin, count):
        """`begin`: told the words of the first line and the fields of each head; whether a body can follow.
        `count`: told how many bytes of a body came."""
        self._begin, self._count, self._buffer = begin, count, b''
        self._reading = self._read()
        next(self._reading)

    def take(self, data):
        self._reading.send(data)

    def _read(self):
        while True:
            head = yield from self._until(b'\r\n\r\n')
            first, *lines = head.decode('latin-1').split('\r\n')
            pairs = [line.partition(':') for line in lines]
            fields = {name.lower(): value.strip() for name, _, value in pairs}
            if not self._begin(first.split(' '), fields):
                continue
            if fields.get('transfer-encoding') != 'chunked':
                yield from self._pass(int(fields.get('content-length', 0)))
                continue
            while length := int((yield from self._until(b'\r\n')).split(b';')[0], 16):
                yield from self._pass(length)
                yield from self._until(b'\r\n')
            # Trailers end with an empty line.
            while (yield from self._until(b'\r\n')):
                pass

    def _until(self, end):
        while end not in self._buffer:
            self._buffer += yield
        found, self._buffer = self._buffer.split(end, 1)
        return found

    def _pass(self, count):
        while count:
            if not self._buffer:
                self._buffer = yield
            length = min(count, len(self._buffer))
            self._buffer = self._buffer[length:]
            count -= length
            self._count(length)


class UploadLedger:
    """What clients were told of each upload, by any answer that passed, and what they sent for it.

    A request must not begin below an offset that its client was told before, and after a fault only so much is sent
    again as that can have cost. What does is `wrong`."""

    def __init__(self):
        # {path: the largest offset that was passed back}, {path: the end of what the last request sent}
        self.told, self._reached = {}, {}
        self.told_counts, self.request_count, self.wrong = collections.Counter(), 0, []
        # Bytes that were sent again after a fault, for each that a request followed.
        self.resent = []
        # {path: (what had been sent, what of that may be sent again)} until the next request.
        self._faults, self._lock = {}, threading.Lock()

    def fault(self, allowed):
        """Something fails now that may cost so many bytes."""
        with self._lock:
            for path, reached in self._reached.items():
                self._faults[path] = (reached, allowed + self._faults.get(path, (0, 0))[1])

    def tell(self, kind, path, offset):
        with self._lock:
            self.told[path] = max(offset, self.told.get(path, 0))
            self.told_counts[kind] += 1

    def begin(self, path, offset):
        with self._lock:
            self.request_count += 1
            if offset < self.told.get(path, 0):
                self.wrong.append('a PATCH at %d, after %d had been told' % (offset, self.told[path]))
            reached, allowed = self._faults.pop(path, (None, 0))
            if reached is not None:
                self.resent.append(max(0, reached - offset))
                if reached - offset > allowed:
                    self.wrong.append('a PATCH at %d, after %d had been sent, of which a fault can have cost %d' % (
                        offset, reached, allowed))
            self._reached[path] = offset

    def sent(self, path, end):
        with self._lock:
            self._reached[path] = end


class Conversation:
    """The requests and the answers of one connection, as a ledger gets them."""

    def __init__(self, ledger):
        self._ledger, self._asked = ledger, collections.deque()
        self._path, self._position = None, 0
        self.requests = Messages(self._ask, self._send)
        self.answers = Messages(self._answer, lambda count: None)

    def _ask(self, words, fields):
        method, path = words[:2]
        self._asked.append((method, path))
        self._path = path if method == 'PATCH' else None
        if self._path:
            self._position = int(fields['upload-offset'])
            self._ledger.begin(path, self._position)
        return True

    def _send(self, count):
        if self._path:
            self._position += count
            self._ledger.sent(self._path, self._position)

    def _answer(self, words, fields):
        status = int(words[1])
        method, path = self._asked[0] if status < 200 else self._asked.popleft()
        if path.startswith('/uploads/') and 'upload-offset' in fields:
            kind = str(status) if status in (104, 409) else method
            self._ledger.tell(kind, path, int(fields['upload-offset']))
        return method != 'HEAD' and status >= 200 and status not in (204, 304)

"""HTTP/1.1 as the checks need it: answers that come while the body is still being sent, trailers, interim
answers and bodies that stop half-way. http.client gives none of these."""
import contextlib
import dataclasses
import json
import select
import socket
import ssl
import threading
import time
import urllib.parse

PIECE_BYTES = 1 << 18


class WireError(Exception):
    """The connection ended, or what came was not HTTP."""


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: bytes = b''
    trailers: dict = dataclasses.field(default_factory=dict)
    # (status, headers) of interim answers such as 100, in the order they came.
    interim: list = dataclasses.field(default_factory=list)
    # Why the body ended early; None when it is whole.
    cut: str = None

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.split(b'\n') if line.strip()]

    @property
    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return '%d %s' % (self.status, self.body[:300].decode('utf-8', 'replace').strip())


class TLSConnection:
    """TLS that one thread may send on while another receives. An SSL object must not be used by two threads at
    once, so each call holds it for as long as it needs no waiting."""

    def __init__(self, plain, context, host, timeout):
        self._socket = context.wrap_socket(plain, server_hostname=host)
        self._socket.setblocking(False)
        self._lock, self._timeout = threading.Lock(), timeout

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self._attempt(lambda: self._socket.send(view)):]

    def recv(self, limit):
        return self._attempt(lambda: self._socket.recv(limit))

    def shutdown(self, how):
        socket.socket.shutdown(self._socket, how)       # of the TCP connection alone

    def close(self):
        self._socket.close()

    def _attempt(self, operation):
        deadline = time.monotonic() + self._timeout
        while True:
            with self._lock:
                try:
                    return operation()
                except ssl.SSLWantReadError:
                    readers, writers = [self._socket], []
                except ssl.SSLWantWriteError:
                    readers, writers = [], [self._socket]
            if not any(select.select(readers, writers, [], max(0, deadline - time.monotonic()))):
                raise TimeoutError('timed out')


class Exchange:
    """One request and its answer on a connection of its own, which may be kept for more of them."""

    def __init__(self, api, method, path, headers=(), keeps_open=False):
        self.method = method
        self.socket = api.connect()
        self._buffer = b''
        self._sender = None
        self.send(api.head(method, path, headers, keeps_open))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._sender and self._sender.is_alive():
            # It must be off the socket before the number of that goes to the next connection.
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self._sender.join(10)
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise WireError('sending: %s' % error) from None

    def send_chunk(self, data):
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start:start + PIECE_BYTES]
            self.send(b'%x\r\n' % len(piece) + piece + b'\r\n')

    def end_chunks(self):
        self.send(b'0\r\n\r\n')

    def send_beside(self, pieces, is_chunked):
        """Sends a body from another thread; a server that answers early or goes away ends it."""
        def run():
            try:
                for piece in pieces:
                    (self.send_chunk if is_chunked else self.send)(piece)
                if is_chunked:
                    self.end_chunks()
            except WireError:
                pass        # the answer tells what happened
        self._sender = threading.Thread(target=run, daemon=True)
        self._sender.start()

    # ---- the answer

    def answer(self):
        """Reads head and body. Raises WireError when there is no head; a body that ends early is told in `cut`."""
        answer, pieces = self.answer_head(), []
        try:
            for piece in self.answer_pieces(answer):
                pieces.append(piece)
        except WireError as error:
            answer.cut = str(error)
        answer.body += b''.join(pieces)
        return answer

    def answer_head(self):
        interim = []
        while (head := self.any_head())[0] < 200:
            interim.append(head)
        return Answer(*head, interim=interim)

    def any_head(self):
        """(status, headers) of the next answer, which may be an interim one."""
        words = self._line().split(None, 2)
        if len(words) < 2 or not words[0].startswith(b'HTTP/1.') or not words[1].isdigit():
            raise WireError('not an HTTP answer: %r' % words[:2])
        return int(words[1]), self._fields()

    def answer_pieces(self, answer):
        if self.method == 'HEAD' or answer.status in (204, 304):
            return
        if answer.headers.get('transfer-encoding', '').lower() == 'chunked':
            while True:
                length = int(self._line().split(b';')[0] or b'x', 16)
                if length == 0:
                    break
                yield from self._exactly(length)
                self._line()
            answer.trailers = self._fields()
        elif 'content-length' in answer.headers:
            yield from self._exactly(int(answer.headers['content-length']))
        else:
            while self._buffer or self._receive():
                piece, self._buffer = self._buffer, b''
                yield piece

    def _receive(self):
        try:
            data = self.socket.recv(PIECE_BYTES)
        except OSError as error:
            raise WireError('receiving: %s' % error) from None
        self._buffer += data
        return bool(data)

    def _line(self):
        while b'\n' not in self._buffer:
            if not self._receive():
                raise WireError('the connection was closed inside the answer')
        line, self._buffer = self._buffer.split(b'\n', 1)
        return line.rstrip(b'\r')

    def _fields(self):
        fields = {}
        while line := self._line():
            name, _, value = line.partition(b':')
            fields[name.strip().lower().decode('latin-1')] = value.strip().decode('latin-1')
        return fields

    def _exactly(self, count):
        while count:
            if not self._buffer and not self._receive():
                raise WireError('the connection was closed %d bytes before the end of the body' % count)
            piece, self._buffer = self._buffer[:count], self._buffer[count:]
            count -= len(piece)
            yield piece


def queued_bytes(connection):
    """What is on its way in a connection of this machine: sent at this end, and not yet read at the other."""
    end = connection.getsockname()[1]

    def queues(column, which):
        # An address is its bytes, a colon and the port.
        lines = [line.split() for line in open('/proc/net/tcp')][1:]
        ends = [words for words in lines if int(words[column].split(':')[1], 16) == end]
        return sum(int(words[4].split(':')[which], 16) for words in ends)
    # What has left the first queue meanwhile is in the second, or read.
    return queues(1, 0) + queues(2, 1)


class API:
    """The HTTP API of one daemon."""

    def __init__(self, host, port, headers=(), tls=None, timeout=120):
        self.host, self.port, self.headers = host, port, tuple(headers)
        self.tls, self.timeout = tls, timeout

    def head(self, method, path, headers=(), keeps_open=False):
        lines = ['%s %s HTTP/1.1' % (method, path), 'Host: %s:%d' % (self.host, self.port)]
        lines += [] if keeps_open else ['Connection: close']
        lines += ['%s: %s' % pair for pair in list(self.headers) + list(headers)]
        return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1')

    @property
    def url(self):
        return '%s://%s:%d' % ('https' if self.tls else 'http', self.host, self.port)

    def connect(self):
        try:
            plain = socket.create_connection((self.host, self.port), self.timeout)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return TLSConnection(plain, self.tls, 'localhost', self.timeout) if self.tls else plain
        except (OSError, ssl.SSLError) as error:
            raise WireError('connecting: %s' % error) from None

    def request(self, method, path, headers=(), body=None):
        """`body`: bytes with their length, or pieces that are sent in chunks while the answer is read."""
        headers = list(headers)
        if body is None:
            pieces, is_chunked = (), False
            if method in ('POST', 'PUT'):
                headers.append(('Content-Length', 0))
        elif isinstance(body, bytes):
            pieces, is_chunked = (body,), False
            headers.append(('Content-Length', len(body)))
        else:
            pieces, is_chunked = body, True
            headers.append(('Transfer-Encoding', 'chunked'))
        with Exchange(self, method, path, headers) as exchange:
            exchange.send_beside(pieces, is_chunked)
            return exchange.answer()

    def get(self, path, *headers):
        return self.request('GET', path, headers)

    def get_json(self, path):
        return self._successful(self.get(path), path).json

    def get_lines(self, path):
        return self._successful(self.get(path), path).lines

    @staticmethod
    def _successful(answer, path):
        if answer.status != 200 or answer.cut:
            raise WireError('GET %s: %s' % (path, answer.cut or answer))
        return answer


def query(path, **parameters):
    """A path with parameters; underscores in their names stand for hyphens."""
    pairs = [(name.replace('_', '-'), str(value).lower() if isinstance(value, bool) else value)
             for name, value in parameters.items()]
    return path + ('?' + urllib.parse.urlencode(pairs) if pairs else '')

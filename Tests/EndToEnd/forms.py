"""Uploads as multipart forms, and what their answers say."""
import dataclasses
import random
import uuid

from wire import query

CONTENT_TYPES = {
    'file': 'application/octet-stream', 'directory': 'application/x-directory', 'symlink': 'application/symlink'}


@dataclasses.dataclass
class Entry:
    path: str
    # Bytes, or an iterable of pieces. The target, for a symlink.
    content: object = b''
    kind: str = 'file'

    @property
    def pieces(self):
        return (self.content,) if isinstance(self.content, bytes) else self.content


class Form:
    """A multipart body; iterate for its pieces."""

    def __init__(self, entries):
        self.entries = list(entries)
        self.boundary = 'end-to-end-' + uuid.uuid4().hex
        self.header = ('Content-Type', 'multipart/form-data; boundary=' + self.boundary)

    def __iter__(self):
        for entry in self.entries:
            yield (
                '--%s\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: %s\r\n\r\n'
                % (self.boundary, entry.path, CONTENT_TYPES[entry.kind])).encode()
            yield from entry.pieces
            yield b'\r\n'
        yield b'--%s--\r\n' % self.boundary.encode()

    @property
    def bytes(self):
        return b''.join(self)


class Added:
    """What the answer of an upload says, also when it says that it failed."""

    def __init__(self, answer):
        self.answer = answer
        self.lines = answer.lines if answer.status == 200 else []
        last = self.lines[-1] if self.lines else {}
        self.trailer = answer.trailers.get('x-stream-error', '')
        # The root's CID; None when the upload failed.
        is_success = answer.status == 200 and not answer.cut and 'message' not in last and not self.trailer
        self.root = last.get('cid') if is_success else None
        self.error = None if self.root else (last if 'message' in last else self._error_of(answer))

    @staticmethod
    def _error_of(answer):
        try:
            return answer.json
        except ValueError:
            return {'message': 'no error in JSON: %s' % (answer.cut or answer)}

    def __str__(self):
        return 'root %s' % self.root if self.root else 'error %s' % self.error


def add(api, entries, is_chunked=False, **parameters):
    """Uploads and waits for the answer."""
    form = Form(entries)
    body = form if is_chunked else form.bytes
    return Added(api.request('POST', query('/add', **parameters), [form.header], body))


def random_bytes(seed, count):
    """The same bytes for the same seed; blocks of them have nothing in common with those of another seed."""
    return random.Random(seed).randbytes(count)


def small_files(count, name_length=100):
    """Files of a few bytes whose answer lines are long, so that the answer begins before the body ends."""
    return [Entry('many/%0*d' % (name_length, number), b'%d' % number) for number in range(count)]

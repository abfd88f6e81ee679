"""Uploads that are sent in pieces and go on after failures of the daemon, the network and the client."""
import concurrent.futures
import itertools
import json
import math
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.parse

from client import REFUSED, Client
from cluster import Cluster, copies
from daemon import descriptors_of, eventually, expect, resident_bytes
from forms import Entry, Form, add, random_bytes
from wire import Exchange, WireError, query, queued_bytes

MIB = 1 << 20
# What an answer can be lost with: the daemon acknowledges at least so often, and every 5 seconds.
WINDOW_BYTES = 64 * MIB
# Of what a daemon has read from a connection, so much at most is not taken in yet.
READ_AHEAD_BYTES = 8 * MIB
PARTIAL_UPLOAD = ('Content-Type', 'application/partial-upload')
UNKNOWN_UPLOAD = '0123456789abcdef' * 2


class Resumable:
    """One upload, by *Resumable Uploads for HTTP*."""

    def __init__(self, daemon, headers=(), **parameters):
        self._daemon = daemon
        answer = daemon.api.request('POST', query('/uploads', **parameters), list(headers))
        expect(answer.status == 201 and answer.headers.get('upload-complete') == '?0', 'no upload is opened: %s', answer)
        self.path = answer.headers['location']
        expect(answer.headers.get('upload-offset') == '0', 'a new upload stands at %s', answer.headers)

    def head(self):
        """(offset, whether it is complete, root)"""
        answer = self._daemon.api.request('HEAD', self.path)
        expect(answer.status == 200, 'HEAD of an upload: %s', answer)
        headers = answer.headers
        return int(headers['upload-offset']), headers['upload-complete'] == '?1', headers.get('upload-root')

    def patch(self, offset, body, *headers, is_last=False):
        complete = ('Upload-Complete', '?1' if is_last else '?0')
        return self._daemon.api.request(
            'PATCH', self.path, [PARTIAL_UPLOAD, ('Upload-Offset', str(offset)), complete, *headers], body)

    def begin_patch(self, offset, length, is_last=False):
        """A request whose body is still to be sent."""
        return Exchange(self._daemon.api, 'PATCH', self.path, [
            PARTIAL_UPLOAD, ('Upload-Offset', str(offset)), ('Upload-Complete', '?1' if is_last else '?0'),
            ('Content-Length', str(length))])

    def send(self, content, size=None):
        """All of it, in requests of this size; the root."""
        offset = 0
        while True:
            piece = content[offset:offset + (size or len(content))]
            is_last = offset + len(piece) == len(content)
            answer = self.patch(offset, piece, is_last=is_last)
            expect(answer.status == (200 if is_last else 204), 'a piece at %d is not taken: %s', offset, answer)
            offset += len(piece)
            if is_last:
                return answer.headers['upload-root']
            expect(answer.headers['upload-offset'] == str(offset), 'after %d bytes: %s', offset, answer.headers)


def tree(label):
    """Entries of every kind, small files and some of several chunks."""
    yield Entry('t', kind='directory')
    for number in range(30):
        yield Entry('t/small/%d' % number, random_bytes('%s %d' % (label, number), number * 1000))
    yield Entry('t/link', b'small/1', kind='symlink')
    for number in range(3):
        yield Entry('t/large/%d' % number, random_bytes('%s large %d' % (label, number), 3 * MIB + number))


def one_shot(daemon, entries, **parameters):
    added = add(daemon.api, entries, **parameters)
    expect(added.root, 'an upload in one request failed: %s', added)
    return added.root


def archive_of(daemon, entries, **parameters):
    """(root, a CAR with all of it); the daemon has nothing of it afterwards"""
    root = one_shot(daemon, entries, **parameters)
    body = daemon.api.get('/ipfs/%s?format=car' % root).body
    daemon.unpin(root)
    eventually(lambda: not daemon.names('shards'), 'shards of removed roots stay')
    return root, body


def expect_holds(daemon, root, entries, archive=None):
    """All that was uploaded reads back, and as the same archive."""
    for entry in entries:
        if entry.kind == 'file':
            daemon.expect_reads(root + entry.path[len(entries[0].path):], entry.content)
    if archive:
        got = daemon.api.get('/ipfs/%s?format=car' % root)
        expect(got.status == 200 and not got.cut and got.body == archive, '%s is not the archive that it came as', root)


def open_form(daemon, entries, **parameters):
    """(upload, the whole body)"""
    form = Form(entries)
    return Resumable(daemon, [form.header], format='multipart', **parameters), form.bytes


def pieces_of_any_size_make_the_same_root(bench):
    content = random_bytes('pieces', 20 * MIB + 12345)
    with bench.daemon() as daemon:
        for parameters in {}, {'chunker': 'buzhash'}, {'chunker': 'rabin', 'trickle': 'true', 'cid-version': '1'}:
            wanted = one_shot(daemon, [Entry('f', content)], **parameters)
            daemon.unpin(wanted)
            for size in (None, 3_000_001, 65_536):
                root = Resumable(daemon, filename='f', **parameters).send(content, size)
                expect(root == wanted, 'in pieces of %s with %s: %s, not %s', size, parameters, root, wanted)
                daemon.expect_reads(root, content)
                daemon.unpin(root)
        wanted = one_shot(daemon, tree('pieces'), **{'preserve-mtime': 'true'})
        upload, body = open_form(daemon, tree('pieces'), **{'preserve-mtime': 'true'})
        expect(upload.send(body, 100_001) == wanted, 'a form in pieces has another root')
        daemon.unpin(wanted)
        wanted, archive = archive_of(daemon, tree('pieces'))
        for size in (None, 100_001):
            upload = Resumable(daemon, format='car', **{'shard-size': str(2 * MIB)})
            expect(upload.send(archive, size) == wanted, 'a CAR in pieces of %s has another root', size)
            expect(daemon.api.get('/ipfs/%s?format=car' % wanted).body == archive, 'the blocks of a CAR in pieces are others')
            daemon.unpin(wanted)
        eventually(lambda: not daemon.names('shards'), 'shards of removed roots stay')
        daemon.expect_agreement()


class Stops:
    """What requests had sent when they were stopped, and what of it was to be sent again."""

    def __init__(self):
        # For each stop of a kind.
        self.resent = {'kill': [], 'cut': []}
        self.most_queued, self.from_zero = 0, 0

    def note(self, kind, reached, offset, queued):
        """The daemon was killed, or the connection cut, with so many bytes sent, of which some were still queued;
        the upload has come to `offset`."""
        on_the_way, window = queued + READ_AHEAD_BYTES, WINDOW_BYTES if kind == 'kill' else 0
        expect(reached - offset <= window + on_the_way,
               'after a %s at byte %d the upload has %d: to be sent again are %d, a window is %d, on the way were %d',
               kind, reached, offset, reached - offset, window, on_the_way)
        self.resent[kind].append(max(0, reached - offset))
        self.most_queued = max(self.most_queued, queued)
        self.from_zero += reached

    @property
    def text(self):
        every, kinds = sum(self.resent.values(), []), self.resent.items()
        return (
            '%s; sent again: %s, %s at most, %d MiB in all, from zero %d; '
            'a window is %d MiB, queued were up to %.1f MiB, what is read ahead is taken for %d MiB') % (
                ' and '.join('%d %ss' % (len(found), kind) for kind, found in kinds), histogram(every),
                ' and '.join('%.1f MiB for a %s' % (max(found, default=0) / MIB, kind) for kind, found in kinds),
                sum(every) / MIB, self.from_zero / MIB,
                WINDOW_BYTES // MIB, self.most_queued / MIB, READ_AHEAD_BYTES // MIB)


def a_daemon_that_is_killed_goes_on_where_it_said(bench):
    """At random bytes of the body, with shards open, being sealed and sealed; some are longer than the window."""
    rounds, stops, number, long_count = max(6, bench.options.kills // 3), Stops(), 0, 0
    with bench.daemon() as daemon:
        while number < rounds or len(stops.resent['kill']) < bench.options.kills:
            # Of forms, files and archives every second one.
            label, is_long = 'killed %d' % number, number % 6 > 2
            parameters = {'shard-size': str(2 * MIB), 'chunker': bench.random.choice(['size-262144', 'buzhash'])}
            long_content = random_bytes(label, 3 * WINDOW_BYTES) if is_long else b''
            entries, archive = [*tree(label), Entry('t/long', long_content)], None
            if number % 3 == 1:
                content = long_content + random_bytes('%s end' % label, 9 * MIB + number)
                upload, entries = Resumable(daemon, filename='f', **parameters), [Entry('f', content)]
            elif number % 3 == 2:
                _, archive = archive_of(daemon, entries, **parameters)
                upload, content = Resumable(daemon, format='car', **{'shard-size': parameters['shard-size']}), archive
            else:
                upload, content = open_form(daemon, entries, **parameters)
            # Stops get closer to the end, which a long one would take too much time for.
            left = 4 if is_long else math.inf
            send_with_stops(bench.random, daemon, upload, content, stops, left, 0.75 if is_long else 0.5)
            root = upload.head()[2]
            daemon.expect_agreement()
            # Before the same content comes again, of which what is stored would not be written.
            expect_holds(daemon, root, entries, archive)
            expect(root == one_shot(daemon, entries, **parameters), 'an upload that was cut has another root')
            daemon.unpin(root)
            number += 1
            long_count += is_long
        eventually(lambda: not daemon.names('shards'), 'shards of removed roots stay')
        daemon.expect_agreement()
    bench.note = 'seed %d; %d uploads, %d of them longer than three windows: %s' % (
        bench.options.seed, number, long_count, stops.text)


def send_with_stops(random, daemon, upload, content, stops, left, kill_share):
    """Sends all of it, stopped at random bytes; the last request is not, once there were as many as `left`."""
    sent = acknowledged = 0
    while True:
        with upload.begin_patch(acknowledged, len(content) - acknowledged, is_last=True) as exchange:
            stop = random.randint(acknowledged, len(content)) if left > 0 else len(content)
            left -= 1
            # A request that was given up may still be on its way.
            sent, reached = max(sent, stop), acknowledged
            try:
                for start in range(acknowledged, stop, 1 << 18):
                    exchange.send(content[start:min(stop, start + (1 << 18))])
                    reached = min(stop, start + (1 << 18))
                if random.random() < 0.5:
                    time.sleep(random.random() * 0.05)
                if stop == len(content):
                    answer = exchange.answer()
                    if answer.status == 200:
                        return
                    expect(left > -8, 'the last bytes of an upload are not taken: %s', answer)
            except WireError:
                pass
            queued, kind = queued_bytes(exchange.socket), 'cut'
            if random.random() < kill_share:
                kind = 'kill'
                daemon.kill()
                daemon.start()
        offset, is_complete, _ = upload.head()
        expect(acknowledged <= offset <= sent, 'of %d bytes sent, %d of them acknowledged, the upload has %d',
               sent, acknowledged, offset)
        stops.note(kind, reached, offset, queued)
        acknowledged = offset
        if is_complete:
            return


def histogram(byte_counts):
    """How many are nothing, up to 1 MiB, up to 2 MiB and so on."""
    limits = [0] + [MIB << power for power in range(8)]
    counts = [sum(low < count <= high for count in byte_counts) for low, high in zip([-1] + limits, limits)]
    names = ['nothing'] + ['to %d MiB' % (limit // MIB) for limit in limits[1:]]
    return ', '.join('%s %d' % pair for pair in zip(names, counts) if pair[1])


def what_was_acknowledged_in_a_window_is_kept_although_the_request_was_not_answered(bench):
    content = random_bytes('window', 3 * WINDOW_BYTES)
    with bench.daemon() as daemon:
        upload = Resumable(daemon)
        with upload.begin_patch(0, len(content), is_last=True) as exchange:
            exchange.send(content[:2 * WINDOW_BYTES + MIB])
            eventually(lambda: len(list((daemon.directory / 'uploads').iterdir())) == 1, 'there is no journal')
            journal, = (daemon.directory / 'uploads').iterdir()
            eventually(lambda: daemon_has_acknowledged(journal), 'nothing is acknowledged within a long request')
            daemon.kill()
        daemon.start()
        offset, _, _ = upload.head()
        expect(WINDOW_BYTES <= offset <= 2 * WINDOW_BYTES + MIB, 'after two windows, the upload has %d bytes', offset)
        answer = upload.patch(offset, content[offset:], is_last=True)
        expect(answer.status == 200, 'the rest is not taken: %s', answer)
        root = answer.headers['upload-root']
        daemon.expect_reads(root, content)
        expect(root == one_shot(daemon, [Entry('f', content)]), 'it has another root')


def daemon_has_acknowledged(journal):
    """A journal that holds more than what opened the upload."""
    return journal.stat().st_size > 4096


def a_request_ends_one_that_is_stuck(bench):
    content = random_bytes('stuck', 2 * MIB)
    with bench.daemon() as daemon:
        upload = Resumable(daemon)
        with upload.begin_patch(0, len(content)) as stuck:
            stuck.send(content[:MIB])
            # The client's network is gone, and the daemon does not know.
            began, offset = time.monotonic(), 0
            while offset < MIB and time.monotonic() - began < 5:
                offset = upload.head()[0]
            expect(offset == MIB, 'of %d bytes sent, %d are acknowledged', MIB, offset)
        expect(upload.patch(offset, content[offset:], is_last=True).status == 200, 'the rest is not taken')
        daemon.expect_reads(upload.head()[2], content)


def expect_problem(answer, status, code, what):
    expect(answer.status == status, '%s: %s', what, answer)
    expect(answer.json['type'].endswith(code), '%s is called %s', what, answer.json['type'])
    return answer


def wrong_requests_for_an_upload_are_refused_by_name(bench):
    content = random_bytes('wrong', 100_000)
    with bench.daemon() as daemon:
        api, upload = daemon.api, Resumable(daemon)
        for offset in (1, 1 << 40, (1 << 63) - 1):
            answer = expect_problem(upload.patch(offset, content), 409, 'mismatching-upload-offset', 'a gap')
            expect(answer.headers['upload-offset'] == '0' and answer.headers['upload-complete'] == '?0', 'a gap: %s', answer)
            expect((answer.json['expected-offset'], answer.json['provided-offset']) == (0, offset), 'a gap: %s', answer)
        expect(upload.patch(0, content[:50_000]).status == 204, 'a piece is not taken')
        expect_problem(upload.patch(0, content), 409, 'mismatching-upload-offset', 'an overlap')
        for text in ('', 'x', '-1', '1.5', str(1 << 63), str(1 << 64)):
            answer = api.request('PATCH', upload.path, [PARTIAL_UPLOAD, ('Upload-Offset', text)], content)
            expect_problem(answer, 400, 'bad-request', 'the offset %r' % text)
            length = ('Upload-Length', text or 'none')
            expect_problem(api.request('POST', '/uploads', [length]), 400, 'bad-request', 'the length %r' % text)
            expect_problem(upload.patch(50_000, b'', length), 400, 'bad-request', 'the length %r of an upload' % text)
        answer = upload.patch((1 << 63) - 1, content, is_last=True)
        expect_problem(answer, 400, 'inconsistent-upload-length', 'an end beyond all numbers')
        answer = api.request('POST', '/uploads', [('Upload-Length', str((1 << 63) - 1))])
        expect_problem(answer, 507, 'no-space', 'an upload that fits nowhere')
        for text in ('filename !!!!', 'filename Zm9', 'filename Zm9v Zm9v', 'filename /w==', 'filename Zm9v,name %%'):
            fields = [('Tus-Resumable', '1.0.0'), ('Upload-Length', '5'), ('Upload-Metadata', text)]
            expect_problem(api.request('POST', '/uploads', fields), 400, 'bad-request', 'the metadata %r' % text)
        expect(len(api.get_lines('/uploads')) == 1, 'what is refused is opened: %s', api.get_lines('/uploads'))
        answer = api.request('PATCH', upload.path, [('Upload-Offset', '50000')], content)
        expect_problem(answer, 415, 'media-type-unsupported', 'a body without its type')
        answer = upload.patch(50_000, content, ('Content-Encoding', 'gzip'))
        expect_problem(answer, 415, 'encoding-unsupported', 'a compressed piece')
        answer = upload.patch(50_000, content[50_000:], ('Upload-Length', '99999'), is_last=True)
        expect_problem(answer, 400, 'inconsistent-upload-length', 'two lengths')
        expect(upload.head()[0] == 50_000, 'a refused piece moved the offset to %d', upload.head()[0])
        root = upload.patch(50_000, content[50_000:], is_last=True).headers['upload-root']
        daemon.expect_reads(root, content)
        # The answer was lost, and the client asks again.
        again = upload.patch(100_000, b'', is_last=True)
        expect(again.status == 200 and again.headers['upload-root'] == root, 'a complete upload: %s', again)
        expect_problem(upload.patch(50_000, b'x'), 409, 'completed-upload', 'more than all')
        expect(upload.head() == (100_000, True, root), 'a complete upload stands at %s', upload.head())

        too_long = Resumable(daemon, [('Upload-Length', '10')])
        expect_problem(too_long.patch(0, b'01234567890'), 400, 'inconsistent-upload-length', 'more than was said')
        expect_problem(too_long.patch(0, b'0123456789'), 410, 'upload-gone', 'an upload that was more than said')
        aborted = Resumable(daemon)
        expect(aborted.patch(0, content).status == 204, 'a piece is not taken')
        expect(api.request('DELETE', aborted.path).status == 204, 'an upload cannot be aborted')
        expect_problem(aborted.patch(100_000, content), 410, 'upload-gone', 'an aborted upload')
        expect(api.request('HEAD', aborted.path).status == 410, 'HEAD of an aborted upload')
        for method, headers in ('PATCH', [PARTIAL_UPLOAD, ('Upload-Offset', '0')]), ('DELETE', []), ('HEAD', []):
            answer = api.request(method, '/uploads/' + UNKNOWN_UPLOAD, headers, b'' if method == 'PATCH' else None)
            expect(answer.status == 404, '%s of an unknown upload: %s', method, answer)
        foreign = add(api, [Entry('f', content)]).answer.headers['upload-id']
        answer = api.request('PATCH', '/uploads/' + foreign, [PARTIAL_UPLOAD, ('Upload-Offset', '0')], content)
        expect(answer.status == 409, 'a piece for an upload of one request: %s', answer)
        form = Form([Entry('f', content)])
        broken = Resumable(daemon, [form.header], format='multipart')
        expect_problem(broken.patch(0, b'--' + form.boundary.encode() + b'\r\nno field\r\n\r\n'), 400, 'bad-multipart', 'a body that is no form')
        expect(api.request('HEAD', broken.path).status == 410, 'an upload with a broken form goes on')
        archive = Resumable(daemon, format='car')
        expect_problem(archive.patch(0, content), 400, 'bad-car', 'a body that is no CAR')
        expect(api.request('HEAD', archive.path).status == 410, 'an upload with a broken CAR goes on')
        expect(api.request('POST', '/uploads?format=unixfs').status == 400, 'a format that cannot be resumed')
        expect(api.request('POST', '/uploads?format=multipart').status == 415, 'a form without a boundary')
        limits = api.request('OPTIONS', '/uploads')
        expect(limits.status == 204 and 'max-age' in limits.headers['upload-limit'], 'limits: %s', limits.headers)
        daemon.unpin(root)
        eventually(lambda: not daemon.pins('shard-pin'), 'shards stay')
        daemon.expect_agreement()
        expect(not daemon.storage()['reserved_bytes'], 'space stays reserved')


def a_client_that_knows_the_draft_is_told_where_it_stands_while_it_sends(bench):
    content = bytes(2 * WINDOW_BYTES + MIB)
    with bench.daemon() as daemon:
        for version in '8', '7', None:
            headers = [('Content-Length', len(content)), ('Upload-Complete', '?1')]
            if version:
                headers.append(('Upload-Draft-Interop-Version', version))
            with Exchange(daemon.api, 'POST', query('/uploads', filename='f'), headers) as exchange:
                exchange.send(content[:MIB])
                if version == '8':
                    # Before the rest is sent.
                    status, fields = exchange.any_head()
                    expect(status == 104 and fields['upload-draft-interop-version'] == '8', 'first: %s %s', status, fields)
                    location = fields['location']
                exchange.send(content[MIB:])
                answer = exchange.answer()
                expect(answer.status == 200, 'an upload in one request: %s', answer)
                if version == '8':
                    expect(answer.headers['location'] == location, 'it was at %s: %s', location, answer.headers)
                    expect({status for status, _ in answer.interim} == {104}, 'interim answers: %s', answer.interim)
                    offsets = [int(fields['upload-offset']) for _, fields in answer.interim]
                    expect(offsets == sorted(offsets) and offsets[0] <= WINDOW_BYTES + 2 * MIB, 'offsets: %s', offsets)
                else:
                    expect(not answer.interim, 'version %s gets %s', version, answer.interim)
            daemon.unpin(answer.headers['upload-root'])
        bench.note = 'told at %s' % offsets


def a_thousand_uploads_are_open_at_once(bench):
    count = 1000
    with bench.daemon() as daemon:
        def opened():
            # Files of shards stay open.
            return [name for name in descriptors_of(daemon.process.pid) if '.car' not in name]

        before = len(opened())
        uploads, refusals = [Resumable(daemon) for _ in range(count)], []

        def send(number):
            def is_taken():
                answer = uploads[number].patch(0, b'%d' % number)
                if answer.status == 429:
                    expect(answer.headers.get('retry-after'), 'for how long it is refused: %s', answer.headers)
                    refusals.append(number)
                else:
                    expect(answer.status == 204, 'upload %d takes nothing: %s', number, answer)
                return answer.status == 204
            eventually(is_taken, 'upload %d is refused' % number)
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            list(pool.map(send, range(count)))
        # Some stay in memory, but by far not all.
        names = opened()
        expect(len(names) <= before + 32, '%d uploads are open, and with them:\n%s', count, '\n'.join(names))
        memory = resident_bytes(daemon.process.pid) / MIB
        daemon.kill()
        daemon.start()
        for number, upload in enumerate(uploads):
            text = b'%d' % number
            if number % 2:
                expect(upload.head()[0] == len(text), 'upload %d stands at %d', number, upload.head()[0])
                root = upload.patch(len(text), b'.', is_last=True).headers['upload-root']
                if number % 101 == 0:
                    daemon.expect_reads(root, text + b'.')
            else:
                expect(daemon.api.request('DELETE', upload.path).status == 204, 'upload %d cannot be aborted', number)
        expect(not daemon.api.get_lines('/uploads'), 'uploads stay open')
        expect(len(daemon.pins()) == count // 2, '%d uploads are pinned', len(daemon.pins()))
        expect(memory < 400, '%d open uploads take %.0f MiB', count, memory)
        eventually(lambda: len(opened()) <= before + 8, 'what uploads had open stays open')
        bench.note = '%.0f MiB and %d descriptors with %d open, %d without; %d refusals' % (
            memory, len(names), count, before, len(refusals))


def the_client_lists_and_aborts_uploads(bench):
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        upload = Resumable(daemon, name='a name')
        expect(upload.patch(0, random_bytes('listed', MIB)).status == 204, 'a piece is not taken')
        identifier = upload.path.rsplit('/', 1)[1]
        out, _ = client.run('uploads')
        row, = (line.split() for line in out.splitlines() if identifier in line)
        expect('a name' in out and str(MIB) in row, 'the open upload is not listed with its offset: %s', out)
        client.run('uploads', 'abort', identifier)
        expect(identifier not in client.run('uploads', 'ls')[0], 'an aborted upload is listed')
        client.run('uploads', 'abort', identifier, status=REFUSED)
        eventually(lambda: not daemon.storage()['reserved_bytes'], 'its space stays reserved')
        daemon.expect_agreement()


def a_request_with_an_idempotency_key_opens_one_upload(bench):
    with Cluster(bench) as cluster:
        def ask(peer, key):
            return peer.api.request('POST', query('/uploads', filename='f'), [('Idempotency-Key', key)])
        first = ask(cluster.peers[0], 'a key')
        expect(first.status == 201, 'no upload is opened: %s', first)
        for peer in cluster.peers:
            again = ask(peer, 'a key')
            expect(again.status == 201 and again.headers['location'] == first.headers['location'], 'another answer: %s', again)
        other = ask(cluster.peers[1], 'b key')
        expect(other.headers['location'] != first.headers['location'], 'two keys open one upload')
        expect(len(cluster.peers[2].api.get_lines('/uploads')) == 2, 'not two uploads are open')
        for answer in first, other:
            expect(cluster.peers[2].api.request('DELETE', answer.headers['location']).status == 204, 'it cannot be aborted')
        expect(ask(cluster.peers[1], 'a key').status == 410, 'an upload that was aborted is opened by its key')
        expect(ask(cluster.peers[0], 'x' * 257).status == 400, 'a key without end')
        cluster.expect_empty()


def a_request_that_opens_and_sends_may_be_made_again(bench):
    content = random_bytes('again', 2 * MIB)
    with bench.daemon() as daemon:
        wanted = one_shot(daemon, [Entry('f', content)])
        headers = [('Idempotency-Key', 'key'), ('Upload-Complete', '?1')]
        path = query('/uploads', filename='f')
        with Exchange(daemon.api, 'POST', path, [*headers, ('Content-Length', str(len(content)))]) as exchange:
            exchange.send(content[:MIB])
            eventually(lambda: daemon.api.get_lines('/uploads'), 'it is not opened')
        again = daemon.api.request('POST', path, headers, content)
        offset = int(again.headers.get('upload-offset', 0))
        expect(again.status == 409 and 0 < offset <= MIB, 'half of it is there, and the answer is %s', again)
        location = daemon.api.request('POST', path, [('Idempotency-Key', 'key')]).headers['location']
        rest = [PARTIAL_UPLOAD, ('Upload-Offset', str(offset)), ('Upload-Complete', '?1')]
        done = daemon.api.request('PATCH', location, rest, content[offset:])
        expect(done.headers.get('upload-root') == wanted, 'the rest makes no root: %s', done)
        again = daemon.api.request('POST', path, headers, content)
        expect(again.headers.get('upload-root') == wanted, 'what is complete has no root: %s', again)


def an_upload_that_is_refused_for_others_under_way_is_not_opened(bench):
    with bench.daemon(environment={'INGESTD_API_MAX_UPLOADS': '1'}) as daemon:
        upload = Resumable(daemon)
        with upload.begin_patch(0, MIB) as under_way:
            under_way.send(b'x')
            eventually(lambda: b'\ningestd_uploads_active 1\n' in daemon.api.get('/metrics').body, 'it does not begin')
            answer = daemon.api.request('POST', '/uploads', body=b'y')
            expect(answer.status == 429, 'it is not refused: %s %s', answer, answer.headers)
            listed = daemon.api.get_lines('/uploads')
            expect(len(listed) == 1, '%d uploads are open', len(listed))


def a_peer_outlives_what_it_passes_on_and_ends_early(bench):
    with Cluster(bench) as cluster:
        coordinator, passing = cluster.peers[:2]
        process = passing.process.pid

        def begin(upload, offset):
            exchange = Exchange(passing.api, 'PATCH', upload.path, [
                PARTIAL_UPLOAD, ('Upload-Offset', str(offset)), ('Upload-Complete', '?0'),
                ('Content-Length', str(10 * MIB))], keeps_open=True)
            exchange.send(random_bytes('passed on', MIB))
            return exchange

        def expect_alive(case):
            expect(passing.api.get('/id').status == 200 and passing.process.pid == process and passing.process.poll() is None,
                   'the peer that passed a request on is gone: %s', case)

        upload = Resumable(coordinator)
        eventually(lambda: passing.api.request('HEAD', upload.path).status == 200, 'the upload is not known')
        with begin(upload, 5) as refused:
            expect(refused.answer().status == 409, 'another offset is taken')
        expect_alive('refused')
        with begin(upload, 0) as stuck:
            # Each HEAD ends the request, if it has come so far.
            eventually(lambda: passing.api.request('HEAD', upload.path).headers['upload-offset'] != '0', 'nothing arrives')
            told = ended(stuck)
        expect_alive('interrupted by HEAD: %s' % told)
        offset = upload.head()[0]
        with begin(upload, offset) as broken:
            coordinator.kill()
            told = ended(broken)
        expect_alive('its coordinator was killed: %s' % told)
        coordinator.start()
        expect(coordinator.api.request('DELETE', upload.path).status == 204, 'it cannot be aborted')


def ended(exchange):
    """How a request ended whose body was not sent to its end."""
    try:
        return exchange.answer()
    except WireError as error:
        return error


def what_comes_through_a_peer_that_is_behind_comes_whole(bench):
    content = random_bytes('behind', 40_000)
    with Cluster(bench) as cluster:
        coordinator, behind = cluster.peers[:2]
        wanted = one_shot(coordinator, [Entry('f', content)])
        for _ in range(5):
            behind.process.send_signal(signal.SIGSTOP)
            try:
                upload = Resumable(coordinator, filename='f')
                exchange = Exchange(behind.api, 'PATCH', upload.path, [
                    PARTIAL_UPLOAD, ('Upload-Offset', '0'), ('Upload-Complete', '?1'), ('Transfer-Encoding', 'chunked')])
                exchange.send_chunk(content)
                exchange.end_chunks()
            finally:
                behind.process.send_signal(signal.SIGCONT)
            with exchange:
                answer = exchange.answer()
            expect(answer.status != 200 or answer.headers['upload-root'] == wanted, 'it came as another content: %s', answer)
            if answer.status != 200:
                expect(upload.send(content) == wanted, 'it does not go on after %s', answer)


def an_abandoned_upload_gives_its_space_back(bench):
    with bench.daemon(environment={'INGESTD_API_UPLOAD_LEASE': '2s'}) as daemon:
        upload = Resumable(daemon)
        expect(upload.patch(0, random_bytes('abandoned', 3 * MIB)).status == 204, 'a piece is not taken')
        expect(daemon.storage()['reserved_bytes'] > 0, 'nothing is reserved')
        expect_metrics(daemon, open=1, abandoned_total=0)
        left = int(re.search('max-age=([0-9]+)', daemon.api.request('HEAD', upload.path).headers['upload-limit'])[1])
        expect(left <= 2, 'it is said to stay for %d s', left)
        eventually(lambda: daemon.api.request('HEAD', upload.path).status == 410, 'it is never aborted')
        expect_problem(upload.patch(3 * MIB, b'x'), 410, 'upload-gone', 'a piece that comes too late')
        expect_problem(daemon.api.request('DELETE', upload.path), 410, 'upload-gone', 'an abort that comes too late')
        eventually(lambda: not daemon.storage()['reserved_bytes'], 'its space stays reserved')
        for place in 'uploads', 'staging', 'received':
            eventually(lambda: not daemon.names(place), 'something of it stays in ' + place)
        one_shot(daemon, [Entry('f', b'for the metrics')])
        expect_metrics(daemon, **{
            'open': 0, 'active': 0, 'abandoned_total': 1, 'total{outcome="aborted"}': 1, 'total{outcome="committed"}': 1,
            'total{outcome="copied"}': 0})
        daemon.expect_agreement()


def expect_metrics(daemon, **wanted):
    """Of uploads, by the end of their names."""
    lines = dict(line.rsplit(' ', 1) for line in daemon.api.get('/metrics').body.decode().splitlines() if line[0] != '#')
    found = {name: int(lines['ingestd_uploads_' + name]) for name in wanted}
    expect(found == wanted, 'of uploads, the metrics say %s, not %s', found, wanted)


TUS_CLIENT = """
import sys
from tusclient.client import TusClient
address, path, resumed = sys.argv[1], sys.argv[2], sys.argv[3:]
if resumed:
    uploader = TusClient(address).uploader(path, chunk_size=1_000_003, url=resumed[0])
    print(uploader.offset)
    uploader.upload()
else:
    uploader = TusClient(address).uploader(path, chunk_size=1_000_003, metadata={'filename': 'f'})
    for _ in range(3):
        uploader.upload_chunk()
print(uploader.url)
"""


def a_client_of_tus_goes_on_after_the_daemon_was_killed(bench):
    content, path = random_bytes('tus', 9 * MIB), bench.directory / 'content'
    path.write_bytes(content)
    python = bench.directory / 'venv' / 'bin' / 'python'
    for command in ([sys.executable, '-m', 'venv', str(python.parents[1])],
                    [str(python), '-m', 'pip', 'install', '-q', 'tuspy==1.1.0']):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        expect(done.returncode == 0, '%s: %s', ' '.join(command), done.stdout + done.stderr)

    def run(*arguments):
        done = subprocess.run(
            [str(python), '-c', TUS_CLIENT, daemon.api.url + '/uploads', str(path), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        expect(done.returncode == 0, 'the client failed: %s', done.stderr)
        return done.stdout.split()

    with bench.daemon() as daemon:
        wanted = one_shot(daemon, [Entry('f', content)])
        daemon.unpin(wanted)
        upload = urllib.parse.urlsplit(run()[0]).path
        daemon.kill()
        daemon.start()
        offset, address = run(daemon.api.url + upload)
        expect(offset == '3000009', 'it goes on at %s', offset)
        tus = [('Tus-Resumable', '1.0.0')]
        head = daemon.api.request('HEAD', upload, tus).headers
        expect(head['upload-offset'] == head['upload-length'] == str(len(content)), 'a complete upload: %s', head)
        expect(head['upload-root'] == wanted, 'the root is %s, not %s', head['upload-root'], wanted)
        daemon.expect_reads(wanted, content)
        expect(daemon.api.request('POST', '/uploads', [('Tus-Resumable', '0.2.2')]).status == 412, 'another version is taken')
        # All bytes came, and the daemon was killed before it made a root of them.
        whole = Resumable(daemon, [('Upload-Length', '5')])
        expect(whole.patch(0, b'whole').status == 204, 'a piece is not taken')
        expect(daemon.api.request('HEAD', whole.path, tus).headers.get('upload-root'), 'nobody ends a whole upload')
        empty = daemon.api.request('POST', '/uploads', [*tus, ('Upload-Length', '0')])
        expect(empty.status == 201 and empty.headers.get('upload-root'), 'an upload of nothing: %s', empty.headers)
        later = daemon.api.request('POST', '/uploads', [*tus, ('Upload-Defer-Length', '1')]).headers['location']
        expect(daemon.api.request('HEAD', later, tus).headers['upload-defer-length'] == '1', 'no length is needed')
        expect(daemon.api.request('DELETE', later, tus).status == 204, 'an upload cannot be ended')


def curl_alone_goes_on_by_the_commands_of_the_readme(bench):
    content, path = random_bytes('curl', 5 * MIB), bench.directory / 'big.tar'
    path.write_bytes(content)
    readme = pathlib.Path(__file__).parents[2].joinpath('README.md').read_text()
    opening, asking, sending = re.search(r'```sh\n(U=.*)\n(O=.*)\n(tail .*)\n```', readme).groups()
    with bench.daemon() as daemon:
        def shell(*commands):
            script = '\n'.join(commands).replace('127.0.0.1:9094', daemon.api.url.removeprefix('http://'))
            done = subprocess.run(
                ['bash', '-ec', script], cwd=bench.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            expect(done.returncode == 0, '%s: %s', script, done.stderr)
            return done.stdout.strip()
        upload = shell(opening, 'echo $U')
        # A network that fails after a while.
        cut = sending.replace('big.tar |', 'big.tar | head -c 2000000 |').replace("-H 'Upload-Complete: ?1'", '')
        shell('U=' + upload, asking, cut)
        daemon.kill()
        daemon.start()
        upload = daemon.api.url.removeprefix('http://') + '/' + upload.split('/', 1)[1]
        offset, answer = shell('U=' + upload, asking, 'echo $O', sending).splitlines()
        expect(offset == '2000000', 'it goes on at %s', offset)
        root = json.loads(answer)['cid']
        daemon.expect_reads(root, content)
        expect(root == one_shot(daemon, [Entry('big.tar', content)]), 'the root is another one')


def a_killed_coordinator_goes_on_with_copies_elsewhere(bench):
    content = random_bytes('cluster', 40 * MIB)
    with Cluster(bench) as cluster:
        wanted = cluster.add({'f': content}, **copies(2))
        for peer in cluster.peers[:1]:
            peer.unpin(wanted)
        coordinator = cluster.peers[0]
        for stop in (20 * MIB, 33 * MIB):
            form = Form([Entry('f', content)])
            body = form.bytes
            upload = Resumable(
                coordinator, [form.header], format='multipart', **{'shard-size': str(4 * MIB)}, **copies(2))
            with upload.begin_patch(0, len(body), is_last=True) as exchange:
                exchange.send(body[:stop])
                # Some shards are with others already.
                eventually(lambda: coordinator.api.get_lines('/uploads')[0]['shards_sealed'] > 0, 'nothing is sealed')
                coordinator.kill()
            cluster.start()
            offset, _, _ = upload.head()
            answer = upload.patch(offset, body[offset:], is_last=True)
            expect(answer.status == 200, 'the rest is not taken: %s', answer)
            cluster.expect_agreement()
            cluster.expect_reads(answer.headers['upload-root'], {'': content})
            for peers in cluster.allocations().values():
                expect(len(peers) == 2, 'a shard has %d copies', len(peers))
            coordinator.unpin(answer.headers['upload-root'])
        cluster.expect_empty()


def an_upload_goes_on_through_any_peer(bench):
    content = random_bytes('any peer', 12 * MIB)
    with Cluster(bench) as cluster:
        wanted = cluster.add({'f': content}, through=1)
        through = itertools.cycle(cluster.peers)
        upload, offset, size = Resumable(next(through), filename='f', **{'shard-size': str(4 * MIB)}), 0, 1_500_000
        while offset < len(content):
            # Nobody waits for peers to hear of it.
            upload._daemon = next(through)
            piece = content[offset:offset + size]
            answer = upload.patch(offset, piece, is_last=offset + len(piece) == len(content))
            expect(answer.status in (200, 204), 'a piece at %d is not taken: %s', offset, answer)
            offset += len(piece)
            expect(int(answer.headers['upload-offset']) == offset, 'after %d bytes: %s', offset, answer.headers)
        root = answer.headers['upload-root']
        cluster.expect_reads(root, {'': content})
        for upload._daemon in cluster.peers:
            expect(upload.head() == (len(content), True, root), 'a complete upload stands at %s', upload.head())
        # A body that was cut on its way to the peer that passes it on is none that ended.
        cut = Resumable(cluster.peers[0], filename='f')
        cut._daemon = cluster.peers[1]
        with Exchange(cut._daemon.api, 'PATCH', cut.path, [
                PARTIAL_UPLOAD, ('Upload-Offset', '0'), ('Upload-Complete', '?1'), ('Transfer-Encoding', 'chunked')]) as exchange:
            exchange.send_chunk(content[:MIB])
        cut._daemon = cluster.peers[2]
        eventually(lambda: cut.head()[0] == MIB, 'what came of a cut body is not acknowledged')
        expect(not cut.head()[1], 'an upload is complete although its body was cut')
        cluster.peers[0].kill()
        answer = cut.patch(MIB, b'x')
        expect(answer.status == 503 and cluster.peers[0].id in answer.json['message'], 'its peer is dead: %s', answer)
        cluster.start()
        expect(cluster.peers[1].api.request('DELETE', cut.path).status == 204, 'it cannot be aborted through another peer')
        for pin in wanted, root:
            if pin in cluster.peers[0].pins():
                cluster.peers[0].unpin(pin)
        cluster.expect_empty()


CHECKS = [
    pieces_of_any_size_make_the_same_root, a_daemon_that_is_killed_goes_on_where_it_said,
    what_was_acknowledged_in_a_window_is_kept_although_the_request_was_not_answered,
    a_request_ends_one_that_is_stuck, wrong_requests_for_an_upload_are_refused_by_name,
    a_client_that_knows_the_draft_is_told_where_it_stands_while_it_sends, a_thousand_uploads_are_open_at_once,
    the_client_lists_and_aborts_uploads,
    a_request_with_an_idempotency_key_opens_one_upload, a_request_that_opens_and_sends_may_be_made_again,
    an_upload_that_is_refused_for_others_under_way_is_not_opened, a_peer_outlives_what_it_passes_on_and_ends_early,
    what_comes_through_a_peer_that_is_behind_comes_whole, an_abandoned_upload_gives_its_space_back,
    a_client_of_tus_goes_on_after_the_daemon_was_killed, curl_alone_goes_on_by_the_commands_of_the_readme,
    a_killed_coordinator_goes_on_with_copies_elsewhere, an_upload_goes_on_through_any_peer]

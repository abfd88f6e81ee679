"""`GET /ipfs`: plain bytes with ranges, blocks and archives, each verified here as a client would."""
import socket

import archives
from daemon import expect
from forms import Entry, add, random_bytes


def file_reads_answer_ranges(bench):
    content = random_bytes('ranges', 2_000_003)
    # Three levels of nodes, and chunks that no range below fits.
    options = dict(chunker='size-1021', max_file_links=40, shard_size=300_000)
    with bench.daemon() as daemon:
        root = add(daemon.api, [Entry('f', content)], **options).root
        expect(root, 'the upload failed')
        daemon.expect_reads(root, content)
        length = len(content)
        ranges = {
            'bytes=0-0': (0, 1), 'bytes=0-': (0, length), 'bytes=5-9': (5, 10), 'bytes=-5': (length - 5, length),
            'bytes=%d-' % (length - 1): (length - 1, length), 'bytes=1021-2041': (1021, 2042),
            'bytes=1000-99999999999': (1000, length), 'bytes=-99999999999': (0, length)}
        for _ in range(40):
            first = bench.random.randrange(length)
            last = min(length - 1, first + bench.random.choice((0, 1, 1020, 1021, 50_000, 1_000_000)))
            ranges['bytes=%d-%d' % (first, last)] = (first, last + 1)
        for field, (start, end) in ranges.items():
            answer = daemon.api.get('/ipfs/' + root, ('Range', field))
            expect(answer.status == 206, '%s: %d', field, answer.status)
            told = answer.headers.get('content-range')
            expect(told == 'bytes %d-%d/%d' % (start, end - 1, length), '%s: Content-Range is %s', field, told)
            expect(answer.body == content[start:end], '%s: %d bytes that are not the ones asked for', field, len(answer.body))
        for field in ('bytes=%d-' % length, 'bytes=99999999999-', 'bytes=-0'):
            answer = daemon.api.get('/ipfs/' + root, ('Range', field))
            expect(answer.status == 416, '%s: %s', field, answer.status)
            told = answer.headers.get('content-range')
            expect(told == 'bytes */%d' % length, '%s: a 416 with Content-Range %s', field, told)
        for field in ('bytes=0-1,5-6', 'lines=1-2', 'bytes=x-y', 'bytes='):
            answer = daemon.api.get('/ipfs/' + root, ('Range', field))
            expect((answer.status, answer.body) == (200, content), '%s: %d, %d bytes', field, answer.status, len(answer.body))


def known_content_is_not_sent_again(bench):
    with bench.daemon() as daemon:
        root = add(daemon.api, [Entry('d', kind='directory'), Entry('d/f', b'content')]).root
        for path in (root + '/f', root, root + '/f?format=raw', root + '?format=car'):
            answer = daemon.api.get('/ipfs/' + path)
            tag = answer.headers.get('etag')
            expect(answer.status == 200 and tag, '%s: %d without ETag', path, answer.status)
            weak = tag if tag.startswith('W/') else 'W/' + tag
            for field in (tag, weak, '"other", ' + tag, '*'):
                again = daemon.api.get('/ipfs/' + path, ('If-None-Match', field))
                expect((again.status, again.body) == (304, b''), '%s with %s: %d', path, field, again.status)
                expect(again.headers.get('etag') == tag, '%s: a 304 with ETag %s', path, again.headers.get('etag'))
            other = daemon.api.get('/ipfs/' + path, ('If-None-Match', '"other"'))
            expect((other.status, other.body) == (200, answer.body), '%s with another tag: %d', path, other.status)
        tags = {daemon.api.get('/ipfs/' + path).headers['etag'] for path in (
            root, root + '?format=raw', root + '?format=car', root + '?format=car&dag-scope=block', root + '/f')}
        expect(len(tags) == 5, 'different forms share entity tags: %s', tags)


def nothing_follows_an_answer_to_head(bench):
    """Also to one that is an error; the next answer on the connection would begin with it."""
    with bench.daemon() as daemon, socket.create_connection((daemon.api.host, daemon.api.port), 10) as connection:
        for path in '/uploads/' + '0' * 32, '/nothing', '/id':
            connection.sendall(daemon.api.head('HEAD', path, keeps_open=True))
            answer = b''
            while b'\r\n\r\n' not in answer:
                answer += connection.recv(65536)
            expect(answer.startswith(b'HTTP/1.1 ') and answer.endswith(b'\r\n\r\n') and b'chunked' not in answer,
                   'HEAD %s: %r', path, answer)


def head_tells_what_get_would_send(bench):
    with bench.daemon() as daemon:
        root = add(daemon.api, [Entry('d', kind='directory'), Entry('d/f', random_bytes('head', 600_000))]).root
        missing = root[:-1] + ('x' if root[-1] != 'x' else 'y')
        for path in (root + '/f', root + '/f?format=raw', root, root + '/nothing', missing):
            get, head = daemon.api.get('/ipfs/' + path), daemon.api.request('HEAD', '/ipfs/' + path)
            expect(head.status == get.status, '%s: HEAD %d, GET %d', path, head.status, get.status)
            expect(head.body == b'', '%s: HEAD has a body', path)
            for name in ('etag', 'content-type', 'accept-ranges'):
                expect(head.headers.get(name) == get.headers.get(name), '%s: %s differs', path, name)
        length = daemon.api.request('HEAD', '/ipfs/%s/f' % root).headers.get('content-length')
        expect(length == '600000', 'HEAD says the file has %s bytes', length)


def raw_and_car_answers_verify(bench):
    content = random_bytes('archive', 1_000_000)
    with bench.daemon() as daemon:
        root = add(
            daemon.api, [Entry('d', kind='directory'), Entry('d/one', content), Entry('d/two', content[:300_000]),
                         Entry('d/inner', kind='directory'), Entry('d/inner/three', b'three')], shard_size=400_000).root
        raw = daemon.api.get('/ipfs/%s?format=raw' % root)
        expect(raw.headers.get('content-type') == 'application/vnd.ipld.raw', 'raw is %s', raw.headers.get('content-type'))
        archives.require_block_matches(archives.cid_from_text(root), raw.body)

        def car(path):
            answer = daemon.api.get('/ipfs/' + path)
            expect(answer.status == 200 and not answer.cut, '%s: %s', path, answer.cut or answer)
            kind = answer.headers.get('content-type', '')
            expect(kind.startswith('application/vnd.ipld.car'), '%s is %s', path, kind)
            roots, sections = archives.read_carv1(answer.body)
            return roots, {cid: block for _, cid, block in sections}, [cid for _, cid, _ in sections]

        roots, blocks, order = car(root + '?format=car')
        binary = archives.cid_from_text(root)
        expect(roots == [binary], 'the CAR has other roots')
        expect(order[0] == binary and len(order) == len(set(order)), 'the CAR is not in depth-first order, each block once')
        wanted, reached = [binary], set()
        while wanted:
            cid = wanted.pop()
            expect(cid in blocks, '%s is not in the CAR', archives.text_of_cid(cid))
            reached.add(cid)
            wanted += archives.links_of(cid, blocks[cid])
        expect(reached == set(blocks), 'the CAR holds blocks that do not belong to the root')
        one = archives.dag_pb_links(blocks[binary])[1]      # inner, one, two
        expect(archives.file_bytes(one, blocks) == content, 'the file in the CAR is not the one uploaded')

        _, blocks, order = car(root + '/one?format=car&dag-scope=entity')
        expect(order[0] == binary, 'the CAR of a path does not begin with the blocks on the way')
        expect(archives.file_bytes(one, blocks) == content, 'the file in the CAR of its path is not the one uploaded')
        _, blocks, _ = car(root + '?format=car&dag-scope=block')
        expect(list(blocks) == [binary], 'dag-scope=block gave %d blocks', len(blocks))
        _, blocks, _ = car(root + '/one?format=car&dag-scope=entity&entity-bytes=300000:300001')
        expect(len(blocks) == 3, 'two bytes of one chunk took %d blocks, not directory, file node and leaf', len(blocks))


def a_damaged_block_is_never_sent_as_good(bench):
    content = random_bytes('damage', 1_500_000)
    with bench.daemon() as daemon:
        root = add(daemon.api, [Entry('f', content)], shard_size=400_000).root
        daemon.stop()
        path = daemon.shard_paths[bench.random.randrange(2)]
        data = bytearray(path.read_bytes())
        data[200_000] ^= 1
        path.write_bytes(data)
        daemon.start()
        answer = daemon.api.get('/ipfs/' + root)
        expect(answer.status >= 500 or answer.cut, 'a damaged file was sent as if whole: %d, %d bytes', answer.status, len(answer.body))
        if answer.status == 200:
            expect(content.startswith(answer.body), 'damaged bytes were sent before the connection was cut')
        expect('corrupt' in daemon.api.get('/metrics').body.decode(), 'the metrics do not know of damage')


CHECKS = [
    file_reads_answer_ranges, known_content_is_not_sent_again, nothing_follows_an_answer_to_head,
    head_tells_what_get_would_send, raw_and_car_answers_verify, a_damaged_block_is_never_sent_as_good]

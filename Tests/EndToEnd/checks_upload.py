"""What an upload leaves on disk, and how its answer ends."""
import archives
from daemon import expect
from forms import Added, Entry, Form, add, random_bytes, small_files
from wire import Exchange, query


def tree():
    """Files of all sizes, directories, a symlink and a duplicate."""
    large = random_bytes('large', 3_000_000)
    return [
        Entry('tree', kind='directory'), Entry('tree/empty', b''), Entry('tree/large', large),
        Entry('tree/inner', kind='directory'), Entry('tree/inner/copy of large', large),
        Entry('tree/inner/one byte', b'x'), Entry('tree/link', b'inner/one byte', 'symlink'),
        *[Entry('tree/small/%d' % number, random_bytes(number, 5000 + number)) for number in range(200)]]


def expect_valid_shards(daemon):
    """Reads every shard file with the independent reader; {CID: shard}."""
    shards = {}
    for path in daemon.shard_paths:
        try:
            shard = archives.Shard(path.read_bytes())
        except archives.FormatError as error:
            raise archives.FormatError('%s: %s' % (path.name, error)) from None
        name = archives.text_of_cid(shard.cid)
        expect(path.name.split('.')[0] == name, '%s holds shard %s', path.name, name)
        shards[name] = shard
    return shards


def expect_whole_dag(root, blocks):
    """Every block that can be reached from a root must be there; the number of them."""
    wanted, seen = [archives.cid_from_text(root)], set()
    while wanted:
        cid = wanted.pop()
        if cid in seen or archives.parts_of(cid)[1] == archives.IDENTITY:
            continue
        seen.add(cid)
        expect(cid in blocks, 'block %s of root %s is in none of its shards', archives.text_of_cid(cid), root)
        wanted += archives.links_of(cid, blocks[cid])
    return len(seen)


def every_shard_file_is_accepted_by_an_independent_reader(bench):
    with bench.daemon() as daemon:
        many_blocks = random_bytes('many blocks', 13_000 * 1024)
        uploads = [
            add(daemon.api, tree(), shard_size=1_000_000, name='version 0'),
            add(daemon.api, tree(), is_chunked=True, profile='unixfs-v1-2025', shard_size=1_200_000),
            add(daemon.api, [Entry('hello', b'hello')], profile='unixfs-v1-2025'),
            add(daemon.api, [Entry('inline', b'inline')], inline=True, cid_version=1),
            add(daemon.api, tree(), shard=False, layout='trickle', chunker='buzhash'),
            # More blocks than one list node has room for, and exactly as many as two have.
            add(daemon.api, [Entry('many', many_blocks)], shard=False, raw_leaves=True, chunker='size-1024'),
            *[add(daemon.api, tree(), shard_size=2_000_000, hash=name)
              for name in ('sha1', 'sha2-512', 'sha3-256', 'blake2b-256', 'blake2s-256')]]
        for upload in uploads:
            expect(upload.root, 'an upload failed: %s', upload)
        car = daemon.api.get('/ipfs/%s?format=car' % uploads[1].root).body
        uploads.append(add(daemon.api, [Entry('archive', car)], format='car', shard_size=1_100_000))
        expect(uploads[-1].root == uploads[1].root, 'a CAR of %s was taken as %s', uploads[1].root, uploads[-1])
        daemon.expect_agreement()

        shards = expect_valid_shards(daemon)
        tables = {table['root']: table for table in daemon.api.get_lines('/shards')}
        for upload in uploads:
            blocks, numbers = {}, []
            for row in tables[upload.root]['shards']:
                shard = shards[row['cid']]
                blocks.update(shard.blocks)
                numbers.append(row['number'])
                told = (row['blocks'], row['payload_bytes'], row['file_bytes'])
                found = (len(shard.blocks), shard.payload_byte_count, shard.byte_count)
                expect(told == found, 'shard %s is told as %s and is %s', row['cid'], told, found)
            expect(numbers == list(range(len(numbers))), 'shards of %s are numbered %s', upload.root, numbers)
            expect_whole_dag(upload.root, blocks)
        expect(max(shard.depth for shard in shards.values()) == 2, 'no shard has an indirect list')
        expect(not tables[uploads[3].root]['shards'], 'an inline file has shards')
        hello = (daemon.directory / 'shards').glob(tables[uploads[2].root]['shards'][0]['cid'] + '*')
        # 110 for the headers, 42 for the block, 81 for the list node, 110 for the index.
        expect(next(hello).stat().st_size == 343, 'the shard of a 5-byte file has not 343 bytes')
        bench.note = '%d files' % len(shards)


def an_error_after_the_answer_began_is_its_last_line_and_a_trailer(bench):
    # Lines are sent as buffers of content are done, so the conflict has to come many megabytes later.
    entries = small_files(2000) + [Entry('many/large', [random_bytes('large', 1 << 20)] * 48)]
    conflict = entries + [Entry(entries[7].path, b'another content')]
    with bench.daemon() as daemon:
        failed = add(daemon.api, conflict, is_chunked=True, name='fails')
        expect(failed.answer.status == 200, 'the answer had not begun when the error came: %s', failed.answer)
        expect(failed.answer.cut is None, 'the answer is cut: %s', failed.answer.cut)
        expect(len(failed.lines) > 100, 'only %d lines before the error', len(failed.lines))
        last = failed.lines[-1]
        expect(last.get('code') == 409 and last.get('message'), 'the last line is %s', last)
        expect(entries[7].path in last['message'], 'the message does not name the path: %s', last['message'])
        # A header field is ASCII.
        plain = ''.join(character if ' ' <= character <= '~' else '?' for character in last['message'])
        expect(failed.trailer == plain, 'the trailer says %r, the last line %r', failed.trailer, last['message'])
        expect(all('cid' in line for line in failed.lines[:-1]), 'a line before the last is no entry')
        expect(not daemon.pins(), 'a failed upload left a pin')
        daemon.expect_empty()

        array = add(daemon.api, conflict, is_chunked=True, stream_channels=False)
        expect(array.root is None, 'without stream-channels a conflict was taken as root %s', array.root)
        daemon.expect_empty()


def kubo_add(daemon, entries, is_chunked=True, **parameters):
    """The answer of an upload as Kubo's client makes it."""
    form = Form(entries)
    body = form if is_chunked else form.bytes
    return daemon.api.request('POST', query('/api/v0/add', **parameters), [form.header], body)


def in_kubos_words(lines):
    return [{'Name': line['name'], 'Hash': line['cid'], 'Size': str(line.get('size', 0))} for line in lines]


def expect_kubo_error(answer, status, code):
    expect(answer.status == status, 'instead of %d comes %s', status, answer)
    expect(answer.headers['content-type'] == 'application/json', 'the error comes as %s', answer.headers)
    expect_kubo_error_document(answer.json, code)


def expect_kubo_error_document(error, code):
    expect(set(error) == {'Message', 'Code', 'Type'}, 'the error has the fields %s', list(error))
    expect((error['Code'], error['Type']) == (code, 'error') and error['Message'], 'the error is %s', error)


def the_route_of_kubo_answers_with_its_lines_and_roots(bench):
    hello, in_version_0 = [Entry('hello', b'hello\n')], ('QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN', '14')
    # What Kubo's own client sends with every add.
    usual = {
        'chunker': 'size-262144', 'encoding': 'json', 'hash': 'sha2-256', 'inline_limit': 32, 'pin': True,
        'progress': False, 'stream_channels': True}
    with bench.daemon() as daemon:
        for options, (root, size) in (
                ({}, in_version_0), (usual, in_version_0), ({'pin': True, 'quieter': True}, in_version_0),
                ({'cid_version': 1}, ('bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am', '6'))):
            answer = kubo_add(daemon, hello, **options)
            expect(answer.status == 200 and not answer.cut, 'with %s: %s', options, answer.cut or answer)
            expect(answer.lines == [{'Name': 'hello', 'Hash': root, 'Size': size}], 'with %s: %s', options, answer)
            expect(root in daemon.pins(), 'with %s it is not pinned', options)
            daemon.expect_reads(root, b'hello\n')
        nameless = kubo_add(daemon, [Entry('', b'x')], is_chunked=False).lines
        root = 'QmULKig5Fxrs2sC4qt9nNduucXfb92AFYQ6Hi3YRqDmrYC'
        expect(nameless == [{'Name': root, 'Hash': root, 'Size': '9'}], 'a file without a name: %s', nameless)
        # Roots of the other route are compared with Kubo's by many vectors.
        for options in {}, {'cid_version': 1}, {'trickle': True, 'raw_leaves': True}, {'recursive': True}:
            wanted = add(daemon.api, tree(), **options)
            answer = kubo_add(daemon, tree(), **options)
            expect(wanted.root and answer.lines == in_kubos_words(wanted.lines), 'with %s: %s', options, answer)
            expect(not answer.trailers.get('x-stream-error'), 'a success has the trailers %s', answer.trailers)
        daemon.expect_agreement()


def the_route_of_kubo_gives_no_name_to_the_directory_around_everything(bench):
    with bench.daemon() as daemon:
        answer = kubo_add(daemon, [Entry('file.txt', b'x')], wrap_with_directory=True)
        expect(answer.lines == [
            {'Name': 'file.txt', 'Hash': 'QmULKig5Fxrs2sC4qt9nNduucXfb92AFYQ6Hi3YRqDmrYC', 'Size': '9'},
            {'Name': '', 'Hash': 'QmXgGdWTkF7H7mHhkqhvbcBcc58hxRUV3MncaZZFx8Mm7j', 'Size': '63'}],
            'the answer is %s', answer)


def errors_of_the_route_of_kubo_have_its_shape(bench):
    one = [Entry('f', b'content')]
    with bench.daemon('--capacity', '200MiB') as daemon:
        for entries, status, options in (
                (one, 400, {'chunker': 'nonsense'}), (one, 400, {'only_hash': True}), (one, 400, {'no_such_option': 1}),
                ([], 400, {}), (one + [Entry('second', b'root')], 400, {}), (one + [Entry('f', b'other')], 409, {})):
            expect_kubo_error(kubo_add(daemon, entries, **options), status, 1)
        expect_kubo_error(daemon.api.request('POST', '/api/v0/add', body=b'no form'), 415, 1)
        announced = [Form([]).header, ('Content-Length', 1_000_000_000), ('Expect', '100-continue')]
        with Exchange(daemon.api, 'POST', '/api/v0/add', announced) as exchange:
            # A failure of the service, not of the request.
            expect_kubo_error(exchange.answer(), 507, 0)
        daemon.expect_empty()

        conflict = small_files(2000) + [Entry('many/large', [random_bytes('large', 1 << 20)] * 20)]
        answer = kubo_add(daemon, conflict + [Entry(conflict[7].path, b'another content')])
        expect(answer.status == 200 and answer.cut is None, 'the answer had not begun when the error came: %s', answer)
        *lines, error = answer.lines
        expect(len(lines) > 100 and all(set(line) == {'Name', 'Hash', 'Size'} for line in lines),
               'before the error come %d lines: %s', len(lines), lines[:3])
        expect_kubo_error_document(error, 1)
        expect(conflict[7].path in error['Message'], 'the message does not name the path: %s', error)
        # What Kubo's client relies on.
        expect(answer.headers.get('trailer') == 'X-Stream-Error', 'the trailer is not announced: %s', answer.headers)
        plain = ''.join(character if ' ' <= character <= '~' else '?' for character in error['Message'])
        expect(answer.trailers == {'x-stream-error': plain}, 'the trailers are %s, the last line %s', answer.trailers, error)
        daemon.expect_empty()


def progress_is_told_to_whoever_asks_for_it(bench):
    files = {'d/large': random_bytes('progress', 3_000_000), 'd/small': b'small'}
    form = Form([Entry('d', kind='directory'), *[Entry(*file) for file in files.items()]])
    with bench.daemon() as daemon:
        for path, name, count, cid in ('/add', 'name', 'bytes', 'cid'), ('/api/v0/add', 'Name', 'Bytes', 'Hash'):
            def lines(**options):
                return daemon.api.request('POST', query(path, **options), [form.header], form).lines
            told, done = {}, []
            for line in lines(progress=True):
                if line.get(cid):
                    done.append(line)
                else:
                    told.setdefault(line[name], []).append(line[count])
            expect(done == lines(), '%s with progress: %s', path, done)
            last = {file: counts[-1] for file, counts in told.items()}
            expect(last == {file: len(data) for file, data in files.items()}, '%s tells at last of %s', path, last)
            counts = told['d/large']
            expect(counts == sorted(counts) and len(counts) > 2, '%s tells of a large file %s', path, counts)
            # While there is still more to send.
            headers, body = [form.header, ('Transfer-Encoding', 'chunked')], form.bytes
            with Exchange(daemon.api, 'POST', query(path, progress=True), headers) as exchange:
                exchange.send_chunk(body[:2_000_000])
                pieces = exchange.answer_pieces(exchange.answer_head())
                first = next(pieces)
                expect(b'd/large' in first, '%s tells at first %s', path, first)
                exchange.send_chunk(body[2_000_000:])
                exchange.end_chunks()
                rest = b''.join(pieces)
                expect(done[-1][cid].encode() in rest, '%s ends with %s', path, rest[-200:])


def what_is_said_of_a_pin_is_shown_again_also_after_a_restart(bench):
    said = {'origins': '/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWOrigin', 'meta-note': 'kept', 'name': 'said'}
    with bench.daemon() as daemon:
        added = add(daemon.api, [Entry('f', b'said of a pin')], **said)
        expect(added.root, 'the upload failed: %s', added)
        for _ in range(2):
            for path in ('/allocations/', '/pins/'):
                pin = daemon.api.get_json(path + added.root)
                found = {'origins': ','.join(pin['origins']), 'meta-note': pin['metadata'].get('note'), 'name': pin['name']}
                expect(found == said, '%s shows %s', path, found)
            daemon.restart()


def long_paths_cost_no_memory(bench):
    """Each file in a thousand directories makes lines that are 500 times as long as its head."""
    form = Form([
        Entry('deep/%d/%s' % (number, '/'.join('%031d' % (1000 * number + level) for level in range(999))))
        for number in range(20)])
    with bench.daemon() as daemon:
        with Exchange(daemon.api, 'POST', '/add', [form.header, ('Transfer-Encoding', 'chunked')]) as exchange:
            exchange.send_beside(form, is_chunked=True)
            answer = exchange.answer_head()
            # They are more than this program wants to keep, too.
            count = sum(piece.count(b'\n') for piece in exchange.answer_pieces(answer))
        expect((answer.status, count) == (200, 20_001), '%d lines came: %s', count, answer)
        expect('x-stream-error' not in answer.trailers, 'the upload failed: %s', answer.trailers)
        bench.note = '%.0f MiB at most' % (daemon.peak_memory / (1 << 20))
        expect(daemon.peak_memory <= 256 << 20, 'memory: %s', bench.note)


def a_place_in_a_list_beyond_everything_is_refused(bench):
    with bench.daemon() as daemon:
        added = add(daemon.api, [Entry('f', b'listed')])
        for path in '/pins', '/allocations':
            for position in 2 ** 63 - 1, 2 ** 64, -1:
                answer = daemon.api.get('%s?after=%s:%d' % (path, added.root, position))
                expect(answer.status == 400, '%s from %d on: %s', path, position, answer)
            answer = daemon.api.get('%s?after=%s:%d' % (path, added.root, 2 ** 32 - 1))
            expect((answer.status, answer.body) == (200, b''), '%s after all there is: %s', path, answer)


def the_last_line_of_a_success_is_the_root(bench):
    with bench.daemon() as daemon:
        added = add(daemon.api, small_files(2000), is_chunked=True, name='succeeds')
        expect(added.root, 'the upload failed: %s', added)
        expect(added.lines[-1]['name'] == 'many', 'the last line is %s', added.lines[-1])
        expect(not added.trailer, 'a success has the trailer %r', added.trailer)
        expect(len(added.lines) == 2001, '%d lines for 2001 entries', len(added.lines))
        expect(list(daemon.pins()) == [added.root], 'pinned is %s, the last line %s', list(daemon.pins()), added.root)
        daemon.expect_agreement()


def a_body_that_is_cut_is_an_error_and_leaves_nothing(bench):
    form = Form([Entry('many/large', random_bytes('cut', 1_500_000)), *small_files(600)])
    body = form.bytes

    def send(length):
        return Added(daemon.api.request('POST', query('/add', shard_size=300_000), [form.header], iter([body[:length]])))

    with bench.daemon() as daemon:
        for length in (10, 200, 700_000, 1_600_000, len(body) - 2 - len(form.boundary), len(body) - 5):
            added = send(length)
            expect(added.root is None, 'a body cut after %d of %d bytes became root %s', length, len(body), added.root)
            expect(added.error.get('code') == 400, 'a body cut after %d bytes: %s', length, added.error)
        daemon.expect_empty()
        expect((whole := send(len(body))).root, 'the whole body fails: %s', whole)


def requests_sent_ahead_are_answered_one_by_one_with_nothing_lost(bench):
    first, second = random_bytes('read meanwhile', 20_000_000), random_bytes('sent ahead', 3_000_000)
    with bench.daemon() as daemon:
        root = add(daemon.api, [Entry('f', first)], name='first').root
        form = Form([Entry('f', second)])
        body = form.bytes
        ahead = [
            daemon.api.head('POST', '/add', [form.header, ('Content-Length', len(body))], keeps_open=True), body,
            daemon.api.head('GET', '/id', keeps_open=True), b'NOT HTTP AT ALL\r\n\r\n']
        with Exchange(daemon.api, 'GET', '/ipfs/' + root, keeps_open=True) as exchange:
            exchange.send_beside(ahead, is_chunked=False)
            expect(exchange.answer().body == first, 'the first answer is another one')
            added = Added(exchange.answer())
            expect(added.root, 'an upload that was sent ahead failed: %s', added)
            expect(exchange.answer().json.get('id'), 'the third answer is another one')
            last = exchange.answer()
            expect(last.status == 400 and last.json.get('code') == 400, 'no HTTP at all was answered with %s', last)
        daemon.expect_reads(added.root, second)


CHECKS = [
    requests_sent_ahead_are_answered_one_by_one_with_nothing_lost,
    every_shard_file_is_accepted_by_an_independent_reader,
    an_error_after_the_answer_began_is_its_last_line_and_a_trailer, the_last_line_of_a_success_is_the_root,
    the_route_of_kubo_answers_with_its_lines_and_roots,
    the_route_of_kubo_gives_no_name_to_the_directory_around_everything, errors_of_the_route_of_kubo_have_its_shape,
    long_paths_cost_no_memory, a_place_in_a_list_beyond_everything_is_refused,
    progress_is_told_to_whoever_asks_for_it, what_is_said_of_a_pin_is_shown_again_also_after_a_restart,
    a_body_that_is_cut_is_an_error_and_leaves_nothing]

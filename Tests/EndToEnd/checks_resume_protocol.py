"""What the draft and tus ask of a server, and what requests for one upload that come at the same time are told."""
import base64
import signal

from checks_resume import PARTIAL_UPLOAD, Resumable, one_shot
from cluster import Cluster, copies
from daemon import eventually, expect
from forms import Entry, random_bytes
from wire import Exchange, query

MIB = 1 << 20
TUS = ('Tus-Resumable', '1.0.0')
TUS_PIECE = ('Content-Type', 'application/offset+octet-stream')


def fields_of_answers_are_those_that_the_draft_and_tus_ask_for(bench):
    with bench.daemon() as daemon:
        def ask(method, path, *headers, body=None):
            return daemon.api.request(method, path, headers, body)

        types = ask('OPTIONS', '/uploads').headers.get('accept-patch', '')
        expect({kind.strip() for kind in types.split(',')} == {PARTIAL_UPLOAD[1], TUS_PIECE[1]}, 'OPTIONS: %s', types)
        other = ask('POST', '/uploads', ('Tus-Resumable', '0.2.2'), ('Upload-Length', '1'))
        expect(other.status == 412 and other.headers.get('tus-version') == '1.0.0', 'another version: %s', other.headers)
        unknown = ask('HEAD', '/uploads/' + '0' * 32, TUS)
        expect(unknown.status == 404 and unknown.headers.get('tus-resumable') == '1.0.0', 'an error of tus: %s', unknown.headers)
        wrong = ask('PUT', '/uploads')
        expect(wrong.status == 405 and {'GET', 'POST', 'OPTIONS'} <= set(wrong.headers.get('allow', '').split(', ')),
               'another method: %s', wrong.headers)
        for headers in [], [('Upload-Length', '1'), ('Upload-Defer-Length', '1')], [('Upload-Defer-Length', '2')]:
            expect(ask('POST', '/uploads', TUS, *headers).status == 400, 'an upload of tus with %s is opened', headers)
        metadata = 'filename %s,binary %s,empty' % tuple(base64.b64encode(data).decode() for data in (b'f', b'\xff\x00'))
        opened = ask('POST', '/uploads', TUS, ('Upload-Length', '3'), ('Upload-Metadata', metadata))
        expect(opened.status == 201, 'values need not be text: %s', opened)
        upload = opened.headers['location']
        for case in 'open', 'after a kill', 'complete':
            head = ask('HEAD', upload, TUS).headers
            expect(head.get('upload-metadata') == metadata, '%s, its metadata are %s', case, head)
            if case == 'open':
                daemon.kill()
                daemon.start()
            elif case == 'after a kill':
                override = ('X-HTTP-Method-Override', 'PATCH')
                done = ask('POST', upload, TUS, TUS_PIECE, ('Upload-Offset', '0'), override, body=b'abc')
                expect(done.status == 204 and done.headers.get('upload-root'), 'another method was meant: %s', done)
        for text in 'f', '', 'filename Zg==,filename Zg==', 'filename %%%', ',':
            refused = ask('POST', '/uploads', TUS, ('Upload-Length', '3'), ('Upload-Metadata', text))
            expect(refused.status == (201 if text in ('f', '') else 400), 'metadata %r: %s', text, refused)
        key = ('Idempotency-Key', 'a key')
        first = ask('POST', '/uploads', key)
        expect(ask('PATCH', first.headers['location'], PARTIAL_UPLOAD, ('Upload-Offset', '0'), body=b'x').status == 204, 'a piece')
        again = ask('POST', '/uploads', key).headers
        expect((again.get('upload-offset'), again.get('upload-complete')) == ('1', '?0') and 'upload-limit' in again,
               'opened again: %s', again)


def what_the_draft_leaves_out_of_a_number_is_no_number(bench):
    with bench.daemon() as daemon:
        upload = Resumable(daemon)
        for text in '+0', '0x0', '0.0', '-0', '٠', '18446744073709551616', '9223372036854775808':
            answer = daemon.api.request(
                'PATCH', upload.path, [PARTIAL_UPLOAD, ('Upload-Offset', text.encode().decode('latin-1'))], b'x')
            expect(answer.status == 400, 'the offset %r: %s', text, answer)
        answer = daemon.api.request(
            'PATCH', upload.path, [PARTIAL_UPLOAD, ('Upload-Offset', '0;a=b'), ('Upload-Complete', '?1;c')], b'x')
        expect(answer.status == 200, 'parameters of items: %s', answer)


def a_length_that_was_said_is_kept(bench):
    """tus says it once; so does a client of the draft that says it before it has sent anything."""
    with bench.daemon() as daemon:
        opened = daemon.api.request('POST', '/uploads', [TUS, ('Upload-Defer-Length', '1')]).headers['location']
        said = daemon.api.request('PATCH', opened, [TUS, TUS_PIECE, ('Upload-Offset', '0'), ('Upload-Length', '10')], b'')
        expect(said.status == 204 and said.headers['upload-length'] == '10', 'a length is not taken: %s', said)
        daemon.kill()
        daemon.start()
        head = daemon.api.request('HEAD', opened, [TUS]).headers
        expect(head.get('upload-length') == '10' and 'upload-defer-length' not in head, 'the length is forgotten: %s', head)
        other = daemon.api.request('PATCH', opened, [TUS, TUS_PIECE, ('Upload-Offset', '0'), ('Upload-Length', '11')], b'')
        expect(other.status == 400, 'another length is taken: %s', other)
        done = daemon.api.request('PATCH', opened, [TUS, TUS_PIECE, ('Upload-Offset', '0')], b'0123456789')
        expect(done.headers.get('upload-root'), 'the last byte makes no root: %s', done)


def bytes_beyond_a_complete_upload_are_refused(bench):
    with bench.daemon() as daemon:
        upload = Resumable(daemon)
        root = upload.patch(0, b'all of it', is_last=True).headers['upload-root']
        for is_last in True, False:
            answer = upload.patch(9, b'more', is_last=is_last)
            expect(answer.status == 409 and answer.json['type'].endswith('#completed-upload'), 'more of it: %s', answer)
            expect(answer.headers['content-type'] == 'application/problem+json', 'its type: %s', answer.headers)
        empty = upload.patch(9, b'', is_last=True)
        expect(empty.status == 200 and empty.headers['upload-root'] == root, 'nothing more of it: %s', empty)


def requests_during_the_commit_are_told_the_root(bench):
    """The answer was long in coming, and the client asks; what it asked first is answered as well."""
    content = random_bytes('commit', 5 * MIB)
    with Cluster(bench) as cluster:
        coordinator, slow = cluster.peers[:2]
        wanted = one_shot(coordinator, [Entry('f', content)])
        coordinator.unpin(wanted)
        upload = Resumable(coordinator, filename='f', **{'shard-size': str(2 * MIB)}, **copies(3))
        slow.process.send_signal(signal.SIGSTOP)
        try:
            with upload.begin_patch(0, len(content), is_last=True) as last:
                last.send(content)
                listed = lambda: coordinator.api.get_lines('/uploads')[0]
                eventually(lambda: listed().get('offset') == len(content), 'the last byte is not acknowledged')
                with Exchange(coordinator.api, 'HEAD', upload.path) as asked, \
                        upload.begin_patch(len(content), 0, is_last=True) as again:
                    slow.process.send_signal(signal.SIGCONT)
                    answers = {'the first': last.answer(), 'HEAD': asked.answer(), 'the same again': again.answer()}
        finally:
            slow.process.send_signal(signal.SIGCONT)
        for case, answer in answers.items():
            expect(answer.status == 200 and not answer.cut and answer.headers.get('upload-root') == wanted,
                   '%s: %s %s %s', case, answer, answer.cut, answer.headers)
            expect(answer.headers['upload-complete'] == '?1', '%s: %s', case, answer.headers)
        coordinator.unpin(wanted)
        cluster.expect_empty()


def a_request_that_opens_may_be_made_again_to_any_peer(bench):
    content = random_bytes('again', 2 * MIB)
    headers = [('Idempotency-Key', 'key'), ('Upload-Complete', '?1')]
    with Cluster(bench) as cluster:
        wanted = one_shot(cluster.peers[0], [Entry('f', content)])
        path = query('/uploads', filename='f')
        with Exchange(cluster.peers[0].api, 'POST', path, [*headers, ('Content-Length', str(len(content)))]) as cut:
            cut.send(content[:MIB])
            eventually(lambda: cluster.peers[0].api.get_lines('/uploads'), 'it is not opened')
        again = cluster.peers[1].api.request('POST', path, headers, content)
        offset = int(again.headers.get('upload-offset', 0))
        expect(again.status == 409 and 0 < offset <= MIB, 'half of it is there, and another peer says %s', again)
        asked = cluster.peers[2].api.request('POST', path, headers[:1])
        expect(asked.status == 201 and asked.headers['upload-offset'] == str(offset), 'where it stands: %s', asked.headers)
        rest = [PARTIAL_UPLOAD, ('Upload-Offset', str(offset)), ('Upload-Complete', '?1')]
        done = cluster.peers[2].api.request('PATCH', asked.headers['location'], rest, content[offset:])
        expect(done.headers.get('upload-root') == wanted, 'the rest makes no root: %s', done)
        for peer in cluster.peers:
            again = peer.api.request('POST', path, headers, content)
            expect(again.headers.get('upload-root') == wanted, 'what is complete has no root: %s', again)
        cluster.peers[0].unpin(wanted)
        cluster.expect_empty()


def an_upload_whose_client_was_not_told_where_it_is_ends_with_its_request(bench):
    with bench.daemon() as daemon:
        for version in None, '8':
            headers = [('Content-Length', str(2 * MIB)), ('Upload-Complete', '?1')]
            if version:
                headers.append(('Upload-Draft-Interop-Version', version))
            with Exchange(daemon.api, 'POST', '/uploads', headers) as cut:
                cut.send(random_bytes('cut', MIB))
                eventually(lambda: daemon.api.get_lines('/uploads'), 'it is not opened')
            if version:
                listed, = daemon.api.get_lines('/uploads')
                expect(daemon.api.request('HEAD', '/uploads/' + listed['id']).status == 200, 'it does not go on')
            else:
                eventually(lambda: not daemon.api.get_lines('/uploads'), 'nobody can find it, and it stays')
                eventually(lambda: not daemon.names('staging') and not daemon.names('uploads'), 'something of it stays')


def a_body_is_not_asked_for_where_it_is_not_wanted(bench):
    with bench.daemon() as daemon:
        upload = Resumable(daemon)

        def head(offset):
            expecting = [PARTIAL_UPLOAD, ('Upload-Offset', str(offset)), ('Upload-Complete', '?1'), ('Content-Length', '5'),
                         ('Expect', '100-continue')]
            return Exchange(daemon.api, 'PATCH', upload.path, expecting)
        with head(7) as exchange:
            answer = exchange.answer()
            expect(answer.status == 409 and not answer.interim, 'at another offset: %s after %s', answer, answer.interim)
        with head(0) as exchange:
            expect(exchange.any_head()[0] == 100, 'the body is not asked for')
            exchange.send(b'hello')
            expect(exchange.answer().status == 200, 'the body is not taken')


def a_damaged_journal_of_a_complete_upload_keeps_nobody_from_starting(bench):
    with bench.daemon() as daemon:
        root = Resumable(daemon).send(b'all of it')
        daemon.kill()
        journal, = (daemon.directory / 'uploads').iterdir()
        content = bytearray(journal.read_bytes())
        content[20] ^= 1
        journal.write_bytes(content)
        daemon.start()
        daemon.expect_reads(root, b'all of it')
        expect('cannot be shortened' in daemon.log_text, 'nobody is told')


CHECKS = [
    fields_of_answers_are_those_that_the_draft_and_tus_ask_for, what_the_draft_leaves_out_of_a_number_is_no_number,
    a_length_that_was_said_is_kept, bytes_beyond_a_complete_upload_are_refused,
    requests_during_the_commit_are_told_the_root, a_request_that_opens_may_be_made_again_to_any_peer,
    an_upload_whose_client_was_not_told_where_it_is_ends_with_its_request,
    a_damaged_journal_of_a_complete_upload_keeps_nobody_from_starting, a_body_is_not_asked_for_where_it_is_not_wanted]

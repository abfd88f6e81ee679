"""Starting, stopping, and being killed."""
import contextlib
import socket
import ssl
import subprocess
import threading
import time

from cluster import make_secret
from daemon import CheckSkipped, expect
from forms import Added, Entry, Form, add, random_bytes
from wire import API, Exchange, WireError, query

MIB = 1 << 20


class Sending:
    """An upload that goes on beside the check."""

    def __init__(self, api, pieces, **parameters):
        form = Form([Entry('f', pieces)])
        self.exchange = Exchange(api, 'POST', query('/add', **parameters), [form.header, ('Transfer-Encoding', 'chunked')])
        self.added = None
        self.exchange.send_beside(form, is_chunked=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with contextlib.suppress(WireError, ValueError):
            self.added = Added(self.exchange.answer())

    def wait(self, seconds=120):
        """What the answer says; None when the connection ended without one."""
        self._reader.join(seconds)
        expect(not self._reader.is_alive(), 'no answer and no end of the connection after %d seconds', seconds)
        self.exchange.close()
        return self.added


def a_kill_at_any_moment_leaves_nothing_of_an_upload(bench):
    base, size, rounds = random_bytes('base', 5 * MIB), 24 * MIB, bench.options.kills
    daemon = bench.make_daemon().start()
    kept = add(daemon.api, [Entry('f', base)], shard_size=MIB).root
    committed = 0
    for number in range(rounds):
        new = bench.random.randbytes(size)
        # Every third upload begins with the shards of the root that must stay.
        content = base + new if number % 3 == 0 else new
        moment = bench.random.choice(('during', 'during', 'after'))
        stop_after = bench.random.randrange(len(content)) if moment == 'during' else len(content)
        delay = bench.random.uniform(0, 0.03 if moment == 'during' else 0.3)
        reached, is_sent = threading.Event(), threading.Event()

        def pieces():
            for start in range(0, len(content), MIB // 4):
                if start >= stop_after:
                    reached.set()
                yield content[start:start + MIB // 4]
            is_sent.set()
            reached.set()

        sending = Sending(daemon.api, pieces(), shard_size=2 * MIB, name='round %d' % number)
        where = 'round %d, killed %.0f ms after %d of %d bytes' % (number, delay * 1000, stop_after, len(content))
        expect(reached.wait(60), '%s: the upload stands still', where)
        time.sleep(delay)
        daemon.kill()
        answered = sending.wait()
        daemon.start()
        daemon.expect_agreement()
        pins = daemon.pins()
        expect(kept in pins, '%s: the root of before is gone', where)
        daemon.expect_reads(kept, base)
        new_roots = set(pins) - {kept}
        if answered and answered.root:
            expect(new_roots == {answered.root}, '%s: root %s was answered, pinned is %s', where, answered.root, new_roots)
        if new_roots:
            # Committed, whether or not the answer came through; then all of it must be there.
            expect(is_sent.is_set(), '%s: an unfinished upload is pinned', where)
            committed += 1
            root, = new_roots
            daemon.expect_reads(root, content)
            daemon.unpin(root)
        daemon.expect_agreement()
        expect(set(daemon.pins()) == {kept}, '%s: pinned are %s', where, list(daemon.pins()))
    daemon.unpin(kept)
    daemon.expect_empty()
    daemon.stop()
    bench.note = '%d kills, %d of them after the commit' % (rounds, committed)


# ---- configuration

def expect_refusal(daemon, *words, listen='127.0.0.1:0'):
    """The daemon must end with an error that has the words."""
    daemon.spawn(listen)
    status = daemon.wait()
    expect(status not in (0, None) and status > 0, 'the daemon ended with status %s:\n%s', status, daemon.log_text)
    expect(daemon.api is None, 'the daemon listened')
    for word in words:
        expect(word in daemon.log_text, 'the error does not say %r:\n%s', word, daemon.log_text)


def unknown_settings_name_the_nearest_known_one(bench):
    cases = {
        'api:\n  lisen: 127.0.0.1:0\n': ('api.lisen', 'api.listen'),
        'storage:\n  capactiy: 5GiB\n': ('storage.capactiy', 'storage.capacity'),
        'api:\n  max_uploads: 3\n': ('api.max_uploads', 'api.max-uploads'),
        'storge:\n  headroom: 5GiB\n': ('storge', 'storage'),
        'log:\n  levels: info\n': ('log.levels', 'log.level')}
    for text, words in cases.items():
        daemon = bench.make_daemon().start()
        daemon.stop()
        path = daemon.directory / 'ingestd.yaml'
        path.write_text(text)
        expect_refusal(daemon, *words, str(path))
    daemon = bench.make_daemon(environment={'INGESTD_STORAGE_CAPACITY': 'much'})
    expect_refusal(daemon, 'storage.capacity', 'much')


def flags_beat_environment_beats_file(bench):
    daemon = bench.make_daemon().start()
    daemon.stop()
    (daemon.directory / 'ingestd.yaml').write_text('storage:\n  capacity: 11MiB\npeer:\n  name: from file\n')

    def told():
        daemon.start()
        answer = daemon.api.get_json('/id')
        daemon.stop()
        return answer['storage']['capacity_bytes'], answer['peername']

    expect((got := told()) == (11 * MIB, 'from file'), 'from the file came %s', got)
    daemon.environment = {'INGESTD_STORAGE_CAPACITY': '12MiB', 'INGESTD_PEER_NAME': 'from environment'}
    expect((got := told()) == (12 * MIB, 'from environment'), 'from the environment came %s', got)
    daemon.arguments = ['--capacity', '13MiB']
    expect((got := told()) == (13 * MIB, 'from environment'), 'from flag and environment came %s', got)


def init_keeps_the_settings_that_are_there(bench):
    daemon = bench.make_daemon()
    daemon.directory.mkdir()
    (daemon.directory / 'ingestd.yaml').write_text('storage:\n  capacity: 11MiB\n')
    daemon.start()
    expect((got := daemon.storage()['capacity_bytes']) == 11 * MIB, 'the capacity is %s', got)
    daemon.stop()


def a_state_that_is_lost_takes_no_shards_with_it(bench):
    content, aside = random_bytes('lost state', 3 * MIB), bench.directory / 'aside'
    daemon = bench.make_daemon().start()
    root = add(daemon.api, [Entry('f', content)], shard_size=MIB).root
    daemon.stop()
    shards, roots = daemon.names('shards'), daemon.names('roots')
    aside.mkdir()
    for path in daemon.directory.glob('state.sqlite*'):
        path.rename(aside / path.name)
    expect_refusal(daemon, 'state.sqlite', '%d shards' % len(shards), 'backup')
    expect((daemon.names('shards'), daemon.names('roots')) == (shards, roots), 'files were removed')
    for path in daemon.directory.glob('state.sqlite*'):
        path.unlink()
    for path in aside.iterdir():
        path.rename(daemon.directory / path.name)
    daemon.start()
    daemon.expect_reads(root, content)
    daemon.expect_agreement()
    daemon.stop()


def a_second_daemon_on_a_data_directory_is_refused(bench):
    with bench.daemon() as first:
        second = bench.make_daemon(directory=first.directory)
        expect_refusal(second, str(first.process.pid))
        root = add(first.api, [Entry('f', b'still works')]).root
        first.expect_reads(root, b'still works')
    # A lock of a dead process is none.
    first.start()
    first.kill()
    first.start()
    first.expect_reads(root, b'still works')
    first.stop()


def a_port_that_is_taken_is_named_with_its_setting(bench):
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        address = '127.0.0.1:%d' % other.getsockname()[1]
        expect_refusal(bench.make_daemon(), address, 'Address already in use', 'api.listen', listen=address)
        secret = make_secret(bench.directory / 'secret')
        peer = bench.make_daemon('--cluster-secret', str(secret), '--etcd', 'http://127.0.0.1:9', '--peer-listen', address)
        expect_refusal(peer, address, 'Address already in use', 'cluster.listen')


def make_certificate(directory):
    certificate, key = directory / 'certificate.pem', directory / 'key.pem'
    try:
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
             '-addext', 'subjectAltName=DNS:localhost', '-keyout', str(key), '-out', str(certificate)],
            stdin=subprocess.DEVNULL, capture_output=True, check=True)
    except FileNotFoundError:
        raise CheckSkipped('there is no openssl') from None
    return certificate, key


def listening_beyond_loopback_takes_tls_and_a_token(bench):
    certificate, key = make_certificate(bench.directory)
    token_file, token = bench.directory / 'token', 'a-token-of-24-characters'
    token_file.write_text(token + '\n')
    tls_flags = ['--tls-certificate', str(certificate), '--tls-key', str(key)]
    token_flags = ['--token-file', str(token_file)]
    everywhere = '0.0.0.0:0'
    expect_refusal(bench.make_daemon(), everywhere[:7], 'TLS', listen=everywhere)
    expect_refusal(bench.make_daemon(*token_flags), 'TLS', listen=everywhere)
    expect_refusal(bench.make_daemon(*tls_flags), 'token', listen=everywhere)
    expect_refusal(bench.make_daemon(*tls_flags[:2], *token_flags), 'api.tls-key', listen=everywhere)

    trust = ssl.create_default_context(cafile=str(certificate))
    authorized = [('Authorization', 'Bearer ' + token)]
    daemon = bench.make_daemon(*tls_flags, *token_flags, headers=authorized, tls=trust).start(everywhere)
    content = random_bytes('tls', 3 * MIB)
    root = add(daemon.api, [Entry('f', content)], is_chunked=True, shard_size=MIB).root
    expect(root, 'an upload over TLS failed')
    daemon.expect_reads(root, content)
    for headers in ((), [('Authorization', 'Bearer ' + token[:-1] + 'x')], [('Authorization', token)]):
        api = API(daemon.api.host, daemon.api.port, headers, trust)
        for method, path in (('GET', '/id'), ('GET', '/ipfs/' + root), ('DELETE', '/pins/' + root), ('GET', '/metrics')):
            answer = api.request(method, path)
            expect(answer.status == 401 and answer.json.get('code') == 401, '%s %s with %s: %s', method, path, headers, answer)
            expect(answer.headers.get('www-authenticate'), 'a 401 without WWW-Authenticate')
        refused = add(api, [Entry('f', b'no')])
        expect(refused.answer.status == 401, 'an upload with %s: %s', headers, refused)
        expect(api.get('/livez').status == 200, '/livez asks for a token')
    expect(list(daemon.pins()) == [root], 'pinned are %s', list(daemon.pins()))
    old = ssl.create_default_context(cafile=str(certificate))
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers('ALL:@SECLEVEL=0')
    with socket.create_connection((daemon.api.host, daemon.api.port)) as connection:
        try:
            old.wrap_socket(connection, server_hostname='localhost')
        except ssl.SSLError as error:
            expect('PROTOCOL_VERSION' in str(error), 'TLS 1.1 was refused for: %s', error)
        else:
            expect(False, 'TLS 1.1 was taken')
    plain = API(daemon.api.host, daemon.api.port, authorized, timeout=10)
    with contextlib.suppress(WireError):
        expect(plain.get('/id').status >= 400, 'a request without TLS was answered')
    daemon.stop()


# ---- stopping

def stopping_finishes_or_ends_uploads_and_restarts_clean(bench):
    content = random_bytes('stopping', 12 * MIB)
    outcomes = {'root': 0, 'error': 0, 'cut': 0}
    daemon = bench.make_daemon(environment={'INGESTD_API_IDLE_TIMEOUT': '5s'})
    for number in range(6):
        daemon.start()
        stop_after = bench.random.randrange(len(content))
        is_stalling = number % 3 == 2
        reached, ended = threading.Event(), threading.Event()

        def pieces():
            for start in range(0, len(content), MIB // 8):
                if start >= stop_after:
                    reached.set()
                    if is_stalling:     # a client that says no more and does not go away
                        ended.wait(100)
                        return
                yield content[start:start + MIB // 8]
            reached.set()

        sending = Sending(daemon.api, pieces(), shard_size=2 * MIB)
        expect(reached.wait(60), 'the upload stands still')
        daemon.stop()
        ended.set()
        added = sending.wait()
        outcomes['root' if added and added.root else 'error' if added else 'cut'] += 1
        daemon.start()
        pins = set(daemon.pins())
        expect(pins == ({added.root} if added and added.root else set()), 'answered was %s, pinned is %s', added, pins)
        for root in pins:
            daemon.expect_reads(root, content)
            daemon.unpin(root)
        daemon.expect_empty()
        daemon.stop()
    bench.note = ', '.join('%d %s' % (count, kind) for kind, count in outcomes.items())


def idle_connections_do_not_hold_up_stopping(bench):
    daemon = bench.make_daemon().start()
    quiet = daemon.api.connect()
    begun = daemon.api.connect()
    begun.sendall(b'GET /id HTTP/1.1\r\nHost: here\r\n')
    kept = daemon.api.connect()
    kept.sendall(b'GET /livez HTTP/1.1\r\nHost: here\r\n\r\n')
    expect(kept.recv(4096).startswith(b'HTTP/1.1 200'), 'no answer on a connection that is kept')
    start = time.monotonic()
    daemon.stop()
    seconds = time.monotonic() - start
    for connection in (quiet, begun, kept):
        connection.close()
    expect(seconds < 60, 'stopping took %.0f seconds', seconds)
    bench.note = '%.1f s' % seconds


CHECKS = [
    a_kill_at_any_moment_leaves_nothing_of_an_upload, unknown_settings_name_the_nearest_known_one,
    flags_beat_environment_beats_file, init_keeps_the_settings_that_are_there,
    a_state_that_is_lost_takes_no_shards_with_it, a_second_daemon_on_a_data_directory_is_refused,
    a_port_that_is_taken_is_named_with_its_setting,
    listening_beyond_loopback_takes_tls_and_a_token, stopping_finishes_or_ends_uploads_and_restarts_clean,
    idle_connections_do_not_hold_up_stopping]

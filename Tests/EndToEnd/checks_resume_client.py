"""ingest-cli goes on with its uploads after failures of the network, the daemon, and itself."""
import contextlib
import math
import os
import shutil
import signal
import socket
import threading
import time

from checks_client import expect_same_tree
from checks_resume import READ_AHEAD_BYTES, WINDOW_BYTES, Resumable, archive_of, expect_holds
from client import CHANGED, INTERRUPTED, LOCAL, REFUSED, Client
from cluster import Cluster
from daemon import eventually, expect
from forms import Entry, random_bytes
from proxies import Conversation, UploadLedger
from wire import queued_bytes

MIB = 1 << 20
SOURCE_BYTES = 40 * MIB
# Of every other source, so that what a fault costs can be more than it may.
LONG_SOURCE_BYTES = 2 * WINDOW_BYTES + SOURCE_BYTES


class CountingProxy:
    """Passes connections on to whatever daemon is there now, counts what clients send, and calls back at a byte.

    Whatever a check is about, what passes must be right by the `ledger`."""

    def __init__(self, target):
        self.target = target
        self.sent, self._action, self._lock, self._pairs = 0, None, threading.Lock(), set()
        # Answers that will not come through.
        self.to_lose = 0
        self.ledger = UploadLedger()
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.address = 'http://127.0.0.1:%d' % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._listener.close()
        self.cut()
        if kind is None:
            self.expect_right()

    def expect_right(self):
        expect(not self.ledger.wrong, '%s', self.ledger.wrong)

    def will_fail(self, window=0):
        """Something fails before more is passed on: how many bytes that may cost. They are what is on the way, and a
        window of the daemon."""
        with self._lock:
            servers = [server for _, server in self._pairs]
        cost = window + READ_AHEAD_BYTES + sum(map(queued_bytes, servers))
        self.ledger.fault(cost)
        return cost

    def at(self, count, action):
        """Calls `action` once so many bytes have been sent in all, before any more is passed on."""
        with self._lock:
            self._action = (count, action)

    def stop_at(self, count):
        """Two events: so many bytes have been sent in all; more may be passed on."""
        reached, is_over = threading.Event(), threading.Event()
        self.at(count, lambda: (reached.set(), is_over.wait()))
        return reached, is_over

    def cut(self):
        """Ends all connections, without a word of farewell."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for one in [end for pair in pairs for end in pair]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((self.target.api.host, self.target.api.port))
                except (OSError, AttributeError):
                    # The daemon is down.
                    client.close()
                    continue
                pair = (client, server)
                with self._lock:
                    self._pairs.add(pair)
                conversation = Conversation(self.ledger)
                for source, sink, messages in (
                        (client, server, conversation.requests), (server, client, conversation.answers)):
                    threading.Thread(
                        target=self._pass, args=(pair, source, sink, messages, source is client), daemon=True).start()

    def _pass(self, pair, source, sink, messages, is_request):
        try:
            # What came before a cut is not passed on after it.
            while (data := source.recv(1 << 16)) and pair in self._pairs:
                if not is_request and self._loses():
                    break
                messages.take(data)
                if is_request:
                    self._count(len(data))
                sink.sendall(data)
        except OSError:
            pass        # One of them is gone.
        except (KeyError, ValueError, IndexError) as error:
            self.ledger.wrong.append('what passed cannot be read: %r' % error)
        finally:
            with self._lock:
                self._pairs.discard(pair)
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _count(self, count):
        with self._lock:
            self.sent += count
            action = None
            if self._action and self.sent >= self._action[0]:
                (_, action), self._action = self._action, None
        if action:
            action()

    def _loses(self):
        with self._lock:
            self.to_lose -= 1
            return self.to_lose >= 0


def make_source(bench, label, size=SOURCE_BYTES):
    source = bench.directory / 'source'
    (source / 'deep' / 'empty').mkdir(parents=True, exist_ok=True)
    content = random_bytes(label, size)
    (source / 'large').write_bytes(content[:size // 2])
    (source / 'deep' / 'second').write_bytes(content[size // 2:])
    for number in range(200):
        (source / 'deep' / ('%d' % number)).write_bytes(content[number * 100:number * 101])
    link = source / 'link'
    if not link.is_symlink():
        link.symlink_to('deep/second')
    return source


def the_client_goes_on_whatever_is_killed(bench):
    """At random bytes: its connections cut, the daemon killed, the client itself killed."""
    faults, rounds, resent = {'cut': 0, 'daemon': 0, 'client': 0}, 0, 0
    with bench.daemon() as daemon, CountingProxy(daemon) as proxy:
        client = Client(bench, daemon.api)

        def fail(fault, command):
            """What it may cost."""
            cost = proxy.will_fail(WINDOW_BYTES if fault == 'daemon' else 0)
            faults[fault] += 1
            if fault == 'cut':
                proxy.cut()
            elif fault == 'daemon':
                daemon.kill()
                daemon.start()
            else:
                command.process.kill()
                # What it has left on the way is not passed on.
                proxy.cut()
            return cost

        while rounds < 4 or sum(faults.values()) < bench.options.kills:
            label, size, archive = 'round %d' % rounds, LONG_SOURCE_BYTES if rounds % 2 else SOURCE_BYTES, None
            if rounds % 3 == 2:
                wanted, archive = archive_of(daemon, [Entry('f', random_bytes(label, size))])
                source = bench.directory / 'source.car'
                source.write_bytes(archive)
                words, size = ['--format', 'car', source], len(archive)
            else:
                source = make_source(bench, label, size)
                wanted, words = client.add('--only-hash', source), [source]
            first, count, limit, uploads, command = proxy.sent, 0, MIB, set(proxy.ledger.told), None
            while True:
                # Of each kind as many as of the others.
                fault = min(faults, key=lambda kind: (faults[kind], bench.random.random()))
                # A client that dies before it has noted its upload begins another one.
                position = proxy.sent + bench.random.randrange(1 << 13, size // 2)
                reached, is_over = proxy.stop_at(position if count < 4 else math.inf)
                command = command or client.start(
                    'add', '-Q', '--shard-size', 4 * MIB, '--retry-for', '30s', *words, address=proxy.address)
                while not reached.wait(0.05) and command.process.poll() is None:
                    pass
                if not reached.is_set():
                    is_over.set()
                    break
                limit += fail(fault, command)
                count += 1
                is_over.set()
                if fault == 'client':
                    command.process.communicate()
                    command = None
            out, _ = command.end()
            expect(out.split() == [wanted], 'the root is %s, not %s', out, wanted)
            proxy.expect_right()
            expect(len(set(proxy.ledger.told) - uploads) == 1, 'it was not one upload: %s', proxy.ledger.told)
            again = proxy.sent - first - size
            expect(again <= limit, 'after %d faults that can have cost %d bytes, %d were sent beyond those there are',
                   count, limit, again)
            resent, rounds = resent + again, rounds + 1
            expect(not daemon.api.get_lines('/uploads'), 'an upload stays open')
            if archive:
                expect_holds(daemon, wanted, [], archive)
            else:
                copy = bench.directory / ('copy-%d' % rounds)
                client.run('get', wanted, '-o', copy, address=daemon.api.url)
                expect_same_tree(source, copy)
                shutil.rmtree(copy)
            daemon.expect_agreement()
            daemon.unpin(wanted)
        eventually(lambda: not daemon.names('shards'), 'shards of removed roots stay')
        remembered = list((bench.directory / 'state').rglob('upload.json'))
        expect(not remembered, 'the client remembers uploads that have ended: %s', remembered)
        daemon.expect_agreement()
    ledger = proxy.ledger
    expect(len(ledger.resent) >= sum(faults.values()) // 2, 'after %s came %d requests', faults, len(ledger.resent))
    told = ', '.join('%d %s' % (count, kind) for kind, count in sorted(ledger.told_counts.items()))
    bench.note = '%s in %d uploads; offsets told by %s, %d PATCH begun; %s: %.1f MiB in the mean, %.1f at most' % (
        ', '.join('%d %s' % (count, what) for what, count in faults.items()), rounds, told, ledger.request_count,
        'sent again for a fault', resent / MIB / sum(faults.values()), max(ledger.resent) / MIB)


def the_first_requests_of_an_add_are_tried_again(bench):
    """Before an upload is open, too; and what is so short that it goes as one request."""
    with bench.daemon() as daemon, CountingProxy(daemon) as proxy:
        client = Client(bench, daemon.api)
        for size in 50_000, SOURCE_BYTES:
            for loses_answer in False, True:
                source = make_source(bench, 'first %d %s' % (size, loses_answer), size)
                wanted = client.add('--only-hash', source)
                if loses_answer:
                    proxy.to_lose = 1
                else:
                    proxy.at(proxy.sent + 1, proxy.cut)
                out, error = client.run('add', '-Q', source, address=proxy.address)
                expect(out.split() == [wanted], 'the root is %s, not %s', out, wanted)
                expect('going on in' in error, 'nothing was tried again: %s', error)
                # A second upload would stay open.
                expect(not daemon.api.get_lines('/uploads'), 'an upload stays open')
                daemon.expect_agreement()
        proxy.at(proxy.sent + 1, proxy.cut)
        _, error = client.run('add', '-Q', '--resume', 'never', source, status=LOCAL, address=proxy.address)
        expect('was lost' in error, 'a request that is not tried again: %s', error)
        with socket.create_server(('127.0.0.1', 0)) as place:
            nobody = 'http://127.0.0.1:%d' % place.getsockname()[1]
        _, error = client.run('add', '-Q', source, status=LOCAL, address=nobody)
        expect('start ingestd there' in error and 'going on' not in error, 'without a service: %s', error)
        _, error = client.run('add', '-Q', '--retry-for', '1s', source, status=LOCAL, address=nobody)
        expect('start ingestd there' in error and 'going on' in error, 'a service that is waited for: %s', error)


def what_was_stored_and_removed_since_is_stored_again(bench):
    """The client does not live to hear that its upload is complete."""
    with bench.daemon() as daemon, CountingProxy(daemon) as proxy:
        client, source = Client(bench, daemon.api), make_source(bench, 'removed since')
        proxy.at(proxy.sent + SOURCE_BYTES // 2, lambda: setattr(proxy, 'to_lose', 1 << 30))
        command = client.start('add', '-Q', source, address=proxy.address)
        eventually(daemon.pins, 'the upload does not end')
        command.process.kill()
        command.process.communicate()
        root, = daemon.pins()
        daemon.unpin(root)
        proxy.to_lose = 0
        expect(client.run('add', '-Q', source, address=proxy.address)[0].split() == [root], 'the root is another one')
        expect(list(daemon.pins()) == [root], 'pinned are %s', list(daemon.pins()))
        client.run('verify', root)
        daemon.expect_agreement()


def standard_input_survives_the_network_and_the_daemon(bench):
    """What can be read only once: connections are cut, the daemon is killed, and answers are lost."""
    source, count = bench.directory / 'source', 0
    with bench.daemon() as daemon, CountingProxy(daemon) as proxy:
        client = Client(bench, daemon.api)

        def add(*words):
            with open(source, 'rb') as stdin:
                return client.start('add', '-Q', '--retry-for', '30s', *words, '-', address=proxy.address, stdin=stdin)

        def expect_root(command, wanted):
            out, error = command.end()
            expect(out.split() == [wanted], 'the root is %s, not %s', out, wanted)
            expect('going on in' in error, 'nothing failed: %s', error)
            expect(not daemon.api.get_lines('/uploads'), 'an upload stays open')
            daemon.expect_agreement()

        def restart():
            daemon.kill()
            daemon.start()

        wanted, archive = archive_of(daemon, [Entry('f', random_bytes('stream of an archive', SOURCE_BYTES))])
        for content, words in (random_bytes('stream', 3 * SOURCE_BYTES), ()), (archive, ('--format', 'car')):
            source.write_bytes(content)
            root, first = client.add('--only-hash', source) if not words else wanted, proxy.sent
            command, limit = None, MIB
            for fault in proxy.cut, restart, proxy.cut:
                reached, is_over = proxy.stop_at(proxy.sent + bench.random.randrange(MIB, len(content) // 4))
                command = command or add('--shard-size', 4 * MIB, *words)
                expect(reached.wait(60), 'nothing is sent')
                limit += proxy.will_fail(WINDOW_BYTES if fault == restart else 0)
                fault()
                is_over.set()
                count += 1
            expect_root(command, root)
            resent = proxy.sent - first - len(content)
            expect(resent <= limit, '%d bytes were sent again, where the faults can have cost %d', resent, limit)
        source.write_bytes(random_bytes('short stream', 300_000))
        proxy.to_lose = 1
        expect_root(add(), client.add('--only-hash', source))
    bench.note = '%d faults' % count


def a_file_that_is_no_archive_leaves_no_upload_open(bench):
    source = bench.directory / 'source.car'
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        for content in random_bytes('no archive', 20 * MIB), bytes(20 * MIB):
            source.write_bytes(content)
            _, error = client.run('add', '-Q', '--format', 'car', source, status=(LOCAL, REFUSED))
            expect('CAR' in error, 'what is wrong: %s', error)
            expect(not daemon.api.get_lines('/uploads'), 'an upload stays open')
            expect(not list((bench.directory / 'state').rglob('upload.json')), 'the client remembers an upload that has ended')


def an_interrupted_add_says_how_to_go_on(bench):
    source = make_source(bench, 'interrupted')
    with bench.daemon() as daemon, CountingProxy(daemon) as proxy:
        client = Client(bench, daemon.api)
        wanted = client.add('--only-hash', source)
        command = client.start('add', '-Q', '--limit-upload', '20MB', source, address=proxy.address)
        proxy.at(8 * MIB, lambda: None)
        eventually(lambda: proxy.sent > 8 * MIB, 'nothing is sent')
        upload = daemon.api.get_lines('/uploads')[0]
        expect('offset' in upload and upload['length'] > SOURCE_BYTES, 'what is told of an open upload: %s', upload)
        _, error = client.run('add', '-Q', source, status=1, address=proxy.address)
        expect('is adding the same' in error, 'two at the same source: %s', error)
        command.process.send_signal(signal.SIGINT)
        _, error = command.end(INTERRUPTED)
        expect(upload['id'] in error and 'run the same command to go on' in error, 'it does not say how to go on: %s', error)
        out, error = client.run('add', '-Q', source, address=proxy.address)
        expect('going on with upload ' + upload['id'] in error and out.split() == [wanted], 'it goes on with %s: %s', out, error)
        expect(proxy.sent < SOURCE_BYTES + 4 * MIB, '%d bytes were sent', proxy.sent)
        # With other options it is another upload.
        client.run('add', '-Q', '--resume', 'never', source, address=proxy.address)
        expect(proxy.sent > 2 * SOURCE_BYTES, 'nothing was sent')
        daemon.expect_agreement()


def an_interrupt_ends_an_add_that_waits_for_standard_input(bench):
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        output, stdin = os.pipe()
        with open(output, 'rb') as output, open(stdin, 'wb') as stdin:
            command = client.start('add', '-', stdin=output)
            stdin.write(random_bytes('waiting', 20 * MIB))
            stdin.flush()
            eventually(lambda: daemon.api.get_lines('/uploads'), 'no upload is opened')
            command.process.send_signal(signal.SIGINT)
            eventually(lambda: command.process.poll() is not None, 'it still waits')
            command.end(INTERRUPTED)
        expect(not daemon.api.get_lines('/uploads'), 'an upload stays open that nobody can go on with')


def a_source_that_changes_is_named(bench):
    source = make_source(bench, 'changing')
    late = source / 'large'
    with bench.daemon() as daemon, CountingProxy(daemon) as proxy:
        client = Client(bench, daemon.api)

        def begin():
            command = client.start('add', '-Q', '--limit-upload', '20MB', source, address=proxy.address)
            before = proxy.sent
            eventually(lambda: proxy.sent > before + 4 * MIB, 'nothing is sent')
            return command

        # Between two processes.
        command = begin()
        command.process.kill()
        command.process.communicate()
        (source / 'deep' / '17').write_bytes(b'something else')
        wanted = client.add('--only-hash', source)
        out, error = client.run('add', '-Q', source, address=proxy.address)
        expect('source/deep/17 changed' in error and 'given up' in error, 'what changed is not named: %s', error)
        expect(out.split() == [wanted], 'the root is %s, not %s', out, wanted)
        # Under one.
        (source / 'deep' / '17').write_bytes(b'another')
        command = begin()
        with open(late, 'ab') as file:
            file.write(b'more')
        _, error = command.end(CHANGED)
        expect('source/large' in error, 'what changed is not named: %s', error)
        expect(not daemon.api.get_lines('/uploads'), 'an upload that nobody can end stays open')
        eventually(lambda: not daemon.storage()['reserved_bytes'], 'its space stays reserved')
        expect(not list((bench.directory / 'state').rglob('upload.json')), 'the client remembers it')
        daemon.expect_agreement()


def uploads_at_once_share_the_rate_and_their_roots_keep_the_order(bench):
    """The first path is the largest, so that the others end before it."""
    paths = []
    for number, size in enumerate((20 * MIB, 8 * MIB, 100, 6 * MIB, 0)):
        paths.append(bench.directory / ('source-%d' % number))
        paths[-1].write_bytes(random_bytes('jobs %d' % number, size))
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        wanted = [client.add(path) for path in paths]
        for root in set(wanted):
            daemon.unpin(root)
        start = time.monotonic()
        command = client.start('add', '-Q', '--jobs', '4', '--limit-upload', '10MB', *paths)
        eventually(lambda: len(daemon.pins()) >= 2, 'none of the later paths is there')
        expect(command.process.poll() is None, 'the large upload has ended before the others')
        out, _ = command.end()
        seconds = time.monotonic() - start
        expect(out.split() == wanted, 'the roots are %s, not %s', out.split(), wanted)
        expect(seconds > 3.2, '34 MiB took %.1f s', seconds)
        # One that fails keeps others from beginning, and none of those that have begun from ending.
        missing = bench.directory / 'missing'
        for root in set(wanted):
            daemon.unpin(root)
        out, error = client.run('add', '-Q', '--jobs', '2', paths[0], missing, *paths[1:], status=LOCAL)
        expect(out.split() == wanted[:1], 'beside one that fails comes %s', out)
        expect('missing' in error and '4 more were not begun' in error, 'it is told: %s', error)
        expect(list(daemon.pins()) == wanted[:1], 'pinned are %s', list(daemon.pins()))
        daemon.expect_agreement()
    bench.note = '34 MiB at 10 MB a second took %.1f s' % seconds


def a_limit_to_the_rate_is_kept(bench):
    """Also by an upload that goes on, and what had been cut to pieces for it is sent in order."""
    source, size = bench.directory / 'file', 17 * MIB
    source.write_bytes(random_bytes('rate', size))
    with bench.daemon() as daemon, CountingProxy(daemon) as proxy:
        client, start = Client(bench, daemon.api), time.monotonic()
        proxy.at(5 * MIB + 1, proxy.cut)
        out, error = client.run('add', '-Q', '--limit-upload', '3MB', source, address=proxy.address)
        seconds = time.monotonic() - start
        expect(out.split() == [client.add('--only-hash', source)] and 'going on in' in error, 'the root is %s: %s', out, error)
    expect(seconds > 0.9 * size / 3e6, '17 MiB took %.1f s', seconds)
    bench.note = '17 MiB at 3 MB a second took %.1f s' % seconds


def what_got_through_counts_before_patience_ends(bench):
    """A failure, then a long request that brings much, then another failure."""
    source, size, log = bench.directory / 'file', 24 * MIB, bench.directory / 'log'
    source.write_bytes(random_bytes('patience', size))
    with bench.daemon(environment={'INGESTD_API_MAX_UPLOADS': '1'}) as daemon, CountingProxy(daemon) as proxy:
        client = Client(bench, daemon.api)
        wanted, other = client.add('--only-hash', source), Resumable(daemon)
        with other.begin_patch(0, MIB) as under_way, open(log, 'wb') as output:
            under_way.send(b'x')
            eventually(lambda: b'\ningestd_uploads_active 1\n' in daemon.api.get('/metrics').body, 'it does not begin')
            proxy.at(18 * MIB, proxy.cut)
            command = client.start(
                'add', '-Q', '--retry-for', '3s', '--limit-upload', '4MB', source, address=proxy.address, output=output)
            eventually(lambda: 'uploads are under way' in log.read_text(), 'it is not refused')
        status = command.process.wait(60)
        text = log.read_text()
        expect(status == 0 and wanted in text.split(), 'it ended with %d: %s', status, text)
        expect(text.count('going on in') >= 2, 'it has not failed twice: %s', text)


def a_service_that_reads_no_more_is_noticed(bench):
    """Its connection stands, and takes nothing."""
    source, log = bench.directory / 'file', bench.directory / 'log'
    source.write_bytes(random_bytes('stopped', 80 * MIB))
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        wanted = client.add('--only-hash', source)
        with open(log, 'wb') as output:
            command = client.start(
                'add', '-Q', '--limit-upload', '40MB', '--timeout', '2s', '--retry-for', '60s', source, output=output)
        eventually(lambda: daemon.api.get_lines('/uploads'), 'nothing is sent')
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            start = time.monotonic()
            eventually(lambda: 'going on in' in log.read_text(), 'it is not noticed')
            seconds = time.monotonic() - start
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        status = command.process.wait(60)
        expect(status == 0 and wanted in log.read_text().split(), 'it ended with %d: %s', status, log.read_text())
    bench.note = 'after %.1f s, with a timeout of 2' % seconds


def a_client_whose_coordinator_is_gone_is_told(bench):
    source = make_source(bench, 'gone')
    with Cluster(bench, arguments=['--grace-period', '2s']) as cluster, CountingProxy(cluster.peers[0]) as proxy:
        client = Client(bench, cluster.peers[1].api)
        command = client.start('add', '-Q', '--limit-upload', '10MB', source, address=proxy.address)
        eventually(lambda: proxy.sent > 8 * MIB, 'nothing is sent')
        proxy.target = cluster.peers[1]
        cluster.peers[0].kill()
        proxy.cut()
        _, error = command.end(REFUSED)
        expect('the peer that took it is lost' in error, 'it is not told so: %s', error)
        eventually(lambda: not any(storage['reserved_bytes'] for storage in cluster.peers[1].storages().values()),
                   'the space of the upload stays reserved')
        root = client.add(source)
        cluster.start()
        cluster.expect_agreement()
        cluster.peers[1].unpin(root)
        cluster.expect_empty()


CHECKS = [
    the_client_goes_on_whatever_is_killed, the_first_requests_of_an_add_are_tried_again,
    what_was_stored_and_removed_since_is_stored_again, standard_input_survives_the_network_and_the_daemon,
    a_file_that_is_no_archive_leaves_no_upload_open, an_interrupted_add_says_how_to_go_on,
    an_interrupt_ends_an_add_that_waits_for_standard_input,
    a_source_that_changes_is_named, a_limit_to_the_rate_is_kept, uploads_at_once_share_the_rate_and_their_roots_keep_the_order,
    what_got_through_counts_before_patience_ends, a_service_that_reads_no_more_is_noticed, a_client_whose_coordinator_is_gone_is_told]

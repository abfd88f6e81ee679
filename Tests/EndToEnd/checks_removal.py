"""Unpinning: what it frees, what it must not free, and what happens when everything happens at once."""
import collections
import dataclasses
import threading
import time

from cluster import Cluster, copies, dataset
from daemon import CheckFailed, eventually, expect
from forms import Entry, add, random_bytes
from wire import Exchange, WireError

MIB = 1 << 20


def shards_of(daemon, root):
    return [row['cid'] for row in daemon.api.get_json('/shards/' + root)['shards']]


def files_of(daemon):
    return {path.name.split('.')[0] for path in daemon.shard_paths}


def removing_a_root_frees_its_shards_but_not_shared_ones(bench):
    content = random_bytes('shared', 6 * MIB)
    with bench.daemon() as daemon:
        alone = add(daemon.api, [Entry('f', content)], shard_size=MIB).root
        used_alone = daemon.storage()['used_bytes']
        wrapped = add(daemon.api, [Entry('f', content)], shard_size=MIB, wrap_with_directory=True).root
        expect(alone and wrapped and alone != wrapped, 'roots %s and %s', alone, wrapped)
        first, second = set(shards_of(daemon, alone)), set(shards_of(daemon, wrapped))
        expect(first & second and first - second and second - first, 'the roots do not share some of their shards')
        used_both = daemon.storage()['used_bytes']
        expect(used_both < used_alone + 2 * MIB, 'shared shards are stored twice: %d, then %d', used_alone, used_both)
        # Re-adding what is there takes no space.
        expect(add(daemon.api, [Entry('f', content)], shard_size=MIB).root == alone, 'the same upload has another root')
        daemon.expect_agreement()
        expect(daemon.storage()['used_bytes'] == used_both, 'an upload of what is there takes space')

        daemon.unpin(alone)
        daemon.expect_agreement()
        expect(files_of(daemon) == second, 'on disk are %s, needed are %s', files_of(daemon), second)
        expect(daemon.api.get('/ipfs/%s/f' % wrapped).body == content, 'the other root does not read back')
        daemon.restart()
        daemon.expect_reads(wrapped + '/f', content)
        daemon.unpin(wrapped)
        daemon.expect_empty()
        answer = daemon.api.get('/ipfs/' + alone)
        expect(answer.status == 404, 'a removed root is still read: %d', answer.status)
        expect(add(daemon.api, [Entry('f', content)], shard_size=MIB).root == alone, 'adding again gives another root')
        daemon.expect_reads(alone, content)
        daemon.unpin(alone)
        daemon.restart()
        daemon.expect_empty()


def pins_expire_at_their_time_and_others_stay(bench):
    kept, expiring = dataset('kept', 3 * MIB), dataset('expiring', 5 * MIB)
    with Cluster(bench) as cluster:
        stays = cluster.add(kept, **copies(2))
        later = cluster.add(dataset('later', MIB), expire_in='1h')
        ends = cluster.add(expiring, expire_in='1s', **copies(2))
        cluster.expect_reads(ends, expiring)
        for peer in cluster.peers:
            eventually(lambda: ends not in peer.pins(), 'a pin outlives its time')
        expect(set(cluster.peers[0].pins()) == {stays, later}, 'pinned are %s', cluster.peers[0].pins())
        cluster.expect_agreement()
        cluster.expect_reads(stays, kept)


def an_open_read_of_a_removed_root_goes_on_and_then_frees_the_space(bench):
    content = random_bytes('open read', 48 * MIB)
    with bench.daemon() as daemon:
        root = add(daemon.api, [Entry('f', content)], shard=False).root
        with Exchange(daemon.api, 'GET', '/ipfs/' + root) as exchange:
            head = exchange.answer_head()
            daemon.unpin(root)
            expect(not daemon.pins(), 'an open read keeps the pin')
            got = b''.join(exchange.answer_pieces(head))
        expect(got == content, 'a read that was open got %d of %d bytes', len(got), len(content))
        daemon.expect_empty()


def a_client_that_stops_reading_holds_nothing_for_long(bench):
    with bench.daemon(environment={'INGESTD_API_IDLE_TIMEOUT': '2s'}) as daemon:
        root = add(daemon.api, [Entry('f', random_bytes('stalled', 48 * MIB))]).root
        with Exchange(daemon.api, 'GET', '/ipfs/' + root) as exchange:
            exchange.answer_head()
            daemon.unpin(root)
            daemon.expect_empty()


@dataclasses.dataclass
class Event:
    """What one client was told, and between which moments it must have been so."""
    kind: str
    root: str
    begin: float
    end: float
    # Added, removed or read whole.
    took_effect: bool


class History:
    """Judges what clients saw against every order that their times allow."""

    def __init__(self):
        self.events, self._lock = [], threading.Lock()

    def record(self, event):
        with self._lock:
            self.events.append(event)

    def was_surely_pinned(self, root, begin, end):
        """An add had ended before, and no removal may come after it and before `end`."""
        removals = [event for event in self.events if event.kind == 'remove' and event.root == root and event.took_effect]
        return any(
            add.kind == 'add' and add.root == root and add.took_effect and add.end <= begin
            and not any(removal.end > add.begin and removal.begin < end for removal in removals)
            for add in self.events)

    def expect_nothing_lost(self):
        """How many reads and removals had to succeed."""
        must = 0
        for event in self.events:
            if event.kind != 'add' and self.was_surely_pinned(event.root, event.begin, event.end):
                must += 1
                expect(event.took_effect, 'a %s of %s failed while it was pinned', event.kind, event.root)
        return must


class Upload:
    def __init__(self, daemon, content, **options):
        self.daemon, self.content, self.options = daemon, content, options
        self.path = '/f' if options.get('wrap_with_directory') else ''
        self.root = None

    def perform(self, kind, history):
        begin = time.monotonic()
        took_effect = getattr(self, kind)()
        history.record(Event(kind, self.root, begin, time.monotonic(), took_effect))

    def add(self):
        added = add(self.daemon.api, [Entry('f', self.content)], **self.options)
        expect(added.root, 'an add failed: %s', added)
        expect(self.root in (None, added.root), 'the same upload gave %s, then %s', self.root, added.root)
        self.root = added.root
        return True

    def remove(self):
        answer = self.daemon.api.request('DELETE', '/pins/' + self.root)
        expect(answer.status in (200, 404), 'a removal: %s', answer)
        return answer.status == 200

    def read(self):
        answer = self.daemon.api.get('/ipfs/' + self.root + self.path)
        is_whole = answer.status == 200 and not answer.cut
        # A root may go while it is read; then the answer is no more, or cut, but never wrong.
        expect(answer.status in (200, 404) or answer.status >= 500, 'a read: %s', answer)
        expect(answer.status < 500, 'a read during removal was answered %s', answer)
        expect(self.content.startswith(answer.body) or answer.status != 200, 'a read gave wrong bytes')
        return is_whole and answer.body == self.content


def adding_removing_and_reading_at_once_loses_and_leaks_nothing(bench):
    rounds, batch = bench.options.rounds, 40
    content = random_bytes('at once', 3 * MIB)
    with bench.daemon() as daemon:
        history = History()
        # Two roots that share shards, so that a removal of one meets an add of the other.
        uploads = [Upload(daemon, content, shard_size=MIB), Upload(daemon, content, shard_size=MIB, wrap_with_directory=True)]
        for upload in uploads:
            upload.perform('add', history)
        jobs = [(kind, bench.random.choice(uploads)) for kind in ('add', 'remove', 'read') for _ in range(rounds)]
        bench.random.shuffle(jobs)
        for number, start in enumerate(range(0, len(jobs), batch)):
            some = jobs[start:start + batch]
            if number % 2:
                # One of the roots stays this time, while the other, which shares its shards, comes and goes.
                steady, other = uploads[::1 if number % 4 == 1 else -1]
                steady.perform('add', history)
                some = [(kind, other if kind == 'remove' else upload) for kind, upload in some]
            run_at_once(some, history)
            daemon.expect_agreement()
            for upload in uploads:
                upload_must_be_whole_if_listed(daemon, upload, history)
            if not daemon.pins():
                expect(not any(upload.read() for upload in uploads), 'nothing is pinned and a root can be read')
        must = history.expect_nothing_lost()
        counts = collections.Counter((event.kind, event.took_effect) for event in history.events)
        for root in daemon.pins():
            daemon.unpin(root)
        daemon.expect_empty()
        daemon.restart()
        daemon.expect_empty()
        bench.note = '%s; %d reads and removals had to succeed and did' % (
            ', '.join('%d %s %s' % (count, kind, 'done' if done else 'refused') for (kind, done), count in sorted(counts.items())), must)


def run_at_once(jobs, history, worker_count=6):
    """Performs jobs from several threads, in order as each gets to it."""
    waiting, failures, lock = collections.deque(jobs), [], threading.Lock()

    def work():
        while True:
            with lock:
                if not waiting or failures:
                    return
                kind, upload = waiting.popleft()
            try:
                upload.perform(kind, history)
            except (CheckFailed, WireError) as failure:
                failures.append(failure)
    threads = [threading.Thread(target=work) for _ in range(worker_count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def upload_must_be_whole_if_listed(daemon, upload, history):
    """While nothing else goes on: a root that is listed reads back, and one that must be listed is."""
    is_listed = upload.root in daemon.pins()
    now = time.monotonic()
    if history.was_surely_pinned(upload.root, now, now):
        expect(is_listed, 'root %s was added, never removed since, and is gone', upload.root)
    if is_listed:
        daemon.expect_reads(upload.root + upload.path, upload.content)


CHECKS = [
    removing_a_root_frees_its_shards_but_not_shared_ones, pins_expire_at_their_time_and_others_stay,
    an_open_read_of_a_removed_root_goes_on_and_then_frees_the_space,
    a_client_that_stops_reading_holds_nothing_for_long,
    adding_removing_and_reading_at_once_loses_and_leaks_nothing]

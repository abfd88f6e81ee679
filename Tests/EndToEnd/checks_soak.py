"""A cluster at work for long: uploads, reads, removals and kills, and what must not grow meanwhile."""
import collections
import contextlib
import os
import pathlib
import random
import statistics
import threading
import time

from checks_resume import Resumable
from cluster import MIB, VotingCluster, copies, dataset, entries
from daemon import CheckFailed, descriptors_of, eventually, expect, resident_bytes
from forms import Form, add
from wire import WireError

SHARD_BYTES = 2 * MIB
# Roots beyond these are removed, the oldest first; where that comes behind, nothing is added meanwhile.
KEPT_ROOTS, MOST_ROOTS = 20, 40
# Between two kills, and until what was killed starts again, in seconds at most.
KILL_INTERVAL, DOWNTIME = 12, 4
# Minutes after which a daemon that is used has got warm, and the least number of looks at one.
WARM_MINUTES, LEAST_SAMPLES = 10, 3
# What a process takes, and what starts anew with it.
OF_PROCESS = ('resident', 'descriptors', 'others', 'threads', 'etcd_resident', 'etcd_descriptors')
# What a state keeps of each command for replay and `why`, and what etcd writes of it.
COMMAND_BYTES = 4096
# In memory are the outcomes of the last commands, and what became of the last uploads (rfcs/0003).
OUTCOMES, OUTCOME_BYTES, ENDED_UPLOADS, ENDED_UPLOAD_BYTES = 65_536, 256, 50_000, 1536
# On etcd's disk are always a ballast, and of its log the part in use and up to two that are made ahead; up to five
# former parts, once so much was written; and a database, which is made anew when it is larger and half of it unused.
ETCD_BALLAST_BYTES, ETCD_LOG_BYTES, ETCD_FORMER_LOGS, ETCD_DATABASE_BYTES = 64 * MIB, 64_000_000, 5, 128 * MIB
# In its memory are the last commands: between two snapshots 10,000, and 5,000 for members that are behind.
ETCD_COMMANDS = 15_000
# Of each so many at least. Two cores that have other things to do make four times as many.
LEAST_A_MINUTE = {
    'uploads': 15, 'uploads in pieces': 15, 'reads': 100, 'removals': 10, 'kills': 1, 'kills of etcd': 0.25}


class Root:
    def __init__(self, cid, files):
        self.cid, self.files, self.lock = cid, files, threading.Lock()


class Door:
    """A peer as clients see it: it may be gone at any time."""

    def __init__(self, peer):
        self._peer = peer

    @property
    def api(self):
        if api := self._peer.api:
            return api
        raise WireError('%s does not listen' % self._peer.directory.name)


class Sample:
    """What a daemon and its etcd have taken at a moment without work."""

    def __init__(self, peer, upload_count=0):
        self.time, self.uploads = time.monotonic(), upload_count
        pid, directory = peer.process.pid, peer.directory
        member, = eventually(lambda: peer.etcd_pids, 'no etcd runs')
        self.resident = resident_bytes(pid)
        opened = descriptors_of(pid)
        self.descriptors = len(opened)
        # Files of shards stay open, and there may be more of them.
        self.others = len([name for name in opened if '.car' not in name])
        self.threads = len(list(pathlib.Path('/proc/%d/task' % pid).iterdir()))
        self.commands = int(peer.api.get_json('/state/digest')['applied_index'])
        self.stored = tree_bytes(directory / 'shards')
        self.etcd = tree_bytes(directory / 'etcd')
        self.etcd_resident, self.etcd_descriptors = resident_bytes(member), len(descriptors_of(member))
        self.state = sum(path.stat().st_size for path in directory.glob('state.sqlite*'))
        self.rest = tree_bytes(directory) - self.stored - self.etcd - self.state

    def __str__(self):
        return (
            '%.1f MiB resident, %d descriptors (%d of no shard), %d threads; '
            '%d commands, state %.1f MiB, shards %.1f, other %.2f; etcd %.1f, %.1f resident, %d descriptors') % (
                self.resident / MIB, self.descriptors, self.others, self.threads,
                self.commands, self.state / MIB, self.stored / MIB, self.rest / MIB,
                self.etcd / MIB, self.etcd_resident / MIB, self.etcd_descriptors)


def tree_bytes(directory):
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total


class Work:
    """Threads that use a cluster until they are told to pause. What they find wrong ends the check."""

    def __init__(self, bench, cluster):
        self._bench, self._cluster = bench, cluster
        self.roots, self.lock = collections.deque(), threading.Lock()
        self.counts, self.faults = collections.Counter(), []
        # Who is killed now and then. The first peer lives through all of it, each other one through a half.
        self.victim = cluster.peers[2]
        self._pause, self._number = threading.Event(), 0

    def period(self, seconds):
        """Works for so long, and returns when nothing is under way and all peers run."""
        self._pause.clear()
        jobs = [self._upload, self._upload, self._read, self._remove, self._kill]
        threads = [
            threading.Thread(target=self._repeat, args=(job, self._bench.random.getrandbits(32))) for job in jobs]
        for thread in threads:
            thread.start()
        self._pause.wait(seconds)
        self._pause.set()
        for thread in threads:
            thread.join()
        expect(not self.faults, '%d faults, the first: %s', len(self.faults), self.faults[:1])

    def _repeat(self, job, seed):
        generator = random.Random(seed)
        while not self._pause.is_set():
            try:
                job(generator)
            except (WireError, OSError):
                # Whoever was asked was killed meanwhile.
                self.counts['unanswered'] += 1
            except Exception as error:
                self.faults.append('%s: %r' % (job.__name__, error))
                self._pause.set()

    def _peer(self, generator):
        return Door(generator.choice(self._cluster.peers))

    def _upload(self, generator):
        if len(self.roots) >= MOST_ROOTS:
            time.sleep(0.05)
            return
        with self.lock:
            self._number += 1
            number = self._number
        sizes = [generator.choice((10, 3000, 200_000, MIB, 5 * MIB)) for _ in range(generator.randint(1, 6))]
        files, peer = dataset('soak %d' % number, *sizes), self._peer(generator)
        parameters = {'shard-size': SHARD_BYTES, 'name': 'soak-%d' % number, **copies(2)}
        if generator.random() < 0.5:
            added = add(peer.api, entries(files), is_chunked=True, **parameters)
            root = added.root
            self.counts['uploads' if root else 'refused'] += 1
        else:
            root = self._upload_in_pieces(generator, peer, files, parameters)
            self.counts['uploads in pieces' if root else 'abandoned'] += 1
        if root:
            with self.lock:
                self.roots.append(Root(root, files))

    def _upload_in_pieces(self, generator, peer, files, parameters):
        form = Form(entries(files))
        upload = Resumable(peer, [form.header], format='multipart', **parameters)
        body, offset, is_certain = form.bytes, 0, True
        if generator.random() < 0.1:
            with contextlib.suppress(WireError, OSError):
                answer = upload.patch(0, body[:len(body) // 2])
                assert answer.status in (204, 503), 'a piece is not taken: %s' % answer
            return self._abandon(peer, upload)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(WireError, OSError):
                if is_certain:
                    is_certain = False
                    end = min(len(body), offset + generator.choice((100_000, MIB, 4 * MIB)))
                    answer = upload.patch(offset, body[offset:end], is_last=end == len(body))
                else:
                    answer = peer.api.request('HEAD', upload.path)
                assert answer.status in (200, 204, 503), 'an upload of which there are %d bytes: %s' % (offset, answer)
                if 'upload-root' in answer.headers:
                    return answer.headers['upload-root']
                if answer.status != 503:
                    found = int(answer.headers['upload-offset'])
                    assert found >= offset, '%d bytes were acknowledged, %d are there' % (offset, found)
                    offset, is_certain = found, True
                    continue
            # Whoever has it was killed, and comes back.
            self.counts['resumed'] += 1
            time.sleep(0.3)
        raise AssertionError('an upload does not end')

    @staticmethod
    def _abandon(peer, upload):
        """Aborts an upload that would stay open otherwise, whoever is killed meanwhile."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(WireError, OSError):
                if peer.api.request('DELETE', upload.path).status in (204, 404, 410):
                    return
            time.sleep(0.3)
        raise AssertionError('an upload cannot be aborted')

    def _read(self, generator):
        with self.lock:
            root = generator.choice(self.roots) if self.roots else None
        if not root or not root.lock.acquire(timeout=0.1):
            time.sleep(0.05)
            return
        try:
            name = generator.choice(sorted(root.files))
            answer = self._peer(generator).api.get('/ipfs/%s/%s' % (root.cid, name))
            if answer.status != 200 or answer.cut:
                self.counts['reads refused'] += 1
            else:
                assert answer.body == root.files[name], '%s/%s has other bytes' % (root.cid, name)
                self.counts['reads'] += 1
        finally:
            root.lock.release()

    def _remove(self, generator):
        with self.lock:
            root = self.roots.popleft() if len(self.roots) > KEPT_ROOTS else None
        if not root:
            time.sleep(0.05)
            return
        with root.lock:
            answer = self._peer(generator).api.request('DELETE', '/pins/' + root.cid)
            self.counts['removals' if answer.status == 200 else 'refused'] += 1

    def _kill(self, generator):
        self._pause.wait(generator.uniform(1, KILL_INTERVAL))
        # Every fourth, but for the first ones.
        if self.counts['kills of etcd'] * 3 < self.counts['kills']:
            generator.choice(self._cluster.peers[1:]).member.kill()
            self.counts['kills of etcd'] += 1
            return
        self.victim.kill()
        self.counts['kills'] += 1
        self._pause.wait(generator.uniform(0, DOWNTIME))
        self.victim.start()

    @property
    def upload_count(self):
        """Of all that have ended."""
        return sum(self.counts[what] for what in ('uploads', 'uploads in pieces', 'abandoned', 'refused'))

    def expect_enough(self, minutes):
        """It has worked, and was hardly ever refused."""
        for what, least in LEAST_A_MINUTE.items():
            expect(self.counts[what] >= least * minutes, 'in %g minutes %d %s', minutes, self.counts[what], what)
        done = sum(self.counts[what] for what in LEAST_A_MINUTE)
        refused = self.counts['refused'] + self.counts['reads refused']
        expect(refused <= 5 + done / 100, '%d times refused, %d done', refused, done)
        unanswered = self.counts['unanswered']
        expect(unanswered <= 5 + done / 2, '%d times not answered, %d done', unanswered, done)


class Growth:
    """What a peer has taken over time.

    What its process takes is compared over the time in which it was not killed."""

    def __init__(self, peer):
        self.peer, self.name, self.first = peer, peer.directory.name, Sample(peer)
        self.samples, self.alive = [], []

    def note(self, is_spared, upload_count):
        self.samples.append(Sample(self.peer, upload_count))
        if is_spared:
            self.alive.append(self.samples[-1])
        return '%s %s  %s' % (self.name, 'lives ' if is_spared else 'killed', self.samples[-1])

    def _samples_of(self, figure):
        return self.alive if figure in OF_PROCESS else self.samples

    def latest(self, figure):
        return getattr(self._samples_of(figure)[-1], figure)

    def _warm(self, figure):
        samples = self._samples_of(figure)
        cold = sum(sample.time - samples[0].time < WARM_MINUTES * 60 for sample in samples)
        # Of few, a third is to warm up.
        return samples[min(cold, len(samples) // 3):]

    @property
    def remembered_bytes(self):
        """By how much what is remembered in memory of commands and uploads has grown."""
        first, *_, last = self._warm('resident')
        outcomes = min(OUTCOMES, last.commands) - min(OUTCOMES, first.commands)
        uploads = min(ENDED_UPLOADS, last.uploads) - min(ENDED_UPLOADS, first.uploads)
        return outcomes * OUTCOME_BYTES + uploads * ENDED_UPLOAD_BYTES

    def of(self, figure):
        """By a straight line through all samples that are warm."""
        warm = self._warm(figure)
        times = [sample.time for sample in warm]
        slope, _ = statistics.linear_regression(times, [getattr(sample, figure) for sample in warm])
        return slope * (times[-1] - times[0])

    def expect_small(self, minutes, is_etcd_spared):
        """`minutes`: how long it was not killed."""
        if minutes >= WARM_MINUTES:
            expect(self.of('resident') <= 16 * MIB + self.remembered_bytes,
                   '%s grew by %.1f MiB, of which %.1f may be what it remembers',
                   self.name, self.of('resident') / MIB, self.remembered_bytes / MIB)
            expect(self.of('threads') <= 4, '%s has %d more threads', self.name, self.of('threads'))
            expect(self.of('others') <= 16, '%s has %d more descriptors of no shard', self.name, self.of('others'))
        if minutes >= WARM_MINUTES and is_etcd_spared:
            limit = COMMAND_BYTES * min(ETCD_COMMANDS, self.of('commands')) + 16 * MIB
            expect(self.of('etcd_resident') <= limit, 'etcd of %s grew by %.1f MiB for %d commands',
                   self.name, self.of('etcd_resident') / MIB, self.of('commands'))
            expect(self.of('etcd_descriptors') <= 16, 'etcd of %s has %d more descriptors',
                   self.name, self.of('etcd_descriptors'))
        for sample in self.samples:
            written = COMMAND_BYTES * sample.commands
            log = ETCD_LOG_BYTES * (3 + min(ETCD_FORMER_LOGS, written // ETCD_LOG_BYTES))
            limit = ETCD_BALLAST_BYTES + log + min(ETCD_DATABASE_BYTES, written) + MIB
            expect(sample.etcd <= limit, 'etcd of %s takes %d bytes, not %d, for %d commands',
                   self.name, sample.etcd, limit, sample.commands)
        expect(self.of('rest') <= MIB, '%s has %d bytes more beside shards, state and etcd', self.name, self.of('rest'))
        limit = COMMAND_BYTES * self.of('commands') + MIB
        expect(self.of('state') <= limit, 'the state of %s grew by %d bytes for %d commands',
               self.name, self.of('state'), self.of('commands'))

    def expect_closed(self):
        """Nothing is stored any more, and connections that nobody uses are closed after a while."""
        try:
            eventually(lambda: Sample(self.peer).descriptors <= self.first.descriptors + 10, 'too many')
        except CheckFailed:
            raise CheckFailed('%s keeps more descriptors than the %d it began with:\n%s' % (
                self.name, self.first.descriptors, '\n'.join(descriptors_of(self.peer.process.pid)))) from None
        kept = [name for name in descriptors_of(self.peer.process.pid) if '.car (deleted)' in name]
        expect(not kept, 'shards that are gone take space of %s: %s', self.name, kept)
        last = Sample(self.peer)
        expect(last.stored == 0, '%d bytes of shards are left on %s', last.stored, self.name)
        return last


def nothing_grows_but_what_is_stored(bench):
    """On any peer, for `--soak` minutes."""
    minutes = bench.options.soak
    period = max(5, minutes * 60 / 30)
    with VotingCluster(bench) as cluster:
        cluster.expect_voters(3)
        growths = always, early, late = [Growth(peer) for peer in cluster.peers]
        work, begin = Work(bench, cluster), time.monotonic()
        while time.monotonic() - begin < minutes * 60 or len(late.alive) < LEAST_SAMPLES:
            is_late = time.monotonic() - begin >= minutes * 30 and len(early.alive) >= LEAST_SAMPLES
            spared = (always, late) if is_late else (always, early)
            work.victim = (early if is_late else late).peer
            work.period(period)
            cluster.expect_up()
            cluster.expect_voters(3)
            try:
                cluster.expect_agreement()
            except CheckFailed as failure:
                opened = cluster.peers[0].api.get_lines('/uploads')
                raise CheckFailed('%s; open uploads: %s' % (failure, opened)) from None
            for growth in growths:
                line = growth.note(growth in spared, work.upload_count)
                if minutes > 2:
                    print('    %4d min  %s' % ((time.monotonic() - begin) / 60, line), flush=True)
        for root in work.roots:
            for name, content in root.files.items():
                cluster.peers[0].expect_reads('%s/%s' % (root.cid, name), content)
        cluster.expect_sound()
        for pin in cluster.peers[0].pins():
            cluster.peers[0].unpin(pin)
        cluster.expect_empty()
        last = [growth.expect_closed() for growth in growths]
        cluster.checked_states()
    work.expect_enough(minutes)
    for growth in growths:
        growth.expect_small(minutes if growth is always else minutes / 2, growth is always)

    def worst(figure, unit=1):
        growth = max(growths, key=lambda growth: growth.of(figure))
        return '%s %+.4g to %.4g (%s)' % (figure, growth.of(figure) / unit, growth.latest(figure) / unit, growth.name)
    bench.note = '%s; most growth of three in MiB: %s; %.1f may be what memory keeps of commands and uploads; in number: %s; at the end %s' % (
        ', '.join('%d %s' % (number, what) for what, number in sorted(work.counts.items())),
        ', '.join(worst(figure, MIB) for figure in ('resident', 'rest', 'state', 'etcd', 'etcd_resident')),
        max(growth.remembered_bytes for growth in growths) / MIB,
        ', '.join(map(worst, ('descriptors', 'others', 'threads', 'commands', 'etcd_descriptors'))),
        '; '.join('%s %s' % (growth.name, sample) for growth, sample in zip(growths, last)))


CHECKS = [nothing_grows_but_what_is_stored]

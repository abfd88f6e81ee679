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
from daemon import CheckFailed, eventually, expect
from forms import Form, add
from wire import WireError

SHARD_BYTES = 2 * MIB
# Roots beyond these are removed, the oldest first.
KEPT_ROOTS = 20
# Between two kills, and until what was killed starts again, in seconds at most.
KILL_INTERVAL, DOWNTIME = 12, 4
# What a state keeps of each command for replay and `why`.
COMMAND_BYTES = 4096


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

    def __init__(self, peer):
        pid, directory = peer.process.pid, peer.directory
        self.resident = resident_bytes(pid)
        self.descriptors = len(list(pathlib.Path('/proc/%d/fd' % pid).iterdir()))
        self.threads = len(list(pathlib.Path('/proc/%d/task' % pid).iterdir()))
        self.commands = int(peer.api.get_json('/state/digest')['applied_index'])
        self.stored = tree_bytes(directory / 'shards')
        self.etcd = tree_bytes(directory / 'etcd')
        self.state = sum(path.stat().st_size for path in directory.glob('state.sqlite*'))
        self.rest = tree_bytes(directory) - self.stored - self.etcd - self.state

    def __str__(self):
        return '%.1f MiB resident, %d descriptors, %d threads; %d commands, state %.1f MiB, etcd %.1f, shards %.1f, other %.2f' % (
            self.resident / MIB, self.descriptors, self.threads, self.commands, self.state / MIB, self.etcd / MIB,
            self.stored / MIB, self.rest / MIB)


def resident_bytes(pid):
    line, = [line for line in open('/proc/%d/status' % pid) if line.startswith('VmRSS')]
    return int(line.split()[1]) * 1024


def descriptors_of(pid):
    """What a process has open, with both ends of its connections."""
    ends = {}
    for line in [line for name in ('tcp', 'tcp6') for line in open('/proc/%d/net/%s' % (pid, name))]:
        words = line.split()
        if words[0] != 'sl':
            ports = [int(word.rsplit(':', 1)[1], 16) for word in words[1:3]]
            ends['socket:[%s]' % words[9]] = 'port %d to port %d, state %s' % (*ports, words[3])
    names = []
    for path in pathlib.Path('/proc/%d/fd' % pid).iterdir():
        with contextlib.suppress(FileNotFoundError):
            name = os.readlink(path)
            names.append('%s %s' % (name, ends.get(name, '')))
    return sorted(names)


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
        body, offset = form.bytes, 0
        if generator.random() < 0.1:
            upload.patch(0, body[:len(body) // 2])
            peer.api.request('DELETE', upload.path)
            return None
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                end = min(len(body), offset + generator.choice((100_000, MIB, 4 * MIB)))
                answer = upload.patch(offset, body[offset:end], is_last=end == len(body))
                if answer.status == 200:
                    return answer.headers['upload-root']
                if answer.status != 204:
                    raise WireError('PATCH: %s' % answer)
                offset = end
            except (WireError, OSError):
                # Whoever has it was killed, and comes back.
                self.counts['resumed'] += 1
                time.sleep(0.3)
                with contextlib.suppress(WireError, OSError):
                    answer = peer.api.request('HEAD', upload.path)
                    assert answer.status not in (404, 410), 'an upload is gone: %s' % answer
                    if answer.status == 200:
                        found = int(answer.headers['upload-offset'])
                        assert found >= offset, '%d bytes were acknowledged, %d are there' % (offset, found)
                        offset = found
                        if 'upload-root' in answer.headers:
                            return answer.headers['upload-root']
        raise AssertionError('an upload does not end')

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
        """The first peer lives on: its figures tell of growth."""
        self._pause.wait(generator.uniform(1, KILL_INTERVAL))
        victim = generator.choice(self._cluster.peers[1:])
        if generator.random() < 0.25:
            victim.member.kill()
            self.counts['kills of etcd'] += 1
            return
        victim.kill()
        self.counts['kills'] += 1
        self._pause.wait(generator.uniform(0, DOWNTIME))
        victim.start()


def nothing_grows_but_what_is_stored(bench):
    """For `--soak` minutes; the last third is compared with the one before, the first is for warming up."""
    period = max(5, bench.options.soak * 60 / 30)
    samples = []
    with VotingCluster(bench) as cluster:
        cluster.expect_voters(3)
        first = Sample(cluster.peers[0])
        work, ends = Work(bench, cluster), time.monotonic() + bench.options.soak * 60
        while time.monotonic() < ends or len(samples) < 6:
            work.period(period)
            cluster.expect_up()
            cluster.expect_voters(3)
            cluster.expect_agreement()
            samples.append(Sample(cluster.peers[0]))
            if bench.options.soak > 2:
                print('    %4d min  %s' % (len(samples) * period / 60, samples[-1]), flush=True)
        for root in work.roots:
            for name, content in root.files.items():
                cluster.peers[0].expect_reads('%s/%s' % (root.cid, name), content)
        cluster.expect_sound()
        for pin in cluster.peers[0].pins():
            cluster.peers[0].unpin(pin)
        cluster.expect_empty()
        # Connections that nobody uses are closed after a while.
        try:
            eventually(lambda: Sample(cluster.peers[0]).descriptors <= first.descriptors + 10, 'too many')
        except CheckFailed:
            raise CheckFailed('the daemon keeps more descriptors than the %d it began with:\n%s' % (
                first.descriptors, '\n'.join(descriptors_of(cluster.peers[0].process.pid)))) from None
        kept = [name for name in descriptors_of(cluster.peers[0].process.pid) if '.car (deleted)' in name]
        expect(not kept, 'shards that are gone take space: %s', kept)
        last = Sample(cluster.peers[0])
        cluster.checked_states()
    third = len(samples) // 3
    before, after = samples[third:2 * third], samples[-third:]

    def growth(name):
        middle = [statistics.median(getattr(sample, name) for sample in part) for part in (before, after)]
        return middle[1] - middle[0]
    # In a few minutes, all of it is warming up.
    if bench.options.soak >= 10:
        expect(growth('resident') <= 16 * MIB, 'the daemon grew by %.1f MiB', growth('resident') / MIB)
        expect(growth('threads') <= 4, 'the daemon has %d more threads', growth('threads'))
    expect(growth('rest') <= MIB, '%d bytes more beside shards, state and etcd', growth('rest'))
    expect(growth('state') <= COMMAND_BYTES * growth('commands') + MIB, 'the state grew by %d bytes for %d commands',
           growth('state'), growth('commands'))
    expect(last.stored == 0, '%d bytes of shards are left', last.stored)
    counts = ', '.join('%d %s' % (number, what) for what, number in sorted(work.counts.items()))
    bench.note = '%s; resident %+.1f MiB to %.1f, descriptors %d to %d, state %.2f KiB a command, at the end %s' % (
        counts, growth('resident') / MIB, after[-1].resident / MIB, first.descriptors, last.descriptors,
        growth('state') / 1024 / max(1, growth('commands')), last)


CHECKS = [nothing_grows_but_what_is_stored]

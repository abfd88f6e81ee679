"""Clusters under load: many uploads at once, nearly full disks, peers that die, and what none of it may cost."""
import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import threading
import time

from checks_client import expect_same_tree
from client import Client
from checks_cluster import expect_copies
from checks_space import expect_no_space, small_disk
from checks_upload import expect_valid_shards
from cluster import MIB, SHARD_BYTES, Cluster, VotingCluster, copies, dataset, entries, expect_in_time
from daemon import CheckFailed, eventually, expect
from forms import Entry, add, random_bytes
from proxies import Proxy
from reference_solver import best_placement
from wire import WireError


def pieces_of(seed, byte_count):
    """Bytes that cost little to make, in which no two chunks are alike, nor like those of another seed."""
    piece = random_bytes(seed, MIB)
    for start in range(0, byte_count, MIB + 8):
        # The same bytes begin at another place in their chunk each time.
        yield (start.to_bytes(8, 'big') + piece)[:byte_count - start]


# ---- room

class Watch:
    """Looks at the peers as all of them list each other, without a pause, as long as its body runs."""

    def __init__(self, cluster):
        self._peers, self._threads, self._ends = cluster.peers, [], threading.Event()
        # Of all looks: their number, the largest part of a capacity promised, and what must not have been.
        self.count, self.fullest, self.faults = 0, 0, []

    def __enter__(self):
        self._threads = [threading.Thread(target=self._look_on, args=(peer,), daemon=True) for peer in self._peers]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _look_on(self, peer):
        while not self._ends.is_set():
            try:
                self._look(peer.storages())
            except WireError as error:
                self.faults.append(str(error))
                return

    def _look(self, storages):
        self.count += 1
        for other, storage in storages.items():
            promised, capacity = storage['used_bytes'] + storage['reserved_bytes'], storage['capacity_bytes']
            self.fullest = max(self.fullest, promised / capacity)
            if promised > capacity:
                self.faults.append('%d bytes are promised of the %d of peer %s' % (promised, capacity, other))

    def expect_room(self, least_count):
        expect(not self.faults, 'of %d looks, %d found: %s', self.count, len(self.faults), self.faults[:1])
        expect(self.count >= least_count, 'only %d looks were taken', self.count)


def stop_together(cluster):
    """Stops all peers at once: none is left to say of another that it is gone."""
    with concurrent.futures.ThreadPoolExecutor(len(cluster.peers)) as beside:
        list(beside.map(lambda peer: peer.stop(), cluster.peers))


def check_states(bench, cluster):
    """Replays the log of each peer, all of which are stopped; how full a peer ever was at most."""
    digests, fullest = collections.defaultdict(set), 0
    for peer in cluster.peers:
        done = subprocess.run(
            [str(bench.options.daemon), 'state', 'check', '--data', str(peer.directory)], stdin=subprocess.DEVNULL,
            capture_output=True, text=True)
        expect(done.returncode == 0, 'the log of %s: status %d, %s', peer.id, done.returncode, done.stderr or done.stdout)
        found = json.loads(done.stdout)
        expect(found['commands'] > 0, 'the log of %s has no commands', peer.id)
        digests[found['applied_index']].add(found['digest'])
        fullest = max(fullest, float(found['fullest']))
    expect(fullest <= 1, 'a peer was %.4f full', fullest)
    for index, different in digests.items():
        expect(len(different) == 1, 'at index %s the states are %s', index, sorted(different))
    expect(len(digests) < len(cluster.peers), 'no two peers have applied the same: %s', list(digests))
    return fullest


def sixteen_uploads_into_a_nearly_full_cluster_commit_or_are_refused_in_time(bench):
    capacities = [40 * MIB, 56 * MIB, 72 * MIB, 64 * MIB]
    kept = dataset('nearly full', 46 * MIB, 30 * MIB)
    with Cluster(bench, peers=len(capacities), capacities=capacities) as cluster:
        root = cluster.add(kept, **copies(2))
        with Watch(cluster) as watch:
            bench.note = upload_sixteen(bench, cluster, root, kept, SHARD_BYTES)
        watch.expect_room(16)
        stop_together(cluster)
        bench.note += '; fullest %.4f in %d looks, %.4f by the logs' % (
            watch.fullest, watch.count, check_states(bench, cluster))


def sixteen_uploads_onto_disks_that_are_their_etcds_too_fill_none(bench):
    """What a peer lends is what its disk has, beside the spool, the records and the member of etcd on it."""
    with contextlib.ExitStack() as disks:
        made = [disks.enter_context(small_disk(bench, 440 * MIB, 'disk%d' % number)) for number in range(3)]
        with VotingCluster(bench, peers=0) as cluster:
            for number, disk in enumerate(made):
                cluster.peers.append(cluster.make_peer('p%d' % number, directory=disk / 'p'))
            cluster.start()
            cluster.expect_voters(3)
            storages = cluster.peers[0].storages().values()
            free = min(storage['capacity_bytes'] for storage in storages)
            kept = dataset('nearly full', free * 2 // 3)
            root = cluster.add(kept, **copies(3))
            with contextlib.ExitStack() as looking:
                watches = [looking.enter_context(FreeSpaceWatch(disk)) for disk in made]
                # What waits for other peers waits on such a disk, too.
                bench.note = upload_sixteen(bench, cluster, root, kept, free // 20, 'upload through another peer')
            for peer in cluster.peers:
                expect('the disk is full' not in peer.log_text, 'etcd was in need:\n%s', peer.log_text)
            least = min(watch.least for watch in watches)
            # What is lent shrinks with a disk; no command may then add to what is promised.
            stop_together(cluster)
            bench.note += '; of %d MiB lent by each, %.0f MiB free on the fullest disk; fullest %.4f by the logs' % (
                free // MIB, least / MIB, check_states(bench, cluster))
            expect(least >= 8 * MIB, 'a disk became full: %s', bench.note)


def upload_sixteen(bench, cluster, root, kept, shard_size, other_reason=None):
    """Uploads of unknown length at once into a cluster with `root` alone; what became of them. One that is refused must
    be so for want of room for a new shard, or with the words `other_reason`."""
    free = sum(storage['capacity_bytes'] - storage['used_bytes'] for storage in cluster.peers[0].storages().values())
    # Some fit into what is left, many do not, and all together they need more than twice of it.
    parts = [1, 1, 2, 2, 3, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]
    bench.random.shuffle(parts)
    jobs = [
        (number, part * max(MIB, free // 80), bench.random.randrange(len(cluster.peers)), bench.random.choice((1, 1, 2, 3)))
        for number, part in enumerate(parts)]
    begin = threading.Barrier(len(jobs))

    def upload(job):
        number, size, through, copy_count = job
        begin.wait()
        return add(
            cluster.peers[through].api, [Entry('f', pieces_of(number, size))], is_chunked=True,
            shard_size=shard_size, **copies(copy_count))

    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as beside:
        uploads = list(beside.map(upload, jobs))
    cluster.expect_agreement()
    committed = {added.root: job for job, added in zip(jobs, uploads) if added.root}
    for job, added in zip(jobs, uploads):
        if not added.root:
            expect_no_space(added, 'upload %d of %d bytes through peer %d in %d copies' % job)
            if not other_reason or other_reason not in added.error['message']:
                expect_refused_before_a_shard(added.error['message'], shard_size)
    expect(set(cluster.peers[0].pins()) == {root, *committed}, 'pinned are %s', list(cluster.peers[0].pins()))
    expect(0 < len(committed) < len(jobs), '%d of %d uploads were committed', len(committed), len(jobs))
    for other, (number, size, *_) in committed.items():
        bench.random.choice(cluster.peers).expect_reads(other, b''.join(pieces_of(number, size)))
    cluster.expect_reads(root, kept, [bench.random.choice(cluster.peers)])
    cluster.expect_sound()
    return '%d committed, %d refused' % (len(committed), len(jobs) - len(committed))


def expect_refused_before_a_shard(message, shard_size):
    """It must be the room for a whole new shard that lacked, not room for one that was under way, nor a disk."""
    found = re.match(r'shard of (\d+) bytes needs (\d+) peers? with room, found (\d+) ', message)
    expect(found and int(found[1]) > shard_size and int(found[3]) < int(found[2]), 'refused for: %s', message)


class FreeSpaceWatch(threading.Thread):
    """Looks many times a second at how much of a file system is free."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.least = 1 << 62
        self._directory, self._ended = directory, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self.join()

    def run(self):
        while not self._ended.wait(0.01):
            disk = os.statvfs(self._directory)
            self.least = min(self.least, disk.f_bavail * disk.f_frsize)


def what_the_disk_of_a_coordinator_cannot_pass_on_is_refused_before_it_is_full(bench):
    def upload(number, size, **parameters):
        added = add(
            cluster.peers[0].api, [Entry('f', pieces_of('passed on %d' % number, size))], is_chunked=True,
            **copies(1), **parameters)
        if not added.root:
            expect_no_space(added, 'upload %d of %d bytes' % (number, size))
            expect('upload through another peer' in added.error['message'], 'refused for: %s', added.error)
        return added.root

    with small_disk(bench, 280 * MIB) as disk, Cluster(bench, peers=0) as cluster:
        # All shards are for the other one.
        cluster.peers.append(cluster.make_peer('p0', '--capacity', '1MiB', directory=disk / 'p0'))
        cluster.peers.append(cluster.make_peer('p1'))
        cluster.start()
        with FreeSpaceWatch(disk) as watch:
            expect(not upload(0, 300 * MIB, shard=False), 'a shard larger than the disk was taken')
            cluster.expect_agreement()
            with concurrent.futures.ThreadPoolExecutor(5) as beside:
                roots = list(beside.map(lambda number: upload(number, 58 * MIB, shard_size=60 * MIB), range(1, 6)))
            cluster.expect_agreement()
            expect(any(roots), 'none of those at once was taken')
            # Alone, it has room.
            expect(upload(6, 58 * MIB, shard_size=60 * MIB), 'a shard that fits was refused')
        cluster.expect_agreement()
        expect(watch.least >= 24 * MIB, 'of 32 MiB that a peer keeps for itself, %d bytes were left', watch.least)
        bench.note = '%d of 5 at once were refused, %.0f MiB free at the least' % (roots.count(None), watch.least / MIB)


# ---- balance

def fill_is_spread_as_well_as_the_best_placement_found(bench):
    shard_size = MIB
    told = []
    # Five peers of which no zone has more than half; and four of which one has more, so that it cannot be level.
    for name, zones, capacities in (
            ('level', 'aabbc', [96 * MIB, 128 * MIB, 192 * MIB, 256 * MIB, 224 * MIB]),
            ('lopsided', 'aabc', [56 * MIB, 72 * MIB, 96 * MIB, 280 * MIB])):
        bench.directory, above = bench.directory / name, bench.directory
        bench.directory.mkdir()
        with Cluster(bench, peers=len(zones), zones=zones, capacities=capacities) as cluster:
            fill_by_half(bench, cluster, sum(capacities), shard_size)
            cluster.expect_agreement()
            cluster.expect_sound()
            storages = cluster.peers[0].storages()
            expect_copies_apart(cluster, dict(zip(cluster.ids, zones)))
            sizes = {
                row['cid']: row['file_bytes'] for table in cluster.peers[0].api.get_lines('/shards')
                for row in table['shards']}
            stop_together(cluster)
        bench.directory = above
        fills = [
            (storage['used_bytes'] + storage['reserved_bytes']) / storage['capacity_bytes']
            for storage in map(storages.get, cluster.ids)]
        spread, best = max(fills) - min(fills), best_placement(capacities, zones, list(sizes.values()), 2).spread
        expect(0.45 <= sum(storage['used_bytes'] for storage in storages.values()) / sum(capacities) <= 0.55,
               'the cluster is not half full: %s', fills)
        tolerance = max(0.02, shard_size / min(capacities))
        expect(spread <= best + tolerance, 'the peers are filled to %s, %.4f apart; %.4f was possible',
               ['%.4f' % fill for fill in fills], spread, best)
        told.append('%s %.2f points, best found %.2f, %d shards' % (name, 100 * spread, 100 * best, len(sizes)))
    bench.note = '; '.join(told)


def fill_by_half(bench, cluster, capacity, shard_size):
    """Fills half of all space with uploads of two copies, four of which are always under way."""
    left, sizes = capacity // 4, []
    while left > 0:
        sizes.append(min(left, bench.random.randrange(MIB, 8 * MIB)))
        left -= sizes[-1]

    def upload(job):
        number, size = job
        added = add(
            cluster.peers[number % len(cluster.peers)].api, [Entry('f', pieces_of(number, size))], is_chunked=True,
            shard_size=shard_size, **copies(2))
        expect(added.root, 'an upload into a cluster that is half empty failed: %s', added)
    with concurrent.futures.ThreadPoolExecutor(4) as beside:
        list(beside.map(upload, enumerate(sizes)))


def expect_copies_apart(cluster, zones):
    """All zones had room, so no two copies may share one."""
    for shard, peers in expect_copies(cluster, 2).items():
        expect(len({zones[peer] for peer in peers}) == 2, 'both copies of shard %s are in zone %s', shard, zones[peers[0]])


# ---- peers that die

# So slow that half of the time it takes for one shard is more than what happens beside it.
GRACE_SECONDS, REPAIR_BYTES_PER_SECOND = 5, MIB


@dataclasses.dataclass
class Repair:
    """What a kill cost, and how long."""
    root: str
    # Of the shards that the state gave to the peer when the upload was committed.
    lost_bytes: int
    # From the kill until a survivor listed the peer as down, which its lease delays.
    notice: float
    # From then, or from the commit if that was later, until every shard had two copies on live disks again.
    seconds: float

    @property
    def bound(self):
        return GRACE_SECONDS + 1.5 * self.lost_bytes / REPAIR_BYTES_PER_SECOND

    def __str__(self):
        return '%.1f MiB lost, bound %.1f s, took %.1f s, noticed after %.1f s' % (
            self.lost_bytes / MIB, self.bound, self.seconds, self.notice)


def any_peer_killed_at_a_random_moment_costs_copies_only_for_a_while(bench):
    rounds, repairs = max(3, bench.options.kills // 10), []
    files = dataset('any peer', 30 * MIB, *[1_000_003] * 12, 0, 6 * MIB)
    arguments = ['--grace-period', '%ds' % GRACE_SECONDS, '--repair-rate', str(REPAIR_BYTES_PER_SECOND)]
    with bench.daemon() as alone:
        undisturbed = add(alone.api, entries(files), is_chunked=True, shard_size=SHARD_BYTES).root
    with Cluster(bench, arguments=arguments) as cluster:
        for number in range(rounds):
            through, killed = bench.random.sample(cluster.peers, 2)
            moment, delay = bench.random.randrange(sum(map(len, files.values()))), bench.random.uniform(0, 0.1)
            try:
                repair = upload_with_a_kill(cluster, files, through, killed, moment, delay)
                expect(repair.root == undisturbed, 'the root is %s, without a kill %s', repair.root, undisturbed)
                expect(repair.seconds <= repair.bound, 'too slow: %s', repair)
                cluster.expect_agreement()
                cluster.expect_sound()
                cluster.expect_reads(repair.root, files)
                # It comes back with its copies, which nobody has given up.
                cluster.start()
                cluster.expect_agreement()
                cluster.expect_reads(repair.root, files, [killed])
                through.unpin(repair.root)
                cluster.expect_empty()
            except CheckFailed as failure:
                raise CheckFailed('round %d, a kill %.0f ms after %d bytes: %s' % (
                    number, delay * 1000, moment, failure)) from None
            repairs.append(repair)
    bench.note = '%d kills, grace period %d s, budget %d MiB/s: %s' % (
        rounds, GRACE_SECONDS, REPAIR_BYTES_PER_SECOND // MIB, '; '.join(map(str, repairs)))


def upload_with_a_kill(cluster, files, through, killed, moment, delay):
    """Kills a peer so many seconds after so many bytes of an upload through another one; returns when all is mended."""
    reached, sent = threading.Event(), 0

    def noticed(content):
        nonlocal sent
        for start in range(0, len(content), MIB // 4):
            yield content[start:start + MIB // 4]
            sent += MIB // 4
            if sent > moment:
                reached.set()
        # The last pieces are shorter.
        if sent >= sum(map(len, files.values())):
            reached.set()

    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        upload = beside.submit(
            cluster.add, {name: noticed(content) for name, content in files.items()},
            through=cluster.peers.index(through), **copies(2))
        expect(reached.wait(60), 'the upload stands still')
        time.sleep(delay)
        victim = killed.id
        killed.kill()
        moment = time.monotonic()
        eventually(lambda: through.states()[victim] != 'up', 'nobody notices the death')
        notice = time.monotonic() - moment
        begin = time.monotonic()
        if not upload.done():
            upload.result(200)
            begin = time.monotonic()
        root = upload.result()
    table = through.api.get_json('/shards/' + root)['shards']
    lost_bytes = sum(row['file_bytes'] for row in table if victim in (peer['id'] for peer in row['peers']))
    expect_in_time(lambda: shards_that_lack_a_copy(cluster, [row['cid'] for row in table]))
    seconds = time.monotonic() - begin
    held = collections.Counter(shard for peer in cluster.running for shard in expect_valid_shards(peer))
    expect(all(held[row['cid']] >= 2 for row in table), 'the disks have %s of %d shards', held, len(table))
    return Repair(root, lost_bytes, notice, seconds)


def shards_that_lack_a_copy(cluster, shards):
    """Those that fewer than two running peers have, by the state that each of them shows; None when there are none."""
    running = {peer.id for peer in cluster.running}
    for peer in cluster.running:
        pins = peer.pins('shard-pin')
        short = [shard for shard in shards if len(running & set(pins[shard]['allocations'])) < 2]
        if short:
            return '%s lists %d of %d shards with fewer than two live copies' % (peer.id, len(short), len(shards))
    return None


# ---- one address for all

def behind_a_load_balancer_any_peer_serves_uploads_their_status_and_reads(bench):
    rounds, wrong, late_removals = 3 * (len(LOOKS) + 1), collections.Counter(), 0
    cluster = Cluster(bench, peers=2)
    with Proxy([cluster.etcd.api], delay=0.15) as late:
        # The third one hears of everything when the others have long gone on.
        cluster.peers.append(cluster.make_peer('late', '--etcd', late.api.url))
        with cluster, Proxy([peer.api for peer in cluster.peers]) as balancer:
            for number in range(rounds):
                balanced = Balanced(bench, balancer.api, number)
                # Each kind of request is the first in some rounds; when it has been answered, all peers know all.
                first = number % (len(LOOKS) + 1)
                for look in (LOOKS[first:] + LOOKS[:first]) * (first < len(LOOKS)):
                    wrong.update(answer for _ in cluster.peers if (answer := look(balanced)))
                wrong.update([answer] if (answer := balanced.remove()) else [])
                late_removals += sum(balanced.is_pinned() is None for _ in cluster.peers)
            cluster.expect_empty()
            expect(not wrong, 'of %d rounds, with what was acknowledged not known yet: %s', rounds, dict(wrong))
            bench.note = '%d uploads, %d connections; %d peers knew later of a removal' % (
                rounds, balancer.count, late_removals)


class Balanced:
    """A root that was added a moment ago, and what must be so at once, each on a connection that goes to the next peer.
    What a look finds wrong is its answer."""

    def __init__(self, bench, api, number):
        self._api, self._random = api, bench.random
        self._content = random_bytes('balanced %d' % number, 700_000)
        self._added = add(
            api, [Entry('f', self._content)], is_chunked=True, shard_size=300_000, **copies(1 + number % 2))
        expect(self._added.root, 'an upload failed: %s', self._added)
        self._root = self._added.root

    def is_readable(self):
        first = self._random.randrange(len(self._content))
        answer = self._api.get('/ipfs/' + self._root, ('Range', 'bytes=%d-%d' % (first, first + 50_000)))
        is_right = (answer.status, answer.body) == (206, self._content[first:first + 50_001])
        return None if is_right else 'a range: %d%s' % (answer.status, ', cut' * bool(answer.cut))

    def is_pinned(self):
        return self._lack('/pins/%s' % self._root)

    def is_allocated(self):
        return self._lack('/allocations/%s' % self._root)

    def has_shards(self):
        return self._lack('/shards/%s' % self._root)

    def is_committed(self):
        return self._lack('/uploads/%s' % self._added.answer.headers['upload-id'], root=self._root)

    def is_listed(self):
        roots = [pin['cid'] for pin in self._api.get_lines('/pins')]
        return None if self._root in roots else 'GET /pins: not listed'

    def _lack(self, path, **fields):
        answer = self._api.get(path)
        is_right = answer.status == 200 and fields.items() <= answer.json.items()
        return None if is_right else 'GET /%s/: %s' % (path.split('/')[1], answer.status)

    def remove(self):
        answer = self._api.request('DELETE', '/pins/' + self._root)
        if answer.status == 200:
            return None
        # The next round must find nothing of this one.
        eventually(lambda: self._api.request('DELETE', '/pins/' + self._root).status == 200, 'it cannot be unpinned')
        return 'DELETE /pins/: %d' % answer.status


LOOKS = [
    Balanced.is_readable, Balanced.is_pinned, Balanced.is_allocated, Balanced.has_shards, Balanced.is_committed,
    Balanced.is_listed]


# ---- more than any peer holds

def a_dataset_of_one_and_a_half_times_the_largest_peer_goes_in_and_reads_back(bench):
    unit = 32 * MIB * bench.options.scale
    capacities = [unit, 2 * unit, 4 * unit]
    tree = bench.directory / 'tree'
    byte_count = make_large_tree(tree, capacities[-1] * 3 // 2)
    with Cluster(bench, capacities=capacities) as cluster:
        # The answer to so few files begins with its end.
        cluster.peers[0].api.timeout = max(120, byte_count / (10 * MIB))
        begin = time.monotonic()
        with Watch(cluster) as watch:
            root = add_tree(cluster.peers[0].api, tree, shard_size=unit // 10, **copies(1))
        seconds = time.monotonic() - begin
        watch.expect_room(10)
        cluster.expect_agreement()
        expect_copies(cluster, 1)
        shares = [cluster.peers[0].storages()[peer]['used_bytes'] for peer in cluster.ids]
        expect(all(shares) and sum(shares) > byte_count, 'of %d bytes the peers got %s', byte_count, shares)
        rates = []
        for peer in cluster.peers:
            copy, begin = bench.directory / 'copy', time.monotonic()
            Client(bench, peer.api).run('get', root, '-o', copy)
            rates.append(byte_count / MIB / (time.monotonic() - begin))
            expect_same_tree(tree, copy)
            shutil.rmtree(copy)
        bench.note = '%.0f MiB in at %.0f MiB/s; %s MiB on the peers, fullest %.4f; out at %s MiB/s' % (
            byte_count / MIB, byte_count / MIB / seconds, ', '.join('%.0f' % (share / MIB) for share in shares),
            watch.fullest, ', '.join('%.0f' % rate for rate in rates))


def make_large_tree(tree, byte_count):
    """Large files, small ones and an empty one, of which no two have a chunk in common; the bytes of all."""
    (tree / 'small').mkdir(parents=True)
    (tree / 'empty').write_bytes(b'')
    for number in range(100):
        (tree / 'small' / ('%d' % number)).write_bytes(random_bytes('small %d' % number, 1000 + number))
    for number in range(12):
        with open(tree / ('large %d' % number), 'wb') as file:
            file.writelines(pieces_of('large %d' % number, byte_count // 12))
    return sum(path.stat().st_size for path in tree.rglob('*') if path.is_file())


def add_tree(api, tree, **parameters):
    """Uploads in chunks, so that nobody knows the length ahead; the root, once it is committed."""
    def pieces(path):
        with open(path, 'rb') as file:
            while piece := file.read(MIB):
                yield piece
    parts = [
        Entry('data/%s' % path.relative_to(tree), **({'kind': 'directory'} if path.is_dir() else {'content': pieces(path)}))
        for path in sorted(tree.rglob('*'))]
    added = add(api, [Entry('data', kind='directory'), *parts], is_chunked=True, **parameters)
    expect(added.root, 'an upload failed: %s', added)
    return added.root


# ---- small and large

def a_hundred_small_uploads_a_second_do_not_starve_a_large_one(bench):
    byte_count, wanted_rate = 256 * MIB, 100

    def rate_of_large(seed):
        begin = time.monotonic()
        added = add(
            cluster.peers[0].api, [Entry('f', pieces_of(seed, byte_count))], is_chunked=True, shard_size=16 * MIB,
            **copies(2))
        expect(added.root, 'the large upload failed: %s', added)
        return byte_count / MIB / (time.monotonic() - begin)

    with Cluster(bench) as cluster:
        large_alone = rate_of_large('alone')
        with SmallUploads(cluster, wanted_rate) as small:
            begin = time.monotonic()
            eventually(lambda: small.failures or small.count >= wanted_rate, 'small uploads do not get going')
            small_alone, before = small.count / (time.monotonic() - begin), small.count
            begin = time.monotonic()
            large = rate_of_large('beside')
            small_beside = (small.count - before) / (time.monotonic() - begin)
        expect(not small.failures, 'small uploads failed: %s', small.failures[:3])
        bench.note = 'large %.0f MiB/s alone, %.0f beside small ones; small, %d/s wanted, %.0f/s alone, %.0f beside it, slowest %.2f s' % (
            large_alone, large, wanted_rate, small_alone, small_beside, small.slowest)
        expect(large >= 0.15 * large_alone, 'the large one starves: %s', bench.note)
        expect(small_beside >= 0.15 * small_alone, 'the small ones starve: %s', bench.note)


class SmallUploads:
    """Uploads of one small file each, so many a second if they can be had."""
    # Each has its peer, so that none is offered more at once than the 16 it takes, also when it is slow.
    WORKER_COUNT = 32

    def __init__(self, cluster, rate):
        self._cluster, self._rate, self._ends, self._lock = cluster, rate, threading.Event(), threading.Lock()
        self._begun = 0
        # Of those that were committed, and seconds.
        self.count, self.slowest, self.failures = 0, 0, []

    def __enter__(self):
        self._start = time.monotonic()
        self._threads = [
            threading.Thread(target=self._work, args=[self._cluster.peers[worker % 3]], daemon=True)
            for worker in range(self.WORKER_COUNT)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _work(self, peer):
        while True:
            with self._lock:
                number = self._begun
                self._begun += 1
            if self._ends.wait(max(0, self._start + number / self._rate - time.monotonic())):
                return
            begin = time.monotonic()
            try:
                added = add(peer.api, [Entry('f', b'small %d' % number)], **copies(2))
            except WireError as error:
                return self.failures.append(str(error))
            with self._lock:
                if not added.root:
                    return self.failures.append(str(added))
                self.count += 1
                self.slowest = max(self.slowest, time.monotonic() - begin)


CHECKS = [
    sixteen_uploads_into_a_nearly_full_cluster_commit_or_are_refused_in_time,
    sixteen_uploads_onto_disks_that_are_their_etcds_too_fill_none,
    what_the_disk_of_a_coordinator_cannot_pass_on_is_refused_before_it_is_full,
    fill_is_spread_as_well_as_the_best_placement_found,
    any_peer_killed_at_a_random_moment_costs_copies_only_for_a_while,
    behind_a_load_balancer_any_peer_serves_uploads_their_status_and_reads,
    a_dataset_of_one_and_a_half_times_the_largest_peer_goes_in_and_reads_back,
    a_hundred_small_uploads_a_second_do_not_starve_a_large_one]

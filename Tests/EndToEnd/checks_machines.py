"""Clusters whose machines die, are cut off or are far away: what clients were told must be so, whoever goes."""
import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import statistics
import threading
import time

from cluster import MIB, SHARD_BYTES, copies, dataset, entries
from daemon import eventually, expect
from forms import add, random_bytes
from machines import Machines, VotingMachines
from wire import WireError

# Neither a client nor an operator waits longer for news of a machine that is gone.
PAUSE_SECONDS, REFUSAL_SECONDS = 5, 5
# A machine that falls silent is only noticed after a while, and only then do its shards go elsewhere.
SILENCE_SECONDS = 10


# ---- what clients were told

@dataclasses.dataclass
class Told:
    """One upload, as its client saw it."""
    name: str
    files: dict
    through: int
    began: float
    ended: float = None
    root: str = None
    # The error that was answered. Neither root nor error: the connection ended before either.
    error: dict = None
    # Its root was removed, which was acknowledged.
    is_removed: bool = False

    def __str__(self):
        error = 'error ' + self.error.get('message', '')[:100] if self.error else None
        told = 'root ' + self.root if self.root else error or 'nothing'
        return '%s through %d, told %s after %.1f s' % (self.name, self.through, told, self.ended - self.began)


class History:
    """All uploads and what their clients were told, for comparing with what there is in the end."""

    def __init__(self, cluster):
        self.cluster, self.uploads = cluster, []

    def upload(self, name, files, through, **parameters):
        """Uploads and takes note, whatever comes."""
        told = Told(name, files, through, time.monotonic())
        try:
            added = add(
                self.cluster.peers[through].api, entries(files), is_chunked=True, shard_size=SHARD_BYTES, name=name,
                **parameters)
            told.root = added.root
            # An answer that is cut off says nothing, unless it was the error that ended it.
            if not added.root and (not added.answer.cut or 'message' in (added.lines or [{}])[-1]):
                told.error = added.error
        except WireError:
            pass
        told.files = {name: self._whole(content) for name, content in files.items()}
        told.ended = time.monotonic()
        self.uploads.append(told)
        return told

    def remove(self, told, through):
        """Removes the root of an upload and takes note of the answer."""
        root, told.root = told.root, None
        # From here on nobody knows, unless the answer says it.
        answer = self.cluster.peers[through].api.request('DELETE', '/pins/' + root)
        expect(answer.status == 200 or answer.status >= 500, 'a removal was answered %s', answer)
        told.is_removed = answer.status == 200

    @staticmethod
    def _whole(content):
        return content if isinstance(content, bytes) else content.whole

    def __str__(self):
        roots, errors = (sum(bool(getattr(told, name)) for told in self.uploads) for name in ('root', 'error'))
        neither = len(self.uploads) - roots - errors
        removals = sum(told.is_removed for told in self.uploads)
        return '%d uploads acknowledged, %d refused, %d not answered, %d removals acknowledged' % (
            roots, errors, neither - removals, removals)

    def expect_kept(self, peers, since=0):
        """Each of these peers must list what was acknowledged, once, and nothing of what was refused or
        removed. What was uploaded after the first `since` uploads must be readable there, too."""
        for peer in peers:
            pins = collections.defaultdict(list)
            for pin in peer.pins().values():
                pins[pin['name']].append(pin['cid'])
            for number, told in enumerate(self.uploads):
                found = pins.pop(told.name, [])
                if told.root:
                    expect(found == [told.root], 'of %s, %s lists %s', told, peer.id, found)
                elif told.error or told.is_removed:
                    expect(not found, 'of %s, %s lists %s', told, peer.id, found)
                # Of the others nobody knows, but they are there as a whole or not at all.
                for root in found if number >= since else ():
                    for name, content in told.files.items():
                        peer.expect_reads('%s/%s' % (root, name), content)
            expect(not pins, '%s lists roots of nobody: %s', peer.id, dict(pins))

    def end(self):
        """Counts that are off by one would keep a shard, or have removed it too early. What each peer has applied is
        replayed, too."""
        self.cluster.expect_sound()
        for root in self.cluster.peers[0].pins():
            self.cluster.peers[0].unpin(root)
        self.cluster.expect_empty()
        self.cluster.checked_states()


class Held:
    """A content that stops after two thirds until `go_on` is called."""

    def __init__(self, content):
        self.whole, self.reached, self._may_go_on = content, threading.Event(), threading.Event()

    def __iter__(self):
        place = len(self.whole) * 2 // 3
        yield self.whole[:place]
        self.reached.set()
        self._may_go_on.wait(200)
        yield self.whole[place:]

    def go_on(self):
        self._may_go_on.set()


class Prober:
    """Small uploads through each of some machines, one after the other: what they wait for, every client waits for."""
    # Between two of them; the load comes from others.
    INTERVAL = 0.1

    def __init__(self, history, machines, name):
        self._history, self._name, self._stop = history, name, threading.Event()
        self._through = [machine.number for machine in machines]
        self._acknowledged = {number: [] for number in self._through}

    def __enter__(self):
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in self._through]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, through):
        count = 0
        while not self._stop.wait(self.INTERVAL):
            name = '%s %d %d' % (self._name, through, count)
            # Two of three peers: most would be on the one that is gone, and none is there alone.
            told = self._history.upload(name, {'f': name.encode()}, through, **copies(2))
            if told.root:
                self._acknowledged[through].append(told.ended)
            count += 1

    def expect_more(self, count):
        """So many more must be acknowledged through each."""
        before = {number: len(times) for number, times in self._acknowledged.items()}
        eventually(
            lambda: all(len(times) >= before[number] + count for number, times in self._acknowledged.items()),
            'small uploads are not acknowledged any more')

    def pause_since(self, moment):
        """Longest time that a client of one machine got no acknowledgement, from the last one before `moment`."""
        longest = 0
        for times in self._acknowledged.values():
            before = max([at for at in times if at < moment], default=moment)
            after = [at for at in times if at >= moment]
            longest = max([longest, *[right - left for left, right in zip([before, *after], after)]])
        return longest


# ---- a machine that dies

def uploads_of_a_round(history, name, through):
    """20 uploads through the machines of these numbers, small ones and some of several shards, as calls to be made."""
    for number in range(20):
        label = '%s upload %d' % (name, number)
        sizes = (2 * SHARD_BYTES + 1000, 70_000) if number % 4 == 3 else (40_000 + number, 0)
        files = dataset(label, *sizes)
        yield lambda label=label, files=files, number=number: history.upload(
            label, files, through[number % len(through)], **copies(2))


def pauses_of_a_death(cluster, history, name, before, doomed, end):
    """Ends a machine in the middle of many uploads. How long that kept clients of the others from an acknowledgement,
    and how long one of them read the upload `before`, parts of which were on that machine."""
    survivors = cluster.others(doomed)
    through = [machine.number for machine in survivors]
    held = [Held(random_bytes('%s held %d' % (name, number), 3 * SHARD_BYTES)) for number in through]
    old = [
        history.upload('%s old %d' % (name, number), {'f': b'%d of %s' % (number, name.encode())}, number % 2, **copies(2))
        for number in range(6)]
    with concurrent.futures.ThreadPoolExecutor(3) as removing, concurrent.futures.ThreadPoolExecutor(6) as beside, Prober(history, survivors, name + ' probe') as prober:
        try:
            waiting = [
                beside.submit(history.upload, '%s held %d' % (name, number), {'f': content}, number, **copies(2))
                for number, content in zip(through, held)]
            for content in held:
                expect(content.reached.wait(60), 'an upload does not get far')
            others = [beside.submit(call) for call in uploads_of_a_round(history, name, through)]
            eventually(lambda: sum(one.done() for one in others) >= len(others) // 2, 'the uploads do not get far')
            moment = time.monotonic()
            end()
            removals = [
                removing.submit(history.remove, told, through[number % len(through)]) for number, told in enumerate(old)]
            cluster.expect_reads(before.root, before.files, [survivors[0].peer])
            reading = time.monotonic() - moment
        finally:
            for content in held:
                content.go_on()
        for upload in waiting + others:
            told = upload.result(200)
            expect(told.root, 'an upload through a machine that lived on was not committed: %s', told)
        for removal in removals:
            removal.result(200)
        prober.expect_more(5)
    return prober.pause_since(moment), reading


def no_acknowledged_command_is_lost_when_the_leaders_machine_dies(bench):
    rounds = max(3, bench.options.kills // 10)
    # Of every other round: pause and reading.
    found = {'killed': [], 'without power': []}
    # So few commands that a machine which was away finds the log shortened, and takes another's state.
    with Machines(bench, environment={'INGESTD_CLUSTER_KEPT_COMMANDS': '100'}) as cluster:
        history = History(cluster)
        before = history.upload('before', dataset('before', 6 * SHARD_BYTES), 0, **copies(2))
        expect(before.root, 'an upload failed: %s', before)
        for number in range(rounds):
            doomed, how, since = cluster.leader(), list(found)[number % 2], len(history.uploads)
            end = doomed.lose_power if number % 2 else doomed.kill
            found[how].append(pauses_of_a_death(cluster, history, 'round %d' % number, before, doomed, end))
            cluster.expect_agreement()
            history.expect_kept(cluster.running, since)
            cluster.power_on(doomed)
            cluster.expect_agreement()
            history.expect_kept([doomed.peer], since)
        history.expect_kept(cluster.peers, len(history.uploads))
        history.end()
    pauses, readings = zip(*itertools.chain(*found.values()))
    bench.note = 'pause %.1f s in the median, %.1f s at worst (%s); reading %.1f s at worst; %s' % (
        statistics.median(pauses), max(pauses),
        ', '.join(how + ''.join(' %.1f' % pause for pause, _ in some) for how, some in found.items()),
        max(readings), history)
    for who, seconds in ('clients', pauses), ('readers', readings):
        is_soon = statistics.median(seconds) <= PAUSE_SECONDS
        expect(is_soon, '%s waited for more than %d s: %s', who, PAUSE_SECONDS, bench.note)


def members_run_by_daemons_go_on_when_the_leaders_machine_loses_power(bench):
    pauses = []
    with VotingMachines(bench) as cluster:
        history = History(cluster)
        for number in range(2):
            doomed, since = cluster.leader(), len(history.uploads)
            with Prober(history, cluster.others(doomed), 'round %d' % number) as prober:
                prober.expect_more(3)
                moment = time.monotonic()
                doomed.lose_power()
                prober.expect_more(5)
            pauses.append(prober.pause_since(moment))
            cluster.power_on(doomed)
            cluster.expect_agreement()
            history.expect_kept(cluster.peers, since)
        history.end()
    bench.note = 'pause %.1f s in the median, of%s; %s' % (
        statistics.median(pauses), ''.join(' %.1f' % pause for pause in pauses), history)
    expect(max(pauses) <= SILENCE_SECONDS, 'clients waited for more than %d s: %s', SILENCE_SECONDS, bench.note)


# ---- a machine that is cut off

def expect_refusal(machine, history, name):
    """An upload through a machine without the others must be refused, and the error must say why; seconds it took."""
    told = history.upload(name, {'f': name.encode()}, machine.number)
    expect(told.error, 'an upload was not refused on the minority side: %s', told)
    message = told.error.get('message', '')
    expect('etcd' in message or machine.member.url in message, 'the error does not say why: %s', message)
    return told.ended - told.began


def expect_no_denial(peer, told):
    """Who cannot know of an upload must not say that there is none."""
    requests = ('GET', '/ipfs/%s/%s' % (told.root, min(told.files))), ('DELETE', '/pins/' + told.root)
    with concurrent.futures.ThreadPoolExecutor() as beside:
        for (method, _), answer in zip(requests, beside.map(lambda one: peer.api.request(*one), requests)):
            expect(answer.status >= 500, '%s of what was uploaded elsewhere meanwhile: %s', method, answer)
    # What was refused for want of an answer may have been done, or be done later.
    told.root = None


def a_minority_side_answers_reads_and_says_why_it_cannot_write(bench):
    cut_one_off(bench, Machines(bench), lambda cluster: cluster.others(cluster.leader())[0])


def a_leader_that_is_cut_off_answers_reads_and_says_why_it_cannot_write(bench):
    # On a cluster of its own: for seconds after one was cut off, connections between etcd's members may be stuck.
    cut_one_off(bench, Machines(bench), lambda cluster: cluster.leader())


def a_leader_among_five_that_is_cut_off_answers_reads_and_says_why_it_cannot_write(bench):
    # With members that the daemons run.
    cut_one_off(bench, VotingMachines(bench, machines=5), lambda cluster: cluster.leader())


def cut_one_off(bench, machines, choose):
    with machines as cluster:
        history = History(cluster)
        files = dataset('everywhere', 9 * MIB, 100_000)
        everywhere = history.upload('everywhere', files, 0, **copies(len(cluster.machines)))
        expect(everywhere.root, 'an upload failed: %s', everywhere)
        apart = choose(cluster)
        others = cluster.others(apart)
        with Prober(history, others, 'probe') as prober:
            moment = time.monotonic()
            apart.cut()
            refusal = expect_refusal(apart, history, 'refused')
            began = time.monotonic()
            cluster.expect_reads(everywhere.root, everywhere.files, [apart.peer])
            seconds = time.monotonic() - began
            expect(seconds < 5, 'reading what is here took %.1f s', seconds)
            for machine in others:
                name = 'through %d' % machine.number
                told = history.upload(name, dataset(name, 9 * MIB), machine.number, **copies(2))
                expect(told.root, 'the majority side does not take an upload: %s', told)
            prober.expect_more(1)
        pause = prober.pause_since(moment)
        expect_no_denial(apart.peer, told)
        apart.heal()
        cluster.expect_up()
        cluster.expect_agreement()
        history.expect_kept(cluster.peers)
        history.end()
    bench.note = 'refused after %.1f s, pause of the others %.1f s' % (refusal, pause)
    expect(refusal <= REFUSAL_SECONDS, 'the refusal took more than %d s: %s', REFUSAL_SECONDS, bench.note)
    expect(pause <= SILENCE_SECONDS, 'the others waited for more than %d s: %s', SILENCE_SECONDS, bench.note)


@contextlib.contextmanager
def cut_off_during_an_upload(cluster, history, coordinator, name, is_near, delay=None):
    """The coordinator of an upload is alone until this ends: once `is_near` is true of another peer, before the rest of
    the body or `delay` seconds after. Yields the upload's future, which is done in the end."""
    # What is being hashed, some 8 MiB, is cut into shards only when more of the body comes.
    content = Held(random_bytes(name, 6 * SHARD_BYTES))
    others = [machine.peer for machine in cluster.others(coordinator)]
    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        upload = beside.submit(history.upload, name, {'f': content}, coordinator.number, **copies(2))
        try:
            eventually(lambda: upload.done() or any(map(is_near, others)), 'an upload does not get far')
            if delay is not None:
                content.go_on()
                time.sleep(delay)
            coordinator.cut()
            content.go_on()
            yield upload
        finally:
            content.go_on()
            coordinator.heal()
        upload.result(200)


def has_shards(peer):
    return peer.shard_paths


def receiving(peers):
    """Whether a shard is on its way to a peer, the file being in a folder of its upload's, or has arrived since now."""
    before = {peer.id: len(peer.shard_paths) for peer in peers}
    return lambda peer: any('/' in name for name in peer.names('staging')) or len(peer.shard_paths) > before[peer.id]


def a_coordinator_that_is_cut_off_is_told_no_false_success(bench):
    # The link of one is slow, so that it can be cut while a shard is under way.
    with Machines(bench, slow={2: (0.02, 0)}, arguments=['--grace-period', '2s']) as cluster:
        history, told = History(cluster), []
        near, far = cluster.machines[:2], cluster.machines[2]
        for coordinator, delay in zip(near, (None, bench.random.uniform(0, 0.3))):
            name = 'cut %d' % coordinator.number
            with cut_off_during_an_upload(cluster, history, coordinator, name, has_shards, delay) as upload:
                eventually(lambda: not coordinator.member.is_healthy(), 'etcd does not notice that it is alone')
            told.append(upload.result())
            cluster.expect_up()
            cluster.expect_agreement()
            history.expect_kept(cluster.peers)
        with cut_off_during_an_upload(cluster, history, far, 'cut for long', receiving(cluster.peers)) as upload:
            # It is lost to the others, who end its upload and go on.
            states = {**dict.fromkeys(cluster.ids, 'up'), far.peer.id: 'down'}
            for machine in near:
                machine.peer.expect_states(states)
                eventually(lambda: not machine.peer.leftovers(), 'the upload of a lost peer is not ended')
            meanwhile = history.upload('meanwhile', dataset('meanwhile', 5 * MIB), 0, **copies(2))
            expect(meanwhile.root, 'the majority side does not take an upload: %s', meanwhile)
        told.append(upload.result())
        expect(not told[-1].root, 'the others had ended what was told: %s', told[-1])
        cluster.expect_up()
        cluster.expect_agreement()
        history.expect_kept(cluster.peers)
        history.end()
    bench.note = '; '.join(map(str, told))


# ---- a machine far away

def a_daemon_whose_link_is_slow_still_ends_uploads(bench):
    # 100 ms there and back.
    with Machines(bench, slow={2: (0.05, 0.01)}) as cluster:
        history, seconds = History(cluster), []
        for number, through in enumerate((0, 2, 1, 2)):
            files = dataset('slow %d' % number, SHARD_BYTES + 1000, 300_000)
            told = history.upload('slow %d' % number, files, through, **copies(2 + number // 2))
            expect(told.root, 'an upload failed: %s', told)
            seconds.append(told.ended - told.began)
        expect(max(seconds) < 30, 'uploads took %s s', seconds)
        cluster.expect_agreement()
        history.expect_kept(cluster.peers)
        cluster.expect_up()
        history.end()
    bench.note = '%.1f to %.1f s an upload' % (min(seconds), max(seconds))


CHECKS = [
    no_acknowledged_command_is_lost_when_the_leaders_machine_dies,
    members_run_by_daemons_go_on_when_the_leaders_machine_loses_power,
    a_minority_side_answers_reads_and_says_why_it_cannot_write,
    a_leader_that_is_cut_off_answers_reads_and_says_why_it_cannot_write,
    a_leader_among_five_that_is_cut_off_answers_reads_and_says_why_it_cannot_write,
    a_coordinator_that_is_cut_off_is_told_no_false_success,
    a_daemon_whose_link_is_slow_still_ends_uploads]

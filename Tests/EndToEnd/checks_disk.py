"""Every change of the disk once: the process ends there, power goes, the disk is full or broken.

A debug build of the daemon has a seam at each change (Sources/PosixIO/DiskSeam.swift). The same small ingest runs
once for each of them; whatever was acknowledged must be there afterwards, and nothing else may be left."""
import collections
import concurrent.futures
import contextlib
import math
import os
import pathlib
import re
import shutil
import signal

from archives import FormatError, archive_of_file
from cluster import Cluster, copies
from daemon import CheckFailed, CheckSkipped, Daemon, TookTooLong, eventually, expect
from disk_sites import expect_reached, quiet_files
from forms import Entry, Form, random_bytes
from wire import WireError, query

MIB = 1 << 20
OPTIONS = {'shard-size': str(MIB), 'chunker': 'size-131072'}
PARTIAL_UPLOAD = ('Content-Type', 'application/partial-upload')

# What can happen at a change of this kind.
LOSSES = ('lost', 'lost-bytes', 'lost-names')
MODES = collections.defaultdict(lambda: ('kill', 'eio', 'full', *LOSSES), {
    'write': ('kill', 'torn', 'short', 'eio', 'full', *LOSSES),
    'begin': ('kill', 'eio', 'full', *LOSSES), 'commit': ('kill', *LOSSES)})


def modes_at(point, random, share):
    """A kill and a power cut, and a share of what else can happen at a change of the disk."""
    modes = MODES[point.split(' ', 1)[0]]
    others = [mode for mode in modes if mode not in ('kill', 'lost')]
    return ['kill', 'lost', *random.sample(others, math.ceil(len(others) * share))]


# What happens at once may happen in another order, a few times more or less: what does not come up in one run may in
# another, of so many.
TRIES = 6
# What is answered comes from the state: a daemon that cannot save that ends, to be started again. No other EIO ends it.
STATE = 'begin /state.sqlite'
# Power goes when the daemon that was started after a kill opens an upload.
CUT = ('lost', 'create /uploads/ID.journal 0')
# So that a small ingest comes to what is beyond them: shards, bytes, bytes and commands.
LIMITS = {
    'INGESTD_LIMIT_CATALOGUE': '2', 'INGESTD_LIMIT_JOURNAL': '100000', 'INGESTD_LIMIT_SCRATCH': '1000',
    'INGESTD_LIMIT_SNAPSHOT': '10'}


class Broken(Exception):
    """A request was not answered with success: nothing is promised."""


class Lost(CheckFailed):
    """Something that was promised is not so, by what the daemon says or what is on its disk."""


class NotReached(CheckFailed):
    """The change that was to fail did not come up."""


class Upload:
    """One that is sent in pieces."""

    def __init__(self, body, options):
        self.body, self.options = body, options
        self.location, self.offset = None, 0


class Ingest:
    """What a client does, and what it was promised."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.contents = {
            name: random_bytes('disk ' + name, size) for name, size in (
                ('kept', 2_500_000), ('resumed', 1_600_000), ('archived', 400_000), ('aborted', 700_000), ('last', 10_000))}
        # An upload finds its first shard here already, which goes before the upload ends.
        self.contents['removed'] = self.contents['resumed'][:1_200_000]
        # {name: root} of what was said to be kept, and of what was said to be removed.
        self.roots, self.removed = {}, set()
        # Steps that were not answered with success, and how.
        self.failures, self.is_down = [], False
        self.journal, self.journal_copy = None, None
        archive = archive_of_file(self.contents['archived'], 10_000)[1]
        self.uploads = {
            'resumed': Upload(self.contents['resumed'], {'filename': 'resumed'}), 'archived': Upload(archive, {'format': 'car'})}

    def run(self, is_long):
        """Everything, as far as it goes."""
        again = {'start again': self.restart} if is_long else {}
        steps = {
            'add kept': self.add_kept, 'add removed': self.add_removed, 'open resumed': lambda: self.open('resumed'),
            'send resumed': lambda: self.send('resumed', 400_000), 'copy the journal': self.copy_journal,
            # What is acknowledged before the first shard is sealed can be lost by what happens then.
            'send more': lambda: self.send('resumed', 1_300_007), **again,
            'remove': self.remove, 'abort': self.abort, 'end resumed': lambda: self.send('resumed'),
            'open archived': lambda: self.open('archived'), 'send archived': lambda: self.send('archived', 200_000),
            'end archived': lambda: self.send('archived'), 'add last': self.add_last}
        for name, step in steps.items():
            try:
                step()
            except (Broken, WireError, OSError) as error:
                self.failures.append('%s: %s' % (name, error))
                if self.daemon.process.poll() is not None:
                    return

    def copy_journal(self):
        upload = self.uploads['resumed']
        if upload.location:
            self.journal = self.daemon.directory / 'uploads' / (upload.location.rpartition('/')[2] + '.journal')
            self.journal_copy = self.journal.read_bytes(), upload.offset

    def restart(self):
        """Another process goes on, which finds what one that was killed may have left."""
        self.daemon.process.send_signal(signal.SIGTERM)
        if self.daemon.wait():
            raise Broken('it does not end well')
        place, runs = self.daemon.directory, sorted((self.daemon.directory / 'catalogue').glob('run-*'))
        names = ['uploads/x.journal.new', 'roots/x.car.new', 'snapshots/taken.9', 'catalogue/run-x.catalogue.new']
        if runs:
            # One whose successor has all of it, and one that was cut.
            shutil.copy(runs[-1], place / 'catalogue' / ('run-%016x.catalogue' % 98))
            names.append('catalogue/run-%016x.catalogue' % 99)
        if self.journal:
            names.append('received/%s.9.new' % self.journal.name.partition('.')[0])
            # As if the last checkpoint had not been made.
            content, self.uploads['resumed'].offset = self.journal_copy
            self.journal.write_bytes(content)
        for name in names:
            (place / name).write_bytes(b'half')
        self.daemon.environment['INGESTD_DISK_LIFE'] = 'again'
        try:
            self.daemon.start()
        except CheckFailed:
            self.daemon.wait()
            self.is_down = True
            raise Broken('it does not start again') from None

    def request(self, *words, status):
        answer = self.daemon.api.request(*words)
        if answer.status not in status:
            raise Broken(str(answer))
        return answer

    def _add(self, name, **options):
        form = Form([Entry('d', kind='directory'), Entry('d/' + name, self.contents[name])])
        answer = self.request('POST', query('/add', **{**OPTIONS, **options}), [form.header], form.bytes, status=(200,))
        last = answer.lines[-1]
        if 'cid' not in last:
            raise Broken(str(last))
        self.roots[name] = last['cid']

    def add_kept(self):
        # So large that its disk space is taken in two runs.
        self._add('kept', **{'shard-size': str(4 * MIB)})

    def add_removed(self):
        self._add('removed')

    def add_last(self):
        # So that something follows the end of each of the others.
        self._add('last')

    def remove(self):
        if root := self.roots.get('removed'):
            # From here on it may be gone.
            self.removed.add('asked')
            self.request('DELETE', '/pins/' + root, status=(200,))
            self.removed.add('removed')

    def open(self, name):
        answer = self.request('POST', query('/uploads', name=name, **self.uploads[name].options, **OPTIONS), status=(201,))
        self.uploads[name].location = answer.headers['location']

    def send(self, name, end=None):
        """What the upload lacks, up to `end`; its root when that was all."""
        upload = self.uploads[name]
        if not upload.location:
            return None
        if self.failures:
            # As clients do.
            upload.offset = int(self.request('HEAD', upload.location, status=(200,)).headers['upload-offset'])
        answer = self.request(
            'PATCH', upload.location,
            [PARTIAL_UPLOAD, ('Upload-Offset', str(upload.offset)), ('Upload-Complete', '?0' if end else '?1')],
            upload.body[upload.offset:end], status=(200, 204))
        upload.offset = end or len(upload.body)
        if not end:
            self.roots[name] = answer.headers['upload-root']
        return self.roots.get(name)

    def abort(self):
        answer = self.request('POST', query('/uploads', **OPTIONS), status=(201,))
        headers = [PARTIAL_UPLOAD, ('Upload-Offset', '0'), ('Upload-Complete', '?0')]
        self.request('PATCH', answer.headers['location'], headers, self.contents['aborted'], status=(204,))
        self.request('DELETE', answer.headers['location'], status=(204,))

    # ---- afterwards

    def verify(self, roots):
        """On a disk that works again. `roots`: what every content's root is."""
        settings = (self.daemon.directory / 'ingestd.yaml').read_text()
        expect(settings.startswith('# Configuration of ingestd'), 'the settings that init wrote are lost: %r', settings[:80])
        pins = set(self.daemon.pins())
        for name, root in self.roots.items():
            expect(root == roots[name], 'root of %s is %s', name, root)
            if name == 'removed' and 'asked' in self.removed:
                expect('removed' not in self.removed or root not in pins, 'what was removed is back')
            else:
                expect(root in pins, '%s was acknowledged and is lost', name)
        for name in self.uploads:
            self._go_on(name, roots)
        pins = set(self.daemon.pins())
        expect(pins <= set(roots.values()), 'pins of something else: %s', pins)
        for name, root in roots.items():
            if root in pins:
                path = root if name in self.uploads else root + '/' + name
                self.daemon.expect_reads(path, self.contents[name])
        for upload in self.daemon.api.get_lines('/uploads'):
            # Its answer was lost, so nobody knows of it; it would end with its lease.
            self.request('DELETE', '/uploads/' + upload['id'], status=(204,))
        self.daemon.expect_agreement()
        for root in pins:
            self.daemon.unpin(root)
        self.daemon.expect_empty()

    def look(self, roots, goes_on):
        """Takes what a daemon that was started again tells for a promise, and opens an upload.

        `goes_on`: what was under way is sent to its end before."""
        pins = set(self.daemon.pins())
        for name, root in roots.items():
            if root in pins and not (name == 'removed' and self.removed):
                self.roots[name] = root
        for status in self.daemon.api.get_lines('/uploads'):
            # The answer with its location may have been lost.
            if upload := self.uploads.get(status['name']):
                upload.location = upload.location or '/uploads/' + status['id']
        for name, upload in self.uploads.items():
            if goes_on:
                self._go_on(name, roots)
            elif upload.location:
                upload.offset = self._acknowledged(upload)[0]
        with contextlib.suppress(Broken, WireError, OSError):
            self.request('POST', query('/uploads', **OPTIONS), status=(201,))

    def _acknowledged(self, upload):
        """(offset, root) of an upload, as it is now."""
        answer = self.daemon.api.request('HEAD', upload.location)
        expect(answer.status == 200 and 'upload-offset' in answer.headers,
               'an upload of which %d bytes were acknowledged: %s %s', upload.offset, answer, answer.headers)
        offset = int(answer.headers['upload-offset'])
        expect(offset >= upload.offset, '%d bytes were acknowledged, %d are there', upload.offset, offset)
        return offset, answer.headers.get('upload-root')

    def _go_on(self, name, roots):
        """An upload that was opened is sent to its end."""
        upload = self.uploads[name]
        if upload.location:
            upload.offset, root = self._acknowledged(upload)
            root = root or self.send(name)
            expect(root == roots[name], 'the upload of %s that went on has root %s', name, root)
            self.roots[name] = root


def debug_daemon(bench):
    program = bench.options.debug_daemon
    if not program or not os.access(program, os.X_OK):
        raise CheckSkipped('there is no debug build of the daemon (--debug-daemon)')
    return program


def run(program, directory, fault=None, roots=None, lie=None, then=None, is_long=False):
    """One ingest with one fault; the names of all changes of the disk, and the ingest.

    `lie`: what the disk only says that it has synchronised. `then`: what happens when the daemon has been
    started again: a fault, and whether the upload goes on before. `is_long`: with a start in the middle, and with
    what is beyond limits."""
    data, undo, log = directory / 'data', directory / 'undo', directory / 'points'
    undo.mkdir(parents=True)
    sites = directory / 'sites'
    environment = {
        **(LIMITS if is_long else {}), 'INGESTD_DISK_ROOT': str(data), 'INGESTD_DISK_UNDO': str(undo),
        'INGESTD_DISK_POINTS': str(log), 'INGESTD_DISK_SITES': str(sites)}
    if fault:
        environment['INGESTD_DISK_FAULT'] = '%s@%s' % fault
    if lie:
        environment['INGESTD_DISK_LIES'] = lie
    daemon = Daemon(program, data, ['--headroom', '0'], environment)
    ingest = Ingest(daemon)
    try:
        try:
            daemon.start()
        except CheckFailed:
            # Whatever was on the disk is not acknowledged to anybody yet.
            daemon.wait()
            status = None
        else:
            ingest.run(is_long)
            if daemon.process.poll() is None:
                daemon.process.send_signal(signal.SIGTERM)
            # One that did not start again has served nobody.
            status = None if ingest.is_down else daemon.wait()
        points = log.read_text().splitlines() if log.exists() else []
        ingest.sites = set(sites.read_text().splitlines()) if sites.exists() else set()
        if fault and fault[1] not in points:
            raise NotReached(' '.join(fault))
        if fault and roots:
            expect_served(*fault, ingest, roots, status)
        if then:
            daemon.environment = {**environment, 'INGESTD_DISK_FAULT': '%s@%s' % then[0]}
            daemon.start()
            ingest.look(roots, then[1])
            expect(daemon.wait(10) == -signal.SIGKILL, 'power did not go:\n%s', daemon.log_text)
        if roots:
            daemon.environment = {}
            try:
                daemon.start()
                ingest.verify(roots)
            except TookTooLong:
                raise
            except (CheckFailed, FormatError, Broken) as error:
                raise Lost(error) from None
            daemon.stop()
        return points, ingest
    except NotReached:
        raise
    except (CheckFailed, FormatError, WireError, Broken, OSError, KeyError, ValueError) as error:
        kind = Lost if isinstance(error, Lost) else CheckFailed
        raise kind('%s: %s\n%s' % (' '.join(fault or ('no fault',)), error, daemon.log_text)) from None
    finally:
        if daemon.process and daemon.process.poll() is None:
            daemon.kill()
        shutil.rmtree(directory, ignore_errors=True)


def expect_served(mode, point, ingest, roots, status):
    """What a daemon must have done although one change of its disk failed. `status`: how it ended, if it had started."""
    failures = '; '.join(ingest.failures)
    if mode == 'short':
        # A write that is done in two has not failed.
        expect(ingest.roots == roots and not failures and status == 0, 'ended with %s: %s', status, failures)
    elif mode == 'eio' and point.startswith(STATE):
        expect(status != 0, 'the state was not saved, and the daemon went on: %s', failures)
    elif mode == 'eio':
        expect(len(ingest.failures) <= 1 and status in (None, 0), 'ended with %s: %s', status, failures)


class Changes:
    """What some ingests without a fault changed on the disk. Cases are a mode, a change, and what else there is."""
    # At once, as the cases are: how many changes make one transaction depends on what the machine has to do.
    INGEST_COUNT = 4

    def __init__(self, bench, program, kind=''):
        with concurrent.futures.ThreadPoolExecutor(self.INGEST_COUNT) as pool:
            known = list(pool.map(
                lambda number: run(program, bench.directory / ('without-%d' % number), is_long=True),
                range(self.INGEST_COUNT)))
        changes = [{point for point in points if point.startswith(kind)} for points, _ in known]
        self.all, self.certain, self.ingest = sorted(set.union(*changes)), set.intersection(*changes), known[0][1]
        self.sites = set.union(*(ingest.sites for _, ingest in known))

    def try_all(self, cases, attempt):
        """Attempts each case until its change comes up. Those that came up without a fault each time must come up.
        What was found, for the note."""
        failures, missed, tries = [], [], []

        def one(number, case):
            for again in range(TRIES):
                if len(failures) >= 20:
                    return
                tries.append(case)
                try:
                    return attempt('case-%d-%d' % (number, again), case)
                except NotReached:
                    pass
                except CheckFailed as failure:
                    return failures.append(str(failure))
            missed.append(case)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(len(cases)), cases))
        expect(not failures, '%d of %d cases failed:\n%s', len(failures), len(cases), '\n'.join(failures))
        left = [case for case in missed if case[1] in self.certain]
        expect(not left, '%d of %d cases did not come up in %d runs each: %s', len(left), len(cases), TRIES, left)
        modes = collections.Counter(case[0] for case in cases if case not in missed)
        return '%d changes, %d of them not in every ingest; %d cases (%s) in %d runs, %d not reached' % (
            len(self.all), len(self.all) - len(self.certain), len(cases),
            ', '.join('%d %s' % (count, mode) for mode, count in sorted(modes.items())), len(tries), len(missed))


def a_fault_at_any_change_of_the_disk_loses_nothing_that_was_acknowledged(bench):
    program = debug_daemon(bench)
    changes = Changes(bench, program)
    sites = expect_reached(changes.sites)
    roots = changes.ingest.roots
    expect(sorted(roots) == ['archived', 'kept', 'last', 'removed', 'resumed'], 'without a fault comes %s', roots)
    cases = [(mode, point) for point in changes.all for mode in modes_at(point, bench.random, bench.options.disk_share)]
    bench.note = sites + '; ' + changes.try_all(
        cases, lambda name, fault: run(program, bench.directory / name, fault, roots, is_long=True))


def a_power_cut_after_a_kill_and_a_start_loses_nothing_that_was_told(bench):
    """What a killed process has not synchronised is there for the next one, and gone with the power."""
    program = debug_daemon(bench)
    # Just before it is synchronised, there is most to lose.
    changes = Changes(bench, program, 'synchronize ')
    cases = [('kill', point, goes_on) for point in changes.all for goes_on in (False, True)]
    bench.note = changes.try_all(cases, lambda name, case: run(
        program, bench.directory / name, case[:2], changes.ingest.roots, then=(CUT, case[2]), is_long=True))


def each_synchronisation_that_is_left_out_loses_something(bench):
    """What the check above is worth: it finds a single fsync that is missing."""
    program = debug_daemon(bench)
    points, ingest = run(program, bench.directory / 'without')
    lies = sorted({point.rsplit(' ', 1)[0] for point in points if point.startswith('synchronize ')})
    # Power goes when much has been acknowledged, rather than early.
    likely = [point for point in points if point.startswith(('begin', 'commit', 'remove', 'create'))][::-1]

    def loses(number, lie, fault):
        try:
            run(program, bench.directory / ('lie-%d' % number), fault, ingest.roots, lie)
        except Lost:
            return True
        except CheckFailed:
            # The cut did not come up; or something took too long, which says nothing.
            pass
        return False

    def is_noticed(number, lie):
        return any(loses(number, lie, (mode, cut)) for mode in LOSSES for cut in likely)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        noticed = list(pool.map(is_noticed, range(len(lies)), lies))
        # Some matter for a moment only, between two changes of other kinds: power goes at each of them.
        for lie in [lie for lie, is_known in zip(lies, noticed) if not is_known]:
            faults = [(mode, cut) for mode in LOSSES for cut in points]
            found = pool.map(lambda case: loses(*case), [(n, lie, fault) for n, fault in enumerate(faults)])
            expect(any(found), '%s is left out without a loss', lie)
    bench.note = '%d' % len(lies)


def a_fault_of_the_disk_of_a_peer_that_gets_copies_loses_none_that_it_signed_for(bench):
    """The same for the other side: peer 1 gets a copy of every shard, and its disk fails in all ways."""
    program, share = debug_daemon(bench), bench.options.copies_share
    content = random_bytes('copies', 2_500_000)
    log, undo = bench.directory / 'points', bench.directory / 'undo'
    undo.mkdir()
    with Cluster(bench, arguments=['--grace-period', '60s']) as cluster:
        coordinator, receiver, _ = cluster.peers
        receiver.program = str(program)
        allocations = ','.join([coordinator.id, receiver.id])

        def attempt(fault):
            """Whether the upload was acknowledged; the names of all changes at the receiver meanwhile."""
            if receiver.process.poll() is None:
                receiver.stop()
            for path in [log, *undo.iterdir()]:
                path.unlink(missing_ok=True)
            receiver.environment = {
                'INGESTD_DISK_ROOT': str(receiver.directory), 'INGESTD_DISK_UNDO': str(undo),
                'INGESTD_DISK_POINTS': str(log)}
            if fault:
                receiver.environment['INGESTD_DISK_FAULT'] = '%s@%s' % fault
            try:
                receiver.start()
                cluster.expect_up()
            except CheckFailed:
                receiver.wait()
            form = Form([Entry('f', content)])
            answer = coordinator.api.request(
                'POST', query('/add', **{**OPTIONS, **copies(2), 'user-allocations': allocations}), [form.header], form.bytes)
            root = answer.lines[-1].get('cid') if answer.status == 200 else None
            points = log.read_text().splitlines() if log.exists() else []
            return root, points

        def repair():
            if receiver.process.poll() is None:
                receiver.kill()
            receiver.environment = {}
            receiver.start()
            cluster.expect_up()

        def outcome(fault):
            """Whether the change came up, and whether the upload was acknowledged."""
            found, reached = attempt(fault)
            repair()
            expect(found in (None, root), 'the root is %s', found)
            expect(not found or root in receiver.pins(), 'a root that was acknowledged is lost')
            cluster.expect_agreement()
            for one in receiver.shard_paths:
                same = [path for path in coordinator.shard_paths if path.name.split('.')[0] == one.name.split('.')[0]]
                expect(same and one.read_bytes() == same[0].read_bytes(), 'copy %s is another one', one.name)
            if root in coordinator.pins():
                cluster.expect_reads(root, {'': content})
                coordinator.unpin(root)
            cluster.expect_empty()
            return fault[1] in reached, bool(found)

        changes = []
        for _ in range(2):
            root, points = attempt(None)
            expect(root, 'without a fault, an upload is refused')
            coordinator.unpin(root)
            cluster.expect_empty()
            changes.append(set(points))
        # What a receiver does only once, or not always, does not come up again for sure.
        points = sorted(set.intersection(*changes))
        cases = [(mode, point) for point in points for mode in MODES[point.split(' ', 1)[0]]]
        chosen = cases if share >= 1 else bench.random.sample(cases, max(1, int(len(cases) * share)))
        missed, tries, acknowledged = [], 0, 0
        for fault in chosen:
            for _ in range(4):
                try:
                    is_reached, is_acknowledged = outcome(fault)
                except CheckFailed as failure:
                    raise CheckFailed('%s: %s' % (' '.join(fault), failure)) from None
                tries, acknowledged = tries + 1, acknowledged + is_acknowledged
                if is_reached:
                    break
            else:
                missed.append(' '.join(fault))
    expect(len(missed) <= max(1, len(chosen) * 0.05), '%d of %d cases were not reached: %s', len(missed), len(chosen), missed)
    bench.note = '%d of %d cases at %d changes in %d runs, %d not reached, %d uploads acknowledged' % (
        len(chosen), len(cases), len(points), tries, len(missed), acknowledged)


def a_release_build_has_no_seam(bench):
    """Nor any of the mistakes that peers make on purpose when a cluster is simulated."""
    simulation = bench.options.daemon.with_name('ClusterSimulation')
    if not simulation.exists():
        raise CheckSkipped('there is no program %s' % simulation)
    source = pathlib.Path(__file__).parents[1] / 'ClusterSimulation' / 'Mistake.swift'
    # Of a text that is shorter, a program may keep no copy.
    mistakes = re.findall(rb'"([^"\n]{20,})"', source.read_bytes())
    expect(len(mistakes) >= 20, '%s explains %d mistakes', source, len(mistakes))
    seam = [b'INGESTD_DISK_', b'INGESTD_LIMIT_', *(name.encode() for name in quiet_files())]

    def found(program, texts):
        content = program.read_bytes()
        return [text.decode() for text in texts if text in content]

    for test_program, texts in (debug_daemon(bench), seam), (simulation, mistakes):
        # Else it would say nothing that others lack them.
        expect(len(found(test_program, texts)) == len(texts), '%s has only %s', test_program, found(test_program, texts))
        for program in bench.options.daemon, bench.options.cli:
            expect(not found(program, texts), '%s is for use and has %s', program, found(program, texts))


CHECKS = [
    a_fault_at_any_change_of_the_disk_loses_nothing_that_was_acknowledged,
    a_power_cut_after_a_kill_and_a_start_loses_nothing_that_was_told,
    each_synchronisation_that_is_left_out_loses_something,
    a_fault_of_the_disk_of_a_peer_that_gets_copies_loses_none_that_it_signed_for, a_release_build_has_no_seam]

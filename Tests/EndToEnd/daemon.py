"""Daemons as processes with data directories of their own, and what their disks hold beside what they say."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import archives
from wire import API, WireError

LISTENING = re.compile(r'address=\[IPv4\][^/]*/([0-9.]+):(\d+)')
# Long enough for an overloaded machine and a debug build.
START_SECONDS = STOP_SECONDS = SETTLE_SECONDS = 90


class CheckFailed(Exception):
    """A check has found what must not be."""


class TookTooLong(CheckFailed):
    """So much time has passed that something must be wrong, or the machine has too much to do."""


class CheckSkipped(Exception):
    """A check cannot run here; the message says why."""


def expect(condition, message, *values):
    if not condition:
        raise CheckFailed(message % values if values else message)


def eventually(condition, message):
    """Waits until `condition()` is true. Removal of files follows the answer, and no answer tells its end."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not (outcome := condition()):
        if time.monotonic() >= deadline:
            raise TookTooLong('after %d seconds: %s' % (SETTLE_SECONDS, message))
        time.sleep(0.02)
    return outcome


def end_of(log, count):
    """The last lines of a log; and if a program crashed, where that was."""
    _, crash, after = ''.join(log).rpartition('*** Program crashed')
    if not crash:
        return ''.join(log[-count:])
    threads = after.partition('\nRegisters:')[0].split('\nThread ')
    return crash + '\nThread '.join(threads[:1] + [one for one in threads if ' crashed:\n' in one])


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


class Daemon:
    """One data directory and the process on it, which may be ended and started again."""
    # Words before the program on the command line: another program that starts it.
    prefix = ()

    def __init__(self, program, directory, arguments=(), environment=None, headers=(), tls=None):
        self.program, self.directory = str(program), pathlib.Path(directory)
        self.arguments, self.environment = list(arguments), dict(environment or {})
        self.headers, self.tls = headers, tls
        self.process, self.api, self.log = None, None, []
        self._last_words = None

    def start(self, listen='127.0.0.1:0'):
        """Returns when requests are answered."""
        self.spawn(listen)
        return self.wait_until_listening()

    def wait_until_listening(self):
        # The log says once, and soon, whether it listens; a daemon that ends before ends its log.
        if not self._reported.wait(START_SECONDS):
            raise TookTooLong('the daemon does not listen after %d seconds' % START_SECONDS)
        expect(self.api, 'the daemon ended with status %s:\n%s', self.process.poll(), self.log_text)
        return self

    def spawn(self, listen='127.0.0.1:0'):
        command = [
            *self.prefix, self.program, '--init', '--data', str(self.directory), '--listen', listen, *self.arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith('INGESTD_')}
        self.api, self._reported = None, threading.Event()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**environment, **self.environment})
        self._reader = threading.Thread(target=self._read_log, args=(self.process, self._reported), daemon=True)
        self._reader.start()

    def _read_log(self, process, reported):
        for line in process.stderr:
            self.log.append(line)
            if (match := LISTENING.search(line)) and not reported.is_set():
                host = '127.0.0.1' if match[1] == '0.0.0.0' else match[1]
                self.api = self.make_api(host, int(match[2]), self.headers, self.tls)
                reported.set()
        reported.set()

    def make_api(self, *arguments, **settings):
        """A client of what listens on its machine."""
        return API(*arguments, **settings)

    @property
    def log_text(self):
        return end_of(self.log, 30)

    @property
    def last_words(self):
        """What helps to understand a failure, in lines."""
        if self._last_words:
            return self._last_words
        status = self.process.poll() if self.process else 'never started'
        return ['%s %s\n' % (self.directory.name, 'runs' if status is None else 'has ended: %s' % status), end_of(self.log, 15)]

    @property
    def peak_memory(self):
        """Most bytes that were resident at once."""
        with open('/proc/%d/status' % self.process.pid) as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith('VmHWM'))

    def keep_last_words(self):
        self._last_words = self.last_words

    def wait(self, seconds=STOP_SECONDS):
        """Status of the process when it has ended by itself."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TookTooLong('the daemon still runs after %d seconds:\n%s' % (seconds, self.log_text)) from None
        self._reader.join()
        return status

    def stop(self):
        """Ends the process as a service manager does, and wants it to end well."""
        self.process.send_signal(signal.SIGTERM)
        status = self.wait()
        expect(status == 0, 'the daemon ended with status %d:\n%s', status, self.log_text)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def restart(self):
        self.stop()
        return self.start()

    # ---- what is where

    def names(self, folder):
        """Files below a folder of the data directory."""
        root = self.directory / folder
        try:
            return sorted(str(path.relative_to(root)) for path in root.rglob('*')) if root.exists() else []
        except FileNotFoundError:
            # Something was removed in the middle of the look.
            return self.names(folder)

    @property
    def shard_paths(self):
        return sorted((self.directory / 'shards').iterdir())

    def storage(self):
        return self.api.get_json('/id')['storage']

    def pins(self, kind='meta-pin'):
        """{CID: pin} of one type."""
        return {pin['cid']: pin for pin in self.api.get_lines('/allocations?filter=' + kind)}

    def read_back(self, path):
        """Bytes of a file; raises WireError unless they come whole."""
        answer = self.api.get('/ipfs/' + path)
        if answer.status != 200 or answer.cut:
            raise WireError('GET /ipfs/%s: %s' % (path, answer.cut or answer))
        return answer.body

    def expect_reads(self, path, content):
        try:
            got = self.read_back(path)
        except WireError as error:
            kind = TookTooLong if 'timed out' in str(error) else CheckFailed
            raise kind('not readable: %s' % error) from None
        expect(got == content, '%s reads back as %d other bytes, not the %d uploaded', path, len(got), len(content))

    def unpin(self, root):
        answer = self.api.request('DELETE', '/pins/' + root)
        expect(answer.status == 200, 'unpinning %s: %s', root, answer)

    def disagreement(self):
        """What keeps disk and state from agreeing while no upload is under way; None when they agree."""
        storage = self.storage()
        roots, shards = self.pins('meta-pin'), self.pins('shard-pin')
        files = {}
        for path in self.shard_paths:
            cid, numbers, suffix = path.name.split('.')
            if suffix != 'car' or cid in files:
                return 'shards/ holds %s, a second file or none of ours' % path.name
            try:
                files[cid] = (int(numbers.split('-')[0]), path.stat().st_size)
            except FileNotFoundError:
                return '%s is being removed' % path.name
        if storage['reserved_bytes']:
            return '%d bytes are reserved' % storage['reserved_bytes']
        if self.names('staging'):
            return 'staging/ holds %s' % self.names('staging')
        if self.names('scratch'):
            return 'scratch/ holds %s' % self.names('scratch')
        if set(files) != set(shards):
            return 'on disk and not pinned: %s; pinned and not on disk: %s' % (
                sorted(set(files) - set(shards)), sorted(set(shards) - set(files)))
        if storage['used_bytes'] != sum(size for _, size in files.values()):
            return '%d bytes used by the state, %d by the files' % (
                storage['used_bytes'], sum(size for _, size in files.values()))
        return self._disagreement_of_records(roots, files)

    def _disagreement_of_records(self, roots, files):
        """Compares the record of each root with the pins and with the generations of the shard files."""
        recorded = {}
        for path in (self.directory / 'roots').iterdir():
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return '%s is being removed' % path.name
            (cluster_dag,), sections = archives.read_carv1(data)
            record, _ = archives.read_cbor(sections[-1][2])
            root = archives.text_of_cid(record['root'])
            if root in recorded:
                return 'roots/ has two records of %s' % root
            if record['clusterDAG'] != cluster_dag or archives.text_of_cid(cluster_dag) != roots.get(root, {}).get('reference'):
                return 'the record of %s names another cluster DAG than the state' % root
            recorded[root] = record
            for shard, generation in record['shards']:
                cid = archives.text_of_cid(shard)
                if files.get(cid, (None,))[0] != generation:
                    return 'shard %s of %s has generation %d in the record, %s on disk' % (
                        cid, root, generation, files.get(cid, ('none',))[0])
        if set(recorded) != set(roots):
            return 'records %s, pinned roots %s' % (sorted(recorded), sorted(roots))
        return None

    def expect_agreement(self):
        """Disk and state must come to agree, and soon: files go shortly after the command that drops them."""
        found = None

        def agrees():
            nonlocal found
            found = self.disagreement()
            return found is None
        try:
            eventually(agrees, 'disk and state disagree')
        except CheckFailed as failure:
            raise CheckFailed('%s: %s' % (failure, found)) from None

    def expect_empty(self):
        self.expect_agreement()
        left = [cid for kind in ('meta-pin', 'clusterdag-pin', 'shard-pin') for cid in self.pins(kind)]
        expect(not left, 'pins are left: %s', left)
        expect(self.storage()['used_bytes'] == 0, 'used is %d', self.storage()['used_bytes'])
        for folder in ('shards', 'roots', 'staging'):
            expect(not self.names(folder), '%s/ holds %s', folder, self.names(folder))

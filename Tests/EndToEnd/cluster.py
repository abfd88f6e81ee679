"""Daemons that form a cluster, an etcd of their own, and what must hold on all of them at once."""
import base64
import collections
import contextlib
import json
import os
import pathlib
import signal
import ssl
import subprocess

from client import Client
from daemon import LISTENING, CheckFailed, Daemon, eventually, expect
from forms import Entry, add, random_bytes
from ports import free_port
from wire import API, WireError

MIB = 1 << 20
SHARD_BYTES = 4 * MIB


class EtcdMember:
    """A member of etcd as its clients see it, by `api`."""

    def call(self, path, request=None):
        """None when it does not answer."""
        try:
            answer = self.api.request('POST', path, body=json.dumps(request or {}).encode())
        except WireError:
            return None
        return answer.json if answer.status == 200 and not answer.cut else None

    def is_healthy(self):
        try:
            return self.api.get_json('/health').get('health') == 'true'
        except WireError:
            return False

    def is_leader(self):
        """By itself and now; a leader that was cut off takes some time to notice."""
        answer = self.call('/v3/maintenance/status')
        return bool(answer) and answer.get('leader') == answer['header']['member_id']


class Etcd(EtcdMember):
    """A real etcd of one member, in a directory of its own."""

    # More for its command line.
    flags = ()

    def __init__(self, directory, tls=None):
        self.directory, self.process = pathlib.Path(directory), None
        self.api = API('127.0.0.1', free_port(), timeout=5, tls=tls)
        self.url, self._peer_url = self.api.url, 'http://127.0.0.1:%d' % free_port()

    def start(self):
        """Returns when it answers. Started again, it has the same data and the same address."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        command = [
            'etcd', '--name', 'test', '--data-dir', str(self.directory / 'data'),
            '--listen-client-urls', self.url, '--advertise-client-urls', self.url,
            '--listen-peer-urls', self._peer_url, '--initial-advertise-peer-urls', self._peer_url,
            '--initial-cluster', 'test=' + self._peer_url, '--heartbeat-interval', '20', '--election-timeout', '200',
            '--logger', 'zap', '--log-outputs', 'stderr', *self.flags]
        try:
            with open(self.directory / 'log', 'ab') as log:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        except FileNotFoundError:
            raise CheckFailed('there is no etcd; install it with: apt-get install etcd-server') from None
        eventually(self.is_healthy, 'etcd does not answer')
        return self

    def is_healthy(self):
        expect(self.process.poll() is None, 'etcd ended with status %s:\n%s', self.process.returncode, self.log_text)
        return super().is_healthy()

    def has_key(self, end):
        """Whether there is a key that ends so."""
        request = {'key': 'AA==', 'range_end': 'AA==', 'keys_only': True}
        found = json.loads(self.api.request('POST', '/v3/kv/range', body=json.dumps(request).encode()).body)
        return any(base64.b64decode(entry['key']).endswith(end.encode()) for entry in found.get('kvs', []))

    @property
    def log_text(self):
        return '\n'.join((self.directory / 'log').read_text(errors='replace').splitlines()[-10:])

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Peer(Daemon):
    """A daemon that others of a cluster reach at a second port."""
    # (host, port) that it listens on for them.
    peer_address = None
    # Started, and not ended by the check.
    is_meant_to_run = False

    def network(self):
        """A context: what starts in it can reach the API."""
        return contextlib.nullcontext()

    def spawn(self, listen='127.0.0.1:0'):
        self.peer_address, self.is_meant_to_run = None, True
        super().spawn(listen)

    def stop(self):
        self.is_meant_to_run = False
        super().stop()

    def kill(self):
        self.is_meant_to_run = False
        super().kill()

    def _read_log(self, process, reported):
        for line in process.stderr:
            self.log.append(line)
            if not (match := LISTENING.search(line)) or 'listening' not in line:
                continue
            host, port = '127.0.0.1' if match[1] == '0.0.0.0' else match[1], int(match[2])
            if 'for peers' in line:
                self.peer_address = (host, port)
            elif not reported.is_set():
                self.api = self.make_api(host, port, self.headers, self.tls)
                reported.set()
        reported.set()

    @property
    def id(self):
        return json.loads((self.directory / 'identity.json').read_text())['id']

    def storages(self):
        """{peer ID: what is listed of its storage} as this peer sees the members."""
        return {member['id']: member['storage'] for member in self.api.get_lines('/peers')}

    def states(self):
        return {peer: storage['state'] for peer, storage in self.storages().items()}

    def expect_states(self, wanted):
        """It must come to list exactly these peers in these states; what follows from a lease takes its time."""
        def find():
            found = self.states()
            return None if found == wanted else '%s lists %s, not %s' % (self.id, found, wanted)
        expect_in_time(find)

    def shard_files(self):
        """{CID: bytes} of the shards on its disk."""
        files = {}
        for path in self.shard_paths:
            cid, _, suffix = path.name.split('.')
            expect(suffix == 'car' and cid not in files, 'shards/ holds %s, a second file or none of ours', path.name)
            files[cid] = path.stat().st_size
        return files

    def leftovers(self):
        """{folder: names} of what is on disk for uploads that are under way, or were."""
        return {folder: names for folder in ('staging', 'scratch', 'received') if (names := self.names(folder))}

    def expect_ranges(self, path, content, generator, count=8):
        """Some ranges of a file, long and short ones, must be what they are in `content`."""
        for _ in range(count):
            first = generator.randrange(len(content))
            last = min(len(content) - 1, first + generator.choice((0, 1000, 300_000, 6 * MIB)))
            answer = self.api.get('/ipfs/' + path, ('Range', 'bytes=%d-%d' % (first, last)))
            told = answer.cut or answer.status
            expect(told == 206, 'bytes %d to %d: %s', first, last, told)
            expect(answer.body == content[first:last + 1], 'bytes %d to %d are other bytes', first, last)


def expect_in_time(find):
    """Waits until `find` finds nothing wrong any more; the failure tells what it found last."""
    found = None

    def is_right():
        nonlocal found
        found = find()
        return found is None
    try:
        eventually(is_right, 'it has not come right')
    except CheckFailed as failure:
        raise CheckFailed('%s: %s' % (failure, found)) from None


# ---- what is uploaded

def dataset(seed, *sizes):
    """{name: content} of files with these sizes in bytes."""
    return {'file-%d' % number: random_bytes('%s %d' % (seed, number), size) for number, size in enumerate(sizes)}


def entries(files):
    """A directory with the files. A content may also be pieces of bytes."""
    return [Entry('data', kind='directory'), *[Entry('data/' + name, content) for name, content in files.items()]]


def copies(number):
    return {'replication_min': number, 'replication_max': number}


# ---- the cluster

def make_secret(path):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, 'w') as file:
        file.write(os.urandom(32).hex() + '\n')
    return path


class OwnMember(EtcdMember):
    """The member of etcd that the daemon of a peer runs."""

    def __init__(self, peer, address):
        self._peer, self.url = peer, 'https://' + address
        self._host, port = address.split(':')
        self._port = int(port)

    @property
    def api(self):
        """For who has the peer's certificate, which is there once the daemon has started a member."""
        folder = self._peer.directory / 'etcd'
        context = ssl.create_default_context(cafile=folder / 'ca.pem')
        context.load_cert_chain(folder / 'cert.pem', folder / 'key.pem')
        # etcd itself gives up after 7 s.
        return self._peer.make_api(self._host, self._port, tls=context, timeout=10)

    def kill(self):
        """The daemon starts it again, if it runs."""
        for pid in self._peer.etcd_pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class VotingPeer(Peer):
    """A peer that may run an etcd member of its own. It is made for its cluster when it starts for the first time."""

    def __init__(self, program, directory, arguments, membership, host='127.0.0.1', ports=None):
        """`membership`: what `ingestd init` is told of the cluster, made when it is needed. `ports`: for other daemons,
        for the clients of its member and for other members."""
        cluster, clients, members = ('%s:%d' % (host, port) for port in ports or [free_port() for _ in range(3)])
        super().__init__(program, directory, arguments, {
            'INGESTD_CLUSTER_ETCD_CLIENT_LISTEN': clients, 'INGESTD_CLUSTER_ETCD_PEER_LISTEN': members,
            'INGESTD_CLUSTER_LISTEN': cluster})
        self.address, self.member = cluster, OwnMember(self, clients)
        self._membership = membership

    def init(self):
        """Makes the data directory; what the command printed."""
        done = subprocess.run(
            [self.program, 'init', '--data', str(self.directory), *self._membership()], capture_output=True, text=True)
        expect(done.returncode == 0, 'init failed: %s', done.stderr)
        return done.stdout

    def spawn(self, listen='127.0.0.1:0'):
        if not (self.directory / 'identity.json').exists():
            self.init()
        super().spawn(listen)

    def command(self, *words):
        """Runs `ingestd` on the data directory while the daemon does not; (status, what it wrote)."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith('INGESTD_')}
        done = subprocess.run(
            [self.program, *words, '--data', str(self.directory)], capture_output=True, text=True,
            env={**environment, **self.environment})
        return done.returncode, done.stdout + done.stderr

    @property
    def last_words(self):
        if self._last_words:
            return self._last_words
        first, *words = super().last_words
        words.insert(0, '%s; its etcd %s\n' % (first.rstrip(), 'runs' if self.etcd_pids else 'does not run'))
        for path in sorted(self.directory.glob('etcd/log*')):
            with contextlib.suppress(OSError):
                words += ['%s: %s\n' % (path.name, line[:500]) for line in path.read_text(errors='replace').splitlines()[-6:]]
        return words

    @property
    def etcd_pids(self):
        """Processes of its member."""
        marker, found = str(self.directory / 'etcd' / 'data').encode(), []
        for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b'\0')
                if words[0].endswith(b'etcd') and marker in words:
                    found.append(int(path.parent.name))
        return found


class Cluster:
    """An etcd and peers that know each other, running. When the check is done with them, they must end well."""
    # Peers are removed with the last copies of shards.
    gives_up_copies = False

    def __init__(self, bench, peers=3, capacities=(), zones=(), arguments=(), environment=None):
        """`capacities` and `zones`: one for each peer, or none at all."""
        self.bench, self.directory = bench, bench.directory / 'cluster'
        self.directory.mkdir()
        self.secret_file = make_secret(self.directory / 'secret')
        self.etcd = self.make_etcd()
        self._made = []
        settings = [('--capacity', capacities), ('--zone', zones)]
        self.peers = [
            self.make_peer(
                'p%d' % number, *arguments,
                *[word for flag, values in settings if values for word in (flag, str(values[number]))],
                environment=environment)
            for number in range(peers)]

    def make_etcd(self):
        return Etcd(self.directory / 'etcd')

    def make_peer(self, name, *arguments, directory=None, secret_file=None, environment=None):
        """A peer that is not started, is none of `peers`, and is ended with them."""
        peer = Peer(self.bench.options.daemon, directory or self.directory / name, [
            '--cluster-secret', str(secret_file or self.secret_file), '--etcd', self.etcd.url,
            '--peer-listen', '127.0.0.1:0', '--name', name, '--headroom', '0', *arguments],
            environment)
        return self._own(peer)

    def _own(self, peer):
        self._made.append(peer)
        # For its log, when the check fails.
        self.bench._daemons.append(peer)
        return peer

    def __enter__(self):
        try:
            if self.etcd:
                self.etcd.start()
            return self.start()
        except BaseException:
            self._end()
            raise

    def __exit__(self, kind, *_):
        try:
            if kind is None and self.running == self.peers and not self.gives_up_copies:
                self.expect_sound()
            for peer in self._made:
                if kind is None and peer.is_meant_to_run:
                    peer.stop()
        finally:
            if kind is not None:
                # While they run, they tell more.
                for peer in self._made:
                    peer.keep_last_words()
            self._end()

    def _end(self):
        for peer in self._made:
            if peer.process and peer.process.poll() is None:
                peer.kill()
        if self.etcd:
            self.etcd.kill()

    def start(self):
        """Starts the peers that do not run. Returns when each lists all of them as up."""
        for peer in self.peers:
            if not peer.is_meant_to_run:
                peer.start()
        self.expect_up()
        return self

    @property
    def ids(self):
        return [peer.id for peer in self.peers]

    @property
    def running(self):
        """Peers that should run; one that ended by itself is among them, and fails the check."""
        return [peer for peer in self.peers if peer.is_meant_to_run]

    def expect_up(self):
        for peer in self.running:
            peer.expect_states(dict.fromkeys(self.ids, 'up'))

    def add(self, files, through=0, shard_size=SHARD_BYTES, **parameters):
        """Uploads in chunks, so that nobody knows the length ahead; the root, once it is committed."""
        added = add(self.peers[through].api, entries(files), is_chunked=True, shard_size=shard_size, **parameters)
        expect(added.root, 'an upload failed: %s', added)
        return added.root

    def allocations(self, through=0):
        """{CID: peer IDs} of all shards."""
        return {cid: pin['allocations'] for cid, pin in self.peers[through].pins('shard-pin').items()}

    def expect_reads(self, root, files, peers=None):
        for peer in peers or self.running:
            for name, content in files.items():
                peer.expect_reads('%s/%s' % (root, name), content)

    # ---- what must hold while no upload is under way

    def disagreement(self):
        """What keeps the disks and the states of the running peers from agreeing; None when they agree."""
        lists = [
            sorted(json.dumps(pin, sort_keys=True) for pin in peer.api.get_lines('/allocations'))
            for peer in self.running]
        if any(pins != lists[0] for pins in lists):
            return 'the peers list different pins, %s of them' % ', '.join(str(len(pins)) for pins in lists)
        holdings = collections.defaultdict(set)
        for pin in map(json.loads, lists[0]):
            if pin['type'] == 'shard-pin':
                for peer in pin['allocations']:
                    holdings[peer].add(pin['cid'])
        used = {}
        for peer in self.running:
            try:
                files = peer.shard_files()
                left = peer.leftovers()
            except FileNotFoundError as error:
                return '%s is removing %s' % (peer.id, error.filename)
            held = holdings[peer.id]
            if left or set(files) != held:
                return '%s has %s, shards that no pin gives it: %s, and lacks %s' % (
                    peer.id, left or 'nothing unfinished', sorted(set(files) - held), sorted(held - set(files)))
            used[peer.id] = sum(files.values())
        return self._disagreement_of_storages(used)

    def _disagreement_of_storages(self, used):
        """Compares what each running peer lists of all with the bytes on their disks."""
        for peer in self.running:
            storages = peer.storages()
            if set(storages) != set(self.ids):
                return '%s lists the members %s' % (peer.id, sorted(storages))
            for other, storage in storages.items():
                if storage['reserved_bytes']:
                    return '%s lists %d bytes as reserved on %s' % (peer.id, storage['reserved_bytes'], other)
                if other in used and storage['used_bytes'] != used[other]:
                    return '%s lists %d bytes as used on %s, which has files of %d' % (
                        peer.id, storage['used_bytes'], other, used[other])
        return None

    def digest_disagreement(self):
        """What tells that peers made different states of one log; None when they are equal."""
        digests = [peer.api.get_json('/state/digest') for peer in self.running]
        if len({digest['applied_index'] for digest in digests}) > 1:
            return 'the peers have applied up to %s' % ', '.join(digest['applied_index'] for digest in digests)
        return None if len({digest['digest'] for digest in digests}) <= 1 else 'the states differ: %s' % digests

    def expect_agreement(self):
        """Disks and states must come to agree, and soon. Peers that were ended are not asked."""
        expect_in_time(self.disagreement)
        expect_in_time(self.digest_disagreement)

    def expect_sound(self):
        """Whatever happened before: every block of every root is there and right, as the client finds."""
        for peer in self.running[:1]:
            if peer.pins():
                with peer.network():
                    Client(self.bench, peer.api).run('verify', '--all')

    def checked_states(self):
        """Stops all peers and replays their archives: what each command led to must be allowed, and all states at
        one place in the log equal. What the check prints for each peer."""
        found = []
        for peer in self.running:
            peer.stop()
            done = subprocess.run(
                [peer.program, 'state', 'check', '--data', str(peer.directory)], capture_output=True, text=True)
            expect(done.returncode == 0, 'the state of %s: %s', peer.id, done.stderr)
            found.append(json.loads(done.stdout))
        digests = collections.defaultdict(set)
        for report in found:
            digests[report['applied_index']].add(report['digest'])
        expect(all(len(equal) == 1 for equal in digests.values()), 'the states differ: %s', found)
        return found

    def expect_empty(self):
        self.expect_agreement()
        for peer in self.running:
            expect(not peer.names('shards'), '%s has %s', peer.id, peer.names('shards'))
            expect(not peer.pins(), '%s lists roots %s', peer.id, list(peer.pins()))


class VotingCluster(Cluster):
    """Peers that run their etcd themselves. The first one begins it."""

    def make_etcd(self):
        return None

    def make_peer(self, name, *arguments, directory=None, secret_file=None, environment=None, make=VotingPeer):
        first = self._made[0] if self._made else None
        secret = ['--secret-file', str(secret_file or self.secret_file)]

        def membership():
            through = next((peer for peer in self.running if peer.peer_address), first)
            return ['--cluster', *secret] if not first else ['--join', through.address, *secret]
        peer = make(
            self.bench.options.daemon, directory or self.directory / name,
            ['--name', name, '--headroom', '0', *arguments], membership)
        peer.environment.update(environment or {})
        return self._own(peer)

    def start(self):
        """As for other clusters, but peers start together: one alone may have to wait for others to agree with."""
        started = [peer for peer in self.peers if not peer.is_meant_to_run]
        for peer in started:
            peer.spawn()
            if not self.are_all_made:
                # The one that begins it tells the others of it.
                peer.wait_until_listening()
        for peer in started:
            peer.wait_until_listening()
        self.expect_up()
        return self

    @property
    def are_all_made(self):
        return all((peer.directory / 'identity.json').exists() for peer in self.peers)

    def voters(self):
        """{name: whether it is a learner}, as the member of a running peer lists them."""
        for peer in self.running:
            if peer.etcd_pids:
                return {member.get('name', ''): member.get('isLearner', False) for member in members(peer)}
        return {}

    def expect_voters(self, number):
        """So many members must come to vote, and no other be there."""
        def find():
            found = self.voters()
            wanted = len(found) == number and not any(found.values()) and '' not in found
            return None if wanted else 'the members of etcd are %s' % found
        expect_in_time(find)
        return self.voters()

    @property
    def leader(self):
        """The running peer whose member leads."""
        return next((peer for peer in self.running if peer.etcd_pids and peer.member.is_leader()), None)


def members(peer):
    answer = peer.member.call('/v3/cluster/member/list')
    return answer['members'] if answer else []

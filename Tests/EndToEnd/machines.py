"""Machines of a cluster as network namespaces: each has an address of its own, a member of etcd and a daemon, and
can lose power or its link. Namespaces have no names here: they go with the last process in them and with this one,
and every process in them ends with this one, however it ends."""
import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import pathlib
import struct
import subprocess
import sys
import threading

from cluster import Cluster, Etcd, Peer, VotingCluster, VotingPeer, make_secret
from daemon import CheckFailed, eventually, expect
from wire import API

# The private bridge is in a namespace too: it meets neither this machine's network nor that of another run.
SUBNET = '10.77.0.%d'
CLONE_NEWNET, TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x4000_0000, 0x4004_54ca, 0x0002, 0x1000
# What starts in a namespace gets no chance to outlive this process, and is to be started by its main thread.
LEASH = ('setpriv', '--pdeathsig', 'KILL')


def call_libc(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        why = ': these checks must run as root' if number == errno.EPERM else ''
        raise CheckFailed('%s of a network namespace: %s%s' % (name, os.strerror(number), why))


class Namespace:
    """A network namespace without a name. os.setns is missing before Python 3.12."""

    def __init__(self):
        self._failure = None
        maker = threading.Thread(target=self._make)
        maker.start()
        maker.join()
        if self._failure:
            raise self._failure
        with self.entered():
            run_ip('link', 'set', 'lo', 'up')

    def _make(self):
        """In a thread that ends: the others stay where they are."""
        try:
            call_libc('unshare', CLONE_NEWNET)
            self._descriptor = self._current()
        except (CheckFailed, OSError) as failure:
            self._failure = failure

    @staticmethod
    def _current():
        return os.open('/proc/thread-self/ns/net', os.O_RDONLY)

    @contextlib.contextmanager
    def entered(self):
        """Sockets and processes that this thread makes meanwhile are in the namespace, and stay there."""
        before = self._current()
        try:
            call_libc('setns', self._descriptor, CLONE_NEWNET)
            try:
                yield
            finally:
                call_libc('setns', before, CLONE_NEWNET)
        finally:
            os.close(before)

    @property
    def path(self):
        return '/proc/%d/fd/%d' % (os.getpid(), self._descriptor)

    def close(self):
        os.close(self._descriptor)


def run_ip(*arguments):
    """The tool of iproute2, in the namespace that was entered."""
    try:
        done = subprocess.run(['ip', *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise CheckFailed('there is no ip; install it with: apt-get install iproute2') from None
    expect(done.returncode == 0, 'ip %s: %s', ' '.join(arguments), done.stderr.strip())


class LocalAPI(API):
    """An HTTP server in a namespace."""

    def __init__(self, namespace, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self._namespace = namespace

    def connect(self):
        with self._namespace.entered():
            return super().connect()


class Switch:
    """The bridge between the machines."""

    def __init__(self):
        self._namespace, self._cables = Namespace(), []
        with self._namespace.entered():
            run_ip('link', 'add', 'bridge', 'type', 'bridge')
            run_ip('link', 'set', 'bridge', 'up')

    def plug(self, namespace, number):
        """Gives a namespace the interface eth0 and a link to the switch; the address that it has there."""
        with self._namespace.entered():
            run_ip('link', 'add', self._port(number), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace.path)
        return self._connect(namespace, number)

    def plug_slowly(self, namespace, number, delay, loss, seed):
        """As `plug`, by a cable on which every frame takes `delay` seconds and the share `loss` of them is lost. It is
        a process of ours between two interfaces: not every kernel has the queueing discipline for it."""
        ends = [self._make_tap(self._namespace, self._port(number)), self._make_tap(namespace, 'eth0')]
        program = pathlib.Path(__file__).with_name('cable.py')
        command = [*LEASH, sys.executable, '-B', str(program), *map(str, (*ends, delay, loss, seed))]
        self._cables.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=ends))
        for end in ends:
            os.close(end)
        return self._connect(namespace, number)

    @staticmethod
    def _make_tap(namespace, name):
        """An interface whose frames are read and written by whoever has the descriptor."""
        with namespace.entered():
            try:
                descriptor = os.open('/dev/net/tun', os.O_RDWR)
            except OSError as error:
                raise CheckFailed('no interfaces of our own: %s' % error) from None
            fcntl.ioctl(descriptor, TUNSETIFF, struct.pack('16sH', name.encode(), IFF_TAP | IFF_NO_PI))
        return descriptor

    def _connect(self, namespace, number):
        address = SUBNET % (number + 1)
        with self._namespace.entered():
            run_ip('link', 'set', self._port(number), 'master', 'bridge', 'up')
        with namespace.entered():
            run_ip('address', 'add', address + '/24', 'dev', 'eth0')
            run_ip('link', 'set', 'eth0', 'up')
        return address

    @staticmethod
    def _port(number):
        return 'port%d' % number

    def cut(self, number):
        """Nothing gets through any more, and neither side is told: the interfaces stay up."""
        self._set_master(number, 'nomaster')

    def heal(self, number):
        self._set_master(number, 'master', 'bridge')

    def _set_master(self, number, *words):
        with self._namespace.entered():
            run_ip('link', 'set', self._port(number), *words)

    def close(self):
        for cable in self._cables:
            cable.kill()
            cable.wait()
        self._namespace.close()


class Member(Etcd):
    """The member of etcd on one machine. Ports may be fixed: nobody else is in the namespace."""

    def __init__(self, name, directory, namespace, address):
        self.name, self.directory, self.process = name, pathlib.Path(directory), None
        self._namespace = namespace
        self.url, self.peer_url = 'http://%s:2379' % address, 'http://%s:2380' % address
        self.api = LocalAPI(namespace, address, 2379, timeout=5)

    def start(self, members):
        """Does not wait: the first one alone is no quorum. Started again, it has the same data."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        command = [
            *LEASH, 'etcd', '--name', self.name, '--data-dir', str(self.directory / 'data'),
            '--listen-client-urls', self.url, '--advertise-client-urls', self.url,
            '--listen-peer-urls', self.peer_url, '--initial-advertise-peer-urls', self.peer_url,
            '--initial-cluster', ','.join('%s=%s' % (member.name, member.peer_url) for member in members),
            '--heartbeat-interval', '100', '--election-timeout', '1000', '--logger', 'zap', '--log-outputs', 'stderr']
        with open(self.directory / 'log', 'ab') as log, self._namespace.entered():
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


class OnMachine:
    """A daemon on one machine. Its API listens on the loopback interface there."""
    prefix = LEASH

    def __init__(self, namespace, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self._namespace = namespace

    def network(self):
        return self._namespace.entered()

    def spawn(self, listen='127.0.0.1:0'):
        with self.network():
            super().spawn(listen)

    def make_api(self, *arguments, **settings):
        return LocalAPI(self._namespace, *arguments, **settings)


class MachinePeer(OnMachine, Peer):
    """One that finds members of etcd on the machines."""


class VotingMachinePeer(OnMachine, VotingPeer):
    """One that runs a member itself."""


class Machine:
    """A computer in the cluster."""

    def __init__(self, number, switch, slowness=None):
        """`slowness`: delay, loss and seed of its link, if that is slow."""
        self.number, self._switch = number, switch
        self.namespace = Namespace()
        try:
            self.address = (
                switch.plug_slowly(self.namespace, number, *slowness) if slowness
                else switch.plug(self.namespace, number))
        except BaseException:
            self.namespace.close()
            raise
        # Once the cluster has made them.
        self.member = self.peer = None

    def kill(self):
        """Its processes die. Whoever talks to them is told so by its kernel."""
        self.member.kill()
        self.peer.kill()

    def lose_power(self):
        """It falls silent: nobody is told anything."""
        self.cut()
        self.kill()

    def cut(self):
        self._switch.cut(self.number)

    def heal(self):
        self._switch.heal(self.number)

    def end(self):
        if self.member:
            self.member.kill()
        self.namespace.close()


class Machines(Cluster):
    """A cluster of several machines, running, each with a member of etcd that somebody else looks after. When the
    check is done with it, its daemons must end well."""

    def __init__(self, bench, machines=3, slow=None, arguments=(), environment=None):
        """`slow`: {number of a machine: (delay in seconds, share of frames lost)}."""
        self.bench, self.directory = bench, bench.directory / 'cluster'
        self.directory.mkdir()
        self.secret_file = make_secret(self.directory / 'secret')
        self.machines, self._made = [], []
        self._switch = Switch()
        try:
            for number in range(machines):
                slowness = (*slow[number], bench.options.seed) if number in (slow or {}) else None
                self.machines.append(Machine(number, self._switch, slowness))
            self._equip(arguments, environment)
        except BaseException:
            self._end()
            raise

    def _equip(self, arguments, environment):
        """Makes what is to run on the machines."""
        for machine in self.machines:
            directory = self.directory / ('etcd-%d' % machine.number)
            machine.member = Member('m%d' % machine.number, directory, machine.namespace, machine.address)
        for machine in self.machines:
            machine.peer = self._make_machine_peer(machine, arguments, environment)

    def _make_machine_peer(self, machine, arguments, environment):
        name = 'p%d' % machine.number
        # Its own member first, as whoever sets up a machine would write it.
        members = sorted(self.machines, key=lambda other: (other is not machine, other.number))
        peer = MachinePeer(machine.namespace, self.bench.options.daemon, self.directory / name, [
            '--cluster-secret', str(self.secret_file), '--etcd', ','.join(other.member.url for other in members),
            '--peer-listen', machine.address + ':9096', '--name', name, '--headroom', '0', *arguments],
            environment)
        return self._own(peer)

    @property
    def peers(self):
        return [machine.peer for machine in self.machines]

    def __enter__(self):
        try:
            self._start_members(self.machines)
            return self.start()
        except BaseException:
            self._end()
            raise

    def _start_members(self, machines):
        for machine in machines:
            machine.member.start([other.member for other in self.machines])
        self._expect_members(machines)

    @staticmethod
    def _expect_members(machines):
        for machine in machines:
            eventually(machine.member.is_healthy, 'etcd does not answer on %s' % machine.address)

    def _end(self):
        for peer in self._made:
            if peer.process and peer.process.poll() is None:
                peer.kill()
        for machine in self.machines:
            machine.end()
        self._switch.close()

    def power_on(self, machine):
        """Starts a machine that died again. Returns when all list it as up, which it is once it has caught up."""
        machine.heal()
        self._start_members([machine])
        self.start()

    def leader(self, among=None):
        """The machine whose etcd leads. During an election there is none, so this waits."""
        candidates = among or self.machines
        return eventually(
            lambda: next((machine for machine in candidates if machine.member.is_leader()), None), 'etcd has no leader')

    def others(self, *excluded):
        return [machine for machine in self.machines if machine not in excluded]


class VotingMachines(Machines, VotingCluster):
    """Machines whose daemons run the members of etcd, by TLS. All of them vote, if they are 1, 3 or 5."""

    def _equip(self, arguments, environment):
        for machine in self.machines:
            make = functools.partial(
                VotingMachinePeer, machine.namespace, host=machine.address, ports=(9096, 9097, 9098))
            machine.peer = self.make_peer('p%d' % machine.number, *arguments, environment=environment, make=make)
            machine.member = machine.peer.member

    def _start_members(self, machines):
        """The daemons do, once they run."""

    def start(self):
        super().start()
        self.expect_voters(len(self.machines))
        self._expect_members(self.machines)
        return self

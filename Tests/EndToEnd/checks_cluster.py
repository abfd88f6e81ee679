"""Several peers as one store: where copies go, what outlives which failure, and who is let in."""
import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

from client import REFUSED, VERIFICATION_FAILED, Client
from checks_lifecycle import expect_refusal
from checks_upload import expect_valid_shards
from cluster import MIB, SHARD_BYTES, Cluster, Etcd, VotingCluster, copies, dataset, entries, expect_in_time, make_secret
from daemon import CheckFailed, CheckSkipped, eventually, expect
from forms import Entry, add, random_bytes
from wire import API


def expect_copies(cluster, number):
    """Every shard must be on so many different peers; {CID: peer IDs}."""
    allocations = cluster.allocations()
    expect(allocations, 'there are no shards')
    for shard, peers in allocations.items():
        expect(len(peers) == len(set(peers)) == number, 'shard %s is on %s', shard, peers)
        expect(set(peers) <= set(cluster.ids), 'shard %s is on %s, not all of them members', shard, peers)
    return allocations


# ---- where copies go

def two_copies_are_on_two_peers_and_every_peer_reads_them(bench):
    # One file over several shards, one empty, many small ones, and all together some 30 MB.
    files = dataset('two copies', 11_000_003, 0, 1, *[300_000 + 777 * number for number in range(55)])
    with Cluster(bench) as cluster:
        root = cluster.add(files, **copies(2))
        # What was answered is there, before anybody has waited for anything.
        cluster.expect_reads(root, files, cluster.peers[:1])
        cluster.expect_agreement()
        allocations = expect_copies(cluster, 2)
        expect(len(allocations) >= 6, 'there are only %d shards', len(allocations))
        for number, peer in enumerate(cluster.peers):
            expect(peer.shard_paths, 'peer %d has no shard of %d', number, len(allocations))
        expect_equal_copies(cluster)
        cluster.expect_reads(root, files)
        for peer in cluster.peers:
            peer.expect_ranges(root + '/file-0', files['file-0'], bench.random)
        cluster.peers[1].unpin(root)
        cluster.expect_empty()
        bench.note = '%d shards' % len(allocations)


def expect_equal_copies(cluster):
    """Every copy must be a good shard file, and all copies of a shard the same bytes."""
    first = {}
    for number, peer in enumerate(cluster.peers):
        expect_valid_shards(peer)
        for path in peer.shard_paths:
            other = first.setdefault(path.name.split('.')[0], path)
            expect(path.read_bytes() == other.read_bytes(), '%s on peer %d differs from %s', path.name, number, other)


def a_dataset_larger_than_any_peer_goes_in_and_reads_back(bench):
    capacities = [32 * MIB, 64 * MIB, 96 * MIB]
    files = dataset('larger', *[capacities[-1] * 12 // 10 // 16] * 16)
    levels = []

    def watched(content):
        yield content
        levels.append(cluster.peers[1].storages())

    with Cluster(bench, capacities=capacities) as cluster:
        root = cluster.add({name: watched(content) for name, content in files.items()}, **copies(1))
        cluster.expect_agreement()
        expect_copies(cluster, 1)
        levels += [peer.storages() for peer in cluster.peers]
        for storages in levels:
            for peer, storage in storages.items():
                promised, capacity = storage['used_bytes'] + storage['reserved_bytes'], storage['capacity_bytes']
                expect(promised <= capacity, '%d bytes are promised of the %d of peer %s', promised, capacity, peer)
        expect(len(levels) == len(files) + 3, '%d of %d looks were taken', len(levels), len(files) + 3)
        cluster.expect_reads(root, files)
        shares = [cluster.peers[0].storages()[peer]['used_bytes'] / MIB for peer in cluster.ids]
        expect(all(shares), 'a peer got nothing: %s', shares)
        bench.note = '%.0f, %.0f and %.0f MiB' % tuple(shares)


def a_coordinator_without_room_passes_the_shards_on(bench):
    files = dataset('passed on', 9 * MIB, 5 * MIB, 100_000)
    with Cluster(bench, capacities=[MIB, '1GiB', '1GiB']) as cluster:
        root = cluster.add(files, **copies(1))
        cluster.expect_agreement()
        allocations = expect_copies(cluster, 1)
        holders = set(itertools.chain(*allocations.values()))
        expect(holders == set(cluster.ids[1:]), 'the shards are on %s', holders)
        full = cluster.peers[0]
        expect(not full.names('shards'), 'the coordinator has %s', full.names('shards'))
        cluster.expect_reads(root, files)
        # A third copy would have to be on the coordinator.
        refused = add(full.api, entries(files), is_chunked=True, shard_size=SHARD_BYTES, **copies(3))
        expect(refused.root is None, 'three copies were taken with room for two: %s', refused)
        cluster.expect_agreement()
        expect(cluster.allocations() == allocations, 'a refused upload has left something')


def copies_avoid_one_zone_while_another_has_room(bench):
    zones, capacities = ['a', 'a', 'b'], ['1GiB', '1GiB', 32 * MIB]
    with Cluster(bench, zones=zones, capacities=capacities) as cluster:
        apart = cluster.peers[2]
        told = [apart.storages()[peer]['zone'] for peer in cluster.ids]
        expect(told == zones, 'the zones are listed as %s', told)
        cluster.add(dataset('zones', 7 * MIB, 5 * MIB), **copies(2))
        cluster.expect_agreement()
        early = expect_copies(cluster, 2)
        for shard, peers in early.items():
            expect(apart.id in peers, 'shard %s is on %s, which are one zone', shard, peers)
        # A zone that is full is no reason to refuse.
        files = dataset('more than the zone holds', 14 * MIB, 14 * MIB)
        root = cluster.add(files, **copies(2))
        cluster.expect_agreement()
        late = {shard: peers for shard, peers in expect_copies(cluster, 2).items() if shard not in early}
        inside = [shard for shard, peers in late.items() if apart.id not in peers]
        expect(inside and len(inside) < len(late), '%d of %d later shards are in one zone', len(inside), len(late))
        cluster.expect_reads(root, files, [apart])
        bench.note = '%d shards in two zones, %d in one' % (len(early) + len(late) - len(inside), len(inside))


def copies_in_one_zone_avoid_one_host_while_another_has_room(bench):
    zones, hosts = ['a', 'a', 'a', 'b'], ['x', 'x', 'y', 'z']
    cluster = Cluster(bench, peers=4, zones=zones, capacities=['1GiB', '1GiB', 48 * MIB, '1GiB'])
    for peer, host in zip(cluster.peers, hosts):
        peer.arguments += ['--host-tag', host]
    with cluster:
        apart, other_zone = cluster.peers[2:]
        told = [apart.storages()[peer].get('host') for peer in cluster.ids]
        expect(told == hosts, 'the hosts are listed as %s', told)
        cluster.add(dataset('hosts', 7 * MIB, 5 * MIB), **copies(3))
        cluster.expect_agreement()
        early = expect_copies(cluster, 3)
        for shard, peers in early.items():
            expect({apart.id, other_zone.id} < set(peers), 'shard %s is on %s, two of them one host', shard, peers)
        # A host that is full is no reason to refuse.
        files = dataset('more than the host holds', 21 * MIB, 21 * MIB)
        root = cluster.add(files, **copies(3))
        cluster.expect_agreement()
        late = {shard: peers for shard, peers in expect_copies(cluster, 3).items() if shard not in early}
        expect(all(other_zone.id in peers for peers in late.values()), 'a host counted for more than a zone: %s', late)
        inside = [shard for shard, peers in late.items() if apart.id not in peers]
        expect(inside and len(inside) < len(late), '%d of %d later shards are on two hosts', len(inside), len(late))
        cluster.expect_reads(root, files, [apart])
        bench.note = '%d shards on three hosts, %d on two' % (len(early) + len(late) - len(inside), len(inside))


def a_plan_names_the_shards_and_the_peers_an_upload_then_has(bench):
    # One copy goes to each zone. In the second one no decision is a tie, and none is so close that it would turn on
    # what a shard has reserved beyond its length, 1 MiB of 9, which a plan does not count.
    tree, capacities = bench.directory / 'tree', ['1GiB', 100 * MIB, 240 * MIB]
    tree.mkdir()
    for name, content in dataset('planned', 25 * MIB, 0, 18 * MIB, 50_000).items():
        (tree / name).write_bytes(content)
    with Cluster(bench, zones=['a', 'b', 'b'], capacities=capacities) as cluster:
        client = Client(bench, cluster.peers[1].api)
        # Eight blocks with their frames.
        words = ['--shard-size', 8 * MIB + (64 << 10), '--rmin', 2, '--rmax', 2, tree]
        plan = json.loads(client.run('add', '--dry-run', '--enc', 'json', *words)[0])
        cluster.expect_empty()
        sizes = json.dumps({'file_bytes': [shard['file_bytes'] for shard in plan['shards']]}).encode()
        answer = cluster.peers[2].api.request('POST', '/plans?replication-min=2&replication-max=2', body=sizes)
        planned = [set(shard['peers']) for shard in plan['shards']]
        expect(list(map(set, answer.json['shards'])) == planned, 'another peer plans %s, not %s', answer.json, planned)
        for number in (1, 2):
            count = sum(cluster.ids[number] in peers for peers in planned)
            expect(2 <= count < len(planned), '%d of %d shards are planned for peer %d', count, len(planned), number)
        expect(client.add(*words) == plan['root'], 'the root is not the planned one')
        cluster.expect_agreement()
        table = cluster.peers[0].api.get_json('/shards/' + plan['root'])['shards']
        allocations = expect_copies(cluster, 2)
        for key in ('cid', 'blocks', 'payload_bytes', 'file_bytes'):
            expect([shard[key] for shard in plan['shards']] == [row[key] for row in table], 'planned %s differ', key)
        found = [set(allocations[shard['cid']]) for shard in plan['shards']]
        expect(found == planned, 'the shards are on %s, planned was %s', found, planned)
        bench.note = '%d shards' % len(planned)


# ---- failures

def a_good_copy_is_read_where_the_other_is_damaged(bench):
    files = dataset('damaged', 11_000_003, 9 * MIB, 0, 1, 9 * MIB + 1, 700_000)

    def expect_everything(peer):
        cluster.expect_reads(root, files, [peer])
        for name, content in files.items():
            if content:
                peer.expect_ranges('%s/%s' % (root, name), content, bench.random)

    with Cluster(bench) as cluster:
        root = cluster.add(files, **copies(2))
        cluster.expect_agreement()
        damaged = damage_a_copy_of_each_shard(cluster)
        for peer in cluster.peers:
            expect_everything(peer)
        # A file that is open can be read after it was deleted.
        for peer in cluster.peers:
            peer.restart()
        cluster.expect_up()
        for peer in cluster.peers:
            expect_everything(peer)
        for shard, (peer, way) in damaged.items():
            expect(shard in ''.join(peer.log), 'its peer has not met that shard %s was %s', shard, way)
        cluster.peers[0].unpin(root)
        cluster.expect_empty()
        bench.note = '%d shards' % len(damaged)


def damage_a_copy_of_each_shard(cluster):
    """One in each of three ways, and not all on one peer; {CID: (peer, way)}."""
    peers, damaged = {peer.id: peer for peer in cluster.peers}, {}
    for number, (shard, holders) in enumerate(cluster.allocations().items()):
        peer, way = peers[sorted(holders)[number % 2]], ('changed', 'cut', 'deleted')[number % 3]
        path, = (path for path in peer.shard_paths if path.name.startswith(shard))
        damaged[shard] = (peer, way)
        if way == 'changed':
            data = bytearray(path.read_bytes())
            # A byte in every block at least.
            for position in range(1000, len(data), 50_000):
                data[position] ^= 1
            path.write_bytes(data)
        elif way == 'cut':
            os.truncate(path, path.stat().st_size // 3)
        else:
            path.unlink()
    expect(len(damaged) >= 6, 'there are only %d shards', len(damaged))
    return damaged


def a_peer_that_dies_during_an_upload_is_replaced(bench):
    files = dataset('dies', 24 * MIB, 18 * MIB, 700_000)
    reached, may_go_on = threading.Event(), threading.Event()

    def interrupted(content):
        yield content[:MIB]
        reached.set()
        may_go_on.wait(200)
        yield content[MIB:]

    with bench.daemon() as alone:
        undisturbed = add(alone.api, entries(files), is_chunked=True, shard_size=SHARD_BYTES).root
    with Cluster(bench) as cluster, concurrent.futures.ThreadPoolExecutor(1) as beside:
        survivors, dying = cluster.peers[:2], cluster.peers[2]
        upload = beside.submit(cluster.add, {**files, 'file-1': interrupted(files['file-1'])}, **copies(2))
        try:
            eventually(
                lambda: upload.done() or reached.is_set() and len(dying.shard_paths) >= 2
                and survivors[0].storages()[dying.id]['used_bytes'], 'peer 2 gets no shards')
            dying.kill()
        finally:
            may_go_on.set()
        root = upload.result(200)
        cluster.expect_agreement()
        expect(root == undisturbed, 'the root is %s, without the failure it is %s', root, undisturbed)
        allocations = expect_copies(cluster, 2)
        without = [shard for shard, peers in allocations.items() if dying.id not in peers]
        expect(without and len(without) < len(allocations), '%d of %d shards avoid the peer that died',
               len(without), len(allocations))
        cluster.expect_reads(root, files, survivors)
        cluster.start()
        cluster.expect_agreement()
        cluster.expect_reads(root, files, [dying])
        bench.note = '%d of %d shards went elsewhere' % (len(without), len(allocations))


def a_peer_that_freezes_during_an_upload_is_replaced(bench):
    files = dataset('freezes', 30 * MIB)
    with Cluster(bench, peers=4) as cluster:
        frozen, survivors = cluster.peers[3], cluster.peers[:3]
        with upload_under_way(cluster, files) as upload:
            before = eventually(frozen.shard_files, 'peer 3 has no shards')
            os.kill(frozen.process.pid, signal.SIGSTOP)
            begin = time.monotonic()
        root, seconds = upload.result(), time.monotonic() - begin
        expect(seconds < 90, 'the upload took %.0f s more', seconds)
        expect('did not reach a peer' in ''.join(cluster.peers[0].log), 'nothing was sent to the peer that froze')
        late = {shard: peers for shard, peers in cluster.allocations().items() if shard not in before}
        expect(late, 'all shards were sent before')
        for shard, peers in late.items():
            expect(len(peers) == 2 and frozen.id not in peers, 'shard %s is on %s', shard, peers)
        cluster.expect_reads(root, files, survivors)
        os.kill(frozen.process.pid, signal.SIGCONT)
        cluster.expect_up()
        cluster.expect_agreement()
        cluster.expect_reads(root, files)
        bench.note = '%d of %d shards went elsewhere, after %.0f s' % (len(late), len(before) + len(late), seconds)


@contextlib.contextmanager
def upload_under_way(cluster, files, most=2):
    """An upload that has shards on several peers and waits. It goes on when the body of this ends; yields its
    future."""
    reached, may_go_on = threading.Event(), threading.Event()
    name, content = max(files.items(), key=lambda item: len(item[1]))

    def interrupted():
        yield content[:len(content) * 2 // 3]
        reached.set()
        may_go_on.wait(200)
        yield content[len(content) * 2 // 3:]

    def is_spread():
        return reached.is_set() and sum(bool(peer.shard_paths) for peer in cluster.peers) >= 2

    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        upload = beside.submit(
            cluster.add, {**files, name: interrupted()}, replication_min=2, replication_max=most)
        try:
            eventually(lambda: upload.done() or is_spread(), 'the upload does not get far')
            yield upload
        finally:
            may_go_on.set()


def a_coordinator_that_dies_leaves_nothing_with_the_others_nor_when_it_is_back(bench):
    files = dataset('coordinator', 30 * MIB)
    with Cluster(bench, arguments=['--grace-period', '2s']) as cluster:
        with upload_under_way(cluster, files) as upload:
            cluster.peers[0].kill()
        expect(upload.exception(60), 'an upload outlived its coordinator')
        # The others end it once the coordinator counts as lost.
        cluster.expect_agreement()
        for peer in cluster.running:
            expect(not peer.shard_paths and not peer.pins(), 'something is left of the upload: %s', peer.shard_paths)
        cluster.start()
        cluster.expect_empty()


def a_peer_that_starts_again_during_an_upload_keeps_what_it_signed_for(bench):
    files = dataset('starts again', 30 * MIB)
    with Cluster(bench) as cluster:
        with upload_under_way(cluster, files, most=3):
            before = eventually(cluster.peers[2].shard_files, 'peer 2 has no shards')
            cluster.peers[2].kill()
            cluster.start()
            expect(before.items() <= cluster.peers[2].shard_files().items(), 'it gave away what it had signed for')
        # What was sent while it was away is copied to it later: all may have three copies, and it has room.
        expect_live_copies(cluster, 3)
        cluster.expect_agreement()
        expect_equal_copies(cluster)
        bench.note = '%d shards' % len(before)


def a_peer_that_is_killed_is_listed_as_down_and_comes_back(bench):
    before, meanwhile = dataset('before', 9 * MIB), dataset('meanwhile', 9 * MIB)
    with Cluster(bench) as cluster:
        lost = cluster.peers[2]
        root = cluster.add(before, **copies(2))
        cluster.expect_agreement()
        expect(lost.shard_paths, 'peer 2 has no shards')
        lost.kill()
        begin = time.monotonic()
        for peer in cluster.running:
            peer.expect_states({**dict.fromkeys(cluster.ids, 'up'), lost.id: 'down'})
        seconds = time.monotonic() - begin
        # Life goes on without it, and it learns of that when it comes back.
        other = cluster.add(meanwhile, through=1, **copies(2))
        cluster.peers[0].unpin(root)
        cluster.expect_agreement()
        holders = set(itertools.chain(*expect_copies(cluster, 2).values()))
        expect(lost.id not in holders, 'a peer that is down got shards')
        expect(lost.shard_paths, 'peer 2 is killed, and its shards are gone')
        cluster.start()
        cluster.expect_agreement()
        expect(not lost.shard_paths, 'peer 2 keeps shards of a root that was unpinned without it')
        cluster.expect_reads(other, meanwhile)
        bench.note = 'down after %.0f s' % seconds


def without_etcd_reads_go_on_and_uploads_are_refused(bench):
    files, limit = dataset('without etcd', 9 * MIB, 100_000), 20
    with Cluster(bench) as cluster:
        root = cluster.add(files, **copies(1))
        cluster.expect_agreement()
        cluster.etcd.kill()
        cluster.expect_reads(root, files)
        for peer in cluster.peers[:2]:
            begin = time.monotonic()
            added = add(peer.api, [Entry('f', b'refused')])
            seconds = time.monotonic() - begin
            expect(added.root is None, 'an upload was taken without etcd: %s', added)
            expect(added.answer.status >= 500, 'an upload without etcd was answered %s', added.answer)
            message = added.error.get('message', '')
            expect('etcd' in message or cluster.etcd.url in message, 'the error does not say why: %s', message)
            expect(seconds < limit, 'the refusal took %.0f seconds', seconds)
        cluster.expect_reads(root, files)
        cluster.etcd.start()
        for peer in cluster.peers:
            content = random_bytes(peer.id, 100_000)
            other = eventually(lambda: add(peer.api, [Entry('f', content)]).root, 'an upload is still refused')
            peer.expect_reads(other, content)
        cluster.expect_up()
        cluster.expect_agreement()
        cluster.expect_reads(root, files)
        bench.note = 'refused after %.1f s' % seconds


# ---- who is let in

def answer_to(address, data, context=None):
    """What comes back, decrypted, until the other side ends the connection, as it must soon."""
    got = b''
    try:
        with contextlib.closing(socket.create_connection(address, 10)) as plain:
            with context.wrap_socket(plain) if context else plain as connection:
                connection.sendall(data)
                while piece := connection.recv(1 << 16):
                    got += piece
    except TimeoutError:
        raise CheckFailed('the peer port keeps a connection of a stranger; %r came' % got[:100]) from None
    except ConnectionRefusedError:
        raise CheckFailed('nobody listens on the peer port') from None
    except (ssl.SSLError, ConnectionError):
        pass        # as it should be
    return got


def stranger_context(certificate=None, **settings):
    """TLS that takes any server, so that only the server can be the one who refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(*certificate)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


def self_signed(directory, name, *algorithm):
    """(certificate, key) in PEM files, made by nobody's leave."""
    paths = [pathlib.Path(directory) / ('%s.%s.pem' % (name, part)) for part in ('certificate', 'key')]
    command = [
        'openssl', 'req', '-x509', '-newkey', *algorithm, '-nodes', '-days', '2', '-subj', '/CN=' + name,
        '-keyout', str(paths[1]), '-out', str(paths[0])]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise CheckSkipped('there is no openssl') from None
    expect(done.returncode == 0, 'openssl: %s', done.stderr)
    return paths


def nobody_without_the_secret_gets_a_byte_from_the_peer_port(bench):
    files = dataset('nobody', 9 * MIB, 100_000)
    with Cluster(bench, peers=2) as cluster:
        root = cluster.add(files, **copies(1))
        cluster.expect_agreement()
        strangers = {
            'without a certificate': stranger_context(),
            'with a certificate of its own': stranger_context(self_signed(bench.directory, 'localhost', 'rsa:2048')),
            'that calls itself a member': stranger_context(self_signed(bench.directory, cluster.ids[1], 'ed25519')),
            'with TLS 1.2': stranger_context(maximum_version=ssl.TLSVersion.TLSv1_2)}
        for peer in cluster.peers:
            expect(peer.peer_address and peer.peer_address[1] != peer.api.port, 'there is no peer port')
            port = API(*peer.peer_address)
            requests = [port.head('GET', path) for path in ('/peer/id', '/peer/blocks/' + root, '/id')]
            for request in requests:
                for who, context in strangers.items():
                    got = answer_to(peer.peer_address, request, context)
                    expect(not got, 'a stranger %s was answered %r', who, got[:100])
                got = answer_to(peer.peer_address, request)
                # An alert of TLS is a record of type 21 with two bytes.
                expect(not got or got[0] == 21 and len(got) <= 7, 'a request without TLS was answered %r', got[:100])
        stranger = cluster.make_peer('stranger', secret_file=make_secret(cluster.directory / 'other secret')).start()
        expect(list(stranger.states()) == [stranger.id], 'a stranger lists %s', stranger.states())
        expect(not stranger.pins(), 'a stranger lists pins')
        answer = stranger.api.get('/ipfs/' + root)
        expect(answer.status == 404, 'a stranger reads a root: %s', answer.status)
        own = add(stranger.api, [Entry('f', b'of the stranger')]).root
        stranger.expect_reads(own, b'of the stranger')
        # Members list each other alone, and the ports still serve them: each has a part of the files.
        cluster.expect_up()
        cluster.expect_agreement()
        cluster.expect_reads(root, files)


def a_copied_data_directory_is_refused_by_name(bench):
    files = dataset('copied', 9 * MIB)
    with Cluster(bench) as cluster:
        root = cluster.add(files, **copies(2))
        cluster.expect_agreement()
        original, directory = cluster.peers[2], cluster.directory / 'copied'
        original.stop()
        shutil.copytree(original.directory, directory)
        cluster.start()
        copy = cluster.make_peer('copy', directory=directory)
        expect_refusal(copy, 'identity')
        copy.kill()
        cluster.expect_up()
        cluster.expect_agreement()
        cluster.expect_reads(root, files)


def a_peer_that_was_away_for_longer_than_the_log_reaches_takes_anothers_state(bench):
    files = dataset('away', 9 * MIB)
    with Cluster(bench, environment={'INGESTD_CLUSTER_KEPT_COMMANDS': '10'}) as cluster:
        root = cluster.add(files, **copies(2))
        away = cluster.peers[2]
        away.stop()
        others = [cluster.add({'small': b'%d' % number}, **copies(2)) for number in range(12)]
        eventually(lambda: cluster.etcd.has_key('/trimmed-to'), 'the log is not shortened')
        cluster.start()
        expect('took the state of another peer' in away.log_text, 'it went on from the log:\n%s', away.log_text)
        cluster.expect_agreement()
        expect(set(away.pins()) == {root, *others}, 'the peer that was away lists %s', list(away.pins()))
        # A new peer begins with a snapshot too; its first command comes after it.
        cluster.peers.append(cluster.make_peer('late', environment={'INGESTD_CLUSTER_KEPT_COMMANDS': '10'}))
        cluster.start()
        cluster.expect_reads(root, files)
        cluster.expect_agreement()
        checked = cluster.checked_states()
        bench.note = 'archives of %s commands' % ', '.join(str(found['commands']) for found in checked)


def wipe(peer):
    """Leaves nothing on its disk but who it is."""
    path = peer.directory / 'identity.json'
    identity = path.read_bytes()
    shutil.rmtree(peer.directory)
    peer.directory.mkdir(mode=0o700)
    path.touch(0o600)
    path.write_bytes(identity)


def a_wiped_peer_is_refused_and_then_taken_with_an_empty_disk(bench):
    files = dataset('wiped', 9 * MIB)
    with Cluster(
            bench, arguments=['--grace-period', '1s'], environment={'INGESTD_CLUSTER_KEPT_COMMANDS': '10'}) as cluster:
        root = cluster.add(files, **copies(2))
        wiped = max(cluster.peers, key=lambda peer: len(peer.shard_paths))
        wiped.stop()
        through = next(number for number, peer in enumerate(cluster.peers) if peer is not wiped)
        others = [cluster.add({'small': b'%d' % number}, through, **copies(2)) for number in range(12)]
        eventually(lambda: cluster.etcd.has_key('/trimmed-to'), 'the log is not shortened')
        wipe(wiped)
        expect_refusal(wiped, 'storage.id is missing')
        (wiped.directory / 'storage.id').write_text('0' * 32 + '\n')
        expect_refusal(wiped, 'is known with storage', '--replace-storage')
        wiped.kill()
        wipe(wiped)
        wiped.log.clear()
        wiped.arguments.append('--replace-storage')
        cluster.start()
        expect('took the state of another peer' in wiped.log_text, 'it began with the log:\n%s', wiped.log_text)
        # Its copies are gone; the other peers make new ones.
        expect_in_time(lambda: None if all(len(peers) == 2 for peers in cluster.allocations().values()) else 'copies lack')
        cluster.expect_agreement()
        expect(set(wiped.pins()) == {root, *others}, 'the wiped peer lists %s', list(wiped.pins()))
        cluster.expect_reads(root, files)


def peers_are_drained_and_removed_by_the_client(bench):
    files = dataset('drained', *[3_000_000] * 6)
    with Cluster(bench, arguments=['--repair-rate', '0']) as cluster:
        client = Client(bench, cluster.peers[0].api)
        root = cluster.add(files, **copies(1))
        drained = cluster.ids[2]
        before = cluster.peers[2].shard_files()
        client.run('peers', 'drain', drained)
        expect(cluster.peers[0].states()[drained] == 'draining', 'peer 2 is not listed as draining')
        other = cluster.add(dataset('while drained', *[3_000_000] * 4), **copies(1))
        cluster.expect_agreement()
        expect(cluster.peers[2].shard_files() == before, 'a drained peer got new shards')
        client.run('peers', 'undrain', drained)
        expect(cluster.peers[0].states()[drained] == 'up', 'peer 2 is not listed as up')
        cluster.peers[2].kill()
        cluster.peers[0].expect_states({**dict.fromkeys(cluster.ids, 'up'), drained: 'down'})
        # What is there in one copy goes with its peer: it is named, and must be given up in so many words.
        _, error = client.run('peers', 'rm', drained, status=REFUSED)
        expect(root in error and other not in error, 'the root that would be lost is not named: %s', error)
        expect('--accept-loss' in error and 'start it again' in error, 'what to do is not named: %s', error)
        expect(cluster.peers[0].states()[drained] == 'down', 'a refused removal has changed the members')
        client.run('peers', 'rm', drained, '--accept-loss')
        expect(drained not in cluster.peers[1].states(), 'the removed peer is still listed')
        cluster.expect_reads(other, dataset('while drained', *[3_000_000] * 4), cluster.peers[:2])
        # It comes back as a new member. Its files may be the last of their shards, and stay as long as those are pinned.
        cluster.start()
        expect(set(cluster.peers[2].shard_files()) == set(before), 'the last copies of pinned shards were deleted')
        cluster.peers[0].unpin(root)
        cluster.peers[2].restart()
        cluster.expect_agreement()


def expect_live_copies(cluster, number):
    """It must come to this: every shard has so many copies on peers that run."""
    running = {peer.id for peer in cluster.running}

    def find():
        short = {shard: peers for shard, peers in cluster.allocations().items() if len(running & set(peers)) < number}
        return 'shards with fewer than %d live copies: %s' % (number, short) if short else None
    expect_in_time(find)


def copies_told(client, root):
    """Shards, those with too few copies and those with more than asked for, as `ingest-cli status` tells them."""
    return tuple(map(int, re.findall(r'\d+', client.run('status', root)[0].splitlines()[-1])))


def expect_copies_told(client, root, *wanted):
    found = copies_told(client, root)
    expect(found == wanted, 'status of %s tells %s, not %s', root, found, wanted)
    expect(client.run('status')[0].splitlines()[-1] == client.run('status', root)[0].splitlines()[-1], 'all have others')


def shards_of_a_lost_peer_get_new_copies_after_the_grace_period(bench):
    files = dataset('lost', *[3_000_000] * 8)
    with Cluster(bench, arguments=['--grace-period', '2s']) as cluster:
        root = cluster.add(files, **copies(2))
        cluster.expect_agreement()
        before = cluster.peers[2].shard_files()
        expect(before, 'peer 2 holds nothing')
        client, count = Client(bench, cluster.peers[0].api), len(cluster.allocations())
        expect_copies_told(client, root, count, 0, 0)
        cluster.peers[2].kill()
        seen = set()

        def is_whole_again():
            seen.add(copies_told(client, root))
            return (count, 0, 0) in seen and any(under for _, under, _ in seen)
        eventually(is_whole_again, 'status does not tell of shards with too few copies')
        expect_live_copies(cluster, 2)
        cluster.expect_agreement()
        cluster.expect_reads(root, files, cluster.peers[:2])
        # It comes back with its copies, which nobody has given up.
        cluster.start()
        cluster.expect_agreement()
        expect(cluster.peers[2].shard_files() == before, 'the copies of the peer that came back have changed')
        expect_copies_told(client, root, count, 0, len(before))
        cluster.peers[2].unpin(root)
        cluster.expect_empty()
        bench.note = '%d shards' % len(before)


def verify_tells_what_nobody_can_send_now_from_what_is_damaged(bench):
    with Cluster(bench) as cluster:
        client = Client(bench, cluster.peers[0].api)
        root = cluster.add(dataset('away', *[3_000_000] * 6))
        cluster.expect_agreement()
        expect(cluster.peers[2].shard_files(), 'peer 2 holds nothing')
        cluster.peers[2].kill()
        out, _ = client.run('verify', root, status=REFUSED)
        expect(not out, 'it has found something: %s', out)
        path = cluster.peers[2].shard_paths[0]
        whole = path.read_bytes()
        path.write_bytes(whole[:200_000] + bytes([whole[200_000] ^ 1]) + whole[200_001:])
        cluster.start()
        out, _ = client.run('verify', root, status=VERIFICATION_FAILED)
        expect(len(re.findall('^damaged ', out, re.MULTILINE)) == 1, 'not one block is damaged: %s', out)
        path.write_bytes(whole)
        client.run('verify', root)
        cluster.peers[0].unpin(root)
        cluster.expect_empty()


def a_drained_peer_can_be_removed_once_its_shards_are_elsewhere(bench):
    files = dataset('drain away', *[3_000_000] * 8)
    with Cluster(bench, zones=['a', 'b', 'b']) as cluster:
        client = Client(bench, cluster.peers[0].api)
        root = cluster.add(files, **copies(2))
        cluster.expect_agreement()
        drained = cluster.ids[2]
        client.run('peers', 'rm', drained, status=REFUSED)
        client.run('peers', 'drain', drained)
        others = set(cluster.ids[:2])
        expect_in_time(lambda: None if all(
            others <= set(peers) for peers in cluster.allocations().values()) else 'shards are not on both others')
        client.run('peers', 'rm', drained)
        cluster.peers[2].kill()
        cluster.expect_reads(root, files, cluster.peers[:2])
        expect_copies(cluster, 2)


def who_has_no_etcd_installed_is_told_how_to_get_it(bench):
    (bench.directory / 'empty').mkdir()
    with VotingCluster(bench, peers=0) as cluster:
        peer = cluster.make_peer('p0', environment={'PATH': str(bench.directory / 'empty')})
        peer.init()
        expect_refusal(peer, 'there is none on this machine', 'apt-get install etcd-server', 'cluster.etcd')
        peer.kill()
        del peer.environment['PATH']
        cluster.peers.append(peer)
        cluster.start()
        cluster.expect_voters(1)
        cluster.add({'small': b'with etcd'})
        cluster.expect_agreement()


def peers_stop_when_told_to_also_without_etcd(bench):
    with Cluster(bench) as cluster:
        cluster.etcd.kill()
        for peer in cluster.peers[:2]:
            peer.stop()
        # This one waits for the log, and has not joined yet.
        waiting = cluster.peers[1]
        waiting.spawn()
        eventually(lambda: 'waiting for the log' in waiting.log_text or waiting.peer_address, 'the peer does not wait')
        began = time.monotonic()
        waiting.stop()
        # Not cut off after a minute, as requests under way would be.
        expect(time.monotonic() - began < 30, 'it took %.0f s to stop', time.monotonic() - began)
        cluster.etcd.start()
        cluster.start()
        cluster.expect_agreement()


def make_certificate(folder, name, *signed_by):
    """A key and a certificate for 127.0.0.1 in `folder`; one that signs others, unless it is signed by such a one."""
    key, certificate = folder / (name + '-key.pem'), folder / (name + '.pem')
    command = [
        'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=' + name, '-keyout', str(key),
        '-out', str(certificate), '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
    if signed_by:
        command += ['-CA', str(signed_by[0]), '-CAkey', str(signed_by[1]), '-addext', 'basicConstraints=CA:FALSE']
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    expect(done.returncode == 0, 'openssl: %s', done.stderr)
    return certificate, key


def an_etcd_that_asks_for_certificates_is_shown_one(bench):
    authority = make_certificate(bench.directory, 'authority')
    own = make_certificate(bench.directory, 'own', *authority)
    context = ssl.create_default_context(cafile=authority[0])
    context.load_cert_chain(*own)
    etcd = Etcd(bench.directory / 'guarded', context)
    etcd.flags = [
        '--cert-file', str(own[0]), '--key-file', str(own[1]), '--client-cert-auth', '--trusted-ca-file', str(authority[0])]
    shown = dict(zip(
        ['INGESTD_CLUSTER_ETCD_AUTHORITY', 'INGESTD_CLUSTER_ETCD_CERTIFICATE', 'INGESTD_CLUSTER_ETCD_KEY'],
        map(str, [authority[0], *own])))
    cluster = Cluster(bench, peers=0)
    cluster.etcd = etcd
    cluster.peers += [cluster.make_peer('p%d' % number, environment=shown) for number in range(2)]
    with cluster:
        files = dataset('guarded', 5 * MIB)
        cluster.expect_reads(cluster.add(files, **copies(2)), files)
        cluster.expect_agreement()
        # Whoever shows none is not let in, and says so.
        stranger = cluster.make_peer('stranger', environment={
            name: value for name, value in shown.items() if name.endswith('AUTHORITY')})
        stranger.spawn()
        eventually(lambda: 'waiting for the log' in stranger.log_text, 'a peer without a certificate is let in')
        expect('listening' not in stranger.log_text.replace('listening for peers', ''), 'it listens:\n%s', stranger.log_text)
        stranger.kill()


CHECKS = [
    two_copies_are_on_two_peers_and_every_peer_reads_them, a_dataset_larger_than_any_peer_goes_in_and_reads_back,
    a_coordinator_without_room_passes_the_shards_on, copies_avoid_one_zone_while_another_has_room,
    copies_in_one_zone_avoid_one_host_while_another_has_room, a_plan_names_the_shards_and_the_peers_an_upload_then_has,
    a_good_copy_is_read_where_the_other_is_damaged, a_peer_that_dies_during_an_upload_is_replaced,
    a_peer_that_freezes_during_an_upload_is_replaced,
    a_coordinator_that_dies_leaves_nothing_with_the_others_nor_when_it_is_back,
    a_peer_that_starts_again_during_an_upload_keeps_what_it_signed_for, a_peer_that_is_killed_is_listed_as_down_and_comes_back,
    without_etcd_reads_go_on_and_uploads_are_refused, nobody_without_the_secret_gets_a_byte_from_the_peer_port,
    shards_of_a_lost_peer_get_new_copies_after_the_grace_period,
    verify_tells_what_nobody_can_send_now_from_what_is_damaged, a_drained_peer_can_be_removed_once_its_shards_are_elsewhere,
    peers_stop_when_told_to_also_without_etcd, who_has_no_etcd_installed_is_told_how_to_get_it,
    an_etcd_that_asks_for_certificates_is_shown_one,
    a_copied_data_directory_is_refused_by_name,
    a_peer_that_was_away_for_longer_than_the_log_reaches_takes_anothers_state,
    a_wiped_peer_is_refused_and_then_taken_with_an_empty_disk, peers_are_drained_and_removed_by_the_client]

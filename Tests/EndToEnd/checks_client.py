"""The command line, as its users run it, also through a network that damages what passes."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import threading

import archives
from client import NO_SPACE, PARTIAL, REFUSED, VERIFICATION_FAILED, Client
from daemon import expect
from forms import Entry, add, random_bytes

MIB = 1 << 20


def make_tree(root):
    """Everything a tree may hold that comes back as it was."""
    (root / 'inner' / 'deep' / 'deeper').mkdir(parents=True)
    (root / 'empty directory').mkdir()
    (root / 'large').write_bytes(random_bytes('tree', 5 * MIB))
    (root / 'empty').write_bytes(b'')
    (root / '.hidden').write_bytes(b'hidden')
    (root / 'inner' / 'd\u00e9j\u00e0 vu \u2603').write_bytes(b'name in UTF-8')
    (root / 'inner' / 'a"b\\c%41+d').write_bytes(b'name with signs')
    (root / 'inner' / 'two\nlines').write_bytes(b'name with a line feed')
    for number in range(300):
        (root / 'inner' / 'deep' / ('file %d' % number)).write_bytes(random_bytes(number, number * 37))
    for name, target in (('to file', 'large'), ('to directory', 'inner/deep'), ('dangling', 'nothing/here'),
                         ('absolute', '/etc/hostname'), ('to itself', 'to itself')):
        (root / name).symlink_to(target)


def expect_same_tree(left, right):
    done = subprocess.run(['diff', '-r', '--no-dereference', str(left), str(right)], capture_output=True, text=True)
    expect(done.returncode == 0, 'the trees differ: %s', (done.stdout + done.stderr)[:2000])


def a_tree_added_and_got_is_the_same(bench):
    tree = bench.options.tree
    if tree is None:
        tree = bench.directory / 'tree'
        tree.mkdir()
        make_tree(tree)
    shard_size = [] if bench.options.tree else ['--shard-size', 2 * MIB]
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        root = client.add('--hidden', *shard_size, tree)
        expect(list(daemon.pins()) == [root], 'answered was %s, pinned is %s', root, list(daemon.pins()))
        client.run('verify', root)
        client.run('get', root, '-o', bench.directory / 'copy')
        expect_same_tree(tree, bench.directory / 'copy')
        shards = [row['cid'] for row in daemon.api.get_json('/shards/' + root)['shards']]
        expect(all(shard in client.run('shards', root)[0] for shard in shards), 'not all shards are listed')
        planned = client.run('add', '--only-hash', '-Q', '--hidden', tree)[0].split()[-1]
        expect(planned == root, '--only-hash says %s, the service %s', planned, root)
        client.run('pin', 'rm', root)
        daemon.expect_empty()
        client.run('verify', root, status=REFUSED)


def damage_on_disk_is_found_by_verify(bench):
    source = bench.directory / 'file'
    source.write_bytes(random_bytes('verify', 3 * MIB))
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        root = client.add('--shard-size', 2 * MIB, source)
        client.run('verify', root)
        path = daemon.shard_paths[0]
        data = path.read_bytes()
        cid, block = next(iter(archives.Shard(data).blocks.items()))
        path.write_bytes(data.replace(block, block[:-1] + bytes([block[-1] ^ 1])))
        out, error = client.run('verify', root, status=VERIFICATION_FAILED)
        damaged = archives.text_of_cid(cid)
        expect(damaged in out + error, 'the damaged block %s is not named: %s', damaged, out + error)
        # The service notices it first and refuses.
        client.run('get', root, '-o', bench.directory / 'copy', status=(REFUSED, VERIFICATION_FAILED))
        expect(not (bench.directory / 'copy').exists(), 'a damaged file was left under its name')
        # What verify advises.
        expect(client.add('--shard-size', 2 * MIB, source) == root, 'the same file has another root')
        client.run('verify', root)
        daemon.expect_agreement()


def long_lists_come_in_pages(bench):
    with bench.daemon() as daemon:
        for number in range(5):
            expect(add(daemon.api, [Entry('f', b'root %d' % number)]).root, 'an upload failed')
        for path in '/pins', '/allocations':
            wanted, found, after = daemon.api.get_lines(path), [], ''
            while after is not None:
                answer = daemon.api.get('%s?limit=2%s' % (path, after and '&after=' + after))
                expect(len(answer.lines) <= 2, '%s with limit=2 gave %d', path, len(answer.lines))
                found += answer.lines
                after = answer.headers.get('x-next-after')
            expect(len(wanted) >= 5 and found == wanted, '%s by pages has %d of %d', path, len(found), len(wanted))


def damage_among_blocks_like_list_nodes_is_found_by_verify(bench):
    root, archive = archives.archive_of_records([b'first record', b'other record', b'third record'])
    source = bench.directory / 'records.car'
    source.write_bytes(archive)
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        expect(client.add('--format', 'car', source) == root, 'the root is another one')
        client.run('verify', root)
        path = daemon.shard_paths[0]
        path.write_bytes(path.read_bytes().replace(b'other record', b'Other record'))
        out, _ = client.run('verify', '--enc', 'json', root, status=VERIFICATION_FAILED)
        damaged = archives.block_of(archives.DAG_CBOR, bytes([0x60 | 12]) + b'other record')[0]
        found = json.loads(out)
        expect(found['damaged'] == [archives.text_of_cid(damaged)] and not found['missing'], 'found is %s', found)
        client.run('verify', '--all', status=VERIFICATION_FAILED)


class FlippingProxy:
    """Passes a daemon's connections on, and flips one bit of what the client or the daemon sends."""

    def __init__(self, api, position, flips_answers=False):
        self._target, self._position, self._flips_answers = (api.host, api.port), position, flips_answers
        self._seen, self._lock = 0, threading.Lock()
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.address = 'http://127.0.0.1:%d' % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def has_flipped(self):
        return self._seen > self._position

    def close(self):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for source, sink, flips in ((client, server, not self._flips_answers), (server, client, self._flips_answers)):
                    threading.Thread(target=self._pass, args=(source, sink, flips), daemon=True).start()

    def _pass(self, source, sink, flips):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(self._flipped(data) if flips else data)
            sink.shutdown(socket.SHUT_WR)

    def _flipped(self, data):
        with self._lock:
            at, self._seen = self._position - self._seen, self._seen + len(data)
        if 0 <= at < len(data):
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        return data


def a_bit_flipped_on_the_way_is_noticed_by_the_client(bench):
    source = bench.directory / 'file'
    source.write_bytes(random_bytes('flip', 4 * MIB))
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        root = client.run('add', '--only-hash', '-Q', source)[0].split()[-1]
        proxy = FlippingProxy(daemon.api, 2_500_000)
        _, error = client.run('add', source, status=VERIFICATION_FAILED, address=proxy.address)
        expect(proxy.has_flipped, 'nothing was flipped')
        expect(root in error, 'the message does not name the root computed here: %s', error)
        others = set(daemon.pins()) - {root}
        expect(all(other in error for other in others), 'the message does not name %s: %s', others, error)
        proxy.close()

        expect(client.add(source) == root, 'without the proxy comes another root')
        proxy = FlippingProxy(daemon.api, 2_500_000, flips_answers=True)
        copy = bench.directory / 'copy'
        client.run('get', root, '-o', copy, status=VERIFICATION_FAILED, address=proxy.address)
        expect(proxy.has_flipped and not copy.exists(), 'a damaged file was left under its name')
        proxy.close()
        client.run('get', root, '-o', copy)
        expect(copy.read_bytes() == source.read_bytes(), 'the file got is not the one added')


def exit_codes_tell_what_failed(bench):
    source = bench.directory / 'file'
    source.write_bytes(random_bytes('codes', 8 * MIB))
    with bench.daemon('--capacity', '4MiB') as daemon:
        client = Client(bench, daemon.api)
        client.run('add', source, status=NO_SPACE)
        client.run('add', bench.directory / 'missing', status=1)
        client.run('add', '--chunker', 'size-0', source, status=1)
        client.run('pin', 'rm', 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e', status=REFUSED)
        os.mkfifo(bench.directory / 'pipe')
        tree = pathlib.Path(bench.directory) / 'tree'
        tree.mkdir()
        (tree / 'a').write_bytes(b'a')
        os.mkfifo(tree / 'pipe')
        _, error = client.run('add', tree, status=PARTIAL)
        expect('pipe' in error, 'what was left out is not named: %s', error)
        client.run('add', source, status=1, address='http://127.0.0.1:1')
        daemon.expect_agreement()


def a_dry_run_tells_root_shards_and_peers_and_sends_nothing(bench):
    tree = bench.directory / 'tree'
    tree.mkdir()
    make_tree(tree)
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        out, _ = client.run('add', '--dry-run', '--enc', 'json', '--shard-size', 2 * MIB, tree)
        plan = json.loads(out)
        expect(not daemon.pins() and not daemon.shard_paths, 'a dry run left %s', daemon.shard_paths)
        root = client.add('--shard-size', 2 * MIB, tree)
        expect(plan['root'] == root, 'planned was %s, added %s', plan['root'], root)
        table = daemon.api.get_json('/shards/' + root)['shards']
        for key in ('cid', 'blocks', 'payload_bytes', 'file_bytes'):
            expect([shard[key] for shard in plan['shards']] == [row[key] for row in table], 'planned %s differ', key)
        own = daemon.api.get_json('/id')['id']
        expect(all(shard['peers'] == [own] for shard in plan['shards']), 'the plan names %s', plan['shards'])
        client.run('add', '--dry-run', '--rmin', 2, tree, status=NO_SPACE)


CHECKS = [
    a_tree_added_and_got_is_the_same, a_dry_run_tells_root_shards_and_peers_and_sends_nothing,
    long_lists_come_in_pages, damage_on_disk_is_found_by_verify, damage_among_blocks_like_list_nodes_is_found_by_verify, a_bit_flipped_on_the_way_is_noticed_by_the_client,
    exit_codes_tell_what_failed]

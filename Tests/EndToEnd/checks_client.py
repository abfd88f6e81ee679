"""The command line, as its users run it, also through a network that damages what passes."""
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import socket
import struct
import subprocess
import termios
import threading

import archives
from checks_resume import Resumable
from client import DONE, LOCAL, NO_SPACE, PARTIAL, REFUSED, VERIFICATION_FAILED, Client
from daemon import expect
from forms import Entry, add, random_bytes, small_files

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
    done = subprocess.run(['diff', '-r', '--no-dereference', str(left), str(right)], capture_output=True, errors='replace')
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
    source, copy = bench.directory / 'file', bench.directory / 'copy'
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        # In one request, and in pieces.
        for size in 4 * MIB, 20 * MIB:
            source.write_bytes(random_bytes('flip', size))
            before = set(daemon.pins())
            root = client.run('add', '--only-hash', '-Q', source)[0].split()[-1]
            proxy = FlippingProxy(daemon.api, size * 5 // 8)
            _, error = client.run('add', source, status=VERIFICATION_FAILED, address=proxy.address)
            expect(proxy.has_flipped, 'nothing was flipped')
            expect(root in error, 'the message does not name the root computed here: %s', error)
            others = set(daemon.pins()) - before
            expect(len(others) == 1 and root not in others, 'what was damaged became %s, not one other root', others)
            expect(others.pop() in error, 'the message does not name what was stored: %s', error)
            expect(not daemon.api.get_lines('/uploads'), 'an upload stays open')
            proxy.close()
            pieces = 'method="PATCH",route="/uploads/{id}"' in daemon.api.get('/metrics').body.decode()
            expect(pieces == (size > 16 * MIB), 'a file of %d bytes was sent in pieces: %s', size, pieces)

            expect(client.add(source) == root, 'without the proxy comes another root')
            proxy = FlippingProxy(daemon.api, size * 5 // 8, flips_answers=True)
            client.run('get', root, '-o', copy, status=VERIFICATION_FAILED, address=proxy.address)
            expect(proxy.has_flipped and not copy.exists(), 'a damaged file was left under its name')
            proxy.close()
            client.run('get', root, '-o', copy)
            expect(copy.read_bytes() == source.read_bytes(), 'the file got is not the one added')
            copy.unlink()


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


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def what_the_client_lists_is_what_the_service_says(bench):
    # What is free on the disk changes, and what is listed with it.
    with bench.daemon('--capacity', '1GiB') as daemon:
        client = Client(bench, daemon.api)
        entries = [Entry('d', kind='directory'), Entry('d/large', random_bytes('listed', 5 * MIB))]
        root = add(daemon.api, entries, shard_size=2 * MIB, name='a tree', meta_kind='test').root
        expect(add(daemon.api, [Entry('f', b'small')]).root, 'an upload failed')
        expect(Resumable(daemon, name='open').patch(0, b'begun').status == 204, 'a piece is not taken')
        table = daemon.api.get_json('/shards/' + root)['shards']
        shard, own = table[0]['cid'], daemon.api.get_json('/id')['id']
        numbers = [str(row[key]) for row in table for key in ('cid', 'blocks', 'file_bytes')]
        # (command, what it lists, what its text must show)
        for words, path, shown in (
                (['pin', 'ls'], '/pins', [root, 'a tree']),
                (['pin', 'ls', root], '/allocations/' + root, ['meta-pin', 'a tree', 'meta kind   test', '1 to 1']),
                (['status'], '/peers', [own[-8:], 'up', '1 GiB', '%d shards: 0 with too few' % (len(table) + 1)]),
                (['status', root], '/pins/' + root, [own[-8:], 'sharded', '%d shards: 0 with too few' % len(table)]),
                (['peers'], '/peers', [own[-8:], 'up', '1 GiB']),
                (['shards', root], '/shards/' + root, numbers),
                (['shards', 'why', shard], '/shards/%s/why' % shard, ['shard 0 of upload', own[-8:], 'chosen']),
                (['uploads'], '/uploads', ['open', own])):
            wanted = daemon.api.get_lines(path)
            found = json_lines(client.run(*words, '--enc', 'json')[0])
            expect(wanted and found == wanted, '%s lists %s, the service %s', ' '.join(words), found, wanted)
            out, _ = client.run(*words)
            missing = [text for text in shown if text not in out]
            expect(not missing, '%s does not show %s: %s', ' '.join(words), missing, out)
        again = json.loads(client.run('shards', 'why', '--replay', '--enc', 'json', shard)[0])
        expect(again['replayed_equally'] is True, 'the decision made again is %s', again)
        found = json.loads(client.run('verify', '--enc', 'json', root)[0])
        wanted = {'root': root, 'ok': True, 'damaged': [], 'missing': [], 'blocks': sum(row['blocks'] for row in table),
                  'bytes': sum(row['payload_bytes'] for row in table)}
        expect(found == wanted, 'verified is %s, stored %s', found, wanted)
        unknown = 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
        for words in ['pin', 'ls'], ['status'], ['shards'], ['shards', 'why'], ['ls']:
            out, error = client.run(*words, '--enc', 'json', unknown, status=REFUSED)
            expect(not out and error.startswith('ingest-cli: '), '%s of nothing: %s', ' '.join(words), out + error)


def ls_shows_the_entries_that_were_added(bench):
    name = 'd\u00e9j\u00e0 vu'
    entries = [
        Entry('d', kind='directory'), Entry('d/large', random_bytes('ls', 3 * MIB)), Entry('d/empty', b''),
        Entry('d/' + name, b'1'), Entry('d/link', b'large', 'symlink'),
        Entry('d/inner', kind='directory'), Entry('d/inner/deep', b'deep')]
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        # The second directory takes several blocks.
        for number, added in enumerate((
                add(daemon.api, entries, profile='unixfs-v1-2025'),
                add(daemon.api, small_files(300), hamt_directory_size_threshold=1000))):
            lines = {line['name']: line for line in added.lines}
            # A file is listed as itself.
            for path in ['d', 'd/inner', 'd/large', 'd/' + name] if number == 0 else ['many']:
                children = sorted(key for key in lines if key.startswith(path + '/') and '/' not in key[len(path) + 1:])
                wanted = [
                    (key.rsplit('/', 1)[-1], lines[key]['cid'], lines[key].get('size', 0)) for key in children or [path]]
                of_root = added.root + path[len(added.lines[-1]['name']):]
                found = json_lines(client.run('ls', '--enc', 'json', of_root)[0])
                told = sorted((line['name'], line['cid'], line.get('size', 0)) for line in found)
                expect(told == wanted, '%s is listed as %s, added was %s', path, told, wanted)
                out, _ = client.run('ls', of_root)
                texts = sorted('%s %d %s' % (cid, size, name) for name, cid, size in wanted)
                expect(sorted(out.splitlines()) == texts, '%s is listed as %s', path, out)
        _, error = client.run('ls', added.root + '/no such entry', status=LOCAL)
        expect('no such entry' in error, 'what is missing is not named: %s', error)


def removed_pins_are_told_and_gone(bench):
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        roots = [add(daemon.api, [Entry('f', b'root %d' % number)]).root for number in range(3)]
        wanted = daemon.api.get_json('/allocations/' + roots[0])
        found = json_lines(client.run('pin', 'rm', '--enc', 'json', roots[0])[0])
        expect(found == [wanted], 'removed is %s, it was %s', found, wanted)
        expect(set(daemon.pins()) == set(roots[1:]), 'pinned is %s', list(daemon.pins()))
        out, _ = client.run('pin', 'rm', *roots[1:])
        expect(out.splitlines() == ['removed ' + root for root in roots[1:]], 'told is %s', out)
        expect(client.run('pin', 'ls')[0] == client.run('pin', 'ls', '--enc', 'json')[0] == '', 'pins are listed')
        client.run('pin', 'rm', roots[0], status=REFUSED)
        daemon.expect_empty()


def versions_are_told_also_without_a_service(bench):
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        own, service = client.run('--version')[0].strip(), daemon.api.get_json('/version')['version']
        out, _ = client.run('version')
        expect(out.split() == ['ingest-cli', own, 'ingestd', service], 'told is %s', out)
        found = json.loads(client.run('version', '--enc', 'json')[0])
        expect(found == {'client': own, 'service': service}, 'told is %s', found)
        nobody = {'status': LOCAL, 'address': 'http://127.0.0.1:1'}
        expect(client.run('version', **nobody)[0].split() == ['ingest-cli', own], 'without a service nothing is told')
        found = json.loads(client.run('version', '--enc', 'json', **nobody)[0])
        expect(found == {'client': own}, 'without a service told is %s', found)


COMPLETE = """
source "$0"
COMP_WORDS=(ingest-cli "$@" '') COMP_CWORD=$(($# + 1)) COMP_LINE="ingest-cli $* " COMP_POINT=$((${#COMP_LINE}))
$(complete -p ingest-cli | sed 's/.* -F \\([^ ]*\\) .*/\\1/') ingest-cli '' "${@: -1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash_takes_the_completion_script_and_completes_with_it(bench):
    script = bench.directory / 'script'

    def bash(*words):
        done = subprocess.run(['bash', *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        expect(done.returncode == 0 and not done.stderr, 'bash %s: %s', words[0], done.stderr)
        return done.stdout.split()

    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        out, _ = client.run('completion', 'bash')
        script.write_text(out)
        bash('-n', script)
        for words, wanted in (
                ([], {'add', 'get', 'ls', 'shards', 'pin', 'status', 'uploads', 'peers', 'verify', 'version'}),
                (['pin'], {'ls', 'rm'}), (['completion'], {'bash', 'zsh', 'fish'}),
                (['add', '--format'], {'unixfs', 'car'})):
            found = set(bash('-c', COMPLETE, script, *words))
            expect(wanted <= found, 'after %s it offers %s', words, found)
        expect(client.run('--generate-completion-script', 'bash')[0] == out, 'there are two scripts')
        for shell, mark in ('zsh', '#compdef ingest-cli'), ('fish', 'complete -c ingest-cli'):
            expect(mark in client.run('completion', shell)[0].replace("'", ''), 'no script for %s', shell)
        client.run('completion', 'tcsh', status=LOCAL)


def run_on_terminal(client, *words, columns, **variables):
    """All that a command writes on a terminal of its own, and its status."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('4H', 24, columns, 0, 0))
    process = client.start(*words, output=terminal, **{'TERM': 'xterm', **variables}).process
    os.close(terminal)
    written = b''
    # Once nobody has the other end any more, reading is an error.
    with contextlib.suppress(OSError):
        while piece := os.read(screen, 1 << 16):
            written += piece
    os.close(screen)
    return written.decode(), process.wait()


BEFORE_BAR = '\r\x1b[K'
BAR = re.compile(
    r' *(\d+)% \[(?P<kept>#*)(?P<passed>\+*)(\.*)\] [0-9.]+ (?:bytes|[KM]iB) of (?P<total>\d+ MiB)'
    r'(  [0-9.]+ (bytes|[KM]iB)/s)?(  \d+:\d\d left)?(  \d+ shards?)?')


def a_terminal_shows_how_an_add_goes_and_then_the_root(bench):
    source = bench.directory / 'file'
    with bench.daemon() as daemon:
        client = Client(bench, daemon.api)
        # In pieces, and in one request.
        for size, columns in (20 * MIB, 70), (6 * MIB, 100):
            source.write_bytes(random_bytes('terminal', size))
            root = client.add('--only-hash', source)
            add_in_a_second = ['add', '-Q', '--limit-upload', size, source]
            written, status = run_on_terminal(client, *add_in_a_second, columns=columns)
            expect(status == DONE and BEFORE_BAR in written, 'it ended with %d, without a bar: %r', status, written)
            first, *bars, last = written.split(BEFORE_BAR)
            expect((first, last.split()) == ('', [root]), 'around the bars comes %r and %r', first, last)
            matches = [BAR.fullmatch(bar) for bar in bars]
            expect(len(bars) >= 3 and all(matches), 'the bars are %s', bars)
            expect(all(len(bar) < columns for bar in bars), 'a bar is wider than %d columns: %s', columns, bars)
            shares = [int(match[1]) for match in matches]
            expect(shares == sorted(shares) and shares[-1] < 100, 'the shares are %s', shares)
            passed = [len(match['kept'] + match['passed']) / (match.end(4) - match.start('kept')) for match in matches]
            expect(passed == sorted(passed) and passed[0] < passed[-1] and passed[-1] >= 0.9, 'what passes: %s', bars)
            # What the service has not acknowledged does not count; in one request it acknowledges nothing before the end.
            in_pieces = size > 16 * MIB
            expect(shares[-1] >= 90 or in_pieces, 'the shares are %s', shares)
            expect(any(match['passed'] for match in matches) == in_pieces, 'what is only on its way: %s', bars)
            expect({match['total'] for match in matches} == {'%d MiB' % (size // MIB)}, 'of how much: %s', bars)
        for words, variables in (['--no-progress'], {}), ([], {'TERM': 'dumb'}):
            written, status = run_on_terminal(client, *add_in_a_second, *words, columns=100, **variables)
            expect(status == DONE and written.split() == [root], 'without a bar it ended with %d: %r', status, written)
        out, error = client.run(*add_in_a_second)
        expect((out, error) == (root + '\n', ''), 'without a terminal comes %r and %r', out, error)
        _, error = client.run(*add_in_a_second, '--progress')
        expect(BEFORE_BAR in error, 'no bar where one is asked for: %r', error)


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
    exit_codes_tell_what_failed, what_the_client_lists_is_what_the_service_says, ls_shows_the_entries_that_were_added,
    removed_pins_are_told_and_gone, versions_are_told_also_without_a_service,
    bash_takes_the_completion_script_and_completes_with_it, a_terminal_shows_how_an_add_goes_and_then_the_root]

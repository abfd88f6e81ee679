"""Uploads that do not fit, by configuration and on a disk that is really full."""
import contextlib
import os
import re
import subprocess

from client import Client
from daemon import CheckSkipped, eventually, expect
from forms import Added, Entry, Form, add, random_bytes
from wire import Exchange, query

MIB = 1 << 20
AMOUNT = re.compile(r'\d+(\.\d+)? ?([KMGT]i?B|bytes)')


def expect_no_space(added, what):
    expect(added.root is None, '%s was taken', what)
    expect(added.error.get('code') == 507, '%s: %s', what, added.error)
    expect('X' not in added.error['message'], 'a placeholder in %s', added.error['message'])


def expect_amounts(message):
    expect(len(AMOUNT.findall(message)) >= 2, 'the message does not say what is needed and what is there: %s', message)


def space_that_is_known_to_lack_is_refused_before_the_first_byte(bench):
    with bench.daemon('--capacity', '50MiB') as daemon:
        announced = [('Content-Length', 100_000_000), ('Expect', '100-continue')]
        for path, headers in (('/add', [Form([]).header]), ('/uploads?filename=f', [('Upload-Complete', '?1')])):
            with Exchange(daemon.api, 'POST', path, headers + announced) as exchange:
                answer = exchange.answer()
            expect(answer.status == 507, 'the answer to %s is %s', path, answer)
            expect(answer.interim == [], 'the body was asked for: %s', answer.interim)
            expect(answer.json.get('code') == 507, 'the error is %s', answer.json)
            expect_amounts(answer.json['message'])
            daemon.expect_empty()
        # What fits is asked for.
        body = Form([Entry('f', random_bytes('fits', 20 * MIB))])
        data = body.bytes
        headers = [body.header, ('Content-Length', len(data)), ('Expect', '100-continue')]
        with Exchange(daemon.api, 'POST', '/add', headers) as exchange:
            line = exchange._line()
            expect(line.split()[1] == b'100', 'instead of 100 came %r', line)
            exchange._fields()
            exchange.send_beside([data], is_chunked=False)
            added = Added(exchange.answer())
        expect(added.root, 'what fits failed: %s', added)
        daemon.expect_agreement()


def an_upload_that_outgrows_the_capacity_leaves_nothing(bench):
    piece = random_bytes('outgrows', MIB)
    with bench.daemon('--capacity', '50MiB') as daemon:
        for options in ({'shard_size': 4 * MIB}, {'shard': False}, {}):
            pieces = (bytes([number]) * 8 + piece for number in range(100))
            added = add(daemon.api, [Entry('f', pieces)], is_chunked=True, **options)
            expect_no_space(added, 'an upload of 100 MiB in 50 MiB with %s' % options)
            expect_amounts(added.error['message'])
            daemon.expect_empty()
        added = add(daemon.api, [Entry('f', piece)])
        expect(added.root, 'a small upload afterwards failed: %s', added)
        expect(daemon.storage()['capacity_bytes'] == 50 * MIB, 'capacity is %s', daemon.storage())
        daemon.expect_agreement()


def a_shard_without_limit_reserves_more_as_it_grows_and_commits(bench):
    piece = random_bytes('grows', MIB)
    form = Form([Entry('f', (bytes([number]) * 8 + piece for number in range(200)))])
    headers = [form.header, ('Transfer-Encoding', 'chunked')]
    # (bytes sent, what is reserved then): a quarter more than the file needs, in steps of 128 MiB.
    stages = [(20 * MIB, 128 * MIB), (199 * MIB, 256 * MIB)]
    with bench.daemon() as daemon:
        with Exchange(daemon.api, 'POST', query('/add', shard=False), headers) as exchange:
            sent = 0
            for data in form:
                exchange.send_chunk(data)
                sent += len(data)
                if stages and sent >= stages[0][0]:
                    wanted = stages.pop(0)[1]
                    eventually(
                        lambda: daemon.storage()['reserved_bytes'] == wanted,
                        '%d bytes are not reserved after %d: %s' % (wanted, sent, daemon.storage()))
            exchange.end_chunks()
            added = Added(exchange.answer())
        expect(added.root and not stages, 'the upload failed: %s', added)
        shards = daemon.api.get_json('/shards/' + added.root)['shards']
        expect(len(shards) == 1 and shards[0]['payload_bytes'] > 200 * MIB, 'its shards are %s', shards)
        daemon.expect_agreement()
        expect(daemon.storage()['reserved_bytes'] == 0, 'reserved is %s', daemon.storage())
        Client(bench, daemon.api).run('verify', added.root)


@contextlib.contextmanager
def small_disk(bench, byte_count, name='disk'):
    """A file system of its own: ext4 on a loop device, where mounting is possible."""
    if os.geteuid() != 0:
        raise CheckSkipped('mounting a small disk needs root')
    image, directory = bench.directory / (name + '.image'), bench.directory / name
    directory.mkdir()
    with open(image, 'wb') as file:
        file.truncate(byte_count)
    for command in (['mkfs.ext4', '-q', '-F', '-m', '0', str(image)], ['mount', '-o', 'loop', str(image), str(directory)]):
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except FileNotFoundError:
            raise CheckSkipped('there is no %s' % command[0]) from None
        if done.returncode:
            raise CheckSkipped('%s: %s' % (command[0], done.stderr.strip()))
    try:
        yield directory
    finally:
        bench.end()
        subprocess.run(['umount', str(directory)], check=True)


def fill_disk(filler, left):
    """Makes a file so large that `left` bytes stay free beside it."""
    with open(filler, 'wb') as file:
        disk = os.fstatvfs(file.fileno())
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(4096, disk.f_bavail * disk.f_frsize - left))
        if left == 0:
            with contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    file.flush()


def a_disk_of_which_all_is_kept_free_is_told_of_at_the_start(bench):
    with bench.daemon('--headroom', '1PiB') as daemon:
        added = add(daemon.api, [Entry('f', b'x')])
        expect_no_space(added, 'an upload to a daemon that keeps all free')
        expect('kept free' in added.error['message'], 'the message is not clear: %s', added.error['message'])
        expect(daemon.log_text.count('no shard fits on this peer') == 1, 'the log does not say it once:\n%s', daemon.log_text)


def a_full_disk_ends_the_upload_and_nothing_else(bench):
    small, long = random_bytes('small', 2 * MIB), random_bytes('long', MIB)

    def stream(count):
        return [Entry('f', (bytes([number]) * 8 + long for number in range(count)))]

    with small_disk(bench, 160 * MIB) as disk, bench.daemon('--headroom', '0', directory=disk / 'data') as daemon:
        before = add(daemon.api, [Entry('before', small)])
        expect(before.root, 'a small upload failed: %s', before)
        # More than the disk holds, by what the daemon knows.
        added = add(daemon.api, stream(250), is_chunked=True, shard_size=8 * MIB)
        expect_no_space(added, 'an upload larger than the disk')
        daemon.expect_agreement()
        # Another program eats the disk after the space was counted.
        for left in (40 * MIB, 6 * MIB, 0):
            filler = disk / 'filler'
            fill_disk(filler, left)
            added = add(daemon.api, stream(110), is_chunked=True, shard_size=60 * MIB, name='left %d' % left)
            expect_no_space(added, 'an upload with %d bytes left' % left)
            expect('full' in added.error['message'] or AMOUNT.search(added.error['message']),
                   'the message is not clear: %s', added.error['message'])
            expect(daemon.process.poll() is None, 'the daemon ended:\n%s', daemon.log_text)
            daemon.expect_reads(before.root, small)
            filler.unlink()
            # Space is measured every few seconds, and an upload that could not be recorded as ended is then.
            eventually(lambda: add(daemon.api, [Entry('after', small)], name='left %d' % left).root, 'a small upload is not taken')
            daemon.expect_agreement()
        daemon.stop()
        daemon.start()
        daemon.expect_reads(before.root, small)
        daemon.expect_agreement()


CHECKS = [
    space_that_is_known_to_lack_is_refused_before_the_first_byte, an_upload_that_outgrows_the_capacity_leaves_nothing,
    a_shard_without_limit_reserves_more_as_it_grows_and_commits,
    a_disk_of_which_all_is_kept_free_is_told_of_at_the_start, a_full_disk_ends_the_upload_and_nothing_else]

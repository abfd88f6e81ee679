"""What the README tells people to paste, pasted."""
import os
import pathlib
import re
import subprocess

from daemon import expect
from forms import random_bytes
from machines import Namespace

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MIB = 1 << 20


def shell(bench, script, namespace=None):
    """Runs commands in the repository with the programs of this run; what they printed."""
    programs = bench.directory / 'bin'
    if not programs.exists():
        programs.mkdir()
        for name, program in (('ingestd', bench.options.daemon), ('ingest-cli', bench.options.cli)):
            (programs / name).symlink_to(program.resolve())
    environment = {name: value for name, value in os.environ.items() if not name.startswith('INGEST')}
    # Where many use one network, the ports of the README are somebody else's.
    with (namespace or Namespace()).entered():
        done = subprocess.run(
            ['bash', '-ec', script.replace('$PWD/.build/release', str(programs))], cwd=REPOSITORY,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
            env={**environment, 'INGESTD_BIN': str(programs), 'TMPDIR': str(bench.directory)})
    expect(done.returncode == 0, '%s\nended with status %d: %s%s', script, done.returncode, done.stdout, done.stderr)
    return done.stdout


def make_tree(bench):
    tree = bench.directory / 'dataset'
    tree.mkdir()
    for number in range(3):
        (tree / str(number)).write_bytes(random_bytes('readme %d' % number, 50 * MIB))
    return tree


def blocks_of_the_readme():
    """The commands, one text for each place where the README has some."""
    return re.findall(r'```sh\n(.*?)\n```', (REPOSITORY / 'README.md').read_text(), re.DOTALL)


def the_first_command_of_the_readme_reads_back_what_it_added(bench):
    command = blocks_of_the_readme()[0]
    expect(command.startswith('Scripts/quickstart /'), 'the first command is %s', command)
    tree = make_tree(bench)
    told = shell(bench, 'Scripts/quickstart %s' % tree)
    expect(told.endswith('identical to %s\n' % tree), 'it says %s', told)


def three_lines_of_the_readme_make_a_cluster_and_add_to_it_with_two_copies(bench):
    block = next(block for block in blocks_of_the_readme() if 'Scripts/cluster' in block)
    expect(len(block.splitlines()) == 3, 'it takes other than three lines: %s', block)
    cluster, namespace = bench.directory / 'cluster', Namespace()
    block = block.replace('./cluster', str(cluster)).replace('/usr/share/doc', str(make_tree(bench)))
    try:
        told = shell(bench, block, namespace)
        rows = [line for line in told.splitlines() if re.match(r' *\d+ ', line)]
        # 150 MiB in shards of 100.
        expect(len(rows) == 2, 'it shows %s', told)
        for row in rows:
            expect(len(set(re.findall(r'peer\d', row))) == 2, 'a shard is not on two peers: %s', row)
        # What it holds is there again the next time.
        again = block.splitlines()[0] + '\ningest-cli verify --all'
        shell(bench, 'Scripts/cluster --stop %s\n%s' % (cluster, again), namespace)
    finally:
        shell(bench, 'Scripts/cluster --stop %s || true' % cluster, namespace)


CHECKS = [
    the_first_command_of_the_readme_reads_back_what_it_added,
    three_lines_of_the_readme_make_a_cluster_and_add_to_it_with_two_copies]

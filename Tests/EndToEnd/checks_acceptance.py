"""The acceptance scripts, each on a daemon of its own. They are kept beside the repository."""
import re
import subprocess
import sys

from daemon import CheckSkipped, expect

SUMMARY = re.compile(r'(\d+) passed, (\d+) failed, (\d+) skipped')


def run_script(bench, name, arguments):
    """Counts of passed, failed and skipped cases; a failed one fails the check."""
    script = bench.options.acceptance / name
    if not script.exists():
        raise CheckSkipped('no acceptance scripts')
    finished = subprocess.run(
        [sys.executable, str(script)] + arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, cwd=bench.directory, env={'PYTHONDONTWRITEBYTECODE': '1'})
    summary = SUMMARY.findall(finished.stdout)
    expect(finished.returncode == 0 and summary, '%s ended with status %d:\n%s', name, finished.returncode, finished.stdout[-6000:])
    passed, failed, skipped = map(int, summary[-1])
    expect(passed > 0 and failed == 0, '%s:\n%s', name, finished.stdout[-6000:])
    bench.note = '%d cases' % passed
    return skipped


def import_vectors_give_kubos_roots(bench):
    arguments = [] if bench.options.limit_bytes is None else ['--limit-bytes', str(bench.options.limit_bytes)]
    with bench.daemon() as daemon:
        skipped = run_script(bench, 'import_vectors.py', ['--api', daemon.api.url, '--dialect', 'cluster', '--unpin'] + arguments)
        if bench.options.limit_bytes is None:
            expect(skipped == 0, '%d vectors were skipped', skipped)
        else:
            bench.note += ', %d left out for their length' % skipped
        daemon.expect_empty()


def shards_are_those_of_ipfs_cluster(bench):
    with bench.daemon() as daemon:
        skipped = run_script(bench, 'shards.py', ['--api', daemon.api.url, '--unpin'])
        expect(skipped == 0, '%d cases were skipped', skipped)
        daemon.expect_empty()


def bad_inputs_are_answered_and_leave_nothing(bench):
    with bench.daemon() as daemon:
        skipped = run_script(bench, 'bad_inputs.py', ['--api', daemon.api.url, '--daemon-pid', str(daemon.process.pid)])
        expect(skipped == 0, '%d cases were skipped', skipped)
        daemon.expect_empty()


CHECKS = [import_vectors_give_kubos_roots, shards_are_those_of_ipfs_cluster, bad_inputs_are_answered_and_leave_nothing]

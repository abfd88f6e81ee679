"""The acceptance scripts, each on a daemon of its own. They are kept beside the repository."""
import os
import re
import subprocess
import sys

from daemon import CheckSkipped, expect

SUMMARY = re.compile(r'(\d+) passed, (\d+) failed, (\d+) skipped')


def script_output(bench, name, arguments):
    """What a script prints; another exit status than 0 fails the check."""
    script = bench.options.acceptance / name
    if not script.exists():
        # Nobody reads there why something was skipped.
        expect(not os.environ.get('CI'), 'there is no %s, and CI is set; name its directory in INGEST_ACCEPTANCE', script)
        raise CheckSkipped('there are no acceptance scripts in %s' % bench.options.acceptance)
    finished = subprocess.run(
        [sys.executable, str(script)] + arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, cwd=bench.directory, env={'PYTHONDONTWRITEBYTECODE': '1'})
    expect(finished.returncode == 0, '%s ended with status %d:\n%s', name, finished.returncode, finished.stdout[-6000:])
    return finished.stdout


def run_script(bench, name, arguments, least=1):
    """The number of skipped cases; a failed one fails the check, and so do fewer than `least` that passed."""
    output = script_output(bench, name, arguments)
    summary = SUMMARY.findall(output)
    expect(summary, '%s does not say how many passed:\n%s', name, output[-6000:])
    passed, failed, skipped = map(int, summary[-1])
    expect(passed >= least and failed == 0, '%s, of at least %d cases:\n%s', name, least, output[-6000:])
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
        arguments = ['--api', daemon.api.url, '--daemon-pid', str(daemon.process.pid)]
        listed = script_output(bench, 'bad_inputs.py', arguments + ['--list']).splitlines()
        expect(len(listed) > 200, 'only %d cases are listed', len(listed))
        skipped = run_script(bench, 'bad_inputs.py', arguments, least=len(listed))
        expect(skipped == 0, '%d cases were skipped', skipped)
        daemon.expect_empty()


CHECKS = [import_vectors_give_kubos_roots, shards_are_those_of_ipfs_cluster, bad_inputs_are_answered_and_leave_nothing]

#!/usr/bin/env python3
"""End-to-end checks: starts daemons on free ports with temporary data directories and uses them as clients do.

  run.py                                     all checks with the release build, which must be there
  run.py --only 'kill|space' --daemon PATH   some checks with another program
  run.py --kills 200 --seed 7                more rounds; a failure names its seed

One line per check, then "N passed, M failed, K skipped", and why those were. Exit status 1 when a check failed.
"""
import argparse
import contextlib
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time
import traceback

from daemon import CheckFailed, CheckSkipped, Daemon
from wire import WireError
import checks_acceptance
import checks_client
import checks_cluster
import checks_disk
import checks_lifecycle
import checks_load
import checks_machines
import checks_reading
import checks_readme
import checks_removal
import checks_resume
import checks_resume_client
import checks_resume_protocol
import checks_soak
import checks_space
import checks_upload
import checks_voters

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CHECKS = [
    check for module in (
        checks_acceptance, checks_readme, checks_upload, checks_resume, checks_resume_protocol, checks_resume_client, checks_reading, checks_space, checks_removal, checks_lifecycle, checks_disk,
        checks_client, checks_cluster, checks_load, checks_machines, checks_voters, checks_soak)
    for check in module.CHECKS]


class Bench:
    """What a check gets: the options, a directory of its own, and daemons that are ended with it."""

    def __init__(self, options, directory):
        self.options, self.directory = options, pathlib.Path(directory)
        self.random = random.Random(options.seed)
        # Shown beside the outcome.
        self.note = ''
        self._daemons = []

    def make_daemon(self, *arguments, **settings):
        """A daemon that is not started yet."""
        directory = settings.pop('directory', self.directory / ('data-%d' % len(self._daemons)))
        daemon = Daemon(self.options.daemon, directory, arguments, **settings)
        self._daemons.append(daemon)
        return daemon

    @contextlib.contextmanager
    def daemon(self, *arguments, **settings):
        """A running daemon that must end well when the check is done with it."""
        daemon = self.make_daemon(*arguments, **settings).start()
        yield daemon
        daemon.stop()

    def end(self):
        for daemon in self._daemons:
            if daemon.process and daemon.process.poll() is None:
                daemon.kill()

    @property
    def logs(self):
        # Who runs comes first: whoever shows only the beginning of this shows the most important.
        words = [daemon.last_words for daemon in self._daemons]
        text = ''.join(first for first, *_ in words) + ''.join(line for lines in words for line in lines)
        return ''.join('    | %s' % line for line in text.splitlines(keepends=True))


def perform(check, options):
    """(outcome, reason) of one check."""
    directory = tempfile.mkdtemp(prefix='ingestd-end-to-end-', dir=options.directory)
    bench = Bench(options, directory)
    try:
        check(bench)
        return 'passed', bench.note
    except CheckSkipped as reason:
        return 'skipped', str(reason)
    except (CheckFailed, WireError) as failure:
        return 'FAILED', '%s\n%s' % (failure, bench.logs)
    except Exception:       # a mistake in a check fails that check, not the whole run
        return 'FAILED', traceback.format_exc() + bench.logs
    finally:
        bench.end()
        if options.keep:
            print('    kept %s' % directory)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build = REPOSITORY / '.build' / 'release'
    parser.add_argument('--only', default='', help='regular expression on the names of checks')
    parser.add_argument('--daemon', type=pathlib.Path, default=build / 'ingestd')
    parser.add_argument('--cli', type=pathlib.Path, default=build / 'ingest-cli')
    parser.add_argument(
        '--debug-daemon', type=pathlib.Path, default=REPOSITORY / '.build' / 'debug' / 'ingestd',
        help='a debug build, whose disk can be made to fail')
    parser.add_argument(
        '--disk-share', type=float, default=0.25,
        help='each change of the disk fails by a kill, a power cut, and this share of the other ways')
    parser.add_argument(
        '--copies-share', type=float, default=0.02,
        help='share of all faults that are tried on the disk of a peer that gets copies')
    parser.add_argument('--list', action='store_true', help='print the names and do nothing')
    parser.add_argument('--seed', type=int, default=int.from_bytes(os.urandom(4), 'big'), help='of everything random')
    parser.add_argument('--kills', type=int, default=30, help='rounds of the kill -9 check')
    parser.add_argument('--rounds', type=int, default=200, help='adds, removals and reads of the removal check')
    parser.add_argument('--soak', type=float, default=1, help='minutes of the check that works for long; 60 for a soak')
    parser.add_argument('--scale', type=int, default=1, help='times the size of the large dataset; 32 for 6 GiB')
    parser.add_argument('--tree', type=pathlib.Path, help='add and get this directory instead of a small one')
    parser.add_argument('--limit-bytes', type=int, help='leave out import vectors with longer inputs')
    parser.add_argument('--directory', help='where temporary directories are made; a disk, not a memory file system')
    parser.add_argument('--keep', action='store_true', help='keep temporary directories')
    parser.add_argument(
        '--acceptance', type=pathlib.Path,
        default=os.environ.get('INGEST_ACCEPTANCE') or REPOSITORY.parent / 'shared' / 'accept',
        help='directory with the acceptance scripts; also INGEST_ACCEPTANCE')
    return parser.parse_args()


def main():
    options = read_options()
    chosen = [check for check in CHECKS if re.search(options.only, check.__name__)]
    if options.list:
        print('\n'.join(check.__name__ for check in chosen))
        return 0
    if not os.access(options.daemon, os.X_OK):
        sys.exit('there is no program %s; build it with: swift build -c release' % options.daemon)
    print('daemon %s, seed %d' % (options.daemon, options.seed), flush=True)
    counts, reasons = {'passed': 0, 'FAILED': 0, 'skipped': 0}, set()
    for check in chosen:
        start = time.monotonic()
        outcome, reason = perform(check, options)
        counts[outcome] += 1
        if outcome == 'skipped':
            reasons.add(reason)
        note = ': ' + reason.rstrip() if reason else ''
        print('%-7s %6.1f s  %s%s' % (outcome, time.monotonic() - start, check.__name__, note), flush=True)
    why = ': ' + '; '.join(sorted(reasons)) if reasons else ''
    print('%d passed, %d failed, %d skipped%s' % (*counts.values(), why))
    return 1 if counts['FAILED'] else 0


if __name__ == '__main__':
    sys.exit(main())

"""The command line client, run as a program."""
import os
import subprocess

from daemon import CheckSkipped, expect

# Exit statuses.
DONE, REFUSED, PARTIAL, VERIFICATION_FAILED, NO_SPACE = 0, 2, 3, 4, 5


class Client:
    def __init__(self, bench, api):
        self.program, self.address = bench.options.cli, api.url
        if not os.access(self.program, os.X_OK):
            raise CheckSkipped('there is no program %s' % self.program)

    def run(self, *arguments, status=DONE, address=None):
        """Standard output and standard error; another exit status than the one wanted, or those, fails the check."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith('INGEST_')}
        done = subprocess.run(
            [str(self.program), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
            env={**environment, 'INGEST_API': address or self.address})
        out, error = done.stdout.decode('utf-8', 'replace'), done.stderr.decode('utf-8', 'replace')
        wanted = status if isinstance(status, tuple) else (status,)
        expect(done.returncode in wanted, 'ingest-cli %s ended with %d, not %s: %s', ' '.join(map(str, arguments)),
               done.returncode, ' or '.join(map(str, wanted)), (error or out)[-2000:])
        return out, error

    def add(self, *arguments):
        return self.run('add', '-Q', *arguments)[0].split()[-1]

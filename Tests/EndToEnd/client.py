"""The command line client, run as a program."""
import os
import subprocess

from daemon import CheckSkipped, end_of, expect

# Exit statuses.
DONE, LOCAL, REFUSED, PARTIAL, VERIFICATION_FAILED, NO_SPACE, CHANGED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130


class Client:
    def __init__(self, bench, api):
        self.program, self.address = bench.options.cli, api.url
        # Uploads that are open are remembered there.
        self._state = bench.directory / 'state'
        if not os.access(self.program, os.X_OK):
            raise CheckSkipped('there is no program %s' % self.program)

    def run(self, *arguments, status=DONE, **settings):
        """Standard output and standard error; another exit status than the one wanted, or those, fails the check."""
        return self.start(*arguments, **settings).end(status)

    def start(self, *arguments, address=None, stdin=subprocess.DEVNULL, output=subprocess.PIPE, **variables):
        """The same, while it runs. `output` takes all that it writes; `variables` are of its environment."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith('INGEST_')}
        return Command([str(self.program), *map(str, arguments)], {
            **environment, 'INGEST_API': address or self.address, 'XDG_STATE_HOME': str(self._state), **variables},
            stdin, output)

    def add(self, *arguments):
        return self.run('add', '-Q', *arguments)[0].split()[-1]


class Command:
    """A command that runs."""

    def __init__(self, words, environment, stdin, output):
        self.words = words
        self.process = subprocess.Popen(words, stdin=stdin, stdout=output, stderr=output, env=environment)

    def end(self, status=DONE):
        out, error = (text.decode('utf-8', 'replace') for text in self.process.communicate())
        wanted, found = status if isinstance(status, tuple) else (status,), self.process.returncode
        expect(found in wanted, 'ingest-cli %s ended with %d, not %s: %s', ' '.join(self.words[1:]), found,
               ' or '.join(map(str, wanted)), end_of((error or out).splitlines(keepends=True), 30))
        return out, error

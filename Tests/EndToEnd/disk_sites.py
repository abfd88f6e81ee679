"""The calls in the sources that change the disk: those of functions that take `file: DebugText = #fileID` (Sources/PosixIO)."""
import pathlib
import re

from daemon import expect

SOURCES = pathlib.Path(__file__).resolve().parents[2] / 'Sources'
SEAM = 'PosixIO'
DECLARATION = re.compile(r'\b(?:func (\w+)|(init))(?:<[^(]*>)?\(')
TYPE = re.compile(r'\b(?:class|struct|enum|actor|extension) (\w+)')
SCOPE = re.compile(r'\b(?:func (\w+)|(init|deinit)[(<? ]|var (\w+)[^=]*\{$)')
# Calls that the ingest of the check does not come to.
NOT_REACHED = {
    'a peer of a cluster alone does it': (
        'SnapshotFiles takeTransient: removeFile', 'PeerClient saveState: FileDescriptor', 'PeerClient saveState: writeAll',
        'PeerClient saveState: synchronize', 'ClusterFile save: saveFile', 'IngestDaemon run: saveFile 2'),
    'an etcd that the daemon starts has files of its own around it': (
        'Ballast keep: removeFile', 'Ballast keep: FileDescriptor', 'Ballast keep: preallocate', 'EtcdProcess savePlace: saveFile',
        'EtcdProcess removeData: removeTree', 'EtcdProcess setDataAside: rename', 'EtcdProcess forget: removeTree',
        'EtcdProcess start: makeDirectory', 'EtcdProcess start: saveFile', 'EtcdProcess start: removeFile',
        'EtcdProcess start: rename', 'EtcdProcess start: FileDescriptor', 'ManagedEtcd run: makeDirectory'),
    'another command does it, while no daemon runs': (
        'RecoverCommand run: DirectoryLock', 'RecoverCommand run: removeFile', 'RecoverCommand run: removeTree',
        'StateCommand run: DirectoryLock'),
    'only after a change that failed': (
        'SnapshotFiles writing: removeFile', 'BlockCatalogueRunWriter deinit: removeFile',
        'ShardStore takeBack: rename', 'UploadJournal append: truncate'),
    'the archive is trimmed after a million commands': ('SnapshotFiles removeOld: removeFile',),
    'scratch that is collected; what is written of it at once is come to': ('DiskScratch flush: writeAll',),
    'it never makes a file': ('UploadJournal open: FileDescriptor',),
}
# Calls that it comes to when the process happens to be stopped between the name of a shard and its seal.
BY_CHANCE = {
    'StagingArea copy: makeDirectory', 'StagingArea copy: FileDescriptor', 'StagingArea copy: writeAll',
    'StagingArea copy: synchronize', 'ShardStore renew: link', 'ShardStore renew: rename',
    'ShardStore renew: synchronizeDirectory'}
LOGGING = re.compile(r'\blog(?:ger)?\.')
LABEL = re.compile(r'\s*(\w+)\s*:')


def without_comments(text):
    """Lines keep their numbers."""
    return re.sub(r'(?m)^ *//.*$', '', text)


def arguments(text, start):
    """What is in the parentheses that open before `start`, and where it ends, as parts between its commas."""
    parts, begin, depth, position, in_text = [], start, 1, start, False
    while depth:
        character = text[position]
        if character == '"' and text[position - 1] != '\\':
            in_text = not in_text
        elif not in_text:
            depth += (character in '([{') - (character in ')]}')
            if depth == 0 or depth == 1 and character == ',':
                parts.append(text[begin:position])
                begin = position + 1
        position += 1
    return [part for part in parts if part.strip()], position


def label_of(argument):
    found = LABEL.match(argument)
    return found[1] if found else '_'


def around(text, pattern):
    """The name by which a pattern matches the nearest line before the end of a text that is indented less than each after it."""
    lines = text.splitlines()
    depth = len(lines[-1])
    for line in reversed(lines):
        indent = len(line) - len(line.lstrip())
        is_head = line.strip() and not line.strip().startswith(')')     # of what its signature's end is not indented less than
        if is_head and indent < depth or line is lines[-1]:
            depth = min(depth, indent)
            if match := pattern.search(line):
                return next(filter(None, match.groups()))
    raise ValueError('nothing is around %r' % lines[-1])


class Seamed:
    """A function that changes the disk for its caller."""

    def __init__(self, name, parameters):
        self.name = name
        self.parameters = [(parameter.split()[0].rstrip(':'), '=' in parameter) for parameter in parameters if '->' not in parameter]

    def takes(self, labels):
        left = list(labels)
        for label, is_optional in self.parameters:
            if left and left[0] == label:
                left.pop(0)
            elif not is_optional:
                return False
        return not left


def seamed_functions():
    found = []
    for path in sorted((SOURCES / SEAM).rglob('*.swift')):
        text = without_comments(path.read_text())
        for match in DECLARATION.finditer(text):
            parameters, _ = arguments(text, match.end())
            if any('DebugText = #fileID' in parameter for parameter in parameters):
                found.append(Seamed(match[1] or around(text[:match.start()], TYPE), parameters))
    return found


def call_sites():
    """{file and line as the seam tells them: name}; a name is a file, a function in it and what that calls."""
    functions = seamed_functions()
    call = re.compile(r'(?<!func )\b(%s)\(' % '|'.join(sorted({function.name for function in functions})))
    sites, counts = {}, {}
    for path in sorted(SOURCES.rglob('*.swift')):
        if 'ingest-cli' in path.parts or path.name == 'DiskUndo.swift':
            continue        # another program, and the seam itself
        text = without_comments(path.read_text())
        for match in call.finditer(text):
            given, end = arguments(text, match.end())
            labels = [label_of(argument) for argument in given]
            if 'file' in labels or not any(function.name == match[1] and function.takes(labels) for function in functions):
                continue
            if match[1] == 'FileDescriptor' and re.search(r'for: \.(read|update)\b', text[match.end():end]):
                continue        # makes no file
            before = text[:match.end()]
            name = '%s %s: %s' % (path.stem, around(before, SCOPE), match[1])
            counts[name] = counts.get(name, 0) + 1
            if counts[name] > 1:
                name += ' %d' % counts[name]
            sites['%s/%s:%d' % (path.relative_to(SOURCES).parts[0], path.name, before.count('\n') + 1)] = name
    return sites


def expect_reached(reached):
    """`reached`: calls that the seam has told. Every call there is must be among them, or be named above. What was found."""
    sites = call_sites()
    # A call that is not found here would never be missed.
    unknown = sorted(reached - set(sites))
    expect(not unknown, 'calls that change the disk and are not found in the sources: %s', unknown)
    strays = sorted(site for site in sites if site.startswith(SEAM + '/') and '/DiskScratch' not in site)
    expect(not strays, 'calls that do not tell who called: %s', strays)
    listed = {name for names in NOT_REACHED.values() for name in names}
    missing = {name for site, name in sites.items() if site not in reached}
    unlisted, wrong = missing - listed - BY_CHANCE, listed - missing | BY_CHANCE - set(sites.values())
    expect(not unlisted, 'calls that change the disk and that no ingest comes to: %s', sorted(unlisted))
    expect(not wrong, 'named as not come to, and come to or gone: %s', sorted(wrong))
    return '%d calls that change the disk, %d of them not come to' % (len(sites), len(missing))


def quiet_files():
    """Files with such a call and without a log line, as debug builds name them: no other text has their names."""
    files = {site.rpartition(':')[0] for site in call_sites()}
    paths = {'/'.join((path.relative_to(SOURCES).parts[0], path.name)): path for path in SOURCES.rglob('*/*/*.swift')}
    return sorted(file for file in files if file in paths and not LOGGING.search(paths[file].read_text()))

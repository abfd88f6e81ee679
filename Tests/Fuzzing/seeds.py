"""Writes the first inputs of every fuzz target from vectors that other programs made: Corpus/<target>/seed-<n>."""
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / 'MultiformatsTests' / 'Vectors'
PINSET = HERE.parent / 'PinsetTests' / 'Vectors'
LIMIT = 8192

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file?mode=0644&mtime=1"; filename="d%2Ff"\r\n'
    b'Content-Type: application/octet-stream\r\n\r\nbytes\r\n--b-\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="d"\r\nContent-Type: application/x-directory\r\n\r\n\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="l"\r\nContent-Type: application/symlink\r\n\r\nd/f\r\n--b--\r\n')
TYPES = [
    'multipart/form-data; boundary=b', 'multipart/form-data;boundary="a b\\"c"', 'Multipart/Form-Data ; x=y; BOUNDARY=xyz',
    'multipart/form-data', 'text/plain; charset=utf-8']
OPTIONS = [
    'chunker=size-1000&cid-version=1&raw-leaves=true&hash=blake3', 'chunker=rabin-16-32-64&trickle=true&wrap-with-directory',
    'name=a%20b&shard-size=1000000&replication-min=2&replication-max=3&user-allocations=x&expire-in=1h&meta-a=b',
    'profile=unixfs-v1-2025&max-file-links=10&max-hamt-fanout=16&hamt-directory-size-estimation=block&inline&inline-limit=10',
    'preserve-mode=1&mtime=12&mtime-nsecs=5&mode=0644&stream-channels=false&shard=false&format=car',
    'format=multipart&chunker=size-1000&name=n', 'filename=a%2Fb%20c&raw-leaves=false&format=raw']

FIELDS = [
    '?1', ' ?1;a=b', '12', '9223372036854775807', 'bytes=0-9', 'bytes=-5', 'bytes=3-', 'bytes=0-1,3-4', 'filename Zg==,empty,binary /w==',
    'filename Zg==\nbytes=1-2\n007 ; x']

# As FuzzedDAG reads them: kind, links (how far back, length of the name, name, size), length, bytes.
LEAVES = b'\0\0\3abc' b'\0\0\2de' b'\5\0\2fg'
DAGS = [
    LEAVES + b'\5\3\2\0\0\1\0\0\0\0\0\0', LEAVES + b'\5\2\1\0\0\0\0\0\1h',
    LEAVES + b'\3\2\2\1a\0\0\1b\0\0' b'\3\2\0\1d\0\1\1e\0\0', LEAVES + b'\1\2\0\0\0\1\0\0\1x',
    LEAVES + b'\x0c\1\0\3' b'0Aa' b'\0\1\1', LEAVES + b'\2\1\0\0\0\6\x08\2\x18\2\x20\2']

# A receipt whose signature holds; by ingestd, since nobody else signs them.
RECEIPT = (
    b'{"peer":"12D3KooWA4upjScehsNjCbAYpd3KKo3gXHKgj2PA5QCCUvLi455D","storage":"00000000000000030000000000000004","number":5,'
    b'"shard":"bafkreig7gwmm2zxrxnn4jywbppujw7d6z4gidzjzhh2hdjvxfw4ncopnvy","signature":"bol+DJ1nXIEUACCX042F/15WSJ/sPDCtWU6v'
    b'eOWXbrVt62LYBdQk0lRV16aRT8DqOy5BRMPshwnZEiEgo/8aAg==","file_bytes":1000,"upload":"00000000000000010000000000000002",'
    b'"generation":7}')


def hexadecimal(value):
    """Every run of bytes that is written as hexadecimal digits in a tree of JSON."""
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, str) and 'hex' in name and item:
                yield name, bytes.fromhex(item)
            else:
                yield from hexadecimal(item)
    elif isinstance(value, list):
        for item in value:
            yield from hexadecimal(item)


def seeds():
    def load(name):
        return json.loads((VECTORS / name).read_text())['vectors']

    for path in sorted((VECTORS / 'car').glob('*.car')):
        yield 'car', path.read_bytes()
    for _, content in hexadecimal(load('car-small.json')):
        yield 'car', content
    for vector in load('codec.json'):
        if vector['category'] == 'cid' and isinstance(vector.get('input'), str):
            yield 'cid', vector['input'].encode()
        for _, content in hexadecimal(vector):
            yield ('dag-pb' if 'pb' in vector['category'] else 'cid'), content
            if 'pb' in vector['category']:
                yield 'unixfs', content
    for _, content in hexadecimal(json.loads((VECTORS / 'golden-shard.json').read_text())):
        yield 'cbor', content
    for line in (PINSET / 'commands.txt').read_text().splitlines():
        yield 'command', bytes.fromhex(line.split()[1])
        yield 'cbor', bytes.fromhex(line.split()[1])
    yield 'snapshot', (PINSET / 'snapshot.ndjson').read_bytes()
    lines = (PINSET / 'snapshot.ndjson').read_bytes().splitlines(True)
    for count in 1, 2, 5:
        yield 'snapshot', b''.join(lines[:count])
    for text in (b'12D3KooWHkYHcLAkgP8qHzKWs6KDqQAuAxBAqqtCi9BVauyAmc2c', b'bafzaajaiaejca4syrpdu6gdx4wsdnokxkprgzxf4wrstuc34gxw5k5jrag2so5gk', b'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N'):
        yield 'peer-id', text
    yield 'receipt', RECEIPT
    yield 'receipt', RECEIPT.replace(b'"generation":7', b'"generation":-8')
    yield 'receipt', RECEIPT.replace(b'=="', b'="')
    yield 'multipart', FORM
    yield 'multipart', FORM.replace(b'\r\n--b', b'\r\n--b \t')
    yield 'multipart', FORM[:-4] + b'\r\nepilogue'
    for text in TYPES:
        yield 'content-type', text.encode()
    for text in OPTIONS:
        yield 'options', text.encode()
    for text in FIELDS:
        yield 'fields', text.encode()
    for recipe in DAGS:
        yield 'dag', recipe
    # Payloads of journals: the format and what opened it, then offset, content, drop, tail, rest, reader, records.
    checkpoint = bytes([10, 10, 0, 3]) + b'abc' + bytes([2]) + b'de' + bytes([2]) + b'{}' + bytes([0])
    yield 'journal', b'\1{}'
    yield 'journal', b'\1{}\xff' + checkpoint
    yield 'journal', b'\1{}\xff' + checkpoint + b'\xff' + bytes([12, 12, 2, 1]) + b'f' + bytes([0, 0, 0])
    # Begin file `a`, a leaf, its end; a directory with mode and time; a symlink.
    cid = bytes.fromhex('01551220' + '11' * 32)
    records = [
        b'\0\1\1a\0', b'\1' + cid + b'\x80\x10', b'\2', b'\4\1\1d\3\xed\3\1\0', b'\5\1\1l\0\2to', b'\0\0\0\3' + cid + b'\x10\x08']
    for count in range(1, len(records) + 1):
        yield 'records', b''.join(records[:count])


def main():
    counts = {}
    for target, content in seeds():
        if content and len(content) <= LIMIT:
            number = counts[target] = counts.get(target, 0) + 1
            folder = HERE / 'Corpus' / target
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ('seed-%d' % number)).write_bytes(content)
    print(', '.join('%s %d' % pair for pair in sorted(counts.items())))


if __name__ == '__main__':
    main()

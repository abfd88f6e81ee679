"""CIDs, dag-pb, dag-cbor lists and CAR files, read as their specifications say and not as the service writes them.

CARv2: https://ipld.io/specs/transport/car/carv2/ - everything that is not exactly as described raises FormatError.
"""
import base64
import hashlib
import struct

RAW, DAG_PB, DAG_CBOR, IDENTITY, SHA2_256 = 0x55, 0x70, 0x71, 0x00, 0x12
HASHES = {
    0x11: lambda data, length: hashlib.sha1(data).digest(),
    0x12: lambda data, length: hashlib.sha256(data).digest(),
    0x13: lambda data, length: hashlib.sha512(data).digest(),
    0x14: lambda data, length: hashlib.sha3_512(data).digest(),
    0x16: lambda data, length: hashlib.sha3_256(data).digest(),
    **{0xB200 + size: lambda data, length: hashlib.blake2b(data, digest_size=length).digest() for size in range(1, 65)},
    **{0xB240 + size: lambda data, length: hashlib.blake2s(data, digest_size=length).digest() for size in range(1, 33)},
}
BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
CARV2_PRAGMA = bytes.fromhex('0aa16776657273696f6e02')
MULTIHASH_INDEX_SORTED = 0x0401
# Links one list node holds; what is longer has one level of list nodes below.
LIST_NODE_LINKS = 5984


class FormatError(Exception):
    pass


def require(condition, message, *values):
    if not condition:
        raise FormatError(message % values if values else message)


def read_varint(data, position):
    number = shift = 0
    while True:
        require(position < len(data), 'a varint is cut off')
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            require(byte or shift == 7, 'a varint is not minimal')
            return number, position
        require(shift < 63, 'a varint is too long')


def write_varint(number):
    data = b''
    while number >= 0x80:
        data, number = data + bytes([number & 0x7F | 0x80]), number >> 7
    return data + bytes([number])


# ---- CIDs

def read_cid(data, position):
    """(bytes of the CID at `position`, what follows)"""
    if data[position:position + 2] == b'\x12\x20':
        require(len(data) >= position + 34, 'a CID is cut off')
        return data[position:position + 34], position + 34
    version, end = read_varint(data, position)
    require(version == 1, 'a CID has version %d', version)
    for _ in range(3):      # codec, hash function, digest length
        number, end = read_varint(data, end)
    require(len(data) >= end + number, 'a CID is cut off')
    return data[position:end + number], end + number


def parts_of(cid):
    """(codec, hash function, digest)"""
    if len(cid) == 34 and cid[:2] == b'\x12\x20':
        return DAG_PB, SHA2_256, cid[2:]
    _, position = read_varint(cid, 0)
    codec, position = read_varint(cid, position)
    function, position = read_varint(cid, position)
    length, position = read_varint(cid, position)
    require(len(cid) - position == length, 'a CID has %d bytes of digest, not %d', len(cid) - position, length)
    return codec, function, cid[position:]


def cid_from_text(text):
    if text.startswith('Qm'):
        number = 0
        for character in text:
            number = number * 58 + BASE58.index(character)
        return number.to_bytes(34, 'big')
    require(text[:1] == 'b', 'a CID in a base that is not expected here: %s', text)
    return base64.b32decode(text[1:].upper() + '=' * (-len(text[1:]) % 8))


def text_of_cid(cid):
    if cid[0] == 0x12:
        number, text = int.from_bytes(cid, 'big'), ''
        while number:
            number, digit = divmod(number, 58)
            text = BASE58[digit] + text
        return text
    return 'b' + base64.b32encode(cid).decode().lower().rstrip('=')


def require_block_matches(cid, block):
    _, function, digest = parts_of(cid)
    if function == IDENTITY:
        return require(block == digest, 'a block differs from its identity CID')
    require(function in HASHES, 'hash function 0x%x is not known to the reader', function)
    require(HASHES[function](block, len(digest))[:len(digest)] == digest, 'a block does not hash to %s', text_of_cid(cid))


# ---- nodes

def read_fields(message):
    """(field number, value) of a protobuf message with lengths and varints only."""
    position = 0
    while position < len(message):
        key, position = read_varint(message, position)
        require(key & 7 in (0, 2), 'wire type %d', key & 7)
        value, position = read_varint(message, position)
        if key & 7 == 2:
            require(position + value <= len(message), 'a field is cut off')
            value, position = message[position:position + value], position + value
        yield key >> 3, value


def dag_pb_links(block):
    """CIDs a dag-pb node links to."""
    links = []
    for field, value in read_fields(block):
        if field == 2:
            links += [cid for number, cid in read_fields(value) if number == 1]
    return links


def file_bytes(cid, blocks):
    """Content of a UnixFS file."""
    codec, function, digest = parts_of(cid)
    block = digest if function == IDENTITY else blocks[cid]
    if codec == RAW:
        return block
    data = dict(read_fields(block)).get(1, b'')
    own = dict(read_fields(data)).get(2, b'')
    return own + b''.join(file_bytes(link, blocks) for link in dag_pb_links(block))


def links_of(cid, block):
    """CIDs of data blocks below a block."""
    return dag_pb_links(block) if parts_of(cid)[0] == DAG_PB else []


def block_of(codec, data):
    return bytes([1, codec, SHA2_256, 32]) + hashlib.sha256(data).digest(), data


def archive_of_blocks(root, *others):
    """(root, a CARv1 of these blocks)."""
    header = b'\xa2\x65roots\x81\xd8\x2a\x58\x25\x00' + root[0] + b'\x67version\x01'
    frames = [header, *(cid + data for cid, data in [root, *others])]
    return text_of_cid(root[0]), b''.join(write_varint(len(frame)) + frame for frame in frames)


def archive_of_records(texts):
    """(root, a CARv1) of fewer than 24 short texts and a list of them, all in dag-cbor."""
    records = [block_of(DAG_CBOR, bytes([0x60 | len(text)]) + text) for text in texts]
    links = b''.join(b'\xd8\x2a\x58\x25\x00' + cid for cid, _ in records)
    return archive_of_blocks(block_of(DAG_CBOR, bytes([0x80 | len(records)]) + links), *records)


def archive_of_file(content, chunk_bytes):
    """(root, a CARv1) of a UnixFS file with its content in raw leaves."""
    def field(number, value):
        if isinstance(value, int):
            return write_varint(number << 3) + write_varint(value)
        return write_varint(number << 3 | 2) + write_varint(len(value)) + value

    leaves = [block_of(RAW, content[start:start + chunk_bytes]) for start in range(0, len(content), chunk_bytes)]
    links = [field(2, field(1, cid) + field(2, b'') + field(3, len(leaf))) for cid, leaf in leaves]
    file = field(1, 2) + field(3, len(content)) + b''.join(field(4, len(leaf)) for _, leaf in leaves)
    return archive_of_blocks(block_of(DAG_PB, b''.join(links) + field(1, file)), *leaves)


def read_cbor(data, position=0):
    """(value, what follows) of the part of dag-cbor that lists and records are made of."""
    require(position < len(data), 'CBOR is cut off')
    major, low = data[position] >> 5, data[position] & 31
    position += 1
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(low, 0)
    require(low < 28, 'indefinite length in dag-cbor')
    argument = int.from_bytes(data[position:position + size], 'big') if size else low
    position += size
    if major == 0:
        return argument, position
    if major in (2, 3):
        value = data[position:position + argument]
        require(len(value) == argument, 'a string is cut off')
        return (value if major == 2 else value.decode()), position + argument
    if major == 4:
        items = []
        for _ in range(argument):
            item, position = read_cbor(data, position)
            items.append(item)
        return items, position
    if major == 5:
        pairs = []
        for _ in range(argument):
            key, position = read_cbor(data, position)
            value, position = read_cbor(data, position)
            pairs.append((key, value))
        keys = [key for key, _ in pairs]
        require(keys == sorted(set(keys), key=lambda key: (len(key), key)), 'keys of a map are out of order')
        return dict(pairs), position
    require(major == 6 and argument == 42, 'CBOR type %d is not expected', major)
    value, position = read_cbor(data, position)
    require(isinstance(value, bytes) and value[:1] == b'\0', 'a link is not a CID')
    return value[1:], position


def read_list_node(block):
    """CIDs of the map {"0": CID, "1": CID, ...}."""
    position = 0
    require(block[:1] and block[0] >> 5 == 5, 'a list node is not a map')
    low = block[0] & 31
    size = {24: 1, 25: 2, 26: 4}.get(low, 0)
    count = int.from_bytes(block[1:1 + size], 'big') if size else low
    position, cids = 1 + size, []
    for number in range(count):
        key, position = read_cbor(block, position)
        require(key == str(number), 'link %d of a list node is called %r', number, key)
        value, position = read_cbor(block, position)
        require(isinstance(value, bytes), 'link %d of a list node is none', number)
        cids.append(value)
    require(position == len(block), 'a list node is followed by other bytes')
    return cids


# ---- CAR files

def read_carv1(data):
    """(roots, [(offset, CID, block)]); every block is checked against its CID."""
    length, position = read_varint(data, 0)
    header, end = read_cbor(data[position:position + length])
    require(end == length and header.get('version') == 1 and set(header) == {'roots', 'version'}, 'bad header')
    position += length
    sections = []
    while position < len(data):
        length, start = read_varint(data, position)
        require(start + length <= len(data), 'the section at %d is cut off', position)
        cid, body = read_cid(data[:start + length], start)
        block = data[body:start + length]
        require_block_matches(cid, block)
        sections.append((position, cid, block))
        position = start + length
    return header['roots'], sections


def read_index(data):
    """{(hash function, digest): offset} of a MultihashIndexSorted index, which must be in order."""
    codec, position = read_varint(data, 0)
    require(codec == MULTIHASH_INDEX_SORTED, 'index codec 0x%x', codec)
    entries = {}

    def take(form):
        nonlocal position
        require(position + struct.calcsize(form) <= len(data), 'the index is cut off')
        value, = struct.unpack_from(form, data, position)
        position += struct.calcsize(form)
        return value

    last_function = -1
    for _ in range(take('<i')):
        function = take('<Q')
        require(function > last_function, 'hash functions of the index are out of order')
        last_function, last_width = function, 0
        for _ in range(take('<i')):
            width, length = take('<I'), take('<Q')
            require(width > max(last_width, 8), 'widths of the index are out of order')
            require(length % width == 0 and position + length <= len(data), 'a bucket of the index has a bad length')
            last_width, last_digest = width, b''
            for start in range(position, position + length, width):
                digest = data[start:start + width - 8]
                require(digest >= last_digest, 'digests of the index are out of order')
                last_digest = digest
                key = (function, digest)
                require(key not in entries, 'a digest is in the index twice')
                entries[key] = struct.unpack_from('<Q', data, start + width - 8)[0]
            position += length
    require(position == len(data), 'the index is followed by other bytes')
    return entries


class Shard:
    """A shard file, read whole and checked in every respect."""

    def __init__(self, data):
        require(data[:11] == CARV2_PRAGMA, 'no CARv2 pragma')
        require(len(data) >= 51, 'the CARv2 header is cut off')
        require(data[11:27] == bytes(16), 'characteristics are not zero')
        offset, length, index_offset = struct.unpack_from('<QQQ', data, 27)
        require(offset >= 51 and index_offset >= offset + length, 'offsets of the CARv2 header overlap')
        require(index_offset < len(data), 'there is no index')
        roots, sections = read_carv1(data[offset:offset + length])
        require(len(roots) == 1, 'there are %d roots', len(roots))
        self.cid, self.byte_count = roots[0], len(data)
        require(len({cid for _, cid, _ in sections}) == len(sections), 'a block is there twice')
        require(sections and sections[-1][1] == self.cid, 'the root is not the last block')
        require(parts_of(self.cid)[:2] == (DAG_CBOR, SHA2_256), 'the root is not dag-cbor with sha2-256')
        self._read_lists(sections)
        self._check_index(read_index(data[index_offset:]), sections)

    def _read_lists(self, sections):
        """Splits data blocks from list nodes and compares the lists with the order of the blocks."""
        before = sections[:-1]
        listed = read_list_node(sections[-1][2])
        self.depth = 1
        if listed != [cid for _, cid, _ in before]:
            self.depth = 2
            leaves = {cid: (offset, read_list_node(block)) for offset, cid, block in before if cid in set(listed)}
            require(len(leaves) == len(listed), 'the root lists what is not in the file')
            before = [section for section in before if section[1] not in leaves]
            offsets = {cid: offset for offset, cid, _ in before}
            for number, leaf in enumerate(listed):
                offset, cids = leaves[leaf]
                require(len(cids) == LIST_NODE_LINKS or number == len(listed) - 1 and cids, 'list node %d has %d links', number, len(cids))
                require(all(offsets.get(cid, offset) < offset for cid in cids), 'a list node stands before its blocks')
            listed = [cid for leaf in listed for cid in leaves[leaf][1]]
            require(len(before) > LIST_NODE_LINKS, 'the list has two levels and needs one')
        require(listed == [cid for _, cid, _ in before], 'the list is not the blocks before it, in order')
        self.blocks = {cid: block for _, cid, block in before}
        self.payload_byte_count = sum(len(block) for block in self.blocks.values())

    @staticmethod
    def _check_index(index, sections):
        expected = {parts_of(cid)[1:]: offset for offset, cid, _ in sections if parts_of(cid)[1] != IDENTITY}
        require(set(index) == set(expected), 'the index has %d entries, the file %d blocks', len(index), len(expected))
        for _, cid, _ in sections:
            # Blocks of one digest under several codecs share an entry, which may be any of theirs.
            key = parts_of(cid)[1:]
            if key in index:
                offsets = {offset for offset, other, _ in sections if other is cid or parts_of(other)[1:] == key} \
                    if index[key] != expected[key] else {index[key]}
                require(index[key] in offsets, 'the index leads %s to a wrong place', text_of_cid(cid))

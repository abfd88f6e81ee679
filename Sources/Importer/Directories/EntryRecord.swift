import Multiformats

/// A view of one entry of a directory in its compact form: a fixed head, the binary CID, the name.
///
/// The head holds, little-endian: kind and liveness (1 byte), length of the CID (1), length of the
/// name (2), hash of the name (8), Tsize (8), handle of a closed directory (8).
struct EntryRecord {
    let bytes: UnsafeRawBufferPointer

    static let headByteCount = 28
    private static let deadFlag: UInt8 = 0x80

    /// The record that starts at `offset` of `bytes`.
    init(in bytes: UnsafeRawBufferPointer, at offset: Int) {
        let cidByteCount = Int(bytes[offset + 1])
        let nameByteCount = Int(
            UInt16(
                littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 2, as: UInt16.self)))
        let end = offset + Self.headByteCount + cidByteCount + nameByteCount
        self.bytes = UnsafeRawBufferPointer(rebasing: bytes[offset..<end])
    }

    /// False once a later record of the same name took over.
    var isLive: Bool { bytes[0] & Self.deadFlag == 0 }

    var kind: EntryKind {
        guard let kind = EntryKind(rawValue: bytes[0] & ~Self.deadFlag) else {
            preconditionFailure("an entry record was overwritten")
        }
        return kind
    }

    var hash: UInt64 { word(at: 4) }
    var tsize: UInt64 { word(at: 12) }
    var handle: UInt64 { word(at: 20) }

    var cid: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            rebasing: bytes[Self.headByteCount..<Self.headByteCount + cidByteCount])
    }

    var name: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[(Self.headByteCount + cidByteCount)...])
    }

    var cidByteCount: Int { Int(bytes[1]) }

    /// Appends the record of `entry`.
    static func append(_ entry: NewEntry, to bytes: inout [UInt8]) {
        let cidByteCount = entry.cid.byteCount
        bytes.append(entry.kind.rawValue)
        bytes.append(UInt8(cidByteCount))
        withUnsafeBytes(of: UInt16(entry.name.count).littleEndian) {
            bytes.append(contentsOf: $0)
        }
        for word in [entry.hash, entry.tsize, entry.handle] {
            withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) }
        }
        entry.cid.append(to: &bytes)
        bytes.append(contentsOf: entry.name)
    }

    static func markDead(in bytes: inout [UInt8], at offset: Int) {
        bytes[offset] |= deadFlag
    }

    private func word(at offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

/// An entry on its way into a directory.
struct NewEntry {
    var kind: EntryKind
    var name: [UInt8]
    /// HAMT hash of the name.
    var hash: UInt64
    var cid: CID
    var tsize: UInt64
    /// Where a closed directory can be found again; 0 for others.
    var handle: UInt64 = 0

    var link: LinkMeasure {
        LinkMeasure(nameByteCount: name.count, cidByteCount: cid.byteCount, tsize: tsize)
    }
}

/// What an entry adds to the sizes that decide about sharding.
struct LinkMeasure {
    var nameByteCount: Int
    var cidByteCount: Int
    var tsize: UInt64
}

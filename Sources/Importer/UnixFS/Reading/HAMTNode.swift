import Multiformats

/// One block of a sharded directory, checked: slots ascend, names begin with their slot and hash to
/// it, the bit field tells the same slots as the links.
///
/// Because every name is where its hash leads, a name occurs once in the whole directory and the
/// walk of a directory is no longer than the data that was stored for it.
struct HAMTNode {
    /// Where a block stands in its directory.
    struct Position: Sendable {
        /// 0 for the root.
        var level = 0
        /// Hash bits that all names below share: the slots on the way, `level` times the bits of
        /// the fanout.
        var hashPrefix: UInt64 = 0
        /// Fanout of the root, which all blocks below it must share; 0 at the root.
        var fanout = 0
    }

    enum Slot: Sendable {
        case entry(DirectoryEntry)
        case child(CID, Position)
    }

    let slots: [Slot]

    init(
        _ node: UnixFSNode, block: UnsafeRawBufferPointer, at position: Position
    ) throws(UnixFSNodeError) {
        guard position.level == 0 || position.fanout == node.fanout else {
            throw .fanoutChanges(parent: position.fanout, child: node.fanout)
        }
        guard position.level == 0 || !node.links.isEmpty else { throw .emptyShard }
        let bits = Self.bitsPerLevel(node.fanout)
        guard (position.level + 1) * bits <= 64 else { throw .shardTooDeep }

        let nameStart = Self.slotNameByteCount(node.fanout)
        var bitfield = Bitfield(UnsafeRawBufferPointer(rebasing: block[node.payload]))
        var slots: [Slot] = []
        slots.reserveCapacity(node.links.count)
        var lastIndex = -1
        for link in node.links {
            guard let index = Self.slotIndex(link.name.prefix(nameStart), digits: nameStart),
                index < node.fanout
            else { throw .badSlotName(link.name) }
            guard index > lastIndex else { throw .slotsOutOfOrder(link.name) }
            lastIndex = index
            guard bitfield.remove(index) else { throw .badBitfield }

            let path = position.hashPrefix << bits | UInt64(index)
            if link.name.count == nameStart {
                slots.append(
                    .child(
                        link.cid,
                        Position(
                            level: position.level + 1, hashPrefix: path, fanout: node.fanout)))
                continue
            }
            let name = Array(link.name[nameStart...])
            guard Self.hash(name) >> (64 - (position.level + 1) * bits) == path else {
                throw .nameInWrongSlot(name)
            }
            slots.append(.entry(DirectoryEntry(name: name, cid: link.cid, tsize: link.tsize)))
        }
        guard bitfield.isEmpty else { throw .badBitfield }
        self.slots = slots
    }

    /// First 64 bits of MurmurHash3 x64-128 of a name; its top bits are the slots on the way.
    static func hash(_ name: [UInt8]) -> UInt64 {
        name.withUnsafeBytes { MurmurHash3.x64Hash64($0) }
    }

    /// The only slot of this block that can lead to a name.
    func slot(for name: [UInt8], hash: UInt64) -> Slot? {
        slots.first { slot in
            switch slot {
            case .entry(let entry): entry.name == name
            case .child(_, let child):
                hash >> (64 - child.level * Self.bitsPerLevel(child.fanout)) == child.hashPrefix
            }
        }
    }

    private static func bitsPerLevel(_ fanout: Int) -> Int { fanout.trailingZeroBitCount }

    /// Hexadecimal digits of the highest slot number.
    private static func slotNameByteCount(_ fanout: Int) -> Int {
        (bitsPerLevel(fanout) + 3) / 4
    }

    private static func slotIndex(_ digits: ArraySlice<UInt8>, digits count: Int) -> Int? {
        guard digits.count == count else { return nil }
        var index = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                index = index << 4 | Int(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "A")...UInt8(ascii: "F"):
                index = index << 4 | Int(digit - UInt8(ascii: "A") + 10)
            default: return nil
            }
        }
        return index
    }
}

/// The used slots of a directory shard: a big-endian number without its leading zero bytes.
private struct Bitfield {
    private var bytes: [UInt8]

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = Array(bytes) }

    var isEmpty: Bool { bytes.allSatisfy { $0 == 0 } }

    /// Clears a bit; false when it was not set.
    mutating func remove(_ index: Int) -> Bool {
        let position = bytes.count - 1 - index / 8
        guard position >= 0, bytes[position] & (1 << (index % 8)) != 0 else { return false }
        bytes[position] &= ~(1 << (index % 8))
        return true
    }
}

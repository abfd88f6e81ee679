/// BLAKE3 with a digest of 32 bytes, without key or context (BLAKE3 paper, section 2).
struct Blake3 {
    private enum Flag {
        static let chunkStart: UInt32 = 1
        static let chunkEnd: UInt32 = 2
        static let parent: UInt32 = 4
        static let root: UInt32 = 8
    }

    private static let blockByteCount = 64
    private static let chunkByteCount = 1024

    /// Chaining values of complete subtrees, largest first.
    private var subtrees: [SIMD8<UInt32>] = []
    private var chunkNumber: UInt64 = 0
    /// The open chunk: chaining value so far, compressed blocks, and bytes still waiting.
    private var chain = Self.initialVector
    private var compressedBlockCount = 0
    private var pending = [UInt8](repeating: 0, count: Self.blockByteCount)
    private var pendingCount = 0

    init() {}

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {
            if compressedBlockCount * Self.blockByteCount + pendingCount == Self.chunkByteCount {
                closeChunk()
            }
            if pendingCount == Self.blockByteCount {
                pending.withUnsafeBytes { compressBlock($0) }
                pendingCount = 0
            }
            // The last block of a chunk waits in `pending`: it may be the last of all.
            while pendingCount == 0, rest.count > Self.blockByteCount, compressedBlockCount < 15 {
                compressBlock(rest)
                rest = UnsafeRawBufferPointer(rebasing: rest[Self.blockByteCount...])
            }
            let taken = min(Self.blockByteCount - pendingCount, rest.count)
            pending.withUnsafeMutableBytes {
                UnsafeMutableRawBufferPointer(rebasing: $0[pendingCount...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<taken]))
            }
            pendingCount += taken
            rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
        }
    }

    /// Writes the digest at the start of `digest` and returns its length, 32.
    mutating func finish(into digest: UnsafeMutableRawBufferPointer) -> Int {
        clearRestOfPending()
        let isOnlyChunk = subtrees.isEmpty
        compressLastBlock(extraFlags: isOnlyChunk ? Flag.root : 0)
        while !subtrees.isEmpty {
            let isRoot = subtrees.count == 1
            mergeWithLeftNeighbour(extraFlags: isRoot ? Flag.root : 0)
        }
        for index in 0..<8 {
            digest.storeBytes(
                of: chain[index].littleEndian, toByteOffset: 4 * index, as: UInt32.self)
        }
        return 32
    }

    /// Turns the full open chunk into a subtree and merges equal subtrees; opens the next chunk.
    private mutating func closeChunk() {
        compressLastBlock(extraFlags: 0)
        chunkNumber += 1
        var chunkCount = chunkNumber
        while chunkCount & 1 == 0 {
            mergeWithLeftNeighbour(extraFlags: 0)
            chunkCount >>= 1
        }
        subtrees.append(chain)
        chain = Self.initialVector
        compressedBlockCount = 0
        pendingCount = 0
    }

    private mutating func clearRestOfPending() {
        for index in pendingCount..<Self.blockByteCount { pending[index] = 0 }
    }

    private mutating func compressBlock(_ block: UnsafeRawBufferPointer) {
        guard let start = block.baseAddress else { return }
        Self.compress(
            &chain, start, counter: chunkNumber, byteCount: Self.blockByteCount,
            flags: compressedBlockCount == 0 ? Flag.chunkStart : 0)
        compressedBlockCount += 1
    }

    private mutating func compressLastBlock(extraFlags: UInt32) {
        let start = compressedBlockCount == 0 ? Flag.chunkStart : 0
        pending.withUnsafeBytes {
            guard let block = $0.baseAddress else { return }
            Self.compress(
                &chain, block, counter: chunkNumber, byteCount: pendingCount,
                flags: start | Flag.chunkEnd | extraFlags)
        }
    }

    /// Replaces `chain`, the right child, by the parent of the last subtree and it.
    private mutating func mergeWithLeftNeighbour(extraFlags: UInt32) {
        let children = (subtrees.removeLast(), chain)
        chain = Self.initialVector
        withUnsafeTemporaryAllocation(
            byteCount: Self.blockByteCount, alignment: 4
        ) { block in
            for index in 0..<8 {
                let (left, right) = (children.0[index], children.1[index])
                block.storeBytes(of: left.littleEndian, toByteOffset: 4 * index, as: UInt32.self)
                block.storeBytes(
                    of: right.littleEndian, toByteOffset: 32 + 4 * index, as: UInt32.self)
            }
            guard let start = block.baseAddress else { return }
            Self.compress(
                &chain, start, counter: 0, byteCount: Self.blockByteCount,
                flags: Flag.parent | extraFlags)
        }
    }

    private static func compress(
        _ chain: inout SIMD8<UInt32>, _ block: UnsafeRawPointer, counter: UInt64, byteCount: Int,
        flags: UInt32
    ) {
        var state = BlakeState(
            chain, initialVector,
            (
                UInt32(truncatingIfNeeded: counter), UInt32(truncatingIfNeeded: counter >> 32),
                UInt32(byteCount), flags
            ))
        BlakeState.withMessage(block) { message in
            blake3Orders.withUnsafeBufferPointer { orders in
                guard let start = orders.baseAddress else { return }
                for round in 0..<7 {
                    state.mix(message, order: start + 16 * round, (16, 12, 8, 7))
                }
            }
        }
        chain = state.foldedHalves
    }

    private static var initialVector: SIMD8<UInt32> { UInt32.initialVector }
}

/// The message word orders of seven rounds, one after the other: each permutes the one before.
private let blake3Orders: [UInt8] = {
    let permutation = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
    var order = (0..<16).map(UInt8.init)
    var orders = order
    for _ in 1..<7 {
        order = permutation.map { order[$0] }
        orders += order
    }
    return orders
}()

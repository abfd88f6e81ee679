import Chunker
import Testing
import VectorInputs

@Suite struct BoundaryFinderTests {
    /// Every vector of a single file whose chunk lengths are known.
    static let vectors = ImportVector.all.filter { $0.expect.leafSizes != nil }

    @Test(arguments: vectors)
    func chunkLengthsMatchTheVectors(vector: ImportVector) throws {
        let profileChunker = vector.opts.profile == "unixfs-v1-2025" ? "size-1048576" : "default"
        let spec = try ChunkerSpec(parsing: vector.opts.chunker ?? profileChunker)
        guard case .file(let input) = vector.input.content else {
            Issue.record("\(vector) is not a file")
            return
        }
        let leafSizes = vector.expect.leafSizes?.filter { $0 > 0 }  // an empty file has a leaf
        #expect(chunkByteCounts(of: input.bytes, spec) == leafSizes)
    }

    @Test func vectorsCoverEveryChunker() {
        let chunkers = Set(Self.vectors.map { $0.opts.chunker ?? "default" })
        #expect(chunkers.isSuperset(of: ["default", "rabin", "rabin-30", "buzhash"]))
        #expect(Self.vectors.count > 70)
    }

    @Test(arguments: [
        (16, 32, 64), (64, 256, 1024), (333, 1000, 1500), (4096, 16384, 100_000),
        (9000, 9001, 30000), (5000, 65536, 300_000), (20000, 1_000_000, 2_096_896),
        (87381, 262_144, 393_216),
    ])
    func rabinCutsWhereTheDefinitionCuts(minimum: Int, average: Int, maximum: Int) throws {
        let spec = try ChunkerSpec(parsing: "rabin-\(minimum)-\(average)-\(maximum)")
        let reference = ByteAtATimeChunker.rabin(
            minimum: minimum, average: average, maximum: maximum)
        let input = InputSpec.xorshift(seed: UInt64(average), byteCount: 1_500_000).bytes
        #expect(chunkByteCounts(of: input, spec) == reference.chunkByteCounts(of: input))
    }

    @Test func buzhashCutsWhereTheDefinitionCuts() throws {
        let spec = try ChunkerSpec(parsing: "buzhash")
        let input = InputSpec.xorshift(seed: 7, byteCount: 4_000_000).bytes
        let reference = ByteAtATimeChunker.buzhash().chunkByteCounts(of: input)
        #expect(chunkByteCounts(of: input, spec) == reference)
    }

    /// The search works in lanes, whose lengths are a multiple of 256 bytes from the minimum on.
    @Test func aBoundaryAtTheEdgeOfALaneIsFound() throws {
        let finder = try ChunkerSpec(parsing: "rabin-1024-1048576-2000000").makeBoundaryFinder()
        for edge in stride(from: 1024, through: 15 * 1024, by: 256) {
            for boundary in edge - 1...edge + 1 where boundary >= 1024 {
                var input = Self.filler
                input.replaceSubrange(boundary - 16..<boundary, with: Self.zeroWindow)
                let found = input.withUnsafeBytes {
                    finder.firstChunkByteCount(in: $0, isFinal: true)
                }
                #expect(found == boundary)
            }
        }
    }

    /// A lane that meets a boundary early must not win over a lane that covers earlier bytes.
    @Test func theEarliestOfSeveralBoundariesWins() throws {
        var random = XorshiftStream(seed: 99)
        let finder = try ChunkerSpec(parsing: "rabin-1024-1048576-2000000").makeBoundaryFinder()
        for _ in 0..<300 {
            var input = Self.filler
            let boundaries = (0..<Int.random(in: 2...4, using: &random)).map { _ in
                Int.random(in: 1024..<18000, using: &random)
            }
            for boundary in boundaries {
                input.replaceSubrange(boundary - 16..<boundary, with: Self.zeroWindow)
            }
            let found = input.withUnsafeBytes {
                finder.firstChunkByteCount(in: $0, isFinal: true)
            }
            #expect(found == boundaries.min())
        }
    }

    /// Without a zero byte, which would prolong a window of zeros, and without a boundary.
    private static let filler = InputSpec.xorshift(seed: 3, byteCount: 20000).bytes.map { $0 | 1 }

    /// Its fingerprint is 0, a boundary whatever the mask.
    private static let zeroWindow = [UInt8](repeating: 0, count: 16)

    @Test(arguments: [
        "size-1", "size-1000", "rabin-16-32-64", "rabin-64-256-1024", "rabin-1000",
        "rabin-3000-9000-20000", "rabin-30",
    ])
    func anySplitOfTheInputGivesTheSameChunks(text: String) throws {
        let spec = try ChunkerSpec(parsing: text)
        let finder = spec.makeBoundaryFinder()
        var random = XorshiftStream(seed: 11)
        for byteCount in [0, 1, 15, 16, 17, 31, 64, 333, 1000, 3000, 40000] {
            let input = InputSpec.xorshift(seed: UInt64(byteCount) + 1, byteCount: byteCount).bytes
            let whole = chunkByteCounts(of: input, spec)
            for _ in 0..<5 {
                let pieces = chunkByteCounts(of: input, finder) { known in
                    let growth = Int.random(in: 1...2 * spec.minimumChunkByteCount, using: &random)
                    return known + growth
                }
                #expect(pieces == whole)
            }
        }
    }

    @Test func anySplitOfTheInputGivesTheSameBuzhashChunks() throws {
        let spec = try ChunkerSpec(parsing: "buzhash")
        let finder = spec.makeBoundaryFinder()
        var random = XorshiftStream(seed: 12)
        let input = InputSpec.xorshift(seed: 5, byteCount: 1_500_000).bytes
        let whole = chunkByteCounts(of: input, spec)
        for _ in 0..<10 {
            let pieces = chunkByteCounts(of: input, finder) { known in
                known + Int.random(in: 1...400_000, using: &random)
            }
            #expect(pieces == whole)
        }
    }

    @Test(arguments: ["size-1000", "rabin-64-256-1024", "buzhash", "rabin-30"])
    func aShortWindowThatIsNotTheLastAsksForMore(text: String) throws {
        let spec = try ChunkerSpec(parsing: text)
        let finder = spec.makeBoundaryFinder()
        let bytes = [UInt8](repeating: 1, count: spec.maximumChunkByteCount)
        bytes.withUnsafeBytes { bytes in
            for count in [0, 1, spec.minimumChunkByteCount - 1, spec.maximumChunkByteCount - 1] {
                let window = UnsafeRawBufferPointer(rebasing: bytes[..<count])
                #expect(finder.firstChunkByteCount(in: window, isFinal: false) == nil)
            }
            #expect(finder.firstChunkByteCount(in: bytes, isFinal: false) == bytes.count)
        }
    }

    @Test(arguments: ["size-1000", "rabin", "rabin-64-256-1024", "buzhash", "rabin-30"])
    func noBytesHoldNoChunk(text: String) throws {
        let finder = try ChunkerSpec(parsing: text).makeBoundaryFinder()
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(finder.firstChunkByteCount(in: empty, isFinal: true) == nil)
        #expect(finder.firstChunkByteCount(in: empty, isFinal: false) == nil)
    }

    @Test(arguments: [
        "rabin-16-32-64", "rabin-64-256-1024", "rabin-1000", "rabin-4096-16384-70000",
    ])
    func chunksOfConstantBytesStayWithinTheLimits(text: String) throws {
        let spec = try ChunkerSpec(parsing: text)
        for byte: UInt8 in [0, 1, 0x55, 0x80, 0xaa, 0xff] {
            let input = [UInt8](repeating: byte, count: 200_000)
            let counts = chunkByteCounts(of: input, spec)
            #expect(counts.reduce(0, +) == input.count)
            #expect(counts.allSatisfy { $0 <= spec.maximumChunkByteCount })
            #expect(counts.dropLast().allSatisfy { $0 >= spec.minimumChunkByteCount })
        }
    }

    /// The chunk comes out one byte too long, for the caller to refuse.
    @Test func anUncutInputBeyondTheLimitIsReportedAsOversized() throws {
        let spec = try ChunkerSpec(parsing: "rabin-47")
        let limit = ChunkerSpec.chunkByteCountLimit
        let fits = [UInt8](repeating: 0, count: limit)
        #expect(chunkByteCounts(of: fits, spec) == [limit])
        #expect(chunkByteCounts(of: fits + [0, 0], spec).first == limit + 1)
        #expect(spec.maximumChunkByteCount == limit + 1)
    }

    private func chunkByteCounts(of input: [UInt8], _ spec: ChunkerSpec) -> [Int] {
        chunkByteCounts(of: input, spec.makeBoundaryFinder()) { _ in input.count }
    }

    /// Cuts `input` the way a caller does who learns of it bit by bit.
    ///
    /// - Parameter nextKnown: From how many bytes are known to how many are known next.
    private func chunkByteCounts(
        of input: [UInt8], _ finder: any ChunkBoundaryFinder, nextKnown: (Int) -> Int
    ) -> [Int] {
        input.withUnsafeBytes { input in
            var counts: [Int] = []
            var start = 0
            var known = 0
            while start < input.count {
                let window = UnsafeRawBufferPointer(rebasing: input[start..<known])
                if let count = finder.firstChunkByteCount(
                    in: window, isFinal: known == input.count)
                {
                    counts.append(count)
                    start += count
                } else {
                    known = min(input.count, nextKnown(known))
                }
            }
            return counts
        }
    }
}

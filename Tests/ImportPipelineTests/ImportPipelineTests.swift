import Importer
import Multiformats
import PosixIO
import Spill
import Testing
import VectorInputs

@testable import ImportPipeline

/// The parallel pipeline gives what the vectors say, however the input is cut up.
struct ImportPipelineTests {
    private static let workers = try! WorkerPool(name: "test", threadCount: 2)

    /// Files of one entry, small enough for a debug build, with every chunker, layout and option.
    private static let vectors = ImportVector.all.filter { vector in
        guard case .file(let spec) = vector.input.content else { return false }
        return spec.byteCount <= 1 << 20 && vector.opts.chunker != "rabin-30"
    }

    private static let longVectors = ImportVector.all.filter { vector in
        guard case .file(let spec) = vector.input.content else { return false }
        return (5 << 20...11 << 20).contains(spec.byteCount) && vector.opts.chunker == "buzhash"
    }

    @Test(arguments: vectors)
    func rootsOfFilesAreThoseOfTheVectors(vector: ImportVector) async throws {
        let root = try await importFile(vector, pieceByteCount: 100_000, into: BlockRecorder())
        #expect(root.cid.description == vector.expect.cid)
    }

    /// Chunks that no slab ends with, so that bytes are carried from each slab into the next.
    @Test(arguments: longVectors)
    func aChunkGoesOnInTheNextSlab(vector: ImportVector) async throws {
        let root = try await importFile(vector, pieceByteCount: 1 << 20, into: BlockRecorder())
        #expect(root.cid.description == vector.expect.cid)
    }

    @Test(arguments: [1, 7, 4096, 65_537, 1 << 20])
    func anySplitOfTheInputGivesTheSameRoot(pieceByteCount: Int) async throws {
        let vector = try #require(Self.vectors.first { Self.byteCount($0) > 60_000 })
        let root = try await importFile(
            vector, pieceByteCount: pieceByteCount, into: BlockRecorder())
        #expect(root.cid.description == vector.expect.cid)
    }

    @Test func importsThatShareSlabsDoNotMixTheirBytes() async throws {
        let slabs = SlabPool(spareCount: 2)
        let vectors = Self.vectors.filter { Self.byteCount($0) > 200_000 }.prefix(4)
        for _ in 0..<3 {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for vector in vectors {
                    group.addTask {
                        let root = try await Self.importFile(
                            vector, pieceByteCount: 50_000, into: BlockRecorder(), slabs: slabs)
                        #expect(root.cid.description == vector.expect.cid, "\(vector.name)")
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func manyEntriesWithoutContentArePassedOn() async throws {
        let recorder = BlockRecorder()
        let pipeline = try ImportPipeline(
            options: ImportOptions(profile: .unixfsV1_2025, overrides: .init()), sink: recorder,
            scratch: MemoryScratch(), workers: Self.workers, slabs: SlabPool(spareCount: 0))
        for number in 0..<10_000 {
            try await pipeline.prepare()
            pipeline.beginFile(
                try ImportPath.cleaning(Array("d/\(number)".utf8)), EntryMetadata.none)
            try pipeline.endFile()
        }
        #expect(recorder.entryCount > 5_000, "steps are settled before the import ends")
        let root = try await pipeline.finish()
        #expect(recorder.entryCount == 10_001)
        #expect(root.kind == .directory)
    }

    @Test(arguments: [
        "size-1048576", "size-1048577", "size-2096896",
    ])
    func smallFilesBesideLargeChunksFindRoomWithinARun(chunker: String) async throws {
        var overrides = ImportOptions.Overrides()
        overrides.chunker = chunker
        let options = try ImportOptions(profile: .unixfsV1_2025, overrides: overrides)
        let file = [UInt8](repeating: 7, count: 300)
        var roots: Set<CID> = []
        // All in one run, as long as one may be; and each in one of its own.
        for filesPerRun in [ImportPipeline.maximumRunByteCount / file.count, 1] {
            let pipeline = try ImportPipeline(
                options: options, sink: BlockRecorder(), scratch: MemoryScratch(),
                workers: Self.workers, slabs: SlabPool(spareCount: 0))
            for number in 0..<4000 {
                if number.isMultiple(of: filesPerRun) { try await pipeline.prepare() }
                pipeline.beginFile(
                    try ImportPath.cleaning(Array("d/\(number)".utf8)), EntryMetadata.none)
                try file.withUnsafeBytes { try pipeline.append($0) }
                try pipeline.endFile()
            }
            roots.insert(try await pipeline.finish().cid)
        }
        #expect(roots.count == 1)
    }

    private static func byteCount(_ vector: ImportVector) -> Int {
        guard case .file(let spec) = vector.input.content else { return 0 }
        return spec.byteCount
    }

    private func importFile(
        _ vector: ImportVector, pieceByteCount: Int, into recorder: BlockRecorder
    ) async throws -> ImportedEntry {
        try await Self.importFile(
            vector, pieceByteCount: pieceByteCount, into: recorder, slabs: SlabPool(spareCount: 4))
    }

    private static func importFile(
        _ vector: ImportVector, pieceByteCount: Int, into recorder: BlockRecorder, slabs: SlabPool
    ) async throws -> ImportedEntry {
        let pipeline = try ImportPipeline(
            options: ImportOptions(vector.opts), sink: recorder, scratch: MemoryScratch(),
            workers: workers, slabs: slabs)
        let node = vector.input
        guard case .file(let spec) = node.content else { preconditionFailure("not a file") }
        let path = try ImportPath.cleaning(node.name.isEmpty ? Array("f".utf8) : node.name)
        try await pipeline.prepare()
        pipeline.beginFile(path, node.metadata)
        let bytes = spec.bytes
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + pieceByteCount)
            try await pipeline.prepare()
            try bytes.withUnsafeBytes {
                try pipeline.append(UnsafeRawBufferPointer(rebasing: $0[start..<end]))
            }
            start = end
        }
        try pipeline.endFile()
        return try await pipeline.finish()
    }
}

/// Remembers what an import emitted, and checks every block against its CID.
private final class BlockRecorder: BlockSink {
    private(set) var distinct: Set<CID> = []
    private(set) var entryCount = 0
    private let verifier = BlockVerifier()

    func put(_ cid: CID, _ block: BlockBytes) async throws {
        distinct.insert(cid)
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: block.byteCount, alignment: 8)
        defer { copy.deallocate() }
        if block.byteCount > 0 { block.copy(to: copy.baseAddress!) }
        #expect(try verifier.verify(cid, UnsafeRawBufferPointer(copy)), "\(cid)")
    }

    func entryDone(_ entry: ImportedEntry) async throws {
        entryCount += 1
    }
}

import Importer
import Multiformats
import PosixIO
import Spill
import Testing
import VectorInputs

@testable import ImportPipeline

/// An import that is cut at a checkpoint and gone on with elsewhere is the same import.
struct ImportReplayTests {
    private static let workers = try! WorkerPool(name: "test", threadCount: 2)

    private static let files = ImportVector.all.filter { vector in
        guard case .file(let spec) = vector.input.content else { return false }
        return spec.byteCount <= 1 << 20 && vector.opts.chunker != "rabin-30"
    }

    @Test(arguments: files)
    func aFileThatIsCutThreeTimesHasTheBlocksOfOneThatIsNot(vector: ImportVector) async throws {
        guard case .file(let spec) = vector.input.content else { return }
        let name = String(decoding: vector.input.name, as: UTF8.self)
        let steps = Step.file(name.isEmpty ? "f" : name, vector.input.metadata, spec.bytes)
        let options = try ImportOptions(vector.opts)
        for seed in 0..<3 as Range<UInt64> {
            try await expectSame(steps, options, seed: seed, root: vector.expect.cid)
        }
    }

    @Test(arguments: [ImportProfile.unixfsV0_2015, .unixfsV1_2025], 0..<10 as Range<UInt64>)
    func aTreeThatIsCutAnywhereHasTheBlocksOfOneThatIsNot(
        profile: ImportProfile, seed: UInt64
    ) async throws {
        var random = XorshiftStream(seed: seed + 1)
        var overrides = ImportOptions.Overrides()
        overrides.chunker = ["size-1000", "buzhash", "rabin-512-1024-2048"]
            .randomElement(using: &random)
        overrides.preserveMode = Bool.random(using: &random)
        overrides.maxDirectoryLinks = Bool.random(using: &random) ? 4 : nil
        overrides.inline = Bool.random(using: &random)
        var steps: [Step] = []
        for number in 0..<40 {
            let path = "top/d\(number % 7)/\(number)"
            let metadata = EntryMetadata(
                mode: 0o640, mtime: UnixFSTime(seconds: -5, nanoseconds: UInt32(number)))
            switch Int.random(in: 0..<6, using: &random) {
            case 0: steps.append(.directory(path, metadata))
            case 1: steps.append(.symlink(path, metadata))
            default:
                let count = [0, 30, 999, 1000, 1001, 40_000].randomElement(using: &random)!
                let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                steps += Step.file(path, metadata, bytes)
            }
        }
        let options = try ImportOptions(profile: profile, overrides: overrides)
        try await expectSame(steps, options, seed: seed, root: nil)
    }

    @Test func aRecordThatIsCutIsRefused() throws {
        var bytes: [UInt8] = []
        ImportRecord.symlink(
            try ImportPath.cleaning(Array("a/b".utf8)), target: [1, 2, 3], EntryMetadata(mode: 7)
        ).append(to: &bytes)
        #expect(try ImportRecord.decodeAll(bytes).count == 1)
        for count in 1..<bytes.count {
            #expect(throws: ImportRecordError.self) {
                try ImportRecord.decodeAll(Array(bytes[..<count]))
            }
        }
    }

    /// A CID of each version, and its bytes in hexadecimal.
    private static let (v0, v0Bytes) = (
        try! CID("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"),
        "1220 59948439065f29619ef41280cbb932be52c56d99c5966b65e0111239f098bbef"
    )
    private static let (v1, v1Bytes) = (
        try! CID("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        "01551220 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )

    private static func bytes(_ hexadecimal: String) -> [UInt8] {
        let digits = hexadecimal.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count, by: 2).map {
            UInt8(digits[$0] << 4 | digits[$0 + 1])
        }
    }

    /// Journals keep them.
    @Test func theBytesOfRecordsAreTheseAndAreRead() throws {
        let path = try ImportPath(components: [Array("a".utf8), Array("bc".utf8)])
        let mtime = UnixFSTime(seconds: -5, nanoseconds: 7)
        let golden: [(record: ImportRecord, bytes: String)] = [
            (
                .beginFile(path, EntryMetadata(mode: 0o644, mtime: mtime)),
                "00 02 0161 026263 03 a403 fbffffffffffffffff01 07"
            ),
            (.leaf(Self.v1, chunkByteCount: 262_144), "01 \(Self.v1Bytes) 808010"),
            (.endFile, "02"),
            (
                .endFileOfOneLeaf(
                    LeafReference(cid: Self.v0, blockByteCount: 300, fileByteCount: 5)),
                "03 \(Self.v0Bytes) ac02 05"
            ),
            (
                .directory(path, EntryMetadata(mtime: mtime)),
                "04 02 0161 026263 02 fbffffffffffffffff01 07"
            ),
            (
                .symlink(
                    try ImportPath(components: []), target: Array("../x".utf8),
                    EntryMetadata(mode: 0o644)),
                "05 00 01 a403 042e2e2f78"
            ),
            (.directory(path, .none), "04 02 0161 026263 00"),
        ]
        var all: [UInt8] = []
        for (record, text) in golden {
            var bytes: [UInt8] = []
            record.append(to: &bytes)
            #expect(bytes == Self.bytes(text), "\(record)")
            all += Self.bytes(text)
        }
        #expect(try ImportRecord.decodeAll(all) == golden.map(\.record))
    }

    /// Journals keep them.
    @Test func theBytesOfRecordsOfAnArchiveAreTheseAndAreRead() throws {
        let roots = [
            CARImport.Root(cid: Self.v1, kind: nil, cumulativeByteCount: .max, fileByteCount: nil),
            CARImport.Root(cid: Self.v0, kind: .symlink, cumulativeByteCount: 5, fileByteCount: 0),
            CARImport.Root(
                cid: Self.v1, kind: .file, cumulativeByteCount: 300, fileByteCount: 299),
            CARImport.Root(
                cid: Self.v0, kind: .directory, cumulativeByteCount: 4, fileByteCount: nil),
        ]
        let golden: [(record: ArchiveRecord, bytes: String)] = [
            (.header(roots: [Self.v0, Self.v1]), "00 02 \(Self.v0Bytes) \(Self.v1Bytes)"),
            (
                .block(Self.v1, byteCount: 300, .init(links: [Self.v0], roots: roots)),
                """
                01 \(Self.v1Bytes) ac02 01 \(Self.v0Bytes) 04
                \(Self.v1Bytes) 00 ffffffffffffffffff01 00
                \(Self.v0Bytes) 03 05 01
                \(Self.v1Bytes) 01 ac02 ac02
                \(Self.v0Bytes) 02 04 00
                """
            ),
            (
                .block(Self.v0, byteCount: 4, .init(links: [], roots: [])),
                "01 \(Self.v0Bytes) 04 00 00"
            ),
        ]
        var all: [UInt8] = []
        for (record, text) in golden {
            var bytes: [UInt8] = []
            record.append(to: &bytes)
            #expect(bytes == Self.bytes(text), "\(record)")
            all += Self.bytes(text)
        }
        #expect(try ArchiveRecord.decodeAll(all) == golden.map(\.record))
    }

    @Test func recordsOfAnArchiveAreWhatTheyWere() throws {
        let (v0, v1) = (Self.v0, Self.v1)
        let roots = [
            CARImport.Root(cid: v0, kind: nil, cumulativeByteCount: .max, fileByteCount: nil),
            CARImport.Root(cid: v1, kind: .symlink, cumulativeByteCount: 0, fileByteCount: 0),
            CARImport.Root(cid: v1, kind: .file, cumulativeByteCount: .max, fileByteCount: .max),
        ]
        let records: [ArchiveRecord] = [
            .header(roots: [v0]), .block(v0, byteCount: 1, .init(links: [v1, v0], roots: roots)),
            .block(v1, byteCount: 0, .init(links: [], roots: [])),
        ]
        var bytes: [UInt8] = []
        for record in records { record.append(to: &bytes) }
        #expect(try ArchiveRecord.decodeAll(bytes) == records)
        for count in 0..<bytes.count {
            let cut = try? ArchiveRecord.decodeAll(Array(bytes[..<count]))
            #expect(cut.map { records.starts(with: $0) && $0.count < records.count } ?? true)
        }
    }

    // MARK: - Imports

    private enum Step {
        case begin(String, EntryMetadata)
        case bytes([UInt8])
        case end
        case directory(String, EntryMetadata)
        case symlink(String, EntryMetadata)

        static func file(_ path: String, _ metadata: EntryMetadata, _ bytes: [UInt8]) -> [Step] {
            let pieces = stride(from: 0, to: bytes.count, by: 20_000).map {
                Step.bytes(Array(bytes[$0..<min(bytes.count, $0 + 20_000)]))
            }
            return [.begin(path, metadata)] + pieces + [.end]
        }
    }

    private func expectSame(
        _ steps: [Step], _ options: ImportOptions, seed: UInt64, root: String?
    ) async throws {
        let whole = PlaceRecorder()
        let straight = try makePipeline(options, whole)
        for step in steps { try await take(step, straight) }
        let wanted = try await straight.finish()

        var random = XorshiftStream(seed: seed + 1)
        var cut = PlaceRecorder()
        var pipeline = try makePipeline(options, cut)
        var records: [UInt8] = []
        let cuts = Set((0..<3).map { _ in Int.random(in: 0...steps.count, using: &random) })
        for number in 0...steps.count {
            if cuts.contains(number) {
                let checkpoint = try await pipeline.checkpoint()
                records += checkpoint.records
                if Bool.random(using: &random) {
                    cut = PlaceRecorder()
                    pipeline = try makePipeline(options, cut)
                    for record in try ImportRecord.decodeAll(records) {
                        try await pipeline.replay(record)
                    }
                    #expect(cut.newCount == 0, "a block is written twice")
                    try await pipeline.resume(tail: checkpoint.tail)
                }
            }
            if number < steps.count { try await take(steps[number], pipeline) }
        }
        let found = try await pipeline.finish()
        #expect(found == wanted)
        if let root { #expect(found.cid.description == root) }
        #expect(cut.places == whole.places)
        #expect(pipeline.contentByteCount == straight.contentByteCount)
    }

    private func makePipeline(
        _ options: ImportOptions, _ sink: PlaceRecorder
    ) throws -> ImportPipeline {
        try ImportPipeline(
            options: options, sink: sink, scratch: MemoryScratch(), workers: Self.workers,
            slabs: SlabPool(spareCount: 2), isRecorded: true)
    }

    private func take(_ step: Step, _ pipeline: ImportPipeline) async throws {
        try await pipeline.prepare()
        switch step {
        case .begin(let path, let metadata): pipeline.beginFile(try clean(path), metadata)
        case .bytes(let bytes): try bytes.withUnsafeBytes { try pipeline.append($0) }
        case .end: try pipeline.endFile()
        case .directory(let path, let metadata):
            pipeline.addDirectory(try clean(path), metadata)
        case .symlink(let path, let metadata):
            pipeline.addSymlink(try clean(path), target: Array("target".utf8), metadata)
        }
    }

    private func clean(_ path: String) throws -> ImportPath {
        try ImportPath.cleaning(Array(path.utf8))
    }
}

/// Which blocks came in which order, and how long they were.
private final class PlaceRecorder: BlockSink {
    struct Place: Equatable {
        let cid: CID
        let byteCount: Int
    }

    private(set) var places: [Place] = []
    private(set) var newCount = 0

    func put(_ cid: CID, _ block: BlockBytes) async throws {
        places.append(Place(cid: cid, byteCount: block.byteCount))
        newCount += 1
    }

    func putAgain(_ cid: CID, blockByteCount: Int) async throws {
        places.append(Place(cid: cid, byteCount: blockByteCount))
    }

    func entryDone(_ entry: ImportedEntry) async throws {}
}

import ImportPipeline
import Importer
import PosixIO
import Spill
import Testing

@testable import ingest_cli

/// A file read straight into the slabs gives the root it gives when its bytes are handed in.
struct LocalImportTests {
    private static let sizes = [0, 1, 262_143, 262_144, 1 << 20, (1 << 20) + 1, 5_000_003]

    private static let noise: [UInt8] = {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        return (0..<625_001).flatMap { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return withUnsafeBytes(of: state, Array.init)
        }
    }()

    private func pipeline(_ chunker: String) throws -> ImportPipeline {
        var overrides = ImportOptions.Overrides()
        overrides.chunker = chunker
        return try ImportPipeline(
            options: ImportOptions(profile: .unixfsV1_2025, overrides: overrides),
            sink: EntryLog(.rootOnly), scratch: MemoryScratch(),
            workers: WorkerPool(name: "hash", threadCount: 2), slabs: SlabPool(spareCount: 4))
    }

    @Test(arguments: ["size-1048576", "size-1000", "size-2096896", "buzhash", "rabin"])
    func aFileReadByWorkersHasTheRootOfItsBytes(chunker: String) async throws {
        let place = try TemporaryDirectory()
        var names: [String] = []
        let handedIn = try pipeline(chunker)
        try await handedIn.prepare()
        handedIn.addDirectory(try ImportPath(components: [Array("top".utf8)]), .none)
        for (index, size) in Self.sizes.enumerated() {
            let name = "f\(index)"
            names.append(name)
            let content = Array(Self.noise.prefix(size))
            let file = try FileDescriptor(place.path + "/" + name, for: .create)
            try file.writeAll(content, at: 0)
            try await handedIn.prepare()
            handedIn.beginFile(
                try ImportPath(components: [Array("top".utf8), Array(name.utf8)]), .none)
            for start in stride(from: 0, to: size, by: 100_000) {
                try await handedIn.prepare()
                try content[start..<min(size, start + 100_000)].withUnsafeBytes {
                    try handedIn.append($0)
                }
            }
            try handedIn.endFile()
        }
        let input = AddInput(
            source: .trees([.init(argument: place.path, name: Array("top".utf8))]))
        let meter = ProgressMeter()
        let read = try await LocalImport(
            input: input, pipeline: pipeline(chunker), meter: meter
        ).run()
        #expect(read.root.cid == (try await handedIn.finish()).cid)
        #expect(meter.byteCount == Self.sizes.reduce(0, +))
    }

    @Test(arguments: ["size-1048576", "buzhash"])
    func aFileThatIsShorterThanItWasIsAnError(chunker: String) async throws {
        let place = try TemporaryDirectory()
        try place.write("f", String(repeating: "x", count: 600_000))
        let file = try FileDescriptor(place.path + "/f", for: .read)
        let pipeline = try pipeline(chunker)
        try await pipeline.prepare()
        pipeline.beginFile(try ImportPath(components: [Array("f".utf8)]), .none)
        await #expect(throws: IOError.self) {
            try await pipeline.appendContents(of: file, byteCount: 600_001) { _ in }
            try pipeline.endFile()
            _ = try await pipeline.finish()
        }
        await pipeline.abandon()
    }
}

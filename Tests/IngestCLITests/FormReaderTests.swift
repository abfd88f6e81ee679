import Glibc
import IngestAPI
import PosixIO
import Testing

@testable import IngestClient
@testable import ingest_cli

/// The form of a tree can be made again from any of its pieces.
struct FormReaderTests {
    private let place: TemporaryDirectory
    private let input: AddInput
    private let writer = MultipartWriter(seed: (1, 2))

    init() throws {
        place = try TemporaryDirectory()
        for (name, size) in [
            ("a", 3_000_000), ("b", 0), ("c", 1_048_576), ("d", 17), ("e", 2_500_001),
        ] {
            let file = try FileDescriptor(place.path + "/" + name, for: .create)
            try file.writeAll((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ size) }, at: 0)
        }
        input = AddInput(source: .trees([.init(argument: place.path, name: Array("top".utf8))]))
    }

    private func bytes(_ piece: FormPiece) -> [UInt8] { piece.buffer.withBytes { Array($0) } }

    private func pieces(skipping skips: (Int) -> Bool = { _ in false }) throws -> [FormPiece] {
        let reader = try FormReader(input, writer, try input.makeManifest(writer))
        var pieces: [FormPiece] = []
        while let piece = try reader.next(readingContent: !skips(pieces.count)) {
            pieces.append(piece)
        }
        return pieces
    }

    @Test(arguments: [0, 1, 2, 3, 5, 8])
    func piecesBehindSkippedOnesAreTheSame(count: Int) throws {
        let whole = try pieces()
        let rest = try pieces { $0 < count }
        #expect(rest.map(\.byteCount) == whole.map(\.byteCount))
        for index in count..<max(count, whole.count) {
            #expect(bytes(rest[index]) == bytes(whole[index]))
        }
        let manifest = try #require(try input.makeManifest(writer))
        #expect(whole.reduce(0) { $0 + $1.byteCount } == Int(manifest.bodyByteCount))
        #expect(whole.allSatisfy { bytes($0).count == $0.byteCount })
    }

    @Test(arguments: ["c", "new", "gone"])
    func aChangeSinceTheManifestIsNamed(what: String) throws {
        let manifest = try #require(try input.makeManifest(writer))
        switch what {
        case "c": try FileDescriptor(place.path + "/c", for: .update).truncate(to: 5)
        case "new": try FileSystem.saveFile(place.path + "/bb", [1])
        default: try FileSystem.removeFile(place.path + "/e")
        }
        let reader = try FormReader(input, writer, manifest)
        let error = #expect(throws: SourceChanged.self) { while try reader.next() != nil {} }
        let name = ["c": "top/c changed", "new": "top/bb changed"][what] ?? "entries at its end"
        #expect(error?.what.hasPrefix(name) == true)
        let now = try #require(try input.makeManifest(writer))
        #expect(try input.firstChange(since: manifest, now: now)?.what == error?.what)
        #expect(try input.firstChange(since: now, now: now) == nil)
    }

    @Test(arguments: ["gone", "a FIFO"])
    func aNamedPathThatIsNoLongerOneIsAChange(what: String) throws {
        let manifest = try #require(try input.makeManifest(writer))
        try FileSystem.removeTree(place.path)
        if what == "a FIFO" { #expect(mkfifo(place.path, 0o600) == 0) }
        let reader = try FormReader(input, writer, manifest)
        let error = #expect(throws: SourceChanged.self) { while try reader.next() != nil {} }
        #expect(error?.what.contains(place.path) == true)
    }
}

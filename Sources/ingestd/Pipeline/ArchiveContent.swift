import ImportPipeline
import Importer
import IngestAPI
import Multiformats
import NIOCore
import Spill

/// Why an archive cannot be taken as an upload.
enum ArchiveContentError: Error, CustomStringConvertible {
    case severalArchives
    case noArchive
    case notAFile
    case severalRoots(count: Int)
    case wrongHash(CID, offset: UInt64)

    var description: String {
        switch self {
        case .severalArchives:
            "the form has more than one file; with format=car send one archive per request"
        case .noArchive: "the form has no file; with format=car send one CAR archive"
        case .notAFile: "with format=car the form holds one file, not a directory or symlink"
        case .severalRoots(let count):
            "the archive names \(count) roots; an upload has one root, so send an archive for each"
        case .wrongHash(let cid, let offset):
            "the block at byte \(offset) of the archive does not match its CID \(cid); make the "
                + "archive again"
        }
    }
}

/// A CAR in the one part of a form: its blocks are verified, stored as they are, and must be
/// complete below the root.
final class ArchiveContent: UploadContent {
    private let sink: any BlockSink
    private let scratch: any ScratchSpace
    private var form: UploadReader
    private var reader = CARReader()
    private var completeness: CARImport?
    private let verifier = BlockVerifier()
    private var archiveCount = 0
    private(set) var contentByteCount: UInt64 = 0

    init(boundary: MultipartBoundary, sink: any BlockSink, scratch: any ScratchSpace) {
        self.sink = sink
        self.scratch = scratch
        form = UploadReader(boundary: boundary)
    }

    func prepare() {}

    func take(_ piece: ByteBuffer) async throws {
        for section in try sections(in: piece) { try await add(section) }
    }

    /// The sections that the piece completes.
    private func sections(in piece: ByteBuffer) throws -> [CARReader.Section] {
        var sections: [CARReader.Section] = []
        try piece.withUnsafeReadableBytes { bytes in
            var input = bytes
            while let event = try form.next(&input) {
                switch event {
                case .beginFile:
                    archiveCount += 1
                    guard archiveCount == 1 else { throw ArchiveContentError.severalArchives }
                case .data(let bytes):
                    contentByteCount += UInt64(bytes.count)
                    for event in try reader.feed(bytes) {
                        switch event {
                        case .header(let header): try begin(header)
                        case .section(let section): sections.append(section)
                        }
                    }
                case .endFile: break
                case .directory, .symlink: throw ArchiveContentError.notAFile
                }
            }
        }
        return sections
    }

    private func begin(_ header: CARHeader) throws {
        guard header.roots.count <= 1 else {
            throw ArchiveContentError.severalRoots(count: header.roots.count)
        }
        // The system's generator: an uploader must not foresee how the table is laid out.
        completeness = try CARImport(
            roots: header.roots, scratch: scratch, seed: UInt64.random(in: 0...UInt64.max))
    }

    private func add(_ section: CARReader.Section) async throws {
        let copy = UnsafeMutableRawBufferPointer.allocate(
            byteCount: section.block.count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyBytes(from: section.block)
        let block = UnsafeRawBufferPointer(copy)
        guard try verifier.verify(section.cid, block) else {
            throw ArchiveContentError.wrongHash(section.cid, offset: section.offset)
        }
        guard try completeness!.add(section.cid, block) == .new else { return }
        try await sink.put(section.cid, BlockBytes(payload: block))
    }

    func finish() async throws -> ImportedEntry {
        try form.finish()
        guard archiveCount == 1 else { throw ArchiveContentError.noArchive }
        try reader.finish()
        guard let root = try completeness?.finish().first else {
            preconditionFailure("a complete archive has a header with a root")
        }
        let entry = ImportedEntry(
            path: [], cid: root.cid, cumulativeByteCount: root.cumulativeByteCount,
            fileByteCount: UInt64(root.fileByteCount ?? 0), kind: root.kind ?? .file)
        try await sink.entryDone(entry)
        return entry
    }

    func abandon() {}
}

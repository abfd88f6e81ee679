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

/// Takes in the blocks of a CAR, whatever brings its bytes: each is verified and stored as it is, and all
/// must be there below the root.
final class ArchiveImport {
    private let sink: any BlockSink
    private let scratch: any ScratchSpace
    private var reader = CARReader()
    private var completeness: CARImport?
    private let verifier = BlockVerifier()
    /// Encoded `ArchiveRecord`s since the last checkpoint; `nil` when nobody wants them.
    private var records: [UInt8]?
    private(set) var byteCount: UInt64 = 0

    init(sink: any BlockSink, scratch: any ScratchSpace, isRecorded: Bool = false) {
        self.sink = sink
        self.scratch = scratch
        records = isRecorded ? [] : nil
    }

    /// The sections that the bytes complete; to be added in their order, before any more bytes are taken.
    func sections(in bytes: UnsafeRawBufferPointer) throws -> [CARReader.Section] {
        byteCount += UInt64(bytes.count)
        var sections: [CARReader.Section] = []
        for event in try reader.feed(bytes) {
            switch event {
            case .header(let header):
                guard header.roots.count <= 1 else {
                    throw ArchiveContentError.severalRoots(count: header.roots.count)
                }
                try begin(header.roots)
                record(.header(roots: header.roots))
            case .section(let section): sections.append(section)
            }
        }
        return sections
    }

    func add(_ section: CARReader.Section) async throws {
        let copy = UnsafeMutableRawBufferPointer.allocate(
            byteCount: section.block.count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyBytes(from: section.block)
        let block = UnsafeRawBufferPointer(copy)
        guard try verifier.verify(section.cid, block) else {
            throw ArchiveContentError.wrongHash(section.cid, offset: section.offset)
        }
        guard case .new(let facts) = try completeness!.add(section.cid, block) else { return }
        try await sink.put(section.cid, BlockBytes(payload: block))
        record(.block(section.cid, byteCount: block.count, facts))
    }

    func finish() async throws -> ImportedEntry {
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

    // MARK: Going on elsewhere

    var state: CARReader.State { reader.state }

    func checkpoint() -> ImportCheckpoint {
        guard let records else { preconditionFailure("this import is not recorded") }
        self.records = []
        return ImportCheckpoint(records: records, tail: reader.pending)
    }

    func replay(_ record: ArchiveRecord) async throws {
        switch record {
        case .header(let roots): try begin(roots)
        case .block(let cid, let byteCount, let facts):
            guard completeness != nil else { throw ImportRecordError(offset: 0) }
            try completeness!.addAgain(cid, facts)
            try await sink.putAgain(cid, blockByteCount: byteCount)
        }
    }

    /// Goes on behind what was repeated.
    ///
    /// - Parameters:
    ///   - state: What `state` was.
    ///   - tail: That of the last checkpoint.
    ///   - byteCount: What `byteCount` was.
    func resume(_ state: CARReader.State, tail: [UInt8], byteCount: UInt64) {
        reader = CARReader(resuming: state, pending: tail)
        self.byteCount = byteCount
    }

    private func begin(_ roots: [CID]) throws {
        // The system's generator: an uploader must not foresee how the table is laid out.
        completeness = try CARImport(
            roots: roots, scratch: scratch, seed: UInt64.random(in: 0...UInt64.max))
    }

    private func record(_ record: ArchiveRecord) {
        guard records != nil else { return }
        record.append(to: &records!)
    }
}

/// A CAR in the one part of a form.
final class ArchiveContent: UploadContent {
    private let archive: ArchiveImport
    private var form: UploadReader
    private var archiveCount = 0

    init(boundary: MultipartBoundary, archive: ArchiveImport) {
        self.archive = archive
        form = UploadReader(boundary: boundary)
    }

    var contentByteCount: UInt64 { archive.byteCount }

    func prepare() {}

    func take(_ piece: ByteBuffer) async throws {
        for section in try sections(in: piece) { try await archive.add(section) }
    }

    private func sections(in piece: ByteBuffer) throws -> [CARReader.Section] {
        var sections: [CARReader.Section] = []
        try piece.withUnsafeReadableBytes { bytes in
            var input = bytes
            while let event = try form.next(&input) {
                switch event {
                case .beginFile:
                    archiveCount += 1
                    guard archiveCount == 1 else { throw ArchiveContentError.severalArchives }
                case .data(let bytes): sections += try archive.sections(in: bytes)
                case .endFile: break
                case .directory, .symlink: throw ArchiveContentError.notAFile
                }
            }
        }
        return sections
    }

    func finish() async throws -> ImportedEntry {
        try form.finish()
        guard archiveCount == 1 else { throw ArchiveContentError.noArchive }
        return try await archive.finish()
    }

    func abandon() {}
}

/// The bytes of a CAR, without a form around them.
final class RawArchiveContent: ResumableContent {
    private let archive: ArchiveImport

    init(archive: ArchiveImport) { self.archive = archive }

    var contentByteCount: UInt64 { archive.byteCount }

    func prepare() {}

    func take(_ piece: ByteBuffer) async throws {
        for section in try piece.withUnsafeReadableBytes({ try archive.sections(in: $0) }) {
            try await archive.add(section)
        }
    }

    func finish() async throws -> ImportedEntry { try await archive.finish() }

    func abandon() {}

    var reading: BodyReading { BodyReading(archive: archive.state) }

    func checkpoint() -> ImportCheckpoint { archive.checkpoint() }

    func replay(_ records: [UInt8]) async throws {
        for record in try ArchiveRecord.decodeAll(records) { try await archive.replay(record) }
    }

    func resume(_ reading: BodyReading, tail: [UInt8], contentByteCount: Int) {
        guard let state = reading.archive else { return }
        archive.resume(state, tail: tail, byteCount: UInt64(contentByteCount))
    }
}

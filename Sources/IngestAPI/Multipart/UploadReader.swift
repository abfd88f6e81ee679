import Importer

/// Reads the entries of an upload from a multipart body: the parser with Kubo's meaning of parts.
///
/// Memory is bounded by the parser's, one header and one symlink target.
package struct UploadReader: Sendable {
    package enum Event {
        case beginFile(UploadEntry)
        /// At least one byte of the open file; valid as long as the input is, at least until the
        /// next call.
        case data(UnsafeRawBufferPointer)
        case endFile
        case directory(UploadEntry)
        case symlink(UploadEntry, target: [UInt8])
    }

    /// Everything known between two bytes of a body; from it reading can go on elsewhere.
    package struct State: Equatable, Sendable, Codable {
        package fileprivate(set) var parser = MultipartParser.State()
        /// The open part when it is a directory or symlink; these are complete only at their end.
        fileprivate var pending: PartHeader?
        fileprivate var symlinkTarget: [UInt8] = []

        package init() {}
    }

    private var parser: MultipartParser
    private var rest: State

    package init(
        boundary: MultipartBoundary, limits: MultipartLimits = MultipartLimits(),
        resuming state: State = State()
    ) {
        parser = MultipartParser(boundary: boundary, limits: limits, resuming: state.parser)
        rest = state
    }

    /// A point from which reading can be resumed; whole between any two calls of `next`.
    package var state: State {
        var state = rest
        state.parser = parser.state
        return state
    }

    /// The next event of `input`, which is moved past the bytes taken; nil when it is used up.
    ///
    /// - Throws: After an error the reader is of no use.
    package mutating func next(
        _ input: inout UnsafeRawBufferPointer
    ) throws(UploadError) -> Event? {
        while let event = try parserNext(&input) {
            switch event {
            case .partBegin(let header):
                if let event = try begin(header) { return event }
            case .data(let bytes):
                guard let pending = rest.pending else { return .data(bytes) }
                try take(bytes, for: pending)
            case .partEnd:
                return try end()
            }
        }
        return nil
    }

    /// Must be called when the body has ended.
    ///
    /// - Throws: `multipart` when the body was cut, `noEntries` when it is whole and has none.
    package func finish() throws(UploadError) {
        do {
            try parser.finish()
        } catch {
            throw .multipart(error)
        }
        guard parser.state.partCount > 0 else { throw .noEntries }
    }

    private mutating func parserNext(
        _ input: inout UnsafeRawBufferPointer
    ) throws(UploadError) -> MultipartParser.Event? {
        do {
            return try parser.next(&input)
        } catch {
            throw .multipart(error)
        }
    }

    private mutating func begin(_ header: PartHeader) throws(UploadError) -> Event? {
        let entry = try entry(header)
        if header.kind == .file { return .beginFile(entry) }
        rest.pending = header
        return nil
    }

    private mutating func take(
        _ bytes: UnsafeRawBufferPointer, for pending: PartHeader
    ) throws(UploadError) {
        guard pending.kind == .symlink else {
            throw .directoryWithBody(
                part: parser.state.partCount, path: pending.filename?.shown ?? "")
        }
        rest.symlinkTarget.append(
            contentsOf: bytes.prefix(TreeImporter.maximumSymlinkTargetByteCount + 1))
        guard rest.symlinkTarget.count <= TreeImporter.maximumSymlinkTargetByteCount else {
            throw .symlinkTargetTooLong(
                part: parser.state.partCount, limit: TreeImporter.maximumSymlinkTargetByteCount)
        }
    }

    private mutating func end() throws(UploadError) -> Event {
        guard let header = rest.pending else { return .endFile }
        let target = rest.symlinkTarget
        rest.pending = nil
        rest.symlinkTarget = []
        let entry = try entry(header)
        return header.kind == .directory ? .directory(entry) : .symlink(entry, target: target)
    }

    private func entry(_ header: PartHeader) throws(UploadError) -> UploadEntry {
        do {
            return try UploadEntry(header)
        } catch {
            throw .entry(part: parser.state.partCount, error)
        }
    }
}

/// Why the body of an upload was refused.
package enum UploadError: Error, CustomStringConvertible {
    case multipart(MultipartError)
    case entry(part: Int, UploadEntryError)
    case directoryWithBody(part: Int, path: String)
    case symlinkTargetTooLong(part: Int, limit: Int)
    case noEntries

    package var description: String {
        switch self {
        case .multipart(let error):
            error.description
        case .entry(let part, let error):
            "part \(part): \(error)"
        case .directoryWithBody(let part, let path):
            "part \(part): directory “\(path)” has a body; a directory part must be empty"
        case .symlinkTargetTooLong(let part, let limit):
            "part \(part): the target of the symlink is longer than \(limit) bytes"
        case .noEntries:
            "the form has no parts; send at least one file"
        }
    }
}

import Importer

/// The header of one part of a form, as far as an upload uses it.
///
/// Other fields (`abspath`, `Content-Length`, ...) must be well formed and are then left out.
package struct PartHeader: Equatable, Sendable, Codable {
    /// By Content-Type: `application/x-directory`, `application/symlink` (the body is the target), and
    /// a file for any other type or none.
    package let kind: EntryKind
    /// The `name` of Content-Disposition, empty when there is none.
    package let fieldName: [UInt8]
    /// The `filename` as it stands in the header (a quoted one without its quotes), or nil.
    package let filename: [UInt8]?
    /// The name came as `filename*` (RFC 8187), so it is decoded already.
    package let isFilenameDecoded: Bool

    /// Reads the fields of a part, which stand between its boundary line and the empty line.
    init(
        parsing head: UnsafeRawBufferPointer, _ limits: MultipartLimits
    ) throws(MultipartProblem) {
        var disposition: Disposition?
        var kind: EntryKind?
        var fields = HeaderFields(head)
        var count = 0
        while let (name, value) = try fields.next() {
            count += 1
            guard count <= limits.headFieldCount else {
                throw .tooManyHeaderFields(limit: limits.headFieldCount)
            }
            if name.equalsIgnoringCase("content-disposition") {
                guard disposition == nil else { throw .headerFieldTwice("Content-Disposition") }
                disposition = try readDisposition(value)
            } else if name.equalsIgnoringCase("content-type") {
                guard kind == nil else { throw .headerFieldTwice("Content-Type") }
                kind = try readKind(value)
            } else if name.equalsIgnoringCase("content-transfer-encoding") {
                try requireIdentity(value)
            }
        }
        guard let disposition else { throw .dispositionMissing }
        self.kind = kind ?? .file
        fieldName = disposition.fieldName
        filename = disposition.filename
        isFilenameDecoded = disposition.isFilenameDecoded
    }

    package init(
        kind: EntryKind, fieldName: [UInt8], filename: [UInt8]?, isFilenameDecoded: Bool = false
    ) {
        self.kind = kind
        self.fieldName = fieldName
        self.filename = filename
        self.isFilenameDecoded = isFilenameDecoded
    }
}

extension EntryKind: Codable {}

/// Splits a part's header into fields and refuses what is not one.
private struct HeaderFields {
    private var rest: UnsafeRawBufferPointer

    init(_ head: UnsafeRawBufferPointer) {
        rest = head
    }

    mutating func next() throws(MultipartProblem) -> (
        name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    )? {
        guard let first = rest.first else { return nil }
        if isBlank(first) { throw .foldedHeaderField }
        let line = try takeLine()
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else {
            throw .headerFieldWithoutColon
        }
        let name = UnsafeRawBufferPointer(rebasing: line[..<colon])
        guard !name.isEmpty, name.allSatisfy(isTokenByte) else { throw .headerFieldName }
        return (name, trimmed(line[(colon + 1)...]))
    }

    /// Everything up to CRLF or the end, which the parser has cut before the last CRLF.
    private mutating func takeLine() throws(MultipartProblem) -> UnsafeRawBufferPointer {
        for (index, byte) in rest.enumerated() where byte < 0x20 || byte == 0x7F {
            switch byte {
            case UInt8(ascii: "\t"):
                continue
            case UInt8(ascii: "\n"):
                throw .bareLineFeed
            case UInt8(ascii: "\r"):
                guard index + 1 < rest.count, rest[index + 1] == UInt8(ascii: "\n") else {
                    throw .controlByteInHead(byte)
                }
                let line = UnsafeRawBufferPointer(rebasing: rest[..<index])
                rest = UnsafeRawBufferPointer(rebasing: rest[(index + 2)...])
                return line
            default:
                throw .controlByteInHead(byte)
            }
        }
        let line = rest
        rest = UnsafeRawBufferPointer(rebasing: rest[rest.endIndex...])
        return line
    }

    private func trimmed(_ value: Slice<UnsafeRawBufferPointer>) -> UnsafeRawBufferPointer {
        var value = value
        while let first = value.first, isBlank(first) { value.removeFirst() }
        while let last = value.last, isBlank(last) { value.removeLast() }
        return UnsafeRawBufferPointer(rebasing: value)
    }
}

private struct Disposition {
    var fieldName: [UInt8] = []
    var filename: [UInt8]?
    var isFilenameDecoded = false
}

/// Takes `form-data`, and `attachment` and `file` of older clients: the type decides nothing here.
private func readDisposition(
    _ value: UnsafeRawBufferPointer
) throws(MultipartProblem) -> Disposition {
    do throws(HeaderValueError) {
        var reader = HeaderValueReader(value)
        _ = try reader.value()
        var plain: (name: [UInt8]?, filename: [UInt8]?, extended: [UInt8]?)
        while let (name, value) = try reader.nextParameter() {
            if name.equals("name") {
                guard plain.name == nil else { throw HeaderValueError.parameterTwice("name") }
                plain.name = value
            } else if name.equals("filename") {
                guard plain.filename == nil else {
                    throw HeaderValueError.parameterTwice("filename")
                }
                plain.filename = value
            } else if name.equals("filename*") {
                guard plain.extended == nil else {
                    throw HeaderValueError.parameterTwice("filename*")
                }
                plain.extended = try decodeExtendedValue(value)
            }
        }
        return Disposition(
            fieldName: plain.name ?? [], filename: plain.extended ?? plain.filename,
            isFilenameDecoded: plain.extended != nil)
    } catch {
        throw .headerValue(field: "Content-Disposition", error)
    }
}

private func readKind(_ value: UnsafeRawBufferPointer) throws(MultipartProblem) -> EntryKind {
    do throws(HeaderValueError) {
        var reader = HeaderValueReader(value)
        let essence = try reader.value()
        guard MediaType.isEssence(essence) else { throw HeaderValueError.notAMediaType }
        while try reader.nextParameter() != nil {}
        if essence.equals("application/x-directory") { return .directory }
        if essence.equals("application/symlink") { return .symlink }
        return .file
    } catch {
        throw .headerValue(field: "Content-Type", error)
    }
}

/// RFC 7578 section 4.7 lets form parts carry only plain bytes.
private func requireIdentity(_ value: UnsafeRawBufferPointer) throws(MultipartProblem) {
    guard
        value.equalsIgnoringCase("binary") || value.equalsIgnoringCase("8bit")
            || value.equalsIgnoringCase("7bit")
    else { throw .transferEncoding(String(decoding: value, as: UTF8.self)) }
}

/// `charset'language'percent-encoded` of RFC 8187, to UTF-8.
private func decodeExtendedValue(_ value: [UInt8]) throws(HeaderValueError) -> [UInt8] {
    let pieces = value.split(
        separator: UInt8(ascii: "'"), maxSplits: 2, omittingEmptySubsequences: false)
    guard pieces.count == 3, let decoded = PercentCoding.decode(pieces[2], plusIsSpace: false)
    else { throw .extendedValue(parameter: "filename*") }
    switch String(decoding: pieces[0].map(lowercased), as: UTF8.self) {
    case "utf-8":
        guard String(validating: decoded, as: UTF8.self) != nil else {
            throw .extendedValue(parameter: "filename*")
        }
        return decoded
    case "iso-8859-1":
        return decoded.flatMap { Array(String(UnicodeScalar($0)).utf8) }
    default:
        throw .extendedValue(parameter: "filename*")
    }
}

import Importer

/// Writes a form that depends on nothing but its seed and entries, so that it can be written again
/// from any offset.
///
/// The order of calls is: a head, the bytes of that file (or target of that symlink), the next
/// head, and at last the end. Each returns or counts bytes; payload passes by.
package struct MultipartWriter: Sendable {
    /// 128 bits, so that no file contains it by accident, and a prefix for people; as long as a
    /// boundary may be, because a search takes longer steps with a longer one.
    package let boundary: MultipartBoundary
    private var isFirst = true

    /// - Parameter seed: Random bits for one upload. Equal seeds give equal bodies.
    package init(seed: (high: UInt64, low: UInt64)) {
        let digits = [seed.high, seed.low].map { word in
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        let name = "ingest-\(digits.joined())"
        let hyphens = String(
            repeating: "-", count: MultipartBoundary.maximumByteCount - name.utf8.count)
        guard let boundary = try? MultipartBoundary(Array((hyphens + name).utf8)) else {
            preconditionFailure("hyphens and hexadecimal digits make a boundary")
        }
        self.boundary = boundary
    }

    /// The request's Content-Type.
    package var contentType: String {
        "multipart/form-data; boundary=\(String(decoding: boundary.bytes, as: UTF8.self))"
    }

    /// Appends the end of the previous part and the head of this one.
    package mutating func appendHead(of entry: UploadEntry, to output: inout [UInt8]) {
        appendBoundary(to: &output)
        output.append(contentsOf: "\r\nContent-Disposition: form-data; name=\"file".utf8)
        output.append(contentsOf: Self.fieldQuery(entry).utf8)
        output.append(contentsOf: "\"; filename=\"".utf8)
        PercentCoding.appendQueryEscaped(
            entry.path.components.joined(separator: CollectionOfOne(UInt8(ascii: "/"))),
            to: &output)
        output.append(contentsOf: "\"\r\nContent-Type: ".utf8)
        output.append(contentsOf: Self.contentType(entry.kind).utf8)
        output.append(contentsOf: "\r\n\r\n".utf8)
    }

    /// Appends the final boundary.
    package mutating func appendEnd(to output: inout [UInt8]) {
        appendBoundary(to: &output)
        output.append(contentsOf: "--\r\n".utf8)
    }

    private mutating func appendBoundary(to output: inout [UInt8]) {
        output.append(contentsOf: (isFirst ? "--" : "\r\n--").utf8)
        output.append(contentsOf: boundary.bytes)
        isFirst = false
    }

    /// Mode and time as Go's `url.Values.Encode` orders them.
    private static func fieldQuery(_ entry: UploadEntry) -> String {
        var pairs: [String] = []
        if let mode = entry.metadata.mode {
            let goMode = GoFileMode.goMode(entry.kind, unixPermissions: mode)
            pairs.append("mode=0\(String(goMode, radix: 8))")
        }
        if let mtime = entry.metadata.mtime {
            pairs.append("mtime=\(mtime.seconds)")
            if mtime.nanoseconds > 0 { pairs.append("mtime-nsecs=\(mtime.nanoseconds)") }
        }
        return pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&")
    }

    private static func contentType(_ kind: EntryKind) -> String {
        switch kind {
        case .file: "application/octet-stream"
        case .directory: "application/x-directory"
        case .symlink: "application/symlink"
        }
    }
}

/// Computes the length of a form before it is sent, for Content-Length and for finding the entry
/// at an offset.
package struct MultipartLength: Sendable {
    private var writer: MultipartWriter
    private var scratch: [UInt8] = []
    private var written: UInt64 = 0

    package init(writer: MultipartWriter) {
        self.writer = writer
    }

    /// Counts an entry with this many bytes of content (a symlink's is its target).
    ///
    /// - Returns: The offset of the content's first byte in the body.
    package mutating func add(_ entry: UploadEntry, contentByteCount: UInt64) -> UInt64 {
        scratch.removeAll(keepingCapacity: true)
        writer.appendHead(of: entry, to: &scratch)
        let start = written + UInt64(scratch.count)
        written = start + contentByteCount
        return start
    }

    /// Length of the whole body if nothing is added any more.
    package var totalByteCount: UInt64 {
        var end: [UInt8] = []
        var copy = writer
        copy.appendEnd(to: &end)
        return written + UInt64(end.count)
    }
}

import IngestAPI

/// Reads the lines that answer an add while they arrive, and keeps the last.
///
/// The last line decides: the root, or an error. An error may come while the body is still being
/// sent, so it is thrown as soon as its line is complete.
struct AddAnswerReader {
    /// Longer lines are no answer of ours: a path has at most 32 KiB, six times that in JSON.
    private static let lineByteCountLimit = 1 << 20

    private let address: String
    private var pending: [UInt8] = []
    private var last: [UInt8] = []

    init(address: String) { self.address = address }

    /// - Throws: `refused` when a line is an error.
    mutating func take(_ bytes: UnsafeRawBufferPointer) throws(ClientError) {
        var rest = bytes[...]
        while let lineEnd = rest.firstIndex(of: UInt8(ascii: "\n")) {
            pending.append(contentsOf: rest[..<lineEnd])
            rest = rest[(lineEnd + 1)...]
            try endLine()
        }
        pending.append(contentsOf: rest)
        guard pending.count <= Self.lineByteCountLimit else {
            throw .notUnderstood(address: address, what: "a line has over 1 MiB")
        }
    }

    /// - Returns: The last line, which is the root.
    mutating func finish() throws(ClientError) -> AddedOutput {
        try endLine()
        guard !last.isEmpty else {
            throw .connectionLost(address: address, reason: "the answer has no root")
        }
        do {
            return try JSONBody.decode(AddedOutput.self, from: last)
        } catch {
            throw .notUnderstood(address: address, what: "\(error)")
        }
    }

    private mutating func endLine() throws(ClientError) {
        guard !pending.isEmpty else { return }
        swap(&last, &pending)
        pending.removeAll(keepingCapacity: true)
        // Every line of an entry begins so; anything else is looked at in full.
        guard !last.starts(with: Array("{\"name\":".utf8)) else { return }
        // What is neither is reported at the end, as a line that was not understood.
        if let error = try? JSONBody.decode(ErrorDocument.self, from: last) {
            throw .refused(error)
        }
    }
}

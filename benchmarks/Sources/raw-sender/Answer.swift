import Glibc
import PosixIO

/// The answer to an upload, as far as a measurement needs it.
struct Answer {
    let status: Int
    /// The last line of JSON: the root, or what went wrong.
    let lastLine: String

    /// The status says so, and the last line names a CID.
    var isSuccess: Bool { status == 200 && lastLine.contains("\"cid\"") }

    /// Reads until the service closes the connection.
    init(from connection: FileDescriptor) throws(IOError) {
        var bytes: [UInt8] = []
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = read(connection.number, buffer.baseAddress, buffer.count)
            guard count >= 0 else { throw .current("read from", connection.path) }
            guard count > 0 else { break }
            bytes += buffer.prefix(count)
        }
        let text = String(decoding: bytes, as: UTF8.self)
        status = text.split(separator: " ", maxSplits: 2).dropFirst().first.flatMap { Int($0) } ?? 0
        // Size lines of the chunked coding stand between lines of JSON and never begin with a brace.
        let lines = text.split(whereSeparator: \.isNewline)
        lastLine = lines.last { $0.hasPrefix("{") }.map(String.init) ?? ""
    }
}

import Glibc
import PosixIO

/// One request with one file.
struct Upload {
    private static let boundary = "raw-sender-boundary-5f2a91c47be0"
    private static let mostBytesPerCall = 1 << 20

    private let file: FileDescriptor
    private let byteCount: Int
    private let address: ServiceAddress
    private let query: String
    private let isResumable: Bool

    init(
        of path: String, to address: ServiceAddress, query: String, isResumable: Bool
    ) throws(IOError) {
        file = try FileDescriptor(path, for: .read)
        byteCount = try file.loadByteCount()
        self.address = address
        self.query = query
        self.isResumable = isResumable
    }

    /// Sends the file and waits for the whole answer.
    func run() throws(IOError) -> Answer {
        let connection = try address.connect()
        do {
            try send(to: connection)
        } catch {
            // One that refuses half way closes the connection; its answer says why.
            guard error.code == EPIPE || error.code == ECONNRESET else { throw error }
        }
        return try Answer(from: connection)
    }

    private func send(to connection: FileDescriptor) throws(IOError) {
        let name = file.path.split(separator: "/").last ?? "file"
        let opening =
            "--\(Self.boundary)\r\n"
            + "Content-Disposition: form-data; name=\"file\"; filename=\"\(name)\"\r\n"
            + "Content-Type: application/octet-stream\r\n\r\n"
        let closing = "\r\n--\(Self.boundary)--\r\n"
        let bodyByteCount = opening.utf8.count + byteCount + closing.utf8.count
        let target =
            isResumable
            ? "/uploads?format=multipart&\(query) HTTP/1.1\r\nUpload-Complete: ?1"
            : "/add?\(query) HTTP/1.1"
        let head =
            "POST \(target)\r\nHost: \(address)\r\nConnection: close\r\n"
            + "Content-Type: multipart/form-data; boundary=\(Self.boundary)\r\n"
            + "Content-Length: \(bodyByteCount)\r\n\r\n"
        try write(head + opening, to: connection)
        try sendFile(to: connection)
        try write(closing, to: connection)
    }

    private func write(_ text: String, to connection: FileDescriptor) throws(IOError) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.write(connection.number, $0.baseAddress, $0.count)
            }
            guard count >= 0 else { throw .current("write to", connection.path) }
            rest = rest.dropFirst(count)
        }
    }

    private func sendFile(to connection: FileDescriptor) throws(IOError) {
        var offset = 0
        while offset < byteCount {
            let count = sendfile(
                connection.number, file.number, &offset,
                min(Self.mostBytesPerCall, byteCount - offset))
            guard count >= 0 else { throw .current("send", file.path) }
            guard count > 0 else {
                throw IOError(
                    "send", file.path,
                    .endOfFile(offset: offset, missingByteCount: byteCount - offset))
            }
        }
    }
}

import Crypto
import Multiformats

/// The 32 bytes that all peers of a cluster share. Whoever has them can pass as one of its peers.
///
/// Only `text` gives them away; messages and logs name the cluster by its fingerprint.
package struct ClusterSecret: Sendable, CustomStringConvertible {
    package static let byteCount = 32

    private let bytes: [UInt8]

    /// A new secret, from the system's random numbers.
    package static func random() -> ClusterSecret {
        ClusterSecret(unchecked: (0..<byteCount).map { _ in UInt8.random(in: .min ... .max) })
    }

    private init(unchecked bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// `nil` unless there are 32 bytes.
    package init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.init(unchecked: bytes)
    }

    /// Reads 64 hexadecimal digits, in upper or lower case.
    package init?(hexadecimal text: String) {
        guard text.utf8.count == 2 * Self.byteCount else { return nil }
        // A text that is no number has no bytes; where it breaks is nothing to print of a secret.
        guard let bytes = try? Multibase.decode("f" + text) else { return nil }
        self.init(bytes: bytes)
    }

    /// 64 lower-case hexadecimal digits.
    package var text: String { Self.hexadecimal(bytes) }

    /// Names the cluster in messages and certificates, and tells nothing of the secret: 16
    /// hexadecimal digits.
    package var fingerprint: String {
        Self.hexadecimal(derive("ingestd cluster name 1", byteCount: 8))
    }

    package var description: String { "secret of cluster \(fingerprint)" }

    /// Bytes made from the secret for one purpose, equal on all peers (HKDF-SHA256, RFC 5869,
    /// without salt).
    func derive(_ purpose: String, byteCount: Int) -> [UInt8] {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: bytes), info: Array(purpose.utf8),
            outputByteCount: byteCount
        ).withUnsafeBytes { Array($0) }
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        String(bytes.withUnsafeBytes { Multibase.base16.encode($0) }.dropFirst())
    }
}

// MARK: - The file

extension ClusterSecret {
    /// Reads a secret's file: 64 hexadecimal digits, and white space behind them at most.
    ///
    /// - Throws: `readableByOthers` unless the owner alone can read the file.
    package static func load(from path: String) throws(IdentityError) -> ClusterSecret {
        let file = IdentityFile(path: path)
        var digits = try file.load(isSecret: true)
        while let last = digits.last, whiteSpace.contains(last) { digits.removeLast() }
        guard let secret = ClusterSecret(hexadecimal: String(decoding: digits, as: UTF8.self))
        else {
            throw .malformed(path: file.path, finding: "not 64 hexadecimal digits")
        }
        return secret
    }

    /// Space, tab, carriage return and line feed: what editors and pipes leave at the end.
    private static let whiteSpace: [UInt8] = [0x20, 0x09, 0x0D, 0x0A]
}

extension IdentityFile {
    fileprivate init(path: String) {
        guard let slash = path.lastIndex(of: "/") else {
            self.init(directory: ".", name: path)
            return
        }
        self.init(
            directory: String(path[..<slash]), name: String(path[path.index(after: slash)...]))
    }
}

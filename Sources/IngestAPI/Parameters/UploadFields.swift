import FoundationEssentials

/// Values of header fields of requests for uploads, of either protocol: *Resumable Uploads for HTTP* writes
/// items of structured fields (RFC 9651), tus 1.0 plain digits.
package enum UploadFields {
    /// A number of bytes; `nil` for anything else, also what is negative or above 2^63 - 1. Parameters
    /// behind a semicolon say nothing to us.
    package static func byteCount(_ text: String) -> Int? {
        let digits = item(text)
        guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(String(decoding: digits, as: UTF8.self))
    }

    /// Whether it is the boolean `?1`; what is none counts as absent, as structured fields have it.
    package static func isTrue(_ text: String) -> Bool { item(text).elementsEqual("?1".utf8) }

    /// `Upload-Metadata` of tus: keys, each with a value in base64 or with none, apart by commas.
    ///
    /// - Returns: `nil` when it is malformed, or has a key twice.
    package static func metadata(_ text: String) -> [String: [UInt8]]? {
        var values: [String: [UInt8]] = [:]
        // By bytes: as characters, a comma and a combining mark behind it are one that is no comma.
        let (comma, space) = (UInt8(ascii: ","), UInt8(ascii: " "))
        // Clients that have nothing to say send the field all the same.
        if text.utf8.allSatisfy({ $0 == space }) { return values }
        for pair in text.utf8.split(separator: comma, omittingEmptySubsequences: false) {
            let words = pair.split(separator: space).map(Substring.init)
            guard let key = words.first, words.count <= 2,
                let value = Data(base64Encoded: words.count == 2 ? String(words[1]) : ""),
                values.updateValue(Array(value), forKey: String(key)) == nil
            else { return nil }
        }
        return values
    }

    /// What stands before parameters, without the spaces around it.
    private static func item(_ text: String) -> Substring.UTF8View {
        var item = text.utf8.prefix { $0 != UInt8(ascii: ";") }
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        item = item.drop(while: isSpace)
        while let last = item.last, isSpace(last) { item.removeLast() }
        return item
    }
}

/// Why a header value of the form `value; name=value; name="value"` could not be read.
package enum HeaderValueError: Error, Equatable, CustomStringConvertible {
    case emptyValue
    case notAMediaType
    case nameExpected(at: Int)
    case equalsSignMissing(parameter: String)
    case valueMissing(parameter: String)
    case unterminatedQuote(parameter: String)
    case separatorMissing(at: Int)
    case parameterTwice(String)
    case tooManyParameters(limit: Int)
    case extendedValue(parameter: String)

    package var description: String {
        switch self {
        case .emptyValue: "the value is empty"
        case .notAMediaType: "the value is not a media type such as text/plain"
        case .nameExpected(let at): "a parameter name was expected at byte \(at)"
        case .equalsSignMissing(let name): "parameter \(name) has no equals sign"
        case .valueMissing(let name): "parameter \(name) has no value"
        case .unterminatedQuote(let name): "the quote of parameter \(name) is not closed"
        case .separatorMissing(let at): "a semicolon was expected at byte \(at)"
        case .parameterTwice(let name): "parameter \(name) is given twice"
        case .tooManyParameters(let limit): "more than \(limit) parameters"
        case .extendedValue(let name):
            "parameter \(name) must look like UTF-8''percent-encoded-text (RFC 8187)"
        }
    }
}

/// Reads `value; name=value; name="value"`, the form that Content-Type and Content-Disposition share.
///
/// Values are bytes, because file names are. A backslash in a quoted value escapes only the
/// characters RFC 2045 calls special, as in Go's `mime` package, so that `C:\data` stays what it is.
struct HeaderValueReader {
    static let parameterLimit = 32

    private let bytes: UnsafeRawBufferPointer
    private var at = 0
    private var parameterCount = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// The part before the first semicolon, in lower case.
    mutating func value() throws(HeaderValueError) -> [UInt8] {
        skipBlanks()
        let start = at
        while at < bytes.count, bytes[at] != UInt8(ascii: ";"), !isBlank(bytes[at]) { at += 1 }
        guard at > start else { throw .emptyValue }
        return bytes[start..<at].map(lowercased)
    }

    /// The next parameter with its name in lower case, or nil at the end.
    mutating func nextParameter() throws(HeaderValueError) -> (name: [UInt8], value: [UInt8])? {
        skipBlanks()
        guard at < bytes.count else { return nil }
        guard bytes[at] == UInt8(ascii: ";") else { throw .separatorMissing(at: at) }
        at += 1
        skipBlanks()
        guard at < bytes.count else { return nil }  // a semicolon at the end is harmless
        parameterCount += 1
        guard parameterCount <= Self.parameterLimit else {
            throw .tooManyParameters(limit: Self.parameterLimit)
        }
        let name = try parameterName()
        return (name, try parameterValue(of: name))
    }

    private mutating func parameterName() throws(HeaderValueError) -> [UInt8] {
        let start = at
        while at < bytes.count, isTokenByte(bytes[at]) { at += 1 }
        guard at > start else { throw .nameExpected(at: start) }
        let name = bytes[start..<at].map(lowercased)
        skipBlanks()
        guard at < bytes.count, bytes[at] == UInt8(ascii: "=") else {
            throw .equalsSignMissing(parameter: String(decoding: name, as: UTF8.self))
        }
        at += 1
        skipBlanks()
        return name
    }

    private mutating func parameterValue(of name: [UInt8]) throws(HeaderValueError) -> [UInt8] {
        if at < bytes.count, bytes[at] == UInt8(ascii: "\"") { return try quotedValue(of: name) }
        let start = at
        while at < bytes.count, isBareValueByte(bytes[at]) { at += 1 }
        guard at > start else {
            throw .valueMissing(parameter: String(decoding: name, as: UTF8.self))
        }
        return Array(bytes[start..<at])
    }

    private mutating func quotedValue(of name: [UInt8]) throws(HeaderValueError) -> [UInt8] {
        at += 1
        var value: [UInt8] = []
        value.reserveCapacity(bytes.count - at)
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            if byte == UInt8(ascii: "\"") { return value }
            if byte == UInt8(ascii: "\\"), at < bytes.count, isSpecial(bytes[at]) {
                value.append(bytes[at])
                at += 1
            } else {
                value.append(byte)
            }
        }
        throw .unterminatedQuote(parameter: String(decoding: name, as: UTF8.self))
    }

    private mutating func skipBlanks() {
        while at < bytes.count, isBlank(bytes[at]) { at += 1 }
    }
}

func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
}

/// A `tchar` of RFC 9110: what names and types are made of.
func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
    case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"),
        UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"),
        UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"), UInt8(ascii: "_"),
        UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
        true
    default: false
    }
}

/// More than a token: unquoted boundaries with `=` or `/` and unquoted UTF-8 names exist in the wild.
private func isBareValueByte(_ byte: UInt8) -> Bool {
    byte > 0x20 && byte != 0x7F && byte != UInt8(ascii: ";") && byte != UInt8(ascii: "\"")
}

/// The `tspecials` of RFC 2045.
private func isSpecial(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "<"), UInt8(ascii: ">"),
        UInt8(ascii: "@"), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: ":"),
        UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "/"), UInt8(ascii: "["),
        UInt8(ascii: "]"), UInt8(ascii: "?"), UInt8(ascii: "="):
        true
    default: false
    }
}

func lowercased(_ byte: UInt8) -> UInt8 {
    byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
}

extension UnsafeRawBufferPointer {
    /// ASCII comparison that ignores case; `lowercase` is already in lower case.
    func equalsIgnoringCase(_ lowercase: StaticString) -> Bool {
        count == lowercase.utf8CodeUnitCount
            && zip(self, UnsafeBufferPointer(start: lowercase.utf8Start, count: count))
                .allSatisfy { IngestAPI.lowercased($0) == $1 }
    }
}

extension [UInt8] {
    func equals(_ text: StaticString) -> Bool {
        elementsEqual(
            UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}

/// A media type with its parameters, as in `Content-Type`.
package struct MediaType: Equatable, Sendable {
    /// Type and subtype in lower case, such as `multipart/form-data`.
    package let essence: String
    /// Parameters in the order given; names in lower case and each at most once.
    package let parameters: [Parameter]

    package struct Parameter: Equatable, Sendable {
        package let name: String
        package let value: [UInt8]
    }

    /// Reads the value of a Content-Type field.
    ///
    /// - Throws: `HeaderValueError` for anything that is not `type/subtype` with well-formed parameters.
    package init(parsing bytes: UnsafeRawBufferPointer) throws(HeaderValueError) {
        var reader = HeaderValueReader(bytes)
        let essence = try reader.value()
        guard Self.isEssence(essence) else { throw .notAMediaType }
        var parameters: [Parameter] = []
        while let (name, value) = try reader.nextParameter() {
            let text = String(decoding: name, as: UTF8.self)
            guard !parameters.contains(where: { $0.name == text }) else {
                throw .parameterTwice(text)
            }
            parameters.append(Parameter(name: text, value: value))
        }
        self.essence = String(decoding: essence, as: UTF8.self)
        self.parameters = parameters
    }

    /// Reads the value of a Content-Type field.
    package init(parsing text: String) throws(HeaderValueError) {
        self = try Array(text.utf8).withBytes { bytes throws(HeaderValueError) in
            try MediaType(parsing: bytes)
        }
    }

    /// The value of a parameter; `name` is in lower case.
    package func parameter(_ name: String) -> [UInt8]? {
        parameters.first { $0.name == name }?.value
    }

    static func isEssence(_ bytes: [UInt8]) -> Bool {
        let halves = bytes.split(
            separator: UInt8(ascii: "/"), maxSplits: 1, omittingEmptySubsequences: false)
        return halves.count == 2
            && halves.allSatisfy { !$0.isEmpty && $0.allSatisfy(isTokenByte) }
    }
}

extension [UInt8] {
    /// `withUnsafeBytes` with a typed error.
    func withBytes<R, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        let result: Result<R, E> = withUnsafeBytes { bytes in
            Result { () throws(E) in try body(bytes) }
        }
        return try result.get()
    }
}

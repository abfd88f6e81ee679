extension CID: CustomStringConvertible {
    /// Reads a CID's text in any base we know: `Qm…`, or with the multibase characters
    /// b B z k K f F.
    package init(_ text: String) throws(CIDError) {
        let characters = Array(text.utf8)
        guard characters.count <= Self.maximumTextByteCount else {
            throw .textTooLong(byteCount: characters.count)
        }
        let isVersion0 =
            characters.count == 46 && characters[0] == UInt8(ascii: "Q")
            && characters[1] == UInt8(ascii: "m")
        let bytes: [UInt8]
        do {
            bytes =
                isVersion0
                ? try Multibase.base58btc.decodeBody(characters, from: 0)
                : try Multibase.decode(text)
        } catch {
            throw .malformedText(error)
        }
        self = try CID(bytes: bytes)
        if version == .v0, !isVersion0 { throw .versionZeroInMultibase }
    }

    /// The CID's text in `base`; version 0 has only its plain base58 form.
    ///
    /// - Throws: `versionZeroInMultibase` for a version 0 CID in another base than base58btc.
    package func text(_ base: Multibase) throws(CIDError) -> String {
        guard version == .v1 || base == .base58btc else { throw .versionZeroInMultibase }
        var text: [UInt8] = []
        appendText(base, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// The usual text: base58 for version 0, base32 for version 1, as Kubo prints them.
    package var description: String {
        var text: [UInt8] = []
        text.reserveCapacity(64)
        appendDescription(to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Appends the usual text as UTF-8, for those who print very many.
    package func appendDescription(to text: inout [UInt8]) {
        appendText(version == .v0 ? .base58btc : .base32, to: &text)
    }

    private func appendText(_ base: Multibase, to text: inout [UInt8]) {
        if version == .v1 { text.append(base.rawValue) }
        withUnsafeTemporaryAllocation(byteCount: Self.maximumByteCount, alignment: 1) { buffer in
            let count = write(to: buffer)
            base.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]), to: &text)
        }
    }
}

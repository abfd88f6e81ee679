/// How file bytes are cut into chunks, as written in `ipfs add --chunker`.
///
/// Forms: `size-N`, `rabin`, `rabin-AVG`, `rabin-MIN-AVG-MAX` (each number may carry its label:
/// `rabin-min:A-avg:B-max:C`), `buzhash`, and `default` or nothing for `size-262144`. Sizes are
/// decimal byte counts. The limits are those of boxo 0.42.
package struct ChunkerSpec: Equatable, Sendable, CustomStringConvertible {
    package enum Kind: Equatable, Sendable {
        case size(Int)
        case rabin(minimum: Int, average: Int, maximum: Int)
        case buzhash
    }

    package let kind: Kind

    /// The most bytes a chunk may have: 2 MiB, which is what peers accept as a block, less room for
    /// the framing of a leaf.
    package static let chunkByteCountLimit = 2_096_896

    /// 262144-byte chunks.
    package static let standard = ChunkerSpec(kind: .size(262_144))

    private init(kind: Kind) {
        self.kind = kind
    }

    /// - Throws: `ChunkerSpecError`, which names what was given and what is allowed.
    package init(parsing text: String) throws(ChunkerSpecError) {
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
            .map { String(Substring($0)) }
        switch (parts[0], parts.count) {
        case ("", 1), ("default", 1):
            self = .standard
        case ("size", _):
            self.init(kind: try Self.parseSize(parts, of: text))
        case ("rabin", _):
            self.init(kind: try Self.parseRabin(parts, of: text))
        case ("buzhash", 1):
            self.init(kind: .buzhash)
        default:
            throw .unknownChunker(given: text)
        }
    }

    /// A spec that `init(parsing:)` reads back as an equal value.
    package var description: String {
        switch kind {
        case .size(let byteCount): return "size-\(byteCount)"
        case .rabin(let minimum, let average, let maximum):
            let fromAverage = minimum == average / 3 && maximum == average + average / 2
            return fromAverage ? "rabin-\(average)" : "rabin-\(minimum)-\(average)-\(maximum)"
        case .buzhash: return "buzhash"
        }
    }

    /// Bytes that always suffice to tell where the first chunk ends.
    ///
    /// Never above `chunkByteCountLimit`, with one exception: `rabin-AVG` with an average below 48
    /// makes one chunk of the whole input, however long, because the reference program does (its
    /// skip counter underflows). Such a finder answers one byte above the limit for an input that
    /// does not fit; refusing that chunk is up to the caller.
    package var maximumChunkByteCount: Int {
        switch kind {
        case .size(let byteCount): byteCount
        case .rabin(_, _, let maximum): isUncut ? Self.chunkByteCountLimit + 1 : maximum
        case .buzhash: BuzhashBoundaryFinder.maximumChunkByteCount
        }
    }

    /// No chunk but the last of an input has fewer bytes.
    package var minimumChunkByteCount: Int {
        switch kind {
        case .size(let byteCount): byteCount
        case .rabin(let minimum, _, _): isUncut ? Self.chunkByteCountLimit + 1 : minimum
        case .buzhash: BuzhashBoundaryFinder.minimumChunkByteCount
        }
    }

    /// The finder keeps no state between calls, so one serves any number of inputs.
    package func makeBoundaryFinder() -> any ChunkBoundaryFinder {
        switch kind {
        case .size(let byteCount):
            return FixedSizeBoundaryFinder(chunkByteCount: byteCount)
        case .rabin(let minimum, let average, let maximum):
            if isUncut { return FixedSizeBoundaryFinder(chunkByteCount: maximumChunkByteCount) }
            return RabinBoundaryFinder(minimum: minimum, average: average, maximum: maximum)
        case .buzhash:
            return BuzhashBoundaryFinder()
        }
    }

    /// The minimum is smaller than the window, so the reference program never looks for a cut.
    private var isUncut: Bool {
        guard case .rabin(let minimum, _, _) = kind else { return false }
        return minimum < RabinHash.windowByteCount
    }

    private static func parseSize(
        _ parts: [String], of text: String
    ) throws(ChunkerSpecError) -> Kind {
        let form = "size-N"
        guard parts.count == 2 else { throw .malformed(given: text, form: form) }
        return .size(
            try number(parts[1], in: 1...chunkByteCountLimit, named: "N", of: text, form: form))
    }

    private static func parseRabin(
        _ parts: [String], of text: String
    ) throws(ChunkerSpecError) -> Kind {
        switch parts.count {
        case 1:
            return .rabin(minimum: 87381, average: 262_144, maximum: 393_216)
        case 2:
            let largest = (chunkByteCountLimit * 2 + 1) / 3  // AVG + AVG / 2 is then the limit
            let average = try number(
                parts[1], in: 1...largest, named: "AVG", of: text, form: "rabin-AVG")
            return .rabin(minimum: average / 3, average: average, maximum: average + average / 2)
        case 4:
            return try parseRabinSizes(parts.dropFirst(), of: text)
        default:
            throw .malformed(given: text, form: "rabin, rabin-AVG or rabin-MIN-AVG-MAX")
        }
    }

    private static func parseRabinSizes(
        _ parts: ArraySlice<String>, of text: String
    ) throws(ChunkerSpecError) -> Kind {
        let form = "rabin-MIN-AVG-MAX"
        var sizes: [Int] = []
        for (name, part) in zip(["MIN", "AVG", "MAX"], parts) {
            let digits = dropLabel(name.lowercased() + ":", from: part)
            sizes.append(
                try number(digits, in: 1...chunkByteCountLimit, named: name, of: text, form: form))
        }
        let (minimum, average, maximum) = (sizes[0], sizes[1], sizes[2])
        guard minimum < average, average < maximum else {
            throw .notAscending(
                given: text, minimum: minimum, average: average, maximum: maximum)
        }
        let allowed = RabinHash.windowByteCount...chunkByteCountLimit
        guard allowed.contains(minimum) else {
            throw .outOfRange(given: text, name: "MIN", form: form, allowed: allowed)
        }
        return .rabin(minimum: minimum, average: average, maximum: maximum)
    }

    private static func dropLabel(_ label: String, from part: String) -> String {
        part.hasPrefix(label) ? String(part.dropFirst(label.count)) : part
    }

    /// Digits only: no sign, no space, no exponent.
    private static func number(
        _ digits: String, in range: ClosedRange<Int>, named name: String, of text: String,
        form: String
    ) throws(ChunkerSpecError) -> Int {
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw .malformed(given: text, form: form)
        }
        guard let value = Int(digits), range.contains(value) else {
            throw .outOfRange(given: text, name: name, form: form, allowed: range)
        }
        return value
    }
}

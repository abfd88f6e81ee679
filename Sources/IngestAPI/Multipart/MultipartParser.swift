import CShims

/// A push parser for `multipart/form-data` (RFC 2046 section 5.1, RFC 7578).
///
/// It never holds a part: payload is handed out as slices of the input. What it keeps between two
/// pieces of input is how much of the boundary has been matched and, inside a part's header, that
/// header. All of it is in `state`, so parsing can go on in another process.
///
/// Before the first boundary a body may have a preamble, after the last an epilogue; both are
/// skipped. A line that begins like a boundary and goes on otherwise is payload, as in Go's
/// `mime/multipart`.
package struct MultipartParser: Sendable {
    package enum Event {
        case partBegin(PartHeader)
        /// At least one byte of the part's body; valid until the next call of the parser, or as
        /// long as the input is.
        case data(UnsafeRawBufferPointer)
        case partEnd
    }

    /// Everything the parser knows between two bytes of a body.
    package struct State: Equatable, Sendable, Codable {
        /// Bytes of the body taken in so far.
        package fileprivate(set) var bodyOffset: UInt64 = 0
        /// Parts begun so far.
        package fileprivate(set) var partCount = 0
        fileprivate var phase = Phase.preamble
        /// Bytes of CRLF, two hyphens, boundary and hyphen that the input ended with so far. A body
        /// begins as if a CRLF stood before it.
        fileprivate var matchedByteCount = 2
        /// How many of those were never in the input, or belong to the part's header.
        fileprivate var impliedByteCount = 2
        /// The header of a part that came in more than one piece.
        fileprivate var head: [UInt8] = []
        /// Bytes skipped in this phase.
        fileprivate var skippedByteCount = 0

        package init() {}
    }

    fileprivate enum Phase: UInt8, Codable {
        case preamble, boundaryPadding, boundaryLineFeed, head, body, finalPadding, epilogue
    }

    package let limits: MultipartLimits
    package private(set) var state: State
    private let delimiter: MultipartDelimiter

    package init(
        boundary: MultipartBoundary, limits: MultipartLimits = MultipartLimits(),
        resuming state: State = State()
    ) {
        self.limits = limits
        self.state = state
        delimiter = MultipartDelimiter(boundary)
    }

    /// Takes one piece of the body and hands out what is in it.
    ///
    /// - Throws: `MultipartError`, or what `emit` throws. After an error the parser is of no use.
    package mutating func parse(
        _ bytes: UnsafeRawBufferPointer, _ emit: (Event) throws -> Void
    ) throws {
        var input = bytes
        while let event = try next(&input) { try emit(event) }
    }

    /// The next event of `input`, which is moved past the bytes taken; nil when it is used up.
    ///
    /// Between two calls `state` is a point from which parsing can be resumed.
    package mutating func next(
        _ input: inout UnsafeRawBufferPointer
    ) throws(MultipartError) -> Event? {
        while let first = input.first {
            switch state.phase {
            case .preamble, .body:
                if let event = try scan(&input) { return event }
            case .boundaryPadding:
                try readBoundaryPadding(first, &input)
            case .boundaryLineFeed:
                guard first == lineFeed else { throw error(.textAfterBoundary) }
                consume(1, &input)
                state.phase = .head
            case .head:
                if let event = try readHead(&input) { return event }
            case .finalPadding:
                try readFinalPadding(first, &input)
            case .epilogue:
                try skip(input.count, orThrow: .epilogueTooLong(limit: limits.skippedByteCount))
                consume(input.count, &input)
            }
        }
        return nil
    }

    /// Must be called when the body has ended; tells a whole body from one that was cut.
    package func finish() throws(MultipartError) {
        switch state.phase {
        case .finalPadding, .epilogue:
            return
        case .preamble where state.bodyOffset == 0:
            throw error(.emptyBody)
        case .preamble where holdsBytes, .body where holdsBytes:
            throw error(.bodyCutInBoundary)
        case .preamble:
            throw error(.boundaryNotFound(skippedByteCount: Int(state.bodyOffset)))
        case .boundaryPadding, .boundaryLineFeed:
            throw error(.bodyCutInBoundary)
        case .head:
            throw error(hasBareLineFeed(state.head) ? .bareLineFeed : .bodyCutInHead)
        case .body:
            throw error(.finalBoundaryMissing)
        }
    }

    // MARK: - Looking for the boundary

    private mutating func scan(
        _ input: inout UnsafeRawBufferPointer
    ) throws(MultipartError) -> Event? {
        if state.matchedByteCount > 0 { return try continueMatch(&input) }
        let payload: UnsafeRawBufferPointer
        if let found = delimiter.firstOffset(in: input) {
            payload = UnsafeRawBufferPointer(rebasing: input[..<found])
            state.matchedByteCount = delimiter.count
            consume(found + delimiter.count, &input)
        } else {
            let tail = delimiter.matchingSuffixByteCount(of: input)
            payload = UnsafeRawBufferPointer(rebasing: input[..<(input.count - tail)])
            state.matchedByteCount = tail
            consume(input.count, &input)
        }
        return try deliver(payload)
    }

    /// Goes on comparing where the last piece ended. CR stands only at the delimiter's start, so
    /// when the comparison fails no other match can begin in what was held back.
    private mutating func continueMatch(
        _ input: inout UnsafeRawBufferPointer
    ) throws(MultipartError) -> Event? {
        if state.matchedByteCount < delimiter.count {
            let count = min(delimiter.count - state.matchedByteCount, input.count)
            guard delimiter.continues(at: state.matchedByteCount, with: input, count: count) else {
                return try releaseHeldBytes()
            }
            state.matchedByteCount += count
            consume(count, &input)
            return nil
        }
        if state.matchedByteCount == delimiter.count {
            switch input[0] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), carriageReturn, lineFeed:
                return endPart(.boundaryPadding)
            case UInt8(ascii: "-"):
                state.matchedByteCount += 1
                consume(1, &input)
                return nil
            default:
                return try releaseHeldBytes()
            }
        }
        guard input[0] == UInt8(ascii: "-") else { return try releaseHeldBytes() }
        consume(1, &input)
        return endPart(.finalPadding)
    }

    private mutating func releaseHeldBytes() throws(MultipartError) -> Event? {
        let held = delimiter.bytes(state.impliedByteCount..<state.matchedByteCount)
        state.matchedByteCount = 0
        state.impliedByteCount = 0
        return try deliver(held)
    }

    private mutating func deliver(
        _ payload: UnsafeRawBufferPointer
    ) throws(MultipartError) -> Event? {
        if state.phase == .body { return payload.isEmpty ? nil : .data(payload) }
        try skip(
            payload.count,
            orThrow: .boundaryNotFound(skippedByteCount: state.skippedByteCount + payload.count))
        return nil
    }

    private mutating func endPart(_ next: Phase) -> Event? {
        let wasInPart = state.phase == .body
        state.phase = next
        state.matchedByteCount = 0
        state.impliedByteCount = 0
        state.skippedByteCount = 0
        return wasInPart ? .partEnd : nil
    }

    // MARK: - After a boundary

    private mutating func readBoundaryPadding(
        _ byte: UInt8, _ input: inout UnsafeRawBufferPointer
    ) throws(MultipartError) {
        switch byte {
        case UInt8(ascii: " "), UInt8(ascii: "\t"):
            try skipPadding()
        case carriageReturn:
            state.phase = .boundaryLineFeed
        case lineFeed:
            throw error(.bareLineFeed)
        default:
            throw error(.textAfterBoundary)
        }
        consume(1, &input)
    }

    private mutating func readFinalPadding(
        _ byte: UInt8, _ input: inout UnsafeRawBufferPointer
    ) throws(MultipartError) {
        switch byte {
        case UInt8(ascii: " "), UInt8(ascii: "\t"):
            try skipPadding()
        case carriageReturn, lineFeed:
            state.phase = .epilogue
            state.skippedByteCount = 0
        default:
            throw error(.textAfterBoundary)
        }
        consume(1, &input)
    }

    private mutating func skipPadding() throws(MultipartError) {
        state.skippedByteCount += 1
        guard state.skippedByteCount <= limits.paddingByteCount else {
            throw error(.paddingTooLong(limit: limits.paddingByteCount))
        }
    }

    private mutating func skip(
        _ count: Int, orThrow problem: MultipartProblem
    ) throws(MultipartError) {
        state.skippedByteCount += count
        guard state.skippedByteCount <= limits.skippedByteCount else { throw error(problem) }
    }

    // MARK: - The header of a part

    private mutating func readHead(
        _ input: inout UnsafeRawBufferPointer
    ) throws(MultipartError) -> Event? {
        if state.head.isEmpty, let end = headEnd(in: input) {
            let head = UnsafeRawBufferPointer(rebasing: input[..<end])
            let event = try beginPart(head)
            consume(end + 4, &input)
            return event
        }
        return try collectHead(&input)
    }

    /// A header that is not whole in one piece of input is put together in `state.head`.
    private mutating func collectHead(
        _ input: inout UnsafeRawBufferPointer
    ) throws(MultipartError) -> Event? {
        let known = state.head.count
        let taken = min(limits.headByteCount + 4 - known, input.count)
        state.head.append(contentsOf: input[..<taken])
        if state.head.withUnsafeBytes(startsWithEmptyLine) { throw error(.headMissing) }
        guard let end = endOfCollectedHead(searchingFrom: max(0, known - 3)) else {
            consume(taken, &input)
            if state.head.count < limits.headByteCount + 4 { return nil }
            throw error(
                hasBareLineFeed(state.head)
                    ? .bareLineFeed : .headTooLong(limit: limits.headByteCount))
        }
        let head = state.head
        state.head = []
        let event = try head.withBytes { bytes throws(MultipartError) in
            try beginPart(UnsafeRawBufferPointer(rebasing: bytes[..<end]))
        }
        consume(end + 4 - known, &input)
        return event
    }

    private func endOfCollectedHead(searchingFrom start: Int) -> Int? {
        state.head.withUnsafeBytes { head in
            headEnd(in: UnsafeRawBufferPointer(rebasing: head[start...])).map { $0 + start }
        }
    }

    /// Where the empty line that ends a header begins; no further than the limit allows.
    private func headEnd(in bytes: UnsafeRawBufferPointer) -> Int? {
        let searched = bytes.prefix(limits.headByteCount + 4)
        return firstOffset(
            of: "\r\n\r\n", in: UnsafeRawBufferPointer(rebasing: searched))
    }

    private mutating func beginPart(
        _ head: UnsafeRawBufferPointer
    ) throws(MultipartError) -> Event {
        state.partCount += 1
        guard state.partCount <= limits.partCount else {
            throw error(.tooManyParts(limit: limits.partCount))
        }
        if head.isEmpty || startsWithEmptyLine(head) {
            throw error(.headMissing)
        }
        let header: PartHeader
        do {
            header = try PartHeader(parsing: head, limits)
        } catch {
            throw self.error(error)
        }
        state.phase = .body
        state.matchedByteCount = 2  // an empty part may be followed by its boundary at once
        state.impliedByteCount = 2
        return .partBegin(header)
    }

    // MARK: - Small change

    /// The input ended with more of a boundary line than the CRLF before it.
    private var holdsBytes: Bool { state.matchedByteCount > 2 }

    private mutating func consume(_ count: Int, _ input: inout UnsafeRawBufferPointer) {
        state.bodyOffset += UInt64(count)
        input = UnsafeRawBufferPointer(rebasing: input[count...])
    }

    private func error(_ problem: MultipartProblem) -> MultipartError {
        MultipartError(
            problem: problem, bodyOffset: state.bodyOffset, partNumber: state.partCount)
    }

    private func hasBareLineFeed(_ head: [UInt8]) -> Bool {
        zip([0] + head, head).contains { $0 != carriageReturn && $1 == lineFeed }
    }
}

private let carriageReturn = UInt8(ascii: "\r")
private let lineFeed = UInt8(ascii: "\n")

private func startsWithEmptyLine(_ head: UnsafeRawBufferPointer) -> Bool {
    head.count >= 2 && head[0] == carriageReturn && head[1] == lineFeed
}

private func firstOffset(of text: StaticString, in bytes: UnsafeRawBufferPointer) -> Int? {
    guard let start = bytes.baseAddress,
        let found = cshims_memmem(start, bytes.count, text.utf8Start, text.utf8CodeUnitCount)
    else { return nil }
    return found - start
}

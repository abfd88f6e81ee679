/// Reads a CARv1 or CARv2 that arrives in pieces of any size.
///
/// It holds one block at most. Of a CARv2 it reads the CARv1 inside and passes over padding and
/// index. It does not check blocks against their CIDs: that is left to `BlockVerifier`, which
/// may run elsewhere.
package struct CARReader {
    package enum Event: Equatable, Sendable {
        /// Comes first, once.
        case header(CARHeader)
        case section(Section)
    }

    package struct Section: Equatable, Sendable {
        package let cid: CID
        package let block: [UInt8]
        /// Where the section's length starts, from the start of the CARv1: what an index holds.
        package let offset: UInt64
    }

    /// The longest header read, in bytes: roots for any real purpose.
    package static let maximumHeaderByteCount = 1 << 20
    /// The largest block read, in bytes: what IPFS programs exchange.
    package static let maximumBlockByteCount = 2 << 20
    /// The length from which a section is taken for damage, in bytes.
    package static let maximumSectionByteCount = 32 << 20

    fileprivate enum Phase: Equatable, Codable {
        case headerLength
        case header(byteCount: Int)
        case v2Header
        case padding
        case sectionHead
        case block(BinaryCID, byteCount: Int, sectionOffset: UInt64)
        /// Behind the data of a CARv2.
        case ended
    }

    /// Kept as its bytes: the text of an identity CID may be longer than a text is read.
    fileprivate struct BinaryCID: Equatable, Codable {
        let cid: CID

        init(_ cid: CID) { self.cid = cid }

        init(from decoder: any Decoder) throws {
            cid = try CID(bytes: try [UInt8](from: decoder))
        }

        func encode(to encoder: any Encoder) throws {
            var bytes: [UInt8] = []
            cid.append(to: &bytes)
            try bytes.encode(to: encoder)
        }
    }

    /// Where the reading stands between two calls, but for the bytes in `pending`.
    package struct State: Equatable, Sendable, Codable {
        fileprivate var phase = Phase.headerLength
        fileprivate var position: UInt64 = 0
        fileprivate var itemOffset: UInt64 = 0
        fileprivate var v2Header: CARv2.Header?

        package init() {}
    }

    private var phase: Phase
    /// What has arrived of the present header, section head or block.
    package private(set) var pending: [UInt8]
    /// How many bytes were taken from the input, those in `pending` included.
    private var position: UInt64
    /// Where the present header or section started.
    private var itemOffset: UInt64
    private var v2Header: CARv2.Header?

    /// - Parameters:
    ///   - state: Where another reader stood, which this one goes on from.
    ///   - pending: That of the other reader.
    package init(resuming state: State = State(), pending: [UInt8] = []) {
        (phase, position) = (state.phase, state.position)
        (itemOffset, v2Header) = (state.itemOffset, state.v2Header)
        self.pending = pending
    }

    package var state: State {
        var state = State()
        (state.phase, state.position) = (phase, position)
        (state.itemOffset, state.v2Header) = (itemOffset, v2Header)
        return state
    }

    /// Takes bytes off the front of `input` until there is something to report or nothing is left.
    ///
    /// - Returns: `nil` when `input` is used up.
    /// - Throws: At the first fault; the reader is of no use after that.
    package mutating func next(
        from input: inout UnsafeRawBufferPointer
    ) throws(CARError) -> Event? {
        while true {
            switch phase {
            case .headerLength:
                guard try readHeaderLength(from: &input) else { return nil }
            case .header(let byteCount):
                guard fillPending(byteCount, from: &input) else { return nil }
                if let header = try readHeader() { return .header(header) }
            case .v2Header:
                guard fillPending(CARv2.Header.byteCount, from: &input) else { return nil }
                try readV2Header()
            case .padding:
                guard skipPadding(from: &input) else { return nil }
            case .sectionHead:
                guard try readSectionHead(from: &input) else { return nil }
            case .block(let cid, let byteCount, let sectionOffset):
                guard fillPending(byteCount, from: &input) else { return nil }
                let section = Section(
                    cid: cid.cid, block: pending, offset: sectionOffset - payloadOffset)
                pending = []
                beginSection()
                return .section(section)
            case .ended:
                take(input.count, from: &input)
                return nil
            }
        }
    }

    /// Everything that `bytes` completes, in order.
    package mutating func feed(_ bytes: UnsafeRawBufferPointer) throws(CARError) -> [Event] {
        var events: [Event] = []
        var rest = bytes
        while let event = try next(from: &rest) { events.append(event) }
        return events
    }

    /// Says that no more bytes will come.
    ///
    /// - Throws: When the CAR is not complete.
    package func finish() throws(CARError) {
        switch phase {
        case .headerLength:
            guard position > 0 else { throw .empty }
            if let dataEnd, pending.isEmpty {
                throw .v2DataCut(dataEnd: dataEnd, fileByteCount: position)
            }
            throw .lengthCut(offset: itemOffset)
        case .header(let byteCount):
            throw .headerCut(expected: UInt64(byteCount), found: UInt64(pending.count))
        case .v2Header: throw .v2HeaderCut(found: position)
        case .padding:
            throw .v2DataOffsetBeyondEnd(dataOffset: payloadOffset, fileByteCount: position)
        case .sectionHead:
            if !pending.isEmpty {
                let lengthEnded = pending.contains { $0 < 0x80 }
                throw lengthEnded
                    ? .sectionCutInCID(offset: itemOffset) : .lengthCut(offset: itemOffset)
            }
            if let dataEnd { throw .v2DataCut(dataEnd: dataEnd, fileByteCount: position) }
        case .block(let cid, let byteCount, let sectionOffset):
            throw .sectionCut(
                cid.cid, expected: UInt64(byteCount), found: UInt64(pending.count),
                offset: sectionOffset)
        case .ended: return
        }
    }

    // MARK: Headers

    /// Start of the CARv1 in the file.
    private var payloadOffset: UInt64 { v2Header?.dataOffset ?? 0 }

    /// End of the CARv1 in the file where a CARv2 header says it.
    private var dataEnd: UInt64? { v2Header.map { $0.dataOffset + $0.dataByteCount } }

    private mutating func readHeaderLength(
        from input: inout UnsafeRawBufferPointer
    ) throws(CARError) -> Bool {
        let itemOffset = itemOffset
        let length: UInt64? = try readHead(from: &input) { (bytes) throws(CARError) in
            var offset = 0
            return (try Self.length(bytes, at: &offset, itemOffset: itemOffset), offset)
        }
        guard let length else { return false }
        guard length > 0, length <= UInt64(Self.maximumHeaderByteCount) else {
            throw length == 0
                ? .headerMalformed(.notCBOR(.truncated(offset: 0)), offset: itemOffset)
                : .headerTooLong(
                    byteCount: length, limit: Self.maximumHeaderByteCount, offset: itemOffset)
        }
        if let dataEnd, length > dataEnd - min(position, dataEnd) {
            throw .itemBeyondData(byteCount: length, dataEnd: dataEnd, offset: itemOffset)
        }
        phase = .header(byteCount: Int(length))
        return true
    }

    /// The header in `pending`; `nil` when it is the pragma of a CARv2.
    private mutating func readHeader() throws(CARError) -> CARHeader? {
        let header: CARHeader
        do {
            header = try pending.withUnsafeBufferPointer { (bytes) throws(CARHeaderError) in
                try CARHeader(decoding: UnsafeRawBufferPointer(bytes))
            }
        } catch {
            throw .headerMalformed(error, offset: itemOffset)
        }
        if header.version == 2, v2Header == nil, pending == Array(CARv2.pragma[1...]) {
            pending = CARv2.pragma
            phase = .v2Header
            return nil
        }
        guard header.version == 1 else {
            throw .unsupportedVersion(header.version, offset: itemOffset)
        }
        pending = []
        beginSection()
        return header
    }

    private mutating func readV2Header() throws(CARError) {
        v2Header = try pending.withUnsafeBufferPointer { (bytes) throws(CARError) in
            try CARv2.Header(decoding: UnsafeRawBufferPointer(bytes))
        }
        pending = []
        phase = .padding
    }

    private mutating func skipPadding(from input: inout UnsafeRawBufferPointer) -> Bool {
        let missing = payloadOffset - position
        take(Int(min(missing, UInt64(input.count))), from: &input)
        guard position == payloadOffset else { return false }
        itemOffset = position
        phase = .headerLength
        return true
    }

    // MARK: Sections

    private mutating func beginSection() {
        itemOffset = position
        phase = position == dataEnd ? .ended : .sectionHead
    }

    private mutating func readSectionHead(
        from input: inout UnsafeRawBufferPointer
    ) throws(CARError) -> Bool {
        let itemOffset = itemOffset
        let dataEnd = dataEnd
        let head: (CID, UInt64)? = try readHead(from: &input) { (bytes) throws(CARError) in
            try Self.sectionHead(bytes, itemOffset: itemOffset, dataEnd: dataEnd)
        }
        guard let (cid, blockByteCount) = head else { return false }
        guard cid.hashFunction.isAvailable else {
            throw .unavailableHash(cid.hashFunction, cid, offset: itemOffset)
        }
        guard blockByteCount <= UInt64(Self.maximumBlockByteCount) else {
            throw .blockTooLarge(
                cid, byteCount: blockByteCount, limit: Self.maximumBlockByteCount,
                offset: itemOffset)
        }
        pending.reserveCapacity(Int(blockByteCount))
        phase = .block(
            BinaryCID(cid), byteCount: Int(blockByteCount), sectionOffset: itemOffset)
        return true
    }

    /// The CID and the block length that `bytes` start with, and how many bytes they take.
    private static func sectionHead(
        _ bytes: UnsafeRawBufferPointer, itemOffset: UInt64, dataEnd: UInt64?
    ) throws(CARError) -> ((CID, UInt64)?, Int) {
        var offset = 0
        guard let length = try Self.length(bytes, at: &offset, itemOffset: itemOffset) else {
            return (nil, 0)
        }
        try checkSection(length, offset, itemOffset: itemOffset, dataEnd: dataEnd)
        let sectionEnd = offset + Int(length)
        let window = UnsafeRawBufferPointer(rebasing: bytes[..<min(sectionEnd, bytes.count)])
        do {
            let cid = try CID.decode(window, at: &offset)
            return ((cid, UInt64(sectionEnd - offset)), offset)
        } catch {
            if error == .truncated, bytes.count < sectionEnd { return (nil, 0) }
            throw .cidMalformed(error, offset: itemOffset)
        }
    }

    private static func checkSection(
        _ length: UInt64, _ lengthByteCount: Int, itemOffset: UInt64, dataEnd: UInt64?
    ) throws(CARError) {
        if length == 0 { throw .sectionEmpty(offset: itemOffset) }
        if length > UInt64(maximumSectionByteCount) {
            throw .sectionTooLong(
                byteCount: length, limit: maximumSectionByteCount, offset: itemOffset)
        }
        let contentOffset = itemOffset + UInt64(lengthByteCount)
        if let dataEnd, length > dataEnd - min(contentOffset, dataEnd) {
            throw .itemBeyondData(byteCount: length, dataEnd: dataEnd, offset: itemOffset)
        }
    }

    // MARK: Taking bytes

    /// The length of a header or section; `nil` when it goes on behind `bytes`.
    private static func length(
        _ bytes: UnsafeRawBufferPointer, at offset: inout Int, itemOffset: UInt64
    ) throws(CARError) -> UInt64? {
        do {
            return try Varint.decodeMinimal(bytes, at: &offset)
        } catch .truncated {
            return nil
        } catch {
            throw .lengthMalformed(error, offset: itemOffset)
        }
    }

    /// Reads something short at the front of `input` and takes it off. What a piece breaks in
    /// two is put together in `pending`.
    ///
    /// - Parameter parse: Returns the value and how many bytes it takes, or `nil` when it goes on
    ///   behind the bytes it was given.
    private mutating func readHead<Value>(
        from input: inout UnsafeRawBufferPointer,
        _ parse: (UnsafeRawBufferPointer) throws(CARError) -> (Value?, Int)
    ) throws(CARError) -> Value? {
        if pending.isEmpty {
            let (value, byteCount) = try parse(input)
            if let value {
                take(byteCount, from: &input)
                return value
            }
            pending.append(contentsOf: input)
            take(input.count, from: &input)
            return nil
        }
        while !input.isEmpty {
            pending.append(input[0])
            take(1, from: &input)
            let (value, _) = try pending.withUnsafeBufferPointer { (bytes) throws(CARError) in
                try parse(UnsafeRawBufferPointer(bytes))
            }
            if let value {
                pending = []
                return value
            }
        }
        return nil
    }

    /// Moves bytes from `input` to `pending` and says whether that now has `byteCount` bytes.
    private mutating func fillPending(
        _ byteCount: Int, from input: inout UnsafeRawBufferPointer
    ) -> Bool {
        let count = min(byteCount - pending.count, input.count)
        pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: input[..<count]))
        take(count, from: &input)
        return pending.count == byteCount
    }

    private mutating func take(_ count: Int, from input: inout UnsafeRawBufferPointer) {
        input = UnsafeRawBufferPointer(rebasing: input[count...])
        position += UInt64(count)
    }
}

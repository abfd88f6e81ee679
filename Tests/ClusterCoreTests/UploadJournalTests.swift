import PosixIO
import Testing

@testable import ClusterCore

struct UploadJournalTests {
    private let fixture: StoreFixture
    private var path: String { fixture.directory + "/journal" }

    init() throws {
        fixture = try StoreFixture()
    }

    /// A content of which ever more is cut into chunks, in checkpoints of 1000 bytes.
    private static func checkpoints(_ count: Int) -> [UploadCheckpoint] {
        var chunkedByteCount = 0
        return (1...count).map { number in
            let end = number * 1000
            if number.isMultiple(of: 4) { chunkedByteCount = end - 700 }
            return UploadCheckpoint(
                offset: end + 200, contentByteCount: end, records: [UInt8(number), 7],
                reader: Array("\(number)".utf8),
                tail: (chunkedByteCount..<end).map { UInt8(truncatingIfNeeded: $0 &* 31) },
                rest: [UInt8](repeating: 9, count: number))
        }
    }

    private func load() throws -> [UploadCheckpoint] {
        let journal = try UploadJournal.open(path)
        #expect(journal.opening == [1, 2, 3])
        var found: [UploadCheckpoint] = []
        while let checkpoint = try journal.next() { found.append(checkpoint) }
        return found
    }

    @Test func whatWasAppendedIsReadWithWholeTails() throws {
        let wanted = Self.checkpoints(10)
        let journal = try UploadJournal.create(path, opening: [1, 2, 3])
        for checkpoint in wanted { try journal.append(checkpoint) }
        #expect(try load() == wanted)
        let byteCount = try FileSystem.loadFile(path).count
        #expect(byteCount < 10 * 1000 + 10 * 100, "each byte of a tail is there once")
    }

    @Test func aJournalThatWasReadGoesOn() throws {
        let wanted = Self.checkpoints(10)
        let journal = try UploadJournal.create(path, opening: [1, 2, 3])
        for checkpoint in wanted.prefix(5) { try journal.append(checkpoint) }
        let again = try UploadJournal.open(path)
        while try again.next() != nil {}
        for checkpoint in wanted.dropFirst(5) { try again.append(checkpoint) }
        #expect(try load() == wanted)
    }

    @Test func theBytesOfAJournalAreThese() throws {
        let wanted = [
            UploadCheckpoint(
                offset: 12, contentByteCount: 10, records: [0xA1], reader: Array("{}".utf8),
                tail: [1, 2, 3, 4], rest: [9]),
            UploadCheckpoint(
                offset: 14, contentByteCount: 12, records: [], reader: Array("{}".utf8),
                tail: [3, 4, 5, 6], rest: []),
            UploadCheckpoint(
                offset: 300, contentByteCount: 290, records: [UInt8](repeating: 7, count: 40),
                reader: [], tail: [], rest: [8, 8]),
        ]
        let journal = try UploadJournal.create(path, opening: [1, 2, 3])
        for checkpoint in wanted { try journal.append(checkpoint) }
        let written = try FileSystem.loadFile(path)
        let golden = try GoldenFile.bytes("upload-journal.hex", written)
        #expect(written == golden)
        try FileSystem.saveFile(path, golden)
        #expect(try load() == wanted)
    }

    @Test func theBytesOfAClosedJournalAreThese() throws {
        let journal = try UploadJournal.create(path, opening: [1, 2, 3])
        for checkpoint in Self.checkpoints(3) { try journal.append(checkpoint) }
        try journal.close(offset: 3210)
        let written = try FileSystem.loadFile(path)
        let golden = try GoldenFile.bytes("upload-journal-closed.hex", written)
        #expect(written == golden)
        try FileSystem.saveFile(path, golden)
        #expect(try UploadJournal.loadEnd(path).offset == 3210)
    }

    /// Power may go at any byte of an append.
    @Test func aCutAtAnyByteLosesTheLastCheckpointAlone() throws {
        let wanted = Self.checkpoints(3)
        let journal = try UploadJournal.create(path, opening: [1, 2, 3])
        for checkpoint in wanted.dropLast() { try journal.append(checkpoint) }
        let before = try FileSystem.loadFile(path).count
        try journal.append(wanted[2])
        let whole = try FileSystem.loadFile(path)
        for byteCount in before..<whole.count {
            try FileSystem.saveFile(path, Array(whole[..<byteCount]))
            #expect(try load() == wanted.dropLast(), "cut at byte \(byteCount)")
            #expect(try FileSystem.loadFile(path).count == before)
        }
        let zeros = [UInt8](repeating: 0, count: 4096)
        try FileSystem.saveFile(path, Array(whole[..<before]) + zeros)
        #expect(try load() == wanted.dropLast())
    }

    /// Parts of a write reach the disk in any order.
    @Test func aLastFrameThatIsTornAnywhereIsDropped() throws {
        let wanted = Self.checkpoints(3)
        let journal = try UploadJournal.create(path, opening: [1, 2, 3])
        for checkpoint in wanted.dropLast() { try journal.append(checkpoint) }
        let start = try FileSystem.loadFile(path).count
        try journal.append(wanted[2])
        let whole = try FileSystem.loadFile(path)
        for offset in start..<whole.count {
            var bytes = whole
            bytes[offset] ^= 0x20
            try FileSystem.saveFile(path, bytes)
            #expect(try load() == wanted.dropLast(), "byte \(offset)")
            var zeroed = whole
            for index in start...offset { zeroed[index] = 0 }
            try FileSystem.saveFile(path, zeroed)
            #expect(try load() == wanted.dropLast(), "zeros up to byte \(offset)")
        }
    }

    @Test func whatIsReplacedCountsAlsoAfterTheJournalWasOpenedAgain() throws {
        let tailByteCount = 1 << 20
        _ = try UploadJournal.create(path, opening: [1, 2, 3])
        for number in 1...100 {
            let journal = try UploadJournal.open(path)
            while try journal.next() != nil {}
            try journal.append(
                UploadCheckpoint(
                    offset: number * tailByteCount, contentByteCount: number * tailByteCount,
                    records: [], reader: [],
                    tail: [UInt8](repeating: UInt8(number), count: tailByteCount), rest: []))
        }
        let byteCount = try FileDescriptor(path, for: .read).loadByteCount()
        #expect(byteCount < UploadJournal.wasteByteLimit)
    }

    @Test func aDamagedByteBeforeTheLastCheckpointIsNamed() throws {
        let journal = try UploadJournal.create(path, opening: [1, 2, 3])
        for checkpoint in Self.checkpoints(2) { try journal.append(checkpoint) }
        let end = try FileSystem.loadFile(path).count
        try journal.append(Self.checkpoints(3)[2])
        let whole = try FileSystem.loadFile(path)
        for offset in 0..<end {
            var bytes = whole
            bytes[offset] ^= 0x20
            try FileSystem.saveFile(path, bytes)
            #expect(throws: UploadJournalError.self, "byte \(offset)") { _ = try load() }
        }
    }

    @Test func aJournalOfManyReplacedTailsIsWrittenAnew() throws {
        let journal = try UploadJournal.create(path, opening: [1, 2, 3])
        let tailByteCount = 1 << 20
        var wanted: [UploadCheckpoint] = []
        for number in 1...100 {
            let checkpoint = UploadCheckpoint(
                offset: number * tailByteCount, contentByteCount: number * tailByteCount,
                records: [UInt8(number)], reader: [],
                tail: [UInt8](repeating: UInt8(number), count: tailByteCount), rest: [])
            try journal.append(checkpoint)
            wanted.append(checkpoint)
        }
        let byteCount = try FileDescriptor(path, for: .read).loadByteCount()
        #expect(byteCount < UploadJournal.wasteByteLimit)
        let found = try load()
        #expect(found.map(\.records) == wanted.map(\.records))
        #expect(found.last == wanted.last)
    }

    @Test func aClosedJournalTellsTheOffsetAlone() throws {
        let journal = try UploadJournal.create(path, opening: [1, 2, 3])
        for checkpoint in Self.checkpoints(3) { try journal.append(checkpoint) }
        #expect(try UploadJournal.loadEnd(path).offset == 3200)
        try journal.close(offset: 3210)
        #expect(try UploadJournal.loadEnd(path).offset == 3210)
        #expect(try load().map(\.records) == [[]])
    }

    @Test func aLongJournalOfWhatIsCompleteIsClosedLater() throws {
        let journal = try UploadJournal.create(path, opening: [1, 2, 3])
        for checkpoint in Self.checkpoints(3) { try journal.append(checkpoint) }
        try UploadJournal.closeIfNeeded(path)
        let closed = try FileSystem.loadFile(path)
        #expect(try UploadJournal.loadEnd(path).offset == 3200)
        #expect(try load().map(\.records) == [[]])
        try UploadJournal.closeIfNeeded(path)
        #expect(try FileSystem.loadFile(path) == closed)
    }

    @Test func aJournalThatWasNotBegunIsDamaged() throws {
        try FileSystem.saveFile(path, [1, 0, 0])
        #expect(throws: UploadJournalError.self) { _ = try UploadJournal.open(path) }
    }
}

import ShardPlanner
import Testing

@testable import ClusterCore

struct SpoolTests {
    private struct Full: Error, Equatable {
        var waitingByteCount: Int
    }

    private let spool = Spool()

    private func name(_ number: Int) -> Spool.Name {
        Spool.Name(upload: UploadID.random(), number: number)
    }

    /// Takes space on a disk with room for 100 bytes.
    private func take(
        _ byteCount: Int, for name: Spool.Name, beside written: [Spool.Name: Int] = [:]
    ) throws -> SpoolSpace {
        let space = SpoolSpace(name, of: spool)
        try spool.raise(name, to: byteCount, beside: written) { waiting in
            if waiting > 100 { throw Full(waitingByteCount: waiting) }
        }
        return space
    }

    @Test func whatFitsAloneButNotTogetherIsRefusedTheSecondTime() throws {
        let first = try take(60, for: name(0))
        #expect(throws: Full(waitingByteCount: 120)) { try take(60, for: name(1)) }
        #expect(spool.waitingByteCount(beside: [:]) == 60)
        first.release()
        _ = try take(60, for: name(1))
    }

    @Test func whatGoesGivesItsSpaceBack() throws {
        do { _ = try take(60, for: name(0)) }
        #expect(spool.waitingByteCount(beside: [:]) == 0)
    }

    @Test func writtenBytesWaitForNoSpace() throws {
        let (one, other) = (name(0), name(1))
        let spaces = [try take(90, for: one), try take(60, for: other, beside: [one: 50])]
        #expect(spool.waitingByteCount(beside: [one: 95, other: 20, name(2): 70]) == 40)
        spaces[1].end(at: 30)
        #expect(spool.waitingByteCount(beside: [one: 95, other: 20]) == 10)
    }

    @Test func aRefusedRaiseLeavesWhatThereWas() throws {
        let shard = name(0)
        let space = try take(60, for: shard)
        #expect(throws: Full.self) {
            try spool.raise(shard, to: 101, beside: [:]) { _ in throw Full(waitingByteCount: 101) }
        }
        #expect(spool.waitingByteCount(beside: [:]) == 60)
        withExtendedLifetime(space) {}
    }

    @Test func releasingTwiceTakesNothingFromWhoCameNext() throws {
        let shard = name(0)
        let former = try take(60, for: shard)
        former.release()
        let next = try take(50, for: shard)
        former.release()
        #expect(spool.waitingByteCount(beside: [:]) == 50)
        withExtendedLifetime(next) {}
    }
}

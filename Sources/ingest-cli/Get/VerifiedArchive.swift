import IngestClient
import Multiformats
import PosixIO

/// The blocks of a CAR in the order they arrive, each verified against its CID. Workers verify
/// while more blocks arrive.
struct VerifiedArchive {
    /// Bytes that have arrived and not been taken.
    private static let windowByteCount = 8 << 20

    private struct Batch {
        let sections: [CARReader.Section]
        let byteCount: Int
        let verification: Completion<Void>
    }

    private var stream: ContentStream
    private let workers: WorkerPool
    private let meter: ProgressMeter
    private var reader = CARReader()
    private var underWay: [Batch] = []
    private var waitingByteCount = 0
    private var isEnded = false
    private var ready: ArraySlice<CARReader.Section> = []

    init(_ stream: ContentStream, workers: WorkerPool, meter: ProgressMeter) {
        self.stream = stream
        self.workers = workers
        self.meter = meter
    }

    /// The next block; `nil` when the archive is complete and all blocks were taken.
    ///
    /// - Throws: `VerificationError.wrongBytes`, or what is wrong with the archive or connection.
    mutating func next() async throws -> CARReader.Section? {
        while ready.isEmpty {
            try await receive()
            guard !underWay.isEmpty else { return nil }
            let batch = underWay.removeFirst()
            try await batch.verification.value()
            waitingByteCount -= batch.byteCount
            ready = batch.sections[...]
        }
        return ready.removeFirst()
    }

    private mutating func receive() async throws {
        while !isEnded, waitingByteCount < Self.windowByteCount {
            try Task.checkCancellation()
            guard let piece = try await stream.next() else {
                isEnded = true
                try reader.finish()
                return
            }
            meter.add(piece.byteCount)
            let events = try piece.withBytes { try reader.feed($0) }
            let sections = events.compactMap { event in
                if case .section(let section) = event { section } else { nil }
            }
            if sections.isEmpty { continue }
            let byteCount = sections.reduce(0) { $0 + $1.block.count }
            waitingByteCount += byteCount
            underWay.append(
                Batch(
                    sections: sections, byteCount: byteCount,
                    verification: workers.start { try Self.verify(sections) }))
        }
    }

    private static func verify(_ sections: [CARReader.Section]) throws {
        let verifier = BlockVerifier()
        for section in sections {
            let isIntact = try section.block.withUnsafeBytes {
                try verifier.verify(section.cid, $0)
            }
            guard isIntact else { throw VerificationError.wrongBytes(section.cid) }
        }
    }
}

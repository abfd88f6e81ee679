import ClusterCore
import EtcdClient
import Foundation
import Logging
import Multiformats
import Pinset
import ShardPlanner
import Synchronization

/// The engines every conformance test runs over.
enum LogKind: String, CaseIterable, Sendable {
    case solo
    case simulated
    case etcd
}

/// One peer's data directory and the engine it is connected to, over several lives of the peer.
final class LogHarness: Sendable {
    let directory: String
    private let kind: LogKind
    private let engine: SimulatedEngine
    private let etcd: EtcdClient?

    init(_ kind: LogKind = .solo, seed: UInt64 = 1, isFaulty: Bool = true) throws {
        self.kind = kind
        directory = NSTemporaryDirectory() + "log-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        engine = SimulatedEngine(seed: seed, isFaulty: isFaulty)
        etcd = kind == .etcd ? try EtcdServer.shared.get().client : nil
    }

    deinit {
        // Left-overs in the temporary directory fail no test.
        try? FileManager.default.removeItem(atPath: directory)
    }

    var statePath: String { directory + "/state.db" }

    func makeLog() -> any ClusterLog {
        switch kind {
        case .solo: SoloLog()
        case .simulated: engine.connect()
        case .etcd: EtcdLog(client: etcd!, namespace: directory)
        }
    }

    /// Opens the peer without applying anything.
    func open(retention: ArchiveRetention = .everything) async throws -> PinsetDriver {
        // A clock that stands still: equal runs give equal archives.
        let time = LogTime(millisecondsSinceEpoch: 1_700_000_000_000)
        return try await PinsetDriver.open(
            path: statePath, retention: retention, log: makeLog(),
            logger: .silent, clock: { time })
    }

    /// One life of the peer: it runs for as long as `body` does.
    func life<Result: Sendable>(
        retention: ArchiveRetention = .everything,
        _ body: @Sendable (PinsetDriver) async throws -> Result
    ) async throws -> Result {
        let driver = try await open(retention: retention)
        return try await running(driver, body)
    }

    func running<Result: Sendable>(
        _ driver: PinsetDriver, _ body: @Sendable (PinsetDriver) async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await driver.run() }
            let result = try await body(driver)
            group.cancelAll()
            try await group.waitForAll()
            return result
        }
    }
}

extension Logger {
    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

extension PinsetDriver {
    /// Repeats an append under its request ID until the outcome is known, as every client does.
    func appendSurely(_ command: Command, as requestID: RequestID) async throws -> Outcome {
        while true {
            do {
                return try await append(command, as: requestID)
            } catch {
                guard case .unknownOutcome = error else { throw error }
            }
        }
    }

    func appendSurely(_ command: Command) async throws -> Outcome {
        try await appendSurely(command, as: makeRequestID())
    }
}

/// Commands whose outcome tells whether they were applied before.
enum Sample {
    static func peer(_ number: UInt8) throws -> PeerID {
        try PeerID(publicKey: [UInt8](repeating: number, count: 32))
    }

    static func join(_ number: UInt8, capacityByteCount: Int = 1 << 40) throws -> Command {
        .joinPeer(
            PeerJoin(
                peer: try peer(number), name: "peer \(number)",
                storageID: StorageID(high: 0, low: UInt64(number)),
                capacityByteCount: capacityByteCount))
    }

    /// Done once; refused the second time, unless it is the same request.
    static func forget(_ number: UInt8) throws -> Command {
        .forgetPeer(try peer(number), acceptingLoss: false)
    }
}

import EtcdClient
import Multiformats
import Pinset

/// The keys of one log in etcd, and what their values say.
struct EtcdLogKeys: Sendable {
    /// Begins the keys of commands; a request ID in hexadecimal follows.
    let commands: [UInt8]
    /// Tells, in decimal, up to which revision commands were deleted.
    let trimmed: [UInt8]
    /// Eight random bytes made with the log.
    let generation: [UInt8]
    /// Begins the keys of live peers; the peer ID follows. They go with their peer's lease.
    let alive: [UInt8]

    /// Begins the keys of peers that can have a vote; the peer ID follows. Their values are the URLs of
    /// their members for other members.
    let voters: [UInt8]

    init(namespace: String) {
        commands = Array("\(namespace)/log/".utf8)
        trimmed = Array("\(namespace)/trimmed-to".utf8)
        generation = Array("\(namespace)/generation".utf8)
        alive = Array("\(namespace)/alive/".utf8)
        voters = Array("\(namespace)/voters/".utf8)
    }

    func command(_ requestID: RequestID) -> [UInt8] {
        commands + Array(Hexadecimal.text(requestID.bytes).utf8)
    }

    func life(of peer: PeerID) -> [UInt8] { alive + Array(peer.description.utf8) }

    /// The newest command, without its value.
    var newestCommand: EtcdRange {
        var newest = EtcdRange(.beginning(commands))
        (newest.order, newest.limit, newest.keysOnly) = (.newestFirst, 1, true)
        return newest
    }

    // MARK: Values

    private static let version: UInt8 = 1

    /// Version, the proposer's clock (8 bytes, big-endian), the command.
    static func value(of proposal: Proposal) -> [UInt8] {
        let time = withUnsafeBytes(of: proposal.time.millisecondsSinceEpoch.bigEndian, Array.init)
        return [version] + time + proposal.commandBytes
    }

    /// Reads a command back.
    ///
    /// - Throws: `closed`, which stops the peer by name: it must not skip what others apply.
    func entry(of keyValue: EtcdKeyValue) throws(LogError) -> LogEntry {
        let index = LogIndex(rawValue: keyValue.createRevision)
        let digits = keyValue.key.dropFirst(commands.count)
        guard let bytes = Hexadecimal.bytes(String(decoding: digits, as: UTF8.self)),
            let requestID = RequestID(bytes: bytes)
        else { throw Self.unreadable(index, "its key is no request ID") }
        let value = keyValue.value
        guard value.first == Self.version, value.count >= 9 else {
            throw Self.unreadable(
                index, "it has format \(value.first ?? 0), and this daemon knows \(Self.version)")
        }
        let time = value[1..<9].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let commandBytes = Array(value[9...])
        do {
            return LogEntry(
                index: index,
                proposal: Proposal(
                    requestID: requestID, time: LogTime(millisecondsSinceEpoch: time),
                    command: try Command(decoding: commandBytes), commandBytes: commandBytes))
        } catch {
            throw Self.unreadable(index, String(describing: error))
        }
    }

    private static func unreadable(_ index: LogIndex, _ reason: String) -> LogError {
        .closed(cause: "command \(index) of the log cannot be read: \(reason)")
    }
}

/// What one revision of etcd has of the log: some commands, and how far it was trimmed.
struct EtcdLogView: Sendable {
    let revision: UInt64
    /// Up to which revision commands were deleted, and the revision that said so; 0 for never.
    let trimmed: UInt64
    let trimmedRevision: UInt64
    let commands: [EtcdKeyValue]
    /// There are more of them than were asked for.
    let hasMore: Bool

    /// The newest index there is or was; of a view of the newest command.
    var newestIndex: LogIndex {
        LogIndex(rawValue: max(trimmed, commands.first?.createRevision ?? 0))
    }
}

extension EtcdClient {
    /// Reads commands and the mark of what was trimmed at one revision: a trim between two reads would
    /// leave a hole nobody sees.
    func view(
        of commands: EtcdRange, keys: EtcdLogKeys, timeout: Duration
    ) async throws -> EtcdLogView {
        let result = try await transact(
            if: [], then: [.range(EtcdRange(.one(keys.trimmed))), .range(commands)],
            timeout: timeout)
        guard result.ranges.count == 2, let mark = result.ranges[0], let found = result.ranges[1]
        else { throw EtcdError.malformed("a transaction without its ranges") }
        return EtcdLogView(
            revision: result.revision, trimmed: try Self.number(of: mark.keyValues.first),
            trimmedRevision: mark.keyValues.first?.modRevision ?? 0,
            commands: found.keyValues, hasMore: found.hasMore)
    }

    private static func number(of mark: EtcdKeyValue?) throws -> UInt64 {
        guard let mark else { return 0 }
        guard let revision = UInt64(String(decoding: mark.value, as: UTF8.self)) else {
            throw EtcdError.malformed("the mark of what was trimmed is no number")
        }
        return revision
    }
}

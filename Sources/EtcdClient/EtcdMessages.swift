import Foundation
import NIOCore

// The messages of etcd's JSON gateway: names are etcd's (it takes them in camel case and answers in snake
// case), keys and values are base64, 64-bit numbers are text, and what is zero or empty is left out.

struct RangeMessage: Encodable {
    var key: Data
    var rangeEnd: Data?
    var limit: String?
    var sortOrder: String?
    var sortTarget: String?
    var minCreateRevision: String?
    var maxCreateRevision: String?
    var keysOnly: Bool?

    init(_ range: EtcdRange) {
        key = Data(range.keys.first)
        rangeEnd = range.keys.end.map { Data($0) }
        limit = range.limit.map { String($0) }
        switch range.order {
        case .keys: break
        case .oldestFirst: (sortOrder, sortTarget) = ("ASCEND", "CREATE")
        case .newestFirst: (sortOrder, sortTarget) = ("DESCEND", "CREATE")
        }
        minCreateRevision = range.minimumCreateRevision.map { String($0) }
        maxCreateRevision = range.maximumCreateRevision.map { String($0) }
        keysOnly = range.keysOnly ? true : nil
    }
}

struct PutMessage: Encodable {
    var key: Data
    var value: Data
    var lease: String?
}

struct DeleteMessage: Encodable {
    var key: Data
}

struct OperationMessage: Encodable {
    var requestPut: PutMessage?
    var requestDeleteRange: DeleteMessage?
    var requestRange: RangeMessage?

    init(_ operation: EtcdOperation) {
        switch operation {
        case .put(let key, let value, let lease):
            requestPut = PutMessage(
                key: Data(key), value: Data(value),
                lease: lease == 0 ? nil : String(Int64(bitPattern: lease)))
        case .delete(let key):
            requestDeleteRange = DeleteMessage(key: Data(key))
        case .range(let range):
            requestRange = RangeMessage(range)
        }
    }
}

struct CompareMessage: Encodable {
    var key: Data
    var target: String
    var result = "EQUAL"
    var createRevision: String?
    var modRevision: String?

    init(_ condition: EtcdCondition) {
        switch condition {
        case .isAbsent(let key):
            (self.key, target, createRevision) = (Data(key), "CREATE", "0")
        case .isUnchanged(let key, let revision):
            (self.key, target, modRevision) = (Data(key), "MOD", String(revision))
        }
    }
}

struct TransactionMessage: Encodable {
    var compare: [CompareMessage]
    var success: [OperationMessage]
    var failure: [OperationMessage]
}

struct CompactionMessage: Encodable {
    var revision: String
}

struct LeaseMessage: Encodable {
    var seconds: String?
    var lease: String

    enum CodingKeys: String, CodingKey {
        case seconds = "TTL"
        case lease = "ID"
    }
}

struct WatchMessage: Encodable {
    struct Create: Encodable {
        var key: Data
        var rangeEnd: Data?
        var startRevision: String
        var filters = ["NODELETE"]
        var fragment = true
    }

    var createRequest: Create

    init(_ watch: EtcdWatch) {
        createRequest = Create(
            key: Data(watch.keys.first), rangeEnd: watch.keys.end.map { Data($0) },
            startRevision: String(watch.startRevision))
    }
}

// MARK: - Answers

struct HeaderAnswer: Decodable {
    var clusterId: String?
    var memberId: String?
    var revision: String?
}

struct KeyValueAnswer: Decodable {
    var key: Data?
    var value: Data?
    var createRevision: String?
    var modRevision: String?
    var lease: String?

    func keyValue() throws -> EtcdKeyValue {
        EtcdKeyValue(
            key: Array(key ?? Data()), value: Array(value ?? Data()),
            createRevision: try number(createRevision), modRevision: try number(modRevision),
            lease: try number(lease))
    }
}

struct RangeAnswer: Decodable {
    var header: HeaderAnswer?
    var kvs: [KeyValueAnswer]?
    var more: Bool?

    func result(_ outer: HeaderAnswer? = nil) throws -> EtcdRangeResult {
        let header = outer ?? header
        return EtcdRangeResult(
            revision: try number(header?.revision), clusterID: try number(header?.clusterId),
            keyValues: try (kvs ?? []).map { try $0.keyValue() }, hasMore: more ?? false)
    }
}

struct TransactionAnswer: Decodable {
    struct Part: Decodable {
        var responseRange: RangeAnswer?
    }

    var header: HeaderAnswer
    var succeeded: Bool?
    var responses: [Part]?

    func result() throws -> EtcdTransactionResult {
        EtcdTransactionResult(
            isDone: succeeded ?? false, revision: try number(header.revision),
            clusterID: try number(header.clusterId),
            ranges: try (responses ?? []).map { try $0.responseRange?.result(header) })
    }
}

struct LeaseAnswer: Decodable {
    var lease: String

    enum CodingKeys: String, CodingKey {
        case lease = "ID"
    }
}

struct LeaseRenewalAnswer: Decodable {
    struct Renewal: Decodable {
        var seconds: String?

        enum CodingKeys: String, CodingKey {
            case seconds = "TTL"
        }
    }

    var result: Renewal
}

struct EmptyAnswer: Decodable {}

struct ErrorAnswer: Decodable {
    var code: Int?
    var message: String?

    /// Codes of gRPC that say a request was looked at and not taken: invalid, not found, already
    /// there, forbidden, not now, aborted, out of range, unknown, not logged in. After all others (too
    /// late, no leader, broken off) what was sent may still be done; also after "no room", which etcd
    /// says of the transaction that has taken the last of it.
    private static let refusals: Set = [3, 5, 6, 7, 9, 10, 11, 12, 16]

    var error: EtcdError {
        let message = message ?? "no reason given"
        guard let code, Self.refusals.contains(code) else { return .noAnswer(cause: message) }
        return .refused(code: code, message: message)
    }
}

struct WatchAnswer: Decodable {
    struct Event: Decodable {
        var kv: KeyValueAnswer
    }

    struct Result: Decodable {
        var events: [Event]?
        var canceled: Bool?
        var cancelReason: String?
        var compactRevision: String?
    }

    struct Failure: Decodable {
        var grpcCode: Int?
        var message: String?

        var asError: EtcdError { ErrorAnswer(code: grpcCode, message: message).error }
    }

    var result: Result?
    var error: Failure?
}

func decoded<Answer: Decodable>(_ bytes: ByteBuffer) throws -> Answer {
    do {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Answer.self, from: Data(bytes.readableBytesView))
    } catch {
        let text = String(decoding: bytes.readableBytesView.prefix(200), as: UTF8.self)
        throw EtcdError.malformed("\(text) (\(error))")
    }
}

/// A 64-bit number, which etcd writes as text with the sign of an Int64 and leaves out when it is zero.
func number(_ text: String?) throws -> UInt64 {
    guard let text else { return 0 }
    if let number = UInt64(text) { return number }
    guard let number = Int64(text) else { throw EtcdError.malformed("the number '\(text)'") }
    return UInt64(bitPattern: number)
}

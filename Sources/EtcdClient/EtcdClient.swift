import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Calls etcd through the JSON gateway of its v3 API (etcd 3.4 and later).
///
/// It knows several members, which may change, and asks the one that answered last; when that one cannot be reached or does
/// not answer, the next. So whatever is asked for here may be done twice, and must do no harm then. Its
/// connections close with it.
package final class EtcdClient: Sendable {
    /// Answers longer than this are refused; ranges are asked for in portions far below it.
    private static let answerByteCountLimit = 64 << 20

    private struct Members {
        var urls: [String]
        /// The one that answered last.
        var preferred = 0
    }

    private let calling: HTTPClient
    /// Without a limit to how long nothing comes.
    private let watching: HTTPClient
    private let members: Mutex<Members>

    /// Base URLs of the members.
    package var endpoints: [String] { members.withLock { $0.urls } }

    /// - Parameters:
    ///   - endpoints: Base URLs of the members, such as `http://127.0.0.1:2379`; while there is none,
    ///     nothing can be reached.
    ///   - settings: TLS and the like; timeouts, redirects and versions are set here.
    ///   - bodyPatience: How long nothing may come of an answer that has begun; no call is given more time
    ///     to begin one.
    package init(
        endpoints: [String], settings: HTTPClient.Configuration = HTTPClient.Configuration(),
        bodyPatience: Duration = .seconds(60)
    ) {
        members = Mutex(Members(urls: endpoints))
        var settings = settings
        settings.timeout = .init(connect: .seconds(2))
        settings.redirectConfiguration = .disallow
        settings.httpVersion = .http1Only
        settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        // Whoever waits for a member that is down asks another one instead.
        settings.connectionPool.retryConnectionEstablishment = false
        watching = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        settings.timeout.read = TimeAmount(bodyPatience)
        calling = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
    }

    deinit {
        // Nobody waits for it: only calls under way could make it fail, and they keep this alive.
        for http in [calling, watching] { http.shutdown { _ in } }
    }

    /// Asks these members from now on, the first one first.
    package func use(_ endpoints: [String]) {
        members.withLock { members in
            if members.urls != endpoints { members = Members(urls: endpoints) }
        }
    }

    /// Reads keys.
    ///
    /// - Parameter member: The one to ask, which then has applied all there was; `nil` for any.
    /// - Throws: `EtcdError`.
    package func range(
        _ range: EtcdRange, timeout: Duration = .seconds(5), at member: String? = nil
    ) async throws -> EtcdRangeResult {
        let answer: RangeAnswer = try await call(
            "/v3/kv/range", RangeMessage(range), timeout: timeout, at: member)
        return try answer.result()
    }

    /// Does `operations` in one revision if all `conditions` hold, and `otherwise` if not.
    ///
    /// - Throws: `EtcdError`, which says whether it may have been done.
    package func transact(
        if conditions: [EtcdCondition], then operations: [EtcdOperation],
        otherwise: [EtcdOperation] = [], timeout: Duration = .seconds(5)
    ) async throws -> EtcdTransactionResult {
        let message = TransactionMessage(
            compare: conditions.map(CompareMessage.init),
            success: operations.map(OperationMessage.init),
            failure: otherwise.map(OperationMessage.init))
        let answer: TransactionAnswer = try await call(
            "/v3/kv/txn", message, timeout: timeout)
        return try answer.result()
    }

    /// Forgets what keys were before a revision. What is there now stays.
    package func compact(through revision: UInt64, timeout: Duration = .seconds(5)) async throws {
        let _: EmptyAnswer = try await call(
            "/v3/kv/compaction", CompactionMessage(revision: String(revision)), timeout: timeout)
    }

    /// Grants a lease. One whose number got lost with an answer runs out by itself.
    ///
    /// - Returns: Its number.
    package func grantLease(
        seconds: Int, timeout: Duration = .seconds(5)
    ) async throws -> UInt64 {
        let answer: LeaseAnswer = try await call(
            "/v3/lease/grant", LeaseMessage(seconds: String(seconds), lease: "0"), timeout: timeout)
        return try number(answer.lease)
    }

    /// Renews a lease.
    ///
    /// - Returns: Whether it was still there.
    package func renewLease(_ lease: UInt64, timeout: Duration = .seconds(5)) async throws -> Bool {
        let answer: LeaseRenewalAnswer = try await call(
            "/v3/lease/keepalive",
            LeaseMessage(seconds: nil, lease: String(Int64(bitPattern: lease))),
            timeout: timeout)
        return try number(answer.result.seconds) > 0
    }

    /// Ends a lease and deletes the keys that have it.
    package func revokeLease(_ lease: UInt64, timeout: Duration = .seconds(5)) async throws {
        let _: EmptyAnswer = try await call(
            "/v3/lease/revoke", LeaseMessage(seconds: nil, lease: String(Int64(bitPattern: lease))),
            timeout: timeout)
    }

    /// Follows what happens to keys from a revision on, until the task is cancelled.
    ///
    /// A watch from a revision that does not exist yet waits in silence, and a connection may die
    /// without a word: callers look for themselves when they have heard nothing for a while.
    package func watch(_ watch: EtcdWatch) async throws -> EtcdEvents {
        let body = try encoded(WatchMessage(watch))
        let response = try await execute("/v3/watch", body, timeout: nil)
        return EtcdEvents(body: response.body)
    }

    // MARK: Calls

    /// - Parameter member: The one to ask; `nil` for any.
    func call<Answer: Decodable>(
        _ path: String, _ message: some Encodable, timeout: Duration, at member: String? = nil
    ) async throws -> Answer {
        let response =
            if let member {
                try await send(member + path, encoded(message), timeout: timeout)
            } else {
                try await execute(path, encoded(message), timeout: timeout)
            }
        return try decoded(try await body(of: response))
    }

    /// Sends a request to the members in turn until one takes it.
    private func execute(
        _ path: String, _ body: ByteBuffer, timeout: Duration?
    ) async throws -> HTTPClientResponse {
        let known = members.withLock { $0 }
        var mayBeDone = false
        var causes: [String] = known.urls.isEmpty ? ["none is known yet"] : []
        for turn in known.urls.indices {
            let index = (known.preferred + turn) % known.urls.count
            do {
                let response = try await send(known.urls[index] + path, body, timeout: timeout)
                members.withLock { members in
                    if members.urls == known.urls { members.preferred = index }
                }
                return response
            } catch let error as EtcdError {
                causes.append("\(known.urls[index]): \(error.cause)")
                // What one member refuses, another one that did not answer may have done.
                if case .refused = error, !mayBeDone { throw error }
                mayBeDone = mayBeDone || error.mayBeDone
            }
        }
        let cause = causes.joined(separator: "; ")
        throw mayBeDone
            ? EtcdError.noAnswer(cause: cause) : EtcdError.unreachable(cause: cause)
    }

    private func send(
        _ url: String, _ body: ByteBuffer, timeout: Duration?
    ) async throws -> HTTPClientResponse {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(body)
        let response: HTTPClientResponse
        do {
            if let timeout {
                response = try await calling.execute(request, timeout: TimeAmount(timeout))
            } else {
                response = try await watching.execute(request, deadline: .distantFuture)
            }
        } catch {
            if Task.isCancelled { throw CancellationError() }
            let cause = String(describing: error)
            throw Self.neverConnected(error)
                ? EtcdError.unreachable(cause: cause) : EtcdError.noAnswer(cause: cause)
        }
        guard response.status != .ok else { return response }
        throw try await refusal(response)
    }

    /// Whether an error says that no byte of the request can have been sent.
    private static func neverConnected(_ error: any Error) -> Bool {
        if error is NIOConnectionError { return true }
        if let error = error as? IOError {
            return [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL].contains(
                error.errnoCode)
        }
        guard let error = error as? HTTPClientError else { return false }
        return error == .connectTimeout || error == .getConnectionFromPoolTimeout
    }

    private func refusal(_ response: HTTPClientResponse) async throws -> EtcdError {
        let answer: ErrorAnswer = try decoded(try await body(of: response))
        return answer.error
    }

    private func body(of response: HTTPClientResponse) async throws -> ByteBuffer {
        do {
            return try await response.body.collect(upTo: Self.answerByteCountLimit)
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw EtcdError.noAnswer(cause: String(describing: error))
        }
    }

    private func encoded(_ message: some Encodable) throws -> ByteBuffer {
        ByteBuffer(bytes: try JSONEncoder().encode(message))
    }
}

/// Why etcd did not do what it was asked for.
package enum EtcdError: Error, Equatable, Sendable, CustomStringConvertible {
    /// No member could be reached: certainly nothing was done.
    case unreachable(cause: String)
    /// No member answered in time, or none has a leader: it may have been done.
    case noAnswer(cause: String)
    /// etcd said no: certainly nothing was done. Codes are those of gRPC.
    case refused(code: Int, message: String)
    /// What came is not what etcd sends: it may have been done.
    case malformed(String)

    /// Whether what was asked for may have been done nevertheless.
    package var mayBeDone: Bool {
        switch self {
        case .unreachable, .refused: false
        case .noAnswer, .malformed: true
        }
    }

    package var cause: String {
        switch self {
        case .unreachable(let cause), .noAnswer(let cause): cause
        case .refused(let code, let message): "\(message) (code \(code))"
        case .malformed(let what): what
        }
    }

    package var description: String {
        switch self {
        case .unreachable(let cause): "no etcd member can be reached: \(cause)"
        case .noAnswer(let cause): "etcd did not answer: \(cause)"
        case .refused: "etcd refused: \(cause)"
        case .malformed(let what): "this is no answer of etcd's: \(what)"
        }
    }
}

import IngestAPI
import IngestClient

/// Sends the rest of an open upload, again and again, until its root is committed.
struct ResumingTransfer {
    let client: ServiceClient
    let upload: String
    let body: any SourceBody
    let pace: SendPace?
    let meter: ProgressMeter
    let retries: Retries
    /// Somebody looks at the meter.
    let isWatched: Bool

    /// - Returns: The root.
    /// - Throws: What trying again would not change; and what happened last, when nothing got through for
    ///   too long.
    func run() async throws -> AddedOutput {
        var retries = retries
        // Where the request before has begun, and whether it was answered with success.
        var former: UInt64?
        var wasTaken = false
        while true {
            var isSending = false
            do {
                switch try await client.position(of: upload) {
                case .complete(let root):
                    // The answer was lost. What is here is still to be imported.
                    if let byteCount = body.byteCount { try await body.begin(at: byteCount) }
                    return AddedOutput(name: "", cid: root)
                case .open(let offset):
                    try check(offset, isBehind: wasTaken ? former : nil)
                    if former.map({ offset > $0 }) ?? true { retries.noteProgress() }
                    (former, wasTaken) = (offset, false)
                    meter.storedByteCount = Int(offset)
                    try await body.begin(at: offset)
                    isSending = true
                    if let root = try await send(from: offset) { return root }
                    wasTaken = true
                }
            } catch let error as ClientError {
                wasTaken = false
                // A request that failed after hours may have brought much.
                if isSending, let former, error.isPassing {
                    await lookForProgress(since: former, &retries)
                }
                try await retries.wait(after: error)
            }
        }
    }

    /// - Parameter former: What it must be behind.
    private func check(_ offset: UInt64, isBehind former: UInt64?) throws(ClientError) {
        guard offset <= body.byteCount ?? UInt64(Int.max) else {
            throw .notUnderstood(
                address: client.address, what: "the upload is said to stand at byte \(offset)")
        }
        guard former.map({ $0 < offset }) ?? true else {
            throw .connectionLost(
                address: client.address, reason: "what was taken behind byte \(offset) is not there"
            )
        }
    }

    private func lookForProgress(since offset: UInt64, _ retries: inout Retries) async {
        // What goes wrong here as well goes wrong again, when it is tried next.
        guard let position = try? await client.position(of: upload) else { return }
        if case .open(let now) = position, now <= offset { return }
        retries.noteProgress()
    }

    /// - Returns: The root, when that was the last of the body.
    private func send(from offset: UInt64) async throws -> AddedOutput? {
        guard isWatched else { return try await sendUnwatched(from: offset) }
        let watching = Task {
            while !Task.isCancelled {
                // What is not told now is told a second later; sleeping ends when nobody watches.
                if let status = try? await client.upload(upload) {
                    if let offset = status.offset { meter.storedByteCount = Int(offset) }
                    meter.shardCount = status.shardsSealed
                }
                try? await Task.sleep(for: .seconds(1))
            }
        }
        defer { watching.cancel() }
        return try await sendUnwatched(from: offset)
    }

    private func sendUnwatched(from offset: UInt64) async throws -> AddedOutput? {
        // A new one each time: it may have a piece left that is not wanted any more.
        let outgoing = Throttle.body(body, pace)
        guard let byteCount = body.byteCount else {
            try await client.sendPart(of: upload, from: offset, body: outgoing)
            return nil
        }
        return try await client.sendRest(
            of: upload, from: offset, byteCount: byteCount, body: outgoing)
    }
}

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
        var best: UInt64 = 0
        while true {
            do {
                switch try await client.position(of: upload) {
                case .complete(let root):
                    // The answer was lost. What is here is still to be imported.
                    if let byteCount = body.byteCount { try await body.begin(at: byteCount) }
                    return AddedOutput(name: "", cid: root)
                case .open(let offset):
                    meter.storedByteCount = Int(offset)
                    if offset > best {
                        best = offset
                        retries.noteProgress()
                    }
                    try await body.begin(at: offset)
                    if let root = try await send(from: offset) { return root }
                }
            } catch let error as ClientError {
                try await retries.wait(after: error)
            }
        }
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

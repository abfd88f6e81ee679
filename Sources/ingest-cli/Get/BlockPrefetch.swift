import IngestClient
import Multiformats

/// Verified blocks one by one, with those that will be wanted soon already on their way.
struct BlockPrefetch {
    /// Requests at once.
    static let windowCount = 16

    let client: ServiceClient
    private var underWay: [CID: Task<[UInt8], any Error>] = [:]

    init(_ client: ServiceClient) { self.client = client }

    /// - Parameter soon: What will be wanted after it.
    mutating func block(_ cid: CID, soon: [CID]) async throws -> [UInt8] {
        for one in [cid] + soon where underWay.count < Self.windowCount {
            // Not children of a group, because they outlive this call; `cancel` ends them.
            if underWay[one] == nil {
                underWay[one] = Task { [client] in try await client.loadVerifiedBlock(one) }
            }
        }
        guard let task = underWay.removeValue(forKey: cid) else {
            return try await client.loadVerifiedBlock(cid)
        }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }

    func cancel() {
        for task in underWay.values { task.cancel() }
    }
}

import EtcdClient

extension EtcdClient {
    /// Follows a watch until it ends, breaks, or turns out to be silent; always throws.
    ///
    /// A watch may fall silent with its connection or its member and never say so. So it is never
    /// relied on alone: every now and then etcd itself is asked for what the watch should have told.
    ///
    /// - Parameters:
    ///   - silence: How long the watch has to tell what etcd was found to know.
    ///   - receive: Takes the events in order.
    ///   - untold: Asks etcd for something that did not arrive yet; `nil` if all did.
    ///   - isStillUntold: Whether that did not arrive in the meantime either.
    func follow<Untold: Sendable>(
        _ watch: EtcdWatch, silence: Duration,
        receive: @escaping @Sendable ([EtcdEvent]) async throws -> Void,
        untold: @escaping @Sendable () async throws -> Untold?,
        isStillUntold: @escaping @Sendable (Untold) -> Bool
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for try await batch in try await self.watch(watch) { try await receive(batch) }
            }
            group.addTask {
                while true {
                    try await Task.sleep(for: silence)
                    guard let missing = try await untold() else { continue }
                    try await Task.sleep(for: silence)
                    guard !isStillUntold(missing) else {
                        throw EtcdError.noAnswer(cause: "the watch is silent")
                    }
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}

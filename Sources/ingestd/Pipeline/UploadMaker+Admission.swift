import ClusterCore
import IngestAPI
import ShardPlanner

/// What must hold before an upload begins.
extension UploadMaker {
    /// How long the log has for saying that it takes commands.
    private static let logPatience = Duration.milliseconds(4_500)

    /// Without the log nothing can be agreed on; that is said before an upload begins.
    func checkLog() async throws {
        guard client != nil, !(await peer.catchUp(within: Self.logPatience)) else { return }
        throw Problem(
            .unavailable,
            "nothing can be written through this peer now: the cluster's log (etcd) does not answer it, "
                + "so peers cannot agree; reads go on; try again, or another peer",
            retryAfterSeconds: 5)
    }

    /// Uploads of all peers that may be open.
    private static let openLimit = 10_000

    /// - Throws: When too many uploads are open.
    func checkRoom() async throws {
        let count = try await peer.driver.read { $0.openUploadCount }
        guard count < Self.openLimit else {
            throw Problem(
                .tooManyUploads,
                "\(count) uploads are open, which is the limit; end some, or wait until they are given up",
                retryAfterSeconds: 60)
        }
    }
}

import ClusterCore
import ImportPipeline
import Pinset
import PosixIO

/// The metrics of the daemon by their stable names.
struct DaemonMetrics: Sendable {
    let registry = MetricsRegistry()

    private static let requests = "ingestd_http_requests_total"
    private static let requestSeconds = "ingestd_http_request_seconds_total"
    private static let receivedBytes = "ingestd_upload_received_bytes_total"
    private static let sentBytes = "ingestd_read_sent_bytes_total"
    private static let uploads = "ingestd_uploads_total"
    private static let abandonedUploads = "ingestd_uploads_abandoned_total"
    private static let openUploads = "ingestd_uploads_open"
    private static let activeUploads = "ingestd_uploads_active"
    private static let corruptBlocks = "ingestd_read_corrupt_blocks_total"
    private static let capacity = "ingestd_storage_capacity_bytes"
    private static let used = "ingestd_storage_used_bytes"
    private static let reserved = "ingestd_storage_reserved_bytes"
    private static let roots = "ingestd_roots"
    private static let shards = "ingestd_shards"
    private static let appliedIndex = "ingestd_log_applied_index"
    private static let residentMemory = "process_resident_memory_bytes"
    private static let openFiles = "process_open_fds"

    init() {
        for (name, kind, help) in [
            (Self.requests, MetricsRegistry.Kind.counter, "Requests by method, route and status."),
            (Self.requestSeconds, .counter, "Time from head to end of answer, by route."),
            (Self.receivedBytes, .counter, "Body bytes of uploads received."),
            (Self.sentBytes, .counter, "Bytes of content sent to readers."),
            (Self.uploads, .counter, "Uploads of this peer that ended, by outcome."),
            (
                Self.abandonedUploads, .counter,
                "Uploads aborted because nobody sent anything for long."
            ),
            (Self.openUploads, .gauge, "Uploads of this peer that have not ended."),
            (Self.activeUploads, .gauge, "Uploads whose bytes are being received."),
            (Self.corruptBlocks, .counter, "Blocks that did not match their CID when read."),
            (Self.capacity, .gauge, "Bytes this peer lends to shards."),
            (Self.used, .gauge, "File bytes of shards on this peer."),
            (Self.reserved, .gauge, "Bytes promised to shards being written."),
            (Self.roots, .gauge, "Pinned roots."),
            (Self.shards, .gauge, "Shards known to the state."),
            (Self.appliedIndex, .gauge, "Index of the last command applied."),
            (Self.residentMemory, .gauge, "Resident memory."),
            (Self.openFiles, .gauge, "Open file descriptors."),
        ] { registry.declare(name, kind, help) }
    }

    func received(_ byteCount: Int) { registry.add(Self.receivedBytes, Double(byteCount)) }

    func sent(_ byteCount: Int) { registry.add(Self.sentBytes, Double(byteCount)) }

    func foundCorruptBlock() { registry.add(Self.corruptBlocks) }

    func uploadAbandoned() { registry.add(Self.abandonedUploads) }

    func answered(method: String, route: String, status: Int, seconds: Double) {
        registry.add(
            Self.requests,
            labels: [("method", method), ("route", route), ("status", String(status))])
        registry.add(Self.requestSeconds, seconds, labels: [("route", route)])
    }

    /// Reads the gauges and writes everything out.
    func text(peer: LocalPeer, activeUploadCount: Int) async throws -> String {
        registry.set(Self.activeUploads, Double(activeUploadCount))
        let id = peer.id
        let endings = await peer.driver.endings(of: id)
        for ending in UploadRecord.Ending.allCases {
            registry.set(
                Self.uploads, Double(endings[ending] ?? 0),
                labels: [("outcome", ending.rawValue)])
        }
        let figures = try await peer.driver.read { state in
            (
                state.peer(id), Double(state.rootCount), Double(state.shardCount),
                Double(state.appliedIndex.rawValue),
                Double(state.allOpenUploads.count { $0.options.coordinator == id })
            )
        }
        registry.set(Self.capacity, Double(figures.0?.capacityByteCount ?? 0))
        registry.set(Self.used, Double(figures.0?.usedByteCount ?? 0))
        registry.set(Self.reserved, Double(figures.0?.reservedByteCount ?? 0))
        registry.set(Self.roots, figures.1)
        registry.set(Self.shards, figures.2)
        registry.set(Self.appliedIndex, figures.3)
        registry.set(Self.openUploads, figures.4)
        registry.set(Self.residentMemory, Double(ProcessFigures.residentByteCount))
        registry.set(Self.openFiles, Double(ProcessFigures.openFileCount))
        return registry.text()
    }
}

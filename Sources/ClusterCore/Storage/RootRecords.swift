import Multiformats
import PosixIO
import ShardPlanner
import Synchronization

/// What is kept of a root beside its shards: enough to find roots again when the state is lost.
///
/// A CARv1 whose root is the cluster DAG: the nodes of the cluster DAG, then one dag-cbor block with
/// the rest. Written and durable before the commit command.
package struct RootRecordFile: Sendable {
    package static let version: UInt64 = 1

    package var upload: UploadID
    package var root: CID
    package var clusterDAG: CID
    package var name: String
    package var clusterNodes: [ListNodeBlock]
    /// In the order of their numbers.
    package var shards: [ShardCopyID]

    package init(
        upload: UploadID, root: CID, clusterDAG: CID, name: String,
        clusterNodes: [ListNodeBlock], shards: [ShardCopyID]
    ) {
        self.upload = upload
        self.root = root
        self.clusterDAG = clusterDAG
        self.name = name
        self.clusterNodes = clusterNodes
        self.shards = shards
    }

    /// The file's bytes.
    package var encoded: [UInt8] {
        let record = CBOR.map([
            CBOR.Entry("clusterDAG", .cid(clusterDAG)),
            CBOR.Entry("name", .text(Array(name.utf8))),
            CBOR.Entry("root", .cid(root)),
            CBOR.Entry(
                "shards",
                .array(
                    shards.map { .array([.cid($0.shard), .unsigned(UInt64($0.generation))]) })),
            CBOR.Entry("upload", .bytes(upload.bytes)),
            CBOR.Entry("version", .unsigned(Self.version)),
        ]).encoded
        let cid: CID
        do {
            cid = try record.withUnsafeBytes { bytes in
                try BlockHasher(.sha2_256).cid(version: .v1, codec: .dagCBOR, bytes)
            }
        } catch {
            preconditionFailure("sha2-256 is always there: \(error)")
        }
        return CARWriter.archive(
            roots: [clusterDAG], blocks: clusterNodes.map { ($0.cid, $0.bytes) } + [(cid, record)])
    }
}

/// The directory of root records, one file per committed upload.
package final class RootRecords: Sendable {
    private static let suffix = ".car"

    private let directory: String
    private let workers: WorkerPool
    private let known: Mutex<Set<UploadID>>

    /// Opens the directory, and removes records whose writing was cut short.
    package init(dataDirectory: String, workers: WorkerPool) throws {
        directory = dataDirectory + "/roots"
        self.workers = workers
        try FileSystem.makeDirectory(directory)
        let names = try Directory(directory).loadNames().map { String(decoding: $0, as: UTF8.self) }
        for name in names where name.hasSuffix(Self.suffix + FileSystem.unfinishedSuffix) {
            try FileSystem.removeFile(directory + "/" + name)
        }
        let uploads = names.compactMap { name in
            name.hasSuffix(Self.suffix) ? UploadID(name.dropLast(Self.suffix.count)) : nil
        }
        known = Mutex(Set(uploads))
    }

    /// The uploads that have a record.
    package var uploads: Set<UploadID> { known.withLock { $0 } }

    /// Writes a record and makes it durable.
    package func write(_ record: RootRecordFile) async throws {
        let path = path(of: record.upload)
        let bytes = record.encoded
        known.withLock { _ = $0.insert(record.upload) }
        try await workers.run { try FileSystem.saveFile(path, bytes) }
    }

    /// Removes the record of an upload, if there is one.
    package func remove(_ upload: UploadID) async throws {
        guard known.withLock({ $0.remove(upload) }) != nil else { return }
        let path = path(of: upload)
        _ = try await workers.run { try FileSystem.removeFile(path) }
    }

    private func path(of upload: UploadID) -> String {
        directory + "/\(upload)" + Self.suffix
    }
}

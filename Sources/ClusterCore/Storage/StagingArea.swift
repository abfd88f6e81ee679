import PosixIO
import Spill

/// Shard files that are not whole yet, or have no final name: `staging/<upload>/<number>`.
///
/// Calls block and belong on workers.
package struct StagingArea: Sendable {
    private let directory: String
    private let pool: SegmentPool
    private let workers: WorkerPool
    private let scratch: any ScratchSpace

    /// - Parameter workers: Perform writes; a worker never waits for another.
    init(
        dataDirectory: String, pool: SegmentPool, workers: WorkerPool, scratch: any ScratchSpace
    ) throws {
        directory = dataDirectory + "/staging"
        self.pool = pool
        self.workers = workers
        self.scratch = scratch
        try FileSystem.makeDirectory(directory)
    }

    // MARK: - One shard

    /// Begins a file for one shard of an upload.
    ///
    /// - Parameter upload: Names a directory below staging; made when missing.
    package func makeWriter(upload: String, number: Int) async throws -> ShardWriter {
        let (folder, path) = (folder(upload), path(upload, number))
        let file = try await workers.run {
            try FileSystem.makeDirectory(folder, isDurable: false)
            return try FileDescriptor(path, for: .create, isDirect: true)
        }
        return try await ShardWriter(
            path: path, file: file, pool: pool, workers: workers, scratch: scratch)
    }

    /// A writer that is to go on with the file of one shard, or to find that it need not.
    package func makeRepeatingWriter(upload: String, number: Int) async throws -> ShardWriter {
        try await ShardWriter(
            path: path(upload, number), file: nil, pool: pool, workers: workers, scratch: scratch)
    }

    /// Makes the file of one shard anew, from the first bytes of a whole one; durable on return.
    func copy(_ whole: String, upload: String, number: Int, byteCount: Int) throws {
        try remove(upload: upload, number: number)
        try FileSystem.makeDirectory(folder(upload), isDurable: false)
        try copy(whole, to: path(upload, number), byteCount: byteCount)
        try synchronize(upload: upload)
    }

    /// Makes a file of the first bytes of another one; durable on return, but for its name.
    func copy(_ whole: String, to path: String, byteCount: Int) throws {
        let source = try FileDescriptor(whole, for: .read)
        let file = try FileDescriptor(path, for: .create)
        for start in stride(from: 0, to: byteCount, by: 1 << 20) {
            let count = min(1 << 20, byteCount - start)
            try file.writeAll(try source.readAll(count: count, at: start), at: start)
        }
        try file.synchronize()
    }

    /// Removes a shard, whole or not, that is not to stay here.
    package func remove(upload: String, number: Int) throws {
        try FileSystem.removeFile(path(upload, number))
    }

    // MARK: - All of an upload

    /// Makes the names of an upload's files durable.
    package func synchronize(upload: String) throws {
        // An upload all of whose shards were sealed by an earlier process may have none.
        guard try FileSystem.loadStatus(folder(upload)) != nil else { return }
        try FileSystem.synchronizeDirectory(folder(upload))
        try FileSystem.synchronizeDirectory(directory)
    }

    /// Removes an upload's directory with all that is in it.
    package func remove(upload: String) throws(IOError) {
        try FileSystem.removeTree(folder(upload))
    }

    /// Removes all that a process left which is no more, but for some uploads.
    func sweep(keeping uploads: Set<String>) throws {
        for name in try Directory(directory).loadNames() {
            let upload = String(decoding: name, as: UTF8.self)
            if !uploads.contains(upload) { try remove(upload: upload) }
        }
    }

    private func folder(_ upload: String) -> String { directory + "/" + upload }

    private func path(_ upload: String, _ number: Int) -> String {
        folder(upload) + "/\(number)"
    }
}

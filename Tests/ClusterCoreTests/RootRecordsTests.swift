import Foundation
import Multiformats
import PosixIO
import ShardPlanner
import Testing

@testable import ClusterCore

/// The directory of root records, also after a process was killed while it wrote there.
final class RootRecordsTests {
    private let data = NSTemporaryDirectory() + "roots-\(UUID().uuidString)"
    private let workers: WorkerPool
    private let record: RootRecordFile

    init() throws {
        try FileSystem.makeDirectory(data)
        workers = try WorkerPool(name: "test", threadCount: 1)
        let node = try ListNode.blocks(for: [CID("bafkqaaa")])
        record = RootRecordFile(
            upload: UploadID(high: 1, low: 2), root: try CID("bafkqaaa"),
            clusterDAG: node.last!.cid, name: "a name", clusterNodes: node,
            shards: [ShardCopyID(shard: try CID("bafkqaaa"), generation: 0)])
    }

    deinit {
        workers.shutDown()
        // Left-overs in the temporary directory fail no test.
        try? FileManager.default.removeItem(atPath: data)
    }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: data + "/roots").sorted()
    }

    @Test func aWrittenRecordIsKnownToTheNextProcess() async throws {
        try await RootRecords(dataDirectory: data, workers: workers).write(record)
        let reopened = try RootRecords(dataDirectory: data, workers: workers)
        #expect(reopened.uploads == [record.upload])
        let name = try #require(try names().first)
        #expect(try FileSystem.loadFile(data + "/roots/" + name) == record.encoded)
    }

    @Test func aRemovedRecordLeavesNothing() async throws {
        let records = try RootRecords(dataDirectory: data, workers: workers)
        try await records.write(record)
        try await records.remove(record.upload)
        #expect(records.uploads.isEmpty)
        #expect(try names() == [])
    }

    @Test func aRecordThatNeverCameToItsPlaceIsRemovedAtTheNextStart() async throws {
        try await RootRecords(dataDirectory: data, workers: workers).write(record)
        let unfinished = "\(UploadID(high: 3, low: 4)).car.new"
        try Data(record.encoded).write(to: URL(fileURLWithPath: data + "/roots/" + unfinished))
        let reopened = try RootRecords(dataDirectory: data, workers: workers)
        #expect(reopened.uploads == [record.upload])
        #expect(try names() == ["\(record.upload).car"])
    }

    @Test func filesOfOthersStay() throws {
        try FileSystem.makeDirectory(data + "/roots")
        try Data("notes".utf8).write(to: URL(fileURLWithPath: data + "/roots/notes.new"))
        #expect(try RootRecords(dataDirectory: data, workers: workers).uploads.isEmpty)
        #expect(try names() == ["notes.new"])
    }
}

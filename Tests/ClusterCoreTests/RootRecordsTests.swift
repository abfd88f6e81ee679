import Foundation
import Multiformats
import PosixIO
import ShardPlanner
import Testing

@testable import ClusterCore

/// The directory of root records, also after a process was killed while it wrote there.
struct RootRecordsTests {
    private let fixture: StoreFixture
    private let record: RootRecordFile

    init() throws {
        fixture = try StoreFixture()
        let node = try ListNode.blocks(for: [CID("bafkqaaa")])
        record = RootRecordFile(
            upload: UploadID(high: 1, low: 2), root: try CID("bafkqaaa"),
            clusterDAG: node.last!.cid, name: "a name", clusterNodes: node,
            shards: [ShardCopyID(shard: try CID("bafkqaaa"), generation: 0)])
    }

    private var data: String { fixture.directory }

    private func open() throws -> RootRecords {
        try RootRecords(dataDirectory: data, workers: fixture.workers)
    }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: data + "/roots").sorted()
    }

    @Test func aWrittenRecordIsKnownToTheNextProcess() async throws {
        try await open().write(record)
        let reopened = try open()
        #expect(reopened.uploads == [record.upload])
        let name = try #require(try names().first)
        #expect(try FileSystem.loadFile(data + "/roots/" + name) == record.encoded)
    }

    @Test func aRemovedRecordLeavesNothing() async throws {
        let records = try open()
        try await records.write(record)
        try await records.remove(record.upload)
        #expect(records.uploads.isEmpty)
        #expect(try names() == [])
    }

    @Test func aRecordThatNeverCameToItsPlaceIsRemovedAtTheNextStart() async throws {
        try await open().write(record)
        let unfinished = "\(UploadID(high: 3, low: 4)).car.new"
        try Data(record.encoded).write(to: URL(fileURLWithPath: data + "/roots/" + unfinished))
        let reopened = try open()
        #expect(reopened.uploads == [record.upload])
        #expect(try names() == ["\(record.upload).car"])
    }

    @Test func filesOfOthersStay() throws {
        try FileSystem.makeDirectory(data + "/roots")
        try Data("notes".utf8).write(to: URL(fileURLWithPath: data + "/roots/notes.new"))
        #expect(try open().uploads.isEmpty)
        #expect(try names() == ["notes.new"])
    }
}

import Foundation
import Multiformats
import SeededRandom
import Testing

@testable import IngestAPI

private let root = try! CID("bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354")
private let legacyRoot = try! CID("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn")
private let peer = try! PeerID("12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp")

private func text(_ write: (inout [UInt8]) -> Void) -> String {
    var output: [UInt8] = []
    write(&output)
    return String(decoding: output, as: UTF8.self)
}

/// JSON that Go writes for the same values, with its fields sorted.
private func json(_ value: some Encodable) throws -> String {
    String(decoding: try JSONBody.encode(value), as: UTF8.self)
}

struct AddedOutputTests {
    @Test func linesHaveTheseBytes() {
        #expect(
            text {
                AddedOutput.appendLine(
                    name: "d/f".utf8, cid: root, size: 123, allocations: [peer, peer], to: &$0)
            }
                == "{\"name\":\"d/f\",\"cid\":\"\(root)\",\"size\":123,\"allocations\":[\"\(peer)\",\"\(peer)\"]}\n"
        )
        #expect(
            text { AddedOutput.appendLine(name: "".utf8, cid: legacyRoot, size: 0, to: &$0) }
                == "{\"name\":\"\",\"cid\":\"\(legacyRoot)\"}\n")
        #expect(
            text { AddedOutput.appendProgressLine(name: "f".utf8, bytes: .max, to: &$0) }
                == "{\"name\":\"f\",\"cid\":null,\"bytes\":18446744073709551615}\n")
        #expect(
            text { KuboAddedOutput.appendLine(name: "f".utf8, cid: legacyRoot, size: 9, to: &$0) }
                == "{\"Name\":\"f\",\"Hash\":\"\(legacyRoot)\",\"Size\":\"9\"}\n")
        #expect(
            text { KuboAddedOutput.appendProgressLine(name: "f".utf8, bytes: 10, to: &$0) }
                == "{\"Name\":\"f\",\"Bytes\":10}\n")
    }

    @Test func linesAreDecodedByTheirShapes() throws {
        var line: [UInt8] = []
        AddedOutput.appendLine(name: "f".utf8, cid: root, size: 5, allocations: [peer], to: &line)
        #expect(
            try JSONBody.decode(AddedOutput.self, from: line)
                == AddedOutput(
                    name: "f", cid: root.description, size: 5, allocations: [peer.description]))
        line = []
        AddedOutput.appendProgressLine(name: "f".utf8, bytes: 7, to: &line)
        #expect(
            try JSONBody.decode(AddedOutput.self, from: line)
                == AddedOutput(name: "f", cid: nil, bytes: 7))
        line = []
        KuboAddedOutput.appendLine(name: "f".utf8, cid: root, size: 5, to: &line)
        #expect(try JSONBody.decode(KuboAddedOutput.self, from: line).size == "5")
    }

    @Test(arguments: [
        ("plain", "plain"), ("a\"b\\c", #"a\"b\\c"#), ("\n\r\t", #"\n\r\t"#),
        ("\u{0}\u{1f}\u{7f}", "\\u0000\\u001f\u{7f}"), ("ü\n\"", "ü\\n\\\""), ("日本\\", "日本\\\\"),
    ])
    func namesAreEscaped(name: String, escaped: String) {
        #expect(text { JSONText.appendString(name.utf8, to: &$0) } == "\"\(escaped)\"")
    }

    @Test func namesThatAreNotUTF8AreShownWithReplacementCharacters() {
        #expect(
            text { JSONText.appendString([0x61, 0xff, 0xfe, 0x0a], to: &$0) }
                == "\"a\u{FFFD}\u{FFFD}\\n\"")
    }

    /// Whatever the bytes, Foundation reads back the text they stand for.
    @Test(arguments: 0..<200 as Range<UInt64>)
    func escapedNamesAreReadBack(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let name = (0..<40).map { _ in
            Bool.random(using: &random)
                ? UInt8.random(in: 0..<0x80, using: &random)
                : UInt8(truncatingIfNeeded: random.next())
        }
        var line: [UInt8] = []
        JSONText.appendString(name, to: &line)
        #expect(!line.contains(0x0a))
        #expect(
            try JSONDecoder().decode(String.self, from: Data(line))
                == String(decoding: name, as: UTF8.self))
    }

    @Test(arguments: [0, 9, 10, 18_446_744_073_709_551_615] as [UInt64])
    func numbersAreDecimal(number: UInt64) {
        #expect(text { JSONText.appendNumber(number, to: &$0) } == "\(number)")
    }
}

struct DocumentTests {
    @Test func aPinHasAllOfIPFSClustersFields() throws {
        var pin = PinDocument(cid: root.description, type: .meta)
        pin.name = "x"
        pin.shardSize = 104_857_600
        pin.reference = legacyRoot.description
        pin.timestamp = WallTime(seconds: 1_763_688_960)
        let expected = """
            {"allocations":[],"cid":"\(root)","expire_at":"0001-01-01T00:00:00Z","max_depth":-1,\
            "metadata":{},"mode":"recursive","name":"x","origins":[],"pin_update":null,\
            "reference":"\(legacyRoot)","replication_factor_max":0,"replication_factor_min":0,\
            "shard_size":104857600,"timestamp":"2025-11-21T01:36:00Z","type":"meta-pin",\
            "user_allocations":[]}
            """
        #expect(try json(pin) == expected)
        #expect(try JSONBody.decode(PinDocument.self, from: JSONBody.encode(pin)) == pin)
        pin.reference = nil
        pin.expireAt = WallTime(seconds: 1_900_000_000)
        #expect(try json(pin).contains("\"reference\":null"))
        #expect(try JSONBody.decode(PinDocument.self, from: JSONBody.encode(pin)) == pin)
    }

    @Test func pinsThatGoWroteAreRead() throws {
        let written = """
            {"replication_factor_min":-1,"replication_factor_max":-1,"name":"","mode":"direct",
            "shard_size":0,"user_allocations":null,"expire_at":"0001-01-01T00:00:00Z",
            "metadata":null,"pin_update":null,"origins":null,"cid":"\(root)",
            "type":"clusterdag-pin","allocations":[],"max_depth":0,"reference":null,
            "timestamp":"2025-11-21T01:36:00.123456789+01:00"}
            """
        let pin = try JSONBody.decode(PinDocument.self, from: Array(written.utf8))
        #expect(pin.type == .clusterDAG && pin.maxDepth == 0 && pin.expireAt == nil)
    }

    @Test func aGlobalPinInfoHasIPFSClustersFields() throws {
        let state = GlobalPinInfo.PeerState(
            peername: "a", status: .pinQueued, timestamp: WallTime(seconds: 0))
        let info = GlobalPinInfo(
            cid: root.description, name: "n", allocations: [peer.description],
            created: WallTime(seconds: 0), peerMap: [peer.description: state])
        #expect(
            try json(info) == """
                {"allocations":["\(peer)"],"cid":"\(root)","created":"1970-01-01T00:00:00Z",\
                "metadata":{},"name":"n","origins":[],"peer_map":{"\(peer)":{"attempt_count":0,\
                "error":"","peername":"a","priority_pin":false,"status":"pin_queued",\
                "timestamp":"1970-01-01T00:00:00Z"}}}
                """)
        #expect(try JSONBody.decode(GlobalPinInfo.self, from: JSONBody.encode(info)) == info)
    }

    @Test func aPeerHasIPFSClustersFieldsAndItsStorage() throws {
        let document = PeerDocument(
            id: peer.description, peername: "a", version: "1",
            storage: .init(capacityBytes: 3, usedBytes: 2, reservedBytes: 1, zone: "z"))
        #expect(
            try json(document) == """
                {"addresses":[],"cluster_peers":[],"cluster_peers_addresses":[],"commit":"",\
                "error":"","id":"\(peer)","ipfs":{"addresses":[],"error":""},"peername":"a",\
                "rpc_protocol_version":"","storage":{"capacity_bytes":3,"reserved_bytes":1,\
                "state":"up","used_bytes":2,"zone":"z"},"version":"1"}
                """)
        #expect(try json(VersionDocument(version: "1")) == "{\"version\":\"1\"}")
    }

    @Test func anErrorHasCodeMessageAndTheFieldsOfRFC9457() throws {
        let error = ErrorDocument(
            .noSpace, "needs 5 bytes", instance: "/add", remedy: "add a peer", requestID: "r")
        #expect(
            try json(error) == """
                {"code":507,"detail":"needs 5 bytes","instance":"/add","message":"needs 5 bytes",\
                "remedy":"add a peer","request_id":"r","status":507,"title":"Not enough space",\
                "type":"urn:ingestd:error:no-space"}
                """)
        #expect(
            try json(KuboErrorDocument(.badParameter, "m"))
                == "{\"Code\":1,\"Message\":\"m\",\"Type\":\"error\"}")
    }

    @Test func shardsHaveTheseFields() throws {
        let table = ShardTable(
            root: "r", clusterDAG: "c", name: "n", replicationFactorMin: 1,
            replicationFactorMax: 2,
            shards: [
                .init(
                    number: 0, cid: "s", blocks: 1, payloadBytes: 2, fileBytes: 3,
                    peers: [.init(id: "p", name: "a", state: "stored")])
            ])
        try expect(
            table,
            """
            {"cluster_dag":"c","name":"n","replication_factor_max":2,\
            "replication_factor_min":1,"root":"r","shards":[{"blocks":1,"cid":"s",\
            "file_bytes":3,"number":0,"payload_bytes":2,"peers":[{"id":"p","name":"a",\
            "state":"stored"}]}]}
            """)
        var why = ShardWhy(
            shard: "s", upload: "u", number: 0, logIndex: 1, decidedAt: WallTime(seconds: 0),
            rulesVersion: 1, neededBytes: 2, chosen: ["p"],
            verdicts: [.init(id: "p", name: "a", isChosen: true, verdict: "chosen")],
            inputDigest: "00")
        let verdicts = #"[{"chosen":true,"id":"p","name":"a","verdict":"chosen"}]"#
        try expect(
            why,
            """
            {"chosen":["p"],"decided_at":"1970-01-01T00:00:00Z","input_digest":"00","log_index":1,\
            "needed_bytes":2,"number":0,"rules_version":1,"shard":"s","upload":"u",\
            "verdicts":\(verdicts)}
            """)
        why.isReplayedEqually = true
        try expect(
            why,
            """
            {"chosen":["p"],"decided_at":"1970-01-01T00:00:00Z","input_digest":"00","log_index":1,\
            "needed_bytes":2,"number":0,"replayed_equally":true,"rules_version":1,"shard":"s",\
            "upload":"u","verdicts":\(verdicts)}
            """)
    }

    @Test func uploadsHaveTheseFields() throws {
        try expect(
            UploadStatus(
                id: "u", state: .open, name: "", coordinator: "p", opened: WallTime(seconds: 0)),
            """
            {"coordinator":"p","id":"u","name":"","opened":"1970-01-01T00:00:00Z",\
            "reserved_bytes":0,"shards_sealed":0,"state":"open"}
            """)
        try expect(
            UploadStatus(
                id: "u", state: .committed, name: "n", coordinator: "p",
                opened: WallTime(seconds: 0), offset: 5, length: 6, shardsSealed: 2,
                reservedBytes: 7, root: "r"),
            """
            {"coordinator":"p","id":"u","length":6,"name":"n","offset":5,\
            "opened":"1970-01-01T00:00:00Z","reserved_bytes":7,"root":"r","shards_sealed":2,\
            "state":"committed"}
            """)
        try expect(
            UploadStatus(
                id: "u", state: .aborted, name: "n", coordinator: "p", opened: WallTime(seconds: 0),
                error: ErrorDocument(.bodyCut, "cut")),
            """
            {"coordinator":"p","error":{"code":400,"detail":"cut","message":"cut","status":400,\
            "title":"The body ended too early","type":"urn:ingestd:error:body-cut"},"id":"u",\
            "name":"n","opened":"1970-01-01T00:00:00Z","reserved_bytes":0,"shards_sealed":0,\
            "state":"aborted"}
            """)
    }

    @Test func plansHaveTheseFields() throws {
        try expect(PlanRequest(fileBytes: [1, .max]), #"{"file_bytes":[1,18446744073709551615]}"#)
        try expect(PlanAnswer(shards: [["p", "q"], []]), #"{"shards":[["p","q"],[]]}"#)
    }

    /// A value is written as this text, and read from it.
    private func expect<Value: Codable & Equatable>(
        _ value: Value, _ text: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        #expect(try json(value) == text, sourceLocation: sourceLocation)
        #expect(
            try JSONBody.decode(Value.self, from: Array(text.utf8)) == value,
            sourceLocation: sourceLocation)
    }

    @Test func aTableTellsShardsWithTooFewAndTooManyCopies() {
        func shard(_ states: [String]) -> ShardTable.Shard {
            .init(
                number: 0, cid: "s", blocks: 1, payloadBytes: 1, fileBytes: 1,
                peers: states.map { .init(id: "p", name: "", state: $0) })
        }
        var table = ShardTable(
            root: "r", clusterDAG: "c", name: "", replicationFactorMin: 2, replicationFactorMax: 2,
            shards: [
                shard(["stored", "stored"]), shard(["stored", "lost"]), shard([]),
                shard(["stored", "stored", "stored"]), shard(["stored", "stored", "lost"]),
            ])
        #expect(table.miscopied(peerCount: 3) == (2, 1))
        table.replicationFactorMin = -1
        table.replicationFactorMax = -1
        #expect(table.miscopied(peerCount: 3) == (4, 0))
    }

    @Test func errorCodesAreDistinctAndHaveAStatusOfTheirClass() {
        let codes = ErrorCode.allCases
        #expect(Set(codes.map(\.title)).count == codes.count)
        for code in codes { #expect((400...599).contains(code.status)) }
    }

    @Test func hostileJSONIsRefusedInWords() {
        struct Body: Codable { var peer: String }
        for (text, words) in [
            ("{not json", "not JSON"), ("", "not JSON"), ("{}", "peer"), ("[]", "body"),
            ("{\"peer\":5}", "peer"), (String(repeating: "[", count: 500_000), "JSON"),
            ("{\"peer\":null}", "peer"),
        ] {
            do {
                _ = try JSONBody.decode(Body.self, from: Array(text.utf8))
                Issue.record("accepted \(text.prefix(20))")
            } catch {
                #expect(error.description.contains(words), "\(error)")
                #expect(error.errorCode.status == 400)
            }
        }
    }
}

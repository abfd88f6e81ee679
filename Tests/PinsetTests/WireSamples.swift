import Multiformats
import ShardPlanner

@testable import Pinset

/// One of every command, outcome and refusal, for tests of their lasting forms.
enum WireSamples {
    private static let a = Names.peer("a")
    private static let b = Names.peer("b")
    private static let id = Names.upload("u")
    private static let cid = Names.cid("s")
    private static let time = LogTime(millisecondsSinceEpoch: 1_700_000_000_000)

    static var options: UploadOptions {
        var options = TestCluster.options(
            "holiday", copies: 2, max: 3, allowed: ["b", "a"], expected: 5 << 30)
        options.expireAt = time
        options.metadata = PinMetadata(["zone": "é", "/": "link?", "b": ""])
        options.mode = .direct
        return options
    }

    static var everywhere: UploadOptions {
        var options = TestCluster.options("")
        options.shardLimitByteCount = nil
        if let policy = try? AllocationPolicy(replicationMin: -1, replicationMax: -1) {
            options.policy = policy
        }
        return options
    }

    static var commands: [(name: String, command: Command)] {
        [
            ("joinPeer", .joinPeer(Names.join("a", zone: "x", host: "h", capacity: 1 << 40))),
            (
                "joinPeer-replacing",
                .joinPeer(
                    Names.join(
                        "b", capacity: 0, storage: StorageID(high: 0, low: 5), replacing: true))
            ),
            ("setCapacity", .setCapacity(a, byteCount: 300)),
            ("setPeerStatus-up", .setPeerStatus(a, .up)),
            ("setPeerStatus-down", .setPeerStatus(a, .down(since: time))),
            ("drainPeer", .drainPeer(a)),
            ("undrainPeer", .undrainPeer(a)),
            ("forgetPeer", .forgetPeer(a, acceptingLoss: true)),
            ("openUpload", .openUpload(id, options)),
            ("openUpload-everywhere", .openUpload(id, everywhere)),
            ("reserveShard", .reserveShard(id, number: 7, byteCount: 105_906_176)),
            ("extendReservation", .extendReservation(id, number: 7, byteCount: 1 << 31)),
            ("reallocateShard", .reallocateShard(id, number: 300, excluding: [b, a])),
            (
                "sealShard",
                .sealShard(
                    id, number: 0, TestCluster.shard("s", depth: 2),
                    receipts: [
                        Receipt(
                            peer: a, storageID: Names.storage(of: a), generation: 3,
                            fileByteCount: 90),
                        Receipt(
                            peer: b, storageID: Names.storage(of: b), generation: 0,
                            fileByteCount: 90),
                    ])
            ),
            ("commitUpload", .commitUpload(id, TestCluster.commit("root", ["s", "t"]))),
            ("abortUpload", .abortUpload(id, reason: "client went away")),
            ("renewUpload", .renewUpload(id)),
            ("expireUpload", .expireUpload(id, renewals: 2)),
            ("forgetEndedUploads", .forgetEndedUploads(endedBefore: time)),
            ("unpin", .unpin(Names.cid("root", .dagPB))),
            ("expirePins", .expirePins(at: time)),
            ("confirmDropped", .confirmDropped(a, shard: cid, generation: 65_536)),
        ]
    }

    static var refusals: [Refusal] {
        let storage = StorageID(high: 1, low: 2)
        var counts = VerdictCounts()
        counts.noRoom = 1
        counts.draining = 2
        let shortfall = AllocationShortfall(
            shardByteCount: 5, required: 2, found: 1, counts: counts, largestFreeByteCount: 4)
        return [
            .requestTooOld(proposerIndex: .beforeFirst, rememberedFrom: LogIndex(rawValue: 5)),
            .alreadyApplied(logIndex: LogIndex(rawValue: .max)), .unknownPeer(a),
            .storageDiffers(a, known: storage, given: Names.storage(of: a)),
            .peerHoldsShards(a, copies: 1, reservedByteCount: 2), .uploadExists(id),
            .unknownUpload(id), .uploadEnded(id, committed: true), .uploadRenewed(id, renewals: 1),
            .noSpace(shortfall),
            .tooLittleRoom(neededByteCount: 1, copies: 2, freeByteCount: 3),
            .noSpaceToExtend(a, neededByteCount: 1, freeByteCount: 0),
            .shardNumber(given: 2, expected: 1), .unknownShard(id, number: 1),
            .shardAlreadySealed(id, number: 1), .shardInUpload(cid, number: 1),
            .shardLargerThanReserved(fileByteCount: 2, reservedByteCount: 1), .shardDiffers(cid),
            .receiptFromStranger(a), .receiptTwice(a),
            .receiptOutdated(a, generation: 1, droppedGeneration: 2),
            .receiptSize(a, fileByteCount: 1, expected: 2), .tooFewReceipts(found: 0, required: 1),
            .uploadIncomplete(unsealedNumber: 0, shardCount: 1),
            .tooManyShards(sealed: 2, shardCount: 1),
            .tooFewCopies(number: 0, found: 0, required: 1),
            .clusterDAGDiffers(computed: cid, given: Names.cid("other")),
            .notPinned(cid), .badArgument("no"),
        ]
    }

    static var outcomes: [Outcome] {
        [
            .done,
            .reserved(
                ReservedShard(
                    peers: [b, a], byteCount: 100, allocationVersion: 2, inputDigest: [1, 2, 3],
                    counts: VerdictCounts())),
            .sealed(SealedShard(holders: [a, b], alreadyHeld: true, surplus: [b])),
            .committed(CommittedUpload(root: cid, replaced: false)),
            .unpinned(UnpinnedRoots(rootCount: 1, droppedShardCount: 2, droppedByteCount: 3)),
            .forgotten(count: 9),
        ] + refusals.map { .refused($0) }
    }

    /// A state with rows of every table.
    static var state: PinsetState {
        var cluster = TestCluster(state: PinsetState(rememberedRequestLimit: 20))
        cluster.join(["a", "b", "c"], capacity: 1000)
        cluster.run(.drainPeer(Names.peer("c")))
        cluster.run(.setPeerStatus(Names.peer("c"), .down(since: time)))
        cluster.upload("one", root: "root1", shards: ["s", "t"], copies: 2)
        cluster.upload("two", root: "root2", shards: ["u"])
        cluster.run(.openUpload(Names.upload("three"), TestCluster.options("three")))
        cluster.run(.reserveShard(Names.upload("three"), number: 0, byteCount: 50))
        cluster.run(.unpin(Names.cid("root2")))
        var marked = options
        marked.expectedByteCount = nil
        cluster.run(.openUpload(Names.upload("four"), marked))
        cluster.run(.abortUpload(Names.upload("four"), reason: "tab\tand “quotes\" \\ é"))
        return cluster.state
    }
}

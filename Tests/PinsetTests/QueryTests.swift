import Multiformats
import ShardPlanner
import Testing

@testable import Pinset

/// Questions to the state: pins as ipfs-cluster lists them, holdings, reasons.
struct QueryTests {
    private func cluster() -> TestCluster {
        var cluster = TestCluster()
        cluster.join(["a", "b", "c"], capacity: 10_000)
        cluster.upload("one", root: "root1", shards: ["s", "t", "u"], copies: 2)
        cluster.upload("two", root: "root2", shards: ["v", "s"])
        cluster.run(.openUpload(Names.upload("open"), TestCluster.options("open")))
        cluster.run(.reserveShard(Names.upload("open"), number: 0, byteCount: 50))
        return cluster
    }

    @Test func pinsThatExpireAreToldOfFromTheirTimeOn() {
        var cluster = cluster()
        let time = LogTime(millisecondsSinceEpoch: 5_000_000)
        var options = TestCluster.options("three")
        options.expireAt = time
        let before = LogTime(millisecondsSinceEpoch: 4_999_999)
        #expect(!cluster.state.hasPins(expiringBy: LogTime(millisecondsSinceEpoch: .max)))
        let id = Names.upload("three")
        cluster.run(.openUpload(id, options))
        cluster.run(.reserveShard(id, number: 0, byteCount: 100))
        let shard = TestCluster.shard("x")
        let receipts = cluster.receipts(
            cluster.state.reservation(id, number: 0)?.peers ?? [], of: shard)
        cluster.run(.sealShard(id, number: 0, shard, receipts: receipts))
        cluster.run(.commitUpload(id, TestCluster.commit("root3", ["x"])))
        #expect(!cluster.state.hasPins(expiringBy: before))
        #expect(cluster.state.hasPins(expiringBy: time))
        cluster.run(.expirePins(at: time))
        #expect(!cluster.state.hasPins(expiringBy: time))
    }

    @Test func endedUploadsAreToldOfUntilTheyAreForgotten() throws {
        var cluster = cluster()
        let ended = try #require(cluster.state.upload(Names.upload("one"))?.endedAt)
        let after = LogTime(millisecondsSinceEpoch: ended.millisecondsSinceEpoch + 1)
        #expect(cluster.state.endOfUploadsToForget(endedBefore: ended, keeping: 100) == nil)
        #expect(cluster.state.endOfUploadsToForget(endedBefore: after, keeping: 100) == after)
        cluster.run(.forgetEndedUploads(endedBefore: after))
        #expect(cluster.state.endOfUploadsToForget(endedBefore: after, keeping: 100) == nil)
    }

    @Test func ofManyEndedUploadsTheLastAreToldOfHoweverYoungTheOthersAre() throws {
        var cluster = TestCluster()
        cluster.run(.joinPeer(Names.join("a", capacity: 1000)))
        let uploads = (0..<5).map { Names.upload("u\($0)") }
        for upload in uploads {
            cluster.run(.openUpload(upload, TestCluster.options("u")))
            cluster.run(.abortUpload(upload, reason: "test"))
        }
        let end = try #require(
            cluster.state.endOfUploadsToForget(
                endedBefore: LogTime(millisecondsSinceEpoch: 0), keeping: 2))
        cluster.run(.forgetEndedUploads(endedBefore: end))
        #expect(
            uploads.map { cluster.state.upload($0) != nil } == [false, false, false, true, true])
    }

    @Test func aRootHasThePinsOfClusterWithItsNamesAndReferences() throws {
        let state = cluster().state
        let pins = state.pins().pins.filter { $0.root == Names.cid("root1") }
        let dag = Names.clusterDAG(["s", "t", "u"])
        #expect(
            pins.map(\.name) == [
                "one", "one-clusterDAG", "one-shard-0", "one-shard-1", "one-shard-2",
            ])
        #expect(pins.map(\.type) == [.meta, .clusterDAG, .shard, .shard, .shard])
        #expect(pins.map(\.cid) == [Names.cid("root1"), dag] + ["s", "t", "u"].map(Names.cid))
        #expect(
            pins.map(\.reference)
                == [dag, Names.cid("root1"), nil, Names.cid("s"), Names.cid("t")])
        #expect(pins.map(\.maxDepth) == [0, 0, 1, 1, 1])
        #expect(pins.map(\.shardByteCount) == [0, 0, 80, 80, 80])
        #expect(pins.map(\.allocations.count) == [0, 0, 2, 2, 2])
        #expect(pins.map(\.replicationFactorMin) == [2, -1, 2, 2, 2])
        #expect(
            PinType.allCases.map(\.rawValue) == ["pin", "meta-pin", "clusterdag-pin", "shard-pin"])
    }

    @Test(arguments: 1...11)
    func pagesAddUpToTheWholeList(limit: Int) throws {
        let state = cluster().state
        for types in [Set(PinType.allCases), [.meta], [.shard], [.clusterDAG, .meta], [.pin]] {
            let whole = state.pins(of: types)
            #expect(whole.next == nil)
            var pages: [PinRecord] = []
            var cursor: PinCursor?
            repeat {
                let page = state.pins(of: types, after: cursor, limit: limit)
                #expect(page.pins.count <= limit)
                pages += page.pins
                cursor = try page.next.map { try #require(PinCursor($0.description)) }
            } while cursor != nil
            #expect(pages == whole.pins)
        }
    }

    @Test func aPageGoesOnBehindARootThatIsGone() throws {
        var cluster = cluster()
        let first = cluster.state.pins(limit: 2)
        let gone = try #require(first.next)
        let before = cluster.state.pins().pins.filter { $0.root != gone.root }
        cluster.run(.unpin(gone.root))
        #expect(cluster.state.pins(after: gone).pins == before)
    }

    @Test func wordsThatAreNoCursorAreNone() {
        for text in [
            "", ":", "bafkqaaa", "bafkqaaa:-1", "x:1", "bafkqaaa:1:2", "bafkqaaa:\(Int.max)",
        ] {
            #expect(PinCursor(text) == nil)
        }
    }

    @Test func aCIDFindsItsPins() {
        let state = cluster().state
        #expect(state.pins(for: Names.cid("root2")).map(\.name) == ["two"])
        #expect(state.pins(for: Names.clusterDAG(["v", "s"])).map(\.name) == ["two-clusterDAG"])
        #expect(Set(state.pins(for: Names.cid("s")).map(\.name)) == ["one-shard-0", "two-shard-1"])
        #expect(state.pins(for: Names.cid("nothing")).isEmpty)
        #expect(state.roots(ofShard: Names.cid("s")).count == 2)
    }

    @Test func aVersionZeroRootIsFoundByItsOtherCID() throws {
        var cluster = TestCluster()
        cluster.join(["a"], capacity: 1000)
        let other = Names.cid("r", .dagPB)
        let root = other.withDigest {
            CID(version: .v0, codec: .dagPB, hashFunction: .sha2_256, digest: $0)
        }
        let id = Names.upload("u")
        cluster.run(.openUpload(id, TestCluster.options("u")))
        cluster.run(.reserveShard(id, number: 0, byteCount: 100))
        let shard = TestCluster.shard("s")
        let receipts = cluster.receipts([Names.peer("a")], of: shard)
        cluster.run(.sealShard(id, number: 0, shard, receipts: receipts))
        var commit = TestCluster.commit("", ["s"])
        commit.root = root
        #expect(cluster.run(.commitUpload(id, commit)).refusal == nil)
        #expect(cluster.state.root(other)?.root == root)
        #expect(cluster.state.pins(for: other).map(\.cid) == [root])
        #expect(cluster.state.shards(ofRoot: other)?.count == 1)
    }

    @Test func onlyARootThatCarriesItsContentNeedsNoShard() throws {
        var cluster = TestCluster()
        cluster.join(["a"], capacity: 1000)
        let id = Names.upload("u")
        cluster.run(.openUpload(id, TestCluster.options("u")))
        var commit = TestCluster.commit("root", [])
        #expect(cluster.run(.commitUpload(id, commit)).refusal != nil)
        commit.root = try CID("bafkqaaa")
        #expect(cluster.run(.commitUpload(id, commit)).refusal == nil)
        #expect(cluster.state.pins().pins.map(\.type) == [.meta, .clusterDAG])
        #expect(cluster.state.checkInvariants() == [])
        var rows: [StateRow] = []
        cluster.state.forEachRow { rows.append($0) }
        #expect(try PinsetState(rows: rows).digest() == cluster.state.digest())
        cluster.run(.unpin(commit.root))
        #expect(cluster.state.rootCount == 0)
    }

    @Test func openUploadsShowTheirProgressAndNoPins() {
        var cluster = cluster()
        let id = Names.upload("open")
        #expect(cluster.state.progress(of: id)?.shardCount == 1)
        #expect(cluster.state.progress(of: id)?.reservedByteCount == 50)
        #expect(cluster.state.pins().pins.allSatisfy { !$0.name.hasPrefix("open") })
        let shard = TestCluster.shard("w", payload: 30, file: 40)
        let peers = cluster.state.reservation(id, number: 0)?.peers ?? []
        cluster.run(.sealShard(id, number: 0, shard, receipts: cluster.receipts(peers, of: shard)))
        #expect(cluster.state.progress(of: id)?.sealedCount == 1)
        #expect(cluster.state.progress(of: id)?.sealedPayloadByteCount == 30)
        #expect(cluster.state.pins(for: Names.cid("w")).isEmpty, "not before the commit")
        cluster.run(.abortUpload(id, reason: "test"))
        #expect(cluster.state.progress(of: id) == nil)
    }

    @Test func aDecisionIsReplayedFromTheStateBeforeIt() throws {
        var cluster = cluster()
        let id = Names.upload("open")
        let before = cluster.state
        cluster.run(.reserveShard(id, number: 1, byteCount: 700))
        let shard = TestCluster.shard("w", payload: 500, file: 600)
        let reservation = try #require(cluster.state.reservation(id, number: 1))
        cluster.run(
            .sealShard(
                id, number: 1, shard, receipts: cluster.receipts(reservation.peers, of: shard)))
        let kept = try #require(cluster.state.why(shard.cid))
        #expect(kept.chosen == reservation.peers)
        let replayed = try before.replay(kept)
        #expect(replayed.chosen == kept.chosen && replayed.inputDigest == kept.inputDigest)
        #expect(replayed.verdicts.count == 3)
        #expect(try cluster.state.replay(kept).inputDigest != kept.inputDigest)
    }

    @Test func aPlanIsWhatReservationsThenDo() throws {
        var cluster = cluster()
        let id = Names.upload("planned")
        let policy = try AllocationPolicy(replicationMin: 2, replicationMax: 2)
        let sizes = [500, 1500, 100, 900]
        var planner = cluster.state.planner
        let plan = try sizes.enumerated().map { number, size in
            try planner.place(id, number: number, fileByteCount: size, policy: policy)
        }
        cluster.run(.openUpload(id, TestCluster.options("planned", copies: 2)))
        for (number, size) in sizes.enumerated() {
            guard
                case .reserved(let reserved) = cluster.run(
                    .reserveShard(id, number: number, byteCount: size))
            else {
                Issue.record("no room for shard \(number)")
                return
            }
            #expect(reserved.peers == plan[number])
        }
        #expect(throws: AllocationError.self) {
            var planner = cluster.state.planner
            for (number, size) in [5000, 6000].enumerated() {
                _ = try planner.place(id, number: number, fileByteCount: size, policy: policy)
            }
        }
    }

    @Test func shardsAreListedInOrderAndByPage() {
        let state = cluster().state
        let all = state.shards(limit: 100).map(\.description.cid)
        #expect(all == ["s", "t", "u", "v"].map(Names.cid).sorted())
        #expect(state.shards(after: all[1], limit: 1).map(\.description.cid) == [all[2]])
    }

    @Test func holdingsNameEveryCopyOfAPeer() {
        let state = cluster().state
        let held = state.members.flatMap { state.holdings(of: $0.peer).copies }
        #expect(held.count == 2 * 3 + 1)
        #expect(state.holdings(of: Names.peer("stranger")) == Holdings(copies: [], drops: []))
    }
}

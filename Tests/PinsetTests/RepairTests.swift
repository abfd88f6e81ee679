import Multiformats
import ShardPlanner
import Testing

@testable import Pinset

/// What is short of copies, who makes them and who may take them.
struct ShardsToCopyTests {
    @Test func aLostCopyIsMadeAgainByTheLowestHolderAlone() {
        var cluster = TestCluster(joining: ["a", "b", "c", "d"])
        cluster.pin("root", ["s"], on: ["a", "b", "c"])
        cluster.goDown("c")
        #expect(cluster.namesToCopy(["s"], lost: ["c"]) == ["a": ["s"]])
    }

    @Test func theLowestHolderIsTheLowestThatIsUp() {
        var cluster = TestCluster(joining: ["a", "b", "c", "d"])
        cluster.pin("root", ["s"], on: ["a", "b", "c"])
        cluster.goDown("a")
        #expect(cluster.namesToCopy(["s"], lost: ["a"]) == ["b": ["s"]])
    }

    @Test func aLowerHolderThatIsDownButNotLostMakesNoCopies() {
        var cluster = TestCluster(joining: ["a", "b", "c", "d"])
        cluster.pin("root", ["s"], on: ["a", "b", "c"])
        cluster.goDown("a")
        cluster.goDown("c")
        #expect(cluster.namesToCopy(["s"], lost: ["c"]) == ["b": ["s"]])
    }

    @Test func nobodyCopiesAShardWithoutAHolderThatIsUp() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.goDown("a")
        cluster.goDown("b")
        #expect(cluster.namesToCopy(["s"], lost: ["a", "b"]) == [:])
    }

    @Test func aPeerThatIsDownButNotLostStillCounts() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.goDown("b")
        #expect(cluster.namesToCopy(["s"]) == [:])
    }

    @Test func aForgottenPeersCopyIsMadeAgain() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.run(.forgetPeer(Names.peer("b"), acceptingLoss: true))
        #expect(cluster.namesToCopy(["s"]) == ["a": ["s"]])
    }

    @Test func aCopyOnADrainingPeerDoesNotCount() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.run(.drainPeer(Names.peer("b")))
        #expect(cluster.namesToCopy(["s"]) == ["a": ["s"]])
    }

    @Test func aDrainingPeerCopiesWhatNobodyElseHolds() {
        var cluster = TestCluster(joining: ["a", "b"])
        cluster.pin("root", ["s"], on: ["a"])
        cluster.run(.drainPeer(Names.peer("a")))
        #expect(cluster.namesToCopy(["s"]) == ["a": ["s"]])
    }

    @Test func anUndrainedPeersCopyCountsAgain() {
        var cluster = TestCluster(joining: ["a", "b"])
        cluster.pin("root", ["s"], on: ["a"])
        cluster.run(.drainPeer(Names.peer("a")))
        cluster.run(.undrainPeer(Names.peer("a")))
        #expect(cluster.namesToCopy(["s"]) == [:])
    }

    @Test func aShardOfAnOpenUploadIsNotCopied() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.fill("root", ["s"], on: ["a", "b"])
        #expect(cluster.state.shard(Names.cid("s"))?.copies.count == 2)
        #expect(cluster.namesToCopy(["s"], lost: ["b"]) == [:])
    }

    @Test func aRootsShardIsCopiedAlsoWhenAnOpenUploadUsesIt() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.fill("other", ["s"], on: ["a", "b"])
        #expect(cluster.namesToCopy(["s"], lost: ["b"]) == ["a": ["s"]])
    }

    @Test func aShardOfAnUnpinnedRootIsNotCopied() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.run(.unpin(Names.cid("root")))
        #expect(cluster.namesToCopy(["s"], lost: ["b"]) == [:])
    }

    @Test func aShardThatNeverHadItsMaximumIsCopied() {
        var cluster = TestCluster(joining: ["a", "b"])
        cluster.pin("root", ["s"], on: ["a", "b"], max: 3)
        cluster.join(["c"], capacity: 10_000)
        #expect(cluster.namesToCopy(["s"]) == ["a": ["s"]])
    }

    @Test func aShardWithItsMaximumIsNotCopied() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        #expect(cluster.namesToCopy(["s"]) == [:])
    }

    @Test func onlyTheShardsThatAreShortAreCopied() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root1", ["s"], on: ["a", "b"])
        cluster.pin("root2", ["t"], on: ["a", "c"])
        cluster.goDown("c")
        #expect(cluster.namesToCopy(["s", "t"], lost: ["c"]) == ["a": ["t"]])
    }

    @Test func shardsAreNamedInOrderOfTheirCIDs() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        let names = (0..<20).map { "shard \($0)" }
        cluster.pin("root", names, on: ["a", "b"])
        let found = cluster.state.shardsToCopy(
            from: Names.peer("a"), lost: [Names.peer("b")], limit: 100)
        #expect(found.map(\.description.cid) == names.map(Names.cid).sorted())
    }

    @Test(arguments: [0, 1, 7, 20, 21])
    func noMoreShardsAreNamedThanAskedFor(limit: Int) {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        let names = (0..<20).map { "shard \($0)" }
        cluster.pin("root", names, on: ["a", "b"])
        let found = cluster.state.shardsToCopy(
            from: Names.peer("a"), lost: [Names.peer("b")], limit: limit)
        #expect(found.map(\.description.cid) == Array(names.map(Names.cid).sorted().prefix(limit)))
    }

    @Test(arguments: ["c", "stranger"])
    func aPeerWithoutShardsCopiesNothing(name: String) {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        let found = cluster.state.shardsToCopy(
            from: Names.peer(name), lost: [Names.peer("b")], limit: 10)
        #expect(found.isEmpty)
    }

    @Test func aShardThatNobodyCanTakeIsNotNamed() {
        var cluster = TestCluster(joining: ["a", "b"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.goDown("b")
        #expect(cluster.namesToCopy(["s"], lost: ["b"]) == [:])
    }

    @Test func aShardThatIsLeftOutDoesNotCountAgainstTheLimit() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        let names = (0..<20).map { "shard \($0)" }
        cluster.pin("root", names, on: ["a", "b"])
        let sorted = names.map(Names.cid).sorted()
        let found = cluster.state.shardsToCopy(
            from: Names.peer("a"), lost: [Names.peer("b")], skipping: Set(sorted.prefix(3)),
            limit: 2)
        #expect(found.map(\.description.cid) == Array(sorted[3..<5]))
    }

    /// As in ipfs-cluster, a factor of -1 means every peer there is.
    @Test func aShardForEverywhereIsCopiedToPeersThatJoinLater() {
        var cluster = TestCluster(joining: ["a", "b"])
        cluster.pinEverywhere("root", "s")
        cluster.join(["c"], capacity: 10_000)
        #expect(cluster.namesToCopy(["s"]) == ["a": ["s"]])
    }

    @Test func aShardForEverywhereIsDoneWhenAllPeersThatCountHaveIt() {
        var cluster = TestCluster(joining: ["a", "b"])
        cluster.pinEverywhere("root", "s")
        cluster.join(["c"], capacity: 10_000)
        cluster.goDown("b")
        cluster.repair("s", on: "c")
        #expect(cluster.holders(of: "s") == ["a", "b", "c"])
        #expect(cluster.namesToCopy(["s"], lost: ["b"]) == [:])
    }
}

struct PeersForAnotherCopyTests {
    @Test func aHolderTakesNoSecondCopy() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        #expect(cluster.namesForAnotherCopy(of: "s") == ["c"])
    }

    @Test func aLostHolderTakesNoSecondCopy() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.goDown("b")
        #expect(cluster.namesForAnotherCopy(of: "s", lost: ["b"]) == ["c"])
    }

    @Test func aLostPeerTakesNoCopy() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a"])
        cluster.goDown("b")
        #expect(cluster.namesForAnotherCopy(of: "s", lost: ["b"]) == ["c"])
    }

    @Test func aPeerThatIsDownTakesNoCopy() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a"])
        cluster.goDown("b")
        #expect(cluster.namesForAnotherCopy(of: "s") == ["c"])
    }

    @Test func aDrainingPeerTakesNoCopy() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a"])
        cluster.run(.drainPeer(Names.peer("b")))
        #expect(cluster.namesForAnotherCopy(of: "s") == ["c"])
    }

    /// A shard's file has 90 bytes.
    @Test(arguments: [(89, []), (90, ["b"])])
    func aPeerTakesACopyWhenTheFileFits(capacity: Int, expected: [String]) {
        var cluster = TestCluster(joining: ["a"])
        cluster.join(["b"], capacity: capacity)
        cluster.pin("root", ["s"], on: ["a"])
        #expect(cluster.namesForAnotherCopy(of: "s") == expected)
    }

    @Test func promisedSpaceHasNoRoomForACopy() {
        var cluster = TestCluster(joining: ["a"])
        cluster.join(["b"], capacity: 150)
        cluster.pin("root", ["s"], on: ["a"])
        cluster.run(
            .openUpload(Names.upload("open"), TestCluster.options("open", allowed: ["b"])))
        cluster.run(.reserveShard(Names.upload("open"), number: 0, byteCount: 100))
        #expect(cluster.namesForAnotherCopy(of: "s") == [])
    }

    @Test func zonesWithoutACopyComeFirst() {
        var cluster = TestCluster(zones: ["a": "east", "b": "east", "c": "west", "d": "north"])
        cluster.pin("root", ["s"], on: ["a"])
        #expect(cluster.namesForAnotherCopy(of: "s") == ["c", "d"])
    }

    @Test func aZoneWithACopyWillDoWhenThereIsNoOther() {
        var cluster = TestCluster(zones: ["a": "east", "b": "east", "c": "east"])
        cluster.pin("root", ["s"], on: ["a"])
        #expect(cluster.namesForAnotherCopy(of: "s") == ["b", "c"])
    }

    @Test func aZoneWithACopyWillDoWhenTheOthersHaveNoRoom() {
        var cluster = TestCluster(zones: ["a": "east", "b": "east", "c": "west"])
        cluster.run(.setCapacity(Names.peer("c"), byteCount: 89))
        cluster.pin("root", ["s"], on: ["a"])
        #expect(cluster.namesForAnotherCopy(of: "s") == ["b"])
    }

    @Test func aPeerWithoutAZoneIsElsewhere() {
        var cluster = TestCluster(zones: ["a": "east", "b": "east", "c": nil])
        cluster.pin("root", ["s"], on: ["a"])
        #expect(cluster.namesForAnotherCopy(of: "s") == ["c"])
    }

    @Test func aPeerWithoutAZoneIsElsewhereThanAHolderWithoutOne() {
        var cluster = TestCluster(zones: ["a": nil, "b": nil, "c": "west"])
        cluster.pin("root", ["s"], on: ["a"])
        #expect(cluster.namesForAnotherCopy(of: "s") == ["b", "c"])
    }

    @Test func aZoneWhoseOnlyCopyIsLostComesFirst() {
        var cluster = TestCluster(zones: ["a": "east", "b": "west", "c": "east", "d": "west"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.goDown("b")
        #expect(cluster.namesForAnotherCopy(of: "s", lost: ["b"]) == ["d"])
    }

    @Test func aZoneWhoseOnlyCopyIsOnADrainingPeerComesFirst() {
        var cluster = TestCluster(zones: ["a": "east", "b": "west", "c": "east", "d": "west"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.run(.drainPeer(Names.peer("b")))
        #expect(cluster.namesForAnotherCopy(of: "s") == ["d"])
    }

    @Test func aZoneWhoseHolderIsDownButNotLostHasACopy() {
        var cluster = TestCluster(
            zones: ["a": "east", "b": "west", "c": "east", "d": "west", "e": "north"])
        cluster.pin("root", ["s"], on: ["a", "b"], max: 3)
        cluster.goDown("b")
        #expect(cluster.namesForAnotherCopy(of: "s") == ["e"])
    }

    @Test func nobodyTakesACopyWhenEveryPeerIsAHolder() {
        var cluster = TestCluster(joining: ["a", "b"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.goDown("b")
        #expect(cluster.namesForAnotherCopy(of: "s", lost: ["b"]) == [])
    }
}

struct SparePeerTests {
    @Test func copiesOnPeersThatAreDownDoNotMakeAPeerSpare() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.goDown("b")
        cluster.repair("s", on: "c")
        cluster.goDown("c")
        #expect(!cluster.state.isSpare(Names.peer("a")))
    }

    @Test func aPeerWithoutShardsIsSpare() {
        var cluster = TestCluster(joining: ["a", "b"])
        cluster.pin("root", ["s"], on: ["a"])
        #expect(cluster.state.isSpare(Names.peer("b")))
    }

    @Test func aPeerWhoseCopyIsWantedIsNotSpare() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        #expect(!cluster.state.isSpare(Names.peer("b")))
    }

    @Test func aDrainingPeerIsSpareWhenItsShardsAreCopied() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s", "t"], on: ["a", "b"])
        cluster.run(.drainPeer(Names.peer("b")))
        cluster.repair("s", on: "c")
        cluster.repair("t", on: "c")
        #expect(cluster.state.isSpare(Names.peer("b")))
    }

    @Test func oneShardThatIsNotCopiedKeepsAPeerFromBeingSpare() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s", "t"], on: ["a", "b"])
        cluster.run(.drainPeer(Names.peer("b")))
        cluster.repair("s", on: "c")
        #expect(!cluster.state.isSpare(Names.peer("b")))
    }

    @Test func aPeerIsNotSpareWhenAShardHasOnlyItsMinimumElsewhere() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        let policy = TestCluster.options("root", copies: 1, max: 2, allowed: ["a", "b"]).policy
        cluster.pin("root", ["s"], on: ["a", "b"], under: policy)
        #expect(!cluster.state.isSpare(Names.peer("b")))
    }

    @Test func copiesOnOtherDrainingPeersMakeNoPeerSpare() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        cluster.run(.drainPeer(Names.peer("b")))
        cluster.repair("s", on: "c")
        cluster.run(.drainPeer(Names.peer("a")))
        #expect(!cluster.state.isSpare(Names.peer("b")))
    }

    @Test func aShardOfAnOpenUploadKeepsItsPeerFromBeingSpare() {
        var cluster = TestCluster(joining: ["a", "b"])
        cluster.fill("root", ["s"], on: ["a"])
        #expect(!cluster.state.isSpare(Names.peer("a")))
    }
}

/// A copy is made as an upload of the one shard that ends without a root.
struct RepairUploadTests {
    /// One shard on "a" and "b"; "c" has none.
    private func cluster() -> TestCluster {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"])
        return cluster
    }

    @Test func aCopyIsAddedWhileAHolderIsDown() {
        var cluster = cluster()
        cluster.goDown("b")
        cluster.reserve("s", on: "c")
        #expect(cluster.seal("s", on: "c") == .sealed(holders: ["a", "b", "c"], surplus: []))
    }

    @Test func aCopyIsAddedWhileAHolderDrains() {
        var cluster = cluster()
        cluster.run(.drainPeer(Names.peer("b")))
        cluster.reserve("s", on: "c")
        #expect(cluster.seal("s", on: "c") == .sealed(holders: ["a", "b", "c"], surplus: []))
    }

    @Test func aCopyIsAddedWhenTheOnlyHolderDrains() {
        var cluster = TestCluster(joining: ["a", "b"])
        cluster.pin("root", ["s"], on: ["a"])
        cluster.run(.drainPeer(Names.peer("a")))
        cluster.reserve("s", on: "b")
        #expect(cluster.seal("s", on: "b") == .sealed(holders: ["a", "b"], surplus: []))
    }

    @Test func aCopyIsSurplusWhenAllHoldersAreUp() {
        var cluster = cluster()
        cluster.reserve("s", on: "c")
        #expect(cluster.seal("s", on: "c") == .sealed(holders: ["a", "b"], surplus: ["c"]))
    }

    @Test func aCopyIsSurplusWhenItsHolderComesBackBeforeItIsSealed() {
        var cluster = cluster()
        cluster.goDown("b")
        cluster.reserve("s", on: "c")
        cluster.run(.setPeerStatus(Names.peer("b"), .up))
        #expect(cluster.seal("s", on: "c") == .sealed(holders: ["a", "b"], surplus: ["c"]))
    }

    @Test func aSurplusCopyIsToBeDeleted() {
        var cluster = cluster()
        cluster.repair("s", on: "c")
        let holdings = cluster.state.holdings(of: Names.peer("c"))
        #expect(holdings.copies == [])
        #expect(holdings.drops.map(\.shard) == [Names.cid("s")])
    }

    @Test func theNewCopyStaysWhenItsUploadIsAborted() {
        var cluster = cluster()
        cluster.goDown("b")
        cluster.repair("s", on: "c")
        #expect(cluster.holders(of: "s") == ["a", "b", "c"])
    }

    @Test func theShardKeepsItsRootWhenItsUploadIsAborted() {
        var cluster = cluster()
        cluster.goDown("b")
        cluster.repair("s", on: "c")
        #expect(cluster.state.roots(ofShard: Names.cid("s")) == [Names.cid("root")])
    }

    @Test func theOldCopiesStayWhenAnUploadWithASurplusCopyIsAborted() {
        var cluster = cluster()
        cluster.repair("s", on: "c")
        #expect(cluster.holders(of: "s") == ["a", "b"])
    }

    @Test func theShardKeepsItsFactorsWhenItsUploadIsAborted() {
        var cluster = cluster()
        cluster.goDown("b")
        cluster.repair("s", on: "c")
        let shard = cluster.state.shard(Names.cid("s"))
        #expect(shard?.replicationMin == 2)
        #expect(shard?.replicationMax == 2)
    }

    @Test func nothingStaysReservedWhenTheUploadIsAborted() {
        var cluster = cluster()
        cluster.goDown("b")
        cluster.repair("s", on: "c")
        #expect(cluster.state.peer(Names.peer("c"))?.reservedByteCount == 0)
    }

    @Test func anUploadAbortedBeforeItsSealChangesNoCopies() {
        var cluster = cluster()
        cluster.goDown("b")
        cluster.reserve("s", on: "c")
        cluster.run(.abortUpload(Names.upload("copy of s"), reason: "test"))
        #expect(cluster.holders(of: "s") == ["a", "b"])
    }

    @Test func aRepairedShardIsNotCopiedAgain() {
        var cluster = cluster()
        cluster.join(["d"], capacity: 10_000)
        cluster.goDown("b")
        cluster.repair("s", on: "c")
        #expect(cluster.namesToCopy(["s"], lost: ["b"]) == [:])
    }

    @Test func aHolderThatComesBackKeepsItsCopy() {
        var cluster = cluster()
        cluster.goDown("b")
        cluster.repair("s", on: "c")
        cluster.run(.setPeerStatus(Names.peer("b"), .up))
        #expect(cluster.holders(of: "s") == ["a", "b", "c"])
    }

    @Test(arguments: [true, false])
    func theStateStaysSound(isHolderDown: Bool) {
        var cluster = cluster()
        if isHolderDown { cluster.goDown("b") }
        cluster.repair("s", on: "c")
        #expect(cluster.state.checkInvariants() == [])
    }
}

/// Where roots say which peers may hold their copies.
struct AllowedPeersTests {
    private func policy(_ copies: Int, allowed: [String]) -> AllocationPolicy {
        TestCluster.options("root", copies: copies, allowed: allowed).policy
    }

    @Test func aCopyIsMadeOnlyWhereItsRootAllows() {
        var cluster = TestCluster(joining: ["a", "b", "c", "d"])
        cluster.pin("root", ["s"], on: ["a", "b"], under: policy(2, allowed: ["a", "b", "d"]))
        cluster.goDown("b")
        #expect(cluster.namesForAnotherCopy(of: "s", lost: ["b"]) == ["d"])
    }

    @Test func nothingIsCopiedWhereAllThatIsAllowedHasACopyOrIsLost() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a", "b"], under: policy(2, allowed: ["a", "b"]))
        cluster.goDown("b")
        #expect(cluster.namesToCopy(["s"], lost: ["b"]) == [:])
    }

    @Test func aShardOfTwoRootsMayBeWhereOneOfThemAllows() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        cluster.pin("root", ["s"], on: ["a"], under: policy(1, allowed: ["a"]))
        cluster.pin("other", ["s"], on: ["a"])
        cluster.run(.drainPeer(Names.peer("a")))
        #expect(cluster.namesForAnotherCopy(of: "s") == ["b", "c"])
    }

    @Test func everywhereIsOnAllPeersThatAreAllowed() {
        var cluster = TestCluster(joining: ["a", "b", "c"])
        let everywhere = AllocationPolicy.everywhere
        cluster.pin("root", ["s"], on: ["a", "b"], under: policy(everywhere, allowed: ["a", "b"]))
        #expect(cluster.namesToCopy(["s"]) == [:])
    }
}

extension TestCluster {
    /// Peers with room for many shards, each in a zone of its own.
    fileprivate init(joining names: [String]) {
        self.init()
        join(names, capacity: 10_000)
    }

    /// Peers with room for many shards, in the zones given.
    fileprivate init(zones: KeyValuePairs<String, String?>) {
        self.init()
        for (name, zone) in zones {
            run(.joinPeer(Names.join(name, zone: zone, capacity: 10_000)))
        }
    }

    fileprivate mutating func goDown(_ name: String) {
        run(.setPeerStatus(Names.peer(name), .down(since: state.logTime)))
    }

    /// Commits an upload of shards that are on the holders named, the most copies wanted unless
    /// `max` is more.
    fileprivate mutating func pin(
        _ root: String, _ shards: [String], on holders: [String], max: Int? = nil
    ) {
        let options = Self.options(root, copies: holders.count, max: max)
        pin(root, shards, on: holders, under: options.policy)
    }

    fileprivate mutating func pin(
        _ root: String, _ shards: [String], on holders: [String], under policy: AllocationPolicy
    ) {
        fill(root, shards, on: holders, under: policy)
        expectDone(.commitUpload(Names.upload(root), Self.commit(root, shards)))
    }

    /// Commits an upload of one shard that is to be on every peer.
    fileprivate mutating func pinEverywhere(_ root: String, _ shard: String) {
        let policy = Self.options(root, copies: AllocationPolicy.everywhere).policy
        pin(root, [shard], on: state.members.map(\.name), under: policy)
    }

    /// Opens an upload, named like its root, and seals shards on the holders named.
    fileprivate mutating func fill(_ root: String, _ shards: [String], on holders: [String]) {
        let options = Self.options(root, copies: holders.count)
        fill(root, shards, on: holders, under: options.policy)
    }

    private mutating func fill(
        _ root: String, _ shards: [String], on holders: [String], under policy: AllocationPolicy
    ) {
        var options = Self.options(root)
        options.policy = policy
        expectDone(.openUpload(Names.upload(root), options))
        let others = state.members.filter { !holders.contains($0.name) }.map(\.peer)
        for (number, name) in shards.enumerated() {
            expectDone(.reserveShard(Names.upload(root), number: number, byteCount: 100))
            if !others.isEmpty {
                expectDone(
                    .reallocateShard(Names.upload(root), number: number, excluding: others))
            }
            let shard = Self.shard(name)
            let proofs = receipts(holders.map(Names.peer), of: shard)
            expectDone(.sealShard(Names.upload(root), number: number, shard, receipts: proofs))
        }
    }

    /// Makes another copy as `Repairer` does.
    fileprivate mutating func repair(_ shard: String, on target: String) {
        reserve(shard, on: target)
        seal(shard, on: target)
        expectDone(.abortUpload(Names.upload("copy of \(shard)"), reason: "the copy is made"))
    }

    fileprivate mutating func reserve(_ shard: String, on target: String) {
        let name = "copy of \(shard)"
        expectDone(.openUpload(Names.upload(name), Self.options(name, allowed: [target])))
        expectDone(
            .reserveShard(
                Names.upload(name), number: 0, byteCount: Self.shard(shard).fileByteCount))
    }

    @discardableResult
    fileprivate mutating func seal(_ shard: String, on target: String) -> Outcome {
        let description = Self.shard(shard)
        let proofs = receipts([Names.peer(target)], of: description)
        return expectDone(
            .sealShard(Names.upload("copy of \(shard)"), number: 0, description, receipts: proofs))
    }

    /// Runs a command that a test builds on, so that it does not pass for want of it.
    @discardableResult
    private mutating func expectDone(_ command: Command) -> Outcome {
        let outcome = run(command)
        if let refusal = outcome.refusal { Issue.record("\(command) is refused: \(refusal)") }
        return outcome
    }

    fileprivate func holders(of shard: String) -> [String] {
        (state.shard(Names.cid(shard))?.copies ?? []).compactMap { state.peer($0.peer)?.name }
    }

    /// The shards each member is to copy, of those named; members without any are left out.
    fileprivate func namesToCopy(
        _ shards: [String], lost: [String] = []
    ) -> [String: [String]] {
        var names: [String: [String]] = [:]
        for member in state.members {
            let found = state.shardsToCopy(
                from: member.peer, lost: Set(lost.map(Names.peer)), limit: 100)
            guard !found.isEmpty else { continue }
            names[member.name] = shards.filter { name in
                found.contains { $0.description.cid == Names.cid(name) }
            }
        }
        return names
    }

    fileprivate func namesForAnotherCopy(of shard: String, lost: [String] = []) -> [String]? {
        state.shard(Names.cid(shard)).map { record in
            state.peersForAnotherCopy(of: record, lost: Set(lost.map(Names.peer))).compactMap {
                state.peer($0)?.name
            }
        }
    }
}

extension Outcome {
    /// The outcome of a seal for a shard that was there before.
    fileprivate static func sealed(holders: [String], surplus: [String]) -> Outcome {
        .sealed(
            SealedShard(
                holders: holders.map(Names.peer), alreadyHeld: true,
                surplus: surplus.map(Names.peer)))
    }
}

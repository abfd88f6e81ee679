import Multiformats
import Testing

@testable import Importer

/// What Kubo's `add` options resolve to, and what is refused.
@Suite struct ImportOptionsTests {
    typealias Overrides = ImportOptions.Overrides

    struct Refusal: Sendable, CustomStringConvertible {
        let option: String
        /// Words the message must contain: the value, what is allowed, what to do.
        let says: [String]
        let change: @Sendable (inout Overrides) -> Void

        var description: String { "\(option) \(says)" }
    }

    static let refusals = [
        Refusal(option: "max-file-links", says: ["=0", "2 to 16384", "leave it out"]) {
            $0.maxFileLinks = 0
        },
        Refusal(option: "max-file-links", says: ["=1", "2 to 16384"]) { $0.maxFileLinks = 1 },
        Refusal(option: "max-hamt-fanout", says: ["=7", "powers of two, 8 to 1024"]) {
            $0.hamtFanout = 7
        },
        Refusal(option: "max-hamt-fanout", says: ["=4096", "leave it out"]) {
            $0.hamtFanout = 4096
        },
        Refusal(option: "max-hamt-fanout", says: ["=0"]) { $0.hamtFanout = 0 },
        Refusal(option: "max-directory-links", says: ["=-1", "0 means no limit"]) {
            $0.maxDirectoryLinks = -1
        },
        Refusal(option: "inline-limit", says: ["=500", "0 to 128"]) {
            $0.inline = true
            $0.inlineLimit = 500
        },
        Refusal(option: "raw-leaves", says: ["=true", "preserve-mode=true", "leave out one"]) {
            $0.rawLeaves = true
            $0.preserveMode = true
        },
        Refusal(option: "raw-leaves", says: ["=true", "mode=0644"]) {
            $0.rawLeaves = true
            $0.mode = 0o644
        },
        Refusal(option: "raw-leaves", says: ["=true", "mtime=-5"]) {
            $0.rawLeaves = true
            $0.mtime = -5
        },
        Refusal(option: "mtime-nsecs", says: ["=5", "no mtime", "give mtime as well"]) {
            $0.mtimeNanoseconds = 5
        },
        Refusal(option: "mtime-nsecs", says: ["=5", "mtime=0"]) {
            $0.mtime = 0
            $0.mtimeNanoseconds = 5
        },
        Refusal(option: "mtime-nsecs", says: ["=1000000000", "0 to 999999999"]) {
            $0.mtime = 1
            $0.mtimeNanoseconds = 1_000_000_000
        },
        Refusal(option: "mode", says: ["=0303237", "07777", "0644"]) { $0.mode = 99999 },
        Refusal(option: "cid-version", says: ["=0", "hash=blake3", "cid-version=1"]) {
            $0.cidVersion = 0
            $0.hash = "blake3"
        },
        Refusal(option: "cid-version", says: ["=2", "0, 1"]) { $0.cidVersion = 2 },
        Refusal(option: "cid-version", says: ["=-1", "0, 1"]) { $0.cidVersion = -1 },
        Refusal(option: "hash", says: ["=nonsense", "sha2-256, sha2-512"]) {
            $0.hash = "nonsense"
        },
        Refusal(option: "hash", says: ["=md5", "leave it out"]) { $0.hash = "md5" },
        Refusal(option: "hash", says: ["=murmur3-x64-64"]) { $0.hash = "murmur3-x64-64" },
        Refusal(option: "hash", says: ["=keccak-256", "sha3-256"]) { $0.hash = "keccak-256" },
        Refusal(option: "chunker", says: ["=size-0", "2096896"]) { $0.chunker = "size-0" },
        Refusal(option: "chunker", says: ["=bogus", "buzhash"]) { $0.chunker = "bogus" },
        Refusal(option: "layout", says: ["=bogus", "balanced, trickle"]) { $0.layout = "bogus" },
        Refusal(
            option: "hamt-directory-size-estimation",
            says: ["=guess", "links, block, disabled"]
        ) { $0.hamtEstimation = "guess" },
    ]

    @Test(arguments: refusals)
    func refusedOptionsSayWhatIsAllowed(refusal: Refusal) throws {
        var overrides = Overrides()
        refusal.change(&overrides)
        let error = try #require(throws: ImportOptionsError.self) {
            try ImportOptions(profile: .unixfsV0_2015, overrides: overrides)
        }
        #expect(error.option == refusal.option)
        #expect("\(error)".hasPrefix(refusal.option))
        for word in refusal.says { #expect("\(error)".contains(word)) }
    }

    @Test func unknownProfilesAreRefusedWithTheList() throws {
        let error = try #require(throws: ImportOptionsError.self) {
            try ImportProfile(named: "bogus")
        }
        #expect("\(error)".contains("unixfs-v0-2015, unixfs-v1-2025"))
        #expect(try ImportProfile(named: "legacy-cid-v0") == .unixfsV0_2015)
    }

    @Test func profilesAreThoseOfIPIP499() throws {
        let old = try ImportOptions(profile: .unixfsV0_2015)
        #expect(old.cidVersion == .v0 && old.hashFunction == .sha2_256 && !old.rawLeaves)
        #expect("\(old.chunker)" == "size-262144" && old.maxFileLinks == 174)
        #expect(
            old.hamt
                == HAMTOptions(thresholdByteCount: 262144, estimation: .links, fanout: 256))
        let new = try ImportOptions(profile: .unixfsV1_2025)
        #expect(new.cidVersion == .v1 && new.rawLeaves && new.maxFileLinks == 1024)
        #expect("\(new.chunker)" == "size-1048576" && new.layout == .balanced)
        #expect(
            new.hamt
                == HAMTOptions(thresholdByteCount: 262144, estimation: .block, fanout: 256))
        for options in [old, new] {
            #expect(options.includeEmptyDirectories && !options.storesMetadata && !options.wrap)
            #expect(options.inlineLimit == nil && options.maxDirectoryLinks == 0)
        }
    }

    @Test func anotherHashMeansVersionOneAndRawLeaves() throws {
        var overrides = Overrides()
        overrides.hash = "sha2-512"
        let options = try ImportOptions(profile: .unixfsV0_2015, overrides: overrides)
        #expect(options.cidVersion == .v1 && options.rawLeaves)
    }

    @Test func storedMetadataSwitchesRawLeavesOff() throws {
        for change in [
            { $0.preserveMode = true }, { $0.preserveMtime = true }, { $0.mode = 0o600 },
            { $0.mtime = 7 },
        ] as [(inout Overrides) -> Void] {
            var overrides = Overrides()
            change(&overrides)
            let options = try ImportOptions(profile: .unixfsV1_2025, overrides: overrides)
            #expect(options.storesMetadata && !options.rawLeaves)
        }
    }

    @Test func zeroModeAndTimeCountAsNotGiven() throws {
        var overrides = Overrides()
        overrides.mode = 0
        overrides.mtime = 0
        overrides.rawLeaves = true
        let options = try ImportOptions(profile: .unixfsV0_2015, overrides: overrides)
        #expect(!options.storesMetadata && options.rawLeaves)
    }

    @Test(arguments: [0, -1, Int.min]) func thresholdsOfZeroAndBelowSwitchHAMTsOff(
        threshold: Int
    ) throws {
        var overrides = Overrides()
        overrides.hamtThreshold = threshold
        let options = try ImportOptions(profile: .unixfsV0_2015, overrides: overrides)
        #expect(options.hamt.thresholdByteCount == nil)
    }
}

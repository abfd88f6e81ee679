import Chunker
import Importer
import Multiformats
import Testing

@testable import IngestAPI

private let now = WallTime("2025-11-21T01:36:00Z")!

private func parse(_ query: String) throws -> AddParameters {
    try AddParameters(parsing: QueryString.parse(query), now: now)
}

private func refusal(_ query: String) -> String? {
    do {
        _ = try parse(query)
        return nil
    } catch {
        return "\(error)"
    }
}

struct AddParametersTests {
    private static let peer = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"

    @Test func nothingGivenIsKubosDefaultsInShardsOf100MiB() throws {
        let parameters = try parse("")
        #expect(parameters == AddParameters())
        let options = try parameters.importOptions()
        #expect(options == (try ImportOptions(profile: .unixfsV0_2015)))
        #expect(parameters.shardByteLimit == 104_857_600)
        #expect(parameters.streamsOutput)
    }

    /// What `ipfs-cluster-ctl add` 1.1.6 sends.
    @Test func theQueryOfIPFSClustersClientIsUnderstood() throws {
        let parameters = try parse(
            "chunker=size-262144&cid-version=0&format=unixfs&hash=sha2-256&hidden=false&layout="
                + "&local=false&mode=recursive&name=&no-pin=false&nocopy=false&progress=false"
                + "&raw-leaves=false&recursive=true&replication-max=0&replication-min=0"
                + "&shard=false&shard-size=104857600&stream-channels=true&user-allocations="
                + "&wrap-with-directory=false&meta-a=b")
        #expect(try parameters.importOptions() == ImportOptions(profile: .unixfsV0_2015))
        #expect(parameters.shardByteLimit == nil)
        #expect(parameters.pin.metadata == ["a": "b"])
        #expect(parameters.overrides.mode == nil)
    }

    /// What Kubo's command line sends for `ipfs add -r --cid-version 1`.
    @Test func theQueryOfKubosClientIsUnderstood() throws {
        let parameters = try parse(
            "chunker=size-262144&cid-version=1&encoding=json&hash=sha2-256&inline-limit=32"
                + "&pin=true&progress=true&recursive=true&stream-channels=true&quieter=true"
                + "&trickle=true&pin-name=x&dereference-args=false&only-hash=false&to-files=")
        let options = try parameters.importOptions()
        #expect(options.cidVersion == .v1)
        #expect(options.layout == .trickle)
        #expect(options.rawLeaves)
        #expect(parameters.pin.name == "x")
        #expect(parameters.reportsProgress)
    }

    @Test func everyImportOptionReachesTheImporter() throws {
        let options = try parse(
            "profile=unixfs-v1-2025&cid-version=1&raw-leaves=false&hash=blake3&chunker=size-1000"
                + "&layout=trickle&max-file-links=10&max-directory-links=20&max-hamt-fanout=16"
                + "&hamt-directory-size-threshold=30&hamt-directory-size-estimation=links"
                + "&inline=true&inline-limit=40&wrap-with-directory=1&preserve-mode=T"
                + "&preserve-mtime=True&mode=0640&mtime=-5&mtime-nsecs=6&empty-dirs=false"
        ).importOptions()
        #expect(options.profile == .unixfsV1_2025)
        #expect(options.cidVersion == .v1 && !options.rawLeaves)
        #expect(options.hashFunction == .blake3)
        #expect(options.chunker.kind == .size(1000))
        #expect(options.layout == .trickle)
        #expect(options.maxFileLinks == 10 && options.maxDirectoryLinks == 20)
        #expect(options.hamt.thresholdByteCount == 30 && options.hamt.fanout == 16)
        #expect(options.hamt.estimation == .links)
        #expect(options.inlineLimit == 40 && options.wrap)
        #expect(options.preserveMode && options.preserveMtime)
        #expect(options.customMode == 0o640)
        #expect(options.customMtime == UnixFSTime(seconds: -5, nanoseconds: 6))
        #expect(!options.includeEmptyDirectories)
        #expect(try parse("hash=blake3").importOptions().cidVersion == .v1)
        #expect(
            try parse("hamt-directory-size-threshold=-1").importOptions().hamt.thresholdByteCount
                == nil)
        #expect(try parse("profile=legacy-cid-v0").profile == .unixfsV0_2015)
    }

    @Test func pinOptionsAreRead() throws {
        let pin = try parse(
            "name=a+b%20c&replication-min=2&replication-max=3&shard-size=1000"
                + "&user-allocations=\(Self.peer)&expire-in=1h30m&meta-k=v&meta-empty="
                + "&origins=/ip4/192.0.2.1/tcp/4001/p2p/\(Self.peer)"
        ).pin
        #expect(pin.name == "a b c")
        #expect(pin.replication == (try ReplicationFactors(minimum: 2, maximum: 3)))
        #expect(pin.shardByteLimit == 1000)
        #expect(pin.userAllocations == [try PeerID(Self.peer)])
        #expect(pin.expireAt == WallTime("2025-11-21T03:06:00Z"))
        #expect(pin.metadata == ["k": "v", "empty": ""])
        #expect(pin.origins.count == 1)
        #expect(try parse("replication=-1").pin.replication.minimum == -1)
        #expect(
            try parse("expire-at=2030-01-01T00:00:00%2B01:00").pin.expireAt?.seconds
                == 1_893_452_400)
        #expect(try parse("expire-at=0001-01-01T00:00:00Z").pin.expireAt == nil)
    }

    @Test func shardFalseMeansOneShardWithoutLimit() throws {
        #expect(try parse("shard=false&shard-size=5").shardByteLimit == nil)
        #expect(try parse("shard=true&shard-size=200").shardByteLimit == 200)
        #expect(try parse("shard-size=9223372036854775807").shardByteLimit == .max)
    }

    /// The cases of the acceptance checks whose error is in the query, and some more.
    @Test(arguments: [
        "shard=true&shard-size=0", "shard=true&shard-size=-1", "shard=true&shard-size=abc",
        "shard=true&shard-size=18446744073709551616", "shard=true&shard-size=1e6",
        "shard-size=%2B5", "cid-version=0&hash=blake3", "cid-version=2", "cid-version=-1",
        "cid-version=abc", "hash=nonsense", "hash=md5&cid-version=1",
        "hash=murmur3-x64-64&cid-version=1", "chunker=size-0", "chunker=size-3000000",
        "chunker=size--1", "chunker=size-abc", "chunker=size-99999999999999999999",
        "chunker=rabin-1-2", "chunker=rabin-100-50-10", "chunker=rabin-a-b-c",
        "chunker=rabin-8-16-32", "chunker=rabin-99999999999", "chunker=bogus", "layout=bogus",
        "format=bogus", "raw-leaves=maybe", "shard=perhaps", "stream-channels=x", "hidden=si",
        "replication-min=abc", "replication-min=3&replication-max=2",
        "replication-min=2&replication-max=1", "replication-min=-1&replication-max=2",
        "replication-min=2&replication-max=-1", "replication-min=-2", "replication=1001",
        "user-allocations=notapeer", "expire-in=1ms", "expire-in=soon", "expire-in=-1h",
        "expire-in=999ms", "expire-in=9999999h", "expire-at=2001-01-01T00:00:00Z",
        "expire-at=tomorrow", "expire-at=2025-11-21T01:36:00Z",
        "expire-at=2030-01-01T00:00:00Z&expire-in=1h", "max-file-links=0", "max-file-links=1",
        "max-hamt-fanout=7", "max-hamt-fanout=4096", "max-directory-links=-1",
        "inline=true&inline-limit=500", "raw-leaves=true&preserve-mode=true", "mtime-nsecs=5",
        "mode=99999", "mode=077777", "mode=direct", "profile=bogus",
        "hamt-directory-size-threshold=abc", "hamt-directory-size-estimation=guess",
        "no-such-option=1", "no-such-option=", "name=a&name=a", "name=a&pin-name=b", "name=%zz",
        "name=%ff", "name=a%00b", "name=a%0ab", "name", "format=car&wrap-with-directory=true",
        "no-pin=true", "pin=false", "nocopy=true", "only-hash=true", "to-files=/x",
        "trickle=true&layout=balanced",
        "encoding=protobuf", "pin-update=QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "origins=here", "pin=maybe", "mtime=99999999999999999999",
    ])
    func wrongParametersAreRefusedByName(query: String) throws {
        let message = try #require(refusal(query), "accepted")
        // Some name of the query is in the message, or the query cannot be decoded at all.
        let names = query.split(separator: "&").map { $0.split(separator: "=")[0] }
        #expect(names.contains { message.contains($0) } || query.contains("%"), "\(message)")
    }

    @Test func namesHaveALengthLimit() {
        #expect(refusal("name=" + String(repeating: "n", count: 255)) == nil)
        #expect(refusal("name=" + String(repeating: "n", count: 256)) != nil)
        let message = refusal("name=" + String(repeating: "n", count: 3000))
        #expect(message?.contains("255") == true)
        #expect((message?.utf8.count ?? 0) < 300)
    }

    @Test func metadataHasASizeLimit() {
        #expect(refusal("meta-k=" + String(repeating: "v", count: 16383)) == nil)
        #expect(refusal("meta-k=" + String(repeating: "v", count: 16384)) != nil)
    }

    @Test(
        arguments: [
            ("replicaton-min=1", "replication-min"), ("shard_size=5", "shard-size"),
            ("wrap=true", nil), ("Name=x", "name"), ("raw_leaves=true", "raw-leaves"),
            ("profil=x", "profile"), ("zzzzzzzzzzzz=1", nil),
        ] as [(String, String?)])
    func anUnknownParameterNamesTheNearestKnownOne(query: String, nearest: String?) {
        let name = String(query.split(separator: "=")[0])
        #expect(throws: ParameterError.unknown(name: name, nearest: nearest)) { try parse(query) }
    }

    @Test(arguments: ["1", "t", "T", "TRUE", "true", "True"])
    func whatGoTakesForTrueIsTrue(text: String) throws {
        #expect(try parse("local=\(text)").prefersLocalPeer)
    }

    @Test(arguments: ["0", "f", "F", "FALSE", "false", "False"])
    func whatGoTakesForFalseIsFalse(text: String) throws {
        #expect(try !parse("stream-channels=\(text)").streamsOutput)
    }

    @Test func aSwitchNeedsNoValueAndAnEmptyValueCountsAsNotGiven() throws {
        #expect(try parse("wrap-with-directory").importOptions().wrap)
        #expect(try !parse("wrap-with-directory=").importOptions().wrap)
        #expect(try parse("&&local&").prefersLocalPeer)
    }

    @Test(arguments: [
        "", "format=car&shard=false", "profile=unixfs-v1-2025&chunker=rabin&hash=sha2-512",
        "mode=0640&mtime=-5&mtime-nsecs=6&preserve-mode=true&raw-leaves=false&inline&inline-limit=7",
        "name=%C3%A4+%26%3D%25&meta-k=&meta-%C3%BC=%2B&replication-min=1&replication-max=2",
        "shard-size=17&expire-in=10h&local&stream-channels=false&progress&trickle&empty-dirs=false",
        "user-allocations=\(peer)&origins=/dns4/a/p2p/\(peer)&replication=-1&max-file-links=9",
        "hamt-directory-size-threshold=-1&hamt-directory-size-estimation=block&max-hamt-fanout=8",
    ])
    func parametersWrittenAndReadAgainAreTheSame(query: String) throws {
        let parameters = try parse(query)
        let text = QueryString.encode(parameters.queryItems)
        #expect(try parse(text) == parameters)
        #expect(QueryString.encode(try parse(text).queryItems) == text)
    }

    @Test func theQueryHasTheseBytes() throws {
        let parameters = try parse(
            "meta-b=2&meta-a=1&name=x+y&wrap-with-directory&format=car&shard=f".replacing(
                "&wrap-with-directory", with: "&cid-version=1"))
        #expect(
            QueryString.encode(parameters.queryItems)
                == "format=car&cid-version=1&name=x+y&meta-a=1&meta-b=2&shard=false")
    }
}

struct PinParametersTests {
    private func pin(_ query: String) throws -> PinParameters {
        try PinParameters(parsing: QueryString.parse(query), now: now)
    }

    @Test func pinRequestsTakeOnlyPinOptions() throws {
        #expect(try pin("name=x&mode=recursive&replication-min=1").name == "x")
        for query in [
            "replication-min=x", "replication-min=3&replication-max=1", "expire-in=1ms",
            "chunker=size-5", "mode=direct",
        ] {
            #expect(throws: ParameterError.self, "\(query)") { try pin(query) }
        }
    }

    @Test func originsAreMultiaddressesWithAPeerAndBounded() throws {
        let origin = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWPeer"
        #expect(try pin("origins=\(origin),\(origin)").origins == [origin, origin])
        let many = Array(repeating: origin, count: PinParameters.maximumOriginCount + 1)
        let long = origin + String(repeating: "x", count: PinParameters.maximumOriginByteCount)
        for origins in ["192.0.2.1", "/ip4/192.0.2.1/tcp/4001", many.joined(separator: ","), long] {
            #expect(throws: ParameterError.self, "\(origins)") { try pin("origins=\(origins)") }
        }
    }
}

import Multiformats
import Pinset
import ShardPlanner
import Testing

@testable import ClusterCore
@testable import EtcdClient

/// What the log keeps in etcd, where peers of other versions read it.
struct EtcdLogKeysTests {
    private let keys = EtcdLogKeys(namespace: "ns")
    private let proposal: Proposal
    /// Format, time, and the command's DAG-CBOR.
    private let value =
        "01" + "0000018bcfe56800"
        + "830117a16675706c6f616450" + "00000000000000010000000000000002"
    private let key =
        "ns/log/" + "0000000000000102" + "0000000000000003" + "00000000000000fe"

    init() {
        let command = Command.renewUpload(UploadID(high: 1, low: 2))
        proposal = Proposal(
            requestID: RequestID(proposerIndex: LogIndex(rawValue: 0x102), high: 3, low: 0xfe),
            time: LogTime(millisecondsSinceEpoch: 1_700_000_000_000), command: command,
            commandBytes: command.encoded)
    }

    @Test func theKeysAreThese() throws {
        let peer = try PeerID("12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV")
        let found = [
            keys.commands, keys.command(proposal.requestID), keys.trimmed, keys.generation,
            keys.alive, keys.life(of: peer), keys.voters,
        ]
        #expect(
            found.map { String(decoding: $0, as: UTF8.self) } == [
                "ns/log/", key, "ns/trimmed-to", "ns/generation", "ns/alive/", "ns/alive/\(peer)",
                "ns/voters/",
            ])
    }

    @Test func aCommandIsWrittenAsTheseBytes() {
        #expect(Hexadecimal.text(EtcdLogKeys.value(of: proposal)) == value)
    }

    @Test func aCommandIsReadFromTheseBytes() throws {
        let entry = try keys.entry(
            of: EtcdKeyValue(
                key: Array(key.utf8), value: try #require(Hexadecimal.bytes(value)),
                createRevision: 9, modRevision: 9, lease: 0))
        #expect(entry.index == LogIndex(rawValue: 9))
        #expect(entry.proposal.requestID == proposal.requestID)
        #expect(entry.proposal.time == proposal.time)
        #expect(entry.proposal.command == proposal.command)
        #expect(entry.proposal.commandBytes == proposal.commandBytes)
    }
}

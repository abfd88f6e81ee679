import Multiformats
import Pinset
import ShardPlanner

/// A block of an upload; its value stands for its bytes.
typealias Unit = UInt64

/// What an upload is to become.
struct UploadPlan {
    static let unitByteCount = 1000
    /// Blocks of a full shard.
    static let shardUnitCount = 4

    let id: UploadID
    let unitCount: Int
    let policy: AllocationPolicy
    let isResumable: Bool
    /// How much is to come was said at the start; without that, reservations grow.
    let isLengthKnown: Bool

    var shardCount: Int { (unitCount + Self.shardUnitCount - 1) / Self.shardUnitCount }
}

enum Content {
    static func fileByteCount(_ unitCount: Int) -> Int {
        unitCount * UploadPlan.unitByteCount + 100
    }

    static func shard(_ units: [Unit]) -> ShardDescription {
        ShardDescription(
            cid: cid(.dagCBOR, units), blockCount: units.count,
            payloadByteCount: units.count * UploadPlan.unitByteCount,
            fileByteCount: fileByteCount(units.count), depth: 1)
    }

    static func root(_ units: [Unit]) -> CID { cid(.dagPB, units) }

    private static func cid(_ codec: Codec, _ units: [Unit]) -> CID {
        do {
            return try BlockHasher(.sha2_256).cid(
                version: .v1, codec: codec,
                units.flatMap { withUnsafeBytes(of: $0.bigEndian, Array.init) })
        } catch {
            fatalError("sha2-256 is always there: \(error)")
        }
    }
}

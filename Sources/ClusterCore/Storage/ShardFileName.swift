import Multiformats

/// Names one copy of a shard on this peer's disk.
package struct ShardCopyID: Hashable, Sendable {
    package let shard: CID
    /// Number of the last drop of this shard here before the copy; 0 for none.
    package let generation: Int

    package init(shard: CID, generation: Int) {
        self.shard = shard
        self.generation = generation
    }
}

/// The file name of a sealed shard: `<cid>.<generation>-<serial>.car`.
struct ShardFileName: Equatable {
    var copy: ShardCopyID
    /// Names the file in the block catalogue; never used twice while the catalogue lives.
    var serial: UInt32

    init(copy: ShardCopyID, serial: UInt32) {
        self.copy = copy
        self.serial = serial
    }

    /// `nil` for a name that is not one of ours.
    init?(parsing name: String) {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[2] == "car" else { return nil }
        let numbers = parts[1].split(separator: "-", omittingEmptySubsequences: false)
        guard numbers.count == 2, let generation = Int(numbers[0]), generation >= 0,
            let serial = UInt32(numbers[1])
        else { return nil }
        // A name we did not write is judged by the caller; why its CID is none does not matter.
        guard let cid = try? CID(String(parts[0])) else { return nil }
        self.init(copy: ShardCopyID(shard: cid, generation: generation), serial: serial)
    }

    var text: String { "\(copy.shard).\(copy.generation)-\(serial).car" }
}

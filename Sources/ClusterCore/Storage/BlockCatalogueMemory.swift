/// The entries of the latest shards: two parallel arrays, sorted by key, then by serial.
struct BlockCatalogueMemory: Sendable {
    private(set) var keys: [UInt64] = []
    private(set) var keySerials: [UInt32] = []
    /// The shards, in the order they came.
    private(set) var shards: [BlockCatalogueShard] = []

    var count: Int { keys.count }

    func covers(_ serial: UInt32) -> Bool { shards.contains { $0.serial == serial } }

    func appendSerials(for key: UInt64, to found: inout [UInt32]) {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if keys[middle] < key { low = middle + 1 } else { high = middle }
        }
        while low < keys.count, keys[low] == key {
            found.append(keySerials[low])
            low += 1
        }
    }

    /// Adds a shard that is not here. Cost grows with the entries that are.
    mutating func add(_ serial: UInt32, sortedKeys: [UInt64]) {
        let oldKeys = keys
        let oldSerials = keySerials
        let total = oldKeys.count + sortedKeys.count
        keys = []
        keySerials = []
        keys.reserveCapacity(total)
        keySerials.reserveCapacity(total)
        var old = 0
        for (index, key) in sortedKeys.enumerated() {
            precondition(index == 0 || sortedKeys[index - 1] <= key, "keys come in order")
            if index > 0, sortedKeys[index - 1] == key { continue }
            while old < oldKeys.count, (oldKeys[old], oldSerials[old]) < (key, serial) {
                keys.append(oldKeys[old])
                keySerials.append(oldSerials[old])
                old += 1
            }
            keys.append(key)
            keySerials.append(serial)
        }
        let entryCount = UInt32(keys.count - old)
        shards.append(BlockCatalogueShard(serial: serial, entryCount: entryCount))
        keys.append(contentsOf: oldKeys[old...])
        keySerials.append(contentsOf: oldSerials[old...])
    }

    mutating func remove(_ serial: UInt32) {
        guard covers(serial) else { return }
        shards.removeAll { $0.serial == serial }
        let kept = keys.indices.filter { keySerials[$0] != serial }
        keys = kept.map { keys[$0] }
        keySerials = kept.map { keySerials[$0] }
    }
}

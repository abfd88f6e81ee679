import Multiformats
import Pinset
import SeededRandom
import ShardPlanner

/// A shard file's name: the shard and the drop it was made after.
struct Copy: Hashable, Comparable {
    let shard: CID
    let generation: Int

    static func < (left: Copy, right: Copy) -> Bool {
        (left.shard, left.generation) < (right.shard, right.generation)
    }
}

/// One shard of an upload.
struct Place: Hashable, Comparable {
    let upload: UploadID
    let number: Int

    static func < (left: Place, right: Place) -> Bool {
        (left.upload, left.number) < (right.upload, right.number)
    }
}

/// What a peer's disk has, and what of it a power cut would leave.
struct SimulatedDisk {
    struct File {
        var units: [Unit]
        var isSynced: Bool
        /// Its name is durable; until then a power cut may give it back the name it had.
        var isNamed: Bool
        var former: FormerName
    }

    enum FormerName {
        case staged(Place)
        case copy(Copy)
        /// The file has another name beside this one.
        case none
    }

    struct Staged {
        var units: [Unit] = []
        var syncedCount = 0
    }

    /// What is acknowledged of a resumable upload. Written in one durable step.
    struct Journal {
        var plan: UploadPlan
        var units: [Unit] = []
    }

    private struct RowName: Hashable {
        let table: StateTable
        let key: [UInt8]
    }

    var files: [Copy: File] = [:]
    var staging: [Place: Staged] = [:]
    /// Notes of shards that arrive, or of own ones of resumable uploads. Each is one durable step.
    var markers: [Place: CID] = [:]
    /// Those of committed uploads stay, so that it is known what became of them.
    var journals: [UploadID: Journal] = [:]
    /// Uploads whose root is recorded. Each is one durable step.
    var rootRecords: Set<UploadID> = []
    /// Removed since the last sync of the directory: a power cut may bring them back.
    private var removed: [Copy: File] = [:]
    private var rows: [RowName: StateRow] = [:]

    /// One transaction.
    mutating func save(_ changes: [RowChange], leavingOut table: StateTable?) {
        for change in changes {
            switch change {
            case .upsert(let row) where row.table == table: break
            case .upsert(let row): rows[RowName(table: row.table, key: row.key)] = row
            case .delete(let table, let key): rows[RowName(table: table, key: key)] = nil
            }
        }
    }

    func loadState() -> PinsetState {
        if rows.isEmpty { return PinsetState() }
        let ordered = rows.values.sorted {
            $0.table != $1.table
                ? $0.table.rawValue < $1.table.rawValue
                : $0.key.lexicographicallyPrecedes($1.key)
        }
        do {
            return try PinsetState(rows: ordered)
        } catch {
            fatalError("rows that were saved make no state: \(error)")
        }
    }

    /// Makes the names of all shard files durable, and their removals.
    mutating func synchronizeNames() {
        for copy in files.keys { files[copy]!.isNamed = true }
        synchronizeRemovals()
    }

    mutating func synchronizeRemovals() { removed = [:] }

    mutating func removeFile(_ copy: Copy) {
        removed[copy] = files.removeValue(forKey: copy)
    }

    /// Gives a file another name, in place of its own or beside it. That name is not durable yet.
    mutating func rename(_ copy: Copy, to renamed: Copy, keepingFormer: Bool) {
        guard var file = files[copy] else { return }
        if keepingFormer {
            file.former = .none
        } else {
            files[copy] = nil
            if file.isNamed { file.former = .copy(copy) }
        }
        file.isNamed = false
        files[renamed] = file
    }

    mutating func removeStaging(of upload: UploadID) {
        staging = staging.filter { $0.key.upload != upload }
    }

    func newestGeneration(of shard: CID) -> Int? {
        files.keys.filter { $0.shard == shard }.map(\.generation).max()
    }

    /// Leaves what was synced, and of the rest what chance leaves.
    mutating func losePower(_ random: inout SeededGenerator) {
        for copy in files.keys.sorted() where !files[copy]!.isNamed {
            guard Bool.random(using: &random), let file = files.removeValue(forKey: copy) else {
                continue
            }
            switch file.former {
            case .staged(let place):
                staging[place] = Staged(
                    units: file.units, syncedCount: file.isSynced ? file.units.count : 0)
            case .copy(let former): files[former] = file
            case .none: break
            }
        }
        for place in staging.keys.sorted() {
            let staged = staging[place]!
            let left = Int.random(in: staged.syncedCount...staged.units.count, using: &random)
            staging[place]!.units.removeSubrange(left...)
        }
        for copy in removed.keys.sorted() where files[copy] == nil && Bool.random(using: &random) {
            files[copy] = removed[copy]
        }
        synchronizeNames()
    }
}

import Multiformats
import PosixIO
import Spill
import Synchronization

/// The shard files of this peer: sealed copies, and the way from a CID to its block.
///
/// Calls that touch the disk block and belong on workers. Which copies should be here is decided by
/// the replicated state; this type only knows which are.
package final class ShardStore: Sendable {
    /// Files kept open for readers.
    private static let openFileLimit = 128

    /// Where files are written that may become copies.
    package let staging: StagingArea
    private let directory: String
    private let catalogueDirectory: String
    private let state = Mutex(ShardStoreState())
    /// Held while copies are made readable.
    private let publishing = Mutex<Void>(())
    private let catalogueBox = Mutex<BlockCatalogue?>(nil)
    /// Told when a read has ended that a removal waits for.
    private let whenReadsEnd = AsyncStream.makeStream(
        of: Void.self, bufferingPolicy: .bufferingNewest(1))

    /// - Parameters:
    ///   - dataDirectory: Exists and is locked by this process.
    ///   - workers: Perform writes; a worker never waits for another.
    package init(
        dataDirectory: String, pool: SegmentPool, workers: WorkerPool, scratch: any ScratchSpace
    ) throws {
        directory = dataDirectory + "/shards"
        catalogueDirectory = dataDirectory + "/catalogue"
        staging = try StagingArea(
            dataDirectory: dataDirectory, pool: pool, workers: workers, scratch: scratch)
        try FileSystem.takeOverDirectory(directory)
        try FileSystem.makeDirectory(catalogueDirectory)
        try readDirectory()
    }

    // MARK: Start

    private func readDirectory() throws {
        let names = try Directory(directory).loadNames()
        state.withLock { state in
            for text in names {
                guard let name = ShardFileName(parsing: String(decoding: text, as: UTF8.self))
                else { continue }
                state.names[name.copy] = name.serial
                state.copies[name.serial] = name.copy
                state.nextSerial = max(state.nextSerial, name.serial + 1)
            }
        }
    }

    /// The copies on disk, in no order.
    package var copies: [ShardCopyID] { state.withLock { Array($0.names.keys) } }

    /// Opens the catalogue for the copies whose blocks may be read, and adds what it lacks.
    ///
    /// - Returns: What is wrong with files that are damaged; their blocks cannot be found.
    @discardableResult
    package func openCatalogue(readable: [ShardCopyID]) throws -> [ShardFileError] {
        let serials = state.withLock { state in
            state.readable = Set(readable.compactMap { state.names[$0] })
            return state.readable
        }
        let (catalogue, missing) = try BlockCatalogue.open(
            directory: catalogueDirectory, liveSerials: serials)
        state.withLock { $0.nextSerial = max($0.nextSerial, catalogue.nextSerial) }
        catalogueBox.withLock { $0 = catalogue }
        var damage: [ShardFileError] = []
        for serial in missing.sorted() {
            do {
                try addToCatalogue(serial)
            } catch let error as ShardFileError {
                note(serial, unusable: error)
                damage.append(error)
            }
        }
        try catalogue.mergeIfNeeded()
        return damage
    }

    /// One damaged file must not keep the blocks of others from being found.
    private func note(_ serial: UInt32, unusable error: ShardFileError) {
        state.withLock { state in
            state.readable.remove(serial)
            state.unusable.insert(serial)
            state.damaged.insert(serial)
        }
    }

    /// Notes that a block of a copy is not what its CID says.
    package func noteDamage(at location: BlockLocation) {
        // An open file may have lost its name meanwhile.
        state.withLock { state in
            guard state.copies[location.file.serial] == location.file.copy else { return }
            state.damaged.insert(location.file.serial)
        }
    }

    // MARK: Writing

    /// Makes a staging file of the first bytes of a copy, which goes on from there.
    package func stage(
        _ copy: ShardCopyID, upload: String, number: Int, byteCount: Int
    ) throws {
        guard let path = path(of: copy) else { throw ShardStoreError.gone(copy) }
        try staging.copy(path, upload: upload, number: number, byteCount: byteCount)
    }

    /// What is to be said of a copy that is here, given what it holds.
    package func describe(_ copy: ShardCopyID, _ contents: ShardContents) throws -> StagedShard {
        guard let path = path(of: copy), let status = try FileSystem.loadStatus(path) else {
            throw ShardStoreError.gone(copy)
        }
        return StagedShard(
            cid: copy.shard, path: path, fileByteCount: status.byteCount,
            blockCount: contents.blockCount, payloadByteCount: contents.payloadByteCount,
            depth: contents.depth)
    }

    private func path(of copy: ShardCopyID) -> String? {
        state.withLock { $0.names[copy] }.map {
            directory + "/" + ShardFileName(copy: copy, serial: $0).text
        }
    }

    /// Gives a staged shard its final name, unless the copy is here already and not known to be damaged,
    /// and claims it: it stays until `release`.
    ///
    /// - Returns: Whether the copy was here before; the staged file is removed then.
    /// - Throws: When the copy cannot be made durable; the staged file is where it was.
    package func install(_ staged: StagedShard, generation: Int) throws -> Bool {
        let copy = ShardCopyID(shard: staged.cid, generation: generation)
        var isNew = false
        // The rename happens under the lock: two uploads of the same shard must not both win.
        let isKnown = try state.withLock { state in
            state.claim(copy)
            let known = state.names[copy]
            if let known, !state.damaged.contains(known) { return true }
            let serial = known ?? state.nextSerial
            do {
                let name = ShardFileName(copy: copy, serial: serial).text
                try FileSystem.rename(staged.path, to: directory + "/" + name)
            } catch {
                state.unclaim(copy)
                throw error
            }
            if known != nil {
                state.replaced(serial)
                return false
            }
            state.nextSerial += 1
            state.names[copy] = serial
            state.copies[serial] = copy
            isNew = true
            return false
        }
        do {
            // Also for a known copy: whoever renamed it may not have come to this yet.
            try FileSystem.synchronizeDirectory(directory)
            if isKnown { try FileSystem.removeFile(staged.path) }
        } catch {
            defer { state.withLock { _ = $0.unclaim(copy) } }
            if !isKnown { try takeBack(copy, isNew: isNew, to: staged) }
            throw error
        }
        return isKnown
    }

    /// Gives the file of a claimed copy its former name again: its upload goes on from there.
    private func takeBack(_ copy: ShardCopyID, isNew: Bool, to staged: StagedShard) throws {
        let shared = try state.withLock { state -> String? in
            guard let serial = state.names[copy] else { return nil }
            let name = directory + "/" + ShardFileName(copy: copy, serial: serial).text
            // Others may know of the copy: another upload of the same shard, or the state.
            guard isNew, state.claims[copy] == 1 else { return name }
            try FileSystem.rename(name, to: staged.path)
            _ = state.forget(copy)
            return nil
        }
        // Not a link: whoever goes on with the upload may write to it.
        if let shared {
            try staging.copy(shared, to: staged.path, byteCount: staged.fileByteCount)
        }
    }

    /// Makes a claimed copy one of a later generation, because the one it was made for was dropped
    /// meanwhile, and claims that. While others claim the copy, it also stays what it was: one of them may
    /// be an upload that goes on later. The former claim is still to be released.
    ///
    /// - Returns: The copy as it is called now.
    package func renew(_ copy: ShardCopyID, generation: Int) throws -> ShardCopyID {
        let renewed = ShardCopyID(shard: copy.shard, generation: generation)
        try state.withLock { state in
            if state.names[renewed] == nil, let serial = state.names[copy] {
                let isShared = state.claims[copy, default: 0] > 1
                let newSerial = isShared ? state.nextSerial : serial
                let oldName = ShardFileName(copy: copy, serial: serial).text
                let newName = ShardFileName(copy: renewed, serial: newSerial).text
                if isShared {
                    try FileSystem.link(directory + "/" + oldName, as: directory + "/" + newName)
                    state.nextSerial += 1
                } else {
                    try FileSystem.rename(directory + "/" + oldName, to: directory + "/" + newName)
                    state.names[copy] = nil
                    state.open[serial] = nil
                    state.recency.removeAll { $0 == serial }
                }
                state.names[renewed] = newSerial
                state.copies[newSerial] = renewed
            }
            // Whoever signs for a copy must have it.
            guard let serial = state.names[renewed], !state.damaged.contains(serial) else {
                throw ShardStoreError.gone(renewed)
            }
            state.claim(renewed)
        }
        do {
            try FileSystem.synchronizeDirectory(directory)
        } catch {
            // The caller knows of the old name alone.
            state.withLock { _ = $0.unclaim(renewed) }
            throw error
        }
        return renewed
    }

    /// Claims the newest copy of a shard that is here.
    package func claimNewest(of shard: CID) -> ShardCopyID? {
        state.withLock { state in
            let newest = state.names.keys.filter { $0.shard == shard }
                .max { $0.generation < $1.generation }
            if let newest { state.claim(newest) }
            return newest
        }
    }

    /// Claims all copies of a shard that are here.
    func claimAll(of shard: CID) -> [ShardCopyID] {
        state.withLock { state in
            let copies = state.names.keys.filter { $0.shard == shard }
            for copy in copies { state.claim(copy) }
            return copies
        }
    }

    func isClaimed(_ copy: ShardCopyID) -> Bool { state.withLock { $0.claims[copy] != nil } }

    /// Ends a claim.
    ///
    /// - Returns: `nil` while others claim the copy. Otherwise the number of its last claim: if the
    ///   replicated state, read after this, does not list the copy, call `removeUnheld` with it.
    package func release(_ copy: ShardCopyID) -> UInt64? {
        state.withLock { state in
            state.unclaim(copy) > 0 ? nil : state.lastClaim[copy] ?? 0
        }
    }

    /// Removes a copy that the state does not list, unless somebody has claimed it again.
    package func removeUnheld(_ copy: ShardCopyID, lastClaim: UInt64) throws {
        try removeFile(of: copy) { state in
            state.claims[copy] == nil && state.lastClaim[copy] == lastClaim
        }
    }

    /// Makes the blocks of copies findable, when a root that needs them was committed.
    ///
    /// - Returns: What is wrong with files that are damaged; their blocks cannot be found.
    @discardableResult
    package func makeReadable(_ copies: [ShardCopyID]) throws -> [ShardFileError] {
        var damage: [ShardFileError] = []
        // One at a time: whoever finds a copy readable relies on the catalogue having it already.
        try publishing.withLock { _ in
            let serials = state.withLock { state in
                copies.compactMap { state.names[$0] }.filter { !state.readable.contains($0) }
            }
            for serial in serials {
                do {
                    try addToCatalogue(serial)
                    state.withLock { _ = $0.readable.insert(serial) }
                } catch let error as ShardFileError {
                    note(serial, unusable: error)
                    damage.append(error)
                }
            }
        }
        try catalogueBox.withLock { $0 }?.mergeIfNeeded()
        return damage
    }

    // MARK: Removing

    /// Deletes the copies of a shard that were made before its drop number `generation`, and calls
    /// `whenGone` when their space is free, which is after their last reader.
    ///
    /// - Returns: False, with nothing promised, while one of them is claimed or a read that began
    ///   before the first call goes on: ask again later.
    package func removeCopies(
        of shard: CID, droppedAs generation: Int, whenGone: @escaping @Sendable () -> Void
    ) throws -> Bool {
        let removal = ShardRemoval(shard: shard, generation: generation)
        // Looked at and forgotten in one step, so that nobody claims a copy in between.
        let forgotten = state.withLock { state -> [ForgottenCopy]? in
            let dropped = state.names.keys.filter {
                $0.shard == shard && $0.generation < generation
            }
            let firstLater = state.waiting[removal] ?? state.nextRead
            let mustWait =
                dropped.contains { state.claims[$0] != nil }
                || !dropped.isEmpty && state.reads.contains { $0 < firstLater }
            state.waiting[removal] = mustWait ? firstLater : nil
            return mustWait ? nil : dropped.compactMap { state.forget($0) }
        }
        guard let forgotten else { return false }
        // The last reference to the signal goes when the last file is closed.
        let signal = ReleaseSignal(whenGone)
        for (index, copy) in forgotten.enumerated() {
            do {
                try removeFile(of: copy)?.whenClosed { _ = signal }
            } catch {
                signal.disarm()
                forgotten[index...].forEach(putBack)
                throw error
            }
        }
        return true
    }

    /// Deletes a copy that neither the state nor an upload knows.
    package func removeUnknown(_ copy: ShardCopyID) throws {
        try removeFile(of: copy) { state in state.claims[copy] == nil }
    }

    /// Sealed copies whose blocks cannot be found yet.
    var unreadableCopies: [ShardCopyID] {
        state.withLock { state in
            state.copies.filter {
                !state.readable.contains($0.key) && !state.unusable.contains($0.key)
            }.map(\.value)
        }
    }

    /// Forgets a copy and unlinks its file.
    private func removeFile(
        of copy: ShardCopyID, onlyIf condition: (borrowing ShardStoreState) -> Bool
    ) throws {
        let forgotten = state.withLock { state in condition(state) ? state.forget(copy) : nil }
        guard let forgotten else { return }
        do {
            _ = try removeFile(of: forgotten)
        } catch {
            putBack(forgotten)
            throw error
        }
    }

    /// Knows a copy again that could not be removed. When its file is gone, and that only is not durable, it is no
    /// copy any more; a start finds what a power cut brings back.
    private func putBack(_ forgotten: ForgottenCopy) {
        let name = ShardFileName(copy: forgotten.copy, serial: forgotten.serial).text
        state.withLock { state in
            guard state.names[forgotten.copy] == nil,
                case .some(.some) = try? FileSystem.loadStatus(directory + "/" + name)
            else { return }
            state.remember(forgotten)
        }
    }

    /// Unlinks the file of a copy that is forgotten already; returns it when it is open.
    private func removeFile(of forgotten: ForgottenCopy) throws -> ShardFile? {
        catalogueBox.withLock { $0 }?.remove(forgotten.serial)
        let name = ShardFileName(copy: forgotten.copy, serial: forgotten.serial).text
        try FileSystem.removeFile(directory + "/" + name)
        try FileSystem.synchronizeDirectory(directory)
        return forgotten.open
    }

    // MARK: Reading

    /// Begins a read of several blocks: as long as the lease lives, blocks that could be read when it
    /// was made can be read, also those of shards that are dropped meanwhile.
    package func beginReading() -> ReadLease {
        let number = state.withLock { state in
            defer { state.nextRead += 1 }
            state.reads.insert(state.nextRead)
            return state.nextRead
        }
        return ReadLease { [weak self] in self?.endReading(number) }
    }

    private func endReading(_ number: UInt64) {
        let isAwaited = state.withLock { state in
            state.reads.remove(number)
            return state.waiting.values.contains { number < $0 }
        }
        if isAwaited { whenReadsEnd.continuation.yield() }
    }

    /// An element each time a removal that was put off for a read may be tried again.
    package var endsOfAwaitedReads: AsyncStream<Void> { whenReadsEnd.stream }

    /// Where a block is, or `nil` when no readable shard here has it.
    package func locate(_ cid: CID) throws -> BlockLocation? {
        let key = CatalogueKey.key(of: cid)
        let lastHit = state.withLock { $0.lastHit }
        var failure: (any Error)?
        if let lastHit, let location = locate(cid, in: lastHit, &failure) { return location }
        if failure != nil { state.withLock { $0.lastHit = nil } }
        guard let catalogue = catalogueBox.withLock({ $0 }) else { return nil }
        let candidates = try catalogue.candidates(for: key)
        // The last one may not have the block at all.
        if let lastHit, !candidates.contains(lastHit) { failure = nil }
        for serial in candidates where serial != lastHit {
            if let location = locate(cid, in: serial, &failure) {
                state.withLock { $0.lastHit = serial }
                return location
            }
        }
        if let failure { throw failure }
        return nil
    }

    /// - Parameter failure: Set when the copy cannot be read: another one may have the block as well.
    private func locate(
        _ cid: CID, in serial: UInt32, _ failure: inout (any Error)?
    ) -> BlockLocation? {
        do {
            return try file(serial)?.locate(cid)
        } catch {
            if error is ShardFileError || (error as? IOError)?.isDamage == true {
                state.withLock { state in
                    state.open[serial] = nil
                    state.recency.removeAll { $0 == serial }
                    if state.copies[serial] != nil { state.damaged.insert(serial) }
                }
            }
            failure = error
            return nil
        }
    }

    /// An open file of a copy, or `nil` when it is not here.
    package func file(of copy: ShardCopyID) throws -> ShardFile? {
        guard let serial = state.withLock({ $0.names[copy] }) else { return nil }
        return try file(serial)
    }

    private func file(_ serial: UInt32) throws -> ShardFile? {
        let (known, copy) = state.withLock { state -> (ShardFile?, ShardCopyID?) in
            if let file = state.open[serial] {
                state.recency.removeAll { $0 == serial }
                state.recency.append(serial)
                return (file, nil)
            }
            return (nil, state.copies[serial])
        }
        if let known { return known }
        guard let copy else { return nil }
        let path = directory + "/" + ShardFileName(copy: copy, serial: serial).text
        let file: ShardFile
        do {
            file = try ShardFile(path: path, copy: copy, serial: serial)
        } catch let error as IOError where error.isNotFound {
            // Removed or renamed between the look-up and the opening.
            if state.withLock({ $0.copies[serial] }) == copy { throw error }
            return try self.file(serial)
        }
        let kept = state.withLock { state -> ShardFile? in
            // It may have been opened, renamed or removed meanwhile.
            if let other = state.open[serial] { return other }
            guard state.copies[serial] == copy else { return nil }
            state.open[serial] = file
            state.recency.append(serial)
            if state.recency.count > Self.openFileLimit {
                state.open[state.recency.removeFirst()] = nil
            }
            return file
        }
        return try kept ?? self.file(serial)
    }

    private func addToCatalogue(_ serial: UInt32) throws {
        guard let catalogue = catalogueBox.withLock({ $0 }), let keys = try readKeys(serial) else {
            return
        }
        try catalogue.add(serial, sortedKeys: keys)
    }

    /// Keys of all blocks of a copy, ascending; `nil` when it is gone.
    private func readKeys(_ serial: UInt32) throws -> [UInt64]? {
        var keys: [UInt64] = []
        do {
            guard let file = try file(serial) else { return nil }
            try file.forEachKey { keys.append($0) }
        } catch let error as IOError where error.isDamage {
            // A place of the disk that cannot be read is this file's affair, not that of all others.
            guard let copy = state.withLock({ $0.copies[serial] }) else { return nil }
            let name = ShardFileName(copy: copy, serial: serial).text
            throw ShardFileError.unreadable(path: directory + "/" + name, error)
        }
        keys.sort()
        return keys
    }
}

/// A copy that was said to be here is not.
enum ShardStoreError: Error, CustomStringConvertible {
    case gone(ShardCopyID)

    var description: String {
        switch self {
        case .gone(let copy): "the file of shard \(copy.shard) is not on this peer any more"
        }
    }
}

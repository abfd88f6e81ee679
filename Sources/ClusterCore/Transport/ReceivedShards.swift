import Multiformats
import Pinset
import PosixIO
import ShardPlanner
import Synchronization

/// Shards that other peers' uploads have brought here, until those uploads end.
///
/// Each has a small file `received/<upload>.<number>` from before its first byte on: after a restart it
/// tells that a shard file the state does not name yet belongs to an upload that may still be open.
package final class ReceivedShards: Sendable {
    /// One shard of an upload.
    struct Place: Hashable {
        let upload: UploadID
        let number: Int

        init(upload: UploadID, number: Int) {
            self.upload = upload
            self.number = number
        }

        init?(parsing name: String) {
            let parts = name.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 2, let upload = UploadID(parts[0]), let number = Int(parts[1])
            else { return nil }
            self.init(upload: upload, number: number)
            // Another spelling of a name is not ours.
            guard number >= 0, self.name == name else { return nil }
        }

        var name: String { "\(upload).\(number)" }
    }

    private struct State {
        /// All there is something of: a marker, a file in staging or a copy.
        var places: Set<Place> = []
        /// Being written at this moment.
        var arriving: Set<Place> = []
        /// What arrived, claimed. Of a shard there may be several generations, whose numbers do not tell which
        /// upload has brought them; and each may still get into the log, by what was signed for it.
        var copies: [Place: [ShardCopyID]] = [:]

        /// - Returns: Whether the copy was there before: one claim is enough.
        mutating func put(_ copy: ShardCopyID, at place: Place) -> Bool {
            places.insert(place)
            if copies[place, default: []].contains(copy) { return true }
            copies[place, default: []].append(copy)
            return false
        }
    }

    private let directory: String
    private let store: ShardStore
    private let workers: WorkerPool
    private let state = Mutex(State())

    package init(dataDirectory: String, store: ShardStore, workers: WorkerPool) throws {
        directory = dataDirectory + "/received"
        self.store = store
        self.workers = workers
        try FileSystem.takeOverDirectory(directory)
        for name in try Directory(directory).loadNames() {
            let text = String(decoding: name, as: UTF8.self)
            guard let place = Place(parsing: text) else {
                let suffix = FileSystem.unfinishedSuffix
                if text.hasSuffix(suffix),
                    Place(parsing: String(text.dropLast(suffix.count))) != nil
                {
                    try FileSystem.removeFile(directory + "/" + text)
                }
                continue
            }
            let bytes = try FileSystem.loadFile(directory + "/" + text)
            // What is cut or foreign names no shard, and then the sweep decides.
            let shard = try? CID(String(decoding: bytes.prefix { $0 > 0x20 }, as: UTF8.self))
            let claimed = shard.map(store.claimAll) ?? []
            state.withLock { state in
                state.places.insert(place)
                state.copies[place] = claimed
            }
        }
    }

    /// Uploads that brought something here.
    var uploads: Set<UploadID> { state.withLock { Set($0.places.map(\.upload)) } }

    /// Notes durably that a shard is about to arrive.
    ///
    /// - Returns: `false` while the same one is arriving already.
    func begin(_ place: Place, shard: CID) async throws -> Bool {
        let isFirst = state.withLock { state in
            guard state.arriving.insert(place).inserted else { return false }
            state.places.insert(place)
            return true
        }
        guard isFirst else { return false }
        do {
            try await save(shard, at: place)
        } catch {
            failed(place)
            throw error
        }
        return true
    }

    private func save(_ shard: CID, at place: Place) async throws {
        try await workers.run { [path = directory + "/" + place.name] in
            try FileSystem.saveFile(path, Array("\(shard)\n".utf8))
        }
    }

    /// Notes durably that a shard of an upload of this peer is about to get its name here.
    func announce(_ upload: UploadID, number: Int, shard: CID) async throws {
        let place = Place(upload: upload, number: number)
        state.withLock { _ = $0.places.insert(place) }
        try await save(shard, at: place)
    }

    /// The newest copy that is here of an upload's shard; it is claimed until the upload has ended.
    package func copy(of upload: UploadID, number: Int) -> ShardCopyID? {
        state.withLock { state in
            state.copies[Place(upload: upload, number: number)]?
                .max { $0.generation < $1.generation }
        }
    }

    /// The shard has arrived whole and is claimed, in the generation that the state gives to new copies.
    ///
    /// - Returns: Copies for the same place whose claims are of no more use: another shard, what was dropped
    ///   since, or the copy itself where it was there before.
    func arrived(_ place: Place, _ copy: ShardCopyID) -> [ShardCopyID] {
        state.withLock { state in
            state.arriving.remove(place)
            let former = (state.copies[place] ?? []).filter {
                $0.shard != copy.shard || $0.generation < copy.generation
            }
            state.copies[place]?.removeAll(where: former.contains)
            return state.put(copy, at: place) ? former + [copy] : former
        }
    }

    /// Takes over a claimed copy that is released when its upload has ended.
    func adopt(_ copy: ShardCopyID, _ place: Place) {
        // Who goes on with an upload has made a claim of its own.
        if state.withLock({ $0.put(copy, at: place) }) { _ = store.release(copy) }
    }

    func isArriving(_ upload: UploadID) -> Bool {
        state.withLock { state in state.arriving.contains { $0.upload == upload } }
    }

    func failed(_ place: Place) {
        state.withLock { _ = $0.arriving.remove(place) }
    }

    /// Forgets an upload that has ended.
    ///
    /// - Returns: Copies whose claims are to be released.
    func forget(_ upload: UploadID) async throws -> [ShardCopyID] {
        let places = state.withLock { state in
            state.places.filter { $0.upload == upload && !state.arriving.contains($0) }
        }
        let paths = places.map { directory + "/" + $0.name }
        try await workers.run { for path in paths { try FileSystem.removeFile(path) } }
        return state.withLock { state in
            state.places.subtract(places)
            return places.flatMap { state.copies.removeValue(forKey: $0) ?? [] }
        }
    }
}

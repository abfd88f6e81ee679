import ClusterCore
import Foundation
import Glibc
import ImportPipeline
import Importer
import IngestAPI
import Multiformats
import Pinset
import PosixIO
import SeededRandom
import ShardPlanner

/// Readers of what strangers and disks hand in, each with what must hold for every input: no crash, and
/// where there are two ways to a result, one result.
package enum FuzzTarget: String, CaseIterable, Sendable {
    case multipart
    case contentType = "content-type"
    case car, cbor, cid, command, dag
    case dagPB = "dag-pb"
    case fields, journal, options
    case peerID = "peer-id"
    case receipt, records, snapshot
    case unixFS = "unixfs"

    /// Traps when something does not hold.
    package func run(_ bytes: [UInt8]) {
        switch self {
        case .multipart: Self.multipart(bytes)
        case .contentType: _ = try? MultipartBoundary(contentType: Self.text(bytes))
        case .car: Self.car(bytes)
        case .cbor: Self.cbor(bytes)
        case .cid: Self.cid(bytes)
        case .command: Self.command(bytes)
        case .dag: Self.dag(bytes)
        case .dagPB: Self.dagPB(bytes)
        case .fields: Self.fields(bytes)
        case .journal: Self.journal(bytes)
        case .options: Self.options(bytes)
        case .peerID: Self.peerID(bytes)
        case .receipt: Self.receipt(bytes)
        case .records: Self.records(bytes)
        case .snapshot: Self.snapshot(bytes)
        case .unixFS: Self.unixFS(bytes)
        }
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// Cuts bytes into pieces of random lengths; equal bytes into equal pieces.
    private static func pieces(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var random = SeededGenerator(seed: UInt64(bytes.count) &+ UInt64(bytes.first ?? 0) << 32)
        var pieces: [ArraySlice<UInt8>] = []
        var start = 0
        while start < bytes.count {
            let end = min(
                bytes.count,
                start
                    + Int.random(in: 1...1 << Int.random(in: 0...8, using: &random), using: &random)
            )
            pieces.append(bytes[start..<end])
            start = end
        }
        return pieces
    }

    // MARK: - Bodies

    /// Read in pieces, with the reader made anew from its state between them, a form is what it is whole.
    private static func multipart(_ bytes: [UInt8]) {
        guard let boundary = try? MultipartBoundary(Array("b".utf8)) else {
            preconditionFailure("one letter is a boundary")
        }
        let whole = form([bytes[...]], boundary)
        let cut = form(pieces(bytes), boundary)
        precondition(whole == cut, "a form in pieces is another one: \(cut) instead of \(whole)")
    }

    private static func form(_ pieces: [ArraySlice<UInt8>], _ boundary: MultipartBoundary)
        -> [String]
    {
        var limits = MultipartLimits()
        limits.partCount = 100
        var reader = UploadReader(boundary: boundary, limits: limits)
        var events: [String] = []
        var data: [UInt8] = []
        func flush() {
            if !data.isEmpty { events.append("data \(data)") }
            data = []
        }
        do {
            for piece in pieces {
                try piece.withUnsafeBytes { bytes in
                    var input = bytes
                    while let event = try reader.next(&input) {
                        switch event {
                        case .data(let bytes): data.append(contentsOf: bytes)
                        case .beginFile(let entry):
                            flush()
                            events.append("file \(entry)")
                        case .endFile:
                            flush()
                            events.append("end")
                        case .directory(let entry): events.append("directory \(entry)")
                        case .symlink(let entry, let target):
                            events.append("symlink \(entry) \(target)")
                        }
                    }
                }
                reader = UploadReader(
                    boundary: boundary, limits: limits, resuming: kept(reader.state, piece))
            }
            try reader.finish()
            flush()
            events.append("whole")
        } catch {
            // How much of a file was handed out before a fault is up to the pieces.
            data = []
            events.append("error")
        }
        return events
    }

    /// A state as it comes out of a journal; for pieces of some lengths only, since that takes long.
    private static func kept<State: Codable>(_ state: State, _ piece: ArraySlice<UInt8>) -> State {
        guard piece.count % 8 == 1 else { return state }
        do {
            return try JSONDecoder().decode(State.self, from: JSONEncoder().encode(state))
        } catch {
            preconditionFailure("\(state) cannot be kept: \(error)")
        }
    }

    /// Read in pieces, with the reader made anew from its state between them, an archive is what it is whole.
    private static func car(_ bytes: [UInt8]) {
        let whole = sections([bytes[...]])
        let cut = sections(pieces(bytes))
        precondition(whole.events == cut.events, "a CAR in pieces is another one")
        precondition(
            whole.error == cut.error, "\(whole.error ?? "nothing") and \(cut.error ?? "nothing")")
    }

    private static func sections(_ pieces: [ArraySlice<UInt8>]) -> (
        events: [CARReader.Event], error: String?
    ) {
        var reader = CARReader()
        var events: [CARReader.Event] = []
        do {
            for piece in pieces {
                try piece.withUnsafeBytes { bytes in
                    var input = bytes
                    while let event = try reader.next(from: &input) { events.append(event) }
                }
                reader = CARReader(resuming: kept(reader.state, piece), pending: reader.pending)
            }
            try reader.finish()
            return (events, nil)
        } catch {
            return (events, "\(error)")
        }
    }

    // MARK: - Blocks

    /// There is one encoding of a value, and no other is read.
    private static func cbor(_ bytes: [UInt8]) {
        guard let value = try? CBOR(decoding: bytes) else { return }
        var again: [UInt8] = []
        value.append(to: &again)
        precondition(again == bytes, "another encoding of \(value) was read")
    }

    /// What is read in any order is written in one.
    private static func dagPB(_ bytes: [UInt8]) {
        guard let node = try? DagPBNode(decoding: bytes) else { return }
        let once = node.encoded()
        let again = try? DagPBNode(decoding: once)
        precondition(again?.encoded() == once, "\(node) is written in two ways")
        precondition(again?.links.count == node.links.count && again?.data == node.data)
    }

    private static func dag(_ bytes: [UInt8]) {
        guard let dag = try? FuzzedDAG(bytes) else {
            preconditionFailure("blocks cannot be hashed")
        }
        dag.check()
    }

    private static func unixFS(_ bytes: [UInt8]) {
        guard
            let cid = try? BlockHasher(.sha2_256).cid(version: .v1, codec: .dagPB, bytes),
            let node = try? bytes.withUnsafeBytes({ try UnixFSNode(cid: cid, block: $0) })
        else { return }
        precondition(node.payload.lowerBound >= 0 && node.payload.upperBound <= bytes.count)
        precondition(
            !node.isFile || node.links.count == node.blockByteCounts.count
                || node.blockByteCounts.isEmpty)
        // Written again, it is the same node, wherever its Data stood.
        guard let again = try? DagPBNode(decoding: bytes).encoded(),
            let other = try? again.withUnsafeBytes({ try UnixFSNode(cid: cid, block: $0) })
        else { preconditionFailure("a node is none once it is written again") }
        precondition(
            bytes[node.payload].elementsEqual(again[other.payload]) && node.type == other.type
                && node.fileByteCount == other.fileByteCount
                && node.blockByteCounts == other.blockByteCounts)
    }

    private static func cid(_ bytes: [UInt8]) {
        var end = 0
        if let cid = try? bytes.withUnsafeBytes({ try CID.decode($0, at: &end) }) {
            precondition(end <= bytes.count)
            var again: [UInt8] = []
            cid.append(to: &again)
            let first = end
            end = 0
            precondition((try? again.withUnsafeBytes { try CID.decode($0, at: &end) }) == cid)
            precondition(end == again.count && again.count <= first, "\(cid) has two encodings")
            precondition((try? CID("\(cid)")) == cid, "the text of \(cid) is that of another one")
        }
        if let cid = try? CID(text(bytes)) {
            precondition((try? CID("\(cid)")) == cid, "the text of \(cid) is that of another one")
        }
    }

    private static let signer = PeerIdentity()

    /// What a peer answers to a shard proves what it says itself, and that of its own words alone.
    private static func receipt(_ bytes: [UInt8]) {
        guard let receipt = try? JSONDecoder().decode(SignedReceipt.self, from: Data(bytes)),
            let shard = try? CID(receipt.shard), let upload = UploadID(receipt.upload),
            let storage = StorageID(receipt.storage), let peer = try? PeerID(receipt.peer)
        else { return }
        func proved(_ receipt: SignedReceipt, _ upload: UploadID, by peer: PeerID) -> Receipt? {
            try? receipt.verified(shard: shard, upload: upload, number: receipt.number, from: peer)
        }
        // Whoever signed it.
        if let found = proved(receipt, upload, by: peer) {
            precondition(
                found.peer == peer && found.generation == receipt.generation
                    && found.fileByteCount == receipt.fileBytes, "it proves something else")
        }
        // As another peer signs it.
        let said = Receipt(
            peer: signer.peer, storageID: storage, generation: receipt.generation,
            fileByteCount: receipt.fileBytes)
        do {
            let signed = try SignedReceipt(
                said, shard: shard, upload: upload, number: receipt.number, identity: signer)
            let read = try JSONDecoder().decode(
                SignedReceipt.self, from: JSONEncoder().encode(signed))
            let isPossible = said.generation >= 0 && said.fileByteCount >= 0
            let found = proved(read, upload, by: signer.peer)
            precondition(found == (isPossible ? said : nil), "\(read) proves another thing")
            precondition(
                proved(read, UploadID(high: ~upload.high, low: upload.low), by: signer.peer) == nil)
            precondition(peer == signer.peer || proved(read, upload, by: peer) == nil)
        } catch {
            preconditionFailure("a receipt cannot be signed or read: \(error)")
        }
    }

    private static func peerID(_ bytes: [UInt8]) {
        guard let peer = try? PeerID(text(bytes)) else { return }
        precondition((try? PeerID("\(peer)")) == peer)
    }

    // MARK: - Requests

    /// Header fields of one request, a line each.
    private static func fields(_ bytes: [UInt8]) {
        for line in text(bytes).split(separator: "\n") {
            let field = String(line)
            if let count = UploadFields.byteCount(field) {
                precondition(count >= 0 && UploadFields.byteCount("\(count)") == count)
            }
            precondition(!UploadFields.isTrue(field) || UploadFields.byteCount(field) == nil)
            if let values = UploadFields.metadata(field) {
                let again = values.map { "\($0) \(Data($1).base64EncodedString())" }
                    .joined(separator: ",")
                precondition(UploadFields.metadata(again) == values, "\(again) says another thing")
            }
            for byteCount in [0, 1, 10, Int.max] {
                guard case .part(let range) = ByteRange(field, byteCount: byteCount) else {
                    continue
                }
                precondition(
                    !range.isEmpty && 0 <= range.lowerBound && range.upperBound <= byteCount)
                let again = "bytes=\(range.lowerBound)-\(range.upperBound - 1)"
                precondition(ByteRange(again, byteCount: byteCount) == .part(range))
            }
        }
    }

    private static func options(_ bytes: [UInt8]) {
        let now = WallTime(seconds: 1_700_000_000)
        guard let items = try? QueryString.parse(text(bytes)) else { return }
        if let parameters = try? AddParameters(parsing: items, now: now) {
            _ = try? parameters.importOptions()
            let again = QueryString.encode(parameters.queryItems)
            let found = try? AddParameters(parsing: QueryString.parse(again), now: now)
            precondition(found == parameters, "\(again) is not what \(text(bytes)) was")
        }
        if let parameters = try? UploadParameters(parsing: items, now: now) {
            let again = QueryString.encode(queryItems(of: parameters))
            let found = try? UploadParameters(parsing: QueryString.parse(again), now: now)
            precondition(found == parameters, "\(again) is not what \(text(bytes)) was")
        }
    }

    /// As the client writes them, which always says the format; and the name of the one file.
    private static func queryItems(of parameters: UploadParameters) -> [QueryItem] {
        var items = parameters.add.queryItems.filter { $0.name != "format" }
        items.append(QueryItem(name: "format", value: parameters.format.rawValue))
        items.append(QueryItem(name: "filename", value: parameters.filename))
        return items
    }

    // MARK: - The log and the disk

    /// There is one encoding of a command, and no other is read: peers compare them.
    private static func command(_ bytes: [UInt8]) {
        guard let command = try? Command(decoding: bytes) else { return }
        precondition(command.encoded == bytes, "another encoding of \(command) was read")
    }

    private static func snapshot(_ bytes: [UInt8]) {
        var reader = StateSnapshotReader()
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            guard (try? reader.add(Array(line))) != nil else { return }
        }
        _ = try? reader.finish()
    }

    private static func records(_ bytes: [UInt8]) {
        if let records = try? ImportRecord.decodeAll(bytes) {
            var again: [UInt8] = []
            for record in records { record.append(to: &again) }
            precondition(try! ImportRecord.decodeAll(again) == records, "other records are read")
        }
        if let records = try? ArchiveRecord.decodeAll(bytes) {
            var again: [UInt8] = []
            for record in records { record.append(to: &again) }
            precondition(try! ArchiveRecord.decodeAll(again) == records, "other records are read")
        }
    }

    /// Bytes as a journal, and payloads of one, which have the checks that chance does not find.
    private static func journal(_ bytes: [UInt8]) {
        file(bytes)
        var framed: [UInt8] = []
        for payload in bytes.split(separator: 0xFF, omittingEmptySubsequences: false) {
            framed += UploadJournal.frame(Array(payload))
        }
        file(framed)
        // A power cut leaves any part of the last frame.
        file(framed.dropLast(bytes.count % 7))
    }

    /// A journal that is read to its end, and appended to, reads as before and then what was appended.
    private static func file(_ bytes: [UInt8]) {
        let path = "/dev/shm/fuzz-\(getpid()).journal"
        do {
            try FileSystem.removeFile(path)
            try FileDescriptor(path, for: .create).writeAll(bytes, at: 0)
        } catch {
            preconditionFailure("\(error)")
        }
        guard let journal = try? UploadJournal.open(path),
            let found = try? checkpoints(of: journal)
        else { return }
        guard (try? UploadJournal.loadEnd(path))?.offset == found.last?.offset ?? 0 else {
            preconditionFailure("the end is told in two ways")
        }
        let added = checkpoints(after: found.last)
        do {
            for checkpoint in added { try journal.append(checkpoint) }
            let again = try UploadJournal.open(path)
            let all = try checkpoints(of: again)
            precondition(again.opening == journal.opening, "another upload was opened")
            precondition(all == found + added, "after \(found) and \(added) it reads \(all)")
            try UploadJournal.closeIfNeeded(path)
            let end = try UploadJournal.loadEnd(path)
            precondition(end.offset == added.last?.offset && end.opening == journal.opening)
        } catch {
            preconditionFailure("what was read to its end takes no more: \(error)")
        }
    }

    private static func checkpoints(of journal: UploadJournal) throws -> [UploadCheckpoint] {
        var found: [UploadCheckpoint] = []
        while let checkpoint = try journal.next() { found.append(checkpoint) }
        return found
    }

    /// One whose tail is that of `last` and more, and one that has only the end of that left.
    private static func checkpoints(after last: UploadCheckpoint?) -> [UploadCheckpoint] {
        var longer = UploadCheckpoint(
            offset: 1, contentByteCount: 0, records: [2], reader: [3], tail: last?.tail ?? [],
            rest: [4])
        let more = Array("more".utf8)
        // A damaged journal may tell of any number.
        let contentByteCount = min(last?.contentByteCount ?? 0, Int.max - more.count)
        longer.contentByteCount = contentByteCount + more.count
        longer.tail += more
        var shorter = longer
        shorter.offset = 5
        shorter.tail.removeFirst(longer.tail.count / 2)
        return [longer, shorter]
    }
}

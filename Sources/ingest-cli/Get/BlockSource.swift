import IngestClient
import Multiformats

/// Gives verified blocks to whoever walks a DAG depth first: from an archive that comes in the same
/// order, and one by one where the archive has them elsewhere.
final class BlockSource: BlockSupply {
    /// Nil once the connection broke.
    private var archive: VerifiedArchive?
    private let client: ServiceClient

    init(_ archive: VerifiedArchive, _ client: ServiceClient) {
        self.archive = archive
        self.client = client
    }

    func block(_ cid: CID) async throws -> [UInt8] {
        if let data = cid.identityData { return data }
        do {
            // What is passed over is linked in a way that needs no bytes, such as a link to nothing.
            while let section = try await archive?.next() {
                if section.cid == cid { return section.block }
            }
        } catch ClientError.connectionLost {
            // The service cuts an archive where a block is damaged; asked for that block, it says so.
            archive = nil
        }
        return try await client.loadVerifiedBlock(cid)
    }
}

extension ServiceClient {
    /// One block, verified.
    func loadVerifiedBlock(_ cid: CID) async throws -> [UInt8] {
        if let data = cid.identityData { return data }
        let block = try await loadBlock(cid)
        guard try block.withUnsafeBytes({ try BlockVerifier().verify(cid, $0) }) else {
            throw VerificationError.wrongBytes(cid)
        }
        return block
    }
}

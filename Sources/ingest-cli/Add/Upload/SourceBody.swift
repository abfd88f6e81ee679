import Importer
import IngestAPI
import IngestClient

/// The body of an upload of one source, and what has to come out of it.
protocol SourceBody: RequestBodySource {
    /// Where that is known before it has been sent.
    var byteCount: UInt64? { get }

    /// Gives the rest from now on, as often as it has to be sent again.
    ///
    /// - Throws: When the source is not what it was.
    func begin(at offset: UInt64) async throws

    /// The service has answered: what came out of it here.
    func finish(_ answer: AddedOutput) async throws -> ImportedEntry

    /// The upload failed: waits until nothing works on it any more.
    func abandon() async

    /// What was left out of the upload; to be asked once everything has been read.
    var omissions: [WalkOmissions] { get }
}

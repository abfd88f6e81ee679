import IngestAPI
import Testing

@testable import ingest_cli

struct SavedUploadsTests {
    /// Another version of the program goes on with it.
    @Test func anUploadIsRememberedWithTheseFields() throws {
        let upload = SavedUpload(
            upload: "00000000000000010000000000000002", seed: [1, .max], bodyByteCount: 5,
            fingerprints: [0, 6])
        let text = """
            {"bodyByteCount":5,"fingerprints":[0,6],"seed":[1,18446744073709551615],\
            "upload":"00000000000000010000000000000002"}
            """
        #expect(String(decoding: try JSONBody.encode(upload), as: UTF8.self) == text)
        let read = try JSONBody.decode(SavedUpload.self, from: Array(text.utf8))
        #expect(read.upload == upload.upload && read.seed == upload.seed)
        #expect(read.bodyByteCount == 5 && read.fingerprints == upload.fingerprints)
    }
}

import Foundation
import Multiformats
import Pinset

/// The whole state as lines of JSON: a head, each row, and an end that proves nothing is missing.
///
/// ```text
/// {"format":"ingestd-state","version":1,"appliedIndex":"42"}
/// {"row":"peer","key":"9d61…","value":"o2Ru…"}
/// {"end":"ingestd-state","rows":3,"digest":"5f0c…"}
/// ```
///
/// Keys and digest are hexadecimal, values base64 of canonical DAG-CBOR, rows in order of table and
/// key, so equal states give equal files. The digest is `PinsetState.digest()`.
package enum StateExport {
    static let formatName = "ingestd-state"
    static let formatVersion = 1

    /// Hands over the lines one by one, each with its line feed.
    package static func write(
        _ state: PinsetState, to write: ([UInt8]) throws -> Void
    ) rethrows {
        try write(
            line(
                #"{"format":"\#(formatName)","version":\#(formatVersion),"#
                    + #""appliedIndex":"\#(state.appliedIndex)"}"#))
        var rowCount = 0
        try state.forEachRow { row in
            rowCount += 1
            let value = Data(row.value).base64EncodedString()
            try write(
                line(
                    #"{"row":"\#(row.table.name)","key":"\#(HexText.text(row.key))","#
                        + #""value":"\#(value)"}"#))
        }
        let digest = HexText.text(state.digest())
        try write(
            line(#"{"end":"\#(formatName)","rows":\#(rowCount),"digest":"\#(digest)"}"#))
    }

    private static func line(_ text: String) -> [UInt8] { Array(text.utf8) + [0x0A] }
}

extension StateStore {
    /// Writes the saved state as lines while the peer goes on: as of one transaction.
    ///
    /// Reads on a thread of its own, and holds the state a second time in memory meanwhile.
    package func exportState(
        to write: @escaping @Sendable ([UInt8]) throws -> Void
    ) async throws {
        try await QueueExecutor(label: "state-export").perform {
            try StateExport.write(self.loadState(), to: write)
        }
    }
}

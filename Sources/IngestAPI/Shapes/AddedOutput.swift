import Multiformats

/// One line of the answer to an add, in ipfs-cluster's shape: an entry that is done, or progress.
///
/// The daemon writes lines with `appendLine` and `KuboAddedOutput.appendLine`; the decoded form is
/// for clients.
package struct AddedOutput: Equatable, Sendable, Codable {
    /// Path of the entry; its CID when it has no name.
    package var name: String
    /// Nil in a progress line.
    package var cid: String?
    /// Content bytes taken in so far, in a progress line.
    package var bytes: UInt64?
    /// Cumulative size (Tsize) of the entry's DAG, in bytes.
    package var size: UInt64?
    /// Peers that hold it.
    package var allocations: [String]?

    package init(
        name: String, cid: String?, bytes: UInt64? = nil, size: UInt64? = nil,
        allocations: [String]? = nil
    ) {
        self.name = name
        self.cid = cid
        self.bytes = bytes
        self.size = size
        self.allocations = allocations
    }

    /// Appends `{"name":…,"cid":…,"size":…,"allocations":[…]}` and a line feed. As in ipfs-cluster,
    /// a size of 0 and an empty list are left out.
    ///
    /// - Parameter name: Bytes of the path; what is not UTF-8 in it is shown as U+FFFD.
    package static func appendLine(
        name: some Collection<UInt8>, cid: CID, size: UInt64, allocations: [PeerID] = [],
        to output: inout [UInt8]
    ) {
        JSONText.appendRaw("{\"name\":", to: &output)
        JSONText.appendString(name, to: &output)
        JSONText.appendRaw(",\"cid\":\"", to: &output)
        cid.appendDescription(to: &output)
        output.append(UInt8(ascii: "\""))
        if size > 0 {
            JSONText.appendRaw(",\"size\":", to: &output)
            JSONText.appendNumber(size, to: &output)
        }
        if !allocations.isEmpty { append(allocations, to: &output) }
        JSONText.appendRaw("}\n", to: &output)
    }

    /// Appends a progress line: `{"name":…,"cid":null,"bytes":…}`.
    package static func appendProgressLine(
        name: some Collection<UInt8>, bytes: UInt64, to output: inout [UInt8]
    ) {
        JSONText.appendRaw("{\"name\":", to: &output)
        JSONText.appendString(name, to: &output)
        JSONText.appendRaw(",\"cid\":null,\"bytes\":", to: &output)
        JSONText.appendNumber(bytes, to: &output)
        JSONText.appendRaw("}\n", to: &output)
    }

    private static func append(_ allocations: [PeerID], to output: inout [UInt8]) {
        JSONText.appendRaw(",\"allocations\":[", to: &output)
        for (index, peer) in allocations.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            JSONText.appendString(peer.description.utf8, to: &output)
        }
        output.append(UInt8(ascii: "]"))
    }
}

/// One line of the answer of `POST /api/v0/add`, in Kubo's shape.
package struct KuboAddedOutput: Equatable, Sendable, Codable {
    package var name: String
    /// Nil in a progress line.
    package var hash: String?
    package var bytes: UInt64?
    /// Decimal digits: Kubo writes this number as a string.
    package var size: String?

    enum CodingKeys: String, CodingKey {
        case name = "Name"
        case hash = "Hash"
        case bytes = "Bytes"
        case size = "Size"
    }

    /// Appends `{"Name":…,"Hash":…,"Size":"…"}` and a line feed.
    package static func appendLine(
        name: some Collection<UInt8>, cid: CID, size: UInt64, to output: inout [UInt8]
    ) {
        JSONText.appendRaw("{\"Name\":", to: &output)
        JSONText.appendString(name, to: &output)
        JSONText.appendRaw(",\"Hash\":\"", to: &output)
        cid.appendDescription(to: &output)
        JSONText.appendRaw("\",\"Size\":\"", to: &output)
        JSONText.appendNumber(size, to: &output)
        JSONText.appendRaw("\"}\n", to: &output)
    }

    /// Appends a progress line: `{"Name":…,"Bytes":…}`.
    package static func appendProgressLine(
        name: some Collection<UInt8>, bytes: UInt64, to output: inout [UInt8]
    ) {
        JSONText.appendRaw("{\"Name\":", to: &output)
        JSONText.appendString(name, to: &output)
        JSONText.appendRaw(",\"Bytes\":", to: &output)
        JSONText.appendNumber(bytes, to: &output)
        JSONText.appendRaw("}\n", to: &output)
    }
}

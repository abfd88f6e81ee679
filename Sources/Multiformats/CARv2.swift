/// The frame of a CARv2: a CARv1 between a header and an index (CARv2 specification).
package enum CARv2 {
    /// The eleven bytes every CARv2 starts with: a CAR header that says version 2.
    package static let pragma: [UInt8] = [
        0x0a, 0xa1, 0x67, 0x76, 0x65, 0x72, 0x73, 0x69, 0x6f, 0x6e, 0x02,
    ]

    /// Where the CARv1 and the index are; offsets count from the start of the file.
    package struct Header: Equatable, Sendable, Codable {
        /// Length of pragma and header in bytes.
        package static let byteCount = 51

        /// Sixteen bytes of flags; the top bit of the first says that identity CIDs are indexed.
        package var characteristics: [UInt8]
        package var dataOffset: UInt64
        package var dataByteCount: UInt64
        /// Zero when there is no index.
        package var indexOffset: UInt64

        /// A header for a CARv1 right behind it, and an index right behind that.
        package init(dataByteCount: UInt64) {
            characteristics = Array(repeating: 0, count: 16)
            dataOffset = UInt64(Self.byteCount)
            self.dataByteCount = dataByteCount
            indexOffset = dataOffset + dataByteCount
        }

        /// The pragma and the header, 51 bytes.
        package var encoded: [UInt8] {
            var bytes = CARv2.pragma + characteristics
            for value in [dataOffset, dataByteCount, indexOffset] {
                withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
            }
            return bytes
        }

        /// Reads pragma and header from the first 51 bytes of a file.
        package init(decoding bytes: UnsafeRawBufferPointer) throws(CARError) {
            guard bytes.count >= Self.byteCount, bytes.starts(with: CARv2.pragma) else {
                throw .v2HeaderCut(found: UInt64(bytes.count))
            }
            func number(_ offset: Int) -> UInt64 {
                UInt64(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            }
            characteristics = Array(bytes[11..<27])
            dataOffset = number(27)
            dataByteCount = number(35)
            indexOffset = number(43)
            let (dataEnd, overflow) = dataOffset.addingReportingOverflow(dataByteCount)
            guard dataByteCount > 0 else { throw .v2Unfinished }
            guard dataOffset >= UInt64(Self.byteCount), !overflow,
                dataEnd <= UInt64(Int64.max), indexOffset == 0 || indexOffset >= dataEnd
            else {
                throw .v2HeaderInvalid(
                    dataOffset: dataOffset, dataByteCount: dataByteCount, indexOffset: indexOffset)
            }
        }
    }
}

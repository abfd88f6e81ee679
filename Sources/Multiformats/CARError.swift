/// Why bytes are not a CAR; offsets count from the start of the file.
package enum CARError: Error, Equatable, Sendable, CustomStringConvertible {
    /// There are no bytes at all.
    case empty
    /// The file ends inside its header.
    case headerCut(expected: UInt64, found: UInt64)
    /// The header claims more bytes than any real one has.
    case headerTooLong(byteCount: UInt64, limit: Int, offset: UInt64)
    /// The header is not a CAR header.
    case headerMalformed(CARHeaderError, offset: UInt64)
    /// Only versions 1 and 2 exist, and a CARv2 holds a CARv1.
    case unsupportedVersion(UInt64, offset: UInt64)
    /// The file ends inside the CARv2 header.
    case v2HeaderCut(found: UInt64)
    /// The CARv2 header has no data size, as its writer leaves it until the end.
    case v2Unfinished
    /// The ranges in the CARv2 header contradict each other.
    case v2HeaderInvalid(dataOffset: UInt64, dataByteCount: UInt64, indexOffset: UInt64)
    /// The file ends before the place where the CARv2 header says the data starts.
    case v2DataOffsetBeyondEnd(dataOffset: UInt64, fileByteCount: UInt64)
    /// The file ends at the end of a section, before the end of the data.
    case v2DataCut(dataEnd: UInt64, fileByteCount: UInt64)
    /// The length of a section or of the header is not a varint.
    case lengthMalformed(VarintError, offset: UInt64)
    /// The file ends inside the length of a section or of the header.
    case lengthCut(offset: UInt64)
    /// A section of no bytes, as files padded with zeros have.
    case sectionEmpty(offset: UInt64)
    /// A section's length is beyond all reason, so it is hardly one.
    case sectionTooLong(byteCount: UInt64, limit: Int, offset: UInt64)
    /// The inner header or a section claims to go on behind the end of the data of a CARv2.
    case itemBeyondData(byteCount: UInt64, dataEnd: UInt64, offset: UInt64)
    /// The file ends inside a section's CID.
    case sectionCutInCID(offset: UInt64)
    /// The file ends inside a section's block.
    case sectionCut(CID, expected: UInt64, found: UInt64, offset: UInt64)
    /// A section does not start with a CID.
    case cidMalformed(CIDError, offset: UInt64)
    /// A CID whose hash function is not available, so that its block cannot be checked.
    case unavailableHash(HashFunction, CID, offset: UInt64)
    /// A block larger than IPFS programs exchange.
    case blockTooLarge(CID, byteCount: UInt64, limit: Int, offset: UInt64)

    package var description: String {
        switch self {
        case .empty: "the CAR is empty; send the whole file"
        case .headerCut(let expected, let found):
            "the CAR header should have \(expected) bytes, but the file ends after \(found); "
                + "check that this is a CAR and send the whole file"
        case .headerTooLong(let byteCount, let limit, let offset):
            "the CAR header at byte \(offset) claims \(byteCount) bytes, the limit is \(limit); "
                + "check that this is a CAR"
        case .headerMalformed(let error, let offset):
            "the CAR header at byte \(offset) is not valid: \(error); check that this is a CAR"
        case .unsupportedVersion(let version, let offset):
            "the CAR header at byte \(offset) says version \(version), which cannot be read here; "
                + "convert the file to CARv1 or CARv2"
        case .v2HeaderCut(let found):
            "the CARv2 header should have \(CARv2.Header.byteCount) bytes, but the file ends after "
                + "\(found); send the whole file"
        case .v2Unfinished:
            "the CARv2 header at byte 11 has no data size: the program that wrote the file did not "
                + "finish; write it again"
        case .v2HeaderInvalid(let dataOffset, let dataByteCount, let indexOffset):
            "the CARv2 header at byte 11 contradicts itself (data offset \(dataOffset), data size "
                + "\(dataByteCount), index offset \(indexOffset)); write the file again"
        case .v2DataOffsetBeyondEnd(let dataOffset, let fileByteCount):
            "the CARv2 header says the data starts at byte \(dataOffset), but the file has "
                + "\(fileByteCount) bytes; send the whole file"
        case .v2DataCut(let dataEnd, let fileByteCount):
            "the CARv2 header says the data ends at byte \(dataEnd), but the file has "
                + "\(fileByteCount) bytes; send the whole file"
        case .lengthMalformed(let error, let offset):
            "the length at byte \(offset) of the CAR cannot be read: \(error); "
                + "write the file again"
        case .lengthCut(let offset):
            "the CAR ends inside the length of the item at byte \(offset); send the whole file"
        case .sectionEmpty(let offset):
            "the CAR section at byte \(offset) has no bytes; cut the zeros at the end of the file "
                + "off, or write it again"
        case .sectionTooLong(let byteCount, let limit, let offset):
            "the CAR section at byte \(offset) claims \(byteCount) bytes, the limit is \(limit); "
                + "the file is damaged there, write it again"
        case .itemBeyondData(let byteCount, let dataEnd, let offset):
            "the CAR item at byte \(offset) claims \(byteCount) bytes, but the data ends at "
                + "byte \(dataEnd) by the CARv2 header; write the file again"
        case .sectionCutInCID(let offset):
            "the CAR ends inside the CID of the section at byte \(offset); send the whole file"
        case .sectionCut(let cid, let expected, let found, let offset):
            "the CAR section at byte \(offset) should hold \(expected) bytes of block \(cid), but "
                + "the file ends after \(found); send the whole file"
        case .cidMalformed(let error, let offset):
            "the CAR section at byte \(offset) does not start with a CID: \(error); "
                + "write the file again"
        case .unavailableHash(let function, let cid, let offset):
            "the CAR section at byte \(offset) has block \(cid), which cannot be checked: hash "
                + "function \(function) is not available here; import the data with one of "
                + HashFunction.availableNames
        case .blockTooLarge(let cid, let byteCount, let limit, let offset):
            "the CAR section at byte \(offset) has block \(cid) of \(byteCount) bytes, the limit "
                + "is \(limit); import the data with smaller chunks"
        }
    }
}

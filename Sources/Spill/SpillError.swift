/// What can go wrong in a spilling container besides the scratch file's own errors.
package enum SpillError: Error, Equatable, CustomStringConvertible {
    /// A scratch file holds fewer bytes than were written to it.
    case readPastEnd(offset: UInt64, byteCount: Int, fileByteCount: UInt64)
    /// A record is larger than the sorter can merge within its memory.
    case recordTooLong(byteCount: Int, limit: Int)

    package var description: String {
        switch self {
        case .readPastEnd(let offset, let byteCount, let fileByteCount):
            "scratch file of \(fileByteCount) bytes was asked for \(byteCount) bytes at \(offset);"
                + " something cut it short, start the job again"
        case .recordTooLong(let byteCount, let limit):
            "record of \(byteCount) bytes is larger than the \(limit) bytes that can be sorted;"
                + " give the sorter more memory"
        }
    }
}

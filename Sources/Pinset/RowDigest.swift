import Multiformats

/// SHA-256 over rows in order of table and key.
///
/// Chained, because the hash has no streaming form here: the digest so far, then the row's table, the
/// lengths of its key and value (four bytes each, highest first), both.
struct RowDigest {
    private(set) var value = [UInt8](repeating: 0, count: 32)
    private let hasher: BlockHasher
    private var bytes: [UInt8] = []

    init() {
        do {
            hasher = try BlockHasher(.sha2_256)
        } catch {
            preconditionFailure("sha2-256 is always there: \(error)")
        }
    }

    mutating func add(_ row: StateRow) {
        bytes.removeAll(keepingCapacity: true)
        bytes.append(contentsOf: value)
        bytes.append(row.table.rawValue)
        bytes.append(contentsOf: BigEndian.bytes(UInt32(row.key.count)))
        bytes.append(contentsOf: BigEndian.bytes(UInt32(row.value.count)))
        bytes.append(contentsOf: row.key)
        bytes.append(contentsOf: row.value)
        do {
            value = try bytes.withUnsafeBufferPointer { (buffer) throws(HashError) in
                try hasher.digest(UnsafeRawBufferPointer(buffer))
            }
        } catch {
            preconditionFailure("sha2-256 takes any bytes: \(error)")
        }
    }
}

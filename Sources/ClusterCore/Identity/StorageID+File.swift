import Pinset

/// The file `storage.id` ties a data directory to what the state says lies in it. A wiped, swapped
/// or unmounted directory lacks it or has another one, and the state refuses the peer by name.
extension StorageID {
    package static let fileName = "storage.id"

    /// A new ID, from the system's random numbers.
    package static func random() -> StorageID {
        var random = SystemRandomNumberGenerator()
        return StorageID(high: random.next(), low: random.next())
    }

    /// Reads the ID of a data directory: 32 hexadecimal digits and a line feed.
    package static func load(from directory: String) throws(IdentityError) -> StorageID {
        let file = IdentityFile(directory: directory, name: fileName)
        let bytes = try file.load(isSecret: false)
        guard bytes.last == 0x0A,
            let id = StorageID(String(decoding: bytes.dropLast(), as: UTF8.self))
        else {
            throw .malformed(path: file.path, finding: "not 32 hexadecimal digits and a line feed")
        }
        return id
    }

    /// Writes this ID into a data directory that has none, and syncs it.
    package func save(to directory: String) throws(IdentityError) {
        try IdentityFile(directory: directory, name: Self.fileName)
            .create(Array("\(self)\n".utf8), permissions: 0o644)
    }
}

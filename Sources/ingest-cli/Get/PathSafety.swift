/// What may be given to the file system as a name.
enum PathSafety {
    /// Whether a name stays where it is put.
    static func isComponent(_ name: [UInt8]) -> Bool {
        !name.isEmpty && name != [0x2e] && name != [0x2e, 0x2e] && !name.contains(0x2f)
            && !name.contains(0)
    }
}

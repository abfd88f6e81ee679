import Glibc
import Importer
import PosixIO

/// Making things in an open directory. Names are single components, checked by the caller; nothing
/// here follows a symlink.
extension Directory {
    /// Makes a file that must not exist yet, with the process's default permissions.
    func createFile(_ name: [UInt8]) throws(IOError) -> FileDescriptor {
        let number = withName(name) {
            openat(file.number, $0, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o666)
        }
        guard number >= 0 else { throw IOError.current("create", shown(name)) }
        return FileDescriptor(owning: number, path: shown(name))
    }

    func createDirectory(_ name: [UInt8]) throws(IOError) {
        try check(withName(name) { mkdirat(file.number, $0, 0o777) }, "create directory", name)
    }

    func createSymlink(_ name: [UInt8], target: [UInt8]) throws(IOError) {
        guard !target.contains(0) else {
            throw IOError("create symlink", shown(name), .system(EINVAL))
        }
        let result = withName(name) { name in
            withName(target) { symlinkat($0, file.number, name) }
        }
        try check(result, "create symlink", name)
    }

    /// Gives an entry another name, which must be free.
    func rename(_ name: [UInt8], to newName: [UInt8]) throws {
        guard try loadStatus(newName) == nil else { throw NameTaken(path: shown(newName)) }
        let result = withName(name) { old in
            withName(newName) { renameat(file.number, old, file.number, $0) }
        }
        try check(result, "rename to \(shown(newName))", name)
    }

    /// Sets the modification time of an entry itself.
    func setModified(_ time: UnixFSTime, of name: [UInt8]) throws(IOError) {
        var times = time.timespecs
        try check(
            withName(name) { utimensat(file.number, $0, &times, AT_SYMLINK_NOFOLLOW) },
            "set the time of", name)
    }

    /// Removes an entry and, if it is a directory, all that is in it.
    func removeTree(_ name: [UInt8]) throws(IOError) {
        guard let status = try loadStatus(name) else { return }
        guard status.kind == .directory else {
            return try check(withName(name) { unlinkat(file.number, $0, 0) }, "remove", name)
        }
        let directory = try openDirectory(name)
        for inner in try directory.loadNames() { try directory.removeTree(inner) }
        try check(withName(name) { unlinkat(file.number, $0, AT_REMOVEDIR) }, "remove", name)
    }

    private func check(
        _ result: Int32, _ operation: String, _ name: [UInt8]
    ) throws(IOError) {
        guard result == 0 else { throw IOError.current(operation, shown(name)) }
    }

    private func withName<Result>(
        _ name: [UInt8], _ body: (UnsafePointer<CChar>) -> Result
    ) -> Result {
        precondition(!name.contains(0), "a file name holds no NUL")
        return (name.map(CChar.init(bitPattern:)) + [0]).withUnsafeBufferPointer {
            body($0.baseAddress!)
        }
    }

    private func shown(_ name: [UInt8]) -> String {
        "\(file.path)/\(String(decoding: name, as: UTF8.self))"
    }
}

/// Something is where a new thing should go.
struct NameTaken: Error, CustomStringConvertible {
    let path: String

    var description: String {
        "\(path) is already there; remove it, or give another place with -o"
    }
}

extension FileDescriptor {
    /// Sets what a UnixFS node says of the file. Bits that would give its user another identity
    /// are not taken over from strangers.
    func apply(mode: UInt32?, mtime: UnixFSTime?) throws(IOError) {
        if let mode, fchmod(number, mode & 0o777) != 0 {
            throw IOError.current("set the mode of", path)
        }
        if let mtime {
            var times = mtime.timespecs
            guard futimens(number, &times) == 0 else {
                throw IOError.current("set the time of", path)
            }
        }
    }
}

extension UnixFSTime {
    /// For utimensat(2): leaves the time of access as it is.
    fileprivate var timespecs: [timespec] {
        let omit = (1 << 30) - 2  // UTIME_OMIT
        return [
            timespec(tv_sec: 0, tv_nsec: omit),
            timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds)),
        ]
    }
}

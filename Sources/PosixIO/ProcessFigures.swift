import Glibc

/// What the system says of this process.
package enum ProcessFigures {
    /// Resident memory in bytes; 0 when the system does not tell.
    package static var residentByteCount: Int {
        // Figures for display: where /proc is missing there are none.
        guard let text = try? FileSystem.loadText("/proc/self/statm") else { return 0 }
        let fields = text.split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }

    /// Open file descriptors; 0 when the system does not tell.
    package static var openFileCount: Int {
        (try? Directory("/proc/self/fd").loadNames().count) ?? 0
    }
}

extension FileSystem {
    /// Reads a file of the system that does not say how long it is.
    fileprivate static func loadText(_ path: String) throws(IOError) -> String {
        let file = try FileDescriptor(path, for: .read)
        var bytes = [UInt8](repeating: 0, count: 4096)
        var count = 0
        var failure: IOError?
        bytes.withUnsafeMutableBytes { space in
            do throws(IOError) { count = try file.readSome(into: space) } catch { failure = error }
        }
        if let failure { throw failure }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}

#if DEBUG
    import Foundation
    import Glibc

    /// What a loss of power would bring back: every change since its file or directory was last
    /// synchronised, with what was there before.
    ///
    /// A process that is killed leaves this to the next one (`save`), as it leaves what is not synchronised.
    struct DiskUndo {
        private enum Restoration: Codable {
            case remove(String)
            case removeTree(String)
            case makeDirectory(String)
            case link(kept: String, String)
            case renameBack(String, former: String, replaced: String)

            func perform() {
                switch self {
                case .remove(let path): unlink(path)
                case .removeTree(let path): DiskUndo.removeTree(path)
                case .makeDirectory(let path): mkdir(path, 0o755)
                case .link(let kept, let path): Glibc.link(kept, path)
                case .renameBack(let path, let former, let replaced):
                    Glibc.rename(path, former)
                    Glibc.link(replaced, path)
                }
            }
        }

        private enum Former: Codable {
            case bytes(file: UInt64, offset: Int, [UInt8], byteCount: Int)
            case name(directory: UInt64, Restoration)
        }

        private struct Saved: Codable {
            var formers: [Former]
            /// Names of files of which bytes are kept.
            var files: [UInt64: String]
        }

        private let directory: String
        private var formers: [Former] = []
        private var numbers: [UInt64: Int32] = [:]
        private var keptCount = 0

        /// - Parameter directory: Of the same file system; has what is kept, and what a killed process left.
        init(in directory: String) {
            self.directory = directory
            guard let data = FileManager.default.contents(atPath: savedPath) else { return }
            guard let saved = try? JSONDecoder().decode(Saved.self, from: data) else {
                preconditionFailure("what a killed process left is not readable")
            }
            unlink(savedPath)
            formers = saved.formers
            for (id, path) in saved.files { numbers[id] = open(path, O_RDWR | O_CLOEXEC) }
        }

        private var savedPath: String { directory + "/saved" }

        /// For the next process, when this one is killed.
        mutating func save() {
            var saved = Saved(formers: formers, files: [:])
            for (id, number) in numbers {
                let path = newPath()
                // One without a name is lost with the process.
                let isLinked =
                    linkat(
                        AT_FDCWD, "/proc/self/fd/\(number)", AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0
                if isLinked { saved.files[id] = path }
            }
            guard let data = try? JSONEncoder().encode(saved),
                FileManager.default.createFile(atPath: savedPath, contents: data)
            else { preconditionFailure("what a killed process leaves is not kept") }
        }

        /// Before a change: keeps what it replaces.
        mutating func prepare(_ event: DiskFault.Event) {
            let path = event.path
            // What will fail, or finds what it would make, changes nothing.
            let isThere = Self.exists(path)
            switch event.change {
            case .write, .truncate, .preallocate: keepBytes(event)
            case .create, .link:
                if !isThere { keepName(path, .remove(path)) }
            case .makeDirectory:
                if !isThere { keepName(path, .removeTree(path)) }
            case .removeDirectory:
                if isThere { keepName(path, .makeDirectory(path)) }
            case .remove:
                guard isThere else { return }
                keepName(path, .link(kept: keep(path), path))
            case .rename:
                guard let former = event.former, Self.exists(former) else { return }
                keepName(path, .renameBack(path, former: former, replaced: keep(path)))
            case .synchronize, .begin, .commit: break
            }
        }

        /// After a change: what is synchronised stays.
        mutating func settle(_ event: DiskFault.Event) {
            guard event.change == .synchronize, let id = Self.id(of: event.number) else { return }
            formers.removeAll { former in
                switch former {
                case .bytes(let file, _, _, _): file == id
                case .name(let directory, _): directory == id
                }
            }
            if let number = numbers.removeValue(forKey: id) { close(number) }
        }

        /// Brings back what was there.
        func undo(bytes: Bool, names: Bool) {
            for former in formers.reversed() {
                switch former {
                case .bytes(let file, let offset, let old, let byteCount):
                    guard bytes, let number = numbers[file] else { continue }
                    _ = old.withUnsafeBytes { pwrite(number, $0.baseAddress, $0.count, offset) }
                    ftruncate(number, byteCount)
                case .name(_, let restoration):
                    if names { restoration.perform() }
                }
            }
        }

        private mutating func keepBytes(_ event: DiskFault.Event) {
            // SQLite synchronises its own files past us.
            guard !event.path.contains(".sqlite"), let id = Self.id(of: event.number) else {
                return
            }
            var status = stat()
            guard fstat(event.number, &status) == 0, status.st_nlink > 0 else { return }
            // Another descriptor: that one may be direct, or closed by then.
            let number = numbers[id] ?? open("/proc/self/fd/\(event.number)", O_RDWR | O_CLOEXEC)
            guard number >= 0 else { return }
            numbers[id] = number
            let byteCount = Int(status.st_size)
            var old = [UInt8](
                repeating: 0,
                count: max(0, min(event.range.upperBound, byteCount) - event.range.lowerBound))
            let got = old.withUnsafeMutableBytes {
                pread(number, $0.baseAddress, $0.count, event.range.lowerBound)
            }
            old.removeLast(old.count - max(0, got))
            formers.append(
                .bytes(
                    file: id, offset: event.range.lowerBound, old, byteCount: byteCount))
        }

        private mutating func keepName(_ path: String, _ restoration: Restoration) {
            var status = stat()
            guard stat(FileSystem.directory(of: path), &status) == 0 else { return }
            formers.append(.name(directory: UInt64(status.st_ino), restoration))
        }

        /// Another name for a file that is about to lose this one.
        private mutating func keep(_ path: String) -> String {
            let kept = newPath()
            Glibc.link(path, kept)
            return kept
        }

        private mutating func newPath() -> String {
            keptCount += 1
            return "\(directory)/\(getpid())-\(keptCount)"
        }

        private static func id(of number: Int32) -> UInt64? {
            var status = stat()
            return fstat(number, &status) == 0 ? UInt64(status.st_ino) : nil
        }

        private static func exists(_ path: String) -> Bool {
            var status = stat()
            return lstat(path, &status) == 0
        }

        private static func removeTree(_ path: String) {
            if let names = try? Directory(path).loadNames() {
                for name in names {
                    let entry = path + "/" + String(decoding: name, as: UTF8.self)
                    if unlink(entry) != 0 { removeTree(entry) }
                }
            }
            rmdir(path)
        }
    }
#endif

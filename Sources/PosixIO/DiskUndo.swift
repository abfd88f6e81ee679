#if DEBUG
    import Glibc

    /// What a loss of power would bring back: every change since its file or directory was last
    /// synchronised, with what was there before.
    struct DiskUndo {
        private enum Former {
            case bytes(file: UInt64, number: Int32, offset: Int, [UInt8], byteCount: Int)
            case name(directory: UInt64, restore: () -> Void)
        }

        private var formers: [Former] = []
        private var numbers: [UInt64: Int32] = [:]
        private var keptCount = 0

        /// Before a change: keeps what it replaces.
        mutating func prepare(_ event: DiskFault.Event, in undoDirectory: String) {
            let path = event.path
            // What will fail, or finds what it would make, changes nothing.
            let isThere = Self.exists(path)
            switch event.change {
            case .write, .truncate, .preallocate: keepBytes(event)
            case .create, .link:
                if !isThere { keepName(path) { unlink(path) } }
            case .makeDirectory:
                if !isThere { keepName(path) { Self.removeTree(path) } }
            case .removeDirectory:
                if isThere { keepName(path) { mkdir(path, 0o755) } }
            case .remove:
                guard isThere else { return }
                let kept = keep(path, undoDirectory)
                keepName(path) { Glibc.link(kept, path) }
            case .rename:
                guard let former = event.former, Self.exists(former) else { return }
                let replaced = keep(path, undoDirectory)
                keepName(path) {
                    Glibc.rename(path, former)
                    Glibc.link(replaced, path)
                }
            case .synchronize, .begin, .commit: break
            }
        }

        /// After a change: what is synchronised stays.
        mutating func settle(_ event: DiskFault.Event) {
            guard event.change == .synchronize, let id = Self.id(of: event.number) else { return }
            formers.removeAll { former in
                switch former {
                case .bytes(let file, _, _, _, _): file == id
                case .name(let directory, _): directory == id
                }
            }
            if let number = numbers.removeValue(forKey: id) { close(number) }
        }

        /// Brings back what was there.
        func undo(bytes: Bool, names: Bool) {
            for former in formers.reversed() {
                switch former {
                case .bytes(_, let number, let offset, let old, let byteCount):
                    guard bytes else { continue }
                    _ = old.withUnsafeBytes { pwrite(number, $0.baseAddress, $0.count, offset) }
                    ftruncate(number, byteCount)
                case .name(_, let restore):
                    if names { restore() }
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
                    file: id, number: number, offset: event.range.lowerBound, old,
                    byteCount: byteCount))
        }

        private mutating func keepName(_ path: String, _ restore: @escaping () -> Void) {
            var status = stat()
            guard stat(FileSystem.directory(of: path), &status) == 0 else { return }
            formers.append(.name(directory: UInt64(status.st_ino), restore: restore))
        }

        /// Another name for a file that is about to lose this one.
        private mutating func keep(_ path: String, _ undoDirectory: String) -> String {
            keptCount += 1
            let kept = "\(undoDirectory)/\(keptCount)"
            Glibc.link(path, kept)
            return kept
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

#if DEBUG
    import Glibc

    /// Makes one change of the disk fail, or the process end at it. Debug builds only.
    ///
    /// Read from the environment: `INGESTD_DISK_ROOT`, below which changes count; `INGESTD_DISK_POINTS`, a
    /// file that gets the name of every change; `INGESTD_DISK_SITES`, one that gets the calls which lead to them;
    /// `INGESTD_DISK_FAULT`, a `Mode`, an @ and such a name;
    /// `INGESTD_DISK_UNDO`, a directory of the same file system for what a loss of power brings back, also
    /// of a process that was killed before;
    /// `INGESTD_DISK_LIES`, such a name without its number: the disk says that it has synchronised, and has not.
    ///
    /// A change is named by what it is, its path with IDs left out, `INGESTD_DISK_LIFE` (another word for each
    /// process on the same data), and how many of that name there were before: the same in every run that does
    /// the same.
    ///
    /// `@unchecked Sendable`: the state is behind a lock that is held during every change.
    final class DiskFault: @unchecked Sendable {
        enum Mode: String {
            /// The process ends before the change.
            case kill
            /// Half of a write is done, and the process ends.
            case torn
            /// Half of a write is done at first.
            case short
            /// The change fails with EIO, once.
            case eio
            /// The change and every later one that needs space fails with ENOSPC.
            case full
            /// The process ends before the change, and all that was not synchronised is lost:
            case lost
            /// only the bytes of files,
            case lostBytes = "lost-bytes"
            /// or only names.
            case lostNames = "lost-names"
        }

        struct Event {
            let change: DiskSeam.Change
            let path: String
            let former: String?
            let number: Int32
            let range: Range<Int>
            /// The call that leads to it.
            let site: String
        }

        static let shared = DiskFault()

        private struct State {
            var counts: [String: Int] = [:]
            var sites: Set<String> = []
            var isFull = false
            var undo: DiskUndo
        }

        private let root: String
        private let mode: Mode?
        private let target: String
        private let lie: String
        private let life: String
        private let points: Int32
        private let sites: Int32
        private var state: State
        private var mutex = pthread_mutex_t()

        private init?() {
            func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
            guard let root = variable("INGESTD_DISK_ROOT") else { return nil }
            self.root = root
            let words = (variable("INGESTD_DISK_FAULT") ?? "").split(separator: "@", maxSplits: 1)
            mode = words.first.flatMap { Mode(rawValue: String($0)) }
            target = words.count == 2 ? String(words[1]) : ""
            lie = variable("INGESTD_DISK_LIES") ?? ""
            life = variable("INGESTD_DISK_LIFE").map { " " + $0 } ?? ""
            state = State(undo: DiskUndo(in: variable("INGESTD_DISK_UNDO") ?? root))
            func log(_ name: String) -> Int32 {
                variable(name).map {
                    open($0, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
                } ?? -1
            }
            points = log("INGESTD_DISK_POINTS")
            sites = log("INGESTD_DISK_SITES")
            pthread_mutex_init(&mutex, nil)
            if keepsUndo { atexit { DiskFault.shared?.leave() } }
        }

        /// What is not synchronised when the process ends by itself may be lost later.
        private func leave() {
            pthread_mutex_lock(&mutex)
            state.undo.save()
        }

        func perform<Result>(
            _ event: Event, _ body: () throws(IOError) -> Result
        ) throws(IOError) -> Result {
            let isBelow = event.path.hasPrefix(root)
            guard isBelow || keepsUndo else { return try body() }
            pthread_mutex_lock(&mutex)
            defer { pthread_mutex_unlock(&mutex) }
            guard isBelow else {
                // The directory around the root is synchronised for the root's name.
                let result = try body()
                state.undo.settle(event)
                return result
            }
            let isHere = note(event) == target
            if isHere || state.isFull { try fail(event) }
            if keepsUndo { state.undo.prepare(event) }
            let result = try body()
            if keepsUndo, name(event.change, event.path) != lie {
                state.undo.settle(event)
            }
            if isHere, mode == .torn { die() }
            return result
        }

        func granted(_ byteCount: Int, _ path: String) -> Int {
            guard path.hasPrefix(root), mode == .torn || mode == .short else { return byteCount }
            pthread_mutex_lock(&mutex)
            defer { pthread_mutex_unlock(&mutex) }
            let next = name(.write, path)
            return "\(next) \(state.counts[next] ?? 0)" == target
                ? max(1, byteCount / 2) : byteCount
        }

        private var keepsUndo: Bool {
            mode == .lost || mode == .lostBytes || mode == .lostNames || mode == .kill
        }

        private func fail(_ event: Event) throws(IOError) {
            switch mode {
            case .kill:
                state.undo.save()
                die()
            case .lost, .lostBytes, .lostNames:
                state.undo.undo(bytes: mode != .lostNames, names: mode != .lostBytes)
                die()
            case .eio: throw IOError("\(event.change.rawValue)", event.path, .system(EIO))
            case .full:
                state.isFull = true
                if Self.needsSpace.contains(event.change) {
                    throw IOError("\(event.change.rawValue)", event.path, .system(ENOSPC))
                }
            case .torn, .short, nil: break
            }
        }

        private static let needsSpace: Set<DiskSeam.Change> = [
            .create, .write, .preallocate, .makeDirectory, .begin, .link,
        ]

        private func die() -> Never {
            kill(getpid(), SIGKILL)
            while true { pause() }
        }

        /// - Returns: The change's name.
        private func note(_ event: Event) -> String {
            let name = name(event.change, event.path)
            let count = state.counts[name, default: 0]
            state.counts[name] = count + 1
            let whole = "\(name) \(count)"
            Self.append(whole, to: points)
            if state.sites.insert(event.site).inserted { Self.append(event.site, to: sites) }
            return whole
        }

        private static func append(_ text: String, to log: Int32) {
            guard log >= 0 else { return }
            let line = Array((text + "\n").utf8)
            _ = line.withUnsafeBytes { Glibc.write(log, $0.baseAddress, $0.count) }
        }

        private func name(_ change: DiskSeam.Change, _ path: String) -> String {
            var text = ""
            var word = ""
            func end() {
                text += word.count >= 32 ? "ID" : word
                word = ""
            }
            for character in path.dropFirst(root.count) {
                if character.isLetter || character.isNumber {
                    word.append(character)
                } else {
                    end()
                    text.append(character)
                }
            }
            end()
            return "\(change.rawValue) \(text)\(life)"
        }
    }
#endif

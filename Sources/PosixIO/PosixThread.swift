import CShims
import Glibc
import Synchronization

/// A thread of its own for work that blocks: the cooperative pool has one thread a core, and a
/// blocked one stalls every task.
package final class PosixThread: Sendable {
    private let handle: Mutex<pthread_t?>

    private final class Start {
        let name: String
        let niceness: Int32
        let body: @Sendable () -> Void

        init(name: String, niceness: Int32, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.niceness = niceness
            self.body = body
        }
    }

    /// Starts a thread.
    ///
    /// - Parameters:
    ///   - name: For ps and debuggers; the first 15 bytes count.
    ///   - niceness: How much further than the starting thread it stands back for others, from 0 on.
    ///   - stackByteCount: Address space for the stack; pages come as they are used.
    package init(
        name: String, niceness: Int = 0, stackByteCount: Int = 1 << 20,
        _ body: @escaping @Sendable () -> Void
    ) throws(IOError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackByteCount)
        let start = Unmanaged.passRetained(
            Start(name: name, niceness: Int32(niceness), body: body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { raw in
                let start = Unmanaged<Start>.fromOpaque(raw!).takeRetainedValue()
                cshims_name_thread(String(decoding: start.name.utf8.prefix(15), as: UTF8.self))
                // Linux keeps a nice value for each thread, and raising it is always allowed.
                if start.niceness > 0 {
                    let kind = __priority_which_t(PRIO_PROCESS.rawValue)
                    setpriority(kind, 0, getpriority(kind, 0) + start.niceness)
                }
                start.body()
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            start.release()
            throw IOError("start thread", name, .system(code))
        }
        handle = Mutex(thread)
    }

    /// A thread that nobody joined goes on by itself.
    deinit {
        handle.withLock { if let thread = $0 { pthread_detach(thread) } }
    }

    /// Waits until the thread has ended; a second call returns at once.
    package func join() {
        let thread = handle.withLock { handle in
            defer { handle = nil }
            return handle
        }
        if let thread { pthread_join(thread, nil) }
    }
}

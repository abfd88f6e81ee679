import Importer

/// Runs uploads, a few at once. After one has failed, no other begins; those that have begun go on to
/// their end.
struct UploadQueue {
    let uploads: [SourceUpload]
    let jobs: Int
    let style: AddOutputStyle

    private typealias Ended = (index: Int, result: Result<SourceUpload.Outcome, any Error>)

    /// - Parameter report: Tells what was left out; whether that makes the add partial.
    /// - Returns: Whether one was partial.
    /// - Throws: What failed first; the others are told.
    func run(_ report: ([WalkOmissions]) -> Bool) async throws -> Bool {
        var isPartial = false
        var failures: [any Error] = []
        var roots = OrderedRoots(count: uploads.count, style: style)
        try await withThrowingTaskGroup(of: Ended.self) { group in
            var waiting = uploads.indices
            for index in waiting.prefix(jobs) { begin(index, in: &group) }
            waiting = waiting.dropFirst(jobs)
            while let (index, result) = try await group.next() {
                switch result {
                case .success(let outcome):
                    try roots.add(outcome.root, at: index)
                    if report(outcome.omissions) { isPartial = true }
                case .failure(let error): failures.append(error)
                }
                if failures.isEmpty, let next = waiting.popFirst() { begin(next, in: &group) }
            }
            if !waiting.isEmpty {
                Console.shared.printError("ingest-cli: \(waiting.count) more were not begun")
            }
        }
        try roots.close()
        guard let first = failures.first else { return isPartial }
        for error in failures.dropFirst() {
            if let message = CommandOutcome(error).message {
                Console.shared.printError("ingest-cli: \(message)")
            }
        }
        throw first
    }

    private func begin(_ index: Int, in group: inout ThrowingTaskGroup<Ended, any Error>) {
        let upload = uploads[index]
        group.addTask {
            let result: Result<SourceUpload.Outcome, any Error>
            do {
                result = .success(try await upload.run())
            } catch {
                result = .failure(error)
            }
            return (index, result)
        }
    }
}

/// Prints roots as they come, or, where nothing else tells which is which, in their order.
private struct OrderedRoots {
    private var roots: [ImportedEntry?]
    private var printedCount = 0
    private let style: AddOutputStyle

    init(count: Int, style: AddOutputStyle) {
        roots = Array(repeating: nil, count: count)
        self.style = style
    }

    mutating func add(_ root: ImportedEntry, at index: Int) throws {
        guard style == .rootOnly else { return try print(root) }
        roots[index] = root
        while printedCount < roots.count, let next = roots[printedCount] {
            try print(next)
            printedCount += 1
        }
    }

    /// Prints what waited for one that has failed.
    mutating func close() throws {
        for root in roots[printedCount...] {
            if let root { try print(root) }
        }
        printedCount = roots.count
    }

    private func print(_ root: ImportedEntry) throws {
        try Console.shared.print(EntryLog.line(root, style))
    }
}

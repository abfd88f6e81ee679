import Importer

/// Runs uploads, a few at once. After one has failed, no other begins; those that have begun go on to
/// their end.
struct UploadQueue {
    let uploads: [SourceUpload]
    let jobs: Int
    let style: AddOutputStyle

    /// - Parameter report: Tells what was left out; whether that makes the add partial.
    /// - Returns: Whether one was partial.
    /// - Throws: What failed first; the others are told.
    func run(_ report: ([WalkOmissions]) -> Bool) async throws -> Bool {
        var isPartial = false
        var failures: [any Error] = []
        var roots = OrderedRoots(count: uploads.count, style: style)
        try await withThrowingTaskGroup(of: (Int, Result<SourceUpload.Outcome, any Error>).self) {
            group in
            var begun = 0
            func beginNext() {
                guard begun < uploads.count, failures.isEmpty else { return }
                group.addTask { [upload = uploads[begun], begun] in
                    do {
                        return (begun, .success(try await upload.run()))
                    } catch {
                        return (begun, .failure(error))
                    }
                }
                begun += 1
            }
            for _ in 0..<jobs { beginNext() }
            while let (index, result) = try await group.next() {
                switch result {
                case .success(let outcome):
                    try roots.add(outcome.root, at: index)
                    if report(outcome.omissions) { isPartial = true }
                case .failure(let error): failures.append(error)
                }
                beginNext()
            }
            if begun < uploads.count {
                Console.shared.printError(
                    "ingest-cli: \(uploads.count - begun) more were not begun")
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

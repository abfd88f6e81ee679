import ImportPipeline
import Importer
import PosixIO

/// Imports the input without sending it: for `--only-hash` and `--dry-run`.
struct LocalImport {
    let input: AddInput
    let pipeline: ImportPipeline
    let meter: ProgressMeter

    /// - Returns: The root, and what was left out.
    func run() async throws -> (root: ImportedEntry, omissions: [WalkOmissions]) {
        do {
            var omissions: [WalkOmissions] = []
            for walk in input.walks(openingFiles: true) {
                while let entry = try walk.next() { try await add(entry) }
                omissions.append(walk.omissions)
            }
            if let path = try input.standardInputPath() { try await addStandardInput(path) }
            let root = try await pipeline.finish()
            return (root, omissions)
        } catch {
            await pipeline.abandon()
            throw error
        }
    }

    private func add(_ entry: WalkedEntry) async throws {
        try Task.checkCancellation()
        try await pipeline.prepare()
        let metadata = input.metadata(entry.status)
        switch entry.content {
        case .directory: pipeline.addDirectory(entry.path, metadata)
        case .symlink(let target):
            pipeline.addSymlink(entry.path, target: target, metadata)
            meter.add(target.count)
        case .file(let file):
            guard let file else { preconditionFailure("this walk opens files") }
            pipeline.beginFile(entry.path, metadata)
            let status = entry.status
            try await pipeline.appendContents(of: file, byteCount: status.byteCount) {
                [meter] readByteCount in
                try status.checkUnchanged(file)
                meter.add(readByteCount)
            }
            try pipeline.endFile()
        }
    }

    private func addStandardInput(_ path: ImportPath) async throws {
        let file = StandardInput.open()
        let buffer = AlignedBuffer(byteCount: ImportPipeline.maximumRunByteCount)
        try await pipeline.prepare()
        pipeline.beginFile(path, .none)
        var count = buffer.byteCount
        while count == buffer.byteCount {
            try Task.checkCancellation()
            count = try StandardInput.fill(buffer.bytes, from: file)
            try await pipeline.prepare()
            try pipeline.append(UnsafeRawBufferPointer(rebasing: buffer.bytes[..<count]))
            meter.add(count)
        }
        try pipeline.endFile()
    }
}

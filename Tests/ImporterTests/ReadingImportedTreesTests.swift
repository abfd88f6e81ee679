import Multiformats
import Spill
import Testing
import VectorInputs

@testable import Importer

/// What the importer writes, the readers give back.
@Suite struct ReadingImportedTreesTests {
    static let vectors = ImportVector.all.filter { ($0.expect.totalByteCount ?? 0) < 150_000 }

    @Test(arguments: vectors)
    func importedTreesAreReadBack(_ vector: ImportVector) throws {
        let input = vector.input
        let (result, blocks) = try imported(input, vector.opts)
        let isWrapper = vector.opts.wrap == true && !input.name.isEmpty
        let base = isWrapper ? [input.name] : []
        try input.forEachNode { path, node in
            if vector.opts.noEmptyDirectories == true, holdsNoFile(node), !path.isEmpty { return }
            try check(node, base + path, result.root.cid, blocks, vector.opts)
        }
    }

    @Test(arguments: vectors)
    func importedTreesAreCompleteCARs(_ vector: ImportVector) throws {
        let (result, blocks) = try imported(vector.input, vector.opts)
        let sections = try blocks.sections(result.root.cid)
        var car = try CARImport(
            roots: [result.root.cid], scratch: MemoryScratch(), seed: 0)
        for cid in sections {
            _ = try blocks.load(cid).withUnsafeBytes { try car.add(cid, $0) }
        }
        let root = try car.finish()[0]
        #expect(root.kind == result.root.kind)
        #expect(root.cumulativeByteCount == result.root.cumulativeByteCount)
        if let fileByteCount = root.fileByteCount {
            #expect(UInt64(fileByteCount) == result.root.fileByteCount)
        }
        #expect(
            try blocks.sections(result.root.cid, openLinkLimit: 3) == sections)
    }

    @Test(arguments: CarVector.all)
    func sectionsComeInTheOrderOfAnExport(_ vector: CarVector) throws {
        let (result, blocks) = try imported(vector.input, vector.opts)
        let sections = try blocks.sections(result.root.cid)
        #expect(result.root.cid.description == vector.root)
        if let order = vector.order { #expect(sections.map(\.description) == order) }

        #expect(sections.count == vector.blockCount)

        var bytes: [UInt8] = CARHeader(roots: [result.root.cid]).encoded
        for cid in sections {
            let block = try blocks.load(cid)
            Varint.append(UInt64(cid.byteCount + block.count), to: &bytes)
            bytes += cid.bytes + block
        }
        try check(bytes, vector.carV1)
        let contents = try sections.map { cid in (cid, try blocks.load(cid)) }
        try check(
            CARWriter.indexedArchive(roots: [result.root.cid], blocks: contents), vector.carV2)
    }

    private func check(_ bytes: [UInt8], _ file: CarVector.File) throws {
        #expect(bytes.count == file.byteCount)
        let digest = try bytes.withUnsafeBytes { try BlockHasher(.sha2_256).digest($0) }
        #expect(digest == file.sha256)
        if let expected = file.bytes { #expect(bytes == expected) }
    }

    private func imported(
        _ input: VectorNode, _ opts: ImportVectorOptions
    ) throws -> (ImportResult, TestBlocks) {
        let (result, _) = try importing(input, opts, keepsContents: true)
        var blocks = TestBlocks()
        for (cid, _) in result.blocks { blocks.put(cid, result.contents[cid]!) }
        return (result, blocks)
    }

    private func holdsNoFile(_ node: VectorNode) -> Bool {
        guard case .directory(let entries) = node.content else { return false }
        return entries.allSatisfy(holdsNoFile)
    }

    private func check(
        _ node: VectorNode, _ path: [[UInt8]], _ root: CID, _ blocks: TestBlocks,
        _ opts: ImportVectorOptions
    ) throws {
        let cid = try blocks.resolve(root, path).terminal
        switch node.content {
        case .file(let spec):
            let bytes = spec.bytes
            #expect(try blocks.readFile(cid) == bytes)
            let middle = bytes.count / 3..<bytes.count / 2
            #expect(try blocks.readFile(cid, range: middle) == Array(bytes[middle]))
        case .symlink(let target):
            let block = try cid.identityData ?? blocks.load(cid)
            let node = try block.withUnsafeBytes { try UnixFSNode(cid: cid, block: $0) }
            #expect(node.type == .symlink && Array(block[node.payload]) == target)
        case .directory(let entries):
            let kept = entries.filter { opts.noEmptyDirectories != true || !holdsNoFile($0) }
            let names = try blocks.list(cid).map(\.name)
            #expect(Set(names) == Set(kept.map(\.name)) && names.count == kept.count)
        }
    }
}

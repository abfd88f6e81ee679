import Importer

extension ImportOptions {
    /// The options a vector asks for.
    package init(_ vector: ImportVectorOptions) throws {
        var asked = Overrides()
        asked.cidVersion = vector.cidVersion
        asked.hash = vector.hash
        asked.rawLeaves = vector.rawLeaves
        asked.chunker = vector.chunker
        asked.layout = vector.layout
        asked.maxFileLinks = vector.maxLinks
        asked.maxDirectoryLinks = vector.maxDirectoryLinks
        asked.hamtFanout = vector.hamtFanout
        asked.hamtThreshold = vector.hamtThreshold
        asked.hamtEstimation = vector.hamtEstimation
        asked.inline = vector.inline
        asked.inlineLimit = vector.inlineLimit
        asked.wrap = vector.wrap
        asked.preserveMode = vector.preserveMode
        asked.preserveMtime = vector.preserveMtime
        asked.mode = vector.mode
        asked.mtime = vector.mtime
        asked.mtimeNanoseconds = vector.mtimeNanoseconds.map(Int64.init)
        asked.includeEmptyDirectories = vector.noEmptyDirectories.map { !$0 }
        let profile = try vector.profile.map { try ImportProfile(named: $0) } ?? .unixfsV0_2015
        try self.init(profile: profile, overrides: asked)
    }
}

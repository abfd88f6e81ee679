import Chunker
import Multiformats

extension ImportOptions {
    /// What a caller asked for, as far as it differs from the profile. Names and texts are those
    /// of Kubo's `add`, so that errors can repeat what the caller wrote.
    package struct Overrides: Sendable, Equatable {
        package var cidVersion: Int?
        package var hash: String?
        package var rawLeaves: Bool?
        package var chunker: String?
        package var layout: String?
        package var maxFileLinks: Int?
        package var maxDirectoryLinks: Int?
        package var hamtFanout: Int?
        /// In bytes; 0 and below switch conversion off.
        package var hamtThreshold: Int?
        package var hamtEstimation: String?
        package var inline: Bool?
        package var inlineLimit: Int?
        package var wrap: Bool?
        package var preserveMode: Bool?
        package var preserveMtime: Bool?
        /// Permission bits; 0 counts as not given, as in Kubo.
        package var mode: UInt32?
        /// Seconds since 1970; 0 counts as not given, as in Kubo.
        package var mtime: Int64?
        package var mtimeNanoseconds: Int64?
        package var includeEmptyDirectories: Bool?

        package init() {}
    }

    /// Resolves what was asked for against a profile, by the rules of Kubo's `add`: another hash
    /// than sha2-256 needs CIDs of version 1, those switch raw leaves on, stored modes and times
    /// switch them off.
    ///
    /// - Throws: The first contradiction or value out of range.
    package init(
        profile: ImportProfile, overrides: Overrides = Overrides()
    ) throws(ImportOptionsError) {
        let isV1 = profile == .unixfsV1_2025
        self.profile = profile
        hashFunction = try Self.hashFunction(overrides.hash)
        cidVersion = try Self.cidVersion(
            overrides.cidVersion, hash: hashFunction, default: isV1 ? .v1 : .v0)
        chunker = try Self.chunker(overrides.chunker ?? (isV1 ? "size-1048576" : "size-262144"))
        layout = try Self.choice("layout", overrides.layout, default: .balanced)
        maxFileLinks = try Self.number(
            "max-file-links", overrides.maxFileLinks ?? (isV1 ? 1024 : 174), in: 2...16384,
            advice: "leave it out for the profile's value")
        maxDirectoryLinks = try Self.number(
            "max-directory-links", overrides.maxDirectoryLinks ?? 0, in: 0...Int(Int32.max),
            advice: "0 means no limit")
        hamt = try Self.hamt(overrides, defaultEstimation: isV1 ? .block : .links)
        let inlineLimit = try Self.number(
            "inline-limit", overrides.inlineLimit ?? 32,
            in: 0...HashFunction.maximumIdentityByteCount,
            advice: "larger blocks are stored anyway and need no limit")
        self.inlineLimit = overrides.inline == true ? inlineLimit : nil
        wrap = overrides.wrap ?? false
        preserveMode = overrides.preserveMode ?? false
        preserveMtime = overrides.preserveMtime ?? false
        customMode = try Self.mode(overrides.mode)
        customMtime = try Self.mtime(overrides.mtime, overrides.mtimeNanoseconds)
        includeEmptyDirectories = overrides.includeEmptyDirectories ?? true
        rawLeaves = overrides.rawLeaves ?? (isV1 || cidVersion == .v1)
        if storesMetadata {
            guard overrides.rawLeaves != true else {
                throw .contradiction(
                    option: "raw-leaves", value: "true", other: Self.metadataOption(overrides),
                    advice: "leave out one of them: raw leaves have no room for modes and times")
            }
            rawLeaves = false
        }
    }

    // MARK: - One option each

    private static func hashFunction(
        _ name: String?
    ) throws(ImportOptionsError) -> HashFunction {
        guard let name else { return .sha2_256 }
        guard let function = try? HashFunction.named(name), function.isAvailable else {
            // Whether it is unknown or only unavailable, the remedy is the same list.
            throw .outOfRange(
                option: "hash", value: name, allowed: HashFunction.availableNames,
                advice: "leave it out for sha2-256")
        }
        return function
    }

    private static func cidVersion(
        _ number: Int?, hash: HashFunction, default preset: CID.Version
    ) throws(ImportOptionsError) -> CID.Version {
        guard let number else { return hash == .sha2_256 ? preset : .v1 }
        guard number == 0 || number == 1 else {
            throw .outOfRange(
                option: "cid-version", value: "\(number)", allowed: "0, 1",
                advice: "leave it out for the profile's version")
        }
        guard number == 1 || hash == .sha2_256 else {
            throw .contradiction(
                option: "cid-version", value: "0", other: "hash=\(hash.name)",
                advice: "version 0 has sha2-256 only: use cid-version=1 or leave out the hash")
        }
        return number == 1 ? .v1 : .v0
    }

    private static func chunker(_ text: String) throws(ImportOptionsError) -> ChunkerSpec {
        do {
            return try ChunkerSpec(parsing: text)
        } catch {
            throw .chunker(value: text, error)
        }
    }

    private static func hamt(
        _ overrides: Overrides, defaultEstimation: HAMTEstimation
    ) throws(ImportOptionsError) -> HAMTOptions {
        let fanout = overrides.hamtFanout ?? 256
        guard (8...1024).contains(fanout), fanout.nonzeroBitCount == 1 else {
            throw .outOfRange(
                option: "max-hamt-fanout", value: "\(fanout)", allowed: "powers of two, 8 to 1024",
                advice: "leave it out for 256")
        }
        let threshold = overrides.hamtThreshold ?? 262144
        return HAMTOptions(
            thresholdByteCount: threshold > 0 ? threshold : nil,
            estimation: try choice(
                "hamt-directory-size-estimation", overrides.hamtEstimation,
                default: defaultEstimation),
            fanout: fanout)
    }

    private static func mode(_ bits: UInt32?) throws(ImportOptionsError) -> UInt32? {
        guard let bits, bits != 0 else { return nil }
        guard bits <= 0o7777 else {
            throw .outOfRange(
                option: "mode", value: "0" + String(bits, radix: 8), allowed: "0 to 07777, octal",
                advice: "only permission bits are stored, such as 0644")
        }
        return bits
    }

    private static func mtime(
        _ seconds: Int64?, _ nanoseconds: Int64?
    ) throws(ImportOptionsError) -> UnixFSTime? {
        let nanoseconds = nanoseconds ?? 0
        guard (0...999_999_999).contains(nanoseconds) else {
            throw .outOfRange(
                option: "mtime-nsecs", value: "\(nanoseconds)", allowed: "0 to 999999999",
                advice: "put whole seconds into mtime")
        }
        guard let seconds, seconds != 0 else {
            guard nanoseconds == 0 else {
                throw .contradiction(
                    option: "mtime-nsecs", value: "\(nanoseconds)",
                    other: seconds == nil ? "no mtime" : "mtime=0, which counts as not given",
                    advice: "give mtime as well")
            }
            return nil
        }
        return UnixFSTime(seconds: seconds, nanoseconds: UInt32(nanoseconds))
    }

    private static func metadataOption(_ overrides: Overrides) -> String {
        if overrides.preserveMode == true { return "preserve-mode=true" }
        if overrides.preserveMtime == true { return "preserve-mtime=true" }
        if let mode = overrides.mode, mode != 0 { return "mode=0" + String(mode, radix: 8) }
        return "mtime=\(overrides.mtime ?? 0)"
    }

    // MARK: - Kinds of values

    private static func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ option: String, _ text: String?, default preset: Choice
    ) throws(ImportOptionsError) -> Choice {
        guard let text else { return preset }
        guard let choice = Choice(rawValue: text) else {
            throw .unknown(option: option, value: text, allowed: Choice.allCases.map(\.rawValue))
        }
        return choice
    }

    private static func number(
        _ option: String, _ value: Int, in range: ClosedRange<Int>, advice: String
    ) throws(ImportOptionsError) -> Int {
        guard range.contains(value) else {
            throw .outOfRange(
                option: option, value: "\(value)",
                allowed: "\(range.lowerBound) to \(range.upperBound)", advice: advice)
        }
        return value
    }
}

// swift-tools-version: 6.2
import PackageDescription

/// libFuzzer over the readers of the service, apart from it because everything here is instrumented.
///
/// Modules of the service are symlinks, as in `benchmarks/`. Of `ClusterCore` only the journal and receipts
/// are linked; the rest would bring in every dependency of the service.
let instrumented: [SwiftSetting] = [
    .unsafeFlags(["-sanitize=fuzzer,address", "-parse-as-library"])
]

let package = Package(
    name: "fuzzing",
    dependencies: [
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2")
    ],
    targets: [
        .target(name: "CShims"),
        .systemLibrary(
            name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .target(
            name: "Multiformats", dependencies: ["CLibcrypto"], swiftSettings: instrumented),
        .target(name: "Spill", swiftSettings: instrumented),
        .target(name: "Chunker", swiftSettings: instrumented),
        .target(
            name: "Importer", dependencies: ["Multiformats", "Chunker", "Spill"],
            swiftSettings: instrumented),
        .target(
            name: "ShardPlanner", dependencies: ["Multiformats"], swiftSettings: instrumented),
        .target(
            name: "Pinset", dependencies: ["Multiformats", "ShardPlanner"],
            swiftSettings: instrumented),
        .target(name: "PosixIO", dependencies: ["CShims", "Spill"], swiftSettings: instrumented),
        .target(
            name: "ImportPipeline",
            dependencies: ["Chunker", "Importer", "Multiformats", "PosixIO", "Spill"],
            swiftSettings: instrumented),
        .target(
            name: "ClusterCore",
            dependencies: [
                "Multiformats", "Pinset", "PosixIO", "ShardPlanner",
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: instrumented),
        .target(
            name: "IngestAPI", dependencies: ["Chunker", "CShims", "Importer", "Multiformats"],
            swiftSettings: instrumented),
        .target(name: "SeededRandom", swiftSettings: instrumented),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "ClusterCore", "ImportPipeline", "Importer", "IngestAPI", "Multiformats", "Pinset",
                "PosixIO", "SeededRandom",
            ],
            swiftSettings: instrumented),
        .executableTarget(
            name: "Fuzz", dependencies: ["FuzzTargets"],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]),
    ],
    swiftLanguageModes: [.v6]
)

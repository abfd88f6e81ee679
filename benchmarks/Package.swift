// swift-tools-version: 6.2
import PackageDescription

/// Programs for measuring, apart from the service so that building it never builds them.
///
/// Modules of the service are symlinks into ../Sources: what they share has `package` access, which
/// ends at a package's border. Of `ClusterCore` only the block catalogue is linked; the rest would
/// bring in every dependency of the service.
let package = Package(
    name: "benchmarks",
    targets: [
        // Of the service
        .target(name: "CShims"),
        .systemLibrary(
            name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .target(name: "Multiformats", dependencies: ["CLibcrypto"]),
        .target(name: "ShardPlanner", dependencies: ["Multiformats"]),
        .target(name: "Pinset", dependencies: ["Multiformats", "ShardPlanner"]),
        .target(name: "Spill"),
        .target(name: "PosixIO", dependencies: ["CShims", "Spill"]),
        .target(name: "ClusterCore", dependencies: ["PosixIO", "Spill"]),
        .target(name: "SeededRandom"),

        // Programs
        .systemLibrary(
            name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .executableTarget(
            name: "BlockCatalogueBenchmark",
            dependencies: ["ClusterCore", "CSQLite", "PosixIO", "SeededRandom"]),
        .systemLibrary(name: "CMalloc"),
        .executableTarget(
            name: "PinsetBenchmark",
            dependencies: [
                "CMalloc", "Multiformats", "Pinset", "PosixIO", "SeededRandom", "ShardPlanner",
            ]),
        .executableTarget(name: "raw-sender", dependencies: ["PosixIO"]),
    ],
    swiftLanguageModes: [.v6]
)

// swift-tools-version: 6.2
import PackageDescription

/// Targets are listed leaf first; rfcs/0001 draws the picture and gives the reason for each.
let package = Package(
    name: "ingestd",
    products: [
        .executable(name: "ingestd", targets: ["ingestd"]),
        .executable(name: "ingest-cli", targets: ["ingest-cli"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-async-algorithms", from: "1.1.4"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(
            url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: ["YAML"]),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Leaves
        .target(name: "CShims"),
        .systemLibrary(
            name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .target(name: "Multiformats", dependencies: ["CLibcrypto"]),
        .target(name: "Spill"),
        .target(name: "Chunker"),

        // Cores: every decision as plain values, no socket, disk, clock or thread
        .target(name: "Importer", dependencies: ["Multiformats", "Chunker", "Spill"]),
        .target(name: "ShardPlanner", dependencies: ["Multiformats"]),
        .target(name: "Pinset", dependencies: ["Multiformats", "ShardPlanner"]),

        // Shells
        .target(name: "PosixIO", dependencies: ["CShims", "Spill"]),
        .target(
            name: "ImportPipeline",
            dependencies: ["Chunker", "Importer", "Multiformats", "PosixIO", "Spill"]),
        .target(
            name: "EtcdClient",
            dependencies: [
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        .target(
            name: "ClusterCore",
            dependencies: [
                "EtcdClient", "Multiformats", "Pinset", "PosixIO", "ShardPlanner", "Spill",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ]),
        .target(
            name: "IngestAPI",
            dependencies: ["Chunker", "CShims", "Importer", "Multiformats"]),
        .target(
            name: "IngestClient",
            dependencies: [
                "IngestAPI", "Multiformats",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]),

        // Programs
        .executableTarget(
            name: "ingestd",
            dependencies: [
                "Chunker", "ClusterCore", "CShims", "CZlib", "EtcdClient", "ImportPipeline",
                "Importer", "IngestAPI", "Multiformats", "Pinset", "PosixIO", "ShardPlanner",
                "Spill",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncAlgorithms", package: "swift-async-algorithms"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Yams", package: "Yams"),
            ]),
        .executableTarget(
            name: "ingest-cli",
            dependencies: [
                "Chunker", "CShims", "ImportPipeline", "Importer", "IngestAPI", "IngestClient",
                "Multiformats", "PosixIO", "ShardPlanner", "Spill",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // Tests
        .target(name: "SeededRandom", path: "Tests/SeededRandom"),
        .target(
            name: "VectorInputs", dependencies: ["Importer"], path: "Tests/VectorInputs",
            exclude: ["Vectors", "Fixtures"]),
        .testTarget(
            name: "MultiformatsTests", dependencies: ["Multiformats", "SeededRandom"],
            exclude: ["Vectors"]),
        .testTarget(name: "SpillTests", dependencies: ["SeededRandom", "Spill"]),
        .testTarget(name: "ChunkerTests", dependencies: ["Chunker", "VectorInputs"]),
        .testTarget(
            name: "ImporterTests",
            dependencies: [
                "Chunker", "Importer", "Multiformats", "SeededRandom", "Spill", "VectorInputs",
            ]),
        .testTarget(
            name: "ShardPlannerTests",
            dependencies: ["Multiformats", "SeededRandom", "ShardPlanner"],
            exclude: ["Vectors"]),
        .testTarget(
            name: "PinsetTests",
            dependencies: ["Multiformats", "Pinset", "SeededRandom", "ShardPlanner"],
            exclude: ["Scenarios", "Vectors"]),
        .testTarget(name: "PosixIOTests", dependencies: ["PosixIO", "Spill"]),
        .testTarget(
            name: "ClusterCoreTests",
            dependencies: [
                "ClusterCore", "EtcdClient", "Multiformats", "Pinset", "PosixIO", "SeededRandom",
                "ShardPlanner",
                "Spill",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            exclude: ["Vectors"]),
        .testTarget(
            name: "IngestAPITests",
            dependencies: ["Chunker", "Importer", "IngestAPI", "Multiformats", "SeededRandom"]),
        .testTarget(
            name: "IngestClientTests", dependencies: ["IngestAPI", "IngestClient", "Multiformats"]),
        .testTarget(
            name: "IngestCLITests",
            dependencies: [
                "ImportPipeline", "Importer", "Multiformats", "PosixIO", "ShardPlanner", "Spill",
                "ingest-cli",
            ]),
        .testTarget(name: "ArchitectureTests"),
        .executableTarget(
            name: "ClusterSimulation",
            dependencies: [
                "ClusterCore", "EtcdClient", "Multiformats", "Pinset", "SeededRandom",
                "ShardPlanner",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Tests/ClusterSimulation"),
        .testTarget(name: "ClusterSimulationTests", dependencies: ["ClusterSimulation"]),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "ClusterCore", "ImportPipeline", "Importer", "IngestAPI", "Multiformats", "Pinset",
                "PosixIO", "SeededRandom", "ShardPlanner",
            ],
            path: "Tests/FuzzTargets"),
        .testTarget(name: "FuzzTargetsTests", dependencies: ["FuzzTargets", "SeededRandom"]),
        .testTarget(
            name: "ImportPipelineTests",
            dependencies: [
                "ImportPipeline", "Importer", "Multiformats", "PosixIO", "ShardPlanner", "Spill",
                "VectorInputs",
            ]),
        .testTarget(
            name: "ingestdTests",
            dependencies: [
                "CZlib", "ingestd", "Importer", "IngestAPI", "Multiformats", "Spill",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
    ],
    swiftLanguageModes: [.v6]
)

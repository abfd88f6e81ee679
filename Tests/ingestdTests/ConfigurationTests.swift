import Foundation
import Testing

@testable import ingestd

/// Where settings come from and which are refused.
struct ConfigurationTests {
    private func load(
        flags: [String: String] = [:], environment: [String: String] = [:], file: String? = nil
    ) async throws -> DaemonConfiguration {
        let path = NSTemporaryDirectory() + "ingestd-\(UUID().uuidString).yaml"
        defer { try? FileManager.default.removeItem(atPath: path) }  // it may not have been made
        if let file { try file.write(toFile: path, atomically: true, encoding: .utf8) }
        return try await DaemonConfiguration.load(
            dataDirectory: "/nowhere", flags: flags, file: path, fileIsRequired: file != nil,
            environment: environment, machineName: "machine")
    }

    @Test func aFlagBeatsTheEnvironmentWhichBeatsTheFileWhichBeatsTheDefault() async throws {
        let file = "api:\n  max-uploads: 3\n"
        let environment = ["INGESTD_API_MAX_UPLOADS": "4"]
        #expect(try await load().maxUploads == 16)
        #expect(try await load(file: file).maxUploads == 3)
        #expect(try await load(environment: environment, file: file).maxUploads == 4)
        #expect(
            try await load(
                flags: ["api.max-uploads": "5"], environment: environment, file: file
            ).maxUploads == 5)
    }

    @Test func theFileThatInitWritesIsRead() async throws {
        let configuration = try await load(file: Setting.commentedFile)
        #expect(configuration.port == 9094)
        #expect(configuration.peerName == "machine")
    }

    @Test(arguments: [
        ("api:\n  listn: 127.0.0.1:1\n", "api.listen"), ("apii:\n  listen: x\n", "api"),
    ])
    func anUnknownKeyNamesTheNearestOne(file: String, nearest: String) async throws {
        await #expect {
            _ = try await load(file: file)
        } throws: { error in
            "\(error)".contains("did you mean '\(nearest)'")
        }
    }

    @Test func anUnknownVariableOfASectionNamesTheNearestOne() async throws {
        await #expect {
            _ = try await load(environment: ["INGESTD_API_LISEN": "127.0.0.1:1"])
        } throws: { error in
            "\(error)".contains("did you mean 'INGESTD_API_LISTEN'")
        }
    }

    /// As orchestrators set them for a service that is called ingestd.
    @Test(arguments: [
        "INGESTD_PORT", "INGESTD_SERVICE_HOST", "INGESTD_DATA", "INGESTD_API_SERVICE_HOST",
        "INGESTD_PEER_PORT", "INGESTD_CLUSTER_PORT_9096_TCP_ADDR",
    ])
    func aVariableOfOthersIsNotOurs(name: String) async throws {
        #expect(try await load(environment: [name: "tcp://10.0.0.1:9094"]).port == 9094)
    }

    @Test(arguments: ["etcd-certificate", "etcd-authority"])
    func aCertificateForEtcdThatCannotBeReadIsNamed(name: String) async throws {
        let secret = NSTemporaryDirectory() + "ingestd-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: secret) }  // it may not have been made
        let digits = String(repeating: "0f", count: 32)
        #expect(
            FileManager.default.createFile(
                atPath: secret, contents: Data(digits.utf8), attributes: [.posixPermissions: 0o600])
        )
        var flags = [
            "cluster.secret-file": secret, "cluster.etcd": "https://127.0.0.1:1",
            "cluster.\(name)": "/nowhere.pem",
        ]
        if name == "etcd-certificate" { flags["cluster.etcd-key"] = "/nowhere.pem" }
        await #expect {
            _ = try await load(flags: flags)
        } throws: { error in
            "\(error)".contains("setting cluster.\(name) is '/nowhere.pem'")
        }
    }

    @Test(arguments: ["", "# nothing but this\n", "# api:\n"])
    func aFileWithoutSettingsIsNone(file: String) async throws {
        #expect(try await load(file: file).maxUploads == 16)
    }

    @Test(arguments: [
        "cluster:\n  etcd: [http://a:2379, http://b:2379]\n",
        "cluster:\n  etcd:\n    - http://a:2379\n",
        "api:\n  listen:\n    host: 127.0.0.1\n",
    ])
    func aValueOfAnotherFormIsRefused(file: String) async throws {
        await #expect {
            _ = try await load(file: file)
        } throws: { error in
            "\(error)".contains("must be one value")
        }
    }

    @Test(arguments: [
        ("api.max-uploads", "0"), ("api.max-uploads", "many"), ("storage.capacity", "5 potatoes"),
        ("storage.capacity", "99999999999TiB"),
        ("storage.headroom", "9223372036854775807"), ("api.listen", "nowhere"),
        ("api.idle-timeout", "0s"),
        ("log.level", "loud"), ("api.tls-key", "/k"),
    ])
    func aValueThatMakesNoSenseIsRefused(name: String, value: String) async throws {
        await #expect(throws: ConfigurationError.self) { _ = try await load(flags: [name: value]) }
    }

    @Test(arguments: ["0.0.0.0:9094", "[::]:9094", "192.0.2.1:9094", ":9094"])
    func listeningBeyondLoopbackNeedsTLSAndAToken(address: String) async throws {
        await #expect(throws: ConfigurationError.self) {
            _ = try await load(flags: ["api.listen": address])
        }
    }

    @Test(arguments: [
        ("1048576", 1 << 20), ("500MiB", 500 << 20), ("2 GB", 2_000_000_000), ("1PiB", 1 << 50),
    ])
    func byteCountsHaveUnits(text: String, expected: Int) async throws {
        #expect(
            try await load(flags: ["storage.capacity": text]).capacityByteCount == expected)
    }
}

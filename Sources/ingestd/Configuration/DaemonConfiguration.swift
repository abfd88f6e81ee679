import Configuration
import IngestAPI
import Logging
import NIOSSL
import PosixIO
import SystemPackage
import Yams

/// Why the daemon cannot be configured as asked.
enum ConfigurationError: Error, CustomStringConvertible {
    case unknownKey(String, nearest: String?, path: String)
    case notASection(String, path: String)
    case notAValue(String, path: String)
    case malformedFile(path: String, reason: String)
    case value(Setting, given: String, allowed: String)
    case exposed(address: String, missing: String)
    case halfTLS(Setting, Setting)
    case halfCluster

    var description: String {
        switch self {
        case .unknownKey(let key, let nearest, let path):
            "unknown setting '\(key)' in \(path)"
                + (nearest.map { "; did you mean '\($0)'?" }
                    ?? "; ingestd init writes a file with all there are")
        case .notASection(let key, let path):
            "'\(key)' in \(path) must be a section with settings below it"
        case .notAValue(let key, let path):
            "'\(key)' in \(path) must be one value, not a list or a section; several are written in one, "
                + "separated by commas, where a setting takes several"
        case .malformedFile(let path, let reason): "\(path) cannot be read: \(reason)"
        case .value(let setting, let given, let allowed):
            "setting \(setting.name) is '\(given)'; allowed is \(allowed)"
        case .exposed(let address, let missing):
            "refusing to listen on \(address), which others can reach, without \(missing); set "
                + "api.tls-certificate, api.tls-key and api.token-file, or listen on 127.0.0.1"
        case .halfCluster:
            "cluster.secret-file and cluster.etcd go together; one of them is missing. For a cluster "
                + "that runs its own etcd: ingestd init --cluster, or ingestd init --join HOST:PORT"
        case .halfTLS(let certificate, let key):
            "\(certificate.name) and \(key.name) go together; one of them is missing"
        }
    }
}

/// The settings of a daemon, checked.
struct DaemonConfiguration: Sendable {
    var dataDirectory: String
    var host: String
    var port: Int
    /// `nil` for plain HTTP.
    var tls: TLSConfiguration?
    var token: String?
    var idleTimeout: Duration
    /// Uploads that can be resumed are aborted when nobody has touched them for this long.
    var uploadLease: Duration
    var maxUploads: Int
    var peerName: String
    var capacityByteCount: Int?
    var headroomByteCount: Int
    var logLevel: Logger.Level
    var zone: String?
    var hostTag: String?
    /// `nil` for a machine that is alone.
    var cluster: ClusterConfiguration?
    var machineName: String

    /// Reads the settings: flags before environment before file before defaults.
    ///
    /// - Parameters:
    ///   - flags: Setting names with the values given on the command line.
    ///   - file: The configuration file; may be missing unless `fileIsRequired`.
    static func load(
        dataDirectory: String, flags: [String: String], file: String, fileIsRequired: Bool,
        environment: [String: String], machineName: String
    ) async throws -> DaemonConfiguration {
        try checkVariables(environment.keys)
        let exists = try FileSystem.loadStatus(file) != nil
        let hasSections = exists || fileIsRequired ? try checkKeys(file) : false
        var providers: [any ConfigProvider] = [
            InMemoryProvider(
                name: "flags",
                values: Dictionary(
                    uniqueKeysWithValues: flags.map {
                        (AbsoluteConfigKey(ConfigKey($0)), ConfigValue(stringLiteral: $1))
                    })),
            EnvironmentVariablesProvider(environmentVariables: environment)
                .prefixKeys(with: "ingestd"),
        ]
        if hasSections {
            providers.append(try await FileProvider<YAMLSnapshot>(filePath: FilePath(file)))
        }
        providers.append(
            InMemoryProvider(
                name: "defaults",
                values: Dictionary(
                    uniqueKeysWithValues: Setting.all.map {
                        (
                            AbsoluteConfigKey(ConfigKey($0.name)),
                            ConfigValue(stringLiteral: $0.defaultValue)
                        )
                    })))
        let reader = ConfigReader(providers: providers)
        let values = SettingValues { reader.string(forKey: ConfigKey($0)) }
        return try DaemonConfiguration(
            dataDirectory: dataDirectory, values, machineName: machineName)
    }

    private init(
        dataDirectory: String, _ values: SettingValues, machineName: String
    ) throws {
        self.dataDirectory = dataDirectory
        (host, port) = try values.address(.listen)
        idleTimeout = try values.duration(.idleTimeout, in: .seconds(1)...(.seconds(86_400)))
        uploadLease = try values.duration(.uploadLease, in: .seconds(1)...(.seconds(31_536_000)))
        maxUploads = try values.integer(.maxUploads, in: 1...256)
        let name = values.text(.peerName)
        peerName = name.isEmpty ? machineName : name
        capacityByteCount = try values.byteCount(.capacity)
        headroomByteCount = try values.byteCount(.headroom) ?? 0
        guard headroomByteCount <= 1 << 60 else {
            throw ConfigurationError.value(
                .headroom, given: values.text(.headroom), allowed: "at most 1 EiB (1024 PiB)")
        }
        let level = values.text(.logLevel)
        guard let logLevel = Logger.Level(rawValue: level) else {
            throw ConfigurationError.value(
                .logLevel, given: level,
                allowed: Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self.logLevel = logLevel
        self.machineName = machineName
        let (zone, hostTag) = (values.text(.zone), values.text(.hostTag))
        self.zone = zone.isEmpty ? nil : zone
        self.hostTag = hostTag.isEmpty ? nil : hostTag
        cluster = try ClusterConfiguration(values, dataDirectory: dataDirectory)
        tls = try values.serverTLS(.tlsCertificate, .tlsKey)
        token = try values.token(.tokenFile)
        try refuseExposure()
    }

    /// Beyond loopback nobody may read or write without being known, nor listen in.
    private func refuseExposure() throws {
        if ["127.0.0.1", "::1", "localhost"].contains(host) || host.hasPrefix("127.") { return }
        let missing = [tls == nil ? "TLS" : nil, token == nil ? "a token" : nil]
            .compactMap(\.self).joined(separator: " and ")
        guard missing.isEmpty else {
            throw ConfigurationError.exposed(address: "\(host):\(port)", missing: missing)
        }
    }

    /// A misspelt variable would silently leave its default in force.
    ///
    /// Those of no section are not ours to judge, nor are those that orchestrators set for services with
    /// such names: `INGESTD_PORT`, `INGESTD_API_SERVICE_HOST`, `INGESTD_PEER_PORT_9096_TCP`.
    private static func checkVariables(_ names: some Sequence<String>) throws {
        let known = Setting.all.map(\.variable)
        let sections = Set(Setting.all.map { Setting.variable(of: $0.section) + "_" })
        for name in names.sorted() where !known.contains(name) {
            guard sections.contains(where: name.hasPrefix), !name.contains("_SERVICE_"),
                !name.contains("_PORT")
            else { continue }
            throw ConfigurationError.unknownKey(
                name, nearest: EditDistance.nearest(to: name, among: known), path: "the environment"
            )
        }
    }

    /// A misspelt key, or a value of another form, would silently leave its default in force.
    ///
    /// - Returns: Whether the file has anything but comments.
    private static func checkKeys(_ path: String) throws -> Bool {
        let text = String(
            decoding: try FileSystem.loadFile(path, byteLimit: 1 << 20), as: UTF8.self)
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            throw ConfigurationError.malformedFile(path: path, reason: "\(error)")
        }
        guard let root else { return false }
        guard let sections = root.mapping else {
            throw ConfigurationError.malformedFile(
                path: path, reason: "it must consist of sections such as 'api:'")
        }
        let known = Setting.all.map(\.name)
        let knownSections = Set(Setting.all.map(\.section)).sorted()
        for (key, value) in sections {
            let section = key.string ?? "?"
            guard knownSections.contains(section) else {
                throw ConfigurationError.unknownKey(
                    section, nearest: EditDistance.nearest(to: section, among: knownSections),
                    path: path)
            }
            if value.scalar?.string.isEmpty == true { continue }
            guard let settings = value.mapping else {
                throw ConfigurationError.notASection(section, path: path)
            }
            for (key, value) in settings {
                let name = "\(section).\(key.string ?? "?")"
                guard known.contains(name) else {
                    throw ConfigurationError.unknownKey(
                        name, nearest: EditDistance.nearest(to: name, among: known), path: path)
                }
                guard value.scalar != nil else {
                    throw ConfigurationError.notAValue(name, path: path)
                }
            }
        }
        return true
    }
}

import Foundation
import PosixIO

/// What a data directory knows of the cluster it belongs to: the file `cluster.json`.
package struct ClusterFile: Codable, Equatable, Sendable {
    package static let name = "cluster.json"

    /// HOST:PORT of a peer to begin with; `nil` for the peer that began the cluster.
    package var joins: String?
    /// Client URLs of members that voted when this peer last looked.
    package var endpoints: [String] = []
    /// This peer's own member has had data.
    package var hasMember = false

    package init(joins: String? = nil) {
        self.joins = joins
    }

    /// `nil` where the directory belongs to no cluster that runs its own etcd.
    package static func load(from directory: String) throws -> ClusterFile? {
        let path = directory + "/" + name
        guard try FileSystem.loadStatus(path) != nil else { return nil }
        do {
            return try JSONDecoder().decode(
                ClusterFile.self, from: Data(FileSystem.loadFile(path, byteLimit: 1 << 20)))
        } catch let error as DecodingError {
            throw ClusterFileError.malformed(path: path, finding: "\(error)")
        }
    }

    package func save(to directory: String) throws {
        try FileSystem.saveFile(
            directory + "/" + Self.name, Array(JSONEncoder().encode(self)), permissions: 0o600)
    }

    enum CodingKeys: String, CodingKey {
        case joins, endpoints
        case hasMember = "has_member"
    }
}

package enum ClusterFileError: Error, CustomStringConvertible {
    case malformed(path: String, finding: String)

    package var description: String {
        switch self {
        case .malformed(let path, let finding):
            """
            \(path) is damaged (\(finding)); put {"joins":"HOST:PORT","endpoints":[],"has_member":true} \
            there, with the address of another peer
            """
        }
    }
}

import EtcdClient
import Foundation
import Glibc
import Logging
import Multiformats
import Pinset
import PosixIO
import Synchronization

/// This peer's own etcd: starts it when the cluster asks for it, keeps it running, and tells the client
/// where the voters are. RFC 0008 has the states.
package final class ManagedEtcd: Sendable {
    /// Time between two looks at who the members are.
    static let interval = Duration.seconds(1)
    /// Looks without any answer after which nobody is taken to be there: between two leaders etcd does not
    /// answer either.
    private static let silentLimit = 3
    /// How long a member has to end by itself.
    private static let stopPatience = Duration.seconds(10)

    package let settings: EtcdSettings
    let client: EtcdClient
    let keys: EtcdLogKeys
    let log: Logger
    private let peerClient: PeerClient
    private let cluster: String
    private let process: ProcessNonce
    private let file: Mutex<ClusterFile>
    /// The member's own word, when it last ended, that it was removed.
    let isRemoved = Mutex(false)

    /// - Parameters:
    ///   - namespace: Begins all keys, as for the log.
    ///   - cluster: The fingerprint of the secret.
    ///   - process: That of the log, which keeps this peer alive.
    package init(
        settings: EtcdSettings, file: ClusterFile, client: EtcdClient, namespace: String,
        peerClient: PeerClient, cluster: String, process: ProcessNonce, log: Logger
    ) {
        self.process = process
        self.settings = settings
        self.client = client
        self.peerClient = peerClient
        self.cluster = cluster
        self.log = log
        keys = EtcdLogKeys(namespace: namespace)
        self.file = Mutex(file)
        client.use(file.endpoints)
    }

    /// Runs until the task is cancelled; then the member is stopped.
    ///
    /// - Parameter peers: Addresses of other peers as the state has them.
    package func run(peers: @escaping @Sendable () async -> [String]) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await self.live() }
            group.addTask { try await self.followMembers(peers) }
            group.addTask { try await self.keepRoom() }
            group.addTask {
                try FileSystem.makeDirectory(self.settings.directory, permissions: 0o700)
                let path = self.settings.directory + "/ballast"
                try await Ballast(path: path, log: self.log).keep()
            }
        }
    }

    /// Makes this peer's member the only one, after the others are gone for good.
    ///
    /// - Parameters:
    ///   - index: What this peer has applied.
    ///   - startsEmpty: Begins an empty etcd rather than going on from what the member has, which is put
    ///     aside. For a peer that had no vote, or only as a learner, as far as its own member knows: etcd
    ///     3.4 then finds no voter left and ends.
    /// - Throws: `EtcdProcessError` when there is nothing to go on from, or etcd does not start.
    package func recoverAlone(
        after index: LogIndex, startsEmpty: Bool, log: EtcdLog
    ) async throws -> LogHistory {
        var settings = settings
        let beginning: EtcdSettings.Beginning
        if startsEmpty {
            try settings.setDataAside()
            // Gives this etcd an ID of its own: to members of the former one it is a stranger.
            settings.token += "-\(UInt64.random(in: 0 ... .max))"
            beginning = .new
        } else {
            guard try settings.hasData else { throw EtcdProcessError.noData(settings.directory) }
            beginning = .alone
        }
        client.use([settings.clientURL])
        let child = try await settings.start(beginning, by: process)
        defer { child.send(signal: SIGKILL) }
        var backoff = Backoff()
        while true {
            guard !child.hasEnded else {
                throw EtcdProcessError.didNotStart(settings.lastWords, startedEmpty: startsEmpty)
            }
            do {
                let members = try await client.listMembers()
                guard members.count == 1,
                    try await client.status(of: settings.clientURL).leader != 0
                else { throw EtcdError.unreachable(cause: "it has no leader yet") }
                break
            } catch is EtcdError {
                guard await backoff.wait() else { throw CancellationError() }
            }
        }
        let history = try await log.beginAnew(after: index)
        child.send(signal: SIGTERM)
        _ = try await child.end()
        remember { file in
            file.endpoints = [settings.clientURL]
            file.hasMember = true
        }
        return history
    }

    // MARK: The member's life

    private func live() async throws {
        if try settings.hasData { await waitForOtherLife(than: settings.formerLives) }
        var backoff = Backoff()
        while !Task.isCancelled {
            let start = ContinuousClock.now
            defer { if .now - start > Self.stopPatience { backoff.reset() } }
            do {
                try await liveOnce()
            } catch let error as EtcdProcessError {
                throw error
            } catch {
                guard !Task.isCancelled else { return }
                // A disk that is full now may have room again.
                log.error("etcd cannot be run", metadata: ["error": "\(error)"])
            }
            guard await backoff.wait() else { return }
        }
    }

    /// Waits until the others see no other process alive under this peer's ID: of a copied data directory
    /// and the one it was copied from, two members with one ID could each vote. Whoever is not alone is
    /// refused by name where it takes its own key; where nobody answers, nothing can be known.
    ///
    /// - Parameter former: Processes that ran the member in this very directory, and have ended.
    private func waitForOtherLife(than former: [ProcessNonce]) async {
        var silentCount = 0
        let silentLimit = former.isEmpty ? Self.silentLimit : 1
        while !Task.isCancelled {
            switch await otherLife(than: former + [process]) {
            case false?: return
            case true?:
                silentCount = 0
                log.debug("others see this peer alive; its etcd waits until they do not")
            case nil: silentCount += 1
            }
            guard silentCount < silentLimit else { return }
            // Cancelled, the loop ends.
            try? await Task.sleep(for: Self.interval)
        }
    }

    /// Whether another process lives under this peer's ID; `nil` when no other voter says.
    private func otherLife(than known: [ProcessNonce]) async -> Bool? {
        let key = keys.life(of: settings.peer)
        let others = client.endpoints.filter { $0 != settings.clientURL }
        if others.isEmpty { return false }
        for other in others {
            do {
                let found = try await client.range(
                    EtcdRange(.one(key)), timeout: .seconds(2), at: other)
                return found.keyValues.contains { found in
                    !known.contains { $0.made(found.value) }
                }
            } catch {
                log.debug("a member does not answer", metadata: ["error": "\(error)"])
            }
        }
        return nil
    }

    private func liveOnce() async throws {
        if try settings.hasData {
            try await runMember(.again)
            if !Task.isCancelled, await isGone() {
                log.notice("this peer votes no longer; its etcd's data is removed")
                try settings.removeData()
            }
        } else if isFirst {
            try await runMember(.new)
        } else {
            try await joinIfAsked()
        }
    }

    /// The member that begins the cluster, and has not begun it.
    private var isFirst: Bool { file.withLock { $0.joins == nil && !$0.hasMember } }

    private func runMember(_ beginning: EtcdSettings.Beginning) async throws {
        log.info("starting etcd", metadata: ["address": "\(settings.clientURL)"])
        let known = client.endpoints
        if !known.contains(settings.clientURL) { client.use(known + [settings.clientURL]) }
        isRemoved.withLock { $0 = false }
        let child = try await settings.start(beginning, by: process)
        let end = try await withTaskCancellationHandler {
            try await child.end()
        } onCancel: {
            child.send(signal: SIGTERM)
            Task.detached {
                try? await Task.sleep(for: Self.stopPatience)
                child.send(signal: SIGKILL)
            }
        }
        guard !Task.isCancelled else { return }
        if end == .exited(127) { throw EtcdProcessError.notInstalled }
        // Of all that ends it, this alone is no failure and no signal.
        isRemoved.withLock { $0 = end == .exited(0) }
        log.warning(
            "etcd has ended",
            metadata: ["how": "\(end)", "words": "\(settings.lastWords)"])
    }

    /// Starts a member when the others have added it.
    private func joinIfAsked() async throws {
        do {
            let others = client.endpoints.filter { $0 != settings.clientURL }
            guard
                let members = await Self.currentMembers(by: others, through: client, keys, log),
                let own = members.first(where: { $0.peerURLs.contains(settings.memberURL) })
            else { return }
            guard own.name.isEmpty else {
                // A member that has voted must not come back with nothing: it could vote twice.
                log.warning("this peer's etcd has lost its data, and joins anew")
                try await client.remove(own.id)
                return
            }
            let named = members.flatMap { member in
                member.peerURLs.map { url in
                    (name: member.id == own.id ? settings.name : member.name, url: url)
                }
            }
            try await runMember(.joining(members: named))
        } catch let error as EtcdError {
            log.debug("no list of etcd's members", metadata: ["error": "\(error)"])
        }
    }

    /// Who the members are now. An old list may have this peer's member without a name, as one that has
    /// never started, when it has voted since.
    ///
    /// - Parameter others: Base URLs of those to ask; the first that knows decides.
    /// - Returns: `nil` when none of them knows.
    static func currentMembers(
        by others: [String], through client: EtcdClient, _ keys: EtcdLogKeys, _ log: Logger
    ) async -> [EtcdMember]? {
        for other in others {
            do {
                return try await members(by: other, through: client, keys)
            } catch {
                log.debug("a member does not answer", metadata: ["error": "\(error)"])
            }
        }
        return nil
    }

    private static func members(
        by other: String, through client: EtcdClient, _ keys: EtcdLogKeys
    ) async throws -> [EtcdMember] {
        // A member that is cut off, or behind, would tell what was before: this waits until it is
        // neither.
        _ = try await client.range(EtcdRange(.one(keys.generation)), at: other)
        return try await client.listMembers(at: other)
    }

    func isGone() async -> Bool {
        await Self.isGone(
            settings.name, settings.memberURL,
            say: client.endpoints.filter { $0 != settings.clientURL },
            through: client, keys, log)
    }

    /// Whether the others say that this member is none. Asked where it has ended by itself.
    ///
    /// - Parameters:
    ///   - name: That of its peer. Its address may have changed since it was added.
    ///   - place: Where it talks to other members.
    ///   - others: Base URLs of those to ask; the first that knows decides.
    static func isGone(
        _ name: String, _ place: String, say others: [String], through client: EtcdClient,
        _ keys: EtcdLogKeys, _ log: Logger
    ) async -> Bool {
        for other in others {
            do {
                let found = try await members(by: other, through: client, keys)
                let own =
                    found.first { $0.name == name } ?? found.first { $0.peerURLs.contains(place) }
                guard let own else { return true }
                guard own.isLearner && own.name.isEmpty else { return false }
                // It has never come up. Under its ID others may know of entries that it has taken, so it
                // begins anew under another one.
                try await client.remove(own.id)
                return true
            } catch {
                log.debug("a member does not answer", metadata: ["error": "\(error)"])
            }
        }
        return false
    }

    // MARK: Where the voters are

    /// Peers with a vote, and whether their members answer.
    package func voters() async throws -> [PeerID: Bool] {
        var voters: [PeerID: Bool] = [:]
        for member in try await client.listMembers() where !member.isLearner {
            guard let peer = try? PeerID(member.name), let url = member.clientURLs.first else {
                continue
            }
            do {
                voters[peer] = try await client.status(of: url).leader != 0
            } catch is EtcdError {
                voters[peer] = false
            }
        }
        return voters
    }

    private func followMembers(_ peers: @Sendable () async -> [String]) async throws {
        while true {
            do {
                let voters = try await client.listMembers().filter { !$0.isLearner }
                let urls = voters.flatMap(\.clientURLs).sorted()
                if !urls.isEmpty {
                    let isOwn = { (url: String) in url == self.settings.clientURL }
                    client.use(urls.filter(isOwn) + urls.filter { !isOwn($0) })
                    let hasData = try settings.hasData
                    remember { file in
                        file.endpoints = urls
                        file.hasMember = file.hasMember || hasData
                    }
                }
            } catch is EtcdError {
                try await ask(await peers())
            }
            try await Task.sleep(for: Self.interval)
        }
    }

    /// All voters that are known may be gone: other peers may know later ones.
    private func ask(_ peers: [String]) async throws {
        let addresses = [file.withLock { $0.joins }].compactMap(\.self) + peers
        var causes: [String] = []
        for address in addresses {
            do {
                let info = try await peerClient.clusterInfo(at: address)
                try info.check(cluster: cluster, now: .wallClock())
                let known = client.endpoints
                client.use(known + info.endpoints.filter { !known.contains($0) })
                return
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                causes.append("\(error)")
            }
        }
        if !causes.isEmpty {
            log.warning(
                "waiting for the cluster", metadata: ["cause": "\(causes.joined(separator: "; "))"])
        }
    }

    private func remember(_ change: (inout ClusterFile) -> Void) {
        let changed = file.withLock { file -> ClusterFile? in
            let former = file
            change(&file)
            return file == former ? nil : file
        }
        do {
            try changed?.save(to: settings.dataDirectory)
        } catch {
            // It is asked for anew at the next start.
            log.warning(
                "what is known of the cluster is not saved", metadata: ["error": "\(error)"])
        }
    }
}

/// Where a peer is, for other peers and for placement.
package struct PeerPlace: Sendable {
    /// HOST:PORT of its peer port; none where there are no other peers.
    package var addresses: [String]
    package var zone: String?
    package var host: String?

    package init(addresses: [String] = [], zone: String? = nil, host: String? = nil) {
        self.addresses = addresses
        self.zone = zone
        self.host = host
    }
}

/// Bounds on what the readers take from a block. Blocks are untrusted even when they match their
/// CID: whoever made them chose every number in them.
package enum ReadingLimits {
    /// Largest block the service stores or reads, in bytes: 2 MiB, as in the trustless gateway
    /// specification.
    package static let maximumBlockByteCount = 2 << 20

    /// Levels of nodes below a file's root. Kubo's widest layouts need 5 for 2^60 bytes; 64 allows
    /// binary trees of that length.
    static let maximumFileDepth = 64

    /// Links of all open nodes of one file or directory together, about 20 MiB. Honest files hold
    /// some thousands; only a file made of nodes near the block limit at several levels has more.
    static let maximumOpenLinkCount = 1 << 18

    /// Fanouts of a sharded directory that boxo writes.
    static let hamtFanouts = 8...1024
}

/// How much space a shard reserves before its bytes exist.
package enum ReservationSteps {
    /// The smallest step of a shard without a size limit, in bytes.
    package static let smallestStepByteCount = 128 << 20

    /// The next reservation of a shard whose file needs at least `neededByteCount` bytes: steps of
    /// a quarter of the file, at least 128 MiB, so that a shard of any size takes few commands and
    /// never holds much more than it uses.
    ///
    /// - Returns: A multiple of 128 MiB above `neededByteCount`.
    package static func byteCount(atLeast neededByteCount: Int) -> Int {
        let wanted = neededByteCount + max(neededByteCount / 4, 1)
        let steps = (wanted + smallestStepByteCount - 1) / smallestStepByteCount
        return max(1, steps) * smallestStepByteCount
    }
}

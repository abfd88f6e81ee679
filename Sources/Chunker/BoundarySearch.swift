/// The rule both content-defined chunkers share: the first boundary from `minimum` on, or `maximum`.
///
/// - Parameter search: Returns the first boundary among candidate lengths, or `nil`. It may read all
///   bytes before the last candidate.
@inline(__always)
func findChunkEnd(
    in bytes: UnsafeRawBufferPointer, isFinal: Bool, minimum: Int, maximum: Int,
    search: (UnsafePointer<UInt8>, Range<Int>) -> Int?
) -> Int? {
    let end = min(bytes.count, maximum)
    if end > minimum {
        let base = bytes.baseAddress!.assumingMemoryBound(to: UInt8.self)
        if let boundary = search(base, minimum..<end) { return boundary }
    }
    return end == maximum || isFinal && end > 0 ? end : nil
}

extension RollingHash {
    /// The first candidate length whose preceding window hashes to a boundary.
    ///
    /// A hash needs the one before it, so a single pass mostly waits for its own results. Several
    /// lanes that walk neighbouring stretches of the input in step fill that time. The answer is
    /// still the earliest boundary: a lane's find counts only once the lanes before it found nothing.
    ///
    /// - Parameter candidates: Not below `windowByteCount`; the byte before each exists.
    func firstBoundary(in base: UnsafePointer<UInt8>, at candidates: Range<Int>) -> Int? {
        var position = candidates.lowerBound
        while candidates.upperBound &- position >= laneCount &* laneByteCount {
            if let boundary = firstBoundaryInLanes(base + position) { return position &+ boundary }
            position &+= laneCount &* laneByteCount
        }
        return firstBoundary(
            in: base, from: position, to: candidates.upperBound,
            state: state(of: base + position - Self.windowByteCount))
    }

    /// Searches `laneCount * laneByteCount` candidates, the first of them at `base`.
    @inline(__always)
    private func firstBoundaryInLanes(_ base: UnsafePointer<UInt8>) -> Int? {
        var states = InlineArray<_, State> { lane in
            state(of: base + lane &* laneByteCount - Self.windowByteCount)
        } as InlineArray<6, State>
        var offset = 0
        while offset < laneByteCount {
            var found = false
            for lane in 0..<laneCount where isBoundary(states[unchecked: lane]) { found = true }
            if found { return earliestBoundary(base, states, offset) }
            for lane in 0..<laneCount {
                let newest = base + lane &* laneByteCount + offset
                states[unchecked: lane] = advance(
                    states[unchecked: lane], dropping: (newest - Self.windowByteCount).pointee,
                    adding: newest.pointee)
            }
            offset &+= 1
        }
        return nil
    }

    @inline(never)
    private func earliestBoundary(
        _ base: UnsafePointer<UInt8>, _ states: InlineArray<6, State>, _ offset: Int
    ) -> Int? {
        for lane in 0..<laneCount {
            let start = lane &* laneByteCount
            if let boundary = firstBoundary(
                in: base, from: start &+ offset, to: start &+ laneByteCount, state: states[lane])
            {
                return boundary
            }
        }
        return nil
    }

    @inline(__always)
    private func firstBoundary(
        in base: UnsafePointer<UInt8>, from start: Int, to end: Int, state: State
    ) -> Int? {
        var state = state
        var position = start
        while position < end {
            if isBoundary(state) { return position }
            state = advance(
                state, dropping: base[position &- Self.windowByteCount], adding: base[position])
            position &+= 1
        }
        return nil
    }
}

/// As many as keep their states in registers.
private var laneCount: Int { 6 }

/// Long enough that filling a lane's window costs little, short enough that lanes past the boundary
/// waste little.
private var laneByteCount: Int { 1024 }

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
    /// lanes that walk neighbouring stretches of the input in step fill that time.
    ///
    /// - Parameter candidates: Not below `windowByteCount`; the byte before each exists.
    func firstBoundary(in base: UnsafePointer<UInt8>, at candidates: Range<Int>) -> Int? {
        var position = candidates.lowerBound
        while candidates.upperBound &- position >= laneCount &* laneByteCount {
            if let offset = firstBoundaryOffsetInLanes(from: base + position) {
                return firstBoundaryOfLanes(in: base, from: position, offset: offset)
            }
            position &+= laneCount &* laneByteCount
        }
        return firstBoundaryInOnePass(in: base, from: position, to: candidates.upperBound)
    }

    /// How far into its lane the first lane to meet a boundary has come; `nil` when none meets one.
    ///
    /// Written out because an array of states would be stored to memory at every step.
    @inline(__always)
    private func firstBoundaryOffsetInLanes(from base: UnsafePointer<UInt8>) -> Int? {
        let lane = laneByteCount
        var state0 = stateBefore(base + 0 &* lane)
        var state1 = stateBefore(base + 1 &* lane)
        var state2 = stateBefore(base + 2 &* lane)
        var state3 = stateBefore(base + 3 &* lane)
        var state4 = stateBefore(base + 4 &* lane)
        var state5 = stateBefore(base + 5 &* lane)
        var offset = 0
        while offset < lane {
            if isBoundary(state0) || isBoundary(state1) || isBoundary(state2)
                || isBoundary(state3) || isBoundary(state4) || isBoundary(state5)
            {
                return offset
            }
            let next = base + offset
            state0 = advance(state0, over: next + 0 &* lane)
            state1 = advance(state1, over: next + 1 &* lane)
            state2 = advance(state2, over: next + 2 &* lane)
            state3 = advance(state3, over: next + 3 &* lane)
            state4 = advance(state4, over: next + 4 &* lane)
            state5 = advance(state5, over: next + 5 &* lane)
            offset &+= 1
        }
        return nil
    }

    /// The earliest boundary of all lanes, none of which has one before `offset`: a lane's find counts
    /// only once the lanes before it found nothing.
    private func firstBoundaryOfLanes(
        in base: UnsafePointer<UInt8>, from position: Int, offset: Int
    ) -> Int? {
        for lane in 0..<laneCount {
            let start = position &+ lane &* laneByteCount
            if let boundary = firstBoundaryInOnePass(
                in: base, from: start &+ offset, to: start &+ laneByteCount)
            {
                return boundary
            }
        }
        return nil
    }

    private func firstBoundaryInOnePass(
        in base: UnsafePointer<UInt8>, from start: Int, to end: Int
    ) -> Int? {
        var state = stateBefore(base + start)
        var position = start
        while position < end {
            if isBoundary(state) { return position }
            state = advance(state, over: base + position)
            position &+= 1
        }
        return nil
    }

    /// The hash of the window that ends before `next`.
    @inline(__always)
    private func stateBefore(_ next: UnsafePointer<UInt8>) -> State {
        state(of: next - Self.windowByteCount)
    }

    @inline(__always)
    private func advance(_ state: State, over next: UnsafePointer<UInt8>) -> State {
        advance(state, dropping: (next - Self.windowByteCount).pointee, adding: next.pointee)
    }
}

/// As many as keep their states in registers.
private let laneCount = 6

/// Long enough that filling a lane's window costs little, short enough that lanes past the boundary
/// waste little.
private let laneByteCount = 1024

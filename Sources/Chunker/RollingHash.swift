/// A hash of the last `windowByteCount` bytes that moves on by one byte in constant time.
///
/// Its value depends on nothing before the window, so a search may start anywhere.
protocol RollingHash {
    associatedtype State

    static var windowByteCount: Int { get }

    /// The hash of `windowByteCount` bytes from `window` on.
    func state(of window: UnsafePointer<UInt8>) -> State

    /// The hash after `oldest` leaves the window and `newest` enters it.
    func advance(_ state: State, dropping oldest: UInt8, adding newest: UInt8) -> State

    func isBoundary(_ state: State) -> Bool
}

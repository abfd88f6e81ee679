import CShims

/// CRLF, two hyphens and the boundary, at an address that stays, so that bytes held back by the
/// parser can be handed out again without a copy: they are always a prefix of this.
///
/// Unchecked, because a pointer is not Sendable by itself: nothing writes to it after `init`.
final class MultipartDelimiter: @unchecked Sendable {
    /// Length without the extra hyphen that `storage` ends with, which a final boundary begins with.
    let count: Int
    private let storage: UnsafeMutableRawBufferPointer

    init(_ boundary: MultipartBoundary) {
        let bytes = Array("\r\n--".utf8) + boundary.bytes + [UInt8(ascii: "-")]
        storage = .allocate(byteCount: bytes.count, alignment: 1)
        storage.copyBytes(from: bytes)
        count = bytes.count - 1
    }

    deinit {
        storage.deallocate()
    }

    func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: storage[range])
    }

    func continues(at matched: Int, with input: UnsafeRawBufferPointer, count: Int) -> Bool {
        storage[matched..<(matched + count)].elementsEqual(input[..<count])
    }

    /// Where the whole delimiter first occurs, at memory speed.
    func firstOffset(in input: UnsafeRawBufferPointer) -> Int? {
        guard let start = input.baseAddress, let needle = storage.baseAddress,
            let found = cshims_memmem(start, input.count, needle, count)
        else { return nil }
        return found - start
    }

    /// Length of the longest end of `input` that the delimiter begins with. CR occurs only at its
    /// start, so only the last CR can begin one.
    func matchingSuffixByteCount(of input: UnsafeRawBufferPointer) -> Int {
        let candidates = input.suffix(count - 1)
        guard let start = candidates.lastIndex(of: UInt8(ascii: "\r")) else { return 0 }
        let suffixByteCount = input.endIndex - start
        let suffix = UnsafeRawBufferPointer(rebasing: input[start...])
        return continues(at: 0, with: suffix, count: suffixByteCount) ? suffixByteCount : 0
    }
}

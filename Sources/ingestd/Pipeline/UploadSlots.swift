import Synchronization

/// Bounds how many uploads are under way, and with them the memory for buffers.
final class UploadSlots: Sendable {
    let limit: Int
    private let taken = Mutex(0)

    init(limit: Int) {
        self.limit = limit
    }

    var takenCount: Int { taken.withLock { $0 } }

    /// - Throws: A `Problem` with the limit when all are taken.
    func take() throws -> UploadSlot {
        let isGranted = taken.withLock { taken in
            guard taken < limit else { return false }
            taken += 1
            return true
        }
        guard isGranted else {
            throw Problem(
                .tooManyUploads,
                "\(limit) uploads are under way, which is the limit; try again later or raise "
                    + "api.max-uploads", retryAfterSeconds: 5)
        }
        return UploadSlot(slots: self)
    }

    fileprivate func giveBack() {
        taken.withLock { $0 -= 1 }
    }
}

/// One of the uploads that may be under way; given back when nothing refers to it any more.
final class UploadSlot: Sendable {
    private let slots: UploadSlots

    fileprivate init(slots: UploadSlots) {
        self.slots = slots
    }

    deinit {
        slots.giveBack()
    }
}

import Pinset

/// A command was applied and changed nothing.
package struct CommandRefused: Error, CustomStringConvertible {
    package let refusal: Refusal

    package init(refusal: Refusal) {
        self.refusal = refusal
    }

    package var description: String { refusal.description }
}

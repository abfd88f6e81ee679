import Importer
import IngestAPI
import IngestClient
import PosixIO

/// What the process tells its parent.
enum ExitCode: Int32 {
    case done = 0
    /// Local files, the command line or the network.
    case local = 1
    case refused = 2
    case partial = 3
    case verificationFailed = 4
    case noSpace = 5
    /// What was being added changed meanwhile.
    case changed = 6
    case interrupted = 130
}

/// The end of a command that did not simply succeed.
struct CommandOutcome: Error {
    let code: ExitCode
    /// One line: what, why, what to do. Nil when all has been said.
    let message: String?

    init(_ code: ExitCode, _ message: String?) {
        self.code = code
        self.message = message
    }

    /// Finds the code for what a command threw.
    init(_ error: any Error) {
        switch error {
        case let outcome as CommandOutcome: self = outcome
        case is CancellationError:
            self.init(.interrupted, "interrupted; nothing was stored that was not reported")
        case let closed as OutputClosed where closed.isByReader: self.init(.local, nil)
        case let closed as OutputClosed: self = CommandOutcome(closed.cause)
        case let error as ClientError: self.init(Self.code(of: error), "\(error)")
        case let error as IOError: self.init(error.isNoSpace ? .noSpace : .local, "\(error)")
        case is FileChanged, is SourceChanged: self.init(.changed, "\(error)")
        case let error as VerificationError: self.init(.verificationFailed, "\(error)")
        case let error as ImportError:
            if case .scratch(let cause as IOError) = error, cause.isNoSpace {
                self.init(.noSpace, "\(error)")
            } else {
                self.init(.local, "\(error)")
            }
        case CARImportError.scratch(let cause as IOError) where cause.isNoSpace:
            self.init(.noSpace, "\(error)")
        default: self.init(.local, "\(error)")
        }
    }

    private static func code(of error: ClientError) -> ExitCode {
        guard case .refused(let document) = error else { return .local }
        return document.type == ErrorCode.noSpace.type ? .noSpace : .refused
    }
}

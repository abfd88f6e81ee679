import ClusterCore
import HTTPTypes
import ImportPipeline
import Importer
import IngestAPI
import Multiformats
import NIOCore
import NIOHTTP1
import Pinset
import PosixIO
import ShardPlanner

/// An error as the API tells it: a stable code for programs, and a sentence for people that says what,
/// where, why and what to do.
struct Problem: Error, Sendable {
    let code: ErrorCode
    let message: String
    var retryAfterSeconds: Int?
    /// How many bytes there are, when the range asked for is outside of them.
    var rangeByteCount: Int?
    /// What `Allow` says.
    var allowedMethods: String?
    /// Where the upload stands, and where the client believes it to stand.
    var uploadOffsets: (expected: Int, provided: Int)?

    /// A client that goes on with an upload elsewhere than where it stands.
    init(_ code: ErrorCode, at offset: Int, insteadOf provided: Int) {
        self.init(
            code, "the upload stands at byte \(offset), not at \(provided); go on from there")
        uploadOffsets = (offset, provided)
    }

    init(
        _ code: ErrorCode, _ message: String, retryAfterSeconds: Int? = nil,
        rangeByteCount: Int? = nil
    ) {
        self.code = code
        self.message = message
        self.retryAfterSeconds = retryAfterSeconds
        self.rangeByteCount = rangeByteCount
    }

    var status: HTTPResponse.Status { .init(code: code.status) }

    /// The one place where errors become answers.
    init(_ error: any Error) {
        switch error {
        case let problem as Problem: self = problem
        case let error as any CodedError: self.init(error.errorCode, error.description)
        case let error as GzipError: self.init(.badEncoding, "\(error)")
        case is ArchiveContentError, is CARError: self.init(.badCAR, "\(error)")
        case let error as CARImportError: self.init(error)
        case let error as ImportError: self.init(error)
        case is PackingError, is ImportPipelineError: self.init(.blockTooLarge, "\(error)")
        case is HashError, is ListNodeError, is AllocationPolicyError:
            self.init(.badParameter, "\(error)")
        case let error as RequestTarget.Malformation: self.init(.badRequest, "\(error)")
        case let error as CIDError: self.init(.badCID, "\(error)")
        case let error as CommandRefused: self.init(error.refusal)
        case let error as BlockReadError: self.init(error)
        case let error as PathResolutionError: self.init(error)
        case let error as DAGReadError: self.init(.badRequest, "\(error)")
        case let error as EntityBytesError: self.init(.badParameter, "\(error)")
        case let error as PosixIO.IOError: self.init(error)
        case let error as LogError: self.init(.unavailable, "\(error)")
        case let error as SpoolFull: self.init(.noSpace, "\(error)")
        case let error as AllocationError: self.init(.noSpace, "\(error)")
        case let error as BlockUnavailable: self.init(.unavailable, "\(error)")
        case let error as BlockDamaged: self.init(.internalError, "\(error)")
        case let error as ShardDeliveryError: self.init(.unavailable, "\(error)")
        case let error as PeerError: self.init(.unavailable, "\(error)", retryAfterSeconds: 5)
        case let error as ShardIntakeError: self.init(.conflict, "\(error)")
        case let error as UploadInterrupted: self.init(.bodyCut, "\(error)")
        case is UploadJournalError, is ImportRecordError:
            self.init(.internalError, "\(error)")
        case let error as ShardReceiveError: self.init(.badCAR, "\(error)")
        case let error as PeerCertificateError: self.init(.forbidden, "\(error)")
        case is HTTPParserError:
            self.init(
                .bodyCut,
                "the request's body ended early or is not valid HTTP (\(error)); send it again")
        case is NIOCore.IOError, is ChannelError:
            self.init(
                .bodyCut,
                "the connection broke before the request was complete (\(error)); send it again")
        case is CancellationError:
            self.init(.shuttingDown, "the daemon is stopping; try again later")
        case let error as ShardFileError: self.init(.internalError, "\(error)")
        default: self.init(.internalError, "internal error: \(error)")
        }
    }

    private init(_ error: ImportError) {
        switch error {
        case .pathConflict: self.init(.pathConflict, "\(error)")
        case .severalRoots: self.init(.severalRoots, "\(error)")
        case .nothingToImport: self.init(.emptyUpload, "\(error)")
        case .scratch(let cause), .output(let cause): self.init(cause)
        case .blockTooLarge, .chunkTooLarge, .directoryTooLarge, .tooManyEntries, .shardTooDeep:
            self.init(.blockTooLarge, "\(error)")
        case .hash: self.init(.badParameter, "\(error)")
        case .pathTooDeep, .pathTooLong, .nameTooLong, .nameContainsNUL, .symlinkTargetTooLong:
            self.init(.badPath, "\(error)")
        }
    }

    private init(_ error: CARImportError) {
        if case .scratch(let cause) = error {
            self.init(cause)
        } else {
            self.init(.badCAR, "\(error)")
        }
    }

    private init(_ refusal: Refusal) {
        switch refusal {
        case .noSpace(let shortfall) where shortfall.counts.noRoom == 0:
            // Who is down may come back.
            let isPassing = shortfall.counts.down + shortfall.counts.excluded > 0
            self.init(isPassing ? .unavailable : .tooFewPeers, "\(refusal)")
        case .noSpace, .tooLittleRoom, .noSpaceToExtend: self.init(.noSpace, "\(refusal)")
        case .notPinned: self.init(.pinNotFound, "\(refusal)")
        case .unknownUpload: self.init(.uploadNotFound, "\(refusal)")
        case .unknownPeer: self.init(.peerNotFound, "\(refusal)")
        case .badArgument: self.init(.badParameter, "\(refusal)")
        default: self.init(.conflict, "\(refusal)")
        }
    }

    private init(_ error: BlockReadError) {
        switch error {
        case .notFound: self.init(.blockNotFound, "\(error)")
        case .tooLarge: self.init(.badRequest, "\(error)")
        case .corrupt: self.init(.internalError, "\(error)")
        }
    }

    private init(_ error: PathResolutionError) {
        switch error {
        case .notFound: self.init(.notFound, "\(error)")
        case .notADirectory, .symlinkInPath, .unreadable: self.init(.badRequest, "\(error)")
        }
    }

    private init(_ error: PosixIO.IOError) {
        if error.isNoSpace {
            self.init(
                .noSpace,
                "the disk of this peer is full (\(error)); free some space, or set "
                    + "storage.capacity below what the disk can hold")
        } else {
            self.init(.internalError, "\(error)")
        }
    }

    /// The message as the value of a header field: one line of visible ASCII.
    var headerText: String {
        String(
            message.unicodeScalars.prefix(1000).map {
                $0.isASCII && $0.value >= 0x20 && $0.value != 0x7F ? Character($0) : "?"
            })
    }
}

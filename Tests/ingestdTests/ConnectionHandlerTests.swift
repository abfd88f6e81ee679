import HTTPTypes
import IngestAPI
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOHTTPTypes
import Testing

@testable import ingestd

private let requestHead: HTTPRequestPart = makeHead(expecting: nil)
private let someBytes = HTTPRequestPart.body(ByteBuffer(string: "bytes"))
private let requestEnd = HTTPRequestPart.end(nil)
private let answerHead = HTTPResponsePart.head(HTTPResponse(status: .ok))
private let answerBytes = HTTPResponsePart.body(ByteBuffer(string: "answer"))
private let answerEnd = HTTPResponsePart.end(nil)

private func makeHead(expecting expectation: String?) -> HTTPRequestPart {
    var request = HTTPRequest(method: .post, scheme: nil, authority: nil, path: "/add")
    request.headerFields[.expect] = expectation
    return .head(request)
}

/// When a client that sent `Expect: 100-continue` is told to go on, and what it is told meanwhile.
struct InterimHandlerTests {
    private let goOn = HTTPResponsePart.head(HTTPResponse(status: .continue))

    /// A connection whose client waits to be told.
    private func asked() throws -> Connection {
        let connection = Connection(InterimHandler())
        try connection.receive(makeHead(expecting: "100-continue"))
        return connection
    }

    @Test(arguments: ["100-continue", "100-Continue"])
    func aClientThatAsksIsToldWhenTheBodyIsWanted(expectation: String) throws {
        let connection = Connection(InterimHandler())
        try connection.receive(makeHead(expecting: expectation))
        connection.acceptBody()
        #expect(try connection.takeSent() == [goOn])
    }

    @Test func aClientThatAsksIsNotToldBeforeTheBodyIsWanted() throws {
        let connection = try asked()
        #expect(try connection.takeSent() == [])
    }

    @Test func aClientThatDoesNotAskIsNotTold() throws {
        let connection = Connection(InterimHandler())
        try connection.receive(requestHead)
        connection.acceptBody()
        #expect(try connection.takeSent() == [])
    }

    @Test func aClientIsToldOnce() throws {
        let connection = try asked()
        connection.acceptBody()
        connection.acceptBody()
        #expect(try connection.takeSent() == [goOn])
    }

    @Test func aClientThatIsBeingAnsweredIsNotTold() throws {
        let connection = try asked()
        connection.send(answerHead)
        connection.acceptBody()
        #expect(try connection.takeSent() == [answerHead])
    }

    @Test func aClientThatSendsTheBodyUnaskedIsNotTold() throws {
        let connection = try asked()
        try connection.receive(someBytes)
        connection.acceptBody()
        #expect(try connection.takeSent() == [])
    }

    @Test func aSecondRequestThatDoesNotAskIsNotToldBecauseTheFirstDid() throws {
        let connection = try asked()
        connection.acceptBody()
        try connection.receive(all: [someBytes, requestEnd])
        connection.sendAnswer()
        _ = try connection.takeSent()
        try connection.receive(requestHead)
        connection.acceptBody()
        #expect(try connection.takeSent() == [])
    }

    @Test func aSecondRequestThatAsksIsToldToo() throws {
        let connection = Connection(InterimHandler())
        try connection.receive(all: [requestHead, requestEnd])
        connection.sendAnswer()
        _ = try connection.takeSent()
        try connection.receive(makeHead(expecting: "100-continue"))
        connection.acceptBody()
        #expect(try connection.takeSent() == [goOn])
    }

    @Test func whatIsToldMeanwhileComesBeforeTheAnswerOrNotAtAll() throws {
        let connection = Connection(InterimHandler())
        let head = HTTPResponse(status: .init(code: 104))
        try connection.trigger(TellInterim(head: head))
        #expect(try connection.takeSent() == [])
        try connection.receive(requestHead)
        try connection.trigger(TellInterim(head: head))
        try connection.trigger(TellInterim(head: head))
        #expect(try connection.takeSent() == [.head(head), .head(head)])
        connection.send(answerHead)
        try connection.trigger(TellInterim(head: head))
        #expect(try connection.takeSent() == [answerHead])
    }

    /// Events that come to the end of a pipeline fail.
    @Test func onlyItsOwnEventEndsHere() throws {
        let connection = Connection(InterimHandler())
        try connection.trigger(AcceptBody())
        #expect(throws: ChannelError.operationUnsupported) { try connection.trigger("another") }
    }
}

/// What becomes of a body that comes after its request was answered.
struct UnreadBodyHandlerTests {
    private static let byteCountLimit = 256 << 20
    private static let mebibyte = HTTPRequestPart.body(ByteBuffer(repeating: 0, count: 1 << 20))

    /// A connection whose client has an answer and may still send the body.
    private func answeredEarly() throws -> Connection {
        let connection = Connection(UnreadBodyHandler())
        try answerEarly(on: connection)
        return connection
    }

    private func answerEarly(on connection: Connection) throws {
        try connection.receive(requestHead)
        connection.sendAnswer()
    }

    private func receiveUpToTheLimit(on connection: Connection) throws {
        for _ in 0..<(Self.byteCountLimit >> 20) { try connection.receive(Self.mebibyte) }
    }

    @Test func aBodyReachesItsReaderUntilTheAnswerEnds() throws {
        let connection = Connection(UnreadBodyHandler())
        try connection.receive(requestHead)
        connection.send(all: [answerHead, answerBytes])
        #expect(try connection.receive(someBytes) == someBytes)
    }

    @Test func aBodyReachesNobodyAfterTheAnswersEnd() throws {
        let connection = try answeredEarly()
        #expect(try connection.receive(someBytes) == nil)
    }

    @Test func aBodyThatIsReadIsLeftToItsReaderToAskFor() throws {
        let connection = Connection(UnreadBodyHandler())
        try connection.receive(all: [requestHead, someBytes])
        connection.send(answerHead)
        #expect(connection.readCount == 0)
    }

    @Test func theAnswersEndAsksForTheRestOfTheBody() throws {
        let connection = try answeredEarly()
        #expect(connection.readCount == 1)
    }

    @Test func eachReadOfAnUnreadBodyAsksForTheNext() throws {
        let connection = try answeredEarly()
        let before = connection.readCount
        for _ in 0..<3 { try connection.receive(someBytes) }
        #expect(connection.readCount == before + 3)
    }

    @Test func nothingIsAskedForOnceTheBodyHasEnded() throws {
        let connection = try answeredEarly()
        let before = connection.readCount
        try connection.receive(requestEnd)
        #expect(connection.readCount == before)
    }

    @Test func anUnreadBodyMayBeAsLongAsTheLimit() throws {
        let connection = try answeredEarly()
        try receiveUpToTheLimit(on: connection)
        #expect(!connection.isClosed)
    }

    @Test func anUnreadBodyLongerThanTheLimitIsCutOff() throws {
        let connection = try answeredEarly()
        try receiveUpToTheLimit(on: connection)
        try connection.receive(.body(ByteBuffer(string: "x")))
        #expect(connection.isClosed)
    }

    @Test func theEndOfAnUnreadBodyIsPassedOn() throws {
        let connection = try answeredEarly()
        try connection.receive(someBytes)
        #expect(try connection.receive(requestEnd) == requestEnd)
    }

    @Test func theBodyOfTheNextRequestReachesItsReader() throws {
        let connection = try answeredEarly()
        try connection.receive(all: [someBytes, requestEnd, requestHead])
        #expect(try connection.receive(someBytes) == someBytes)
    }

    @Test func theNextUnreadBodyReachesNobodyEither() throws {
        let connection = try answeredEarly()
        try connection.receive(requestEnd)
        try answerEarly(on: connection)
        #expect(try connection.receive(someBytes) == nil)
    }

    @Test func theNextUnreadBodyHasALimitOfItsOwn() throws {
        let connection = try answeredEarly()
        try receiveUpToTheLimit(on: connection)
        try connection.receive(requestEnd)
        try answerEarly(on: connection)
        try receiveUpToTheLimit(on: connection)
        #expect(!connection.isClosed)
    }

    @Test func aBodyThatDoesNotEndIsCutOffAfterHalfAMinute() throws {
        let connection = try answeredEarly()
        connection.advanceTime(by: .milliseconds(29_999))
        #expect(!connection.isClosed)
        connection.advanceTime(by: .milliseconds(1))
        #expect(connection.isClosed)
    }

    @Test func aBodyThatTricklesInIsCutOffAfterHalfAMinuteToo() throws {
        let connection = try answeredEarly()
        for _ in 0..<30 {
            try connection.receive(someBytes)
            connection.advanceTime(by: .seconds(1))
        }
        #expect(connection.isClosed)
    }

    @Test func aConnectionWhoseUnreadBodyHasEndedIsKept() throws {
        let connection = try answeredEarly()
        try connection.receive(requestEnd)
        connection.advanceTime(by: .hours(1))
        #expect(!connection.isClosed)
    }

    @Test func aConnectionWhoseWholeRequestIsAnsweredIsKept() throws {
        let connection = Connection(UnreadBodyHandler())
        try connection.receive(all: [requestHead, someBytes, requestEnd])
        connection.sendAnswer()
        connection.advanceTime(by: .hours(1))
        #expect(!connection.isClosed)
    }
}

/// How long a client may take nothing of its answer.
struct StalledReaderHandlerTests {
    private static let patience = TimeAmount.seconds(10)
    private static let almostThePatience = TimeAmount.milliseconds(9_999)

    /// A connection whose client takes only what a test takes for it.
    private func makeConnection() -> Connection {
        let connection = Connection(StalledReaderHandler(patience: Self.patience))
        connection.holdWrites()
        return connection
    }

    @Test func aClientThatTakesNothingIsCutOffAfterThePatience() {
        let connection = makeConnection()
        connection.send(answerHead)
        connection.advanceTime(by: Self.almostThePatience)
        #expect(!connection.isClosed)
        connection.advanceTime(by: .milliseconds(1))
        #expect(connection.isClosed)
    }

    @Test func aClientThatNowAndThenTakesSomethingIsNotCutOff() {
        let connection = makeConnection()
        for _ in 0..<10 { connection.send(answerBytes) }
        for _ in 0..<9 {
            connection.advanceTime(by: Self.almostThePatience)
            connection.takeOneWrite()
        }
        #expect(!connection.isClosed)
    }

    @Test func aClientThatStopsTakingIsCutOffThePatienceAfterItsLastPart() {
        let connection = makeConnection()
        connection.send(all: [answerHead, answerBytes])
        connection.advanceTime(by: .seconds(5))
        connection.takeOneWrite()
        connection.advanceTime(by: Self.almostThePatience)
        #expect(!connection.isClosed)
        connection.advanceTime(by: .milliseconds(1))
        #expect(connection.isClosed)
    }

    @Test func writingMoreIsNoSignOfLife() {
        let connection = makeConnection()
        connection.send(answerHead)
        connection.advanceTime(by: .seconds(5))
        connection.send(answerBytes)
        connection.advanceTime(by: .seconds(5))
        #expect(connection.isClosed)
    }

    @Test func aClientThatHasTakenEverythingIsLeftAlone() {
        let connection = makeConnection()
        connection.send(all: [answerHead, answerBytes, answerEnd])
        for _ in 0..<3 { connection.takeOneWrite() }
        connection.advanceTime(by: .hours(1))
        #expect(!connection.isClosed)
    }

    @Test func aConnectionOnWhichNothingWasWrittenIsLeftAlone() {
        let connection = makeConnection()
        connection.advanceTime(by: .hours(1))
        #expect(!connection.isClosed)
    }

    @Test func anAnswerAfterAnIdleHourIsGivenTheWholePatience() {
        let connection = makeConnection()
        connection.send(answerHead)
        connection.takeOneWrite()
        connection.advanceTime(by: .hours(1))
        connection.send(answerHead)
        connection.advanceTime(by: Self.almostThePatience)
        #expect(!connection.isClosed)
    }
}

/// What a client sends ahead of its answers.
struct PipelinedRequestsHandlerTests {
    /// The first request is received whole and not answered.
    private func makeConnection() throws -> Connection {
        let connection = Connection(PipelinedRequestsHandler())
        try connection.receive(all: [requestHead, someBytes, requestEnd])
        return connection
    }

    @Test func oneRequestIsPassedOnAsItComes() throws {
        let connection = Connection(PipelinedRequestsHandler())
        for part in [requestHead, someBytes, requestEnd] {
            #expect(try connection.receive(part) == part)
        }
    }

    @Test func aSecondRequestWaitsForTheFirstAnswer() throws {
        let connection = try makeConnection()
        let second = [requestHead, someBytes, requestEnd]
        for part in second { #expect(try connection.receive(part) == nil) }
        connection.send(all: [answerHead, answerBytes])
        #expect(try connection.takeReceived() == [])
        connection.send(answerEnd)
        #expect(try connection.takeReceived() == second)
    }

    @Test func aThirdRequestWaitsForTheSecondAnswer() throws {
        let connection = try makeConnection()
        try connection.receive(all: [requestHead, requestEnd, requestHead])
        connection.sendAnswer()
        #expect(try connection.takeReceived() == [requestHead, requestEnd])
        connection.sendAnswer()
        #expect(try connection.takeReceived() == [requestHead])
    }

    @Test func theRestOfABodyComesAfterAnEarlyAnswer() throws {
        let connection = Connection(PipelinedRequestsHandler())
        try connection.receive(requestHead)
        connection.sendAnswer()
        for part in [someBytes, requestEnd, requestHead] {
            #expect(try connection.receive(part) == part)
        }
    }

    @Test func nothingIsReadWhileARequestWaitsForItsAnswer() throws {
        let connection = try makeConnection()
        let before = connection.readCount
        connection.askToRead()
        #expect(connection.readCount == before)
        connection.sendAnswer()
        #expect(connection.readCount == before + 1)
    }

    @Test func anErrorInALaterRequestComesAfterTheAnswer() throws {
        let connection = try makeConnection()
        try connection.raise(HTTPParserError.invalidMethod)
        connection.sendAnswer()
        #expect(throws: HTTPParserError.invalidMethod) { try connection.checkForError() }
    }
}

/// Who answers what the HTTP decoder refuses.
struct MalformedRequestHandlerTests {
    private struct NoWholeAnswer: Error {
        let parts: [HTTPResponsePart]
    }

    /// Takes the one answer that was sent.
    private func takeAnswer(
        from connection: Connection
    ) throws -> (head: HTTPResponse, body: [UInt8]) {
        let parts = try connection.takeSent()
        guard parts.count == 3, case .head(let head) = parts[0], case .body(let body) = parts[1],
            parts[2] == .end(nil)
        else { throw NoWholeAnswer(parts: parts) }
        return (head, Array(body.readableBytesView))
    }

    @Test func whatIsNoRequestIsAnsweredWithAnErrorInJSON() throws {
        let connection = Connection(MalformedRequestHandler())
        try connection.raise(HTTPParserError.invalidMethod)
        let answer = try takeAnswer(from: connection)
        #expect(answer.head.status.code == 400)
        #expect(answer.head.headerFields[.contentType] == "application/json")
        let document = try JSONBody.decode(ErrorDocument.self, from: answer.body)
        #expect(document.type == ErrorCode.badRequest.type)
    }

    @Test func theAnswerSaysHowLongItIsAndThatItIsTheLast() throws {
        let connection = Connection(MalformedRequestHandler())
        try connection.raise(HTTPParserError.invalidMethod)
        let answer = try takeAnswer(from: connection)
        #expect(answer.head.headerFields[.contentLength] == String(answer.body.count))
        #expect(answer.head.headerFields[.connection] == "close")
    }

    @Test func theConnectionIsClosedBehindTheAnswer() throws {
        let connection = Connection(MalformedRequestHandler())
        try connection.raise(HTTPParserError.invalidMethod)
        #expect(connection.isClosed)
    }

    @Test func theConnectionIsNotClosedBeforeTheAnswerIsWritten() throws {
        let connection = Connection(MalformedRequestHandler())
        connection.holdWrites()
        try connection.raise(HTTPParserError.invalidMethod)
        for _ in ["head", "body"] { connection.takeOneWrite() }
        #expect(!connection.isClosed)
        connection.takeOneWrite()
        #expect(connection.isClosed)
    }

    @Test func whatIsNoRequestIsAnsweredAfterAWholeRequestToo() throws {
        let connection = Connection(MalformedRequestHandler())
        try connection.receive(all: [requestHead, someBytes, requestEnd])
        connection.sendAnswer()
        _ = try connection.takeSent()
        try connection.raise(HTTPParserError.invalidVersion)
        #expect(try takeAnswer(from: connection).head.status.code == 400)
    }

    @Test(arguments: [[requestHead], [requestHead, someBytes]])
    func anErrorInsideABodyIsLeftToItsReader(received: [HTTPRequestPart]) throws {
        let connection = Connection(MalformedRequestHandler())
        try connection.receive(all: received)
        #expect(throws: HTTPParserError.invalidChunkSize) {
            try connection.raise(HTTPParserError.invalidChunkSize)
        }
        #expect(try connection.takeSent() == [])
        #expect(!connection.isClosed)
    }

    @Test func anErrorOfAnotherKindIsPassedOn() throws {
        let connection = Connection(MalformedRequestHandler())
        #expect(throws: ChannelError.operationUnsupported) {
            try connection.raise(ChannelError.operationUnsupported)
        }
        #expect(try connection.takeSent() == [])
    }
}

/// A connection with one handler on it; the test is the client, the server and the clock.
///
/// It belongs to the thread that made it, so its tests do not suspend.
private final class Connection {
    private let channel: EmbeddedChannel
    private let socket: Socket

    init(_ handler: any ChannelHandler) {
        let socket = Socket()
        self.socket = socket
        channel = EmbeddedChannel(handlers: [socket, handler])
    }

    deinit {
        // What a test has not looked at by now, errors included, it does not want to know.
        _ = try? channel.finish(acceptAlreadyClosed: true)
    }

    var isClosed: Bool { socket.isClosed }
    var readCount: Int { socket.readCount }

    /// A part comes in, as a read of its own.
    ///
    /// - Returns: What the handler passed on.
    @discardableResult
    func receive(_ part: HTTPRequestPart) throws -> HTTPRequestPart? {
        try channel.writeInbound(part)
        return try channel.readInbound(as: HTTPRequestPart.self)
    }

    /// What the handler passed on since the last look.
    func takeReceived() throws -> [HTTPRequestPart] {
        var parts: [HTTPRequestPart] = []
        while let part = try channel.readInbound(as: HTTPRequestPart.self) { parts.append(part) }
        return parts
    }

    func askToRead() { channel.read() }

    /// Throws an error that the handler passed on since the last look.
    func checkForError() throws { try channel.throwIfErrorCaught() }

    /// An error comes in; it is thrown if the handler passed it on.
    func raise(_ error: any Error) throws {
        channel.pipeline.syncOperations.fireErrorCaught(error)
        try channel.throwIfErrorCaught()
    }

    func receive(all parts: [HTTPRequestPart]) throws {
        for part in parts { try receive(part) }
    }

    func send(_ part: HTTPResponsePart) {
        channel.writeAndFlush(part, promise: nil)
    }

    func send(all parts: [HTTPResponsePart]) {
        for part in parts { send(part) }
    }

    /// Sends a whole answer without a body.
    func sendAnswer() {
        send(all: [answerHead, answerEnd])
    }

    /// What has been written since the last call, except while writes are held.
    func takeSent() throws -> [HTTPResponsePart] {
        var parts: [HTTPResponsePart] = []
        while let part = try channel.readOutbound(as: HTTPResponsePart.self) { parts.append(part) }
        return parts
    }

    func acceptBody() {
        channel.triggerUserOutboundEvent(AcceptBody(), promise: nil)
    }

    /// Triggers an outbound event; throws if nobody wanted it.
    func trigger(_ event: any Sendable) throws {
        try channel.triggerUserOutboundEvent(event).wait()
    }

    func holdWrites() { socket.holdsWrites = true }
    func takeOneWrite() { socket.takeOneWrite() }

    func advanceTime(by amount: TimeAmount) {
        channel.embeddedEventLoop.advanceTime(by: amount)
    }
}

/// The end of the pipeline towards the client: sees what is asked of the socket, and can be full.
private final class Socket: ChannelOutboundHandler {
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    var holdsWrites = false
    private(set) var isClosed = false
    private(set) var readCount = 0
    /// Of writes that were made and not taken, oldest first; `nil` for one nobody waits for.
    private var held: [EventLoopPromise<Void>?] = []

    /// Says that the oldest write which is held was made; its bytes go nowhere.
    func takeOneWrite() {
        let promise = held.removeFirst()
        promise?.succeed()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard holdsWrites else { return context.write(data, promise: promise) }
        held.append(promise)
    }

    func read(context: ChannelHandlerContext) {
        readCount += 1
        context.read()
    }

    func close(
        context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?
    ) {
        isClosed = true
        context.close(mode: mode, promise: promise)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        let left = held
        held = []
        for promise in left { promise?.fail(ChannelError.ioOnClosedChannel) }
    }
}

import Hummingbird
import Logging
import NIOCore

/// What a request knows besides itself: its connection.
struct APIContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
    }

    /// Whether the request's body came to its end; `false` also when the connection is gone.
    func bodyWasWhole() async -> Bool {
        let answer = channel.eventLoop.makePromise(of: Bool.self)
        channel.triggerUserOutboundEvent(AskForEnd(answer: answer)).whenFailure { answer.fail($0) }
        return (try? await answer.futureResult.get()) ?? false
    }

    /// Asks a client that waits for permission to send the body.
    func acceptBody() {
        channel.triggerUserOutboundEvent(AcceptBody(), promise: nil)
    }

    /// Tells the client something while it sends the body.
    func tell(_ head: HTTPResponse) {
        channel.triggerUserOutboundEvent(TellInterim(head: head), promise: nil)
    }
}

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

    /// Asks a client that waits for permission to send the body.
    func acceptBody() {
        channel.triggerUserOutboundEvent(AcceptBody(), promise: nil)
    }
}

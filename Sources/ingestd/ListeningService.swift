import Glibc
import NIOCore
import ServiceLifecycle

/// Why a server of the daemon does not listen.
struct ListenError: Error, CustomStringConvertible {
    let address: String
    let setting: Setting
    let cause: String

    var description: String {
        "cannot listen on \(address): \(cause); end the program that has this port, or choose another "
            + "address with \(setting.name) in the configuration, or \(setting.variable)"
    }
}

/// A server whose failure to listen tells its address and the setting it comes from.
struct ListeningService: Service {
    let server: any Service
    let address: String
    let setting: Setting

    func run() async throws {
        do {
            try await server.run()
        } catch let error as NIOCore.IOError {
            throw failure(String(cString: strerror(error.errnoCode)))
        } catch let error as SocketAddressError {
            throw failure("\(error)")
        }
    }

    private func failure(_ cause: String) -> ListenError {
        ListenError(address: address, setting: setting, cause: cause)
    }
}

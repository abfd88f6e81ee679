import NIOSSL

extension ServiceConfiguration {
    /// - Throws: `badCertificates` when the file cannot be used.
    func tlsConfiguration() throws(ClientError) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        guard let certificateFile else { return configuration }
        do {
            configuration.trustRoots = .certificates(
                try NIOSSLCertificate.fromPEMFile(certificateFile))
            return configuration
        } catch {
            throw .badCertificates(path: certificateFile, reason: "\(error)")
        }
    }
}

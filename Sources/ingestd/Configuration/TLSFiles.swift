import NIOSSL

/// Settings that name files in PEM, read at once: what cannot be used is told before anything is opened.
extension SettingValues {
    /// TLS for a server with the certificate chain and the key of two settings; `nil` when neither is given.
    func serverTLS(_ certificate: Setting, _ key: Setting) throws -> TLSConfiguration? {
        guard let pair = try certificateAndKey(certificate, key) else { return nil }
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: pair.chain, privateKey: pair.key)
        tls.minimumTLSVersion = .tlsv12
        return tls
    }

    /// TLS for a client: who vouches for the server, and what is shown to it, where they are given.
    func clientTLS(
        authority: Setting, certificate: Setting, key: Setting
    ) throws -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = .tlsv12
        if let certificates = try read(authority, NIOSSLCertificate.fromPEMFile) {
            tls.trustRoots = .certificates(certificates)
        }
        if let pair = try certificateAndKey(certificate, key) {
            tls.certificateChain = pair.chain
            tls.privateKey = pair.key
        }
        return tls
    }

    private func certificateAndKey(
        _ certificate: Setting, _ key: Setting
    ) throws -> (chain: [NIOSSLCertificateSource], key: NIOSSLPrivateKeySource)? {
        guard text(certificate).isEmpty == text(key).isEmpty else {
            throw ConfigurationError.halfTLS(certificate, key)
        }
        guard let chain = try read(certificate, NIOSSLCertificate.fromPEMFile),
            let key = try read(key, { try NIOSSLPrivateKey(file: $0, format: .pem) })
        else { return nil }
        return (chain.map { .certificate($0) }, .privateKey(key))
    }

    /// What is in the file that a setting names; `nil` when it names none.
    private func read<Content>(
        _ setting: Setting, _ body: (String) throws -> Content
    ) throws -> Content? {
        let path = text(setting)
        if path.isEmpty { return nil }
        do {
            return try body(path)
        } catch {
            throw ConfigurationError.value(
                setting, given: path, allowed: "a file in PEM that can be read (\(error))")
        }
    }
}

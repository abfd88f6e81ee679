/// The query of `POST /uploads`: that of `/add`, and what the bytes of the upload are.
package struct UploadParameters: Equatable, Sendable {
    package enum Format: String, CaseIterable, Sendable {
        /// The content of one file.
        case raw
        /// A form with files and directories, as `/add` takes it.
        case multipart
        /// The bytes of one CAR, whose blocks are taken as they are.
        case car
    }

    package var format = Format.raw
    /// Of the one file.
    package var filename = ""
    package var add = AddParameters()

    /// - Throws: As for `/add`.
    package init(parsing items: [QueryItem], now: WallTime) throws(ParameterError) {
        for name in ["format", "filename"] where items.filter({ $0.name == name }).count > 1 {
            throw .repeated(name: name)
        }
        if let text = items.first(where: { $0.name == "format" })?.value {
            guard let format = Format(rawValue: text) else {
                throw .unsupported(
                    name: "format", value: text,
                    advice: "an upload that can be resumed is raw, multipart or car")
            }
            self.format = format
        }
        filename = items.first { $0.name == "filename" }?.value ?? ""
        add = try AddParameters(
            parsing: items.filter {
                $0.name != "filename" && ($0.name != "format" || format == .car)
            }, now: now)
    }
}

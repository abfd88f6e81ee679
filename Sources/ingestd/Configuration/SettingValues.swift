import PosixIO
import ShardPlanner

/// Reads the text of settings as what they mean.
struct SettingValues {
    private let lookUp: (String) -> String?

    init(_ lookUp: @escaping (String) -> String?) {
        self.lookUp = lookUp
    }

    func text(_ setting: Setting) -> String {
        lookUp(setting.name) ?? setting.defaultValue
    }

    func integer(_ setting: Setting, in range: ClosedRange<Int>) throws -> Int {
        let given = text(setting)
        guard let number = Int(given), range.contains(number) else {
            throw ConfigurationError.value(
                setting, given: given,
                allowed: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// Bytes with an optional unit; `nil` for an empty value.
    func byteCount(_ setting: Setting) throws -> Int? {
        let given = text(setting)
        if given.isEmpty { return nil }
        guard let byteCount = ByteCountText.parse(given) else {
            throw ConfigurationError.value(
                setting, given: given, allowed: "a number of bytes such as 1048576, 500MiB or 2TB")
        }
        return byteCount
    }

    func duration(_ setting: Setting, in range: ClosedRange<Duration>) throws -> Duration {
        let given = text(setting)
        let digits = given.prefix { $0.isASCII && $0.isNumber }
        let factors = ["s": 1, "m": 60, "h": 3600, "": 1]
        guard let number = Int(digits), number < 1 << 40,
            let factor = factors[String(given.dropFirst(digits.count))],
            range.contains(.seconds(number * factor))
        else {
            throw ConfigurationError.value(
                setting, given: given,
                allowed: "a time such as 90s, 5m or 1h, from \(range.lowerBound) "
                    + "to \(range.upperBound)")
        }
        return .seconds(number * factor)
    }

    func address(_ setting: Setting) throws -> (host: String, port: Int) {
        let given = text(setting)
        guard let colon = given.lastIndex(of: ":"),
            let port = UInt16(given[given.index(after: colon)...])
        else {
            throw ConfigurationError.value(
                setting, given: given, allowed: "an address with a port such as 127.0.0.1:9094")
        }
        let host = given[..<colon].filter { $0 != "[" && $0 != "]" }
        return (host.isEmpty ? "0.0.0.0" : host, Int(port))
    }

    /// The first line of the file a setting names; `nil` when it names none.
    func token(_ setting: Setting) throws -> String? {
        let path = text(setting)
        if path.isEmpty { return nil }
        let contents = String(
            decoding: try FileSystem.loadFile(path, byteLimit: 4096), as: UTF8.self)
        let line = contents.prefix { !$0.isNewline }
        guard line.count >= 16 else {
            throw ConfigurationError.value(
                setting, given: path, allowed: "a file whose first line has at least 16 characters")
        }
        return String(line)
    }
}

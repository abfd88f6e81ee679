import ShardPlanner

extension UploadID {
    /// An ID nobody has, from the system's random numbers.
    package static func random() -> UploadID {
        var random = SystemRandomNumberGenerator()
        return UploadID(high: random.next(), low: random.next())
    }
}

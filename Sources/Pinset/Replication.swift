import ShardPlanner

/// Replication factors in an order of strictness, where everywhere is more than any number.
struct Replication: Equatable {
    static let none = Replication(minimum: 0, maximum: 0)

    /// `Int.max` for everywhere.
    private(set) var minimum: Int
    /// `Int.max` for everywhere.
    private(set) var maximum: Int

    private init(minimum: Int, maximum: Int) {
        self.minimum = minimum
        self.maximum = maximum
    }

    init(_ policy: AllocationPolicy) {
        minimum = Self.rank(policy.replicationMin)
        maximum = Self.rank(policy.replicationMax)
    }

    init(_ shard: ShardRecord) {
        minimum = Self.rank(shard.replicationMin)
        maximum = Self.rank(shard.replicationMax)
    }

    func stricter(than other: Replication?) -> Replication {
        Replication(
            minimum: max(minimum, other?.minimum ?? 0), maximum: max(maximum, other?.maximum ?? 0))
    }

    /// The factors as records have them: -1 for everywhere.
    var recordedMinimum: Int { minimum == .max ? AllocationPolicy.everywhere : minimum }
    var recordedMaximum: Int { maximum == .max ? AllocationPolicy.everywhere : maximum }

    private static func rank(_ factor: Int) -> Int {
        factor == AllocationPolicy.everywhere ? .max : factor
    }
}

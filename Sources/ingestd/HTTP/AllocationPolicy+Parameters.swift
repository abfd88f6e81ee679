import IngestAPI
import ShardPlanner

extension AllocationPolicy {
    /// What the parameters of a pin ask for; factors that are not given are one copy.
    init(_ pin: PinParameters) throws(AllocationPolicyError) {
        let minimum = pin.replication.minimum == 0 ? 1 : pin.replication.minimum
        try self.init(
            replicationMin: minimum,
            replicationMax: pin.replication.maximum == 0
                ? max(1, pin.replication.minimum) : pin.replication.maximum,
            userAllocations: pin.userAllocations)
    }
}

import CShims

/// How many threads can compute at once.
package enum ProcessorCount {
    /// Processors this process may run on.
    package static var available: Int { Int(cshims_processor_count()) }
}

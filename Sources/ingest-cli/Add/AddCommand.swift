import ArgumentParser
import Glibc
import ImportPipeline
import Importer
import IngestAPI
import IngestClient
import Multiformats
import PosixIO
import ShardPlanner

struct AddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Adds files and directories.",
        discussion: """
            Directories need no -r; it is taken for the sake of habit. Each path becomes an upload \
            with a root of its own, unless -w puts all of them into one directory. Symlinks are \
            added as symlinks; a path that is one is followed when it ends with a slash or with \
            --dereference-args. Entries whose names begin with a dot are left out unless --hidden \
            is given. Sockets, FIFOs and devices are left out and named, and the exit code is 3.

            The root is computed here as well, from the bytes that are sent; if the service comes \
            to another one, the exit code is 4.
            """)

    enum Resume: String, ExpressibleByArgument, CaseIterable {
        case auto, never
    }

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case unixfs, car
    }

    @Argument(help: "Files and directories; - for standard input.", completion: .file())
    var paths: [String]

    @Flag(name: .shortAndLong, help: "Taken and not needed: directories are always walked.")
    var recursive = false

    @Flag(name: [.customShort("w"), .long], help: "Put everything into one more directory.")
    var wrapWithDirectory = false

    @Flag(name: .shortAndLong, help: "Print CIDs only.")
    var quiet = false

    @Flag(name: [.customShort("Q"), .long], help: "Print the CID of the root only.")
    var quieter = false

    @Flag(name: [.customShort("H"), .long], help: "Add entries whose names begin with a dot.")
    var hidden = false

    @Option(
        name: .long, parsing: .singleValue,
        help: "Leave out what matches, by the rules of .gitignore; may be repeated.")
    var ignore: [String] = []

    @Option(help: "File with such rules, one a line.", completion: .file())
    var ignoreRulesPath: String?

    @Flag(help: "Follow symlinks that are given as paths.")
    var dereferenceArgs = false

    @Option(help: "Name for the file from standard input.")
    var stdinName: String?

    @Option(help: "What the paths are: unixfs for files and directories, or car for one CAR file.")
    var format = Format.unixfs

    @Option(
        help: ArgumentHelp(
            "auto goes on after failures, and with an upload of the same source, options and service "
                + "that is open; never sends one request, once."))
    var resume = Resume.auto

    @Option(
        help: ArgumentHelp(
            "How long to try again while nothing gets through, such as 90s or 1h. Default: 10m, but not at "
                + "all while a service cannot be reached that has never answered."))
    var retryFor: String?

    @Option(help: "Most bytes to send in a second, such as 500KiB or 20MB.")
    var limitUpload: String?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Uploads at once, where there are several paths. Their lines may come mixed; with -Q, roots "
                + "come in the order of the paths."))
    var jobs = 1

    @Flag(help: "Print root, shards and the peers that would hold them; send nothing.")
    var dryRun = false

    @Flag(help: "Compute the CIDs; needs no service.")
    var onlyHash = false

    @Flag(inversion: .prefixedNo, help: "Show a progress bar. Default: on a terminal.")
    var progress: Bool?

    @OptionGroup(title: "CID options") var importFlags: ImportFlags
    @OptionGroup(title: "Pin options") var pinFlags: PinFlags
    @OptionGroup(title: "Service options") var service: ServiceOptions

    func validate() throws {
        if paths.count > 1, paths.contains("-") {
            throw ValidationError("- stands alone: standard input is an upload of its own")
        }
        if let stdinName, !PathSafety.isComponent(Array(stdinName.utf8)) {
            throw ValidationError("--stdin-name is the name of one file, without a directory")
        }
        if jobs < 1 || jobs > 64 { throw ValidationError("--jobs is a number from 1 to 64") }
        if onlyHash && dryRun { throw ValidationError("give one of --only-hash and --dry-run") }
        if format == .car && (onlyHash || dryRun || wrapWithDirectory) {
            throw ValidationError(
                "--format car goes with none of --only-hash, --dry-run and -w: "
                    + "the blocks are taken as they are")
        }
    }

    func run() async throws {
        let parameters = try addParameters()
        let inputs = try makeInputs()
        let bar = ProgressBar(isWanted: progress)
        let isPartial =
            if onlyHash {
                try await hash(inputs, parameters, bar)
            } else if dryRun {
                try await DryRun(parameters: parameters, service: service).run(
                    inputs, bar: bar, report)
            } else {
                try await service.withClient { client in
                    try await upload(inputs, parameters, client, bar)
                }
            }
        if isPartial { throw CommandOutcome(.partial, nil) }
    }

    // MARK: What to add

    private func addParameters() throws -> AddParameters {
        var items = importFlags.queryItems + (try pinFlags.queryItems())
        if format == .car { items = try pinFlags.queryItems() }
        items.append(QueryItem(name: "format", value: format.rawValue))
        if wrapWithDirectory {
            items.append(QueryItem(name: "wrap-with-directory", value: "true"))
        }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return try AddParameters(parsing: items, now: WallTime(seconds: Int64(now.tv_sec)))
    }

    private func makeInputs() throws -> [AddInput] {
        var input = AddInput(source: .standardInput(name: stdinName.map { Array($0.utf8) }))
        input.followsArguments = dereferenceArgs
        input.includesHidden = hidden
        input.preservesMode = importFlags.preserveMode
        input.preservesMtime = importFlags.preserveMtime
        if let ignoreRulesPath {
            input.rules.add(contents: try FileSystem.loadFile(ignoreRulesPath))
        }
        for pattern in ignore { input.rules.add(line: Array(pattern.utf8)) }
        if paths == ["-"] { return [input] }
        let trees = try paths.map(AddInput.tree)
        let groups = wrapWithDirectory ? [trees] : trees.map { [$0] }
        return groups.map { group in
            input.source = .trees(group)
            return input
        }
    }

    private var style: AddOutputStyle {
        service.isJSON ? .json : quieter ? .rootOnly : quiet ? .quiet : .full
    }

    // MARK: Adding

    private func hash(
        _ inputs: [AddInput], _ parameters: AddParameters, _ bar: ProgressBar
    ) async throws -> Bool {
        let workshop = try ImportWorkshop()
        var isPartial = false
        for input in inputs {
            let log = EntryLog(style)
            let meter = ProgressMeter()
            let job = LocalImport(
                input: input,
                pipeline: try workshop.makePipeline(try parameters.importOptions(), sink: log),
                meter: meter)
            // Walking first would cost more than the bar is worth here.
            let (root, omissions) = try await bar.showing(meter, totalByteCount: nil, job.run)
            try log.close(root)
            if report(omissions) { isPartial = true }
        }
        reportProfile(parameters)
        return isPartial
    }

    private func upload(
        _ inputs: [AddInput], _ parameters: AddParameters, _ client: ServiceClient,
        _ bar: ProgressBar
    ) async throws -> Bool {
        let pace = try bytesPerSecond().map(SendPace.init)
        let workshop = try ImportWorkshop()
        let retries = try retries()
        let uploads = try inputs.map { input in
            SourceUpload(
                input: input, parameters: parameters, client: client, workshop: workshop,
                style: style, bar: bar, resume: resume, identity: try identity(of: input, client),
                retries: retries, pace: pace)
        }
        let isPartial = try await UploadQueue(uploads: uploads, jobs: jobs, style: style)
            .run(report)
        if format != .car { reportProfile(parameters) }
        return isPartial
    }

    private func retries() throws -> Retries {
        guard let retryFor else { return Retries(patience: .seconds(600), waitsForService: false) }
        guard let patience = GoDuration.parse(retryFor), patience >= .zero else {
            throw CommandOutcome(
                .local, "--retry-for \(retryFor) is not a span of time; write one such as 90s or 1h"
            )
        }
        return Retries(patience: patience, waitsForService: true)
    }

    private func bytesPerSecond() throws -> Int? {
        guard let limitUpload else { return nil }
        guard let count = ByteCountText.parse(limitUpload), count > 0 else {
            throw CommandOutcome(
                .local,
                "--limit-upload \(limitUpload) is not a number of bytes; write one such as 500KiB")
        }
        return count
    }

    /// Adds with the same words are the same: where, what and how.
    private func identity(of input: AddInput, _ client: ServiceClient) throws -> [String] {
        guard case .trees(let trees) = input.source else { return [] }
        let rules = try ignoreRulesPath.map {
            [String(decoding: try FileSystem.loadFile($0), as: UTF8.self)]
        }
        return [
            client.address,
            QueryString.encode(importFlags.queryItems + (try pinFlags.queryItems())),
            "\(hidden) \(dereferenceArgs) \(wrapWithDirectory)",
        ] + (format == .car ? ["car"] : []) + ignore + ["rules"] + (rules ?? []) + ["paths"]
            + (try trees.map { try Self.absolute($0.argument) })
    }

    private static func absolute(_ path: String) throws -> String {
        if path.first == "/" { return path }
        guard let current = getcwd(nil, 0) else { throw IOError.current("find", ".") }
        defer { free(current) }
        return String(cString: current) + "/" + path
    }

    // MARK: Reporting

    private func reportProfile(_ parameters: AddParameters) {
        if quiet || quieter || service.isJSON { return }
        Console.shared.printError("profile \(parameters.profile.rawValue)")
    }

    /// - Returns: Whether something was left out that nobody asked to leave out.
    private func report(_ omissions: [WalkOmissions]) -> Bool {
        let hiddenCount = omissions.reduce(0) { $0 + $1.hiddenCount }
        if hiddenCount > 0 {
            Console.shared.printError(
                "ingest-cli: \(hiddenCount) hidden \(hiddenCount == 1 ? "entry was" : "entries were")"
                    + " left out; --hidden adds them")
        }
        let special = omissions.flatMap(\.specialPaths)
        for path in special {
            Console.shared.printError(
                "ingest-cli: \(path) was left out: it is a socket, FIFO or device; "
                    + "--ignore its name to add the rest without this warning")
        }
        return !special.isEmpty
    }
}

/// Threads, buffers and scratch space for imports.
struct ImportWorkshop {
    private let workers: WorkerPool
    private let slabs: SlabPool
    let scratch: DiskScratch

    init() throws {
        let count = ProcessorCount.available
        // The one thread that reads and cuts comes first: once it waits, so do all others.
        workers = try WorkerPool(name: "hash", threadCount: count, niceness: 5)
        slabs = SlabPool(spareCount: 2 + count)
        // Not /tmp, which may be memory: what spills is what was too much for that.
        scratch = DiskScratch(directory: environment("TMPDIR") ?? "/var/tmp")
    }

    func makePipeline(
        _ options: ImportOptions, sink: any BlockSink
    ) throws -> ImportPipeline {
        try ImportPipeline(
            options: options, sink: sink, scratch: scratch, workers: workers, slabs: slabs)
    }
}

import SeededRandom
import Testing

@testable import IngestAPI

struct MultipartParserTests {
    @Test func aPartIsItsHeaderItsBytesAndItsEnd() throws {
        let events = try parse([Form.body(Form.part("f"))])
        let header = PartHeader(
            kind: .file, fieldName: Array("file".utf8), filename: Array("f".utf8))
        #expect(events == [.begin(header), .data(Array("data".utf8)), .end])
    }

    @Test func preambleAndEpilogueAreSkipped() throws {
        let body =
            Array("preamble\r\n".utf8) + Form.body(Form.part("f")) + Array("epilogue".utf8)
        #expect(try parse([body]) == parse([Form.body(Form.part("f"))]))
    }

    @Test func anEmptyPartMayBeFollowedByItsBoundaryAtOnce() throws {
        let usual = Form.body(Form.part("f", []))
        let tight = Array(
            "--acceptance-boundary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n--acceptance-boundary--"
                .utf8)
        #expect(try parse([usual]).count == 2)
        #expect(try parse([tight]).count == 2)
    }

    @Test func spacesMayFollowABoundary() throws {
        let text = String(decoding: Form.body(Form.part("f")), as: UTF8.self)
        let padded = text.replacing(
            "--acceptance-boundary\r\n", with: "--acceptance-boundary \t\r\n")
        #expect(try parse([Array(padded.utf8)]) == parse([Array(text.utf8)]))
    }

    /// What only looks like a boundary line is content.
    @Test(arguments: [
        "\r\n--acceptance-boundaryX", "\r\n--acceptance-boundary-X", "\r\n--acceptance-boundary-",
        "\r\n--acceptance-boundar", "\r\n\r\n--\r\n-", "\r", "--acceptance-boundary--",
        "\r\r\n--acceptance-boundary_", "\n--acceptance-boundary\r\n",
    ])
    func whatResemblesABoundaryIsContent(text: String) throws {
        let content = Array("a\(text)".utf8)
        let body = Form.body(Form.part("f", content))
        for split in 0...body.count {
            let events = try parse([Array(body[..<split]), Array(body[split...])])
            #expect(events.count == 3)
            #expect(events[1] == .data(content), "split at \(split)")
        }
    }

    @Test func aBodyOfNothingIsRefused() {
        #expect(problem([]) == .emptyBody)
    }

    @Test func aBodyWithAnotherBoundaryIsRefused() {
        let body = Form.body(Form.part("f"), boundary: "other")
        #expect(problem(body) == .boundaryNotFound(skippedByteCount: body.count))
        let long = [UInt8](repeating: 0x61, count: 100_000)
        #expect(problem(long) == .boundaryNotFound(skippedByteCount: 100_000 - 0))
    }

    @Test func everyCutIsNoticed() {
        let body = Form.body(Form.part("f"), Form.part("g"))
        // Without CRLF after it the final boundary is still one.
        for count in 0..<(body.count - 2) {
            #expect(problem(Array(body[..<count])) != nil, "cut after \(count) bytes")
        }
    }

    @Test func aCutBodySaysWhereItWasCut() {
        let open = Form.body(Form.part("f"), isWhole: false)
        #expect(problem(Array(open.dropLast(2))) == .finalBoundaryMissing)
        #expect(problem(open) == .finalBoundaryMissing)
        let whole = Form.body(Form.part("f"))
        #expect(problem(Array(whole.dropLast(12))) == .bodyCutInBoundary)
        #expect(problem(Array("--acceptance-boundary\r\nContent-Dispo".utf8)) == .bodyCutInHead)
        #expect(problem(Array("--acceptance-boundary".utf8)) == .bodyCutInBoundary)
        #expect(problem(Array("--acceptance-boundary\r".utf8)) == .bodyCutInBoundary)
    }

    @Test func linesThatEndWithLineFeedAloneAreRefusedInClearWords() {
        let body = Form.body(Form.part("f"))
        #expect(problem(body.filter { $0 != 13 }) == .bareLineFeed)
        let head = Array("--acceptance-boundary\r\nContent-Disposition: form-data\n\ndata".utf8)
        #expect(problem(head) == .bareLineFeed)
        let mixed = Form.body(Array("Content-Disposition: x\nContent-Type: y/z\r\n\r\ndata".utf8))
        #expect(problem(mixed) == .bareLineFeed)
        #expect(MultipartProblem.bareLineFeed.description.contains("CRLF"))
    }

    @Test func aPartWithoutHeaderIsRefusedHoweverItIsSplit() {
        let body = Form.body(Array("\r\ndata".utf8))
        #expect(problem(body) == .headMissing)
        for split in 0...body.count {
            #expect(throws: MultipartError.self) {
                try parse([Array(body[..<split]), Array(body[split...])])
            }
        }
    }

    @Test func malformedHeadersAreRefused() {
        func refusal(_ lines: String...) -> MultipartProblem? {
            let head = lines.map { $0 + "\r\n" }.joined() + "\r\n"
            return problem(Form.body(Array(head.utf8)))
        }
        let usual = "Content-Disposition: form-data; name=\"file\"; filename=\"f\""
        #expect(refusal(usual) == nil)
        #expect(refusal("not a header field", usual) == .headerFieldWithoutColon)
        #expect(refusal(": value", usual) == .headerFieldName)
        #expect(refusal("X : value", usual) == .headerFieldName)
        #expect(refusal(usual, " folded") == .foldedHeaderField)
        #expect(refusal(usual, usual) == .headerFieldTwice("Content-Disposition"))
        #expect(refusal("Content-Type: a/b") == .dispositionMissing)
        #expect(refusal("X: a\0b", usual) == .controlByteInHead(0))
        #expect(refusal("X: a\rb", usual) == .controlByteInHead(13))
        #expect(
            refusal(usual, "Content-Type: /;;")
                == .headerValue(field: "Content-Type", .notAMediaType))
        #expect(
            refusal("Content-Disposition: form-data; name=\"file\"; filename=\"abc")
                == .headerValue(
                    field: "Content-Disposition", .unterminatedQuote(parameter: "filename")))
        #expect(
            refusal("Content-Disposition: form-data; filename=a; filename=b")
                == .headerValue(field: "Content-Disposition", .parameterTwice("filename")))
        #expect(
            refusal(usual, "Content-Transfer-Encoding: base64") == .transferEncoding("base64"))
        #expect(refusal(usual, "Content-Transfer-Encoding: Binary") == nil)
    }

    @Test func aHeaderHasItsBounds() {
        let long = Array("X-Long: \(String(repeating: "a", count: 1 << 20))\r\n".utf8)
        #expect(problem(Form.body(long + Form.part("f"))) == .headTooLong(limit: 32 << 10))
        let many = (0..<20000).map { "X-\($0): y\r\n" }.joined()
        #expect(problem(Form.body(Array(many.utf8) + Form.part("f"))) != nil)
        let fields = (0..<63).map { "X-\($0): y\r\n" }.joined()
        #expect(
            problem(Form.body(Array(fields.utf8) + Form.part("f")))
                == .tooManyHeaderFields(limit: 64))
        let allowed = (0..<62).map { "X-\($0): y\r\n" }.joined()
        #expect(problem(Form.body(Array(allowed.utf8) + Form.part("f"))) == nil)
    }

    @Test func headersUpToTheLimitPassAndOneByteMoreDoesNot() {
        var limits = MultipartLimits()
        let rest = Form.head("Content-Disposition: form-data; name=\"file\"", data: "").count - 4
        for extra in [0, 1] {
            let filler = 200
            limits.headByteCount = filler
            let name = String(repeating: "n", count: filler - rest - 5 + extra)
            let head = Form.head(
                "Content-Disposition: form-data; name=\"file\"", "X: \(name)", data: "")
            #expect(head.count - 4 == filler + extra)
            let body = Form.body(head)
            let whole = problem(body, limits: limits)
            #expect(whole == (extra == 0 ? nil : .headTooLong(limit: filler)))
            let pieces = body.map { [$0] }
            #expect((try? parse(pieces, limits: limits)) != nil || extra == 1)
            if extra == 1 {
                #expect(throws: MultipartError.self) { try parse(pieces, limits: limits) }
            }
        }
    }

    @Test func partsHaveALimit() {
        var limits = MultipartLimits()
        limits.partCount = 2
        let two = Form.body(Form.part("a"), Form.part("b"))
        let three = Form.body(Form.part("a"), Form.part("b"), Form.part("c"))
        #expect(problem(two, limits: limits) == nil)
        #expect(problem(three, limits: limits) == .tooManyParts(limit: 2))
    }

    @Test func nothingIsSkippedWithoutLimit() {
        let epilogue = [UInt8](repeating: 0x20, count: 70_000)
        #expect(problem(Form.body(Form.part("f")) + epilogue) == .epilogueTooLong(limit: 65536))
        let padded = Array("--acceptance-boundary\(String(repeating: " ", count: 300))\r\n".utf8)
        #expect(problem(padded) == .paddingTooLong(limit: 256))
        #expect(problem(Array("--acceptance-boundary  x\r\n".utf8)) == .textAfterBoundary)
        #expect(
            problem(Form.body(Form.part("f")).dropLast(2) + Array("x".utf8)) == .textAfterBoundary)
    }

    @Test func anErrorTellsPartAndOffset() throws {
        let body = Form.body(Form.part("f"), Array("nonsense\r\n\r\n".utf8))
        do {
            _ = try parse([body])
            Issue.record("accepted")
        } catch let error as MultipartError {
            #expect(error.partNumber == 2)
            let second = Form.body(Form.part("f"), isWhole: false).count
            #expect(error.bodyOffset == UInt64(second + "--acceptance-boundary\r\n".utf8.count))
            #expect(error.description.contains("part 2"))
        }
    }

    /// Any split of any body gives the same events, and so does any change of process on the way.
    @Test(arguments: 0..<60 as Range<UInt64>)
    func anySplitGivesTheSameEvents(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let boundary = ["b", "acceptance-boundary", String(repeating: "-", count: 70)]
            .randomElement(using: &random)!
        let body = randomBody(boundary, &random)
        let whole = try parse([body], boundary: boundary)
        #expect(try parse(body.map { [$0] }, boundary: boundary) == whole)
        for _ in 0..<20 {
            let cuts = (0..<Int.random(in: 0..<12, using: &random))
                .map { _ in Int.random(in: 0...body.count, using: &random) }.sorted()
            let pieces = zip([0] + cuts, cuts + [body.count]).map { Array(body[$0..<$1]) }
            #expect(try parse(pieces, boundary: boundary) == whole, "seed \(seed), cuts \(cuts)")
        }
    }

    /// Parts whose content is made of what boundaries are made of.
    private func randomBody(_ boundary: String, _ random: inout SeededGenerator) -> [UInt8] {
        let tokens = ["\r\n", "\r", "\n", "--", "-", String(boundary.dropLast()), "x", "\r\n--"]
        var body = Bool.random(using: &random) ? Array("preamble\r\n".utf8) : []
        for number in 0..<Int.random(in: 1..<5, using: &random) {
            var content: [UInt8] = []
            repeat {
                content = (0..<Int.random(in: 0..<12, using: &random))
                    .flatMap { _ in Array(tokens.randomElement(using: &random)!.utf8) }
            } while String(decoding: content, as: UTF8.self).contains("\r\n--\(boundary)")
            // Content that begins with the boundary right after the header would end the part.
            if content.starts(with: Array("--".utf8)) { content.insert(0x78, at: 0) }
            body += Array("--\(boundary)\r\n".utf8)
            body += Form.part("name\(number)", content) + Array("\r\n".utf8)
        }
        body += Array("--\(boundary)--".utf8)
        return body + (Bool.random(using: &random) ? Array("\r\nepilogue".utf8) : [])
    }
}

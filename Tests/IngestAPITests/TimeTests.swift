import Foundation
import SeededRandom
import Testing

@testable import IngestAPI

struct WallTimeTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0, 0), ("2025-11-21T01:36:00Z", 1_763_688_960, 0),
            ("2000-02-29T23:59:59.5Z", 951_868_799, 500_000_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
            ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
            ("1969-12-31T23:59:59.000000001Z", -1, 1),
        ] as [(String, Int64, UInt32)])
    func textAndNumbersAgree(text: String, seconds: Int64, nanoseconds: UInt32) throws {
        let time = try #require(WallTime(text))
        #expect(time == WallTime(seconds: seconds, nanoseconds: nanoseconds))
        #expect(time.description == text)
    }

    @Test func offsetsAndLowerCaseAreRead() {
        #expect(WallTime("2025-11-21t03:06:00.10+01:30") == WallTime("2025-11-21T01:36:00.1Z"))
        #expect(WallTime("2025-11-20T23:36:00-02:00") == WallTime("2025-11-21T01:36:00Z"))
    }

    @Test(arguments: [
        "", "tomorrow", "2025-02-29T00:00:00Z", "2025-13-01T00:00:00Z", "2025-00-01T00:00:00Z",
        "2025-01-00T00:00:00Z", "2025-01-01T24:00:00Z", "2025-01-01T00:60:00Z",
        "2025-01-01T00:00:60Z", "2025-01-01T00:00:00", "2025-01-01 00:00:00Z",
        "2025-01-01T00:00:00.Z", "2025-01-01T00:00:00.1234567890Z", "2025-01-01T00:00:00Zx",
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
        "2025-1-1T00:00:00Z", "2025-01-01T00:00:00+24:00", "1900-02-29T00:00:00Z",
    ])
    func otherTextIsNoTime(text: String) {
        #expect(WallTime(text) == nil)
    }

    /// Foundation's calendar as the independent one.
    @Test func datesAgreeWithFoundations() throws {
        var random = SeededGenerator(seed: 7)
        let style = Date.ISO8601FormatStyle()
        for _ in 0..<2000 {
            let seconds = Int64.random(in: -12_000_000_000...253_402_300_799, using: &random)
            let text = Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(style)
            #expect(WallTime(seconds: seconds).description == text)
            #expect(WallTime(text)?.seconds == seconds)
        }
    }

    @Test func addingCarriesAndStopsAtTheYear9999() {
        let time = WallTime(seconds: 0, nanoseconds: 900_000_000)
        #expect(time.adding(.milliseconds(200)) == WallTime(seconds: 1, nanoseconds: 100_000_000))
        #expect(time.adding(.milliseconds(-1900)) == WallTime(seconds: -1))
        #expect(time.adding(.seconds(Int64.max)) == nil)
        #expect(WallTime(seconds: 253_402_300_799, nanoseconds: 1).adding(.seconds(1)) == nil)
    }
}

struct GoDurationTests {
    @Test(
        arguments: [
            ("1ms", .milliseconds(1)), ("72h", .seconds(259_200)), ("1h30m", .seconds(5400)),
            ("1.5h", .seconds(5400)), (".5s", .milliseconds(500)), ("1.s", .seconds(1)),
            ("0", .zero),
            ("-2m", .seconds(-120)), ("+1us", .microseconds(1)), ("3µs", .microseconds(3)),
            ("1h1m1s1ms1us1ns", .nanoseconds(3_661_001_001_001)), ("0.3s", .milliseconds(300)),
            ("9223372036s", .seconds(9_223_372_036)), ("0.000000001s", .nanoseconds(1)),
        ] as [(String, Duration)])
    func spansAreReadAsInGo(text: String, span: Duration) {
        #expect(GoDuration.parse(text) == span)
    }

    @Test(arguments: [
        "", "soon", "1", "1d", "s", ".s", "1h-1m", "9223372037s", "99999999999999999999h", "1 s",
        "--1s", "1e3s", "+", "1H", "٣s",
    ])
    func otherTextIsNoSpan(text: String) {
        #expect(GoDuration.parse(text) == nil)
    }
}

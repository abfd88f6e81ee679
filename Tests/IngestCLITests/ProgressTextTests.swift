import Testing

@testable import ingest_cli

struct ProgressTextTests {
    @Test func aLineHasPercentBarBytesRateAndTimeLeft() {
        let text = ProgressText(
            passedByteCount: 512 << 20, storedByteCount: 512 << 20, totalByteCount: 2 << 30,
            rate: Double(128 << 20))
        let line = text.line(width: 80)
        #expect(line.hasPrefix(" 25% [######"))
        #expect(line.hasSuffix("512 MiB of 2 GiB  128 MiB/s  0:12 left"))
        #expect(line.count <= 80)
    }

    @Test func whatIsNotAcknowledgedIsNoPartOfTheNumbers() {
        let text = ProgressText(
            passedByteCount: 100, storedByteCount: 50, shardCount: 3, totalByteCount: 100, rate: 10)
        let line = text.line(width: 80)
        #expect(line.hasPrefix(" 50% [#") && line.contains("####++++"))
        #expect(line.hasSuffix("] 50 bytes of 100 bytes  10 bytes/s  0:05 left  3 shards"))
    }

    @Test func whatIsAcknowledgedIsNotDone() {
        let text = ProgressText(
            passedByteCount: 100, storedByteCount: 100, totalByteCount: 100, rate: 0)
        #expect(text.line(width: 80).hasPrefix(" 99%"), "all is done when the root is there")
    }

    @Test func aMeterGoesByWhatPassedUntilTheServiceTellsMore() {
        let meter = ProgressMeter()
        meter.add(70)
        #expect(meter.storedByteCount == 70)
        meter.storedByteCount = 0
        #expect((meter.byteCount, meter.storedByteCount) == (70, 0))
    }

    @Test(arguments: [1, 10, 20, 40, 79])
    func aLineNeverPassesTheEdge(width: Int) {
        let text = ProgressText(
            passedByteCount: 5, storedByteCount: 5, totalByteCount: 1 << 40, rate: 3)
        #expect(text.line(width: width).count <= width)
    }

    @Test func withoutATotalThereIsNoBar() {
        let text = ProgressText(
            passedByteCount: 3 << 20, storedByteCount: 3 << 20, totalByteCount: nil, rate: 0)
        #expect(text.line(width: 80) == "3 MiB")
        #expect(text.secondsLeft == nil)
    }

    @Test func nothingToDoIsDone() {
        for (stored, total) in [(0, 0), (9, 3)] {
            let text = ProgressText(
                passedByteCount: stored, storedByteCount: stored, totalByteCount: total, rate: 0)
            #expect(text.fraction == 1)
        }
    }

    @Test(arguments: [(7, "0:07"), (754, "12:34"), (3723, "1:02:03")])
    func clocksReadAsPeopleWriteThem(seconds: Int, text: String) {
        #expect(ProgressText.clock(seconds) == text)
    }

    @Test func aRateSettlesOnASteadyStream() {
        var rate = SmoothedRate()
        for step in 1...50 { rate.update(byteCount: step * 100, afterSeconds: 0.1) }
        #expect(abs(rate.bytesPerSecond - 1000) < 1)
        rate.update(byteCount: 5000, afterSeconds: 0)
        #expect(abs(rate.bytesPerSecond - 1000) < 1)
    }

    @Test func whatFillsBuffersAtTheStartIsSoonNoPartOfTheRate() {
        var rate = SmoothedRate()
        for step in 1...20 { rate.update(byteCount: 1000 + step * 100, afterSeconds: 0.1) }
        #expect(abs(rate.bytesPerSecond - 1500) < 1)
        for step in 21...80 { rate.update(byteCount: 1000 + step * 100, afterSeconds: 0.1) }
        #expect(rate.bytesPerSecond < 1050)
    }

    @Test func columnsOfATableLineUp() {
        var table = TextTable(["A", "NUMBER"])
        table.rightAligned = [1]
        table.add(["long", "1"])
        table.add(["x", "22"])
        #expect(table.lines == ["A     NUMBER", "long       1", "x         22"])
    }
}

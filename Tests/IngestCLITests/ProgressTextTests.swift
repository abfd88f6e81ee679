import Testing

@testable import ingest_cli

struct ProgressTextTests {
    @Test func aLineHasPercentBarBytesRateAndTimeLeft() {
        let text = ProgressText(
            doneByteCount: 512 << 20, totalByteCount: 2 << 30, rate: Double(128 << 20))
        let line = text.line(width: 80)
        #expect(line.hasPrefix(" 25% [######"))
        #expect(line.hasSuffix("512 MiB of 2 GiB  128 MiB/s  0:12 left"))
        #expect(line.count <= 80)
    }

    @Test func whatIsNotAcknowledgedLooksOtherThanWhatIs() {
        let text = ProgressText(
            doneByteCount: 100, storedByteCount: 50, shardCount: 3, totalByteCount: 100, rate: 0)
        let line = text.line(width: 80)
        #expect(line.contains("####++++") && line.hasSuffix("3 shards"))
        #expect(line.hasPrefix(" 99%"), "all is done when the root is there")
    }

    @Test(arguments: [1, 10, 20, 40, 79])
    func aLineNeverPassesTheEdge(width: Int) {
        let text = ProgressText(doneByteCount: 5, totalByteCount: 1 << 40, rate: 3)
        #expect(text.line(width: width).count <= width)
    }

    @Test func withoutATotalThereIsNoBar() {
        let text = ProgressText(doneByteCount: 3 << 20, totalByteCount: nil, rate: 0)
        #expect(text.line(width: 80) == "3 MiB")
        #expect(text.secondsLeft == nil)
    }

    @Test func nothingToDoIsDone() {
        #expect(ProgressText(doneByteCount: 0, totalByteCount: 0, rate: 0).fraction == 1)
        #expect(ProgressText(doneByteCount: 9, totalByteCount: 3, rate: 1).fraction == 1)
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

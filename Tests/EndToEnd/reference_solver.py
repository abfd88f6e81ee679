"""Where copies of shards go at best when all their sizes are known: the yardstick for a service that knows none.

Nothing here follows the service's own rule. Shares of bytes are levelled as water would be, each shard is dealt to
the zones that lack most, and what is left of unevenness is searched away by moves and swaps.
"""
import fractions


def share_levels(volumes, copies, total):
    """{zone: bytes} that fill zones of these volumes as evenly as can be: a zone takes one copy of each byte at most."""
    full, left = set(), copies * total
    while True:
        open_volume = sum(volume for zone, volume in volumes.items() if zone not in full)
        over = [
            zone for zone, volume in volumes.items() if zone not in full and volume * left > total * open_volume]
        if not over:
            break
        full.update(over)
        left -= total * len(over)
    return {
        zone: fractions.Fraction(total) if zone in full else fractions.Fraction(left * volume, open_volume)
        for zone, volume in volumes.items()}


class Placement:
    """Copies of shards on peers, no two of a shard in one zone."""

    def __init__(self, capacities, zones, sizes):
        """All three are lists: peers have a capacity and a zone each, shards a size."""
        self.capacities, self.zones, self.sizes = capacities, zones, sizes
        self.loads = [0] * len(capacities)
        self.holders = [set() for _ in sizes]

    @property
    def fills(self):
        return [load / capacity for load, capacity in zip(self.loads, self.capacities)]

    @property
    def spread(self):
        return max(self.fills) - min(self.fills)

    def deal(self, copies):
        """Gives the largest shard first to the peers that lack most of their share."""
        volumes = {}
        for zone, capacity in zip(self.zones, self.capacities):
            volumes[zone] = volumes.get(zone, 0) + capacity
        if len(volumes) < copies:
            raise ValueError('%d copies need as many zones' % copies)
        lacking = share_levels(volumes, copies, sum(self.sizes))
        for shard in sorted(range(len(self.sizes)), key=lambda shard: -self.sizes[shard]):
            for zone in sorted(lacking, key=lambda zone: -lacking[zone])[:copies]:
                lacking[zone] -= self.sizes[shard]
                peer = min(
                    (peer for peer, other in enumerate(self.zones) if other == zone),
                    key=lambda peer: (self.loads[peer] + self.sizes[shard]) / self.capacities[peer])
                self.holders[shard].add(peer)
                self.loads[peer] += self.sizes[shard]

    def _may_move(self, shard, source, sink):
        others = {self.zones[peer] for peer in self.holders[shard] if peer != source}
        return sink not in self.holders[shard] and self.zones[sink] not in others

    def _steps(self):
        """Moves of one shard and swaps of two as (source, sink, shards there, shards back)."""
        peers = range(len(self.loads))
        held = [[shard for shard, holders in enumerate(self.holders) if peer in holders] for peer in peers]
        for source in peers:
            for sink in peers:
                there = [shard for shard in held[source] if self._may_move(shard, source, sink)]
                yield from ((source, sink, (shard,), ()) for shard in there)
                # Of shards of one size any will do.
                back = {self.sizes[shard]: shard for shard in held[sink] if self._may_move(shard, sink, source)}
                for shard in {self.sizes[shard]: shard for shard in there}.values():
                    yield from (
                        (source, sink, (shard,), (other,)) for size, other in back.items() if size < self.sizes[shard])

    def _unevenness(self, source, sink, byte_count):
        """After a step: the spread, and the sum of squares, by which steps go on where two peers are equally full."""
        loads = list(self.loads)
        loads[source] -= byte_count
        loads[sink] += byte_count
        fills = [load / capacity for load, capacity in zip(loads, self.capacities)]
        mean = sum(loads) / sum(self.capacities)
        return max(fills) - min(fills), sum((fill - mean) ** 2 for fill in fills)

    def improve(self):
        """Takes the best step as long as one makes it more even."""
        best = self._unevenness(0, 0, 0)
        while True:
            found = None
            for source, sink, there, back in self._steps():
                byte_count = sum(self.sizes[shard] for shard in there) - sum(self.sizes[shard] for shard in back)
                if (unevenness := self._unevenness(source, sink, byte_count)) < best:
                    best, found = unevenness, (source, sink, there, back, byte_count)
            if found is None:
                return
            source, sink, there, back, byte_count = found
            for shards, giver, taker in ((there, source, sink), (back, sink, source)):
                for shard in shards:
                    self.holders[shard].remove(giver)
                    self.holders[shard].add(taker)
            self.loads[source] -= byte_count
            self.loads[sink] += byte_count


def best_placement(capacities, zones, sizes, copies):
    """The most even placement that was found; room is no concern of it, nor is the order in which shards came."""
    placement = Placement(list(capacities), list(zones), list(sizes))
    placement.deal(copies)
    placement.improve()
    return placement

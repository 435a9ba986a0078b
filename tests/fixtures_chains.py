"""A caller of the reader that keeps in memory what the platform keeps in its database."""

from dataclasses import dataclass, field

from holdfast.chains.follower import Cursor
from holdfast.chains.port import Arrival, Block, Header, Node, Watch
from holdfast.chains.reader import Applied, Reader, Step, UpToDate, WalkedBack

FINALITY_DEPTH = 6


@dataclass
class Books:
    """Follows one network through a node and writes down what stands."""

    node: Node
    watch: Watch
    batch_blocks_max: int = 8
    finality_depth: int = FINALITY_DEPTH
    blocks: list[Block] = field(default_factory=list)
    undone: list[Arrival] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = Reader(self.node, self.finality_depth, batch_blocks_max=self.batch_blocks_max, start_height=0)

    @property
    def tip(self) -> Header:
        return self.blocks[-1].header

    @property
    def arrivals(self) -> list[Arrival]:
        return [arrival for block in self.blocks for arrival in block.arrivals]

    @property
    def units(self) -> list[int]:
        return [arrival.units for arrival in self.arrivals]

    async def step(self) -> Step:
        cursor = Cursor(self.tip.height, self.tip.hash) if self.blocks else None
        recent = {block.header.height: block.header.hash for block in self.blocks[-self.finality_depth - 1 :]}

        async def fresh() -> Watch:
            return self.watch

        step = await self.reader.next_step(cursor, recent, fresh)
        if isinstance(step, Applied):
            for block in step.blocks:
                assert not self.blocks or block.header.parent == self.tip.hash
                self.blocks.append(block)
        elif isinstance(step, WalkedBack):
            while self.tip.height > step.to.height:
                self.undone += self.blocks.pop().arrivals
            assert self.tip.hash == step.to.hash
        return step

    async def catch_up(self) -> None:
        while not isinstance(await self.step(), UpToDate):
            pass

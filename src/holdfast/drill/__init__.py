"""Attacks, played against a whole running platform, with the loss measured from the chain.

How to write a scenario: one file `scenarios/<name_with_underscores>.py` and one page `docs/drills/<name>.md`. The file
is a module with

    from holdfast.drill.bounds import Bound
    from holdfast.drill.hands import Hand
    from holdfast.drill.places import TrustZone

    NAME = "coinspaid-2023"                    # as on the command line, and the page's name
    TITLE = "…"                                # one line
    OWNS = (TrustZone.PLATFORM,)               # what the attacker holds: his code runs as that zone's user
    BOUND = Bound.NOTHING                      # what `policy explain` promises for it, see `bounds.Bound`

    async def play(world: "World", attacker: "Attacker") -> None:      # imported for TYPE_CHECKING only: `steal` runs
                                                                       # in a process that must start fast
        '''The order of events; runs in the drill's own process, outside of every zone.'''
        done = await attacker.run(steal, thief=world.thief["rLTC"])    # runs as the owned zone's user, on its files
        await world.settle()                                           # blocks, until what was sent is final
        world.require(done["refused"] == done["tried"], "every forged request is refused")
        world.note("…")                                                # a line of the report

    async def steal(hand: Hand) -> object:
        '''The attack: everything that it may use is in `hand`. What it returns must be JSON.'''

and is found by being there. The framework starts a world (real nodes, every zone a process under a user of its own),
lets honest payers go on paying, writes the bound down, takes the balances, plays, lets a seeded adversary try random
messages, takes the balances again and compares. It fails the drill where a loss is above the bound, where something
required is not so, or where invoices were not accepted meanwhile. Optional in a scenario:

    FROZEN = True             # it must end frozen: by whom, and how fast, is measured
    FEES_ARE_LOSS = True      # fees of honest transactions count as loss (else they are the cost of business)
    FALLS_ON = "merchant"     # what leaves the float on a stolen merchant's key is that merchant's loss
    QUICK = True              # part of `make test`

`World` (world.py) has: `shop` and `mallory` (merchants with the SDK), `order(...)`, `pay(...)`, `thief` (addresses by
symbol), `outside` (the drill's own nodes), `proxies` (a zone's view of a node: `lie`, `dark`), `links` (between zones:
`cut`), `kill`, `up`, `until`, `settle`, `freezes`, `note`, `require`, `event`.
"""

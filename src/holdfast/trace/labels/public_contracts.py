"""Contracts that everybody uses, as their authors publish them: a list that calls one of them a thief's is wrong.

They also tell what a trace may not end at as if it were a person. Few, and known for years; feeds bring the rest.
"""

from __future__ import annotations

from holdfast.trace.labels.claims import Feed
from holdfast.trace.model import Label, LabelKind

_SOURCE = "Holdfast's list of public contracts"
_STATED_AT = 1_760_000_000
"""October 2025."""
_CONFIDENCE = 90

_CONTRACT, _DEX, _BRIDGE, _MIXER = LabelKind.CONTRACT, LabelKind.DEX, LabelKind.BRIDGE, LabelKind.MIXER

_KNOWN = (
    ("eip155:1", "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "Wrapped Ether", _CONTRACT),
    ("eip155:1", "0xdAC17F958D2ee523a2206206994597C13D831ec7", "Tether USD", _CONTRACT),
    ("eip155:1", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USD Coin", _CONTRACT),
    ("eip155:1", "0x6B175474E89094C44Da98b954EedeAC495271d0F", "Dai", _CONTRACT),
    ("eip155:1", "0x2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599", "Wrapped BTC", _CONTRACT),
    ("eip155:1", "0xae7ab96520DE3A18E5e111B5EaAb095312D7fE84", "Lido: stETH", _CONTRACT),
    ("eip155:1", "0xd5F7838F5C461fefF7FE49ea5ebaF7728bB0ADfa", "Mantle: mETH", _CONTRACT),
    ("eip155:1", "0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D", "Uniswap V2: Router 2", _DEX),
    ("eip155:1", "0x5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f", "Uniswap V2: Factory", _CONTRACT),
    ("eip155:1", "0xE592427A0AEce92De3Edee1F18E0157C05861564", "Uniswap V3: Router", _DEX),
    ("eip155:1", "0x68b3465833fb72A70ecDF485E0e4C7bD8665Fc45", "Uniswap V3: Router 2", _DEX),
    ("eip155:1", "0x3fC91A3afd70395Cd496C647d5a6CC9D4B2b7FAD", "Uniswap: Universal Router", _DEX),
    ("eip155:1", "0x66a9893cC07D91D95644AEDD05D03f95e1dBA8Af", "Uniswap V4: Universal Router", _DEX),
    ("eip155:1", "0x1F98431c8aD98523631AE4a59f267346ea31F984", "Uniswap V3: Factory", _CONTRACT),
    ("eip155:1", "0xd9e1cE17f2641f24aE83637ab66a2cca9C378B9F", "SushiSwap: Router", _DEX),
    ("eip155:1", "0x1111111254EEB25477B68fb85Ed929f73A960582", "1inch v5: Router", _DEX),
    ("eip155:1", "0x111111125421cA6dc452d289314280a0f8842A65", "1inch v6: Router", _DEX),
    ("eip155:1", "0xDef1C0ded9bec7F1a1670819833240f027b25EfF", "0x: Exchange Proxy", _DEX),
    ("eip155:1", "0x881D40237659C251811CEC9c364ef91dC08D300C", "MetaMask: Swap Router", _DEX),
    ("eip155:1", "0xBA12222222228d8Ba445958a75a0704d566BF2C8", "Balancer: Vault", _DEX),
    ("eip155:1", "0xbEbc44782C7dB0a1A60Cb6fe97d0b483032FF1C7", "Curve: DAI/USDC/USDT Pool", _DEX),
    ("eip155:1", "0x99a58482BD75cbab83b27EC03CA68fF489b5788f", "Curve: Router", _DEX),
    ("eip155:1", "0x87870Bca3F3fD6335C3F4ce8392D69350B4fA4E2", "Aave V3: Pool", _CONTRACT),
    ("eip155:1", "0x00000000219ab540356cBB839Cbe05303d7705Fa", "Beacon Deposit Contract", _CONTRACT),
    ("eip155:1", "0x00000000000000ADc04C56Bf30aC9d3c0aAF14dC", "OpenSea: Seaport 1.5", _CONTRACT),
    ("eip155:1", "0xD37BbE5744D730a1d98d8DC97c42F0Ca46aD7146", "THORChain: Router v4", _BRIDGE),
    ("eip155:1", "0x5427FEFA711Eff984124bFBB1AB6fbf5E3DA1820", "Celer: cBridge 2", _BRIDGE),
    ("eip155:1", "0x3ee18B2214AFF97000D974cf647E7C347E8fa585", "Wormhole: Token Bridge", _BRIDGE),
    ("eip155:1", "0x8731d54E9D02c286767d56ac03e8037C07e01e98", "Stargate: Router", _BRIDGE),
    ("eip155:1", "0x5c7BCd6E7De5423a257D81B442095A1a6ced35C5", "Across: Ethereum Spoke Pool", _BRIDGE),
    ("eip155:1", "0xBd3fa81B58Ba92a82136038B25aDec7066af3155", "Circle: Token Messenger", _BRIDGE),
    ("eip155:1", "0x99C9fc46f92E8a1c0deC1b1747d010903E884bE1", "Optimism: Gateway", _BRIDGE),
    ("eip155:1", "0x40ec5B33f54e0E8A33A975908C5BA1c14e5BbbDf", "Polygon: ERC20 Bridge", _BRIDGE),
    ("eip155:1", "0x4Dbd4fc535Ac27206064B68FfCf827b0A60BAB3f", "Arbitrum: Delayed Inbox", _BRIDGE),
    ("eip155:1", "0xd90e2f925DA726b50C4Ed8D0Fb90Ad053324F31b", "Tornado.Cash: Router", _MIXER),
    ("eip155:*", "0x000000000022D473030F116dDEE9F6B43aC78BA3", "Uniswap: Permit2", _CONTRACT),
    ("eip155:*", "0x4e59b44847b379578588920cA78FbF26c0B4956C", "Deterministic Deployment Proxy", _CONTRACT),
    ("eip155:*", "0xcA11bde05977b3631167028862bE2a173976CA11", "Multicall3", _CONTRACT),
    ("eip155:56", "0x10ED43C718714eb63d5aA57B78B54704E256024E", "PancakeSwap: Router v2", _DEX),
    ("eip155:56", "0x55d398326f99059fF775485246999027B3197955", "Binance-Peg BSC-USD", _CONTRACT),
    ("eip155:56", "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d", "Binance-Peg USD Coin", _CONTRACT),
    ("eip155:56", "0xbb4CdB9CBd36B01bD1cBaEBF2De08d9173bc095c", "Wrapped BNB", _CONTRACT),
    ("eip155:137", "0xc2132D05D31c914a87C6611C10748AEb04B58e8F", "Tether USD (Polygon)", _CONTRACT),
    ("eip155:137", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "USD Coin (Polygon)", _CONTRACT),
    ("eip155:42161", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", "USD Coin (Arbitrum)", _CONTRACT),
    ("eip155:42161", "0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9", "Tether USD (Arbitrum)", _CONTRACT),
    ("eip155:8453", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin (Base)", _CONTRACT),
    ("eip155:10", "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85", "USD Coin (Optimism)", _CONTRACT),
    ("eip155:10", "0x94b008aA00579c1307B0EF2c499aD98a8ce58e58", "Tether USD (Optimism)", _CONTRACT),
    ("eip155:43114", "0x9702230A8Ea53601f5cD2dc00fDBc13d4dF4A8c7", "Tether USD (Avalanche)", _CONTRACT),
    ("eip155:43114", "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", "USD Coin (Avalanche)", _CONTRACT),
)


def public_contracts() -> Feed:
    """Them as a feed of their own."""
    labels = tuple(
        Label(network, address, name, kind, _SOURCE, _CONFIDENCE, _STATED_AT) for network, address, name, kind in _KNOWN
    )
    return Feed(_SOURCE, _SOURCE, _STATED_AT, "", is_vouched=True, labels=labels)

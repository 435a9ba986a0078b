"""Currencies that a price may be in: ISO 4217 codes and how many decimals each has. Data; nothing that acts."""

from __future__ import annotations

from holdfast.core.errors import BadInput


class CurrencyUnknown(BadInput):
    """The price is in a currency that is not known here. Use an ISO 4217 code, or the CAIP-19 id of a listed asset."""

    code = "currency-unknown"


# ISO 4217 list one (active codes that denote money; funds, metals and test codes are left out).
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_TWO_DECIMALS = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC "
    "CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR "
    "JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD "
    "NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN "
    "SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)

DECIMALS: dict[str, int] = {
    **dict.fromkeys(_NO_DECIMALS.split(), 0),
    **dict.fromkeys(_TWO_DECIMALS.split(), 2),
    **dict.fromkeys(_THREE_DECIMALS.split(), 3),
}


def currency_decimals(code: str) -> int:
    """Decimal places of an ISO 4217 currency. Raises `CurrencyUnknown`."""
    if code not in DECIMALS:
        raise CurrencyUnknown(f"{code[:40]!r}")
    return DECIMALS[code]

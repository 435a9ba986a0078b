"""misp-stix in a process of its own: it changes how Python imports, for whoever loads it.

`there-and-back`: a MISP event to STIX 2.1 and to an event again. `to-misp`: a STIX bundle to an event.
"""

import sys

import stix2
from misp_stix_converter import ExternalSTIX2toMISPParser, InternalSTIX2toMISPParser, MISPtoSTIX21Parser
from pymisp import MISPEvent


def main() -> None:
    document = sys.stdin.buffer.read()
    if sys.argv[1] == "there-and-back":
        made = MISPEvent()
        made.from_json(document.decode())
        there = MISPtoSTIX21Parser()
        there.parse_misp_event(made)
        parser, bundle = InternalSTIX2toMISPParser(), there.bundle.serialize()
    else:
        from holdfast.trace.share import stix_objects  # noqa: F401  registers the two observables

        parser, bundle = ExternalSTIX2toMISPParser(), document
    parser.load_stix_bundle(stix2.parse(bundle, allow_custom=True))
    parser.parse_stix_bundle()
    sys.stdout.write(parser.misp_event.to_json())


if __name__ == "__main__":
    main()

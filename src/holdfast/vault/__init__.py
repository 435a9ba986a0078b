"""The officers' offline tool and checking machine: quorum, certificates, policy, orders, settlements."""

# -*- coding: utf-8 -*-
"""Runs the Autobahn suite, on the loopback interface alone, and prints what came of it. For Python 2.7.

    conformance.py SUITE REPORTS server URL SECTION…       the suite talks to a server
    conformance.py SUITE REPORTS client PROGRAM SECTION…   the suite is the server of `PROGRAM cases ws://HOST:PORT`

SUITE is the folder into which pip has installed the suite; its own reports (HTML) go to the folder REPORTS. A section
is a number such as 6, 6.4 or 6.4.1. Exit status: 0 all passed, 1 a case did not, 2 the suite could not run.
"""

from __future__ import print_function

import os
import site
import socket
import sys
import types

suite, reports, side, peer = sys.argv[1:5]
sections = sys.argv[5:]
AGENT = "WebSocketEngine"
COLUMNS = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED")

site.addsitedir(suite)
import twisted.internet

# The suite imports TLS, which needs a C library and is not used here.
tls = types.ModuleType("twisted.internet.ssl")
tls.ClientContextFactory = object
sys.modules[tls.__name__] = twisted.internet.ssl = tls

from autobahntestsuite import fuzzing
from twisted.internet import protocol, reactor


def is_in(case, section):
    return case == section or case.startswith(section + ".")


def order(case):
    return [int(number) for number in case.split(".")]


def cases_of(sections):
    known = [case.__name__[len(fuzzing.CaseBasename):].replace("_", ".") for case in fuzzing.Cases]
    for section in sections:
        if not any(is_in(case, section) for case in known):
            print("There is no section %s in the suite." % section, file=sys.stderr)
            sys.exit(2)
    return sorted((case for case in known if any(is_in(case, section) for section in sections)), key=order)


class Program(protocol.ProcessProtocol):
    """Our client, whose end ends the run."""

    def outReceived(self, data):
        sys.stdout.write(data)

    def errReceived(self, data):
        sys.stderr.write(data)

    def processEnded(self, reason):
        if reason.value.exitCode != 0:
            print("The client ended early: %s" % reason.value, file=sys.stderr)
        # The suite judges its last case when it sees the connection's end.
        reactor.callLater(0.5, reactor.stop)


def run(cases):
    """The outcome of each case that ran."""
    options = {"outdir": reports, "cases": cases}
    if side == "server":
        options["servers"] = [{"agent": AGENT, "url": peer}]
        factory = fuzzing.FuzzingClientFactory(options)
        reactor.run()
    else:
        with_port = socket.socket()
        with_port.bind(("127.0.0.1", 0))
        port = with_port.getsockname()[1]
        with_port.close()
        options["url"] = "ws://127.0.0.1:%d" % port
        factory = fuzzing.FuzzingServerFactory(options)
        reactor.listenTCP(port, factory, interface="127.0.0.1")
        reactor.spawnProcess(Program(), peer, [peer, "cases", options["url"]], env=os.environ)
        reactor.run()
        factory.createReports()
    return factory.agents.get(AGENT, {})


def verdict(case):
    if case is None:
        return "FAILED"
    if case["behavior"] == "UNIMPLEMENTED":
        return "UNIMPLEMENTED"
    # A wrong close code or a connection that is not closed cleanly fails the case, whatever came before.
    if case["behavior"] not in COLUMNS or case["behaviorClose"] not in ("OK", "INFORMATIONAL"):
        return "FAILED"
    return case["behavior"]


def tell(cases, outcomes):
    """Prints the table and what went wrong; how many cases did not pass."""
    print("section cases", " ".join("%5s" % name for name in COLUMNS), " seconds")
    for section in sorted(set(case.split(".")[0] for case in cases), key=int):
        rows = [case for case in cases if is_in(case, section)]
        verdicts = [verdict(outcomes.get(case)) for case in rows]
        # In milliseconds; since 1970 for a case whose connection never opened.
        times = [outcomes[case]["duration"] for case in rows if case in outcomes]
        seconds = sum(time for time in times if time < 10 ** 9) / 1000.0
        counts = " ".join("%*d" % (max(len(name), 5), verdicts.count(name)) for name in COLUMNS)
        print("%-7s %5d %s %8.1f" % (section, len(rows), counts, seconds))
    failed = [case for case in cases if verdict(outcomes.get(case)) in ("FAILED", "NON-STRICT")]
    for case in failed:
        if case in outcomes:
            told = outcomes[case]
            print("%s %s: %s Close: %s, code %s." % (
                verdict(told), case, told["result"], told["behaviorClose"], told["remoteCloseCode"]))
        else:
            print("FAILED %s: did not run." % case)
    unimplemented = [case for case in cases if verdict(outcomes.get(case)) == "UNIMPLEMENTED"]
    line = "%d passed, %d failed" % (len(cases) - len(failed) - len(unimplemented), len(failed))
    print(line + (", %d unimplemented" % len(unimplemented) if unimplemented else ""))
    return len(failed)


chosen = cases_of(sections)
terminal, sys.stdout = sys.stdout, open(os.path.join(reports, "log"), "w")
found = run(chosen)
sys.stdout = terminal
sys.exit(1 if tell(chosen, found) else 0)

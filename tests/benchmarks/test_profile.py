"""Profilers' outputs become the same table."""

from benchmarks.profile.costs import from_callgrind, from_perf, from_stacks


def test_stacks_count_own_and_total_shares():
    costs = from_stacks(
        "main (a.py:1);relay (b.py:10);write (c.py:3) 6\n"
        "main (a.py:2);relay (b.py:12) 3\n"
        "main (a.py:1);relay (b.py:10);relay (b.py:11);send 1\n"
    )
    shares = {cost.function: (cost.own, cost.total) for cost in costs}
    assert shares == {
        "write (c.py)": (0.6, 0.6),
        "relay (b.py)": (0.3, 1.0),
        "send": (0.1, 0.1),
        "main (a.py)": (0.0, 1.0),
    }
    assert costs[0].function == "write (c.py)"
    assert from_stacks("") == []


def test_perf_report():
    text = """
# Overhead  Shared Object      Symbol
     4.50%  libpython3.11.so   [.] _PyEval_EvalFrameDefault
    12.25%  [kernel.kallsyms]  [k] tcp_sendmsg
"""
    first, second = from_perf(text)
    assert (first.function, first.own) == ("tcp_sendmsg (kernel)", 0.1225)
    assert second.function == "_PyEval_EvalFrameDefault (libpython3.11.so)"


def test_callgrind_report():
    text = """
1,000 (100.0%)  PROGRAM TOTALS
  600 (60.00%)  ???:_PyEval_EvalFrameDefault [/usr/lib/libpython3.11.so]
   50 ( 5.00%)  /build/llhttp.c:llhttp__internal__run [/x/parser.so]
"""
    costs = from_callgrind(text)
    assert [(cost.function, cost.own) for cost in costs] == [
        ("???:_PyEval_EvalFrameDefault", 0.6),
        ("llhttp.c:llhttp__internal__run", 0.05),
    ]

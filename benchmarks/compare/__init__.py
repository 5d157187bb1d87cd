"""Side by side: direct, nginx, a plain aiohttp proxy, LiteLLM and this gateway, on one simulator.

Contenders take turns round by round in one run on one machine, so that what is compared is measured
minutes apart at most; ratios are made within a round and reported with their spread. CPU comes from
the kernel's accounting of each contender's process tree, never from a contender's own word.
"""

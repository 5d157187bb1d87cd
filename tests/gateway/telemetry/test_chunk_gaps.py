from gateway.telemetry.chunk_gaps import STREAMS_PER_SAMPLE, ChunkGaps


def test_a_stream_of_the_sample_observes_the_times_between_its_chunks():
    times, seen = iter((5.0, 5.25, 5.25, 7.0)), []
    tick = ChunkGaps(seen.append, lambda: next(times)).begin()
    for _ in range(3):
        tick()
    assert seen == [0.25, 0.0, 1.75]


def test_every_sixteenth_stream_is_in_the_sample():
    gaps = ChunkGaps([].append)
    chosen = [number for number in range(100) if gaps.begin() is not None]
    assert chosen == list(range(0, 100, STREAMS_PER_SAMPLE))


def test_streams_that_run_at_the_same_time_do_not_mix():
    now, seen = 0.0, []
    gaps = ChunkGaps(seen.append, lambda: now)
    ticks = [tick for tick in (gaps.begin() for _ in range(32)) if tick]
    now = 1.0
    ticks[0]()
    now = 3.0
    ticks[1]()
    ticks[0]()
    assert seen == [1.0, 3.0, 2.0]

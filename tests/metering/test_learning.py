from metering.learning import (
    ENOUGH_INPUTS,
    ENOUGH_OUTPUTS,
    FADE_AT,
    LEAST_OUTPUT,
    MOST_MODELS,
    SHORTEST_INPUT,
    Learning,
)


def taught(outputs, *, body_bytes=3_000, input_tokens=1_000):
    learning = Learning()
    for output in outputs:
        learning.observe("m", body_bytes=body_bytes, input_tokens=input_tokens, output_tokens=output)
    return learning


def test_nothing_is_learnt_from_a_few_requests():
    learning = taught([10] * (ENOUGH_INPUTS - 1))
    assert learning.bytes_per_token_milli("m") is None
    assert learning.usual_output("m") is None
    assert learning.usual_output("unknown") is None


def test_the_ratio_is_that_of_all_bytes_to_all_tokens():
    learning = taught([10] * ENOUGH_INPUTS)
    for _ in range(ENOUGH_INPUTS):
        learning.observe("m", body_bytes=12_000, input_tokens=4_000 - 1_000, output_tokens=10)
    assert learning.bytes_per_token_milli("m") == 15_000 * 1_000 // 4_000


def test_short_inputs_images_and_noise_teach_no_ratio():
    learning = taught([10] * ENOUGH_INPUTS)
    for _ in range(1_000):
        learning.observe("m", body_bytes=10_000, input_tokens=SHORTEST_INPUT - 1, output_tokens=10)
        learning.observe("m", body_bytes=0, input_tokens=9_000, output_tokens=10)
        learning.observe("m", body_bytes=1_000_000, input_tokens=1_000, output_tokens=10)
        learning.observe("m", body_bytes=1_000, input_tokens=100_000, output_tokens=10)
    assert learning.bytes_per_token_milli("m") == 3_000


def test_the_usual_output_is_what_99_of_100_answers_do_not_exceed():
    learning = taught([*([1_000] * 985), *([20_000] * 15)])
    assert 20_000 <= learning.usual_output("m") <= 24_000
    learning = taught([*([1_000] * 995), *([20_000] * 5)])
    assert 1_000 <= learning.usual_output("m") <= 1_200
    assert taught([1] * ENOUGH_OUTPUTS).usual_output("m") == LEAST_OUTPUT
    assert taught([10**9] * ENOUGH_OUTPUTS).usual_output("m") == 2**21


def test_old_traffic_fades():
    learning = taught([50_000] * FADE_AT)
    for _ in range(20 * FADE_AT):
        learning.observe("m", body_bytes=5_000, input_tokens=1_000, output_tokens=1_000)
    assert learning.usual_output("m") <= 1_200
    assert learning.bytes_per_token_milli("m") > 4_990


def test_memory_is_bounded():
    learning = Learning()
    for number in range(2 * MOST_MODELS):
        for _ in range(ENOUGH_OUTPUTS):
            learning.observe(f"m{number}", body_bytes=0, input_tokens=1, output_tokens=1)
    assert sum(learning.usual_output(f"m{number}") is not None for number in range(2 * MOST_MODELS)) == MOST_MODELS

"""The training of test_gpu_training.py in 16 bits: on a simulated GPU the layers stay in 32, and the scale does not."""

import pytest
from test_gpu_training import assert_trains


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_gpu_trains_in_16_bits(tmp_path, precision):
    assert_trains(tmp_path, precision)

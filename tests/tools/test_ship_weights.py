"""What ships says how it was made: a log goes on from the one before it."""

import pandas

import ship_weights


def test_a_log_goes_on_from_the_one_before_it():
    earlier = pandas.DataFrame({"step": [50, 100], "loss": [3.0, 2.0], "seconds": [10.0, 20.0]})
    whole = ship_weights.continued(earlier, earlier)
    assert list(whole["step"]) == [50, 100, 150, 200]
    assert list(whole["seconds"]) == [10, 20, 30, 40]

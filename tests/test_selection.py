"""The table that says what settings were chosen from."""

import pandas as pd
from selection import table_of

from dynammo.settings import Settings


def test_a_run_without_every_value_does_not_count_in_the_mean():
    rate = Settings().network_learning_rate
    rows = [
        ("network_learning_rate", value, run, method, accuracy + gain)
        for value, run, accuracy in ((0.01, "a", 60.0), (rate, "a", 80.0), (rate, "b", 30.0))
        for method, gain in (("joint", 1.0), ("replay", -1.0))
    ]
    table = table_of(pd.DataFrame(rows, columns=["setting", "value", "run", "method", "accuracy"]))
    assert list(table["a"]) == [60.0, 80.0] and list(table["b"]) == ["", 30.0]
    assert list(table["mean"]) == [60.0, 80.0] and list(table["default"]) == ["", "✓"]
    assert set(table.setting) == {"network_learning_rate (joint, replay)"}

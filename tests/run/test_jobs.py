"""Which jobs a run has, and which settings each depends on."""

from dynammo.run.jobs import jobs, parameters_of, settings_behind
from dynammo.run.settings import RunSettings

SETTINGS = RunSettings()


def test_a_session_depends_on_its_own_methods_knobs_only():
    lwf, der = settings_behind(SETTINGS, "lwf"), settings_behind(SETTINGS, "der")
    assert {"lwf_weight", "network_learning_rate"} <= set(lwf) and "der_temperature" not in lwf
    assert "der_temperature" in der and "der_plus_plus_alpha" not in der
    adapters = settings_behind(SETTINGS)
    assert "adapter_alpha" in adapters and "network_learning_rate" not in adapters
    assert not [name for name in adapters if name.startswith(("lwf_", "ewc_", "ranpac_"))]


def test_the_adapters_job_is_given_the_knobs_of_all_methods_that_they_feed():
    settings = SETTINGS.with_changes({"methods": ("dynammo", "dynammo_ridge", "lwf")})
    given = parameters_of(settings)
    assert given["methods"] == ["dynammo", "dynammo_ridge"]
    assert "dynammo_ridge_stiffness" in given and "lwf_weight" not in given
    assert "dynammo_ridge_stiffness" not in parameters_of(SETTINGS)
    assert parameters_of(settings, "lwf") == settings_behind(settings, "lwf")


def test_only_methods_that_train_alone_may_have_fewer_seeds():
    settings = SETTINGS.with_changes(
        {"order_seeds": (0,), "train_seeds": (4, 5), "baseline_runs": 1}
    )
    found = jobs(settings, ("dynammo", "acl", "replay", "ranpac"))
    every = [(0, 4, ""), (0, 4, "replay"), (0, 4, "ranpac"), (0, 5, ""), (0, 5, "ranpac")]
    assert found == every
    orders = settings.with_changes({"order_seeds": (7, 8, 9), "baseline_runs": 4})
    alone = [job for job in jobs(orders, ("dynammo", "replay")) if job[2]]
    assert alone == [(7, 4, "replay"), (7, 5, "replay"), (8, 5, "replay"), (9, 4, "replay")]
    assert len([job for job in jobs(orders, ("dynammo_fresh",)) if job[2]]) == 6  # as on the chain
    every = orders.with_changes({"baseline_runs": 0})
    assert len([job for job in jobs(every, ("dynammo", "replay")) if job[2]]) == 6


def test_methods_that_tune_adapters_of_their_own_depend_on_the_adapters_settings():
    for method in ("acl", "dynammo_fresh"):
        behind = settings_behind(SETTINGS, method)
        assert "adapter_alpha" in behind and "network_learning_rate" not in behind
    assert "adapter_alpha" not in settings_behind(SETTINGS, "replay")

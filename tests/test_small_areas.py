"""Small areas: against the R package sae, dense formulas, and what must hold whatever the data."""

import numpy as np
import pandas as pd
import pytest

import lmm
from lmm.areas import unit_level

# Package sae (its source from CRAN, run on R 4.2.2 with a precision of 1e-12), mseFH: area variance, coefficients,
# their standard errors; EBLUP and mean squared error of areas 1, 22 and 43.
MILK = {
    "reml": (
        0.0185503347627664,
        [0.968188986974962, 0.132780305456741, 0.226946224520597, -0.241301039944626],
        [0.069362208279257, 0.103000889948512, 0.092329961459503, 0.0816172170835789],
        [1.02197054415061, 1.19230572283366, 0.68108688506074],
        [0.0134602564596455, 0.0172440452933279, 0.00990364779688785],
    ),
    "ml": (
        0.0155175087124187,
        [0.967798625551159, 0.127875517563521, 0.22669088679866, -0.242580426338672],
        [0.0659074172432292, 0.0984093275954167, 0.0881396752256092, 0.0775386945035793],
        [1.01617323616576, 1.19215974961806, 0.684097693266086],
        [0.0135799384231695, 0.0171937004171385, 0.0100371314884568],
    ),
    "fh": (
        0.0164202636541287,
        [0.967901149597951, 0.129450184752715, 0.226791025351521, -0.24215178686144],
        [0.0669589554615313, 0.0998033346909573, 0.0894119050855242, 0.0787798576182994],
        [1.01797592421317, 1.19221263961231, 0.683160937834271],
        [0.0127570138808161, 0.0158902354578002, 0.00948421896461062],
    ),
}

# eblupBHF with the finite-population means, row 33 left out; and pbmseBHF with 400 samples (REML).
CORN = {
    True: [
        [122.195403434801, 126.228017064635, 106.66376333766, 108.422190382399, 144.307169559831, 112.158586024111],
        [112.780104057482, 122.001966888741, 115.34384726733, 124.414368379228, 106.888266847679, 143.031210806515],
    ],
    False: [
        [122.280663917444, 126.115205005668, 107.12127073662, 108.718425458587, 144.048527855637, 111.973196816869],
        [112.983080687346, 122.009230028487, 115.173593591328, 124.435218700278, 107.101469287805, 142.870020986643],
    ],
}
CORN_MSE = [93.71, 91.76, 93.12, 65.45, 48.42, 44.19, 42.81, 46.55, 31.32, 30.92, 26.08, 29.82]


def milk(method="reml", **changes):
    data = lmm.datasets.load("milk").assign(**changes)
    return lmm.fay_herriot("yi ~ factor(MajorArea)", data, variance="SD^2", area="SmallArea", method=method)


def corn_data():
    corn = lmm.datasets.load("cornsoybean").drop(index=32)
    means = lmm.datasets.load("cornsoybean_means").set_index("CountyIndex")
    return corn, means.rename(columns={"MeanCornPixPerSeg": "CornPix", "MeanSoyBeansPixPerSeg": "SoyBeansPix"})


def corn_means(population_means=None, population_sizes="PopnSegments", n_boot=0, **options):
    corn, means = corn_data()
    return lmm.nested_error(
        "CornHec ~ CornPix + SoyBeansPix",
        corn,
        area="County",
        population_means=means if population_means is None else population_means,
        population_sizes=population_sizes,
        n_boot=n_boot,
        **options,
    )


@pytest.mark.parametrize("method", MILK)
def test_milk_agrees_with_sae(method):
    A, beta, se, eblup, mse = MILK[method]
    result = milk(method)
    assert result.area_variance == pytest.approx(A, rel=1e-7)
    np.testing.assert_allclose(result.params, beta, rtol=1e-7)
    np.testing.assert_allclose(result.bse, se, rtol=1e-7)
    np.testing.assert_allclose(result.table.loc[[1, 22, 43], "eblup"], eblup, rtol=1e-7)
    np.testing.assert_allclose(result.table.loc[[1, 22, 43], "mse"], mse, rtol=1e-7)


def test_eblup_is_the_fitted_value_of_the_mixed_model():
    result = milk()
    np.testing.assert_allclose(result.table["eblup"], result.fit.fittedvalues, rtol=1e-10)
    np.testing.assert_allclose(result.params, result.fit.params, rtol=1e-10)
    np.testing.assert_allclose(result.bse, result.fit.bse, rtol=1e-10)


def test_moment_equation_holds():
    result = milk("fh")
    residual = result.table["direct"] - result.table["synthetic"]
    total = result.area_variance + result.table["variance"]
    assert (residual**2 / total).sum() == pytest.approx(43 - 4, rel=1e-10)
    assert result.fit is None


@pytest.mark.parametrize("method", MILK)
def test_an_area_variance_of_zero_gives_the_synthetic_estimate(method):
    flat = 1.0 + 0.01 * np.sin(np.arange(43.0))
    if method == "fh":
        result = milk(method, yi=flat)
    else:
        with pytest.warns(lmm.SingularFitWarning):
            result = milk(method, yi=flat)
    assert result.area_variance == 0.0
    assert (result.table["gamma"] == 0.0).all()
    np.testing.assert_array_equal(result.table["eblup"], result.table["synthetic"])
    assert (result.mse_parts["g1"] == 0.0).all()
    assert (result.mse_parts["g2"] > 0.0).all()
    assert "estimated area variance is zero" in str(result)


def test_a_precise_area_keeps_its_estimate():
    SD = lmm.datasets.load("milk")["SD"].to_numpy().copy()
    SD[0] = 1e-6
    table = milk(SD=SD).table
    assert table["gamma"].iloc[0] == pytest.approx(1.0, abs=1e-9)
    assert table["eblup"].iloc[0] == pytest.approx(table["direct"].iloc[0], abs=1e-9)


@pytest.mark.parametrize("method", MILK)
def test_estimates_follow_the_units_of_the_response(method):
    data = lmm.datasets.load("milk")
    one = milk(method)
    other = milk(method, yi=100 * data["yi"], SD=100 * data["SD"])
    np.testing.assert_allclose(other.table["eblup"], 100 * one.table["eblup"], rtol=1e-6)
    np.testing.assert_allclose(other.table["mse"], 1e4 * one.table["mse"], rtol=1e-6)
    np.testing.assert_allclose(other.table["cv_eblup"], one.table["cv_eblup"], rtol=1e-6)


def test_variances_as_an_array_and_areas_by_index():
    data = lmm.datasets.load("milk").set_index("SmallArea")
    result = lmm.fay_herriot("yi ~ factor(MajorArea)", data, variance=data["SD"].to_numpy() ** 2)
    pd.testing.assert_frame_equal(result.table, milk().table)


@pytest.mark.parametrize("method", MILK)
def test_an_area_without_a_direct_estimate_is_synthetic(method):
    data = lmm.datasets.load("milk")
    data.loc[7, "yi"] = np.nan
    result = milk(method, yi=data["yi"])
    assert list(result.table.index) == list(data["SmallArea"])
    area = result.table.loc[8]
    x = np.array([1.0, *(data.loc[7, "MajorArea"] == level for level in (2, 3, 4))])
    without = data.drop(index=7)
    X = np.column_stack([np.ones(42), *(without["MajorArea"] == level for level in (2, 3, 4))])
    W = 1.0 / (result.area_variance + without["SD"].to_numpy() ** 2)
    cov = np.linalg.inv(X.T @ (W[:, None] * X))
    beta = cov @ X.T @ (W * without["yi"].to_numpy())
    assert area["eblup"] == area["synthetic"] == pytest.approx(x @ beta, rel=1e-9)
    assert area["gamma"] == 0.0
    assert area["variance"] == data.loc[7, "SD"] ** 2
    assert area[["direct", "cv_direct"]].isna().all()
    bias = {
        "reml": 0.0,
        "ml": -np.trace(cov @ X.T @ (W[:, None] ** 2 * X)) / (W**2).sum(),
        "fh": 2 * (42 * (W**2).sum() - W.sum() ** 2) / W.sum() ** 3,
    }[method]
    assert area["mse"] == pytest.approx(result.area_variance + x @ cov @ x - bias, rel=1e-9)
    assert "Number of areas: 43, 42 with a direct estimate" in str(result)
    assert "Without a direct estimate, so that the EBLUP is the synthetic estimate: 1 area (8)." in str(result)
    assert len(result.left_out) == 0


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_no_direct_estimate_is_one_of_endless_variance(method):
    data = lmm.datasets.load("milk")
    SD, yi = data["SD"].astype(float).copy(), data["yi"].copy()
    SD[7], yi[7] = 1e6, np.nan
    vague, none = milk(method, SD=SD).table, milk(method, SD=SD, yi=yi).table
    columns = ["synthetic", "gamma", "eblup", "mse"]
    np.testing.assert_allclose(none[columns], vague[columns], rtol=1e-5, atol=1e-9)


def test_areas_of_which_nothing_can_be_said_are_named():
    data = lmm.datasets.load("milk")
    data["MajorArea"] = data["MajorArea"].astype(float)
    data.loc[4, "SD"] = np.nan  # a direct estimate without its variance
    data.loc[7, "yi"] = np.nan
    data.loc[9, "MajorArea"] = np.nan
    data.loc[11, ["yi", "MajorArea"]] = np.nan, 5.0  # a level that only this area has
    data.loc[12, ["yi", "SD"]] = np.nan  # no direct estimate needs no variance
    for options in ({"area": "SmallArea"}, {}):
        frame = data if options else data.set_index("SmallArea")
        result = lmm.fay_herriot("yi ~ factor(MajorArea)", frame, variance="SD^2", **options)
        assert list(result.left_out) == [5, 10, 12]
        assert "Left out: 3 areas (5, 10, 12). A predictor is missing" in str(result)
        assert len(result.table) == 40
        assert list(result.table.index[result.table["direct"].isna()]) == [8, 13]
        assert result.table["mse"].notna().all()
        assert result.fit.nobs == 38
        assert "Left out: 3 areas" in result._repr_html_()
    with pytest.raises(lmm.DataError, match="missing values"):
        lmm.fay_herriot("yi ~ factor(MajorArea)", data, variance="SD^2", na_action="raise")


def test_offset_of_an_area_without_a_direct_estimate():
    data = lmm.datasets.load("milk").assign(o=np.linspace(0.0, 3.0, 43))
    data.loc[7, "yi"] = np.nan
    plain = lmm.fay_herriot("yi ~ 1", data, variance="SD^2").table
    shifted = lmm.fay_herriot("yi ~ 1 + offset(o)", data.assign(yi=data["yi"] + data["o"]), variance="SD^2").table
    np.testing.assert_allclose(shifted["eblup"], plain["eblup"] + data["o"], rtol=1e-7)
    np.testing.assert_allclose(shifted["mse"], plain["mse"], rtol=1e-6)


def test_mse_against_a_simulation():
    rng = np.random.default_rng(4)
    m, A = 30, 1.0
    D = np.repeat([0.5, 1.0, 2.0], 10)
    x = np.linspace(-1.0, 1.0, m)
    squared, estimated = np.zeros(m), np.zeros(m)
    n = 300
    for _ in range(n):
        mean = 2.0 + x + np.sqrt(A) * rng.standard_normal(m)
        data = {"y": mean + np.sqrt(D) * rng.standard_normal(m), "x": x}
        table = lmm.fay_herriot("y ~ x", data, variance=D, method="fh").table
        squared += (table["eblup"].to_numpy() - mean) ** 2 / n
        estimated += table["mse"].to_numpy() / n
    ratio = squared.reshape(3, 10).mean(axis=1) / estimated.reshape(3, 10).mean(axis=1)
    np.testing.assert_allclose(ratio, 1.0, atol=0.1)


def test_shrinkage_can_be_drawn():
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = milk().plot()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["synthetic", "direct", "EBLUP"]
    plt.close(axes.figure)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "eb"}, lmm.ArgumentError, "method must be one of 'reml', 'ml', 'fh'; got 'eb'"),
        ({"variance": None}, lmm.ArgumentError, "variance must give the known sampling variances"),
        ({"variance": "SD - SD"}, lmm.DataError, "must be positive; row 0"),
        ({"variance": "SE"}, lmm.DataError, "no column 'SE'"),
        ({"variance": [1.0, 2.0]}, lmm.DataError, "The variance must be a column name or one number for each"),
        ({"area": "MajorArea", "formula": "yi ~ 1"}, lmm.DataError, "'MajorArea' has several rows for 1.*nested_error"),
        ({"formula": "yi ~ 1 + (1 | MajorArea)"}, lmm.FormulaError, r"leave out \(1 \| MajorArea\)"),
        ({"formula": None}, lmm.FormulaError, "must be a string"),
    ],
)
def test_bad_arguments_of_fay_herriot(options, error, message):
    arguments = {"formula": "yi ~ factor(MajorArea)", "variance": "SD^2"} | options
    with pytest.raises(error, match=message):
        lmm.fay_herriot(data=lmm.datasets.load("milk"), **arguments)


@pytest.mark.parametrize("reml", [True, False])
def test_corn_agrees_with_sae(reml):
    np.testing.assert_allclose(corn_means(reml=reml).table["eblup"], np.ravel(CORN[reml]), rtol=1e-6)


def test_bootstrap_errors_agree_with_sae_within_monte_carlo_error():
    result = corn_means(n_boot=4000, rng=5)
    table = result.table
    error = np.hypot(table["mse_error"], np.array(CORN_MSE) * np.sqrt(2 / 400))
    assert (np.abs(table["mse"] - CORN_MSE) < 3.5 * error).all()
    assert (result.n_boot, result.n_failed) == (4000, 0)
    pd.testing.assert_frame_equal(table, corn_means(n_boot=4000, rng=5).table)


def test_bootstrap_errors_are_those_of_single_refits(monkeypatch):
    batch = corn_means(n_boot=40, rng=8).table
    monkeypatch.setattr(lmm.batch.refits.Refitter, "batch_size", 1)
    np.testing.assert_allclose(corn_means(n_boot=40, rng=8).table["mse"], batch["mse"], rtol=1e-6)


def test_large_samples_are_drawn_in_parts(monkeypatch):
    monkeypatch.setattr(unit_level, "DRAWN", 36 * 100)
    table = corn_means(n_boot=1050, rng=5).table
    error = np.hypot(table["mse_error"], np.array(CORN_MSE) * np.sqrt(2 / 400))
    assert (np.abs(table["mse"] - CORN_MSE) < 3.5 * error).all()


def test_samples_that_could_not_be_fitted_are_counted(monkeypatch):
    def errors(fit, areas, n, rng):
        drawn = unit_level.bootstrap_errors(fit, areas, n, rng)
        drawn[2:] = np.nan if n == 6 else drawn[2:]
        return drawn if n > 3 else np.full_like(drawn, np.nan)

    monkeypatch.setattr(lmm.areas.nested_error, "bootstrap_errors", errors)
    result = corn_means(n_boot=6, rng=1)
    assert (result.n_boot, result.n_failed) == (2, 4)
    assert np.isfinite(result.table["mse"]).all()
    assert "could not be fitted to 4 more samples" in str(result)
    with pytest.raises(lmm.ModelError, match="0 of 3 bootstrap samples"):
        corn_means(n_boot=3, rng=1)


def test_finite_population_form():
    corn, means = corn_data()
    every = corn_means(population_sizes=corn.groupby("County").size())
    # All units are observed: only the observed mean is left where the covariates' means agree with it.
    observed = corn.groupby("County")[["CornHec", "CornPix", "SoyBeansPix"]].mean()
    known = corn_means(population_means=observed, population_sizes=corn.groupby("County").size().to_dict())
    np.testing.assert_allclose(known.table["eblup"], observed["CornHec"], rtol=1e-10)
    assert "size" in every.table
    endless = corn_means(population_sizes=None)
    vast = corn_means(population_sizes=pd.Series(1e12, index=means.index))
    np.testing.assert_allclose(vast.table["eblup"], endless.table["eblup"], rtol=1e-10)
    assert "size" not in endless.table


def test_areas_not_sampled_are_synthetic():
    _, means = corn_data()
    means = pd.concat([means, means.iloc[[0]].set_axis([99])])
    table = corn_means(population_means=means, n_boot=50, rng=1).table
    assert table.loc[99, "n"] == 0
    assert np.isnan(table.loc[99, "sample_mean"])
    assert table.loc[99, "eblup"] == table.loc[99, "synthetic"]
    assert table.loc[99, "mse"] > table.loc[1, "mse"]


def test_means_of_factor_columns():
    corn, means = corn_data()
    corn["big"] = np.where(corn["CornPix"] > 300, "yes", "no")
    means["big[T.yes]"] = 0.4
    result = lmm.nested_error("CornHec ~ big", corn, area="County", population_means=means, n_boot=0)
    np.testing.assert_allclose(
        result.table["synthetic"], result.fit.params["Intercept"] + 0.4 * result.fit.params["big[T.yes]"]
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_boot": 1}, lmm.ArgumentError, "n_boot must be 0"),
        ({"rng": "x"}, lmm.ArgumentError, "rng must be"),
        ({"population_sizes": "Size"}, lmm.DataError, "is no column of population_means"),
        ({"population_sizes": {1: 500}}, lmm.DataError, "no number for the areas 2, 3"),
        ({"population_sizes": np.ones(12)}, lmm.DataError, "has 2 units in the data, more than its population of 1"),
        ({"population_sizes": np.zeros(12)}, lmm.DataError, "population_sizes must be positive"),
        ({"population_means": pd.DataFrame({"CornPix": [1.0]}, index=[1])}, lmm.DataError, "coefficient 'SoyBeansPix'"),
        ({"population_means": [1.0]}, lmm.DataError, "population_means must be a data frame"),
        ({"population_means": pd.DataFrame({"CornPix": [1.0]}, index=["a"])}, lmm.DataError, "No area of population"),
    ],
)
def test_bad_arguments_of_nested_error(options, error, message):
    with pytest.raises(error, match=message):
        corn_means(**options)


def test_results_print_and_show():
    for result in (milk(), corn_means()):
        assert repr(result) == str(result)
        assert "<table>" in result._repr_html_()


def test_names_of_areas_are_checked_and_made():
    data = lmm.datasets.load("milk").rename(columns={"SmallArea": "area"})
    with pytest.raises(lmm.ArgumentError, match="area must be the name of a column, or None"):
        lmm.fay_herriot("yi ~ 1", data, variance="SD^2", area=3)
    by_row = lmm.fay_herriot("yi ~ factor(MajorArea)", data, variance="SD^2")  # the data have a column "area" already
    np.testing.assert_allclose(by_row.table["eblup"], milk().table["eblup"], rtol=1e-12)
    corn, means = corn_data()
    with pytest.raises(lmm.ArgumentError, match="area must be the name of the column"):
        lmm.nested_error("CornHec ~ CornPix", corn, area=None, population_means=means)
    with pytest.raises(lmm.ModelError, match="takes no offset"):
        lmm.nested_error("CornHec ~ 1 + offset(CornPix)", corn, area="County", population_means=means)


def test_population_means_by_a_column():
    corn, means = corn_data()
    options = {"area": "County", "n_boot": 0}
    by_index = lmm.nested_error("CornHec ~ CornPix", corn, population_means=means, **options)
    columns = means.rename_axis("County").reset_index()
    by_column = lmm.nested_error("CornHec ~ CornPix", corn, population_means=columns, **options)
    pd.testing.assert_frame_equal(by_index.table, by_column.table)
    with pytest.raises(lmm.DataError, match="several rows for the area"):
        lmm.nested_error("CornHec ~ CornPix", corn, population_means=pd.concat([columns, columns]), **options)
    unknown = means.assign(CornPix=means["CornPix"].where(means.index > 1))
    with pytest.raises(lmm.DataError, match="one finite number for each of the 12 areas"):
        lmm.nested_error("CornHec ~ CornPix", corn, population_means=unknown, **options)


def test_an_area_variance_of_zero_is_noted():
    corn, means = corn_data()
    shuffled = corn.assign(CornHec=np.random.default_rng(0).permutation(corn["CornHec"]))
    with pytest.warns(lmm.SingularFitWarning):
        result = lmm.nested_error("CornHec ~ 1", shuffled, area="County", population_means=means, n_boot=0)
    assert "The estimated area variance is zero" in str(result)

"""What profiles are made of: the deviance in coordinates of one parameter, and minimisation over the others."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from henderson.array_inputs import share_factors
from henderson.compiled import CompiledProblem
from henderson.inference.descent import hessian_at, minimise
from henderson.inference.deviance_surface import DevianceSurface, Height
from henderson.inference.parameters import Parameter
from henderson.progress import StepLine
from strategies import LAWS, designs


@st.composite
def surfaces(draw):
    """A design, a parameter of it, and a point."""
    design = draw(designs())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    term = draw(st.integers(0, len(design.terms) - 1))
    size = design.sizes[term]
    row = draw(st.integers(0, size - 1))
    column = draw(st.integers(0, row))
    parameter = Parameter("", "sd" if row == column else "cor", term, row, column)
    if draw(st.booleans()):
        parameter = Parameter("sigma", "sigma")
    codes, levels, layout = share_factors(design.random_terms())
    x = [np.ascontiguousarray(each) for each in design.x.T]
    problem = CompiledProblem(design.y, x, codes, levels, layout, design.weights, 1)
    surface = DevianceSurface(problem, design.y, design.sizes, parameter)
    theta = np.concatenate([rng.normal(size=s * (s + 1) // 2) for s in design.sizes])
    return design, surface, surface.point(theta, np.exp(rng.normal())), parameter, rng


@LAWS
@given(surfaces())
def test_the_deviance_surface_and_its_slope_are_those_of_the_dense_likelihood(case):
    design, surface, x, _, rng = case
    height = surface(x)
    dense = dense_at(design, factors_at(surface, x, design.sizes), float(np.exp(x[-1])))
    assert height.value == pytest.approx(dense, rel=1e-9, abs=1e-7)
    direction = rng.normal(size=len(x))
    step = 1e-5
    ahead, behind = surface(x + step * direction).value, surface(x - step * direction).value
    scale = abs(height.slope @ direction) + np.abs(height.slope).max() + 1.0
    assert (ahead - behind) / (2 * step) == pytest.approx(height.slope @ direction, abs=1e-5 * scale)


@LAWS
@given(surfaces())
def test_a_coordinate_is_the_parameter(case):
    design, surface, x, parameter, _ = case
    factors = [np.exp(x[-1]) * factor for factor in factors_at(surface, x, design.sizes)]
    if parameter.kind == "sigma":
        return
    covariance = factors[parameter.term] @ factors[parameter.term].T
    sd = np.sqrt(np.diag(covariance))
    if parameter.kind == "sd":
        assert abs(x[surface.held]) == pytest.approx(sd[parameter.row])
    else:
        correlation = covariance[parameter.row, parameter.column] / (sd[parameter.row] * sd[parameter.column])
        assert np.sin(x[surface.held]) == pytest.approx(correlation)


def factors_at(surface, x, sizes):
    flat, start, out = surface.factors(x), 0, []
    for size in sizes:
        out.append(flat[start : start + size * size].reshape(size, size))
        start += size * size
    return out


def dense_at(design, factors, sigma):
    v = np.diag(1.0 / design.w)
    for term, factor in zip(design.terms, factors, strict=True):
        z = term.matrix()
        v += z @ np.kron(np.eye(term.levels), factor @ factor.T) @ z.T
    inverse = np.linalg.inv(v)
    beta = np.linalg.lstsq(design.x.T @ inverse @ design.x, design.x.T @ inverse @ design.y, rcond=None)[0]
    residual = design.y - design.x @ beta
    n = design.n
    return np.linalg.slogdet(v)[1] + n * np.log(2 * np.pi * sigma**2) + residual @ inverse @ residual / sigma**2


def test_numbers_that_end_are_infinitely_high():
    y, codes = np.random.default_rng(7).normal(size=20), np.repeat(np.arange(5), 4).astype(np.int32)
    problem = CompiledProblem(y, [None], [codes], [5], [(0, (None,))], None, 1)
    surface = DevianceSurface(problem, y, [1], Parameter("sigma", "sigma"))
    assert np.isfinite(surface(np.array([0.5, 0.0])).value)
    assert surface(np.array([0.5, 400.0])).value == np.inf


# -------------------------------------------------------------------------------------------------------- minimisation


def least(value, slope, start, held, pivots=()):
    """The minimum over all coordinates but one, and the number of evaluations."""
    count = 0

    def surface(x):
        nonlocal count
        count += 1
        return Height(float(value(x)), np.asarray(slope(x), dtype=float), np.empty(0))

    x = np.array(start, dtype=float)
    scales = np.ones(len(x))
    hessian = hessian_at(surface, x, surface(x).slope, scales)
    return minimise(surface, x, hessian, held, scales, np.array(pivots, dtype=int)), count


def test_a_curved_valley_is_followed():
    found, count = least(
        lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2 + x[2] ** 2 * x[0],
        lambda x: [
            -400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]) + x[2] ** 2,
            200 * (x[1] - x[0] ** 2),
            2 * x[2] * x[0],
        ],
        [-1.2, 1.0, 0.0],
        held=2,
    )
    np.testing.assert_allclose(found.x, [1.0, 1.0, 0.0], atol=1e-4)
    assert found.decrement < 1e-8
    assert count < 200


def test_the_held_coordinate_stays():
    found, _ = least(
        lambda x: (x[0] - x[1]) ** 2 + x[1] ** 2, lambda x: [2 * (x[0] - x[1]), 4 * x[1] - 2 * x[0]], [5.0, 3.0], held=0
    )
    np.testing.assert_allclose(found.x, [5.0, 2.5])


def test_a_variance_of_zero_is_left_where_the_value_falls_beside_it():
    """f = (p^2 - c)^2 is stationary at p = 0 whatever c is; for c = 1 that is no minimum."""

    def value(x):
        return (x[0] ** 2 - x[2]) ** 2 + (x[1] - x[0] ** 2) ** 2

    def slope(x):
        return [
            4 * x[0] * (x[0] ** 2 - x[2]) - 4 * x[0] * (x[1] - x[0] ** 2),
            2 * (x[1] - x[0] ** 2),
            -2 * (x[0] ** 2 - x[2]),
        ]

    found, _ = least(value, slope, [0.0, 0.0, 1.0], held=2, pivots=[0])
    np.testing.assert_allclose(np.abs(found.x), 1.0, atol=1e-4)
    stays, _ = least(value, slope, [0.0, 0.0, -1.0], held=2, pivots=[0])
    np.testing.assert_allclose(stays.x, [0.0, 0.0, -1.0], atol=1e-4)


def test_steps_from_infinite_values_are_shortened():
    found, _ = least(
        lambda x: x[0] - np.log(x[0]) if x[0] > 0 else np.inf,
        lambda x: [1 - 1 / x[0] if x[0] > 0 else np.nan, 0.0],
        [30.0, 0.0],
        held=1,
    )
    assert found.x[0] == pytest.approx(1.0, abs=1e-4)


def test_work_is_shown_as_a_line():
    stream = io.StringIO()
    line = StepLine("work", 4, stream)
    line(2, "half")
    line(4)
    line.close()
    assert stream.getvalue().startswith(
        "\r[############------------] work 2/4  half\r[########################] work 4/4"
    )
    assert stream.getvalue().endswith("\n")

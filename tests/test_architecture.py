"""The shape of the code, kept by a machine: who may import whom, what import henderson loads, how long things get."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "henderson"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# Each module imports only from the rows above its own. A new module gets its place here.
LAYERS = (
    {"_version", "_cpu", "errors", "formatting", "theta"},
    {"errors_fit", "errors_moments", "errors_inference", "errors_models", "errors_means", "errors_intervals"},
    {"errors_plots", "errors_predict", "errors_forests", "errors_chunks"},
    {"errors_learn", "errors_differentiable"},
    {"errors_persistence", "errors_streaming", "errors_simulation", "errors_cli", "errors_solvers", "errors_marginal"},
    {"absent"},
    {"errors_reports", "errors_diagnostics", "errors_mixedlm"},
    {"_core", "expression", "significance", "explanation"},
    {"coefficient_layout"},
    # formula and data
    {"parser", "terms", "levels"},
    {"formula", "columns", "contrasts"},
    {"formula_editing", "latex_math"},
    {"formula_update"},
    {"tables", "factor_calls", "formulaic_bridge"},
    {"transforms", "frame"},
    {"coding", "factors"},
    {"design"},
    {"newdata", "subdesign", "redesign", "compression"},
    {"random_selection"},
    {"prediction_rows"},
    # the fit
    {"conversion", "optimum"},
    {"compiled", "blocks"},
    {"array_inputs", "array_updates", "options", "progress"},
    {"compiling", "marginal", "marginal_likelihood"},
    {"solvers", "solvers.point", "solvers.stopping"},
    {"solvers.loadings", "solvers.path"},
    {"solvers.em", "solvers.boundary"},
    {"solvers.mm", "solvers.px_em"},
    {"solvers.loop"},
    {"solvers.optimising"},
    {"arrays"},
    # topics of a fitted model
    {"inference", "interop", "plots", "regression"},
    {"varcorr", "ranef", "residuals", "matrices", "refit", "repca", "submodel", "inference.products"},
    {"inference.distributions"},
    {"moments", "moments.rows"},
    {"moments.sums", "moments.crosstabs"},
    {"moments.group_size", "moments.forms", "moments.fixed"},
    {"moments.result", "moments.precision", "moments.second_pass"},
    {"moments.cumulants"},
    {"moments.estimate"},
    {"moments.fitting"},
    {"shrinkage", "draws", "inference.parameters", "inference.statistics", "inference.bootstrap_intervals"},
    {"truth"},
    {"inference.deviance_surface", "inference.acceleration"},
    {"inference.descent"},
    {"inference.profile_traces"},
    {"inference.profile_walk"},
    {"inference.profile_curve"},
    {"inference.grid_columns"},
    {"inference.estimability", "inference.contrast_families", "inference.multiplicity", "inference.reference_grid"},
    {"inference.mixtures", "inference.nesting", "inference.variance_shares"},
    {"inference.means_text"},
    {"inference.clusters", "inference.leverage"},
    {"inference.random_coefficients", "augment"},
    {"inference.information", "inference.posterior", "inference.cluster_blocks", "inference.effect_blocks"},
    {"inference.case_deletion"},
    {"inference.group_deletion"},
    {"inference.satterthwaite", "inference.robust", "inference.linear_forms", "inference.term_contrasts"},
    {"row_facts", "persistence"},
    {"inference.kenward_roger"},
    {"inference.degrees"},
    {"inference.comparison", "inference.linear_estimates", "inference.f_tables"},
    {"inference.marginal_means"},
    {"inference.emmeans", "interop.marginaleffects_model"},
    {"inference.profile", "inference.bootstrap_result", "inference.bootstrap_clusters"},
    {"inference.bootstrap"},
    {"inference.pbtest", "inference.intervals"},
    {"inference.covariance"},
    {"inference.coefficients"},
    {"inference.covariance_matrix", "inference.contrast", "inference.anova", "summary"},
    {"inference.deletion", "inference.identifiability", "inference.variance_parameters"},
    {"inference.simplification", "inference.stepwise", "tidy", "explain", "equation"},
    {"inference.check", "inference.influence"},
    {"inference.cross_products", "inference.prediction_blocks"},
    {"inference.prediction_variance"},
    {"predict"},
    {"simulation", "update", "inference.power_result", "inference.power_tests"},
    {"inference.power_designs"},
    {"inference.power"},
    {"diagnostics", "diagnostics.whitening", "diagnostics.rank_tests", "diagnostics.predictors"},
    {"diagnostics.residual_kinds", "diagnostics.standardized_effects", "diagnostics.normality_tests"},
    {"diagnostics.replicates", "diagnostics.normality"},
    {"diagnostics.levene", "diagnostics.breusch_pagan"},
    {"diagnostics.quantile_comparison", "diagnostics.autocorrelation"},
    {"diagnostics.quantile_result"},
    {"diagnostics.quantiles"},
    {"diagnostics.diagnose"},
    {"text", "markup", "interop.maketables", "interop.marginaleffects", "interop.statsmodels"},
    {"plots.style", "plots.smoothing", "plots.quantile_bands"},
    {"plots.marks", "plots.grouping", "plots.parameter_panels", "plots.group_lines"},
    {"plots.values", "plots.quantile_panels"},
    {"plots.residual_plots", "plots.qq_plots", "plots.covariance_plots", "plots.influence_plots"},
    {"plots.optimum_plots", "plots.simulated_plots"},
    {"plots.caterpillars", "plots.shrinkage_plots", "plots.line_plots", "plots.coefficient_plots"},
    {"plots.profile_plots", "plots.bootstrap_plots", "plots.effect_plots", "plots.power_plots"},
    {"plots.overview"},
    {"persistence.values", "persistence.archive", "persistence.trust"},
    {"persistence.formulas", "persistence.row_labels", "export"},
    {"persistence.designs"},
    {"persistence.saving"},
    {"model"},
    {"persistence.loading"},
    {"regression.rows"},
    {"regression.plain"},
    {"regression.typeset", "regression.export"},
    {"regression.table"},
    # the front
    {"fitting", "planning"},
    {"streaming", "streaming.rows", "streaming.ledger"},
    {"streaming.problem"},
    {"streaming.model"},
    {"streaming.fitting", "streaming.array_fits"},
    {"streaming.estimator"},
    {"chunks", "chunks.splitting", "chunks.estimates", "chunks.running"},
    {"chunks.result"},
    {"chunks.fitting"},
    {"interop.mixedlm_names", "interop.mixedlm_formula"},
    {"interop.mixedlm_groups", "interop.mixedlm_effects"},
    {"interop.mixedlm_model"},
    {"interop.mixedlm_result"},
    {"interop.mixedlm"},
    {"differentiable", "differentiable.layout", "differentiable.value"},
    {"differentiable.projection"},
    {"differentiable.objective"},
    {"differentiable.jax_objective", "differentiable.torch_objective", "differentiable.once"},
    {"differentiable.torch_random_effects"},
    {"learn"},
    {"learn.inputs", "learn.least_squares", "learn.level_effects", "learn.model_text", "learn.folds", "learn.steps"},
    {"learn.encoded_columns", "learn.targets", "learn.learner", "learn.routed_groups", "learn.random_steps"},
    {"learn.random_columns", "learn.fitted_effects"},
    {"learn.encoder", "learn.features", "learn.regressor", "learn.mixed_effects"},
    {"datasets._loaders"},
    {"datasets"},
    {"__init__"},
    {"cli.files"},
    {"cli.models"},
    {"cli.fit", "cli.anova", "cli.predict", "cli.simulate", "cli.bench", "cli.datasets"},
    {"cli.program"},
    {"cli"},
    {"__main__"},
)
# Imports inside a function that go the other way: a value that prints itself asks for its printer when it is printed.
DEFERRED = {
    "inference.power_result": {"markup"},
    "update": {"fitting", "streaming.fitting"},
    "array_updates": {"streaming.array_fits"},
    "summary": {"text", "markup"},
    "varcorr": {"markup"},
    "factor_calls": {"transforms"},
    "inference.covariance": {"inference.covariance_matrix"},
    "inference.contrast": {"markup"},
    "inference.influence": {"markup"},
    "diagnostics.quantile_comparison": {"markup"},
}
COMPILED = {"_cpu"}  # extension modules, without a .py file

# Third-party packages that are loaded when used and not before, and modules that must do without.
LAZY = ("pandas", "formulaic", "scipy", "matplotlib", "polars", "pyarrow", "maketables", "marginaleffects")
LAZY += ("jax", "torch")
# modules that need one of them and are imported inside functions only
LOADED_LATE = {
    "inference.covariance_matrix",
    "interop.marginaleffects_model",
    "differentiable.jax_objective",
    "differentiable.torch_objective",
    "differentiable.torch_random_effects",
}
FORBIDDEN = {
    "formula": ("numpy", "henderson._core"),
    "formula_editing": ("numpy", "henderson._core"),
    "formula_update": ("numpy", "henderson._core"),
    "parser": ("numpy", "henderson._core"),
    "terms": ("numpy", "henderson._core"),
    "expression": ("numpy", "henderson._core"),
    "errors": ("numpy", "henderson._core"),
    "compiled": ("henderson.formula", "henderson.frame", "henderson.design", "pandas"),
    "arrays": ("henderson.formula", "henderson.frame", "henderson.design", "pandas"),
    "summary": ("numpy.linalg", "scipy", "henderson._core"),
    "text": ("numpy.linalg", "scipy", "henderson._core"),
    "markup": ("numpy.linalg", "scipy", "henderson._core"),
}

EXTENSIONS = ("*.py", "*.cpp", "*.hpp")
LONGEST_FILE, LONGEST_FUNCTION = 400, 60


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(tree: ast.AST, *, inside_functions: bool) -> set[str]:
    """Dotted names imported when the module is loaded or, instead, inside functions; for typing only: never."""
    found: set[str] = set()

    def visit(node: ast.AST, inside: bool) -> None:
        if is_type_checking(node):
            return
        if inside == inside_functions and isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if inside == inside_functions and isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the package: from henderson import ..."
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        inner = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(tree, False)
    return found


def own_modules(names: set[str]) -> set[str]:
    """The modules of this package among imported names: 'henderson.model.LinearMixedModel' -> 'model'."""
    found = set()
    for name in names:
        if name == "henderson" or name.startswith("henderson."):
            rest = name.removeprefix("henderson").removeprefix(".")
            parts = rest.split(".") if rest else []
            known = [".".join(parts[:k]) for k in range(len(parts), 0, -1)]
            found.add(next((module for module in known if module in MODULES or module in COMPILED), "__init__"))
    return found


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def layer(module: str) -> int:
    return next(i for i, modules in enumerate(LAYERS) if module in modules)


def test_every_module_has_its_place_among_the_layers():
    placed = [module for modules in LAYERS for module in modules]
    assert len(placed) == len(set(placed))
    assert set(MODULES) <= set(placed), "new modules: give each its place in LAYERS"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    upward = {
        name for name in own_modules(imports(tree_of(module), inside_functions=False)) if layer(name) >= layer(module)
    }
    assert not upward - {module}, f"{module} imports {upward}, which is not below it"


@pytest.mark.parametrize("module", [module for module in MODULES if module not in ("__init__", "cli", "__main__")])
def test_deferred_imports_go_one_way_too(module):
    deferred = own_modules(imports(tree_of(module), inside_functions=True))
    upward = {name for name in deferred if layer(name) >= layer(module)}
    assert upward <= DEFERRED.get(module, set())


@pytest.mark.parametrize("module", [module for module in FORBIDDEN if module in MODULES])
def test_words_do_not_compute_and_arrays_need_no_tables(module):
    tree = tree_of(module)
    names = imports(tree, inside_functions=False) | imports(tree, inside_functions=True)
    source = ast.unparse(tree)
    for forbidden in FORBIDDEN[module]:
        assert not [name for name in names if name == forbidden or name.startswith(forbidden + ".")]
        assert forbidden != "numpy.linalg" or "np.linalg" not in source


@pytest.mark.parametrize("module", [module for module in MODULES if module not in LOADED_LATE])
def test_heavy_packages_are_imported_where_they_are_used(module):
    at_load = {name.partition(".")[0] for name in imports(tree_of(module), inside_functions=False)}
    assert not at_load & set(LAZY)
    assert "sklearn" not in at_load or module.startswith("learn.")


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_import_henderson_loads_no_heavy_package():
    assert not loaded_by("import henderson") & {*LAZY, "sklearn"}


def test_the_core_knows_neither_python_nor_output():
    for path in (ROOT / "cpp" / "core").iterdir():
        text = path.read_text(encoding="utf-8")
        for foreign in ("pybind11", "Python.h", "<iostream>", "printf", "bindings/"):
            assert foreign not in text, f"{path.name} has {foreign}"


def test_pybind11_is_included_by_the_bindings_only():
    users = {
        path.parent.name for path in (ROOT / "cpp").rglob("*.?pp") if "pybind11/" in path.read_text(encoding="utf-8")
    }
    assert users == {"bindings"}


def source_files() -> list[Path]:
    folders = ("cpp", "python", "tests", "benchmarks")
    return sorted(path for folder in folders for pattern in EXTENSIONS for path in (ROOT / folder).rglob(pattern))


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_enough_to_read(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST_FILE


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short_enough_to_see(module):
    """Statements count, docstrings do not: they are allowed to explain."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) is not None
            first = node.body[1] if documented and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or 0) - first.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{module}.{node.name} has {length} lines"
